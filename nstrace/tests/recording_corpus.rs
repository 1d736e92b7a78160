//! The corpus of the fuzz target `recording`, on stable. `cargo test -p nstrace --test recording_corpus -- --ignored` writes the
//! seeds again after a change of the records or of what the rows hold.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_readers;
mod recording_rows;
mod recording_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nstrace::{
    engine::Named,
    recording::{
        Options, Recording, Writer,
        containers::Containers,
        document::Session,
        entry::{Kind, Span},
        verify::{Depth, verify},
    },
};
use recording_rows::{rows, time, write};
use recording_support::{host, session, watch};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/recording")
}

#[test]
fn every_input_of_recording_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = 0;
    for (n, file) in fs::read_dir(corpus()).unwrap().enumerate() {
        let file = file.unwrap().path();
        let path = folder.path().join(n.to_string());
        let bytes = fs::read(&file).unwrap();
        write(&path, &bytes);
        recording_readers::read(&path, time(2));
        let is_seed = file.file_name().unwrap().to_string_lossy().starts_with("seed-");
        if is_seed {
            let verdict = verify(&path, None, Depth::All);
            assert!(verdict.is_ok(), "{}: {}: write the seeds again", file.display(), verdict.unwrap_err());
            assert_eq!(rows(&path), bytes);
            whole += 1;
        }
    }
    assert!(whole >= 2, "{whole}");
}

#[test]
#[ignore = "writes the seeds"]
fn write_seeds() {
    fs::create_dir_all(corpus()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    // Of no version: what the model concludes may change without the seeds.
    let session = Session { tool: "nstrace seed".to_owned(), ..session() };
    let options = Options { keyframe: Some(60), ..Options::default() };
    let mut writer = Writer::create(&path, &session, Span::moment(1, 1), options).unwrap();
    watch(&mut writer, &host(120));
    let id = "5".repeat(64);
    let web = Named { runtime: "docker".to_owned(), id, name: Some("web".to_owned()), ..Named::default() };
    writer.document(Kind::Container, &Containers { containers: vec![web] }).unwrap();
    writer.end().unwrap();
    drop(writer);
    let all = rows(&path);
    fs::write(corpus().join("seed-whole"), &all).unwrap();
    // As far as the first keyframe: small enough to be changed often.
    let recording = Recording::open(&path).unwrap();
    let end: usize = (1..=recording.ids(Kind::Keyframe).unwrap()[0])
        .map(|id| recording.raw(&recording.entry(id).unwrap().unwrap().0).unwrap().len() + 5)
        .sum();
    fs::write(corpus().join("seed-cut-off"), &all[..end]).unwrap();
}
