//! `nstrace watch`: what is happening to namespaces right now.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{
    exit::{Failure, Outcome},
    flags::{self, Attach, Color},
    output::Stdout,
    say,
    selection::Selection,
    shutdown::Shutdown,
    stream::{Limits, Model, run_stream},
};
use crate::{
    container,
    event::Stamped,
    filter::{CHANGE_FIELDS, Filter},
    kernel::{
        self,
        report::{AttachMode, Report},
    },
    model::{Change, World},
    ns::{NsName, NsType},
    source::{self, Source},
    view::{View, columns::Column, text::TextView},
};

/// Print what happens to namespaces, one line per event
///
/// Namespaces that exist already come first, as `snapshot` lines. Whatever happens after the first line is seen.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// Print JSON Lines; 'nstrace schema' describes them
    #[arg(short = 'J', long)]
    json: bool,

    /// Only namespaces of these types: mnt, pid, net, ipc, uts, user, cgroup, time
    #[arg(short, long = "type", value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<NsType>,

    /// Only what this container does: its id, the start of it, or its name; may be repeated
    #[arg(long = "container", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: Vec<String>,

    /// Only what some container does
    #[arg(long)]
    containers: bool,

    /// Only events for which this scols-filter(5) expression holds, like 'TYPE == "net" and PID > 1'
    #[arg(short = 'Q', long, value_name = "EXPR")]
    filter: Option<String>,

    /// Stop after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    duration: Option<Duration>,

    /// Stop after this many printed events; snapshot lines do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Columns to show; +COLS adds to the default ones
    #[arg(short, long, value_name = "COLS", conflicts_with = "json")]
    output: Option<String>,

    /// Print no heading
    #[arg(short, long)]
    noheadings: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    color: Color,

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
    let list = |names: Vec<&str>| names.join(" ");
    format!(
        "Columns of --output: {}\n\nFields of --filter: {}\n\nLIFETIME counts seconds, NS is the inode number.\n\n\
         Examples:\n  nstrace watch -t net,pid\n  nstrace watch -J --duration 10s -Q 'EVENT == \"destroyed\" and LIFETIME < 1.5'\n  \
         nstrace watch -Q 'EVENT != \"snapshot\" and COMM =~ \"^runc\"'",
        list(Column::ALL.map(Column::name).to_vec()),
        list(CHANGE_FIELDS.iter().map(|f| f.name).collect()),
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    // Everything that can be wrong with the command line is told before the kernel is touched.
    let selection = selection(args)?;
    let view = view(args)?;
    let shutdown = Shutdown::default();
    shutdown
        .on_signals()
        .map_err(|error| anyhow::anyhow!("cannot handle signals: {error}: raise the limits of threads"))?;

    let Live { mut source, mut world, report } = open_live_source(args.attach.mode(), args.ring_size)?;
    if args.verbose {
        for line in crate::view::doctor::hooks_in_use(&report) {
            say(&line);
        }
    }
    if let Some(missing) = report.missing_line() {
        say(&format!("not seen on this kernel: {}", super::one_line(&missing)));
    }

    let limits = Limits { duration: args.duration, count: args.count };
    let result = run_stream(&mut *source, &mut *world, &selection, &view, !args.noheadings, limits, &shutdown, out);
    shutdown.finish();
    let summary = result?;
    if !shutdown.hung_up() {
        say(&summary.to_string());
    }
    Ok(Outcome::Complete)
}

fn selection(args: &Args) -> Result<Selection, Failure> {
    let filter = args.filter.as_deref().map(|text| Filter::parse(text, &CHANGE_FIELDS)).transpose();
    Ok(Selection {
        types: args.types.clone(),
        containers: args.container.clone(),
        only_containers: args.containers,
        filter: filter.map_err(|error| Failure::Usage(error.to_string()))?,
    })
}

fn view(args: &Args) -> Result<View, Failure> {
    if args.json {
        return Ok(View::Json);
    }
    let columns = match &args.output {
        None => Column::DEFAULT.to_vec(),
        Some(list) => Column::list(list).map_err(|error| Failure::Usage(error.to_string()))?,
    };
    Ok(View::Text(TextView { columns, colour: args.color.wanted(), zone: TimeZone::system() }))
}

/// An attached source, the model for its events, and what it cannot see.
struct Live {
    source: Box<dyn Source>,
    world: Box<dyn Model>,
    report: Report,
}

fn open_live_source(attach: Option<AttachMode>, ring_size: u32) -> anyhow::Result<Live> {
    let source = source::Live::open(&kernel::Options { attach, ring_bytes: Some(ring_size) })?;
    let report = source.report().clone();
    Ok(Live { source: Box::new(source), world: Box::new(World::new(container::from_cgroup_path)), report })
}

impl Model for World {
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>) {
        Self::apply(self, event, changes);
    }

    fn take_suspects(&mut self) -> Vec<NsName> {
        Self::take_suspects(self)
    }
}
