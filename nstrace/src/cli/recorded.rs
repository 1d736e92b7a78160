//! `replay FILE --at TIME show` and `map`: the same questions about a moment that was recorded.

use super::{
    exit::{Failure, Outcome},
    flags::Printing,
    map::{self, What, Which},
    output::Stdout,
    show,
};
use crate::{
    inspect::recorded::{NOT_OF_HOSTS, NOT_OF_NAMESPACES, NOT_OF_TASKS, NotRecorded, RecordedSubject, Scene},
    ns::NsType,
    view::{
        document,
        map::translation,
        recorded::{self, MapAt, ShowAt},
    },
};

/// A moment in both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub utc_ns: i64,
    pub boot_ns: u64,
}

pub(super) fn show(args: &show::Args, scene: &Scene<'_>, at: At, out: &mut Stdout) -> Result<Outcome, Failure> {
    fits(&args.printing)?;
    let subject = match scene.find(&args.target) {
        Ok(subject) => subject,
        Err(error) => return refuse(&error),
    };
    let target = show::shown(&args.target);
    let mut show = ShowAt { at: at.utc_ns, target, kind: "task", task: None, container: None, namespace: None };
    match subject {
        RecordedSubject::Task(pid) => show.task = scene.show_task(pid),
        RecordedSubject::Container(report) => {
            show.kind = "container";
            show.task = report.init.and_then(|pid| scene.show_task(pid));
            show.container = Some(*report);
        }
        RecordedSubject::Ns(key) => {
            show.kind = "namespace";
            show.namespace = scene.show_ns(key);
        }
    }
    let missing =
        if show.namespace.is_some() { [NOT_OF_NAMESPACES, NOT_OF_HOSTS] } else { [NOT_OF_TASKS, NOT_OF_HOSTS] };
    let missing = missing.map(str::to_owned);
    let look = args.printing.look();
    let text = if args.printing.json { document::json(&show, &missing) } else { show.text(look, at.boot_ns) };
    print(&text, &missing, out)
}

pub(super) fn map(args: &map::Args, scene: &Scene<'_>, at: At, out: &mut Stdout) -> Result<Outcome, Failure> {
    let (ns_type, printing, which) = match &args.what {
        What::Pid(args) => (NsType::Pid, &args.common, args.which.as_ref()),
        What::User(printing) => (NsType::User, printing, None),
        What::Mnt(printing) => (NsType::Mnt, printing, None),
        What::Net(args) if args.dot => {
            return Err(Failure::Usage("--dot draws links, which a recording does not know".to_owned()));
        }
        What::Net(args) => (NsType::Net, &args.common, None),
    };
    fits(printing)?;
    let missing = [NOT_OF_NAMESPACES, NOT_OF_HOSTS].map(str::to_owned);
    let mut namespaces = scene.map(ns_type);
    if let Some(Which { pid, at: target }) = which {
        let ns = match target.as_ref().map(|target| scene.find(target)).transpose() {
            Ok(None) => None,
            Ok(Some(subject)) => match scene.pid_ns_of(&subject) {
                Some(inum) => Some(inum),
                None => return Ok(Outcome::Nothing("no pid namespace was recorded of it".to_owned())),
            },
            Err(error) => return refuse(&error),
        };
        let pid = match (pid, ns) {
            (Some(pid), Some(ns)) => match scene.reverse(ns, *pid) {
                Some(found) => Some(found),
                None => return Ok(Outcome::Nothing(format!("there was no process {pid} in pid:[{ns}]"))),
            },
            (pid, _) => *pid,
        };
        if let Some(pid) = pid {
            let Some(found) = scene.translate(pid) else {
                return Ok(Outcome::Nothing(format!("the recording knows no process {pid} at that time")));
            };
            let missing = [NOT_OF_HOSTS.to_owned()];
            let text =
                if printing.json { document::json(&found, &missing) } else { translation(&found, printing.look()) };
            return print(&text, &missing, out);
        }
        if let Some(ns) = ns {
            restrict(&mut namespaces, ns);
        }
    }
    let found = MapAt { at: at.utc_ns, what: ns_type.name(), namespaces };
    let text = if printing.json { document::json(&found, &missing) } else { recorded::map(&found, printing.look()) };
    print(&text, &missing, out)
}

/// Only this pid namespace and what is below it; parents come first.
fn restrict(namespaces: &mut Vec<crate::inspect::recorded::RecordedNs>, inum: u32) {
    let mut below = vec![inum];
    namespaces.retain(|row| {
        let own = row.ns.0.inum;
        if own != inum && row.parent.is_none_or(|parent| !below.contains(&parent.0.inum)) {
            return false;
        }
        below.push(own);
        true
    });
}

fn fits(printing: &Printing) -> Result<(), Failure> {
    if printing.explain {
        return Err(Failure::Usage(
            "--explain names commands for the running system: leave it out with --at".to_owned(),
        ));
    }
    Ok(())
}

fn print(text: &str, missing: &[String], out: &mut Stdout) -> Result<Outcome, Failure> {
    out.text(text.as_bytes())?;
    Ok(Outcome::Partial(format!("{}: nobody records them", missing.join("; "))))
}

fn refuse(error: &NotRecorded) -> Result<Outcome, Failure> {
    match error {
        NotRecorded::Nothing(_) => Ok(Outcome::Nothing(format!("{error}; not recorded: {NOT_OF_HOSTS}"))),
        NotRecorded::Several(..) | NotRecorded::PidInode(_) | NotRecorded::Path(_) => {
            Err(Failure::Usage(error.to_string()))
        }
    }
}
