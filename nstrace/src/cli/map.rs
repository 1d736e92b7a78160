//! `nstrace map {pid,net,mnt,user}`: the structure of the system.

use super::{
    exit::{Failure, Outcome},
    flags::Printing,
    output::Stdout,
    show::{holders, partial, read_table, refuse, unseen},
};
use crate::{
    engine::Engines,
    inspect::{
        Places,
        namespace::{learn_all, learn_held, learn_pids},
        processes::ProcessTable,
        subject::{Subject, resolve},
        target::Target,
        user_tree::UserTree,
    },
    map::{mnt::MntMap, net::NetMap, pid, pid::PidMap, user::UserMap},
    ns::NsType,
    view::{document, map, map_net, sections::Look},
};

/// Show how the system is put together: pid trees, networks, mounts, user namespaces
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    /// Processes with their PID at each level; translate one with PID or PID@TARGET
    Pid(PidArgs),
    /// Network namespaces: links, addresses, routes, listening sockets, and what ties them together
    ///
    /// Ports that netfilter rules publish without any socket are named as far as an engine tells of them.
    Net(NetArgs),
    /// The mounts of every mount namespace, what they propagate, what a container sees of the host
    Mnt(Printing),
    /// User namespaces by owner, their id maps and what they own
    User(Printing),
}

#[derive(Debug, clap::Args)]
pub(super) struct PidArgs {
    /// PID: its number at every level. PID@TARGET: the process that has this number in the pid namespace of TARGET.
    /// @TARGET: only the processes of that pid namespace and below it
    #[arg(value_name = "PID|PID@TARGET|@TARGET")]
    pub which: Option<Which>,

    /// List kernel threads too
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    pub common: Printing,
}

#[derive(Debug, clap::Args)]
pub(super) struct NetArgs {
    /// Print a graph for dot(1)
    #[arg(long, conflicts_with_all = ["json", "explain"])]
    pub dot: bool,

    #[command(flatten)]
    pub common: Printing,
}

/// What of the pid map is wanted.
#[derive(Clone, Debug)]
pub(super) struct Which {
    pub pid: Option<u32>,
    pub at: Option<Target>,
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pid, at) = text.split_once('@').map_or((text, None), |(pid, at)| (pid, Some(at)));
        let number = match pid {
            "" if at.is_some() => None,
            pid => Some(
                pid.parse::<u32>()
                    .ok()
                    .filter(|&pid| pid != 0)
                    .ok_or_else(|| format!("'{}' is no PID: write 4321, 7@web or @web", pid.escape_debug()))?,
            ),
        };
        let at =
            at.map(str::parse).transpose().map_err(|error: crate::inspect::target::BadTarget| error.to_string())?;
        Ok(Self { pid: number, at })
    }
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let places = Places::default();
    let table = read_table(&places)?;
    let engines = Engines::read(&places, &table);
    let mut tree = UserTree::new(table.initial_user());
    let (text, missing) = match &args.what {
        What::Pid(args) => return pid_map(args, args.common.look(), &places, &table, &engines, out),
        What::User(common) => {
            learn_all(&places, &table, &mut tree);
            learn_held(&places, &table, &holders(&places), &mut tree);
            let found = UserMap::new(&places, &table, &engines, &tree);
            let missing = all_missing(found.missing(), &table, &engines);
            let text = if common.json { document::json(&found, &missing) } else { map::user(&found, common.look()) };
            (text, missing)
        }
        What::Mnt(common) => {
            let found = MntMap::read(&places, &table, &engines, &holders(&places));
            let missing = all_missing(found.missing(), &table, &engines);
            let text = if common.json { document::json(&found, &missing) } else { map::mnt(&found, common.look()) };
            (text, missing)
        }
        What::Net(args) => {
            let found = NetMap::read(&places, &table, &engines, &holders(&places));
            let missing = all_missing(found.missing(), &table, &engines);
            let text = match args {
                NetArgs { dot: true, .. } => map_net::dot(&found),
                NetArgs { common, .. } if common.json => document::json(&found, &missing),
                NetArgs { common, .. } => map_net::text(&found, common.look()),
            };
            (text, missing)
        }
    };
    out.text(text.as_bytes())?;
    Ok(partial(&missing))
}

fn all_missing(mut missing: Vec<String>, table: &ProcessTable, engines: &Engines) -> Vec<String> {
    missing.extend(unseen(table));
    missing.extend(engines.missing());
    missing
}

fn pid_map(
    args: &PidArgs,
    look: Look,
    places: &Places,
    table: &ProcessTable,
    engines: &Engines,
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let mut tree = UserTree::new(table.initial_user());
    learn_pids(places, table, &mut tree);
    let missing = all_missing(Vec::new(), table, engines);
    let mut found = PidMap::new(table, engines, &tree);
    let mut wanted = None;
    if let Some(Which { pid, at }) = &args.which {
        let ns = match at {
            None => None,
            Some(target) => match resolve(places, table, engines, || holders(places), target) {
                Ok(subject) => match pid_ns_of(table, &subject) {
                    Some(ns) => Some(ns),
                    None => return Ok(Outcome::Nothing(format!("{target} has no pid namespace that can be seen"))),
                },
                Err(error) => return refuse(&error),
            },
        };
        wanted = match (pid, ns) {
            (Some(pid), Some(ns)) => match pid::reverse(table, &tree, ns, *pid) {
                Some(found) => Some(found),
                None => return Ok(Outcome::Nothing(format!("there is no process {pid} in pid:[{ns}]"))),
            },
            (Some(pid), None) => Some(*pid),
            (None, Some(ns)) => {
                found.restrict(ns);
                None
            }
            (None, None) => None,
        };
    }
    let text = match wanted {
        Some(pid) => {
            let Some(found) = pid::translate(table, engines, &tree, pid) else {
                return Ok(Outcome::Nothing(format!("there is no process {pid}")));
            };
            if args.common.json { document::json(&found, &missing) } else { map::translation(&found, look) }
        }
        None if args.common.json => document::json(&found, &missing),
        None => map::pid(&found, args.all, look),
    };
    out.text(text.as_bytes())?;
    Ok(partial(&missing))
}

/// The pid namespace of a task, of a container's init, or itself.
fn pid_ns_of(table: &ProcessTable, subject: &Subject) -> Option<u32> {
    let of = |pid: u32| table.get(pid).and_then(|p| p.member(NsType::Pid)).map(|ns| ns.inum);
    match subject {
        Subject::Ns(ns) if ns.ns_type == NsType::Pid => Some(ns.inum),
        // Of another namespace: that of its oldest member.
        Subject::Ns(ns) => table.members(*ns).min_by_key(|p| p.start).and_then(|p| of(p.status.pid)),
        Subject::Task(pid) => of(*pid),
        Subject::Container(report) => of(report.init?),
    }
}
