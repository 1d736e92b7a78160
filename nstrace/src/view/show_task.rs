//! `show` of one task as text.

use super::{
    escape::escaped,
    sections::{Sections, clean},
};
use crate::{
    inspect::{
        capability::{self, Standing},
        net::Link,
        nsproxy::Sharing,
        seen::Seen,
        side::Side,
        task::{CameFrom, NamedExtent, NsRef, Relation, SlotView, TaskReport},
    },
    view::{clone_flags, duration, errno, time},
};

/// Appends all sections. `now_ns`: CLOCK_BOOTTIME.
pub(super) fn write(task: &TaskReport, now_ns: u64, out: &mut Sections) {
    head(task, now_ns, out);
    namespaces(task, out);
    sides(task, out);
    ids(task, out);
    capabilities(task, out);
    security(task, out);
    cgroup(task, out);
}

pub(super) fn seen<T>(value: &Seen<T>, show: impl FnOnce(&T) -> String) -> String {
    match value {
        Seen::Is(value) => show(value),
        Seen::Absent => "-".to_owned(),
        Seen::Unreadable(error) => format!("unreadable ({})", errno::name(error.raw_os_error())),
    }
}

pub(super) fn id_of(ns: &NsRef) -> String {
    ns.0.id.map_or_else(|| "-".to_owned(), |id| id.to_string())
}

fn head(task: &TaskReport, now_ns: u64, out: &mut Sections) {
    let what = if task.tid == task.pid { "process".to_owned() } else { format!("thread {} of process", task.tid) };
    out.heading(&format!("{what} {} ({})", task.pid, clean(&task.comm)));
    out.explain(&format!("ps -o pid,ppid,stat,nlwp,etime,args -p {}", task.pid));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    let words = |words: &Vec<String>| words.iter().map(|word| clean(word)).collect::<Vec<_>>().join(" ");
    row("command", seen(&task.command, |command| if command.is_empty() { "-".to_owned() } else { words(command) }));
    let parent = task.parent_comm.as_deref().map(|comm| format!(" ({})", clean(comm))).unwrap_or_default();
    row("parent", format!("{}{parent}", task.ppid));
    let age = now_ns.saturating_sub(task.started_boot_ns.0);
    row("state", format!("{}, {} thread(s), started {} ago", task.state, task.threads, duration::human(age)));
    if let Some(tracer) = task.tracer {
        row("traced by", tracer.to_string());
    }
    for (depth, container) in task.containers.iter().enumerate() {
        let mut text = clean(&container.to_string());
        for (what, value) in [("image", &container.image), ("pod", &container.pod), ("in", &container.pod_namespace)] {
            if let Some(value) = value {
                text.push_str(&format!(", {what} {}", clean(value)));
            }
        }
        row(if depth == 0 { "container" } else { "inside it" }, text);
    }
    let level = |at: &crate::inspect::task::PidAt| match &at.ns {
        Some(ns) => format!("{} in {}", at.pid, ns.0),
        None => at.pid.to_string(),
    };
    row("pids", task.pids.iter().map(level).collect::<Vec<_>>().join(", "));
    out.table(&rows);
}

