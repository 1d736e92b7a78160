//! The corpora of the fuzz targets, on stable. `cargo test -p nstrace --test model_corpus -- --ignored` writes the seeds
//! again after a change of the records.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_support::{CLONE_THREAD, INIT, IPC, MNT, NET, PID, TIME, Toy, USER, UTS, nr};
use nstrace::{
    decode::decode,
    event::{Event, Stamp, Stamped},
    model::World,
    ns::NsType,
};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_input_of_decode_is_a_record_or_an_error() {
    let files = files("decode");
    let mut kinds = std::collections::BTreeSet::new();
    for (path, bytes) in &files {
        let bad = path.file_name().unwrap().to_string_lossy().starts_with("bad-");
        let decoded = decode(bytes);
        assert_eq!(decoded.is_err(), bad, "{}: {decoded:?}", path.display());
        if let Ok(Stamped { event, .. }) = decoded {
            kinds.insert(format!("{event:?}").split([' ', '(']).next().unwrap().to_owned());
        }
        if !bad {
            for end in 0..bytes.len() {
                assert!(decode(&bytes[..end]).is_err(), "{} cut at {end}", path.display());
            }
        }
    }
    assert!(kinds.len() >= 9, "a seed of every kind: {kinds:?}");
}

#[test]
fn every_history_of_apply_is_survived() {
    for (path, data) in files("apply") {
        let mut world = World::new(|_| None);
        let mut out = Vec::new();
        let stamp = Stamp { boot_ns: 0, cpu: 0, seq: 0 };
        world.apply(&Stamped { stamp, event: Event::SnapshotEnd }, &mut out);
        let mut rest = data.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (record, tail) = tail.split_at(usize::from(u16::from_le_bytes(*length)).min(tail.len()));
            if let Ok(event) = decode(record) {
                world.apply(&event, &mut out);
            }
            rest = tail;
        }
        assert!(!out.is_empty(), "{}", path.display());
        assert!(out.iter().zip(1..).all(|(change, seq)| change.seq == seq));
    }
}

/// A bit of everything.
fn history(ids: bool) -> Vec<Vec<u8>> {
    let mut toy = Toy::new(ids);
    let a = toy.clone(INIT, NET | PID | MNT);
    let b = toy.clone(a, 0);
    let t = toy.clone(b, CLONE_THREAD);
    toy.unshare(t, UTS);
    toy.unshare(b, IPC | TIME);
    toy.unshare_fails(b, NET | USER, 28);
    let net = toy.of_type(a, NsType::Net);
    toy.pin(INIT, net, nr::MOUNT);
    let c = toy.clone(INIT, USER);
    toy.setns(c, net);
    toy.install(c, net, 1);
    toy.exec(t);
    toy.exit(a);
    toy.exit(b);
    toy.exit(c);
    toy.unpin(INIT, net, nr::UMOUNT);
    toy.bytes()
}

#[test]
#[ignore = "writes fuzz/corpus"]
fn write_seeds() {
    for target in ["decode", "apply"] {
        fs::create_dir_all(corpus(target)).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for record in history(true) {
        let Stamped { event, .. } = decode(&record).unwrap();
        let kind = format!("{event:?}").split([' ', '(']).next().unwrap().to_lowercase();
        if seen.insert(kind.clone()) {
            fs::write(corpus("decode").join(&kind), &record).unwrap();
            let mut long = record.clone();
            long.push(0);
            fs::write(corpus("decode").join(format!("bad-long-{kind}")), long).unwrap();
        }
    }
    let namespace = fs::read(corpus("decode").join("namespace")).unwrap();
    let mut nameless = namespace.clone();
    nameless[32..36].fill(0);
    fs::write(corpus("decode").join("bad-namespace-without-number"), nameless).unwrap();
    let mut untyped = namespace.clone();
    untyped[36..40].fill(0xff);
    fs::write(corpus("decode").join("bad-namespace-of-all-types"), untyped).unwrap();
    let mut unknown = namespace;
    unknown[16] = 99;
    fs::write(corpus("decode").join("bad-kind"), unknown).unwrap();
    let mut transition = fs::read(corpus("decode").join("transition")).unwrap();
    transition[18] = 12;
    fs::write(corpus("decode").join("bad-transition-of-nsfs"), transition).unwrap();
    fs::write(corpus("decode").join("bad-empty"), []).unwrap();

    for (name, ids) in [("with-ids", true), ("without-ids", false)] {
        let framed = |records: &[Vec<u8>]| -> Vec<u8> {
            let frame = |r: &Vec<u8>| [u16::try_from(r.len()).unwrap().to_le_bytes().to_vec(), r.clone()].concat();
            records.iter().flat_map(frame).collect()
        };
        let records = history(ids);
        fs::write(corpus("apply").join(name), framed(&records)).unwrap();
        let mut backwards = records.clone();
        backwards.reverse();
        fs::write(corpus("apply").join(format!("{name}-backwards")), framed(&backwards)).unwrap();
        let every_other: Vec<Vec<u8>> = records.iter().step_by(2).cloned().collect();
        fs::write(corpus("apply").join(format!("{name}-with-losses")), framed(&every_other)).unwrap();
        // One number for everything: what looks like a slot's inode number becomes the same.
        let mut one_number = records;
        for record in &mut one_number {
            for word in record[24..].chunks_exact_mut(4) {
                if word[3] == 0xf0 && word[2] == 0 {
                    word[0] = 0x60;
                }
            }
        }
        fs::write(corpus("apply").join(format!("{name}-one-number")), framed(&one_number)).unwrap();
    }
}
