//! `nstrace why`: the holders of one namespace, as text. Pure.

use std::fmt::Write as _;

use rustix::io::Errno;

use super::{errno, escape::escaped};
use crate::{
    census::{
        Census, Descriptor, Holder, Namespace, NsIndex, Task, TaskIndex,
        teardown::{Teardown, teardown},
    },
    inspect::{
        net::fate::{Device, Fate},
        seen::Seen,
    },
    ns::{NsName, NsType},
};

/// One namespace of a census.
#[derive(Clone, Copy, Debug)]
pub struct Why<'c> {
    pub census: &'c Census,
    pub index: NsIndex,
    /// None: it is initial, nothing frees it.
    pub end: Option<&'c Ending>,
}

/// What has to end and what goes then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub teardown: Teardown,
    /// Of each network namespace that is freed.
    pub devices: Vec<(NsIndex, Seen<Vec<Device>>)>,
}

impl Ending {
    /// Of the namespace at `index`; `devices` looks into a network namespace. None: it is initial.
    pub fn of(census: &Census, index: NsIndex, mut devices: impl FnMut(NsIndex) -> Seen<Vec<Device>>) -> Option<Self> {
        let teardown = teardown(census, index)?;
        let is_net = |at: &NsIndex| census.namespace(*at).name.ns_type == NsType::Net;
        let devices = teardown.freed.iter().copied().filter(is_net).map(|at| (at, devices(at))).collect();
        Some(Self { teardown, devices })
    }

    /// What stayed unseen, one phrase each.
    pub fn missing(&self, census: &Census) -> Vec<String> {
        let unseen = self.devices.iter().filter_map(|(at, devices)| match devices {
            Seen::Unreadable(error) => Some((census.namespace(*at).name, error)),
            _ => None,
        });
        let phrase = |(ns, error): (NsName, &Errno)| {
            let remedy = match *error {
                Errno::STALE => "it changed meanwhile: run it again",
                Errno::OPNOTSUPP => {
                    "no holder of it can be entered through, and only 6.18 and newer open one by its id"
                }
                _ => "run as root",
            };
            format!("the network devices of {ns} ({}): {remedy}", errno::name(error.raw_os_error()))
        };
        unseen.map(phrase).collect()
    }
}

impl<'c> Why<'c> {
    pub(super) fn ns(self) -> &'c Namespace {
        self.census.namespace(self.index)
    }

    pub(super) fn task(self, index: TaskIndex) -> &'c Task {
        self.census.task(index)
    }

    pub(super) fn name(self, index: NsIndex) -> NsName {
        self.census.namespace(index).name
    }

    /// The thread behind a descriptor, as far as it was seen.
    pub(super) fn thread(self, at: Descriptor) -> Option<&'c Task> {
        self.census.threads(at.pid).iter().find(|task| task.tid == at.tid)
    }
}

/// Address families (include/linux/socket.h) that people know by name.
pub(super) fn family_name(family: u16) -> &'static str {
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

/// `1 nsproxy`, `4 namespaces below`; structures of the kernel have no plural.
fn counted(n: u32, what: &str) -> String {
    match what.strip_prefix("namespace") {
        Some(rest) if n != 1 => format!("{n} namespaces{rest}"),
        _ => format!("{n} {what}"),
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
            let lines: Vec<String> = ns.accounts.lines().iter().map(|&(what, n)| counted(n, what)).collect();
            let known = if lines.is_empty() { "nothing known".to_owned() } else { lines.join(", ") };
            let s = |n: u32| if n == 1 { "" } else { "s" };
            let rest = if rest == 0 {
                "all explained".to_owned()
            } else {
                format!("unexplained: {rest} reference{}", s(rest))
            };
            say(format_args!("  {refs} reference{}: {known}; {rest}", s(refs)));
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
            | Holder::Other { at: Some(at), .. } => {
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
            Holder::Other { at: None, what } => (*what).to_owned(),
            Holder::Shm { pid, id } => format!("segment {id} attached in {pid}"),
        };
        say(format_args!("  {kind:<14} {}", text.trim_end()));
    }
    if let Some(Ending { teardown: end, devices }) = why.end {
        let when = conditions(end);
        match end.unexplained {
            Some(_) => say(format_args!("  freed when {when}")),
            None => say(format_args!("  freed at the earliest when {when}: its references were not counted")),
        }
        let others: Vec<String> =
            end.freed.iter().filter(|&&at| at != why.index).map(|&at| why.name(at).to_string()).collect();
        if !others.is_empty() {
            say(format_args!("  with it {}", others.join(" ")));
        }
        for (at, devices) in devices {
            let whose = if *at == why.index { "it".to_owned() } else { why.name(*at).to_string() };
            match devices {
                Seen::Is(devices) => {
                    if let Some(line) = fates(devices, *at, why) {
                        say(format_args!("  with {whose} {line}"));
                    }
                }
                Seen::Absent => {}
                Seen::Unreadable(error) => {
                    let error = errno::name(error.raw_os_error());
                    say(format_args!("  with {whose} its network devices, which could not be looked at ({error})"));
                }
            }
        }
    }
    out
}