fn namespaces(task: &TaskReport, out: &mut Sections) {
    out.heading("NAMESPACES");
    out.explain(&format!("ls -l /proc/{0}/ns; lsns -p {0}", task.tid));
    let heading = ["SLOT", "NAMESPACE", "NSID", "IS", "SHARED WITH", "OWNER", "CAME FROM"];
    let told = task.namespaces.iter().any(|slot| slot.came_from.is_some());
    // Without a recording or a running watch nobody knows.
    let columns = if told { heading.len() } else { heading.len() - 1 };
    let mut rows = vec![heading[..columns].iter().map(|&name| name.to_owned()).collect::<Vec<_>>()];
    for slot in &task.namespaces {
        let mut row = vec![
            slot.slot.to_owned(),
            seen(&slot.ns, |ns| ns.0.to_string()),
            slot.ns.known().map_or_else(|| "-".to_owned(), id_of),
            relation(slot).to_owned(),
            slot.shared_with.map_or_else(|| "-".to_owned(), processes),
            seen(&slot.owner, |owner| owner.0.to_string()),
            slot.came_from.as_ref().map_or_else(|| "-".to_owned(), came_from),
        ];
        row.truncate(columns);
        rows.push(row);
    }
    out.table(&rows);
    if let Some(count) = task.same_namespaces {
        out.line(&format!("  the same in all slots but user and pid: {}", processes(count)));
    }
    match task.nsproxy {
        Some(Sharing { threads: 1, .. }) => out.line("  it shares its nsproxy with nobody"),
        Some(Sharing { threads, processes: n }) => {
            out.line(&format!("  one nsproxy is shared by {threads} threads of {}, this one included", processes(n)));
        }
        None => {}
    }
}

/// `unshare(CLONE_NEWNET) by 299 (runc), 2025-11-21T20:35:12Z`.
fn came_from(came: &CameFrom) -> String {
    let flags = clone_flags::namespace_names(came.cause.via, came.cause.flags);
    let flags = if flags.is_empty() { String::new() } else { format!("({})", flags.join("|")) };
    let by = came.by.as_ref().map(|(pid, comm)| format!(" by {pid} ({})", clean(comm))).unwrap_or_default();
    format!("{}{flags}{by}, {}", came.cause.via.name(), time::rfc3339(came.utc_ns))
}

pub(super) fn processes(count: usize) -> String {
    match count {
        0 => "nobody".to_owned(),
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    }
}

fn relation(slot: &SlotView) -> &'static str {
    match slot.relation {
        Some(Relation::Host) => "= host",
        Some(Relation::Parent) => "= parent",
        Some(Relation::Itself) => "= its own slot",
        Some(Relation::Own) => "own",
        None => "-",
    }
}

fn sides(task: &TaskReport, out: &mut Sections) {
    out.heading("THE SAME FROM BOTH SIDES");
    out.explain(&format!("nsenter -t {} -a sh -c 'hostname; ip -br addr; id; wc -l < /proc/self/mountinfo'", task.tid));
    let (host, inside) = (&task.host, &task.inside);
    let mut rows = vec![["", "HOST", "NAMESPACE"].map(str::to_owned).to_vec()];
    let mut row =
        |name: &str, show: &dyn Fn(&Side) -> String| rows.push(vec![name.to_owned(), show(host), show(inside)]);
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    row("pid", &|side| number(side.pid));
    row("hostname", &|side| seen(&side.hostname, |name| clean(name)));
    if host.domainname != Seen::Absent || inside.domainname != Seen::Absent {
        row("domainname", &|side| seen(&side.domainname, |name| clean(name)));
    }
    row("uid", &|side| side.uid.map_or_else(|| "none (65534)".to_owned(), |uid| uid.to_string()));
    row("gid", &|side| side.gid.map_or_else(|| "none (65534)".to_owned(), |gid| gid.to_string()));
    row("mounts", &|side| seen(&side.mounts, u64::to_string));
    row("root", &|side| seen(&side.root, |root| clean(root)));
    row("interfaces", &|side| seen(&side.interfaces, |links| names(links)));
    if inside.boottime_offset_ns.known().is_some_and(|&offset| offset != 0) {
        row("boot time", &|side| seen(&side.boottime_offset_ns, |&ns| format!("{:+}s", ns / 1_000_000_000)));
    }
    out.table(&rows);
    let differ = host.interfaces != inside.interfaces;
    for link in inside.interfaces.known().into_iter().flatten().filter(|_| differ) {
        out.line(&format!("  {}", interface(link)));
    }
}

fn names(links: &[Link]) -> String {
    const MOST: usize = 6;
    let mut text = links.iter().take(MOST).map(|link| clean(&link.name)).collect::<Vec<_>>().join(" ");
    if links.len() > MOST {
        text.push_str(&format!(" and {} more", links.len() - MOST));
    }
    if links.is_empty() { "-".to_owned() } else { text }
}

