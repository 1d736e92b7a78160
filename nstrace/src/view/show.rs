//! `show`: a task, a container or a namespace, as text and as a JSON document.

use serde::Serialize;

use super::{
    document,
    sections::{Look, Sections, clean},
    show_task::{self, id_of, interface, seen},
};
use crate::{
    inspect::{
        container::ContainerReport,
        namespace::{HeldBy, Inside, Member, NamespaceReport},
        seen::Seen,
        task::{NsRef, TaskReport},
    },
    ns::NsType,
};

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Show {
    /// The target as it was asked for.
    pub target: String,
    /// `task`, `container` or `namespace`.
    pub kind: &'static str,
    /// The task; of a container its init.
    pub task: Option<TaskReport>,
    pub container: Option<ContainerReport>,
    pub namespace: Option<NamespaceReport>,
}

impl Show {
    /// What stayed unseen, one phrase each.
    pub fn missing(&self) -> Vec<String> {
        let task = self.task.iter().flat_map(TaskReport::missing);
        task.chain(self.namespace.iter().flat_map(NamespaceReport::missing)).collect()
    }

    /// One document.
    pub fn json(&self, missing: &[String]) -> String {
        document::json(self, missing)
    }

    /// `now_ns`: CLOCK_BOOTTIME.
    pub fn text(&self, look: Look, now_ns: u64) -> String {
        let mut out = Sections::new(look);
        if let Some(container) = &self.container {
            write_container(container, &mut out);
        }
        if let Some(task) = &self.task {
            show_task::write(task, now_ns, &mut out);
        }
        if let Some(namespace) = &self.namespace {
            write_namespace(namespace, &mut out);
        }
        out.finish()
    }
}

fn write_container(report: &ContainerReport, out: &mut Sections) {
    let container = &report.container;
    out.heading(&format!("container {}", clean(&container.to_string())));
    if matches!(container.runtime.as_str(), "docker" | "podman") {
        out.explain(&format!("{0} inspect {1}; {0} top {1}", container.runtime, clean(&container.id)));
    }
    let mut rows = vec![vec!["id".to_owned(), clean(&container.id)]];
    for (name, value) in [
        ("image", &container.image),
        ("pod", &container.pod),
        ("pod namespace", &container.pod_namespace),
        ("state", &container.state),
        ("network", &container.network),
    ] {
        rows.extend(value.as_ref().map(|value| vec![name.to_owned(), clean(value)]));
    }
    rows.push(vec!["processes".to_owned(), report.processes.len().to_string()]);
    out.table(&rows);
    members(&report.processes, out);
}

fn members(members: &[Member], out: &mut Sections) {
    const MOST: usize = 40;
    if members.is_empty() {
        return;
    }
    let mut rows = vec![["PID", "INSIDE", "PPID", "STAT", "UID", "CONTAINER", "COMMAND"].map(str::to_owned).to_vec()];
    for member in members.iter().take(MOST) {
        rows.push(vec![
            member.pid.to_string(),
            member.pids.iter().skip(1).map(u32::to_string).collect::<Vec<_>>().join(" "),
            member.ppid.to_string(),
            member.state.to_string(),
            member.uid.to_string(),
            member.container.as_ref().map_or_else(|| "-".to_owned(), |container| clean(&container.to_string())),
            clean(&member.comm),
        ]);
    }
    out.table(&rows);
    if members.len() > MOST {
        out.line(&format!("  and {} more: all of them with -J", members.len() - MOST));
    }
}

fn write_namespace(report: &NamespaceReport, out: &mut Sections) {
    let ns = report.ns.0;
    out.heading(&format!("namespace {ns}{}", if report.initial { " (initial)" } else { "" }));
    out.explain(&format!("lsns -t {} --output-all {}", ns.ns_type, ns.inum));
    let list = |list: &[NsRef]| list.iter().map(|ns| ns.0.to_string()).collect::<Vec<_>>().join(" ");
    let mut rows = vec![
        vec!["nsid".to_owned(), id_of(&report.ns)],
        vec!["owner".to_owned(), seen(&report.owner, |owner| owner.0.to_string())],
    ];
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    row("parent", report.parent.map(|parent| parent.0.to_string()).unwrap_or_default());
    row("children", list(&report.children));
    row("owns", list(&report.owns));
    row("members", report.members.len().to_string());
    row("next children of", report.pending.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    for held in &report.held_by {
        row(
            "held by",
            match held {
                HeldBy::Fd { pid, fd } => format!("descriptor {fd} of process {pid}"),
                HeldBy::Mount { mnt_ns, path } => format!("mount {} in mnt:[{mnt_ns}]", clean(path)),
            },
        );
    }
    out.table(&rows);
    match &report.inside {
        Seen::Is(inside) => write_inside(ns.ns_type, inside, out),
        other => out.table(&[vec!["inside".to_owned(), seen(other, |_| String::new())]]),
    }
    members(&report.members, out);
}

fn write_inside(ns_type: NsType, inside: &Inside, out: &mut Sections) {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| rows.extend(value.map(|value| vec![name.to_owned(), value]));
    row("hostname", inside.hostname.as_deref().map(clean));
    row("domainname", inside.domainname.as_deref().map(clean));
    row("mounts", inside.mounts.map(|n| n.to_string()));
    row("init", inside.init.map(|pid| pid.to_string()));
    row("created by uid", inside.owner_uid.map(|uid| uid.to_string()));
    for (name, map) in [("uid_map", &inside.uid_map), ("gid_map", &inside.gid_map)] {
        for e in map.iter().flat_map(|map| &map.0) {
            row(name, Some(format!("{} = {} on host, {} id(s)", e.inside, e.outside, e.count)));
        }
    }
    row("System V", inside.sysv.map(|[shm, sem, msg]| format!("{shm} segments, {sem} semaphore sets, {msg} queues")));
    for line in inside.offsets.iter().flatten() {
        row("offset", Some(clean(&line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))));
    }
    row("root", inside.cgroup.as_deref().map(clean));
    out.table(&rows);
    if let Some(net) = inside.net.as_ref().filter(|_| ns_type == NsType::Net) {
        out.heading("INTERFACES");
        for link in &net.links {
            out.line(&format!("  {}", interface(link)));
        }
        if !net.routes.is_empty() {
            out.heading("ROUTES");
            for route in &net.routes {
                out.line(&format!("  {}", super::show::route(route, &net.links)));
            }
        }
        if !net.listening.is_empty() {
            out.heading("LISTENING");
            for socket in &net.listening {
                out.line(&format!("  {} {} uid {}", socket.protocol.name(), address(socket), socket.uid));
            }
        }
    }
}

/// `10.0.0.1:80`, `[::]:443`.
pub(super) fn address(socket: &crate::inspect::net::sockets::Socket) -> String {
    std::net::SocketAddr::new(socket.address, socket.port).to_string()
}

/// As ip-route(8) says it.
pub(super) fn route(route: &crate::inspect::net::Route, links: &[crate::inspect::net::Link]) -> String {
    let mut text = route.kind.iter().map(|kind| format!("{} ", clean(kind))).collect::<String>();
    text.push_str(&route.destination);
    if let Some(gateway) = &route.gateway {
        text.push_str(&format!(" via {gateway}"));
    }
    if let Some(index) = route.link {
        let name = links.iter().find(|link| link.index == index).map_or_else(|| index.to_string(), |l| clean(&l.name));
        text.push_str(&format!(" dev {name}"));
    }
    if let Some(source) = &route.source {
        text.push_str(&format!(" src {source}"));
    }
    if route.table != 254 {
        text.push_str(&format!(" table {}", route.table));
    }
    text
}
