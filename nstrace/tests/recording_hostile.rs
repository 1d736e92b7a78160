//! Recordings made to harm: rows whose content was changed and whose chain was then made anew, so that nothing stops a reader at
//! the door. Every verb ends with an answer or an error. `NSTRACE_HOSTILE_SECONDS=600` goes on for that long.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_readers;
mod recording_support;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use nstrace::{
    engine::Named,
    recording::{Keep, Options, Recording, containers::Containers, entry::Kind},
};
use recording_readers::read;
use recording_support::{create, host, rechain, replace, watch};

/// xorshift64*: a case that fails is found again by its number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % below.max(1)
    }
}

const NUMBERS: [&str; 9] =
    ["0", "1", "-1", "4294967295", "4294967296", "9223372036854775807", "18446744073709551615", "1e300", "null"];

/// JSON with another number, bytes with other bytes.
fn mutate(raw: &mut Vec<u8>, is_json: bool, random: &mut Random) {
    if raw.is_empty() {
        raw.push(0);
    }
    if is_json && random.below(4) != 0 {
        let starts: Vec<usize> = (1..raw.len())
            .filter(|&i| raw[i].is_ascii_digit() && !raw[i - 1].is_ascii_alphanumeric() && raw[i - 1] != b'.')
            .collect();
        if let Some(&start) = starts.get(random.below(starts.len())) {
            let end = (start..raw.len()).find(|&i| !raw[i].is_ascii_digit()).unwrap_or(raw.len());
            let other = if random.below(2) == 0 {
                NUMBERS[random.below(NUMBERS.len())].to_owned()
            } else {
                // A number that stands elsewhere: the same task twice, a parent of its own.
                let from = starts[random.below(starts.len())];
                let to = (from..raw.len()).find(|&i| !raw[i].is_ascii_digit()).unwrap_or(raw.len());
                String::from_utf8_lossy(&raw[from..to]).into_owned()
            };
            raw.splice(start..end, other.into_bytes());
            return;
        }
    }
    let at = random.below(raw.len());
    let length = random.below(raw.len() - at).min(300);
    match random.below(5) {
        0 => raw[at] ^= 1 << random.below(8),
        1 => raw[at] = random.next().to_le_bytes()[0],
        2 => {
            raw.drain(at..at + length);
        }
        3 => {
            let part = raw[at..at + length].to_vec();
            let to = random.below(raw.len());
            raw.splice(to..to, part);
        }
        _ => {
            let to = random.below(raw.len() - length);
            raw.copy_within(at..at + length, to);
        }
    }
}

fn original(path: &Path) {
    let options = Options { keep: Keep::new(None, Some(60_000)), keyframe: Some(400), ..Options::default() };
    let mut writer = create(path, options);
    watch(&mut writer, &host(2_500));
    let id = "5".repeat(64);
    let web = Named { runtime: "docker".to_owned(), id, name: Some("web".to_owned()), ..Named::default() };
    writer.document(Kind::Container, &Containers { containers: vec![web] }).unwrap();
    writer.end().unwrap();
}

#[test]
fn hostile_recordings_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (first, path) = (folder.path().join("first.nst"), folder.path().join("hostile.nst"));
    original(&first);
    let (rows, middle) = {
        let recording = Recording::open(&first).unwrap();
        let mut rows = Vec::new();
        recording
            .each(|entry, _| {
                rows.push((entry.id, entry.kind, recording.raw(&entry)?));
                Ok::<(), nstrace::recording::ReadError>(())
            })
            .unwrap();
        let (from, to) = recording.span().unwrap().unwrap();
        (rows, from + (to - from) / 2)
    };
    assert!(rows.iter().any(|(_, kind, _)| *kind == Kind::Keyframe) && rows.len() > 5);
    let seconds = std::env::var("NSTRACE_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let begin = std::env::var("NSTRACE_HOSTILE_CASE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut cases = 0;
    for case in begin.. {
        if end.map_or(cases >= 12, |end| Instant::now() > end) {
            break;
        }
        cases += 1;
        let mut random = Random(case * 0x9e37_79b9 + 1);
        fs::copy(&first, &path).unwrap();
        for _ in 0..=random.below(3) {
            let (id, kind, raw) = &rows[random.below(rows.len())];
            let mut raw = raw.clone();
            for _ in 0..=random.below(6) {
                mutate(&mut raw, *kind != Kind::Facts, &mut random);
            }
            replace(&path, *id, &raw);
        }
        // Where the session or the cut is no JSON any more, the chain stays as it was.
        if Recording::open(&path).is_ok() && Recording::open(&path).unwrap().last_cut().is_ok() {
            rechain(&path);
        }
        let begun = Instant::now();
        let result = std::panic::catch_unwind(|| read(&path, middle));
        assert!(result.is_ok(), "NSTRACE_HOSTILE_CASE={case} finds it again");
        assert!(begun.elapsed() < Duration::from_secs(60), "case {case} took {:?}", begun.elapsed());
    }
    println!("{cases} cases");
}
