//! `nstrace timeline`: the life of one object in a recording.

use std::path::PathBuf;

use super::{
    chosen::{self, Chosen, Look},
    exit::{Failure, Outcome},
    interrupted,
    moment::{self, Part},
    output::Stdout,
    shutdown::Shutdown,
    stream::{Limits, Model, run_stream},
};
use crate::{
    container,
    event::Stamped,
    filter::follow::{Follow, Subject},
    model::{Change, World},
    ns::NsName,
    recording::Recording,
    source::Replay,
};

/// Print the life of a namespace, a process or a container
///
/// Every event in which it occurs, and all of the life of the namespaces that it made (of a namespace: of those that it owns
/// or is the parent of). Numbers are reused: everything that had the number is printed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// net:[INODE], INODE, :NSID, a PID, or the id (or its start) or name of a container
    #[arg(value_name = "NS|PID|CONTAINER")]
    subject: Subject,

    #[command(flatten)]
    look: Look,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    part: Part,
}

fn after_long_help() -> String {
    format!(
        "{}\n\n{}\n\nExamples:\n  nstrace timeline trouble.nst net:[4026532177]\n  nstrace timeline trouble.nst 4321 -J\n  \
         nstrace timeline trouble.nst 3f2a91",
        chosen::names(),
        moment::SYNTAX
    )
}

/// The world, narrowed to what is followed.
#[derive(Debug)]
struct Followed {
    world: World,
    follow: Follow,
}

impl Model for Followed {
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>) {
        let before = changes.len();
        self.world.apply(event, changes);
        let mut place = 0;
        changes.retain(|change| {
            place += 1;
            place <= before || self.follow.admits(change)
        });
    }

    fn take_suspects(&mut self) -> Vec<NsName> {
        self.world.take_suspects()
    }
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let mut selection = args.chosen.selection()?;
    let view = args.look.view()?;
    let shutdown = Shutdown::on_signals()?;
    let recording = Recording::open(&args.file).map_err(anyhow::Error::from)?;
    (selection.since, selection.until) = args.part.utc_in(&recording).map_err(anyhow::Error::from)?;
    let known = recording.containers(None).map_err(anyhow::Error::from)?;
    selection.know_all(&known);
    // From the start: what was made before `--since` is followed too.
    let (source, world) = Replay::start(recording, None, container::from_cgroup_path).map_err(anyhow::Error::from)?;
    let mut source = source.until(selection.until);
    let mut followed = Followed { world, follow: Follow::new(args.subject.clone(), &known) };
    let heading = !args.look.noheadings;
    let limits = Limits::default();
    let result = run_stream(&mut source, &mut followed, &selection, &view, heading, limits, &shutdown, out);
    let (summary, early) = interrupted(result, &shutdown)?;
    if !early && !followed.follow.found() {
        return Ok(Outcome::Nothing(format!("nothing of it is in {}", super::shown(&args.file))));
    }
    Ok(args.chosen.outcome(&summary))
}
