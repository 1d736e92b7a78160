//! `map net` as text and as a graph.

use std::collections::HashMap;

use super::{
    sections::{Look, Sections, clean},
    show::{address, route},
    show_task::interface,
};
use crate::{
    inspect::net::{Link, sockets::Socket},
    map::net::{Bridge, Connected, End, NetMap},
};

/// `map net`.
pub fn text(map: &NetMap, look: Look) -> String {
    let mut out = Sections::new(look);
    let (tied, by_address) = (Ties::of(map), map.containers_by_address());
    let host = map.namespaces.iter().find(|row| row.initial).and_then(|row| row.view.as_ref());
    for row in &map.namespaces {
        let mut marks = Vec::new();
        if row.initial {
            marks.push("initial".to_owned());
        }
        marks.extend(row.names.iter().map(|name| clean(name)));
        let mode = |c: &Connected| format!("{}: network {}", clean(&c.container.to_string()), clean(&c.mode));
        marks.extend(row.containers.iter().map(mode));
        let marks = if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join("; ")) };
        let who = match (row.pid, &row.comm) {
            (Some(pid), Some(comm)) => format!(", {pid} ({})", clean(comm)),
            _ => String::new(),
        };
        out.heading(&format!("{}, {} process(es){who}{marks}", row.ns.0, row.processes));
        match row.pid {
            Some(pid) => out.explain(&format!("nsenter -t {pid} -n sh -c 'ip -d addr; ip route; ss -lntup'")),
            None => row.names.iter().take(1).for_each(|name| out.explain(&format!("ip -n {} -d addr", clean(name)))),
        }
        for container in row.containers.iter().map(|connected| &connected.container) {
            for port in &container.ports {
                // Both address families are one protocol to an engine.
                let is_at = |socket: &Socket| port.is_at(socket.protocol.name().trim_end_matches('6'), socket.port);
                let how = match host {
                    Some(host) if !host.listening.iter().any(is_at) => {
                        "; no socket listens there: only netfilter rules can pass it on"
                    }
                    _ => "",
                };
                out.line(&format!("  published {} (says its engine{how})", clean(&port.to_string())));
            }
        }
        let Some(view) = &row.view else {
            out.line("  not entered");
            continue;
        };
        for link in &view.links {
            let tie = tied.text(row.ns.0.inum, link);
            out.line(&format!("  {}{tie}", interface(link)));
        }
        for line in &view.routes {
            out.line(&format!("  route {}", route(line, &view.links)));
        }
        for socket in &view.listening {
            let mut who = format!("uid {}", socket.uid);
            if let Some(holder) = &socket.held_by {
                who = format!("{} {}, {who}", holder.pid, clean(&holder.comm));
                if let Some(inner) = &holder.publishes {
                    let ip = inner.parse::<std::net::SocketAddr>().ok().map(|address| address.ip().to_string());
                    let container = ip.and_then(|ip| by_address.get(ip.as_str()));
                    let container = container.map(|c| format!(" of {}", clean(&c.to_string())));
                    who.push_str(&format!(", publishes {}{}", clean(inner), container.unwrap_or_default()));
                }
            }
            out.line(&format!("  listens {} {} ({who})", socket.protocol.name(), address(socket)));
        }
    }
    out.finish()
}

/// What links are tied to, by their namespace and index.
struct Ties<'m> {
    ends: HashMap<(u32, u32), Vec<String>>,
    bridges: HashMap<(u32, u32), &'m Bridge>,
}

impl<'m> Ties<'m> {
    fn of(map: &'m NetMap) -> Self {
        let mut ends: HashMap<(u32, u32), Vec<String>> = HashMap::new();
        let at = |end: &End| (end.ns, end.index);
        let words = |end: &End| format!("{} in net:[{}]", clean(&end.name), end.ns);
        for tie in &map.ties {
            let there = tie.to.as_ref().map_or_else(|| "a namespace that was not seen".to_owned(), words);
            ends.entry(at(&tie.from)).or_default().push(there);
            if let Some(to) = &tie.to {
                ends.entry(at(to)).or_default().push(words(&tie.from));
            }
        }
        Self { ends, bridges: map.bridges.iter().map(|bridge| ((bridge.ns, bridge.index), bridge)).collect() }
    }

    /// ` <-> eth0 in net:[…]`, ` on bridge docker0`.
    fn text(&self, ns: u32, link: &Link) -> String {
        let ends = self.ends.get(&(ns, link.index)).into_iter().flatten();
        let mut text: String = ends.map(|there| format!(" <-> {there}")).collect();
        if let Some(bridge) = link.controller.and_then(|controller| self.bridges.get(&(ns, controller))) {
            text.push_str(&format!(" on {} {}", clean(&bridge.kind), clean(&bridge.name)));
        }
        text
    }
}

/// `map net --dot`: a graph for dot(1).
pub fn dot(map: &NetMap) -> String {
    // Within quotes only these two mean something to dot(1), and control characters are escaped already.
    let quote = |text: &str| clean(text).replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = "graph nstrace {\n  node [shape=box];\n".to_owned();
    for row in &map.namespaces {
        let ns = row.ns.0.inum;
        let names =
            row.containers.iter().map(|c| format!("{} ({})", c.container, c.mode)).chain(row.names.iter().cloned());
        let label: Vec<String> = std::iter::once(row.ns.0.to_string()).chain(names).map(|name| quote(&name)).collect();
        text.push_str(&format!("  subgraph cluster_{ns} {{\n    label=\"{}\";\n", label.join("\\n")));
        let links = row.view.iter().flat_map(|view| &view.links);
        let mut any = false;
        for link in links {
            let lines: Vec<String> = std::iter::once(link.name.as_str())
                .chain(link.addresses.iter().map(String::as_str))
                .map(quote)
                .collect();
            let shape = if link.kind.as_deref() == Some("bridge") { ", shape=ellipse" } else { "" };
            text.push_str(&format!("    l{ns}_{} [label=\"{}\"{shape}];\n", link.index, lines.join("\\n")));
            any = true;
        }
        if !any {
            text.push_str(&format!("    n{ns} [label=\"not entered\"];\n"));
        }
        text.push_str("  }\n");
        for link in row.view.iter().flat_map(|view| &view.links) {
            if let Some(controller) = link.controller {
                text.push_str(&format!("  l{ns}_{} -- l{ns}_{controller};\n", link.index));
            }
        }
    }
    for tie in &map.ties {
        if let Some(to) = &tie.to {
            let (from, kind) = (&tie.from, quote(&tie.kind));
            text.push_str(&format!("  l{}_{} -- l{}_{} [label=\"{kind}\"];\n", from.ns, from.index, to.ns, to.index));
        }
    }
    text.push_str("}\n");
    text
}
