//! `nstrace show TARGET`: one task, container or namespace from all sides.

use anyhow::Context as _;

use super::{
    exit::{Failure, Outcome},
    flags::Printing,
    output::Stdout,
};
use crate::{
    census::collect::{Depth, census},
    discover::{Holder, clock},
    engine::Engines,
    inspect::{
        Places,
        namespace::NamespaceReport,
        nsproxy::Sharing,
        processes::ProcessTable,
        subject::{NotFound, Subject, resolve},
        target::Target,
        task::TaskReport,
        user_tree::UserTree,
    },
    view::show::Show,
};

/// Show one task, container or namespace from all sides: the host's view beside its own
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A PID, PID:INODE, container name or id prefix, net:[4026531840], inode number, :NSID, or a path like /run/netns/x
    #[arg(value_name = "TARGET")]
    pub target: Target,

    #[command(flatten)]
    pub printing: Printing,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let places = Places::default();
    let table = read_table(&places)?;
    let engines = Engines::read(&places, &table);
    let subject = match resolve(&places, &table, &engines, || holders(&places), &args.target) {
        Ok(subject) => subject,
        Err(error) => return refuse(&error),
    };
    let mut show = Show { target: shown(&args.target), kind: "task", task: None, container: None, namespace: None };
    let task = |pid| {
        let mut report = TaskReport::read(&places, &table, &engines, pid)
            .with_context(|| format!("cannot read process {pid}: it may have ended; look again"))?;
        let census = census(&places.proc, Depth::Members, false)?;
        report.nsproxy = Sharing::of(&census, report.pid, report.tid);
        anyhow::Ok(report)
    };
    match subject {
        Subject::Task(pid) => show.task = Some(task(pid)?),
        Subject::Container(report) => {
            show.kind = "container";
            show.task = report.init.map(task).transpose()?;
            show.container = Some(*report);
        }
        Subject::Ns(ns) => {
            show.kind = "namespace";
            let mut tree = UserTree::new(table.initial_user());
            show.namespace = Some(NamespaceReport::read(&places, &table, &engines, &mut tree, &holders(&places), ns));
        }
    }
    let mut missing = show.missing();
    missing.extend(unseen(&table));
    missing.extend(engines.missing());
    let text = if args.printing.json { show.json(&missing) } else { show.text(args.printing.look(), clock::boot_ns()) };
    out.text(text.as_bytes())?;
    Ok(partial(&missing))
}

/// Target as people wrote it, for the document.
pub(super) fn shown(target: &Target) -> String {
    match target {
        Target::Pid(pid) => pid.to_string(),
        Target::PidInode(pid, inode) => format!("{pid}:{inode}"),
        Target::Ns(ns_type, inum) => format!("{ns_type}:[{inum}]"),
        Target::Inode(inum) => inum.to_string(),
        Target::NsId(id) => format!(":{id}"),
        Target::Path(text) | Target::Container(text) => text.clone(),
    }
}

pub(super) fn read_table(places: &Places) -> Result<ProcessTable, Failure> {
    Ok(ProcessTable::read(&places.proc, Some(&places.oci()))
        .with_context(|| format!("cannot read {}: mount proc there", places.proc.root().display()))?)
}

/// All nsfs files and mounts that can be seen.
pub(super) fn holders(places: &Places) -> Vec<Holder> {
    let scans = [places.proc.nsfs_fds(), places.proc.nsfs_mounts()];
    scans.into_iter().flatten().flat_map(|scan| scan.holders).collect()
}

pub(super) fn refuse(error: &NotFound) -> Result<Outcome, Failure> {
    match error {
        NotFound::Nothing(_) | NotFound::Reused(..) => Ok(Outcome::Nothing(error.to_string())),
        NotFound::Several(..) | NotFound::NoNamespace(_) => Err(Failure::Usage(error.to_string())),
        NotFound::Denied(..) => Err(Failure::Error(anyhow::anyhow!(error.to_string()))),
    }
}

/// Processes whose namespaces stayed unseen.
pub(super) fn unseen(table: &ProcessTable) -> Option<String> {
    let missed = &table.missed;
    let first = missed.first_denied.iter().chain(&missed.first_other).next()?;
    let more = match missed.denied + missed.other {
        0 | 1 => String::new(),
        n => format!(" and of {} more process(es)", n - 1),
    };
    Some(format!("what is behind {first}{more}"))
}

pub(super) fn partial(missing: &[String]) -> Outcome {
    if missing.is_empty() {
        return Outcome::Complete;
    }
    Outcome::Partial(format!("{} (permission denied): run as root in the initial namespaces", missing.join(", ")))
}
