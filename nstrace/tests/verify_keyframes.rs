//! A keyframe is what the facts before it lead to, or `verify` says so; its documents are those of the schema.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_support;

use std::path::Path;

use nstrace::{
    recording::{
        Keep, Options, Recording,
        entry::Kind,
        verify::{Depth, Fault, Whole, verify},
    },
    view,
};
use recording_support::{host, rechain, record, replace};
use serde_json::{Value, json};

fn keyframes(path: &Path) -> Vec<i64> {
    Recording::open(path).unwrap().ids(Kind::Keyframe).unwrap()
}

fn content(path: &Path, id: i64) -> Value {
    let recording = Recording::open(path).unwrap();
    let (entry, _) = recording.entry(id).unwrap().unwrap();
    serde_json::from_slice(&recording.raw(&entry).unwrap()).unwrap()
}

fn all(path: &Path) -> Result<Whole, Fault> {
    verify(path, None, Depth::All)
}

#[test]
fn keyframes_follow_from_the_facts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    record(&path, &host(20_000), Options { keyframe: Some(1_500), ..Options::default() });
    let inside = all(&path).unwrap().inside.unwrap();
    assert!(inside.derived >= 10 && inside.underived == 0, "{inside:?}");
    assert_eq!(inside.derived, keyframes(&path).len() as u64);
    assert_eq!(verify(&path, None, Depth::Chain).unwrap().inside, None);

    // After a cut the first one is taken as it is; those after it follow from it.
    let cut = folder.path().join("cut.nst");
    let keep = Keep::new(None, Some(250_000));
    record(&cut, &host(40_000), Options { keep, keyframe: Some(1_500), ..Options::default() });
    let whole = all(&cut).unwrap();
    let inside = whole.inside.unwrap();
    assert!(whole.cut.is_some() && inside.derived >= 1 && inside.underived == 1, "{inside:?}");
}

/// Whoever makes the chain anew and changes where a reader starts is found out, and where.
#[test]
fn a_forged_keyframe_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let changes: [fn(&mut Value); 5] = [
        |keyframe| {
            keyframe["world"]["tasks"].as_array_mut().unwrap().pop();
        },
        |keyframe| keyframe["world"]["last_seq"] = json!(7),
        |keyframe| keyframe["latest"] = json!(7),
        |keyframe| keyframe["world"]["namespaces"][9]["pinned"] = json!(true),
        |keyframe| keyframe["world"]["departed"] = json!([]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let _ = std::fs::remove_file(&path);
        record(&path, &host(6_000), Options { keyframe: Some(1_000), ..Options::default() });
        let id = keyframes(&path)[n];
        let mut keyframe = content(&path, id);
        change(&mut keyframe);
        replace(&path, id, &serde_json::to_vec(&keyframe).unwrap());
        assert!(matches!(all(&path), Err(Fault::Entry { id: found, .. }) if found == id), "the chain tells");
        rechain(&path);
        match all(&path) {
            Err(Fault::Entry { id: found, first_fact, what }) => {
                assert_eq!((found, what.as_str()), (id, "it is not what the facts before it lead to"));
                assert!(first_fact.is_some_and(|first| first >= 1_000 * (n as u64 + 1)));
            }
            other => panic!("change {n}: {other:?}"),
        }
        assert!(verify(&path, None, Depth::Chain).is_ok(), "a chain made anew is a chain");
    }
    // What another version concluded is not compared.
    let _ = std::fs::remove_file(&path);
    record(&path, &host(3_000), Options { keyframe: Some(1_000), ..Options::default() });
    let mut session = content(&path, 1);
    session["tool"] = json!("nstrace 0.0.1");
    replace(&path, 1, &serde_json::to_vec(&session).unwrap());
    rechain(&path);
    let inside = all(&path).unwrap().inside.unwrap();
    assert_eq!((inside.derived, inside.underived), (0, keyframes(&path).len() as u64));
}

#[test]
fn documents_of_verify_are_valid() {
    let mut schema: Value = serde_json::from_str(view::schema::TEXT).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!("#/$defs/verify");
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let valid = |document: &[u8]| {
        let document: Value = serde_json::from_slice(document).unwrap();
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{document}\n{errors:?}");
        document
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nst");
    let mut facts = host(6_000);
    facts.drain(500..510);
    let keep = Keep::new(None, Some(40_000));
    record(&path, &facts, Options { keep, keyframe: Some(1_000), ..Options::default() });
    for depth in [Depth::All, Depth::Chain] {
        let document = valid(&view::verify::json(&verify(&path, None, depth).unwrap()));
        assert_eq!(document["whole"], true);
        assert_eq!(document["keyframes"].is_null(), depth == Depth::Chain);
    }
    // Without pages that nothing is in any more.
    let dense = folder.path().join("b.nst");
    record(&dense, &facts, Options::default());
    let bytes = std::fs::read(&dense).unwrap();
    let mut kinds = Vec::new();
    let mut broken = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let document = valid(&view::verify::fault_json(&all(&path).unwrap_err()));
        kinds.push(document["fault"]["kind"].as_str().unwrap().to_owned());
    };
    broken(&bytes[..bytes.len() / 2]);
    broken(b"hello");
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    broken(&flipped);
    assert_eq!(kinds[..2], ["torn", "file"]);
    assert!(["changed", "damaged"].contains(&kinds[2].as_str()), "{kinds:?}");
}
