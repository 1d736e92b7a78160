//! One change as one sentence, for the `message` of formats that have one.

use super::{columns, escape::escaped};
use crate::model::{Change, What};

/// `runc:[1:INIT] (pid 4321) created net:[4026532177]: unshare(CLONE_NEWNET)`. Names are escaped.
pub(super) fn sentence(change: &Change) -> String {
    let who = match &change.task {
        Some(task) => format!("{} (pid {})", escaped(task.comm.as_bytes()), task.tgid),
        None => "nobody known".to_owned(),
    };
    let ns = columns::ns(&change.what).unwrap_or_else(|| "a namespace".to_owned());
    let by = columns::cause(change).map(|cause| format!(": {cause}")).unwrap_or_default();
    match &change.what {
        What::Snapshot { nprocs, .. } => format!("{ns} exists with {nprocs} processes in it"),
        What::Created { .. } => format!("{who} created {ns}{by}"),
        What::Joined { .. } => format!("{who} joined {ns}{by}"),
        What::Left { .. } => format!("{who} left {ns}{by}"),
        What::Destroyed { .. } => format!("{ns} is gone, last released by {who}{by}"),
        What::Pinned { .. } => format!("{who} made a first file or mount hold {ns}{by}"),
        What::Unpinned { .. } => format!("{who} let go the last file or mount that held {ns}{by}"),
        What::Denied { .. } => format!("{who} was denied {ns}{by}"),
        What::Lost { count, .. } => format!("{count} records were lost"),
        What::Deed(deed) => format!("{who}: {}", super::deed::deed(deed)),
        What::Finding(finding) => super::deed::finding(finding),
        What::Resynced => "the model was repaired after a loss".to_owned(),
    }
}
