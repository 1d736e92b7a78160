//! The command line: one file per verb, one exit code per outcome.

mod audit;
mod census_containers;
mod census_source;
mod chosen;
mod diff;
mod doctor;
pub mod exit;
mod export;
mod flags;
mod held;
mod ls;
mod map;
mod moment;
mod naming;
pub mod output;
mod policies;
mod query;
mod record;
mod recorded;
mod recorder;
mod replay;
mod rules;
mod schema;
pub mod selection;
mod show;
pub mod shutdown;
pub mod stream;
mod timeline;
mod unseen;
mod verify;
mod watch;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{
    exit::{Failure, Outcome},
    output::Stdout,
    shutdown::Shutdown,
    stream::{End, Summary},
};
use crate::{kernel::report::Report, view::escape::escaped};

/// See what happens to Linux namespaces: who makes, enters, leaves, keeps and ends them.
#[derive(Debug, Parser)]
#[command(name = "nstrace", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 complete, 1 error, 2 usage, 3 nothing matched, 4 partial result, \
                        5 findings at or above --fail-on.")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Watch(watch::Args),
    Ls(ls::Args),
    Why(why::Args),
    Show(show::Args),
    Map(map::Args),
    Audit(audit::Args),
    Record(record::Args),
    Replay(replay::Args),
    Verify(verify::Args),
    Query(query::Args),
    Diff(diff::Args),
    Timeline(timeline::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Rules(rules::Args),
    Schema(schema::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut out = Stdout::new();
    let result = match Args::try_parse() {
        Ok(Args { verb }) => match verb {
            Verb::Watch(args) => watch::run(&args, &mut out),
            Verb::Ls(args) => ls::run(&args, &mut out),
            Verb::Why(args) => why::run(&args, &mut out),
            Verb::Map(args) => map::run(&args, &mut out),
            Verb::Show(args) => show::run(&args, &mut out),
            Verb::Audit(args) => audit::run(&args, &mut out),
            Verb::Record(args) => record::run(&args, &mut out),
            Verb::Replay(args) => replay::run(&args, &mut out),
            Verb::Verify(args) => verify::run(&args, &mut out),
            Verb::Query(args) => query::run(&args, &mut out),
            Verb::Diff(args) => diff::run(&args, &mut out),
            Verb::Timeline(args) => timeline::run(&args, &mut out),
            Verb::Export(args) => export::run(&args, &mut out),
            Verb::Doctor(args) => doctor::run(&args, &mut out),
            Verb::Rules(args) => rules::run(&args, &mut out),
            Verb::Schema(args) => schema::run(&args, &mut out),
        },
        Err(error) => show_or_refuse(&error, &mut out),
    };
    match result {
        Ok(Outcome::Complete) => exit::COMPLETE.into(),
        Ok(Outcome::Nothing(what)) => {
            say(&one_line(&what));
            exit::NOTHING.into()
        }
        Ok(Outcome::Partial(what)) => {
            say(&format!("not seen: {}", one_line(&what)));
            exit::PARTIAL.into()
        }
        Ok(Outcome::Findings { what, partial }) => {
            if let Some(unseen) = partial {
                say(&format!("not seen: {}", one_line(&unseen)));
            }
            say(&one_line(&what));
            exit::FINDINGS.into()
        }
        // Whoever read our output has seen enough: that is how `| head` ends us.
        Err(Failure::OutputGone) => exit::COMPLETE.into(),
        Err(failure @ Failure::Usage(_)) => {
            say(&failure.to_string());
            exit::USAGE.into()
        }
        Err(failure @ Failure::Error(_)) => {
            say(&one_line(&failure.to_string()));
            exit::ERROR.into()
        }
    }
}

/// Help and version go to stdout; a command line that cannot be understood becomes one line.
fn show_or_refuse(error: &clap::Error, out: &mut Stdout) -> Result<Outcome, Failure> {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out.text(text.as_bytes())?;
            Ok(Outcome::Complete)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::Usage(format!("a verb is missing\n\n{}", text.trim_end())))
        }
        _ => {
            // clap's paragraphs: what is wrong (sometimes with a list below), tips, usage, where to find help.
            let said = |line: &&str| !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more");
            let line = text.lines().map(str::trim).filter(said).collect::<Vec<_>>().join(" ");
            let line = line.strip_prefix("error: ").unwrap_or(&line);
            Err(Failure::Usage(format!("{}; see 'nstrace --help'", escaped(line.as_bytes()))))
        }
    }
}

/// One message on stderr. Nobody listening there is no reason to fail.
fn say(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "nstrace: {message}");
}

/// The end of a recording's telling: what it came to, and whether somebody asked for its end early, who is then told how far it came.
fn interrupted(told: Result<Summary, Failure>, shutdown: &Shutdown) -> Result<(Summary, bool), Failure> {
    shutdown.finish();
    let summary = told?;
    let interrupted = summary.end == End::Requested && !shutdown.hung_up();
    if interrupted {
        say(&summary.to_string());
    }
    Ok((summary, interrupted))
}

/// What stays unseen while tracing; first, when asked for, which hook serves which fact.
fn say_what_is_seen(report: &Report, verbose: bool) {
    if verbose {
        for line in crate::view::doctor::hooks_in_use(report) {
            say(&line);
        }
    }
    if let Some(missing) = report.missing_line() {
        say(&format!("not seen on this kernel: {}", one_line(&missing)));
    }
}

/// A path as messages name it.
fn shown(path: &std::path::Path) -> String {
    escaped(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).to_string()
}

/// Messages may carry names from anywhere, and verifier logs of many lines.
fn one_line(text: &str) -> String {
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    escaped(line.as_bytes()).to_string()
}
