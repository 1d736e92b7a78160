//! Rows of `nstrace ls` as a tree. Pure.

use std::collections::{HashMap, HashSet};

use super::ls::LsRow;
use crate::census::{Census, NsIndex};

/// What the branches mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The owning user namespace.
    Owner,
    /// The parent of pid and user namespaces.
    Parent,
    /// The namespace of the same type that the parent of its first process is in.
    Process,
}

/// Orders the rows as a tree and returns what is drawn before each.
pub fn arrange<'c>(census: &'c Census, by: By, rows: &mut Vec<LsRow<'c>>) -> Vec<String> {
    let shown: HashSet<NsIndex> = rows.iter().map(|row| row.index).collect();
    let above = |index: NsIndex| {
        let mut at = index;
        // The nearest ancestor that is shown; as many steps as there are namespaces at most.
        for _ in 0..census.namespaces.len() {
            at = one_above(census, by, at)?;
            if shown.contains(&at) {
                return Some(at).filter(|&at| at != index);
            }
        }
        None
    };
    let mut below: HashMap<Option<NsIndex>, Vec<NsIndex>> = HashMap::new();
    for row in rows.iter() {
        below.entry(above(row.index)).or_default().push(row.index);
    }
    let mut order: Vec<(NsIndex, String)> = Vec::new();
    // (namespace, what stands before its children's branches, its own branch)
    let mut todo: Vec<(NsIndex, String, String)> =
        below.get(&None).into_iter().flatten().rev().map(|&index| (index, String::new(), String::new())).collect();
    let mut drawn = HashSet::new();
    while let Some((index, indent, branch)) = todo.pop() {
        if !drawn.insert(index) {
            continue;
        }
        order.push((index, branch));
        let children = below.get(&Some(index)).map_or(&[][..], Vec::as_slice);
        for (n, &child) in children.iter().enumerate().rev() {
            let last = n + 1 == children.len();
            let branch = format!("{indent}{}", if last { "└─" } else { "├─" });
            todo.push((child, format!("{indent}{}", if last { "  " } else { "│ " }), branch));
        }
    }
    // What goes in circles, which only a made-up world does, comes last.
    order.extend(rows.iter().map(|row| row.index).filter(|index| !drawn.contains(index)).map(|i| (i, String::new())));
    let mut by_index: HashMap<NsIndex, LsRow<'c>> = rows.drain(..).map(|row| (row.index, row)).collect();
    order
        .into_iter()
        .filter_map(|(index, prefix)| {
            rows.push(by_index.remove(&index)?);
            Some(prefix)
        })
        .collect()
}

fn one_above(census: &Census, by: By, index: NsIndex) -> Option<NsIndex> {
    let ns = census.namespace(index);
    match by {
        By::Owner => ns.owner,
        By::Parent => ns.parent,
        By::Process => {
            let mut ppid = census.task(ns.first?).ppid?;
            for _ in 0..census.tasks.len() {
                let parent = census.threads(ppid).first()?;
                match parent.member_of(ns.name.ns_type) {
                    Some(other) if other != index => return Some(other),
                    _ => ppid = parent.ppid?,
                }
            }
            None
        }
    }
}
