//! `nstrace verify`: is a recording whole and untouched.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{
    exit::{Failure, Outcome},
    output::Stdout,
    say, shown,
};
use crate::{
    recording::{
        document::Seal,
        seal::PublicKey,
        verify::{Depth, Fault, Whole, verify},
    },
    view::verify as view,
};

/// Say whether a recording is whole and untouched
///
/// Every row is checked against the chain of hashes, every record against its number, every keyframe against the facts before
/// it. Whoever changes a recording can make a
/// new chain: only a seal (record --sign, verify --key), or a hash noted elsewhere, tells that too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit codes: 0 whole, 1 changed, damaged or torn: one line says where.\n\nExamples:\n  \
                             nstrace verify trouble.nst\n  nstrace verify --key minisign.pub trouble.nst\n  \
                             nstrace verify --export-seal seal trouble.nst && minisign -Vm seal -p minisign.pub")]
pub(super) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,

    /// Check the seals with this minisign public key: a file, or the key itself
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Check the chain and the seals alone, not what is inside of the rows: fast
    #[arg(long)]
    chain: bool,

    /// Write the newest seal to this file, and its signature beside it with .minisig, for minisign -V
    #[arg(long, value_name = "FILE")]
    export_seal: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let key = args.key.as_deref().map(PublicKey::read).transpose().map_err(anyhow::Error::from)?;
    let whole = match verify(&args.file, key.as_ref(), if args.chain { Depth::Chain } else { Depth::All }) {
        Ok(whole) => whole,
        Err(Fault::File(error)) => return Err(anyhow::Error::from(error).into()),
        Err(fault) => {
            if args.json {
                out.text(&view::fault_json(&fault))?;
            }
            return Err(anyhow::anyhow!("{} is not whole: {fault}", args.file.display()).into());
        }
    };
    if let Some(file) = &args.export_seal {
        export(&whole, file)?;
    }
    if args.json {
        out.text(&view::json(&whole))?;
    } else {
        out.text(view::text(&whole, &shown(&args.file)).as_bytes())?;
    }
    Ok(Outcome::Complete)
}

fn export(whole: &Whole, file: &std::path::Path) -> anyhow::Result<()> {
    let Some(sealed) = whole.seals.last() else {
        anyhow::bail!("the recording has no seal: they are made by 'nstrace record --sign KEY'");
    };
    let Seal { text, signature } = &sealed.seal;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".minisig");
    for (path, content) in [(file, text), (std::path::Path::new(&beside), signature)] {
        std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(&format!("check it with: minisign -Vm {} -p PUBLIC-KEY", shown(file)));
    Ok(())
}
