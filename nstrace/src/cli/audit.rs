//! `nstrace audit`: the isolation posture of containers, from kernel facts.

use super::{
    exit::{Failure, Outcome},
    flags::Printing,
    output::Stdout,
    show::{holders, read_table, refuse, unseen},
};
use crate::{
    audit::{
        collect,
        facts::{Container, Facts},
        from_world,
        report::Report,
        verdict::Severity,
    },
    discover::clock::Anchor,
    engine::Engines,
    inspect::{
        Places,
        subject::{Subject, resolve},
        target::Target,
    },
    model::World,
    view::{audit, audit_html, audit_sarif, document, origin::Origin, time},
};

/// Show how well each container is isolated: namespaces, security layers, findings
///
/// Containers are told by their cgroup and by namespaces with a root directory of their own: no engine has to run. What
/// cannot be read is `unknown`, never a pass.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this one: a PID in it, its name or id prefix, or a namespace of it, as 'nstrace show' takes them
    #[arg(value_name = "TARGET")]
    target: Option<Target>,

    /// Only this container: its id, the start of it, or its name; may be repeated
    #[arg(long = "container", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: Vec<String>,

    /// The form of the report
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with_all = ["json", "explain"])]
    format: Option<Format>,

    /// Exit with 5 when there is a finding as bad as this or worse
    #[arg(long, value_name = "SEVERITY", value_enum)]
    fail_on: Option<Severity>,

    /// Also tell the checks that pass
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    printing: Printing,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    /// As -J.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// One page without scripts.
    Html,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let places = Places::default();
    let table = read_table(&places)?;
    let engines = Engines::read(&places, &table);
    let subject = match &args.target {
        None => None,
        Some(target) => match resolve(&places, &table, &engines, || holders(&places), target) {
            Ok(subject) => Some(subject),
            Err(error) => return refuse(&error),
        },
    };
    let wanted = |container: &Container| {
        subject.as_ref().is_none_or(|subject| is_subject(container, subject))
            && (args.container.is_empty() || args.container.iter().any(|name| is_called(container, name)))
    };
    let mut facts = collect::facts(&places, &table, &engines, &wanted);
    let chosen = subject.is_some() || !args.container.is_empty();
    let mut missing: Vec<String> = unseen(&table).into_iter().collect();
    if chosen {
        facts.leftovers.clear();
        if facts.containers.is_empty() && facts.sandboxes.is_empty() {
            let which = args.target.as_ref().map_or_else(|| args.container.join(", "), ToString::to_string);
            return Ok(Outcome::Nothing(format!("no container is what was asked for: {which}")));
        }
    }
    missing.append(&mut facts.missing);
    tell(args, &facts, &missing, &origin(&places), Anchor::read().utc_ns, out)
}

/// The same of a moment that was recorded.
pub(super) fn recorded(
    args: &Args,
    world: &World,
    engines: &Engines,
    (origin, utc_ns): (&Origin, i64),
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let wanted = |container: &Container| {
        let is_target = match &args.target {
            None => true,
            Some(Target::Pid(pid)) => container.processes.iter().any(|process| process.pid == *pid),
            Some(Target::Container(name)) => is_called(container, name),
            Some(Target::Ns(_, inum) | Target::Inode(inum)) => {
                container.namespaces.iter().any(|cell| cell.ns.known().is_some_and(|ns| ns.0.inum == *inum))
            }
            Some(Target::NsId(id)) => {
                container.namespaces.iter().any(|cell| cell.ns.known().is_some_and(|ns| ns.0.id == Some(*id)))
            }
            // What is there now may be another one, on another machine.
            Some(Target::PidInode(..) | Target::Path(_)) => false,
        };
        is_target && (args.container.is_empty() || args.container.iter().any(|name| is_called(container, name)))
    };
    let mut facts = from_world::facts(world, engines);
    facts.containers.retain(&wanted);
    facts.sandboxes.retain(&wanted);
    if facts.containers.is_empty() && facts.sandboxes.is_empty() {
        return Ok(Outcome::Nothing("no container that was asked for was there at that time".to_owned()));
    }
    let missing = std::mem::take(&mut facts.missing);
    tell(args, &facts, &missing, origin, utc_ns, out)
}

fn tell(
    args: &Args,
    facts: &Facts,
    missing: &[String],
    origin: &Origin,
    utc_ns: i64,
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let report = Report::new(facts);
    let text = match (args.format, args.printing.json) {
        (Some(Format::Sarif), _) => audit_sarif::sarif(&report, missing, origin),
        (Some(Format::Html), _) => audit_html::page(&report, missing, origin, &time::rfc3339(utc_ns)),
        (Some(Format::Json), _) | (None, true) => document::json(&report, missing),
        (Some(Format::Text) | None, _) => audit::text(&report, args.printing.look(), args.all),
    };
    out.text(text.as_bytes())?;
    let partial = (!missing.is_empty()).then(|| missing.join("; "));
    let bad = |least: Severity| report.findings.iter().filter(move |finding| finding.severity >= least).count();
    match args.fail_on.map(|least| (least, bad(least))) {
        Some((least, count)) if count > 0 => {
            Ok(Outcome::Findings { what: format!("{count} finding(s) of severity {least} or worse"), partial })
        }
        _ => Ok(partial.map_or(Outcome::Complete, Outcome::Partial)),
    }
}

fn origin(places: &Places) -> Origin {
    let system = rustix::system::uname();
    Origin {
        host: system.nodename().to_string_lossy().into_owned(),
        boot_id: places.proc.boot_id().unwrap_or_default(),
        kernel: system.release().to_string_lossy().into_owned(),
    }
}

fn is_subject(container: &Container, subject: &Subject) -> bool {
    match subject {
        Subject::Task(pid) => container.processes.iter().any(|process| process.pid == *pid),
        Subject::Container(report) => container.named.as_ref().is_some_and(|named| named.id == report.container.id),
        Subject::Ns(ns) => {
            let own = container.cell(ns.ns_type).and_then(|cell| cell.ns.known());
            own.is_some_and(|own| own.0.inum == ns.inum)
        }
    }
}

fn is_called(container: &Container, name: &str) -> bool {
    container.named.as_ref().is_some_and(|named| named.name.as_deref() == Some(name) || named.id.starts_with(name))
}
