//! `nstrace schema`: the JSON Schema of what `-J` prints.

use super::{
    exit::{Failure, Outcome},
    output::Stdout,
};

/// Print the JSON Schema (draft 2020-12) of everything that -J prints
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    out.text(crate::view::schema::TEXT.as_bytes())?;
    Ok(Outcome::Complete)
}
