//! `map net` as text and as a graph.

use super::{
    sections::{Look, Sections, clean},
    show::{address, route},
    show_task::interface,
};
use crate::map::net::{Connected, End, NetMap};

/// `map net`.
pub fn text(map: &NetMap, look: Look) -> String {
    let mut out = Sections::new(look);
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
        let Some(view) = &row.view else {
            out.line("  not entered");
            continue;
        };
        for link in &view.links {
            let tie = ties(map, row.ns.0.inum, link.index);
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
                    let container = map.container_at(inner).map(|c| format!(" of {}", clean(&c.to_string())));
                    who.push_str(&format!(", publishes {}{}", clean(inner), container.unwrap_or_default()));
                }
            }
            out.line(&format!("  listens {} {} ({who})", socket.protocol.name(), address(socket)));
        }
    }
    out.finish()
}

/// What a link is tied to: ` <-> eth0 in net:[…]`, ` on bridge docker0`.
fn ties(map: &NetMap, ns: u32, index: u32) -> String {
    let mut text = String::new();
    for tie in &map.ties {
        let here = |end: &End| (end.ns, end.index) == (ns, index);
        let there = match &tie.to {
            Some(to) if here(&tie.from) => Some(format!("{} in net:[{}]", clean(&to.name), to.ns)),
            Some(to) if here(to) => Some(format!("{} in net:[{}]", clean(&tie.from.name), tie.from.ns)),
            None if here(&tie.from) => Some("a namespace that was not seen".to_owned()),
            _ => None,
        };
        if let Some(there) = there {
            text.push_str(&format!(" <-> {there}"));
        }
    }
    let links = map.namespaces.iter().find(|row| row.ns.0.inum == ns).and_then(|row| row.view.as_ref());
    let link = links.and_then(|view| view.links.iter().find(|link| link.index == index));
    if let Some(bridge) = link
        .and_then(|link| link.controller)
        .and_then(|controller| map.bridges.iter().find(|b| b.ns == ns && b.index == controller))
    {
        text.push_str(&format!(" on {} {}", clean(&bridge.kind), clean(&bridge.name)));
    }
    text
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
