//! A recording holds what was recorded: all of it, from any place on, while it grows, after old parts were dropped.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_support;

use std::{path::Path, time::Duration};

use nstrace::recording::{
    Keep, Options, Recording, WriteError, Writer,
    seal::{PublicKey, SecretKey},
    verify::{Depth, Fault, verify},
};
use recording_support::{Owned, create, host, record, replay, session, watch};

#[test]
fn a_replay_prints_what_the_watch_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let facts = host(5_000);
    let lines = record(&path, &facts, Options::default());
    assert!(lines.len() > 1_000, "{}", lines.len());
    assert!(lines.iter().any(|(_, line)| line.contains("\"runtime\":\"docker\"")), "a container is named");
    let (again, end) = replay(&path, None);
    assert_eq!(end, Ok(()));
    assert_eq!(again, lines);

    let whole = verify(&path, None, Depth::All).unwrap();
    assert_eq!(whole.facts, facts.len() as u64);
    assert_eq!(whole.end.map(|end| (end.facts, end.lost)), Some((facts.len() as u64, 2)));
    let inside = whole.inside.unwrap();
    assert_eq!((inside.lost, inside.missing.as_slice()), (2, &[][..]));
}

#[test]
fn a_replay_that_starts_in_the_middle_prints_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let options = Options { keyframe: Some(700), ..Options::default() };
    let lines = record(&path, &host(6_000), options);
    let mut starts = Vec::new();
    for at in [1, lines.len() / 3, lines.len() / 2, lines.len() - 2] {
        let (since, _) = lines[at];
        let (again, end) = replay(&path, Some(since));
        assert_eq!(end, Ok(()));
        starts.push(again.len());
        let wanted: Vec<_> = lines.iter().filter(|(time, _)| *time >= since).collect();
        let got: Vec<_> = again.iter().filter(|(time, _)| *time >= since).collect();
        assert_eq!(got, wanted, "from {since} on");
    }
    assert!(starts[3] < lines.len() / 3, "it did not begin at a keyframe: {starts:?} of {}", lines.len());
    assert_eq!(verify(&path, None, Depth::All).unwrap().facts, host(6_000).len() as u64);
}

#[test]
fn it_can_be_read_while_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let facts = host(3_000);
    let (first, rest) = facts.split_at(2_000);
    let mut writer = create(&path, Options::default());
    watch(&mut writer, first);
    writer.commit().unwrap();
    let (early, end) = replay(&path, None);
    assert_eq!(end, Ok(()));
    assert!(!early.is_empty());
    assert_eq!(verify(&path, None, Depth::All).unwrap().end, None, "it has not ended");
    // A reader that is open holds nobody up.
    let reader = Recording::open(&path).unwrap();
    for fact in rest {
        let event = nstrace::source::fact::Facts::default().event(fact.fact()).unwrap();
        writer.fact(fact.fact(), &event).unwrap();
    }
    writer.end().unwrap();
    assert_eq!(reader.session().host, "toy");
    let (all, end) = replay(&path, None);
    assert_eq!(end, Ok(()));
    assert_eq!(all[..early.len()], early);
    assert!(all.len() > early.len());
}

