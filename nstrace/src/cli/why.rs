//! `nstrace why NS`: every reference that keeps a namespace.

use std::collections::BTreeSet;

use super::{
    census_source::{Names, missing_of, no_match},
    exit::{Failure, Outcome},
    output::Stdout,
};
use crate::{
    census::{
        NsIndex,
        collect::{Depth, census},
        target::Target,
    },
    discover::Proc,
    inspect::net::reach::Reach,
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
    namespace: Target,

    /// Of a PID, the namespaces of these types: mnt, pid, net, ipc, uts, user, cgroup, time
    #[arg(short, long = "type", value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<NsType>,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let proc = Proc::default();
    let mut census = census(&proc, Depth::Holders, true)?;
    let mut chosen: Vec<NsIndex> = args.namespace.find(&census).map_err(|error| anyhow::anyhow!("{error}"))?;
    chosen.retain(|&index| args.types.is_empty() || args.types.contains(&census.namespace(index).name.ns_type));
    if chosen.is_empty() {
        return Ok(no_match("no such namespace", &census));
    }
    if args.json && chosen.len() > 1 {
        let all: Vec<String> = chosen.iter().map(|&index| census.namespace(index).name.to_string()).collect();
        return Err(Failure::Usage(format!(
            "more than one namespace is meant: choose with -t among {}",
            all.join(" ")
        )));
    }
    let endings: Vec<Option<Ending>> = {
        let reach = Reach::new(&proc, &census);
        chosen.iter().map(|&index| Ending::of(&census, index, |net| reach.devices(net))).collect()
    };
    census.missing.extend(endings.iter().flatten().flat_map(|end| end.missing(&census)).collect::<BTreeSet<_>>());
    let mut names = Names::default();
    for (n, (&index, end)) in chosen.iter().zip(&endings).enumerate() {
        let why = Why { census: &census, index, end: end.as_ref() };
        if args.json {
            out.text(&why_json::document(&why))?;
        } else {
            let gap = if n == 0 { "" } else { "\n" };
            out.text(format!("{gap}{}", why::text(&why, &mut |task| names.command(task))).as_bytes())?;
        }
    }
    Ok(missing_of(&census, &chosen).map_or(Outcome::Complete, Outcome::Partial))
}
