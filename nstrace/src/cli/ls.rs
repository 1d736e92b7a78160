//! `nstrace ls`: which namespaces exist, who is in them, what keeps them.

use std::collections::{HashMap, HashSet};

use super::{
    census_source::{Names, missing, no_match},
    exit::{Failure, Outcome},
    output::Stdout,
};
use crate::{
    census::{
        Census, NsIndex,
        collect::{Depth, census},
        target::Target,
    },
    discover::Proc,
    filter::Filter,
    ns::NsType,
    view::ls::{self, Column, FIELDS, LsRow},
};

/// List namespaces: who is in them and what keeps them alive
///
/// Every namespace is listed, also those that no process is in. lsns(8)'s columns and options mean the same here.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// Only this namespace: net:[INODE], INODE, :NSID, a path, or a PID for the namespaces of its process
    #[arg(value_name = "NS")]
    namespace: Option<Target>,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,

    /// Only namespaces of these types: mnt, pid, net, ipc, uts, user, cgroup, time
    #[arg(short, long = "type", value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<NsType>,

    /// Only namespaces this process is in
    #[arg(short = 'p', long = "task", value_name = "PID")]
    process: Option<u32>,

    /// Only namespaces that no process is in
    #[arg(short = 'P', long, conflicts_with_all = ["process", "members"])]
    persistent: bool,

    /// Only namespaces that some process is in, and do not look for other holders: fast
    #[arg(long)]
    members: bool,

    /// Draw a tree
    #[arg(short = 'T', long, value_name = "BY", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "owner", conflicts_with = "json")]
    tree: Option<Tree>,

    /// Only what belongs to this container: its id, the start of it, or its name; may be repeated
    #[arg(long = "container", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: Vec<String>,

    /// Only what belongs to some container
    #[arg(long)]
    containers: bool,

    /// Only namespaces for which this scols-filter(5) expression holds, like 'NPROCS > 1 and TYPE == "net"'
    #[arg(short = 'Q', long, value_name = "EXPR")]
    filter: Option<String>,

    /// Columns to show; +COLS adds to the default ones
    #[arg(short, long, value_name = "COLS", conflicts_with = "json")]
    output: Option<String>,

    /// Print no heading
    #[arg(short, long)]
    noheadings: bool,
}

/// What the branches of a tree mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tree {
    /// The owning user namespace.
    Owner,
    /// The parent of pid and user namespaces.
    Parent,
    /// The namespace of the same type that the parent of its first process is in.
    Process,
}

fn after_long_help() -> String {
    format!(
        "Columns of --output: {}\n\nFields of --filter: {}\n\nExamples:\n  nstrace ls -t net -o +REFS,NSFS\n  \
         nstrace ls -P\n  nstrace ls -Q 'KEPT_BY =~ \"socket\"'\n  nstrace ls -T=parent -t pid,user",
        Column::ALL.map(|(_, name)| name).join(" "),
        FIELDS.map(|field| field.name).join(" "),
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let filter = args.filter.as_deref().map(|text| Filter::parse(text, &FIELDS)).transpose();
    let filter = filter.map_err(|error| usage(&error))?;
    let columns = match &args.output {
        None => Column::DEFAULT.to_vec(),
        Some(list) => Column::list(list).map_err(|error| usage(&error))?,
    };
    let depth = if args.members { Depth::Members } else { Depth::Holders };
    let shows = |column| columns.contains(&column) || args.json || filter.is_some();
    let wants_containers = args.containers
        || !args.container.is_empty()
        || [Column::Container, Column::Runtime, Column::Pod].into_iter().any(shows);
    let proc = Proc::default();
    let census = census(&proc, depth, wants_containers)?;

    let mut chosen: Vec<NsIndex> = match &args.namespace {
        None => census.indices().collect(),
        Some(target) => target.find(&census).map_err(|error| anyhow::anyhow!("{error}"))?,
    };
    if let Some(pid) = args.process {
        let of_process: HashSet<NsIndex> = census
            .tasks
            .iter()
            .filter(|task| task.tgid == pid)
            .flat_map(|task| task.slots.into_iter().flatten())
            .collect();
        chosen.retain(|index| of_process.contains(index));
    }
    chosen.retain(|&index| admits(args, &census, index));
    let mut names = Names::default();
    let (commands, users) = (shows(Column::Command), shows(Column::User));
    let mut rows: Vec<LsRow<'_>> = chosen
        .into_iter()
        .map(|index| {
            let mut row = LsRow { census: &census, index, command: None, user: None };
            if commands {
                row.command = census.namespace(index).first.map(|first| names.command(census.task(first)));
            }
            if users {
                row.user = row.uid().map(|uid| names.user(uid));
            }
            row
        })
        .collect();
    if let Some(filter) = &filter {
        rows.retain(|row| filter.matches(row));
    }

    if args.json {
        out.text(&ls::json(&census, &rows))?;
    } else if !rows.is_empty() {
        let prefixes = match args.tree {
            None => Vec::new(),
            Some(by) => arrange(&census, by, &mut rows),
        };
        out.text(ls::table(&rows, &prefixes, &columns, !args.noheadings).as_bytes())?;
    }
    let asked_for_all = filter.is_none()
        && args.namespace.is_none()
        && args.process.is_none()
        && !args.persistent
        && args.types.is_empty()
        && args.container.is_empty()
        && !args.containers;
    // Some exist, so that it is what stayed unseen which makes it none.
    if rows.is_empty() && !asked_for_all {
        return Ok(no_match("no namespace is what was asked for", &census));
    }
    Ok(missing(&census).map_or(Outcome::Complete, Outcome::Partial))
}

fn admits(args: &Args, census: &Census, index: NsIndex) -> bool {
    let ns = census.namespace(index);
    (args.types.is_empty() || args.types.contains(&ns.name.ns_type))
        && !(args.persistent && ns.nprocs > 0)
        && !(args.members && ns.nprocs == 0)
        && match ns.container.as_deref() {
            None => args.container.is_empty() && !args.containers,
            Some(container) => {
                args.container.is_empty() || args.container.iter().any(|name| container.id.starts_with(name))
            }
        }
}

/// Orders the rows as a tree and returns what is drawn before each.
fn arrange<'c>(census: &'c Census, by: Tree, rows: &mut Vec<LsRow<'c>>) -> Vec<String> {
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

fn one_above(census: &Census, by: Tree, index: NsIndex) -> Option<NsIndex> {
    let ns = census.namespace(index);
    match by {
        Tree::Owner => ns.owner,
        Tree::Parent => ns.parent,
        Tree::Process => {
            let mut ppid = census.task(ns.first?).ppid?;
            for _ in 0..census.tasks.len() {
                let parent = census.tasks.iter().find(|task| task.tid == ppid)?;
                match parent.member_of(ns.name.ns_type) {
                    Some(other) if other != index => return Some(other),
                    _ => ppid = parent.ppid?,
                }
            }
            None
        }
    }
}