/// `eth0@7 veth up 10.0.0.2/24`.
pub(super) fn interface(link: &Link) -> String {
    let peer = link.peer.map(|index| format!("@if{index}")).unwrap_or_default();
    let kind = link.kind.as_deref().unwrap_or(if link.loopback { "loopback" } else { "device" });
    let state = if link.up { "up" } else { "down" };
    let addresses = link.addresses.join(" ");
    format!("{}: {}{peer} {} {state} {addresses}", link.index, clean(&link.name), clean(kind)).trim_end().to_owned()
}

fn ids(task: &TaskReport, out: &mut Sections) {
    out.heading("IDS");
    out.explain(&format!(
        "grep -E '^(Uid|Gid|Groups):' /proc/{0}/status; cat /proc/{0}/uid_map /proc/{0}/gid_map",
        task.tid
    ));
    let four = |[real, effective, saved, fs]: [u32; 4]| {
        if [real, saved, fs].iter().all(|&id| id == effective) {
            effective.to_string()
        } else {
            format!("real {real}, effective {effective}, saved {saved}, file system {fs}")
        }
    };
    let user = task.user.as_deref().map(|name| format!(" ({})", clean(name))).unwrap_or_default();
    let mut rows =
        vec![vec!["uid".to_owned(), format!("{}{user}", four(task.uid))], vec!["gid".to_owned(), four(task.gid)]];
    if !task.groups.is_empty() {
        let groups = task.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        rows.push(vec!["groups".to_owned(), groups]);
    }
    for (name, map) in [("uid_map", &task.uid_map), ("gid_map", &task.gid_map)] {
        match map {
            Seen::Is(extents) if extents.is_empty() => {
                rows.push(vec![name.to_owned(), "not written yet: all ids are 65534".to_owned()]);
            }
            Seen::Is(extents) => rows.extend(extents.iter().map(|e| vec![name.to_owned(), extent(e)])),
            other => rows.push(vec![name.to_owned(), seen(other, |_| String::new())]),
        }
    }
    out.table(&rows);
}

/// `root(0) = alice(1000) on host`, `1..65536 = 100000..165535 on host`.
pub(super) fn extent(named: &NamedExtent) -> String {
    let e = named.extent;
    if (e.inside, e.outside, e.count) == (0, 0, u32::MAX) {
        return "all ids are the host's".to_owned();
    }
    let one = |name: &Option<String>, id: u32| match name {
        Some(name) => format!("{}({id})", escaped(name.as_bytes())),
        None => id.to_string(),
    };
    let last = |first: u32| first.saturating_add(e.count.saturating_sub(1));
    if e.count == 1 {
        return format!("{} = {} on host", one(&named.inside_name, e.inside), one(&named.outside_name, e.outside));
    }
    let range = |name: &Option<String>, id: u32| format!("{}..{}", one(name, id), last(id));
    format!("{} = {} on host", range(&named.inside_name, e.inside), range(&named.outside_name, e.outside))
}

