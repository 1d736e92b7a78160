//! `nstrace why -J`: one document. Pure.

use serde::Serialize;

use super::{
    errno,
    json::Safe,
    schema,
    why::{Ending, Why, family_name},
};
use crate::{
    census::{Descriptor, Holder, NsIndex, Task, holder::MountHolder},
    inspect::{net::fate::Device, seen::Seen},
    ns::{NsName, NsType},
};

/// One holder in the JSON document; keys that do not apply are absent.
#[derive(Default, Serialize)]
struct JsonHolder<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mnt_ns: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<JsonName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shmid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonName {
    r#type: NsType,
    inum: u32,
    id: Option<Safe>,
}

fn json_name(name: NsName) -> JsonName {
    JsonName { r#type: name.ns_type, inum: name.inum, id: name.id.map(Safe) }
}

fn holder<'c>(why: Why<'c>, holder: &'c Holder) -> JsonHolder<'c> {
    let base = JsonHolder { kind: holder.kind().name(), ..JsonHolder::default() };
    let of_task = |task: &Task, base| JsonHolder {
        pid: Some(task.tgid),
        tid: Some(task.tid),
        comm: Some(task.comm.to_string_lossy().into_owned()),
        ..base
    };
    let of_file = |at: Descriptor, base| JsonHolder {
        pid: Some(at.pid),
        tid: Some(at.tid),
        comm: why.thread(at).map(|task| task.comm.to_string_lossy().into_owned()),
        fd: at.place().is_none().then_some(at.fd),
        place: at.place(),
        ..base
    };
    let of_mount = |mount: &'c MountHolder, base| JsonHolder {
        mnt_ns: Some(mount.mnt_ns),
        path: Some(mount.path.as_deref()),
        hidden: Some(mount.hidden),
        ..base
    };
    match holder {
        Holder::Task(task) | Holder::Thread(task) | Holder::Zombie(task) | Holder::Pending(task) => {
            of_task(why.task(*task), base)
        }
        Holder::Fd(at)
        | Holder::InFlight(at)
        | Holder::IoUring(at)
        | Holder::DetachedMount(at)
        | Holder::Tun(at)
        | Holder::Cred(at)
        | Holder::SuperblockFile(at)
        | Holder::ProcfsFile(at)
        | Holder::Pidfd(at) => of_file(*at, base),
        Holder::Socket { at, family } => JsonHolder { family: Some(family_name(*family)), ..of_file(*at, base) },
        Holder::Mount(mount) | Holder::Superblock(mount) | Holder::Procfs(mount) => of_mount(mount, base),
        Holder::Child(child) | Holder::Owned(child) => JsonHolder { ns: Some(json_name(why.name(*child))), ..base },
        Holder::Shm { pid, id } => JsonHolder { pid: Some(*pid), shmid: Some(*id), ..base },
        Holder::Other { at: Some(at), what } => JsonHolder { what: Some(what), ..of_file(*at, base) },
        Holder::Other { at: None, what } => JsonHolder { what: Some(what), ..base },
    }
}

#[derive(Serialize)]
struct JsonTeardown<'a> {
    exit: &'a [u32],
    close: Vec<JsonDescriptor>,
    unmount: Vec<JsonMount<'a>>,
    freed: Vec<JsonName>,
    unexplained: Option<u32>,
    devices: Vec<JsonDevice<'a>>,
    devices_unseen: Vec<JsonUnseen>,
}

#[derive(Serialize)]
struct JsonDevice<'a> {
    /// Inode number.
    ns: u32,
    #[serde(flatten)]
    device: &'a Device,
}

#[derive(Serialize)]
struct JsonUnseen {
    #[serde(flatten)]
    ns: JsonName,
    error: String,
}

#[derive(Serialize)]
struct JsonDescriptor {
    pid: u32,
    tid: u32,
    fd: u32,
}

#[derive(Serialize)]
struct JsonMount<'a> {
    mnt_ns: Option<u32>,
    path: Option<&'a str>,
    hidden: bool,
}

fn json_teardown<'a>(why: Why<'_>, Ending { teardown: end, devices }: &'a Ending) -> JsonTeardown<'a> {
    let of = |&(at, ref devices): &'a (NsIndex, Seen<Vec<Device>>)| {
        let ns = why.name(at).inum;
        devices.known().into_iter().flatten().map(move |device| JsonDevice { ns, device })
    };
    let unseen = |(at, devices): &(NsIndex, Seen<Vec<Device>>)| match devices {
        Seen::Unreadable(error) => {
            Some(JsonUnseen { ns: json_name(why.name(*at)), error: errno::name(error.raw_os_error()).into_owned() })
        }
        _ => None,
    };
    JsonTeardown {
        exit: &end.exit,
        close: end.close.iter().map(|at| JsonDescriptor { pid: at.pid, tid: at.tid, fd: at.fd }).collect(),
        unmount: end
            .unmount
            .iter()
            .map(|mount| JsonMount { mnt_ns: mount.mnt_ns, path: mount.path.as_deref(), hidden: mount.hidden })
            .collect(),
        freed: end.freed.iter().map(|&at| json_name(why.name(at))).collect(),
        unexplained: end.unexplained,
        devices: devices.iter().flat_map(of).collect(),
        devices_unseen: devices.iter().filter_map(unseen).collect(),
    }
}

/// The document of `why -J`, its newline included.
pub fn document(why: &Why<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        boot_id: &'a str,
        complete: bool,
        missing: &'a [String],
        ns: JsonName,
        initial: bool,
        state: &'static str,
        owner: Option<JsonName>,
        parent: Option<JsonName>,
        refs: Option<u32>,
        holders: Vec<JsonHolder<'a>>,
        unexplained: Option<u32>,
        teardown: Option<JsonTeardown<'a>>,
    }
    let ns = why.ns();
    let missing = why.census.missing_of(why.index);
    super::json::document(&Document {
        schema: schema::VERSION,
        boot_id: &why.census.boot_id,
        complete: missing.is_empty(),
        missing: &missing,
        ns: json_name(ns.name),
        initial: ns.initial,
        state: ns.state(),
        owner: ns.owner.map(|owner| json_name(why.name(owner))),
        parent: ns.parent.map(|parent| json_name(why.name(parent))),
        refs: ns.refs,
        holders: ns.holders.iter().map(|h| holder(*why, h)).collect(),
        unexplained: ns.unexplained(),
        teardown: why.end.map(|end| json_teardown(*why, end)),
    })
}
