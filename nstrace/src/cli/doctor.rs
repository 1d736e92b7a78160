//! `nstrace doctor`: what this kernel and these privileges let nstrace see.

use super::{
    exit::{Failure, Outcome},
    flags::{Attach, Color},
    output::Stdout,
};
use crate::{
    kernel, source,
    view::doctor::{self, DoctorView},
};

/// Say what nstrace can see on this kernel, by which hooks, and what stays invisible
///
/// Exits with 4 when something stays invisible.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,

    /// How to attach to the kernel
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    attach: Attach,

    /// Show rejected hooks with the whole reason, the verifier's words included
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let report = source::doctor(&kernel::Options { attach: args.attach.mode(), ring_bytes: None });
    let text = if args.json {
        doctor::json(&report)
    } else {
        DoctorView { colour: args.color.wanted(), verbose: args.verbose }.text(&report)
    };
    out.text(text.as_bytes())?;
    Ok(report.missing_line().map_or(Outcome::Complete, Outcome::Partial))
}
