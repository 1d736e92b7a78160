//! `nstrace watch`: what is happening to namespaces right now.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    chosen::{self, Chosen, Look},
    exit::{Failure, Outcome},
    flags::{self, Attach},
    naming::{self, Naming},
    output::Stdout,
    policies::Policies,
    say,
    shutdown::Shutdown,
    stream::{Limits, Model, run_stream},
    unseen::Unseen,
};
use crate::{
    container,
    event::Stamped,
    kernel::{
        self,
        report::{AttachMode, Report},
    },
    model::{Change, World},
    ns::NsName,
    policy::Policy,
    source::{self, Source},
};

/// Print what happens to namespaces, one line per event
///
/// Namespaces that exist already come first, as `snapshot` lines. Whatever happens after the first line is seen.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    #[command(flatten)]
    look: Look,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    policies: Policies,

    /// Stop after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    duration: Option<Duration>,

    /// Stop after this many printed events; snapshot lines do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How to attach to the kernel
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    attach: Attach,

    /// Size of the buffer between kernel and nstrace: a power of two
    #[arg(long, value_name = "BYTES", value_parser = flags::ring_size, default_value = "16M")]
    ring_size: u32,

    /// Say on stderr which hook serves which fact
    #[arg(short, long)]
    verbose: bool,
}

fn after_long_help() -> String {
    format!(
        "{}\n\nExamples:\n  nstrace watch -t net,pid\n  nstrace watch -J --duration 10s -Q 'EVENT == \"destroyed\" and LIFETIME < 1.5'\n  \
         nstrace watch -Q 'EVENT != \"snapshot\" and COMM =~ \"^runc\"'",
        chosen::names(),
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    // Everything that can be wrong with the command line is told before the kernel is touched.
    let mut selection = args.chosen.selection()?;
    let view = args.look.view()?;
    let policy = args.policies.read()?;
    let shutdown = Shutdown::on_signals()?;

    naming::know_live(&mut selection);
    let asks = selection.names_come || policy.asks_engines();
    let Live { mut source, mut world, report } = open_live_source(args.attach.mode(), args.ring_size, policy, asks)?;
    super::say_what_is_seen(&report, args.verbose);

    let limits = Limits { duration: args.duration, count: args.count, whole_facts: false };
    let result =
        run_stream(&mut *source, &mut *world, &selection, &view, !args.look.noheadings, limits, &shutdown, out);
    shutdown.finish();
    let summary = result?;
    if !shutdown.hung_up() {
        say(&summary.to_string());
    }
    Ok(args.chosen.outcome(&summary))
}

/// A live source that says once on stderr what its snapshot could not read.
struct Telling {
    live: source::Live,
    unseen: Unseen,
    /// Only where an exception, or who asks for a container by name, needs what engines know.
    naming: Option<Naming>,
}

impl Source for Telling {
    fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        let mut events = self.live.next(wait)?;
        self.unseen.tell(&self.live);
        if let (Some(naming), Some(events)) = (&mut self.naming, &mut events) {
            events.iter().for_each(|event| naming.meet(&event.event));
            if let Some(news) = naming.news() {
                events.extend(naming::told(&news));
            }
        }
        Ok(events)
    }

    fn await_end(&mut self, suspects: &[NsName]) {
        self.live.await_end(suspects);
    }

    fn account(&mut self) {
        self.live.account();
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Stamped>> {
        self.live.finish()
    }

    fn skipped(&self) -> u64 {
        self.live.skipped()
    }
}

/// An attached source, the model for its events, and what it cannot see.
struct Live {
    source: Box<dyn Source>,
    world: Box<dyn Model>,
    report: Report,
}

fn open_live_source(
    attach: Option<AttachMode>,
    ring_size: u32,
    policy: Policy,
    asks_engines: bool,
) -> anyhow::Result<Live> {
    let source = source::Live::open(&kernel::Options { attach, ring_bytes: Some(ring_size) })?;
    let report = source.report().clone();
    let naming = asks_engines.then(Naming::of_this_machine).transpose();
    let naming = naming.context("cannot make a thread to ask container engines in")?;
    let source = Telling { live: source, unseen: Unseen::default(), naming };
    let mut world = World::new(container::from_cgroup_path);
    world.set_policy(policy);
    Ok(Live { source: Box::new(source), world: Box::new(world), report })
}

impl Model for World {
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>) {
        Self::apply(self, event, changes);
    }

    fn take_suspects(&mut self) -> Vec<NsName> {
        Self::take_suspects(self)
    }

    fn take_doubt(&mut self) -> bool {
        Self::take_doubt(self)
    }

    fn take_notices(&mut self) -> Vec<String> {
        Self::take_notices(self)
    }
}
