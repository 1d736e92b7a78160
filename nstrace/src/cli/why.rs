//! `nstrace why NS`: every reference that keeps a namespace.

use std::collections::BTreeSet;

use super::{
    census_source::{Names, missing_of, no_match},
    exit::{Failure, Outcome},
    output::Stdout,
};
use crate::{
    census::{
        Census, NsIndex,
        collect::{Depth, census},
        target::Target,
    },
    discover::Proc,
    inspect::{net::reach::Reach, seen::Seen},
    ns::NsType,
    view::{
        why::{self, Ending, Why},
        why_json,
    },
};

/// Say why a namespace is still alive: everything that holds it, beside the kernel's reference count
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// net:[INODE], INODE, :NSID, a path like /run/netns/x or /proc/1/ns/net, or a PID with -t
    #[arg(value_name = "NS")]
    pub namespace: Target,

    /// Of a PID, the namespaces of these types: mnt, pid, net, ipc, uts, user, cgroup, time
    #[arg(short, long = "type", value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<NsType>,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let proc = Proc::default();
    let census = census(&proc, Depth::Holders, true)?;
    let reach = Reach::new(&proc, &census);
    explain(args, &census, Names::default(), Some(&reach), out)
}

/// Prints what a census knows of the namespaces asked for. `reach`: the ways into network namespaces; those of a
/// recording are not there any more, and neither are their devices.
pub(super) fn explain(
    args: &Args,
    census: &Census,
    mut names: Names,
    reach: Option<&Reach<'_>>,
    out: &mut Stdout,
) -> Result<Outcome, Failure> {
    let mut chosen: Vec<NsIndex> = args.namespace.find(census).map_err(|error| anyhow::anyhow!("{error}"))?;
    chosen.retain(|&index| args.types.is_empty() || args.types.contains(&census.namespace(index).name.ns_type));
    if chosen.is_empty() {
        return Ok(no_match("no such namespace", census));
    }
    if args.json && chosen.len() > 1 {
        let all: Vec<String> = chosen.iter().map(|&index| census.namespace(index).name.to_string()).collect();
        return Err(Failure::Usage(format!(
            "more than one namespace is meant: choose with -t among {}",
            all.join(" ")
        )));
    }
    let devices = |net| reach.map_or(Seen::Absent, |reach| reach.devices(net));
    let endings: Vec<Option<Ending>> = chosen.iter().map(|&index| Ending::of(census, index, devices)).collect();
    for (n, (&index, end)) in chosen.iter().zip(&endings).enumerate() {
        let why = Why { census, index, end: end.as_ref() };
        if args.json {
            out.text(&why_json::document(&why))?;
        } else {
            let gap = if n == 0 { "" } else { "\n" };
            out.text(format!("{gap}{}", why::text(&why, &mut |task| names.command(task))).as_bytes())?;
        }
    }
    let unseen: BTreeSet<String> = endings.iter().flatten().flat_map(|end| end.missing(census)).collect();
    let missing: Vec<String> = missing_of(census, &chosen).into_iter().chain(unseen).collect();
    Ok(if missing.is_empty() { Outcome::Complete } else { Outcome::Partial(missing.join("; ")) })
}
