//! `map` of pids, users and mounts as text: trees and tables. Trees are made of `|-` and `` `- ``, so that any terminal shows them.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};

use super::{
    sections::{Look, Sections, clean},
    show_task::seen,
};
use crate::{
    engine::Named,
    map::{
        mnt::{MntMap, MntNs},
        mount_table::Mount,
        pid::{PidMap, PidNode, Translation},
        user::{UserMap, UserNsRow},
    },
    ns::NsType,
};

const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const DIM: Style = Style::new().dimmed();

fn named(containers: &[Named]) -> String {
    containers.iter().map(|container| clean(&container.to_string())).collect::<Vec<_>>().join(", ")
}

/// Calls `line` with the indentation of each node, depth first.
fn tree(roots: &[usize], children: &BTreeMap<usize, Vec<usize>>, mut line: impl FnMut(usize, &str)) {
    // (node, prefix of its children, its own prefix)
    let mut next: Vec<(usize, String, String)> =
        roots.iter().rev().map(|&root| (root, String::new(), String::new())).collect();
    while let Some((node, below, own)) = next.pop() {
        line(node, &own);
        let list = children.get(&node).map(Vec::as_slice).unwrap_or_default();
        for (n, &child) in list.iter().enumerate().rev() {
            let (branch, bar) = if n + 1 == list.len() { ("`- ", "   ") } else { ("|- ", "|  ") };
            next.push((child, format!("{below}{bar}"), format!("{below}{branch}")));
        }
    }
}

/// `map pid`. `all`: kernel threads too.
pub fn pid(map: &PidMap, all: bool, look: Look) -> String {
    let mut out = Sections::new(look);
    out.heading("PID NAMESPACES");
    out.explain("lsns -t pid -T");
    let mut rows =
        vec![["NAMESPACE", "PARENT", "LEVEL", "NPROCS", "ZOMBIES", "INIT", "CONTAINER"].map(str::to_owned).to_vec()];
    for row in &map.namespaces {
        rows.push(vec![
            row.ns.0.to_string(),
            row.parent.map_or_else(|| "-".to_owned(), |parent| format!("pid:[{parent}]")),
            row.level.to_string(),
            row.processes.to_string(),
            row.zombies.to_string(),
            row.init.as_ref().map_or_else(|| "-".to_owned(), |init| format!("{} ({})", init.pid, clean(&init.comm))),
            named(&row.containers),
        ]);
    }
    out.table(&rows);
    for row in map.namespaces.iter().filter(|row| row.level > 0) {
        let Some(init) = &row.init else { continue };
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(" ") };
        out.line(&format!("  init of {} handles {}", row.ns.0, list(&init.handles)));
        if !init.deaf_to.is_empty() {
            let text =
                format!("    it ignores {} (no handler); SIGKILL and SIGSTOP only from above", init.deaf_to.join(" "));
            out.line(&text);
        }
        if !init.blocked.is_empty() {
            out.line(&format!("    it blocks {}", init.blocked.join(" ")));
        }
    }
    out.heading("PROCESSES");
    out.explain("ps -eo pid,ppid,stat,args --forest; grep NSpid /proc/PID/status");
    processes(map, all, &mut out);
    out.finish()
}

