//! `nstrace schema`: the JSON Schema of what `-J` and `export` print.

use super::{
    exit::{Failure, Outcome},
    output::Stdout,
};
use crate::view::{ecs, ocsf, schema};

/// Print the JSON Schema (draft 2020-12) of everything that -J prints
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of what
    #[arg(value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// Lines and documents of -J.
    #[default]
    Json,
    /// Lines of 'nstrace export --format ecs'.
    Ecs,
    /// Lines of 'nstrace export --format ocsf'.
    Ocsf,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let text = match args.format {
        Format::Json => schema::TEXT,
        Format::Ecs => ecs::SCHEMA,
        Format::Ocsf => ocsf::SCHEMA,
    };
    out.text(text.as_bytes())?;
    Ok(Outcome::Complete)
}
