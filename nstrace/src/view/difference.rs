//! What came and went between two moments, for `diff`.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{document, escape::escaped, json::Safe, time};
use crate::{
    model::{Changed, Difference, Member, State},
    ns::{NsName, NsType},
};

/// One of the two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// As it was asked for; hostile.
    pub file: String,
    /// UTC, nanoseconds; None: the recording holds no event.
    pub utc_ns: Option<i64>,
}

fn members(members: &[Member]) -> String {
    let member = |member: &Member| format!("{} {}", member.pid, escaped(member.comm.as_bytes()));
    members.iter().map(member).collect::<Vec<_>>().join(", ")
}

/// Lines for people: `+` came, `-` went, and below a namespace that stayed, what came to it and went.
pub fn text(difference: &Difference, from: &Side, to: &Side, colour: bool) -> String {
    let mut out = String::new();
    let style = |name: AnsiColor| if colour { Style::new().fg_color(Some(name.into())) } else { Style::new() };
    let (plus, minus) = (style(AnsiColor::Green), style(AnsiColor::Red));
    let side = |side: &Side| {
        let time = side.utc_ns.map_or_else(|| "empty".to_owned(), time::rfc3339);
        format!("{} {time}", escaped(side.file.as_bytes()))
    };
    // Writing into memory cannot fail.
    let _ = writeln!(out, "{minus}--- {}{minus:#}\n{plus}+++ {}{plus:#}", side(from), side(to));
    let mut whole = |sign: char, style: Style, state: &State| {
        let mut line = state.name.to_string();
        if !state.members.is_empty() {
            let _ = write!(line, "  {}", members(&state.members));
        }
        if state.pinned {
            line.push_str("  held by a file or mount");
        }
        let _ = writeln!(out, "{style}{sign} {line}{style:#}");
    };
    difference.went.iter().for_each(|state| whole('-', minus, state));
    difference.came.iter().for_each(|state| whole('+', plus, state));
    for Changed { name, came, went, pinned } in &difference.changed {
        let _ = writeln!(out, "  {name}");
        if !went.is_empty() {
            let _ = writeln!(out, "{minus}-   {}{minus:#}", members(went));
        }
        if !came.is_empty() {
            let _ = writeln!(out, "{plus}+   {}{plus:#}", members(came));
        }
        let _ = match pinned {
            (true, false) => writeln!(out, "{minus}-   held by a file or mount{minus:#}"),
            (false, true) => writeln!(out, "{plus}+   held by a file or mount{plus:#}"),
            _ => Ok(()),
        };
    }
    out
}

#[derive(Serialize)]
struct Content<'a> {
    from: SideOut<'a>,
    to: SideOut<'a>,
    came: Vec<StateOut<'a>>,
    went: Vec<StateOut<'a>>,
    changed: Vec<ChangedOut<'a>>,
}

#[derive(Serialize)]
struct SideOut<'a> {
    file: &'a str,
    time: Option<String>,
}

#[derive(Serialize)]
struct NsOut {
    r#type: NsType,
    inum: u32,
    id: Option<Safe>,
}

#[derive(Serialize)]
struct MemberOut<'a> {
    pid: u32,
    comm: std::borrow::Cow<'a, str>,
    uid: u32,
}

#[derive(Serialize)]
struct StateOut<'a> {
    ns: NsOut,
    members: Vec<MemberOut<'a>>,
    pinned: bool,
}

#[derive(Serialize)]
struct ChangedOut<'a> {
    ns: NsOut,
    came: Vec<MemberOut<'a>>,
    went: Vec<MemberOut<'a>>,
    pinned: Was,
}

#[derive(Serialize)]
struct Was {
    before: bool,
    after: bool,
}

fn ns_out(name: NsName) -> NsOut {
    NsOut { r#type: name.ns_type, inum: name.inum, id: name.id.map(Safe) }
}

fn members_out(members: &[Member]) -> Vec<MemberOut<'_>> {
    let member = |member| -> MemberOut<'_> {
        let m: &Member = member;
        MemberOut { pid: m.pid, comm: m.comm.to_string_lossy(), uid: m.uid }
    };
    members.iter().map(member).collect()
}

/// The document of `diff -J`.
pub fn json(difference: &Difference, from: &Side, to: &Side) -> String {
    fn side(side: &Side) -> SideOut<'_> {
        SideOut { file: &side.file, time: side.utc_ns.map(time::rfc3339) }
    }
    fn state(state: &State) -> StateOut<'_> {
        StateOut { ns: ns_out(state.name), members: members_out(&state.members), pinned: state.pinned }
    }
    let changed = difference.changed.iter().map(|Changed { name, came, went, pinned }| ChangedOut {
        ns: ns_out(*name),
        came: members_out(came),
        went: members_out(went),
        pinned: Was { before: pinned.0, after: pinned.1 },
    });
    let content = Content {
        from: side(from),
        to: side(to),
        came: difference.came.iter().map(state).collect(),
        went: difference.went.iter().map(state).collect(),
        changed: changed.collect(),
    };
    document::json(&content, &[])
}
