//! `nstrace ls -J`: one document. Pure.

use serde::Serialize;

use super::{
    json::Safe,
    ls::{LsRow, NetNsId},
    schema, time,
};
use crate::{census::Census, engine::Named, inspect::seen::Seen, ns::NsType};

/// One namespace in the JSON document.
#[derive(Serialize)]
struct JsonRow<'a> {
    ns: u32,
    r#type: NsType,
    id: Option<Safe>,
    nprocs: u32,
    refs: Option<u32>,
    unexplained: Option<u32>,
    pid: Option<u32>,
    ppid: Option<u32>,
    command: Option<&'a str>,
    uid: Option<u32>,
    user: Option<&'a str>,
    netnsid: Seen<JsonNetNsId>,
    owner: Option<u32>,
    parent: Option<u32>,
    nsfs: Vec<&'a str>,
    state: &'static str,
    initial: bool,
    container: Option<&'a Named>,
    created: Option<String>,
    age_ns: Option<Safe>,
    creator: Option<JsonCreator<'a>>,
    holders: usize,
    kept_by: Vec<&'static str>,
}

/// lsns(8)'s word where there is no number.
#[derive(Serialize)]
#[serde(untagged)]
enum JsonNetNsId {
    Is(u32),
    Not(&'static str),
}

#[derive(Serialize)]
struct JsonCreator<'a> {
    pid: u32,
    comm: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    boot_id: &'a str,
    complete: bool,
    missing: &'a [String],
    namespaces: Vec<JsonRow<'a>>,
}

/// The document of `ls -J`, its newline included.
pub fn document(census: &Census, rows: &[LsRow<'_>]) -> Vec<u8> {
    let namespaces = rows
        .iter()
        .map(|row| {
            let ns = row.ns();
            JsonRow {
                ns: ns.name.inum,
                r#type: ns.name.ns_type,
                id: ns.name.id.map(Safe),
                nprocs: ns.nprocs,
                refs: ns.refs,
                unexplained: ns.unexplained(),
                pid: row.pid(),
                ppid: row.ppid(),
                command: row.command.as_deref(),
                uid: row.uid(),
                user: row.user.as_deref(),
                netnsid: row.netnsid.clone().map(|number| match number {
                    NetNsId::Is(number) => JsonNetNsId::Is(number),
                    NetNsId::Unassigned => JsonNetNsId::Not("unassigned"),
                }),
                owner: row.inum(ns.owner),
                parent: row.inum(ns.parent),
                nsfs: row.nsfs(),
                state: ns.state(),
                initial: ns.initial,
                container: row.container,
                created: row.creation.as_ref().map(|creation| time::rfc3339(creation.utc_ns)),
                age_ns: row.creation.as_ref().map(|creation| Safe(creation.age_ns)),
                creator: row
                    .creation
                    .as_ref()
                    .and_then(|creation| creation.creator.as_ref())
                    .map(|(pid, comm)| JsonCreator { pid: *pid, comm }),
                holders: ns.holders.len(),
                kept_by: row.kept_by(),
            }
        })
        .collect();
    let missing = census.all_missing();
    super::json::document(&Document {
        schema: schema::VERSION,
        boot_id: &census.boot_id,
        complete: missing.is_empty(),
        missing: &missing,
        namespaces,
    })
}