fn processes(map: &PidMap, all: bool, out: &mut Sections) {
    let shown: Vec<&PidNode> = map.processes.iter().filter(|p| all || !p.kernel_thread).collect();
    let at: BTreeMap<u32, usize> = shown.iter().enumerate().map(|(n, p)| (p.pid, n)).collect();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (n, process) in shown.iter().enumerate() {
        match at.get(&process.ppid).filter(|&&parent| parent != n) {
            Some(&parent) => children.entry(parent).or_default().push(n),
            None => roots.push(n),
        }
    }
    let mut rows = vec![["PID", "INSIDE", "STAT", "PROCESS"].map(str::to_owned).to_vec()];
    tree(&roots, &children, |n, prefix| {
        let process = shown[n];
        let parent = map.processes.binary_search_by_key(&process.ppid, |p| p.pid).ok().map(|at| &map.processes[at]);
        let mut marks = Vec::new();
        if process.zombie {
            marks.push("zombie: its parent has not waited for it".to_owned());
        }
        if process.subreaper == Some(true) {
            marks.push("subreaper".to_owned());
        }
        if process.init && process.pids.len() > 1 {
            marks.push(format!("init of pid:[{}]", process.ns.unwrap_or(0)));
        } else if let (Some(ns), Some(parent)) = (process.ns, parent)
            && parent.ns.is_some_and(|other| other != ns)
        {
            marks.push(format!("in pid:[{ns}]"));
        }
        if let Some(container) = &process.container
            && parent.is_none_or(|parent| parent.container.as_ref().is_none_or(|other| other.id != container.id))
        {
            marks.push(clean(&container.to_string()));
        }
        let marks = if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join("; ")) };
        let inside = process.pids.iter().skip(1).map(u32::to_string).collect::<Vec<_>>().join(" ");
        let marks = out.paint(if process.zombie { RED } else { DIM }, &marks);
        let line = format!("{prefix}{}{marks}", clean(&process.comm));
        rows.push(vec![process.pid.to_string(), inside, process.state.to_string(), line]);
    });
    out.table(&rows);
    let hidden = map.processes.len() - shown.len();
    if hidden > 0 {
        out.line(&format!("  {hidden} kernel threads are not listed: -a lists them"));
    }
}

/// `map pid N@WHERE` and `map pid N`.
pub fn translation(found: &Translation, look: Look) -> String {
    let mut out = Sections::new(look);
    let container =
        found.container.as_ref().map(|c| format!(", container {}", clean(&c.to_string()))).unwrap_or_default();
    out.heading(&format!("process {} ({}){container}", found.pid, clean(&found.comm)));
    out.explain(&format!("grep NSpid /proc/{}/status", found.pid));
    let mut rows = vec![["LEVEL", "PID", "NAMESPACE"].map(str::to_owned).to_vec()];
    for (level, at) in found.levels.iter().enumerate() {
        let ns = at.ns.map_or_else(|| "-".to_owned(), |ns| ns.0.to_string());
        rows.push(vec![level.to_string(), at.pid.to_string(), ns]);
    }
    out.table(&rows);
    out.finish()
}

/// `map user`.
pub fn user(map: &UserMap, look: Look) -> String {
    let mut out = Sections::new(look);
    out.heading("USER NAMESPACES");
    out.explain("lsns -t user -T; cat /proc/PID/uid_map");
    let at: BTreeMap<u32, usize> = map.namespaces.iter().enumerate().map(|(n, row)| (row.ns.0.inum, n)).collect();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (n, row) in map.namespaces.iter().enumerate() {
        match row.parent.and_then(|parent| at.get(&parent)) {
            Some(&parent) => children.entry(parent).or_default().push(n),
            None => roots.push(n),
        }
    }
    tree(&roots, &children, |n, prefix| user_row(&map.namespaces[n], prefix, &mut out));
    out.finish()
}

fn user_row(row: &UserNsRow, prefix: &str, out: &mut Sections) {
    let mut marks = Vec::new();
    if row.initial {
        marks.push("initial".to_owned());
    }
    if row.rootless {
        marks.push("rootless".to_owned());
    }
    if row.maps_host_root {
        marks.push("root of the host is mapped".to_owned());
    }
    let owner = match (&row.owner, row.owner_uid) {
        (Some(name), Some(uid)) => format!(", made by {}({uid})", clean(name)),
        (None, Some(uid)) => format!(", made by uid {uid}"),
        _ => String::new(),
    };
    if !row.containers.is_empty() {
        marks.push(named(&row.containers));
    }
    let marks = if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join("; ")) };
    let owner = if row.initial { String::new() } else { owner };
    out.line(&format!("  {prefix}{}{owner}, {} process(es){marks}", row.ns.0, row.processes));
    let below = prefix.replace("|- ", "|  ").replace("`- ", "   ");
    for (name, map) in [("uid", &row.uid_map), ("gid", &row.gid_map)] {
        let text = seen(map, |map| match map.0.as_slice() {
            [] => "not written yet".to_owned(),
            _ if map.is_identity() => "all are the host's".to_owned(),
            extents => {
                let one = |e: &crate::inspect::idmap::Extent| format!("{} = {} ({})", e.inside, e.outside, e.count);
                extents.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        });
        if text != "-" {
            out.line(&format!("  {below}     {name}s {text}"));
        }
    }
    let mut by_type: BTreeMap<NsType, Vec<String>> = BTreeMap::new();
    for ns in &row.owns {
        by_type.entry(ns.0.ns_type).or_default().push(ns.0.inum.to_string());
    }
    for (ns_type, list) in by_type {
        out.line(&format!("  {below}     owns {ns_type}: {}", list.join(" ")));
    }
}

