//! The fields of one line.

use std::collections::BTreeSet;

use super::Verdict;
use crate::{
    doctor::Facts,
    expect::{Expect, Generation, Who},
    kinds::{KINDS, kinds_of},
    line::{Line, LineTask},
};

pub(super) fn in_window(expect: &Expect, line: &Line) -> bool {
    let Some(at) = line.boot_ns() else { return false };
    expect.from_ns.is_none_or(|from| at >= from) && expect.to_ns.is_none_or(|to| at <= to)
}

/// What is wrong with `line`, one sentence each.
pub(super) fn compare(expect: &Expect, life: Option<&Generation>, line: &Line, facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(life) = life {
        identity(life, line, &mut faults);
    }
    match (&expect.who, &line.task) {
        (Some(who), Some(task)) => compare_task(who, task, &mut faults),
        (Some(_), None) => faults.push("no task".to_owned()),
        (None, _) => {}
    }
    if expect.event == "destroyed" {
        if let Some(life) = life {
            end(expect, life, line, facts, &mut faults);
        }
    } else {
        cause(expect, line, &mut faults);
    }
    if !in_window(expect, line) {
        faults.push(format!("boot_ns {:?} is not within [{:?}, {:?}]", line.boot_ns(), expect.from_ns, expect.to_ns));
    }
    faults
}

fn identity(life: &Generation, line: &Line, faults: &mut Vec<String>) {
    if line.inum() != life.inum {
        faults.push(format!("ns.inum is {:?}, not {:?}", line.inum(), life.inum));
    }
    if life.id.is_some() && line.ns_id() != life.id {
        faults.push(format!("ns.id is {:?}, not {:?}", line.ns_id(), life.id));
    }
    let initial = line.ns.as_ref().and_then(|ns| ns.initial);
    if initial != Some(life.initial) {
        faults.push(format!("ns.initial is {initial:?}, not {}", life.initial));
    }
}

fn compare_task(who: &Who, task: &LineTask, faults: &mut Vec<String>) {
    let Some(truth) = &who.more else { return };
    if task.tid != truth.tid {
        faults.push(format!("task.tid is {}, not {}", task.tid, truth.tid));
    }
    if task.uid != Some(truth.uid) {
        faults.push(format!("task.uid is {:?}, not {}", task.uid, truth.uid));
    }
    if task.pids.as_ref() != Some(&truth.pids) {
        faults.push(format!("task.pids is {:?}, not {:?}", task.pids, truth.pids));
    }
    let comm = String::from_utf8_lossy(&truth.comm);
    if task.comm.as_deref() != Some(&comm) {
        faults.push(format!("task.comm is {:?}, not {comm:?}", task.comm));
    }
}

fn cause(expect: &Expect, line: &Line, faults: &mut Vec<String>) {
    if !expect.via.is_empty() && !expect.via.iter().any(|via| line.via() == Some(via)) {
        faults.push(format!("cause.via is {:?}, not one of {:?}", line.via(), expect.via));
    }
    let said = line.cause.as_ref();
    if let Some(flags) = expect.flags {
        let names = said.and_then(|c| c.flags.as_ref());
        let all: BTreeSet<&str> = KINDS.iter().map(|k| k.flag_name).collect();
        let told: BTreeSet<&str> =
            names.into_iter().flatten().map(String::as_str).filter(|name| all.contains(name)).collect();
        let asked: BTreeSet<&str> = kinds_of(flags).map(|k| k.flag_name).collect();
        if told != asked || names.is_none() {
            faults.push(format!("cause.flags is {names:?}, not {asked:?}"));
        }
    }
    let errno = said.and_then(|c| c.errno.as_deref());
    if errno != expect.errno.as_deref() {
        faults.push(format!("cause.errno is {errno:?}, not {:?}", expect.errno));
    }
}

/// The release that ended it, as far as this kernel lets anybody know.
fn end(expect: &Expect, life: &Generation, line: &Line, facts: &Facts, faults: &mut Vec<String>) {
    let blind = life.pinned && !facts.sees_pins();
    if !blind && !expect.via.is_empty() && !expect.via.iter().any(|via| line.via() == Some(via)) {
        faults.push(format!("cause.via is {:?}, not {:?}", line.via(), expect.via));
    }
    let pids: BTreeSet<u32> = life.releases.iter().filter(|r| line.via() == Some(&r.via)).map(|r| r.pid).collect();
    if let Some(pid) = line.pid()
        && !expect.via.is_empty()
        && !blind
        && !pids.contains(&pid)
    {
        faults
            .push(format!("task.pid is {pid}, which released nothing by {:?} (those that did: {pids:?})", line.via()));
    }
    if !line.raw.contains("\"lifetime_ns\"") {
        faults.push("no lifetime_ns".to_owned());
    }
}

/// `lifetime_ns` is the time between the two lines.
pub(super) fn check_lifetime(first: &Line, last: &Line, verdict: &mut Verdict) {
    if first.event != "created" || last.event != "destroyed" {
        return;
    }
    let between = last.boot_ns().zip(first.boot_ns()).and_then(|(end, start)| end.checked_sub(start));
    if last.lifetime_ns() != between || between.is_none() {
        verdict.wrong.push(format!(
            "lifetime_ns is {:?}, but the lines are {between:?} apart\n    created: {}\n    destroyed: {}",
            last.lifetime_ns(),
            first.raw,
            last.raw
        ));
    }
}

/// Nobody joins twice, and nobody leaves without having joined; `whole`: the lines tell the life from its start.
pub(super) fn check_members(lines: &[Line], positions: &[usize], whole: bool, verdict: &mut Verdict) {
    let mut inside: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut process: BTreeSet<u32> = BTreeSet::new();
    for line in positions.iter().map(|&i| &lines[i]) {
        let Some(task) = &line.task else { continue };
        match line.event.as_str() {
            "joined" => {
                process.insert(task.pid);
                if !inside.insert((task.pid, task.tid)) {
                    verdict.wrong.push(format!("joined twice: {}", line.raw));
                }
            }
            "left" => {
                let thread = inside.remove(&(task.pid, task.tid));
                if whole && !thread && !process.contains(&task.pid) {
                    verdict.wrong.push(format!("left without having joined: {}", line.raw));
                }
            }
            _ => {}
        }
    }
}
