//! `nstrace export`: the events of a recording for other programs.

use std::path::PathBuf;

use super::{
    chosen::{self, Chosen},
    exit::{Failure, Outcome},
    interrupted,
    moment::{self, Part},
    output::Stdout,
    shutdown::Shutdown,
    stream::{Limits, run_stream},
};
use crate::{
    container,
    recording::{Recording, document::Session},
    source::Replay,
    view::{View, origin::Origin},
};

/// Write the events of a recording for other programs
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    part: Part,

    /// Write no header line (csv)
    #[arg(short, long)]
    noheadings: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// JSON Lines, as 'nstrace replay -J' prints them.
    #[default]
    Jsonl,
    /// Elastic Common Schema 9.4.0, as JSON Lines.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.8.0 (Kernel Activity), as JSON Lines.
    Ocsf,
    /// RFC 4180, with a header line.
    Csv,
}

fn after_long_help() -> String {
    format!(
        "{}\n\n{}\n\nIn CSV, names are escaped as for a terminal (\\n, \\x1b, \\\\), and one that begins with = + - @ or ' \
         has a ' before it, so that no spreadsheet takes it for a formula.\n\nExamples:\n  \
         nstrace export trouble.nst --format ecs -Q 'EVENT == \"denied\"'\n  \
         nstrace export trouble.nst --format csv --since -5m > last.csv",
        chosen::names(),
        moment::SYNTAX,
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let mut selection = args.chosen.selection()?;
    let shutdown = Shutdown::on_signals()?;
    let recording = Recording::open(&args.file).map_err(anyhow::Error::from)?;
    (selection.since, selection.until) = args.part.utc_in(&recording).map_err(anyhow::Error::from)?;
    selection.know_all(&recording.containers(None).map_err(anyhow::Error::from)?);
    let view = match args.format {
        Format::Jsonl => View::Json,
        Format::Ecs => View::Ecs(origin(recording.session())),
        Format::Ocsf => View::Ocsf(origin(recording.session())),
        Format::Csv => View::Csv,
    };
    let (source, mut world) =
        Replay::start(recording, selection.since, container::from_cgroup_path).map_err(anyhow::Error::from)?;
    let mut source = source.until(selection.until);
    let heading = !args.noheadings;
    let result = run_stream(&mut source, &mut world, &selection, &view, heading, Limits::default(), &shutdown, out);
    let (summary, _) = interrupted(result, &shutdown)?;
    Ok(args.chosen.outcome(&summary))
}

/// Where a recording was made.
pub(super) fn origin(session: &Session) -> Origin {
    Origin { host: session.host.clone(), boot_id: session.boot_id.clone(), kernel: session.kernel.clone() }
}