fn capabilities(task: &TaskReport, out: &mut Sections) {
    out.heading("CAPABILITIES");
    out.explain(&format!("capsh --decode=$(awk '/^CapEff/{{print $2}}' /proc/{0}/status); getpcaps {0}", task.tid));
    let caps = &task.capabilities;
    let set = |bits: u64, names: &[String]| match bits {
        0 => "none".to_owned(),
        bits if capability::is_full(bits, caps.full) => format!("all {}", names.len()),
        bits if caps.full & !bits != 0 && (caps.full & !bits).count_ones() <= 8 => {
            format!("all {} but {}", names.len(), capability::names(caps.full & !bits).join(" ").to_lowercase())
        }
        _ => names.join(" ").to_lowercase(),
    };
    out.table(&[
        vec!["effective".to_owned(), set(caps.sets.effective, &caps.effective)],
        vec!["permitted".to_owned(), set(caps.sets.permitted, &caps.permitted)],
        vec!["inheritable".to_owned(), set(caps.sets.inheritable, &caps.inheritable)],
        vec!["bounding".to_owned(), set(caps.sets.bounding, &caps.bounding)],
        vec!["ambient".to_owned(), set(caps.sets.ambient, &caps.ambient)],
    ]);
    let mut rows = Vec::new();
    for over in &caps.over {
        let owns = over.owns.iter().map(|t| t.name()).collect::<Vec<_>>().join(" ");
        let what = match (over.initial, owns.is_empty()) {
            (true, true) => "the host itself".to_owned(),
            (true, false) => format!("the host itself and its {owns}"),
            (false, true) => "owns none of its namespaces".to_owned(),
            (false, false) => format!("owns its {owns}"),
        };
        let verdict = match over.standing {
            Standing::Effective if caps.sets.effective == 0 => "no capability".to_owned(),
            Standing::Effective => format!("the effective set counts: {}", set(caps.sets.effective, &caps.effective)),
            Standing::All => "all capabilities: its user made it".to_owned(),
            Standing::None => "no capability counts here".to_owned(),
            Standing::Unknown => "cannot be told from here".to_owned(),
        };
        rows.push(vec![format!("over {}", over.user.0), what, verdict]);
    }
    out.table(&rows);
}

fn security(task: &TaskReport, out: &mut Sections) {
    out.heading("SECURITY");
    out.explain(&format!("grep -E '^(NoNewPrivs|Seccomp)' /proc/{0}/status; cat /proc/{0}/attr/current", task.tid));
    let security = &task.security;
    let filters = match security.seccomp_filters {
        Some(n) if n > 0 => format!(", {n} filter(s)"),
        _ => String::new(),
    };
    let flag = |flag: Option<bool>| flag.map_or("-", |set| if set { "yes" } else { "no" }).to_owned();
    out.table(&[
        vec!["seccomp".to_owned(), format!("{}{filters}", security.seccomp.unwrap_or("-"))],
        vec!["no_new_privs".to_owned(), flag(security.no_new_privs)],
        vec!["LSM label".to_owned(), seen(&security.lsm, |label| clean(label))],
    ]);
}

fn cgroup(task: &TaskReport, out: &mut Sections) {
    out.heading("CGROUP");
    out.explain(&format!("cat /proc/{0}/cgroup; systemd-cgls", task.tid));
    let mut rows = vec![vec!["path".to_owned(), seen(&task.cgroup, |cgroup| clean(&cgroup.path))]];
    if let Seen::Is(cgroup) = &task.cgroup {
        for limit in &cgroup.limits {
            let at = if limit.at == cgroup.path { String::new() } else { format!(", set at {}", clean(&limit.at)) };
            rows.push(vec![limit.name.to_owned(), format!("{}{at}", amount(limit.name, &limit.value))]);
        }
        for usage in &cgroup.usage {
            rows.push(vec![usage.name.to_owned(), amount(usage.name, &usage.value)]);
        }
        if cgroup.limits.is_empty() {
            rows.push(vec!["limits".to_owned(), "none".to_owned()]);
        }
    }
    out.table(&rows);
}

/// Bytes with a unit, `cpu.max` as CPUs.
fn amount(file: &str, value: &str) -> String {
    let number = value.parse::<u64>();
    if file.starts_with("memory")
        && let Ok(bytes) = number
    {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if bytes >= 1 << shift {
                return format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64);
            }
        }
        return format!("{bytes} B");
    }
    let mut words = value.split(' ').map(str::parse::<f64>);
    if file == "cpu.max"
        && let (Some(Ok(quota)), Some(Ok(period))) = (words.next(), words.next())
        && period > 0.0
    {
        return format!("{:.2} CPUs", quota / period);
    }
    clean(value)
}