#[test]
fn nothing_is_overwritten_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    record(&path, &host(10), Options::default());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    let again =
        |path: &Path| Writer::create(path, &session(), nstrace::recording::entry::Span::default(), Options::default());
    assert!(matches!(again(&path), Err(WriteError::Create { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(matches!(again(&folder.path().join("none/a.nst")), Err(WriteError::Create { .. })));
}

/// Old entries go, up to a keyframe; what is left replays to the same lines and is whole.
#[test]
fn a_size_is_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let facts = host(60_000);
    let size = 150_000;
    let options = Options { keep: Keep::new(None, Some(size)), ..Options::default() };
    let lines = record(&path, &facts, options);
    let whole = verify(&path, None, Depth::All).unwrap();
    let cut = whole.cut.clone().expect("something was dropped");
    assert_eq!(cut.why, "size");
    assert!(whole.facts < facts.len() as u64 / 2, "{} of {}", whole.facts, facts.len());
    let length = path.metadata().unwrap().len();
    assert!(length < 2 * size, "{length} bytes");
    let (left, end) = replay(&path, None);
    assert_eq!(end, Ok(()));
    assert!(left.len() > 1_000);
    assert_eq!(left, lines[lines.len() - left.len()..]);

    // Without the cut the gap is no cut.
    let database = rusqlite::Connection::open(&path).unwrap();
    let next: i64 = database.query_row("SELECT min(id) FROM entry WHERE id > 1", [], |row| row.get(0)).unwrap();
    database.execute("DELETE FROM entry WHERE id = ?", [next]).unwrap();
    drop(database);
    assert!(matches!(verify(&path, None, Depth::All), Err(Fault::Entry { id: 2, .. })));
}

#[test]
fn an_age_is_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    // A record each 700 ns.
    let age = Duration::from_millis(5);
    let options = Options { keep: Keep::new(Some(age), None), keyframe: Some(1_000), ..Options::default() };
    let facts = host(40_000);
    let lines = record(&path, &facts, options);
    let whole = verify(&path, None, Depth::All).unwrap();
    assert_eq!(whole.cut.as_ref().map(|cut| cut.why.as_str()), Some("age"));
    let (first, last) = whole.span.unwrap();
    let kept = Duration::from_nanos(u64::try_from(last - first).unwrap());
    assert!(kept >= age && kept < 3 * age, "{kept:?} are left");
    let (left, end) = replay(&path, None);
    assert_eq!(end, Ok(()));
    assert_eq!(left, lines[lines.len() - left.len()..]);
}

/// What is urgent does not wait for its turn, unless something was written just now.
#[test]
fn a_flush_writes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let facts = host(400);
    let mut writer = create(&path, Options::default());
    let begun = std::time::Instant::now();
    let seen = || verify(&path, None, Depth::All).unwrap().facts;
    watch(&mut writer, &facts[..100]);
    assert_eq!(seen(), 0);
    // The entry of the session was written when it was made.
    while begun.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    writer.flush().unwrap();
    assert_eq!(seen(), 100);
    // Nothing waits; what was committed goes to the disk.
    writer.flush().unwrap();
    assert_eq!(seen(), 100);
}

#[test]
fn numbers_that_never_came_are_losses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let mut facts = host(2_000);
    let ring: Vec<usize> = (0..facts.len()).filter(|&i| facts[i].0.is_some()).collect();
    // They were lost before they could be recorded.
    for &place in ring[100..105].iter().rev() {
        facts.remove(place);
    }
    record(&path, &facts, Options::default());
    let whole = verify(&path, None, Depth::All).unwrap();
    assert_eq!(whole.inside.unwrap().missing, [(0, 5)]);
}

#[test]
fn what_is_no_recording_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let said = |path: &Path| Recording::open(path).map(|_| ()).unwrap_err().to_string();
    assert!(said(&path).contains("cannot open"));
    for content in [&b""[..], b"hello", &[0; 5000]] {
        std::fs::write(&path, content).unwrap();
        assert!(said(&path).contains("is no recording of nstrace"), "{}", said(&path));
    }
    std::fs::remove_file(&path).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE entry (id INTEGER PRIMARY KEY)").unwrap();
    assert!(said(&path).contains("is no recording of nstrace"));
    database.pragma_update(None, "application_id", nstrace::recording::schema::APPLICATION_ID).unwrap();
    assert!(said(&path).contains("has format 0"));
    database.pragma_update(None, "user_version", nstrace::recording::schema::FORMAT).unwrap();
    assert!(said(&path).contains("its table is not that of a recording"));
    database
        .execute_batch(&format!(
            "DROP TABLE entry; {}; {}",
            nstrace::recording::schema::ENTRY,
            nstrace::recording::schema::HEAD
        ))
        .unwrap();
    assert!(said(&path).contains("damaged at entry 1"));
}

#[test]
fn a_seal_holds_for_its_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["mine", "other"].map(|name| {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let secret = folder.path().join(name);
        std::fs::write(&secret, pair.sk.to_box(None).unwrap().to_string()).unwrap();
        (secret, pair.pk)
    });
    let path = folder.path().join("a.nst");
    let sign = Some(SecretKey::read(&keys[0].0).unwrap());
    record(&path, &host(3_000), Options { sign, ..Options::default() });
    let key = |i: usize| PublicKey::read(&keys[i].1.to_base64()).unwrap();

    assert_eq!(verify(&path, None, Depth::All).unwrap().seals.last().map(|seal| seal.by_key), Some(None));
    let whole = verify(&path, Some(&key(0)), Depth::All).unwrap();
    let sealed = whole.seals.last().unwrap();
    assert_eq!((sealed.by_key, sealed.covers), (Some(true), whole.head.0 - 1));
    assert!(matches!(verify(&path, Some(&key(1)), Depth::All), Err(Fault::Entry { .. })));

    // Another implementation of minisign thinks so too.
    let theirs = minisign_verify::PublicKey::from_base64(&keys[0].1.to_base64()).unwrap();
    let signature = minisign_verify::Signature::decode(&sealed.seal.signature).unwrap();
    theirs.verify(sealed.seal.text.as_bytes(), &signature, false).unwrap();
    assert!(theirs.verify(b"something else", &signature, false).is_err());

    // A recording made anew by somebody who has no key.
    let forged = folder.path().join("b.nst");
    record(&forged, &host(3_000), Options::default());
    assert!(matches!(verify(&forged, Some(&key(0)), Depth::All), Err(Fault::Unsealed { .. })));
    assert!(PublicKey::read("/nowhere").is_err());
    assert!(SecretKey::read(&path).is_err());
}