/// `map mnt`.
pub fn mnt(map: &MntMap, look: Look) -> String {
    let mut out = Sections::new(look);
    for row in &map.namespaces {
        mnt_row(row, &mut out);
    }
    if !map.groups.is_empty() {
        out.heading("PROPAGATION");
        out.explain("findmnt -o TARGET,PROPAGATION; cat /proc/PID/mountinfo");
        for group in &map.groups {
            let list = |peers: &[crate::map::mnt::Peer]| {
                peers.iter().map(|p| format!("{} in mnt:[{}]", clean(&p.point), p.mnt_ns)).collect::<Vec<_>>()
            };
            let (peers, slaves) = (list(&group.peers), list(&group.slaves));
            let peers = if peers.is_empty() { "nobody that is seen".to_owned() } else { peers.join(" <-> ") };
            out.line(&format!("  group {}: {peers}", group.group));
            for slave in slaves {
                out.line(&format!("    --> {slave}"));
            }
        }
    }
    out.finish()
}

fn mnt_row(row: &MntNs, out: &mut Sections) {
    let mut marks = Vec::new();
    if row.initial {
        marks.push("initial".to_owned());
    }
    if row.pivoted {
        marks.push("root pivoted".to_owned());
    }
    if let Some(root) = &row.chroot {
        marks.push(format!("seen from chroot {}", clean(root)));
    }
    if !row.containers.is_empty() {
        marks.push(named(&row.containers));
    }
    let marks = if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join("; ")) };
    let who = match (row.pid, &row.comm) {
        (Some(pid), Some(comm)) => format!(", seen by {pid} ({})", clean(comm)),
        _ => ", no process: entered".to_owned(),
    };
    out.heading(&format!("{}, {} process(es), {} mounts{who}{marks}", row.ns.0, row.processes, row.mounts.len()));
    if let Some(pid) = row.pid {
        out.explain(&format!("findmnt -N {pid}"));
    }
    let at: BTreeMap<i32, usize> = row.mounts.iter().enumerate().map(|(n, mount)| (mount.id, n)).collect();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (n, mount) in row.mounts.iter().enumerate() {
        match at.get(&mount.parent).filter(|&&parent| parent != n) {
            Some(&parent) => children.entry(parent).or_default().push(n),
            None => roots.push(n),
        }
    }
    let mut rows = Vec::new();
    tree(&roots, &children, |n, prefix| rows.push(mount_cells(&row.mounts[n], prefix, row.initial, out)));
    out.table(&rows);
}

fn mount_cells(mount: &Mount, prefix: &str, initial: bool, out: &Sections) -> Vec<String> {
    let mut what = clean(&mount.fstype);
    if mount.root != "/" {
        what.push_str(&format!(" {}", clean(&mount.root)));
    } else if let Some(source) = mount.source.as_ref().filter(|source| **source != mount.fstype && *source != "none") {
        what.push_str(&format!(" {}", clean(source)));
    }
    let mut marks = vec![if mount.read_only { "ro" } else { "rw" }.to_owned()];
    marks.extend(mount.shared.map(|group| format!("<->{group}")));
    marks.extend(mount.master.map(|group| format!("<--{group}")));
    marks.extend(mount.propagate_from.map(|group| format!("from {group}")));
    if mount.unbindable {
        marks.push("unbindable".to_owned());
    }
    if mount.overmounted {
        marks.push("overmounted".to_owned());
    }
    if mount.hidden {
        marks.push("hidden".to_owned());
    }
    let mut marks = marks.join(" ");
    if let Some(path) = mount.host_path.as_ref().filter(|_| !initial && mount.sensitive.is_some()) {
        marks.push_str(&format!(" host {}", clean(path)));
    }
    if let Some(why) = mount.sensitive {
        marks.push_str(&out.paint(RED, &format!(" ! {why}")));
    }
    vec![format!("{prefix}{}", clean(&mount.point)), what, marks]
}
