//! `nstrace diff`: what came and went between two moments.

use std::{
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
    str::FromStr,
};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use jiff::tz::TimeZone;

use super::{
    exit::{Failure, Outcome},
    flags::Color,
    moment::{self, Moment},
    output::Stdout,
    say,
};
use crate::{
    container,
    model::{Difference, World},
    recording::{Recording, document::Session},
    source::world_at,
    view::difference::{self, Side},
};

/// Say which namespaces, members and holders came and went between two moments
///
/// The moments may be of one recording or of two. Members are those of namespaces other than the initial ones.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The earlier moment; FILE alone: its end
    #[arg(value_name = "FILE[@TIME]", value_parser = OsStringValueParser::new().try_map(|text| point(&text)))]
    from: Point,

    /// The later moment
    #[arg(value_name = "FILE[@TIME]", value_parser = OsStringValueParser::new().try_map(|text| point(&text)))]
    to: Point,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    color: Color,
}

fn after_long_help() -> String {
    format!(
        "{}\n\nExit code 3 says that nothing differs.\n\nExamples:\n  nstrace diff trouble.nst@+0s trouble.nst\n  \
         nstrace diff trouble.nst@20:35 trouble.nst@20:40\n  nstrace diff -J monday.nst friday.nst",
        moment::SYNTAX
    )
}

/// A moment of a file.
#[derive(Clone, Debug)]
struct Point {
    file: PathBuf,
    moment: Option<Moment>,
}

/// The file is as much before an `@` as exists, or else everything before the first one.
fn point(text: &std::ffi::OsStr) -> Result<Point, &'static str> {
    let bytes = text.as_bytes();
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_owned()));
    let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'@').collect();
    if places.is_empty() || path(bytes).exists() {
        return Ok(Point { file: path(bytes), moment: None });
    }
    let place = places.iter().copied().find(|&at| path(&bytes[..at]).exists()).unwrap_or(places[0]);
    let time = std::str::from_utf8(&bytes[place + 1..]).map_err(|_| "the time behind the @ is not UTF-8")?;
    Ok(Point { file: path(&bytes[..place]), moment: Some(Moment::from_str(time)?) })
}

/// A world and where it is from.
struct Found {
    world: World,
    session: Session,
    side: Side,
}

fn find(point: &Point) -> anyhow::Result<Found> {
    let recording = Recording::open(&point.file)?;
    let session = recording.session().clone();
    let span = recording.span()?;
    let zone = TimeZone::system();
    let wanted = point.moment.as_ref().map(|moment| moment.utc_in(&recording, &zone)).transpose()?;
    // The state is that of the start before it, and that of the end after it.
    let utc_ns = span.map(|(first, last)| wanted.unwrap_or(last).clamp(first, last.max(first)));
    let side = Side { file: point.file.to_string_lossy().into_owned(), utc_ns };
    let world = world_at(recording, wanted, container::from_cgroup_path)?;
    Ok(Found { world, session, side })
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let (from, to) = (find(&args.from)?, find(&args.to)?);
    if from.session.boot_id != to.session.boot_id {
        say("the two are of different boots or hosts: only what has the same number is taken for the same");
    }
    let is_same_file = || {
        let file = |point: &Point| std::fs::canonicalize(&point.file).ok();
        file(&args.from).is_some_and(|from| Some(from) == file(&args.to))
    };
    let difference = Difference::between(&from.world, &to.world, is_same_file());
    if args.json {
        out.text(difference::json(&difference, &from.side, &to.side).as_bytes())?;
    } else if !difference.is_empty() {
        out.text(difference::text(&difference, &from.side, &to.side, args.color.wanted()).as_bytes())?;
    }
    if difference.is_empty() { Ok(Outcome::Nothing("nothing differs".to_owned())) } else { Ok(Outcome::Complete) }
}
