//! `nstrace ls`: which namespaces exist, who is in them, what keeps them.

use std::{collections::HashSet, mem::ManuallyDrop};

use super::{
    census_containers::Containers,
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
    engine::{Engines, Named},
    filter::Filter,
    inspect::{
        Places,
        net::{Numbers, reach::Reach},
        seen::Seen,
    },
    ns::NsType,
    view::{
        ls::{self, LsRow, NetNsId},
        ls_columns::{Column, FIELDS},
        ls_json,
        ls_processes::{self, Process},
        ls_tree::{By, arrange},
    },
};

/// List namespaces: who is in them and what keeps them alive
///
/// Every namespace is listed, also those that no process is in. lsns(8)'s columns and options mean the same here.
#[derive(Debug, Default, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The processes in this namespace: net:[INODE], INODE, :NSID, a path; with -o, -J or -Q, or when no process is in it,
    /// the namespace itself. Or those of the process PID
    #[arg(value_name = "NS")]
    pub namespace: Option<Target>,

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

    /// Show all columns
    #[arg(long, conflicts_with_all = ["json", "output"])]
    output_all: bool,

    /// Print for scripts: one space between columns, blanks within as \\x20
    #[arg(short, long, conflicts_with_all = ["json", "tree", "list"])]
    raw: bool,

    /// Print a list and no tree
    #[arg(short, long)]
    list: bool,

    /// As lsns(8) has it; nothing is ever cut or wrapped here
    #[arg(short = 'u', long, hide = true)]
    notruncate: bool,

    #[arg(short = 'W', long, hide = true)]
    nowrap: bool,

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

impl From<Tree> for By {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Owner => Self::Owner,
            Tree::Parent => Self::Parent,
            Tree::Process => Self::Process,
        }
    }
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
    let Asked { filter, columns } = parsed(args)?;
    let depth = if args.members { Depth::Members } else { Depth::Holders };
    let wants_containers = args.containers
        || !args.container.is_empty()
        || args.json
        || filter.is_some()
        || [Column::Container, Column::Runtime, Column::Pod, Column::Image].iter().any(|c| columns.contains(c));
    let places = Places::default();
    let mut census = census(&places.proc, depth, wants_containers)?;
    let containers = if wants_containers { Containers::of(&places, &census) } else { Containers::default() };
    census.missing.extend(containers.missing.iter().cloned());
    // The process ends with it; to free it piece by piece would take milliseconds.
    let census = ManuallyDrop::new(census);
    let reach = Reach::new(&places.proc, &census);
    let beside = Beside { names: Names::default(), containers, reach: Some(&reach) };
    print(args, &Asked { filter, columns }, &census, beside, out)
}

/// The arguments that have a language of their own.
struct Asked {
    filter: Option<Filter>,
    columns: Vec<Column>,
}

/// What can be wrong with the arguments is told before anything is read.
fn parsed(args: &Args) -> Result<Asked, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let filter = args.filter.as_deref().map(|text| Filter::parse(text, &FIELDS)).transpose();
    let filter = filter.map_err(|error| usage(&error))?;
    let columns = match &args.output {
        None if args.output_all => Column::ALL.map(|(column, _)| column).to_vec(),
        None => Column::default_of(&args.types),
        Some(list) => Column::list(list, &args.types).map_err(|error| usage(&error))?,
    };
    Ok(Asked { filter, columns })
}

/// What is told besides a census.
pub(super) struct Beside<'c> {
    names: Names,
    containers: Containers,
    /// The ways into network namespaces; None: those of a recording are not there any more.
    reach: Option<&'c Reach<'c>>,
}

impl Beside<'_> {
    /// What a recording knows. `engines`: what was recorded of containers.
    pub fn recorded(census: &Census, engines: &Engines) -> Self {
        Self { names: Names::recorded(), containers: Containers::named(census, engines), reach: None }
    }
}

/// Prints what of a census was asked for.
pub(super) fn list(args: &Args, census: &Census, beside: Beside<'_>, out: &mut Stdout) -> Result<Outcome, Failure> {
    print(args, &parsed(args)?, census, beside, out)
}

