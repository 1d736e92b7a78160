//! The power goes at any moment: what the disk has by then is a whole recording, and only the tail of the log is lost.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nstrace::{
    recording::{
        Options,
        verify::{Depth, verify},
    },
    source::fact::Facts,
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use recording_support::{create, host, record, replay};

/// sqlite.org/walformat.html: the log's header and that of a frame.
const HEADER: usize = 32;
const FRAME: usize = 24;
const PAGE: usize = 4096;

/// The salts of a log and the end of its last frame that has them: behind it are frames of an earlier use of the file.
fn used(log: &[u8]) -> ([u8; 8], usize) {
    let Some(salts) = log.get(16..24) else { return ([0; 8], 0) };
    let frames = log[HEADER..].chunks_exact(FRAME + PAGE).take_while(|frame| &frame[8..16] == salts).count();
    (salts.try_into().unwrap(), HEADER + frames * (FRAME + PAGE))
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("nst-wal")
}

/// What the disk had at a moment, and how many facts were committed.
struct Moment {
    database: Vec<u8>,
    log: Vec<u8>,
    facts: u64,
}

/// How the tail of the log came to the disk, or did not.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Missing,
    Zeros,
    Noise,
    /// One page did not come, those after it did.
    Hole,
}

#[test]
fn only_the_tail_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.nst");
    let facts = host(40_000);
    let whole = folder.path().join("whole.nst");
    let lines = record(&whole, &facts, Options::default());
    let mut writer = create(&path, Options { keyframe: Some(5_000), ..Options::default() });
    let mut events = Facts::default();
    let mut moments: Vec<Moment> = Vec::new();
    for part in facts.chunks(157) {
        for fact in part {
            writer.fact(fact.fact(), &events.event(fact.fact()).unwrap()).unwrap();
        }
        writer.commit().unwrap();
        let (database, log) = (fs::read(&path).unwrap(), fs::read(log_of(&path)).unwrap());
        moments.push(Moment { database, log, facts: writer.facts() });
    }
    let uses: std::collections::BTreeSet<[u8; 8]> = moments.iter().map(|moment| used(&moment.log).0).collect();
    assert!(uses.len() >= 2, "the log was never written back: {}", uses.len());

    let copy = folder.path().join("copy.nst");
    let mut runner = TestRunner::new(Config::default());
    let mut lost_something = 0;
    for case in 0..150 {
        let any = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u64>(), 0..4_usize);
        let (at, cut, noise, tail) = any.new_tree(&mut runner).unwrap().current();
        let tail = [Tail::Missing, Tail::Zeros, Tail::Noise, Tail::Hole][tail];
        let at = at.index(moments.len());
        let Moment { database, log, .. } = &moments[at];
        let (salts, end) = used(log);
        let cut = HEADER + cut.index(end - HEADER + 1);
        let mut log = log.clone();
        match tail {
            Tail::Missing => log.truncate(cut),
            Tail::Zeros => log[cut..].fill(0),
            Tail::Noise => {
                let mut state = noise | 1;
                for byte in &mut log[cut..end] {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = state.to_le_bytes()[7];
                }
            }
            Tail::Hole => {
                let hole = cut..(cut + PAGE).min(end);
                log[hole].fill(0);
            }
        }
        // A crash while the log was being written back: its pages are in the database already, or not.
        let mut database = database.clone();
        let before = &moments[at.saturating_sub(1)];
        if used(&before.log).0 == salts {
            for (n, page) in database.chunks_mut(PAGE).enumerate() {
                if (noise >> (n % 64)) & 1 == 1
                    && let Some(old) = before.database.get(n * PAGE..(n + 1) * PAGE)
                    && matches!(tail, Tail::Missing)
                    && cut == end
                {
                    page.copy_from_slice(old);
                }
            }
        }
        for leftover in ["nst", "nst-wal", "nst-shm"] {
            let _ = fs::remove_file(copy.with_extension(leftover));
        }
        fs::write(&copy, &database).unwrap();
        fs::write(log_of(&copy), &log).unwrap();
        // What was committed before the log was that long, or before it was begun anew, is there.
        let kept = |moment: &&Moment| {
            let (its, its_end) = used(&moment.log);
            its != salts || its_end <= cut
        };
        let least = moments[..=at].iter().filter(kept).map(|moment| moment.facts).max().unwrap_or(0);
        let told = format!("case {case}: moment {at}, {tail:?} from {cut} of {end}");
        match verify(&copy, None, Depth::All) {
            Ok(found) => {
                assert!(found.facts >= least && found.facts <= moments[at].facts, "{told}: {} of {least}", found.facts);
                assert_eq!(found.end, None, "{told}");
                lost_something += u32::from(found.facts < moments[at].facts);
            }
            // Nothing had come to the disk yet but the file's name.
            Err(fault) => assert!(least == 0, "{told}: {fault}"),
        }
        if case % 10 == 0 && least > 0 {
            let (some, end) = replay(&copy, None);
            assert_eq!(end, Ok(()), "{told}");
            assert_eq!(some, lines[..some.len()], "{told}");
        }
    }
    assert!(lost_something > 50, "{lost_something}");
}
