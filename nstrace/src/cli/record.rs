//! `nstrace record`: the facts of a watch into a file.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use nstrace_common::record;
use zerocopy::IntoBytes as _;

use super::{
    chosen::Chosen,
    exit::{Failure, Outcome},
    flags::{self, Attach, Color},
    naming::{self, Naming},
    output::{Sink, Stdout},
    policies::Policies,
    recorder::recorder,
    say, shown,
    shutdown::Shutdown,
    stream::{Limits, run_stream},
};
use crate::{
    container,
    discover::clock,
    kernel::{self, report::AttachMode},
    model::World,
    policy::Texts,
    recording::{
        Keep, Options, Writer, chain,
        document::{Configuration, Session, TOOL},
        entry::Span,
        seal::SecretKey,
    },
    source::Live,
    view::{View, columns::Column, text::TextView},
};

/// Record what happens to namespaces, for replay, query and verify
///
/// Everything is recorded, whatever is selected to be printed meanwhile.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  nstrace record -o trouble.nst\n  nstrace record -o box.nst --keep 7d --max-size 2G\n  \
                             nstrace record -o here.nst -J --duration 1m > lines.jsonl\n  nstrace replay trouble.nst -t net"
)]
pub(super) struct Args {
    /// The file to make; an existing one is left alone
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Print what 'nstrace watch' would print
    #[arg(long)]
    print: bool,

    /// Print what 'nstrace watch -J' would print
    #[arg(short = 'J', long, conflicts_with = "print")]
    json: bool,

    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    policies: Policies,

    /// Print no heading
    #[arg(short, long)]
    noheadings: bool,

    /// Stop after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = flags::duration)]
    duration: Option<Duration>,

    /// Stop after this many selected events; those that existed before do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Forget what is older than this: 12h, 7d, 2w
    #[arg(long, value_name = "TIME", value_parser = age)]
    keep: Option<Duration>,

    /// Forget the oldest when there is more than this: 500M, 2G
    #[arg(long, value_name = "BYTES", value_parser = size)]
    max_size: Option<u64>,

    /// Seal with this minisign secret key; 'nstrace verify --key' and minisign check it
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

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

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let mut selection = args.chosen.selection()?;
    let policy = args.policies.read()?;
    let file = shown(&args.output);
    let path = args.output.display();
    if args.output.symlink_metadata().is_ok() {
        let why = "it exists, and a recording is never overwritten: choose another name or remove it";
        return Err(anyhow::anyhow!("cannot create the recording {path}: {why}").into());
    }
    let sign = args.sign.as_deref().map(SecretKey::read).transpose().map_err(anyhow::Error::from)?;
    let shutdown = Shutdown::on_signals()?;

    naming::know_live(&mut selection);
    let live = Live::open(&kernel::Options { attach: args.attach.mode(), ring_bytes: Some(args.ring_size) })?;
    super::say_what_is_seen(live.report(), args.verbose);
    let anchor = clock::Anchor::read();
    let options = Options { keep: Keep::new(args.keep, args.max_size), sign, keyframe: None };
    let at = Span::moment(anchor.boot_ns, anchor.utc_ns);
    let session = session(args, &live, policy.texts())?;
    let writer = Writer::create(&args.output, &session, at, options).map_err(anyhow::Error::from)?;
    let naming = Naming::of_this_machine().context("cannot make a thread to ask container engines in")?;
    let mut world = World::new(container::from_cgroup_path);
    world.set_policy(policy);
    let (mut source, mut world) = recorder(live, world, writer, naming);

    let view = if args.print {
        let zone = TimeZone::system();
        View::Text(TextView { columns: Column::DEFAULT.to_vec(), colour: Color::Auto.wanted(), zone })
    } else {
        View::Json
    };
    let printed = args.print || args.json;
    let mut status = Status { file: &file, told: false };
    let sink: &mut dyn Sink = if printed { out } else { &mut status };
    let limits = Limits { duration: args.duration, count: args.count, whole_facts: true };
    let heading = !printed || !args.noheadings;
    let result = run_stream(&mut source, &mut world, &selection, &view, heading, limits, &shutdown, sink);
    shutdown.finish();
    let summary = match result {
        Ok(summary) => Some(summary),
        // Whoever read the lines has seen enough.
        Err(Failure::OutputGone) => None,
        Err(failure) => return Err(failure),
    };
    let facts = source.end().map_err(anyhow::Error::from)?;
    let Some(summary) = summary else { return Ok(Outcome::Complete) };
    if !shutdown.hung_up() {
        say(&format!("{summary}, {facts} facts in {file}"));
    }
    Ok(args.chosen.outcome(&summary))
}

fn session(args: &Args, live: &Live, policy: &Texts) -> anyhow::Result<Session> {
    let system = rustix::system::uname();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(Session {
        tool: TOOL.to_owned(),
        abi: record::ABI,
        kernel: live.report().kernel.clone(),
        machine: live.report().machine.clone(),
        host: system.nodename().to_string_lossy().into_owned(),
        boot_id: boot_id.trim().to_owned(),
        layout: chain::hex(live.layout().as_bytes()),
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        report: serde_json::to_value(live.report())?,
        configuration: Configuration {
            attach: args.attach.mode().map_or("auto", AttachMode::name).to_owned(),
            ring_bytes: args.ring_size,
            keep_seconds: args.keep.map(|keep| keep.as_secs()),
            max_bytes: args.max_size,
            sealed: args.sign.is_some(),
        },
        exceptions: policy.exceptions.clone(),
        rules: policy.rules.clone(),
    })
}

/// Takes the lines of a recording that prints none: the first of them means that everything is seen from now on.
#[derive(Debug)]
struct Status<'a> {
    file: &'a str,
    told: bool,
}

impl std::io::Write for Status<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !std::mem::replace(&mut self.told, true) {
            say(&format!("recording into {}: Ctrl-C ends it", self.file));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Status<'_> {
    fn is_gone(&self) -> bool {
        false
    }
}

/// `7d`, `12h`, `2w`.
fn age(text: &str) -> Result<Duration, &'static str> {
    const REMEDY: &str = "write it like 30m, 12h, 7d or 2w";
    let span: jiff::Span = text.parse().map_err(|_| REMEDY)?;
    let age = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| REMEDY)?;
    Duration::try_from(age).ok().filter(|age| !age.is_zero()).ok_or(REMEDY)
}

/// `500M`, `2G`: `K`, `M`, `G` and `T` count 1024s.
fn size(text: &str) -> Result<u64, &'static str> {
    const REMEDY: &str = "write at least 1M, like 500M or 2G";
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return Err(REMEDY),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    size.filter(|&size| size >= 1 << 20).ok_or(REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes() {
        let day = Duration::from_secs(86_400);
        for (text, expected) in [("7d", 7 * day), ("2w", 14 * day), ("1h30m", Duration::from_secs(5400))] {
            assert_eq!(age(text), Ok(expected), "{text}");
        }
        for text in ["", "0s", "-1d", "7", "x", "1mo", "9999999999w"] {
            assert!(age(text).is_err(), "{text}");
        }
        assert_eq!((size("1048576"), size("2G"), size("500m")), (Ok(1 << 20), Ok(2 << 30), Ok(500 << 20)));
        for text in ["", "G", "1K", "0", "-1", "2GG", "2GiB", "99999999999T", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