fn print(
    args: &Args,
    asked: &Asked,
    census: &Census,
    beside: Beside<'_>,
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let Asked { filter, columns } = asked;
    let Beside { mut names, containers, reach } = beside;
    let shows = |column| columns.contains(&column) || args.json || filter.is_some();
    let mut chosen: Vec<NsIndex> = match &args.namespace {
        None => census.indices().collect(),
        Some(target) => target.find(census).map_err(|error| anyhow::anyhow!("{error}"))?,
    };
    if let Some(pid) = args.process {
        let of_process: HashSet<NsIndex> =
            census.threads(pid).iter().flat_map(|task| task.slots.into_iter().flatten()).collect();
        chosen.retain(|index| of_process.contains(index));
    }
    chosen.retain(|&index| admits(args, census, containers.get(index), index));
    if let Some(index) = only_one(args, asked, census, &chosen) {
        let processes = processes(census, index, &mut names);
        let headings = !args.noheadings;
        let text = match args.raw {
            true => ls_processes::raw(&processes, headings),
            false => ls_processes::table(&processes, headings),
        };
        out.text(text.as_bytes())?;
        return Ok(missing(census).map_or(Outcome::Complete, Outcome::Partial));
    }
    let (commands, users) = (shows(Column::Command), shows(Column::User));
    let reach = reach.filter(|_| shows(Column::NetNsId)).and_then(|reach| Some((reach, Numbers::open().ok()?)));
    if commands {
        names.read_ahead(chosen.iter().filter_map(|&index| Some(census.task(census.namespace(index).first?))));
    }
    let mut rows: Vec<LsRow<'_>> = chosen
        .into_iter()
        .map(|index| {
            let ns = census.namespace(index);
            let mut row = LsRow {
                census,
                index,
                command: None,
                user: None,
                netnsid: Seen::Absent,
                container: containers.get(index),
                creation: None,
            };
            if commands {
                row.command = ns.first.map(|first| names.command(census.task(first)));
            }
            if users {
                row.user = row.uid().map(|uid| names.user(uid));
            }
            if let Some((reach, numbers)) = reach.as_ref().filter(|_| ns.name.ns_type == NsType::Net) {
                let number = |number: Option<u32>| number.map_or(NetNsId::Unassigned, NetNsId::Is);
                row.netnsid = reach.number(numbers, index).map(number);
            }
            row
        })
        .collect();
    if let Some(filter) = filter {
        rows.retain(|row| filter.matches(row));
    }

    if args.json {
        out.text(&ls_json::document(census, &rows))?;
    } else if args.raw {
        out.text(ls::raw(&rows, columns, !args.noheadings && !rows.is_empty()).as_bytes())?;
    } else if !rows.is_empty() {
        let prefixes = match args.tree.filter(|_| !args.list) {
            None => Vec::new(),
            Some(by) => arrange(census, by.into(), &mut rows),
        };
        out.text(ls::table(&rows, &prefixes, columns, !args.noheadings).as_bytes())?;
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
        return Ok(no_match("no namespace is what was asked for", census));
    }
    Ok(missing(census).map_or(Outcome::Complete, Outcome::Partial))
}

/// The namespace whose processes are listed in its place, as lsns(8) does: the only one that is meant, nothing else asked of it.
fn only_one(args: &Args, asked: &Asked, census: &Census, chosen: &[NsIndex]) -> Option<NsIndex> {
    let plain = args.namespace.is_some()
        && asked.filter.is_none()
        && args.output.is_none()
        && !args.output_all
        && !args.json
        && args.tree.is_none();
    match chosen {
        [index] if plain && census.namespace(*index).nprocs > 0 => Some(*index),
        _ => None,
    }
}

/// Every process with a thread in it, by its leader where that was seen.
fn processes(census: &Census, index: NsIndex, names: &mut Names) -> Vec<Process> {
    let ns_type = census.namespace(index).name.ns_type;
    let mut pids: Vec<u32> =
        census.tasks.iter().filter(|task| task.member_of(ns_type) == Some(index)).map(|task| task.tgid).collect();
    pids.dedup();
    let leaders = || pids.iter().filter_map(|&pid| census.threads(pid).first());
    names.read_ahead(leaders());
    leaders()
        .map(|task| Process {
            pid: task.tgid,
            ppid: task.ppid,
            user: names.user(task.uid),
            command: names.command(task),
        })
        .collect()
}

fn admits(args: &Args, census: &Census, container: Option<&Named>, index: NsIndex) -> bool {
    let ns = census.namespace(index);
    (args.types.is_empty() || args.types.contains(&ns.name.ns_type))
        && !(args.persistent && ns.nprocs > 0)
        && !(args.members && ns.nprocs == 0)
        && match container {
            None => args.container.is_empty() && !args.containers,
            Some(container) => {
                let is_it =
                    |wanted: &String| container.name.as_ref() == Some(wanted) || container.id.starts_with(wanted);
                args.container.is_empty() || args.container.iter().any(is_it)
            }
        }
}
