//! Descriptors and directories that lead out of a container; pure.

use super::{
    facts::{Container, Host, Outside, OutsideKind},
    verdict::{Judgement, Severity},
};
use crate::{inspect::seen::Seen, view::errno};

fn outside(container: &Container) -> Result<&[Outside], Vec<Judgement>> {
    match &container.outside {
        Seen::Is(found) => Ok(found),
        Seen::Absent => Err(vec![Judgement::unknown("its descriptors were not looked at")]),
        Seen::Unreadable(error) => Err(vec![Judgement::unknown(format!(
            "not all of its descriptors can be read ({})",
            errno::name(error.raw_os_error())
        ))]),
    }
}

/// An open namespace of the host: setns(2) needs no path then.
pub fn namespaces(container: &Container, _: &Host) -> Vec<Judgement> {
    let outside = match outside(container) {
        Ok(outside) => outside,
        Err(unknown) => return unknown,
    };
    let mut found = Vec::new();
    for Outside { pid, comm, what } in outside {
        let OutsideKind::Namespace { fd, ns, initial } = what else { continue };
        // A namespace that it is in anyway is no way out.
        let ns_type = ns.0.ns_type;
        if *initial && container.on_host(ns_type) == Some(false) {
            found.push(Judgement::finding(
                Severity::High,
                format!("descriptor {fd} of process {pid} ({comm}) is the initial {ns_type} namespace {}: setns(2) leads there", ns.0),
            ));
        } else if !*initial
            && container.cell(ns_type).is_none_or(|own| own.ns.known().is_none_or(|own| own.0.inum != ns.0.inum))
        {
            found.push(Judgement::finding(
                Severity::Info,
                format!("descriptor {fd} of process {pid} ({comm}) is {}, in which its init does not live", ns.0),
            ));
        }
    }
    if found.is_empty() { vec![Judgement::pass("none of its descriptors is a namespace outside of it")] } else { found }
}

/// Mounts of the host's mount namespace behind a descriptor or working directory: paths from there never meet the
/// container's root directory.
pub fn directories(container: &Container, _: &Host) -> Vec<Judgement> {
    let outside = match outside(container) {
        Ok(outside) => outside,
        Err(unknown) => return unknown,
    };
    let judge = |Outside { pid, comm, what }: &Outside| {
        let how = match what {
            OutsideKind::Directory { fd, path } => format!("descriptor {fd} of process {pid} ({comm}) is {path}"),
            OutsideKind::Cwd { path } => format!("the working directory of process {pid} ({comm}) is {path}"),
            OutsideKind::Namespace { .. } => return None,
        };
        Some(Judgement::finding(
            Severity::Critical,
            format!("{how} in the host's mount namespace: paths from there lead to all of the host"),
        ))
    };
    let found: Vec<Judgement> = outside.iter().filter_map(judge).collect();
    if found.is_empty() {
        vec![Judgement::pass("no directory that it has open is outside of its mounts")]
    } else {
        found
    }
}
