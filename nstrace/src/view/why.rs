//! `nstrace why`: the holders of one namespace, as text and as one JSON document. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::{escape::escaped, json::Safe, schema};
use crate::{
    census::{
        Census, Descriptor, Holder, Namespace, NsIndex, Task, TaskIndex,
        holder::MountHolder,
        teardown::{Teardown, teardown},
    },
    ns::{NsName, NsType},
};

/// One namespace of a census.
#[derive(Clone, Copy, Debug)]
pub struct Why<'c> {
    pub census: &'c Census,
    pub index: NsIndex,
}

impl<'c> Why<'c> {
    fn ns(self) -> &'c Namespace {
        self.census.namespace(self.index)
    }

    fn task(self, index: TaskIndex) -> &'c Task {
        self.census.task(index)
    }

    fn name(self, index: NsIndex) -> NsName {
        self.census.namespace(index).name
    }

    /// The thread behind a descriptor, as far as it was seen.
    fn thread(self, at: Descriptor) -> Option<&'c Task> {
        self.census.tasks.iter().find(|task| task.tid == at.tid && task.tgid == at.pid)
    }
}

/// Address families (include/linux/socket.h) that people know by name.
fn family_name(family: u16) -> &'static str {
    match family {
        1 => "unix",
        2 => "inet",
        10 => "inet6",
        15 => "key",
        16 => "netlink",
        17 => "packet",
        29 => "can",
        31 => "bluetooth",
        38 => "alg",
        40 => "vsock",
        44 => "xdp",
        _ => "other",
    }
}

/// The text for people, its last newline included. `command` looks a task's command up.
pub fn text(why: &Why<'_>, command: &mut dyn FnMut(&Task) -> String) -> String {
    let ns = why.ns();
    let mut out = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| {
        // Writing into memory cannot fail.
        let _ = out.write_fmt(line);
        out.push('\n');
    };
    let id = ns.name.id.map(|id| format!(" id {id}")).unwrap_or_default();
    let initial = if ns.initial { ", initial: it is never freed" } else { "" };
    say(format_args!("{}{id}: {}{initial}", ns.name, ns.state()));
    if let Some(owner) = ns.owner {
        let what = if ns.name.ns_type == NsType::User { "parent" } else { "owned by" };
        say(format_args!("  {what} {}", why.name(owner)));
    }
    match (ns.refs, ns.unexplained()) {
        (Some(refs), Some(rest)) => {
            let lines: Vec<String> = ns.accounts.lines().iter().map(|(what, n)| format!("{n} {what}")).collect();
            let known = if lines.is_empty() { "nothing known".to_owned() } else { lines.join(", ") };
            let rest = if rest == 0 { "all explained".to_owned() } else { format!("unexplained: {rest} references") };
            say(format_args!("  {refs} references: {known}; {rest}"));
        }
        (Some(_), None) => {}
        (None, _) => say(format_args!("  the kernel's reference count cannot be read")),
    }
    if ns.holders.is_empty() {
        say(format_args!("  no holder was found"));
    }
    for holder in &ns.holders {
        let mut who = |task: &Task| escaped(command(task).as_bytes()).to_string();
        let kind = holder.kind().name();
        let text = match holder {
            Holder::Task(task) | Holder::Zombie(task) => {
                let task = why.task(*task);
                format!("{} {}", task.tgid, who(task))
            }
            Holder::Thread(task) | Holder::Pending(task) => {
                let task = why.task(*task);
                let thread = if task.is_leader() { String::new() } else { format!(" thread {}", task.tid) };
                format!("{}{thread} {}", task.tgid, who(task))
            }
            Holder::Fd(at)
            | Holder::InFlight(at)
            | Holder::IoUring(at)
            | Holder::DetachedMount(at)
            | Holder::Socket { at, .. }
            | Holder::Tun(at)
            | Holder::Cred(at)
            | Holder::SuperblockFile(at)
            | Holder::ProcfsFile(at)
            | Holder::Pidfd(at)
            | Holder::Other { at, .. } => {
                let thread = if at.tid == at.pid { String::new() } else { format!(" thread {}", at.tid) };
                let family = match holder {
                    Holder::Socket { family, .. } => format!(" ({})", family_name(*family)),
                    Holder::Other { what, .. } => format!(" ({what})"),
                    _ => String::new(),
                };
                let name = why.thread(*at).map(&mut who).unwrap_or_default();
                let place = at.place().map_or_else(|| format!("fd {}", at.fd), str::to_owned);
                format!("{place} of {}{thread}{family} {name}", at.pid)
            }
            Holder::Mount(mount) | Holder::Superblock(mount) | Holder::Procfs(mount) => {
                let path = mount.path.as_deref().map_or("?".to_owned(), |path| escaped(path.as_bytes()).to_string());
                let inside = mount.mnt_ns.map(|inum| format!(" in mnt:[{inum}]")).unwrap_or_default();
                format!("{path}{inside}{}", if mount.hidden { " (hidden under another mount)" } else { "" })
            }
            Holder::Child(child) | Holder::Owned(child) => why.name(*child).to_string(),
            Holder::Shm { pid, id } => format!("segment {id} attached in {pid}"),
        };
        say(format_args!("  {kind:<14} {}", text.trim_end()));
    }
    if let Some(end) = teardown(why.census, why.index) {
        say(format_args!("  freed when {}", conditions(&end)));
        let others: Vec<String> =
            end.freed.iter().filter(|&&at| at != why.index).map(|&at| why.name(at).to_string()).collect();
        if !others.is_empty() {
            say(format_args!("  with it {}", others.join(" ")));
        }
    }
    out
}

