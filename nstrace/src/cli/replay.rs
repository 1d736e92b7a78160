//! `nstrace replay`: a recording told as `watch` told it.

use std::path::PathBuf;

use super::{
    chosen::{self, Chosen, Look},
    exit::{Failure, Outcome},
    output::Stdout,
    say,
    shutdown::Shutdown,
    stream::{End, Limits, run_stream},
};
use crate::{container, model::World, recording::Recording, source::Replay};

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

    /// Stop after this many printed events; snapshot lines do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn after_long_help() -> String {
    format!(
        "{}\n\nExamples:\n  nstrace replay trouble.nst -t net,pid\n  nstrace replay trouble.nst -J | jq .",
        chosen::names()
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let selection = args.chosen.selection()?;
    let view = args.look.view()?;
    let shutdown = Shutdown::default();
    shutdown
        .on_signals()
        .map_err(|error| anyhow::anyhow!("cannot handle signals: {error}: raise the limits of threads"))?;
    let recording = Recording::open(&args.file).map_err(anyhow::Error::from)?;
    let mut source = Replay::new(recording);
    let mut world = World::new(container::from_cgroup_path);
    let limits = Limits { count: args.count, ..Limits::default() };
    let heading = !args.look.noheadings;
    let result = run_stream(&mut source, &mut world, &selection, &view, heading, limits, &shutdown, out);
    shutdown.finish();
    let summary = result?;
    if summary.end == End::Requested && !shutdown.hung_up() {
        say(&summary.to_string());
    }
    Ok(Outcome::Complete)
}
