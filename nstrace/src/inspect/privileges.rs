//! What a task may do: its capabilities, what they are worth over each user namespace, and the layers beside them.

use rustix::io::Errno;
use serde::Serialize;

use crate::ns::{NsName, NsType, Slot};

use super::{
    capability::{self, Standing},
    processes::ProcessTable,
    seen::Seen,
    status::{CapSets, Status},
    task::NsRef,
    task_dir::TaskDir,
    user_tree::UserTree,
};

/// The sets of capabilities(7) by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    pub effective: Vec<String>,
    pub permitted: Vec<String>,
    pub inheritable: Vec<String>,
    pub bounding: Vec<String>,
    pub ambient: Vec<String>,
    /// Every capability of this kernel.
    #[serde(skip)]
    pub full: u64,
    #[serde(skip)]
    pub sets: CapSets,
    pub over: Vec<Over>,
}

/// What the capabilities are worth over one user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Over {
    pub user: NsRef,
    pub initial: bool,
    /// Types of the task's namespaces that it owns.
    pub owns: Vec<NsType>,
    pub standing: Standing,
}

/// Security layers beside capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    /// `off`, `strict`, `filter`.
    pub seccomp: Option<&'static str>,
    pub seccomp_filters: Option<u32>,
    pub no_new_privs: Option<bool>,
    /// Label of the security module (`attr/current`); hostile.
    pub lsm: Seen<String>,
}

/// Of a task with the namespaces `names`; `tree` has learned their owners.
pub(super) fn capabilities(
    status: &Status,
    names: &[(Slot, Seen<NsName>)],
    table: &ProcessTable,
    tree: &UserTree,
) -> Capabilities {
    let sets = status.capabilities;
    let member = |t: NsType| names.iter().find(|(slot, _)| *slot == Slot::Member(t)).and_then(|(_, ns)| ns.known());
    let mut over = Vec::new();
    if let Some(own) = member(NsType::User) {
        let mut owners: Vec<(u32, Vec<NsType>)> = Vec::new();
        // The initial one is asked about in any case: that is what capable() means.
        owners.extend(tree.iter().filter(|(_, node)| node.initial).map(|(inum, _)| (inum, Vec::new())));
        for ns_type in NsType::ALL.into_iter().filter(|&t| t != NsType::User) {
            let Some(owner) = member(ns_type).and_then(|&ns| tree.owner(ns)?.ok()) else { continue };
            match owners.iter_mut().find(|(inum, _)| *inum == owner) {
                Some((_, owns)) => owns.push(ns_type),
                None => owners.push((owner, vec![ns_type])),
            }
        }
        if !owners.iter().any(|(inum, _)| *inum == own.inum) {
            owners.push((own.inum, Vec::new()));
        }
        over.extend(owners.into_iter().map(|(inum, owns)| Over {
            user: NsRef(tree.name(inum)),
            initial: tree.get(inum).is_some_and(|node| node.initial),
            owns,
            standing: capability::standing(tree, own.inum, status.uid[1], inum),
        }));
    }
    // No task has more than the kernel has, and kernel threads have all.
    let full = table.iter().map(|p| p.status.capabilities.bounding).chain([sets.bounding]).max().unwrap_or(0);
    Capabilities {
        effective: capability::names(sets.effective),
        permitted: capability::names(sets.permitted),
        inheritable: capability::names(sets.inheritable),
        bounding: capability::names(sets.bounding),
        ambient: capability::names(sets.ambient),
        full,
        sets,
        over,
    }
}

/// Of the task behind `dir`.
pub(super) fn security(dir: &TaskDir, status: &Status) -> Security {
    let lsm = label(dir);
    let seccomp = status.seccomp.map(|mode| match mode {
        0 => "off",
        1 => "strict",
        _ => "filter",
    });
    Security { seccomp, seccomp_filters: status.seccomp_filters, no_new_privs: status.no_new_privs, lsm }
}

/// Label of the security module (`attr/current`, proc_pid_attr(5)); hostile. Absent: no security module has labels.
pub fn label(dir: &TaskDir) -> Seen<String> {
    match dir.read("attr/current") {
        Err(Errno::INVAL) => Seen::Absent,
        label => Seen::from_result(label).and_then(|label| {
            let label = String::from_utf8_lossy(&label).trim_matches(['\0', '\n', ' ']).to_owned();
            (!label.is_empty()).then_some(label)
        }),
    }
}