/// What has to happen, as a clause.
fn conditions(end: &Teardown) -> String {
    let mut parts = Vec::new();
    let numbers = |pids: &[u32]| pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match &end.exit[..] {
        [] => {}
        [one] => parts.push(format!("process {one} exits")),
        all => parts.push(format!("processes {} exit", numbers(all))),
    }
    parts.extend(end.close.iter().map(|at| format!("fd {} of {} closes", at.fd, at.pid)));
    parts.extend(end.unmount.iter().map(|mount| {
        let path = mount.path.as_deref().map_or("a mount".to_owned(), |path| escaped(path.as_bytes()).to_string());
        let inside = mount.mnt_ns.map(|inum| format!(" in mnt:[{inum}]")).unwrap_or_default();
        format!("{path}{inside} is unmounted")
    }));
    if end.unexplained > 0 {
        parts.push(format!("{} references that nobody could be named for are dropped", end.unexplained));
    }
    if parts.is_empty() { "what holds it, which was not found, is gone".to_owned() } else { parts.join(" and ") }
}

/// One holder in the JSON document; keys that do not apply are absent.
#[derive(Default, Serialize)]
struct JsonHolder<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mnt_ns: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<JsonName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shmid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonName {
    r#type: NsType,
    inum: u32,
    id: Option<Safe>,
}

