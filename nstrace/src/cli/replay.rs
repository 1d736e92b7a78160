//! `nstrace replay`: a recording told as `watch` told it.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::{
    audit,
    census_source::Names,
    chosen::{self, Chosen, Look},
    exit::{Failure, Outcome},
    export, interrupted,
    ls::{self, Beside},
    map,
    moment::{self, Moment, Part},
    output::Stdout,
    policies::Policies,
    recorded::{self, At},
    show,
    shutdown::Shutdown,
    stream::{Limits, run_stream},
    why,
};
use crate::{
    census::{from_world, target::Target},
    container,
    engine::Engines,
    inspect::recorded::Scene,
    recording::Recording,
    source::{Paced, Replay, Source, world_at},
    view::escape::escaped,
};

/// Print what happened to namespaces while a recording was made
///
/// The lines are those that 'nstrace watch' printed, or would have printed, at the time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    look: Look,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    policies: Policies,

    #[command(flatten)]
    part: Part,

    /// The state at this time instead of what happened: with ls (the default), why, show or map
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["since", "until", "speed", "count"])]
    at: Option<Moment>,

    #[command(subcommand)]
    question: Option<Question>,

    /// As fast as it happened (1), twice as fast (2) ...; otherwise as fast as it goes
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    speed: Option<f64>,

    /// Stop after this many printed events; snapshot lines do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// What can be asked about a moment. Links, mount tables, id maps and what else is inside of namespaces are no facts.
#[derive(Debug, clap::Subcommand)]
enum Question {
    Ls(ls::Args),
    Why(why::Args),
    Show(show::Args),
    Map(map::Args),
    Audit(audit::Args),
}

fn after_long_help() -> String {
    format!(
        "{}\n\n{}\n\nExamples:\n  nstrace replay trouble.nst -t net,pid\n  nstrace replay trouble.nst -J | jq .",
        chosen::names(),
        moment::SYNTAX
    )
}

/// A positive number.
fn factor(text: &str) -> Result<f64, &'static str> {
    const REMEDY: &str = "write a factor like 1, 0.5 or 10";
    text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0).ok_or(REMEDY)
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    if let Some(at) = &args.at {
        return answer(args, at, out);
    }
    if args.question.is_some() {
        return Err(Failure::Usage(
            "ls, why, show, map and audit of a recording want a moment: add --at TIME before them".to_owned(),
        ));
    }
    let mut selection = args.chosen.selection()?;
    let view = args.look.view()?;
    let shutdown = Shutdown::on_signals()?;
    let recording = Recording::open(&args.file).map_err(anyhow::Error::from)?;
    (selection.since, selection.until) = args.part.utc_in(&recording).map_err(anyhow::Error::from)?;
    selection.know_all(&recording.containers(None).map_err(anyhow::Error::from)?);
    let (replay, mut world) = match args.policies.instead_of(&recording.session().policy())? {
        None => Replay::start(recording, selection.since, container::from_cgroup_path),
        Some(policy) => {
            Replay::start_plain(recording, selection.since, container::from_cgroup_path).map(|(replay, mut world)| {
                world.set_policy(policy);
                (replay, world)
            })
        }
    }
    .map_err(anyhow::Error::from)?;
    let replay = replay.until(selection.until);
    let mut source: Box<dyn Source> = match args.speed {
        None => Box::new(replay),
        Some(speed) => Box::new(Paced::new(replay, speed)),
    };
    let limits = Limits { count: args.count, ..Limits::default() };
    let heading = !args.look.noheadings;
    let result = run_stream(&mut *source, &mut world, &selection, &view, heading, limits, &shutdown, out);
    let (summary, _) = interrupted(result, &shutdown)?;
    Ok(args.chosen.outcome(&summary))
}

/// The state at a moment.
fn answer(args: &Args, at: &Moment, out: &mut Stdout) -> Result<Outcome, Failure> {
    let recording = Recording::open(&args.file).map_err(anyhow::Error::from)?;
    let span = recording.span().map_err(anyhow::Error::from)?.unwrap_or_default();
    let at = at.utc_in(&recording, &TimeZone::system()).map_err(anyhow::Error::from)?;
    if at < span.0 {
        return Ok(Outcome::Nothing("the recording begins later".to_owned()));
    }
    let boot_id = recording.session().boot_id.clone();
    let origin = export::origin(recording.session());
    let engines = Engines::of(recording.containers(Some(at)).map_err(anyhow::Error::from)?);
    let moment = At { utc_ns: at, boot_ns: recording.boot_at(at).map_err(anyhow::Error::from)? };
    let world = world_at(recording, Some(at), container::from_cgroup_path)?;
    let census = || from_world::census(&world, &boot_id);
    let list = |args: &ls::Args, out: &mut Stdout| {
        let census = census();
        ls::list(args, &census, Beside::recorded(&census, &engines), out)
    };
    let target = match &args.question {
        Some(Question::Ls(args)) => args.namespace.as_ref(),
        Some(Question::Why(args)) => Some(&args.namespace),
        _ => None,
    };
    if let Some(Target::Path(path)) = target {
        // What is there now may be another one, on another machine.
        let path = escaped(path.as_bytes());
        return Err(Failure::Usage(format!(
            "{path}: a recording does not know paths: write net:[INODE], :NSID or a PID"
        )));
    }
    match &args.question {
        None => list(&ls::Args::default(), out),
        Some(Question::Ls(args)) => list(args, out),
        Some(Question::Why(args)) => why::explain(args, &census(), Names::recorded(), None, out),
        Some(Question::Show(args)) => recorded::show(args, &Scene::new(&world, &engines), moment, out),
        Some(Question::Audit(args)) => audit::recorded(args, &world, &engines, (&origin, at), out),
        Some(Question::Map(args)) => recorded::map(args, &Scene::new(&world, &engines), moment, out),
    }
}