/// `die eth0 (veth, peer vethA in net:[4026531840]), wg0 (wireguard); eth1 returns to the initial namespace`. None: there is
/// no device.
fn fates(devices: &[Device], at: NsIndex, why: &Why<'_>) -> Option<String> {
    /// More devices are counted only.
    const MOST: usize = 12;
    let clean = |name: &str| escaped(name.as_bytes()).to_string();
    let own = why.name(at).inum;
    let die = |device: &Device| {
        let mut words: Vec<String> = device.kind.as_deref().map(clean).into_iter().collect();
        words.extend(device.peer.as_ref().map(|peer| match peer.ns {
            Some(ns) if ns != own => format!("peer {} in net:[{ns}]", clean(&peer.name)),
            _ => format!("peer {}", clean(&peer.name)),
        }));
        if words.is_empty() { clean(&device.name) } else { format!("{} ({})", clean(&device.name), words.join(", ")) }
    };
    let list = |fate: Fate, word: &dyn Fn(&Device) -> String| {
        let all: Vec<&Device> = devices.iter().filter(|device| device.fate == fate).collect();
        let mut names: Vec<String> = all.iter().take(MOST).map(|device| word(device)).collect();
        if all.len() > MOST {
            names.push(format!("{} more", all.len() - MOST));
        }
        (all.len(), names.join(", "))
    };
    let (dying, death) = list(Fate::Dies, &die);
    let (returning, home) = list(Fate::Returns, &|device| clean(&device.name));
    let mut parts = Vec::new();
    if dying > 0 {
        parts.push(format!("{} {death}", if dying == 1 { "dies" } else { "die" }));
    }
    if returning > 0 {
        parts.push(format!("{home} {} to the initial namespace", if returning == 1 { "returns" } else { "return" }));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What has to happen, as a clause.
fn conditions(end: &Teardown) -> String {
    /// More of a kind are counted only.
    const MOST: usize = 24;
    let list = |mut words: Vec<String>| {
        if words.len() > MOST {
            let rest = words.split_off(MOST).len();
            words.push(format!("{rest} more"));
        }
        words.join(", ")
    };
    let numbers = |numbers: &[u32]| list(numbers.iter().map(u32::to_string).collect());
    let mut parts = Vec::new();
    match &end.exit[..] {
        [] => {}
        [one] => parts.push(format!("process {one} exits")),
        all => parts.push(format!("processes {} exit", numbers(all))),
    }
    for table in end.close.chunk_by(|a, b| (a.pid, a.tid) == (b.pid, b.tid)) {
        let at = table[0];
        let thread = if at.tid == at.pid { String::new() } else { format!(" thread {}", at.tid) };
        let fds: Vec<u32> = table.iter().map(|at| at.fd).collect();
        parts.push(match &fds[..] {
            [fd] => format!("fd {fd} of {}{thread} closes", at.pid),
            all => format!("fds {} of {}{thread} close", numbers(all), at.pid),
        });
    }
    let mounts = end.unmount.iter().map(|mount| {
        let path = mount.path.as_deref().map_or("a mount".to_owned(), |path| escaped(path.as_bytes()).to_string());
        let inside = mount.mnt_ns.map(|inum| format!(" in mnt:[{inum}]")).unwrap_or_default();
        format!("{path}{inside}")
    });
    match mounts.collect::<Vec<_>>() {
        none if none.is_empty() => {}
        one if one.len() == 1 => parts.push(format!("{} is unmounted", list(one))),
        all => parts.push(format!("{} are unmounted", list(all))),
    }
    match end.unexplained {
        None | Some(0) => {}
        Some(1) => parts.push("a reference that nobody could be named for is dropped".to_owned()),
        Some(n) => parts.push(format!("{n} references that nobody could be named for are dropped")),
    }
    if parts.is_empty() { "what holds it, which was not found, is gone".to_owned() } else { parts.join(" and ") }
}