fn json_name(name: NsName) -> JsonName {
    JsonName { r#type: name.ns_type, inum: name.inum, id: name.id.map(Safe) }
}

fn holder<'c>(why: Why<'c>, holder: &'c Holder) -> JsonHolder<'c> {
    let base = JsonHolder { kind: holder.kind().name(), ..JsonHolder::default() };
    let of_task = |task: &Task, base| JsonHolder {
        pid: Some(task.tgid),
        tid: Some(task.tid),
        comm: Some(task.comm.to_string_lossy().into_owned()),
        ..base
    };
    let of_file = |at: Descriptor, base| JsonHolder {
        pid: Some(at.pid),
        tid: Some(at.tid),
        comm: why.thread(at).map(|task| task.comm.to_string_lossy().into_owned()),
        fd: at.place().is_none().then_some(at.fd),
        place: at.place(),
        ..base
    };
    let of_mount = |mount: &'c MountHolder, base| JsonHolder {
        mnt_ns: Some(mount.mnt_ns),
        path: Some(mount.path.as_deref()),
        hidden: Some(mount.hidden),
        ..base
    };
    match holder {
        Holder::Task(task) | Holder::Thread(task) | Holder::Zombie(task) | Holder::Pending(task) => {
            of_task(why.task(*task), base)
        }
        Holder::Fd(at)
        | Holder::InFlight(at)
        | Holder::IoUring(at)
        | Holder::DetachedMount(at)
        | Holder::Tun(at)
        | Holder::Cred(at)
        | Holder::SuperblockFile(at)
        | Holder::ProcfsFile(at)
        | Holder::Pidfd(at) => of_file(*at, base),
        Holder::Socket { at, family } => JsonHolder { family: Some(family_name(*family)), ..of_file(*at, base) },
        Holder::Mount(mount) | Holder::Superblock(mount) | Holder::Procfs(mount) => of_mount(mount, base),
        Holder::Child(child) | Holder::Owned(child) => JsonHolder { ns: Some(json_name(why.name(*child))), ..base },
        Holder::Shm { pid, id } => JsonHolder { pid: Some(*pid), shmid: Some(*id), ..base },
        Holder::Other { at, what } => JsonHolder { what: Some(what), ..of_file(*at, base) },
    }
}

#[derive(Serialize)]
struct JsonTeardown<'a> {
    exit: &'a [u32],
    close: Vec<JsonDescriptor>,
    unmount: Vec<JsonMount<'a>>,
    freed: Vec<JsonName>,
    unexplained: u32,
}

#[derive(Serialize)]
struct JsonDescriptor {
    pid: u32,
    tid: u32,
    fd: u32,
}

#[derive(Serialize)]
struct JsonMount<'a> {
    mnt_ns: Option<u32>,
    path: Option<&'a str>,
    hidden: bool,
}

fn json_teardown<'a>(why: Why<'_>, end: &'a Teardown) -> JsonTeardown<'a> {
    JsonTeardown {
        exit: &end.exit,
        close: end.close.iter().map(|at| JsonDescriptor { pid: at.pid, tid: at.tid, fd: at.fd }).collect(),
        unmount: end
            .unmount
            .iter()
            .map(|mount| JsonMount { mnt_ns: mount.mnt_ns, path: mount.path.as_deref(), hidden: mount.hidden })
            .collect(),
        freed: end.freed.iter().map(|&at| json_name(why.name(at))).collect(),
        unexplained: end.unexplained,
    }
}

/// The document of `why -J`, its newline included.
pub fn json(why: &Why<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        boot_id: &'a str,
        complete: bool,
        missing: &'a [String],
        ns: JsonName,
        initial: bool,
        state: &'static str,
        owner: Option<JsonName>,
        parent: Option<JsonName>,
        refs: Option<u32>,
        holders: Vec<JsonHolder<'a>>,
        unexplained: Option<u32>,
        teardown: Option<JsonTeardown<'a>>,
    }
    let ns = why.ns();
    let missing = why.census.missing_of(why.index);
    let end = teardown(why.census, why.index);
    super::json::document(&Document {
        schema: schema::VERSION,
        boot_id: &why.census.boot_id,
        complete: missing.is_empty(),
        missing: &missing,
        ns: json_name(ns.name),
        initial: ns.initial,
        state: ns.state(),
        owner: ns.owner.map(|owner| json_name(why.name(owner))),
        parent: ns.parent.map(|parent| json_name(why.name(parent))),
        refs: ns.refs,
        holders: ns.holders.iter().map(|h| holder(*why, h)).collect(),
        unexplained: ns.unexplained(),
        teardown: end.as_ref().map(|end| json_teardown(*why, end)),
    })
}