/// Facts of one kind after the other keep their order and their bytes.
#[test]
fn facts_are_kept_verbatim() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let facts = host(2_500);
    record(&path, &facts, Options::default());
    let recording = Recording::open(&path).unwrap();
    let mut kept = Vec::new();
    recording
        .each(|entry, _| {
            if entry.kind == nstrace::recording::entry::Kind::Facts {
                for fact in nstrace::recording::block::facts(&recording.raw(&entry)?) {
                    kept.push(match fact.unwrap() {
                        nstrace::source::fact::Fact::Record(written, bytes) => Owned(Some(written), bytes.to_vec()),
                        nstrace::source::fact::Fact::Told(bytes) => Owned(None, bytes.to_vec()),
                    });
                }
            }
            Ok::<(), nstrace::recording::ReadError>(())
        })
        .unwrap();
    assert_eq!(kept, facts);
}

/// Set for the process that [`a_full_disk_loses_the_tail_only`] starts: where to record until it fails.
const FILL: &str = "NSTRACE_TEST_FILL";

#[test]
#[ignore = "a part of the next test"]
fn record_until_the_disk_is_full() {
    let Some(path) = std::env::var_os(FILL) else { return };
    let facts = host(2_000);
    let mut writer = create(Path::new(&path), Options::default());
    let mut events = nstrace::source::fact::Facts::default();
    let events: Vec<_> = facts.iter().map(|fact| events.event(fact.fact()).unwrap()).collect();
    // The same again and again: what matters is room.
    for n in 0_u64.. {
        for (fact, event) in facts.iter().zip(&events) {
            match writer.fact(fact.fact(), event) {
                Ok(()) => {}
                Err(error @ WriteError::Full { .. }) => {
                    println!("full after {}: {error}", writer.facts());
                    drop(writer);
                    let whole = verify(Path::new(&path), None, Depth::All).expect("what fitted is whole");
                    println!("{} of {} facts are left", whole.facts, n * facts.len() as u64);
                    assert!(whole.facts + 2_000 > n * facts.len() as u64 && whole.facts > 0 && whole.end.is_none());
                    assert_eq!(replay(Path::new(&path), None).1, Ok(()));
                    println!("survived");
                    return;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_full_disk_loses_the_tail_only() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    // A user namespace lets anybody mount; unshare(1) and mount(8) of util-linux.
    let script = format!(
        "mount -t tmpfs -o size=600k none '{0}' && {FILL}='{0}/full.nst' exec \"$1\" --ignored --exact \
         record_until_the_disk_is_full --nocapture",
        place.display()
    );
    let unshare = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let output = std::process::Command::new("unshare")
        .args([unshare, "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("survived"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("no space left"), "{said}");
}

/// Killed at any moment: every time what is there is whole, and not more than the last thousand facts are missing.
#[test]
fn a_killed_writer_leaves_a_whole_recording() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let path = folder.path().join(format!("{round}.nst"));
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "record_until_killed", "--nocapture"])
            .env(FILL, &path)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = 1_000 + round * 1_777;
        let mut told: u64 = 0;
        while told < enough {
            let line = lines.next().expect("it writes for ever").unwrap();
            told = line.strip_prefix("facts ").and_then(|n| n.parse().ok()).unwrap_or(told);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let whole = verify(&path, None, Depth::All).unwrap();
        assert!(whole.facts + 1_000 >= told, "{} of at least {told} facts are left", whole.facts);
        assert_eq!(whole.end, None);
        assert_eq!(replay(&path, None).1, Ok(()));
    }
}

#[test]
#[ignore = "a part of the test before"]
fn record_until_killed() {
    use std::io::Write as _;
    let Some(path) = std::env::var_os(FILL) else { return };
    let facts = host(20_000);
    let mut writer = create(Path::new(&path), Options { keyframe: Some(3_000), ..Options::default() });
    for part in facts.chunks(97).cycle() {
        let mut events = nstrace::source::fact::Facts::default();
        for fact in part {
            writer.fact(fact.fact(), &events.event(fact.fact()).unwrap()).unwrap();
        }
        writeln!(std::io::stdout(), "facts {}", writer.facts()).unwrap();
    }
}
