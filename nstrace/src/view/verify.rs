//! What `verify` says of a recording.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::escape::escaped;
use crate::recording::verify::{Fault, Inside, Whole};

fn time(utc_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(utc_ns)).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

/// For people: a verdict, then what it is about.
pub fn text(whole: &Whole, file: &str) -> String {
    let mut text = format!("{file} is whole\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    let safe = |name: &str| escaped(name.as_bytes()).to_string();
    let session = &whole.session;
    line("made", format!("by {} on {}, kernel {}", safe(&session.tool), safe(&session.host), safe(&session.kernel)));
    line("facts", format!("{} in {} entries", whole.facts, whole.entries));
    if let Some((first, last)) = whole.span {
        line("time", format!("{} to {}", time(first), time(last)));
    }
    if let Some(cut) = &whole.cut {
        line("cut", format!("everything before entry {} was dropped, for its {}", cut.before, safe(&cut.why)));
    }
    line(
        "end",
        match whole.end {
            Some(_) => "ended by its recorder".to_owned(),
            None => "cut off or still being made: at most the last second is missing".to_owned(),
        },
    );
    match &whole.inside {
        Some(inside) => {
            line("losses", losses(inside));
            let keyframes = match (inside.derived, inside.underived) {
                (0, 0) => "none".to_owned(),
                (derived, 0) => format!("{derived}, each what the facts before it lead to"),
                (derived, underived) => {
                    format!("{derived} are what the facts before them lead to; {underived} cannot be derived any more")
                }
            };
            line("keyframes", keyframes);
        }
        None => line("inside", "not looked at: only the chain was asked for".to_owned()),
    }
    let covered = whole.seals.last().map(|seal| (seal.covers, seal.by_key));
    line(
        "seals",
        match covered {
            None => "none: who changed it could have made the chain anew".to_owned(),
            Some((entry, Some(_))) => format!("{} good, the last one up to entry {entry}", whole.seals.len()),
            Some((entry, None)) => {
                format!("{}, the last one up to entry {entry}; not checked: give --key", whole.seals.len())
            }
        },
    );
    let (id, hash) = &whole.head;
    line("head", format!("entry {id} {hash}"));
    text
}

fn losses(inside: &Inside) -> String {
    let missing: u64 = inside.missing.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n));
    match (inside.lost, missing) {
        (0, 0) => "none".to_owned(),
        (lost, 0) => format!("{lost} records, as the recorder told"),
        (lost, missing) => {
            format!("{lost} records, as the recorder told; {missing} numbers never came: lost, not removed")
        }
    }
}

/// For programs.
pub fn json(whole: &Whole) -> Vec<u8> {
    let (session, inside) = (&whole.session, whole.inside.as_ref());
    let end = whole.end.map(|end| json!({ "facts": end.facts.to_string(), "lost": end.lost.to_string() }));
    document(&json!({
        "whole": true,
        "fault": null,
        "tool": session.tool,
        "kernel": session.kernel,
        "host": session.host,
        "boot_id": session.boot_id,
        "entries": whole.entries,
        "facts": whole.facts,
        "since": whole.span.map(|(first, _)| time(first)),
        "until": whole.span.map(|(_, last)| time(last)),
        "cut": whole.cut.as_ref().map(|cut| json!({ "before": cut.before, "why": cut.why })),
        "end": end,
        "lost": inside.map(|inside| inside.lost.to_string()),
        "gaps": inside.map(|inside| {
            inside.missing.iter().map(|(cpu, n)| json!({ "cpu": cpu, "count": n })).collect::<Vec<_>>()
        }),
        "keyframes": inside.map(|inside| json!({ "derived": inside.derived, "underived": inside.underived })),
        "seals": whole.seals.iter().map(|s| json!({ "covers": s.covers, "good": s.by_key })).collect::<Vec<_>>(),
        "head": { "entry": whole.head.0, "hash": whole.head.1 },
    }))
}

/// For programs, of one that is not whole.
pub fn fault_json(fault: &Fault) -> Vec<u8> {
    let (kind, entry) = match fault {
        Fault::File(_) => ("file", None),
        Fault::Unsealed { .. } => ("unsealed", None),
        Fault::Torn { last, .. } => ("torn", Some(last + 1)),
        Fault::Entry { id, .. } => ("changed", Some(*id)),
        Fault::Unreadable { last, .. } => ("damaged", Some(last + 1)),
    };
    document(&json!({
        "whole": false,
        "fault": { "kind": kind, "entry": entry, "what": fault.to_string() },
    }))
}

fn document(value: &Value) -> Vec<u8> {
    super::document::json(value, &[]).into_bytes()
}
