//! Made-up facts for the audit: a container without a fault, one that has them all, one that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use nstrace::{
    audit::{
        facts::{
            Cell, Container, DeviceRules, Facts, Host, Init, Leftover, Outside, OutsideKind, Process, ReachedSocket,
            Sharer,
        },
        kernel_files,
        privileges::BASELINE,
    },
    engine::Named,
    inspect::{
        cgroup::{CgroupView, Limit},
        idmap::{Extent, IdMap},
        seen::Seen,
        status::CapSets,
        task::NsRef,
    },
    map::mount_table::{Mount, parse},
    ns::{NsName, NsType},
};
use rustix::io::Errno;

/// Every capability of the made-up kernel.
pub const ALL: u64 = 0x1ff_ffff_ffff;
/// Peer group of the host's root.
pub const HOST_GROUP: u32 = 1;

pub fn ns(ns_type: NsType, inum: u32) -> NsRef {
    NsRef(NsName { ns_type, inum, id: None })
}

pub fn host() -> Host {
    Host {
        all_capabilities: ALL,
        lsm: Seen::Is("unconfined".to_owned()),
        kernel_files: kernel_files::paths().collect(),
        peer_groups: Seen::Is(BTreeSet::from([HOST_GROUP])),
    }
}

/// A line of mountinfo, with the place on the host where there is one.
pub fn mount(line: &str, host_path: Option<&str>) -> Mount {
    let (mut mounts, broken) = parse(format!("{line}\n").as_bytes());
    assert_eq!(broken, 0, "{line}");
    let mut mount = mounts.remove(0);
    mount.host_path = host_path.map(str::to_owned);
    mount
}

fn mounts() -> Vec<Mount> {
    let masks = kernel_files::READABLE.map(|path| format!("90 2 0:9 /null {path} rw - tmpfs tmpfs rw"));
    let read_only = kernel_files::WRITABLE.map(|path| format!("91 2 0:8 / {path} ro - proc proc rw"));
    let all = [
        "1 0 0:50 / / ro - overlay overlay rw",
        "2 1 0:8 / /proc rw - proc proc rw",
        "3 1 0:51 / /sys ro - sysfs sysfs ro",
        "4 3 0:52 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw",
        "5 1 0:9 / /dev rw - tmpfs tmpfs rw",
    ];
    all.map(str::to_owned).into_iter().chain(masks).chain(read_only).map(|line| mount(&line, None)).collect()
}

fn cells(host: bool) -> Vec<Cell> {
    let cell = |ns_type: NsType| {
        let own = !host && ns_type != NsType::Time;
        let inum = if own { 4_026_532_100 } else { 4_026_531_800 } + ns_type as u32;
        Cell { r#type: ns_type, ns: Seen::Is(ns(ns_type, inum)), host: Some(!own), stray: None, shared_with: vec![] }
    };
    NsType::ALL.map(cell).into()
}

/// It has every layer: no check finds anything.
pub fn isolated() -> Container {
    let map = IdMap(vec![Extent { inside: 0, outside: 100_000, count: 65_536 }]);
    let limit = |name, value: &str| Limit { name, value: value.to_owned(), at: "/good".to_owned() };
    Container {
        named: Some(Named { runtime: "runc".to_owned(), id: "good".to_owned(), ..Named::default() }),
        init: Init { pid: 500, comm: "app".to_owned() },
        processes: vec![Process {
            pid: 500,
            comm: "app".to_owned(),
            uid: 101_000,
            over_host: Seen::Is(false),
            capabilities: CapSets { bounding: BASELINE, ..CapSets::default() },
            seccomp: Some(2),
            seccomp_filters: Some(1),
            no_new_privs: Some(true),
            lsm: Seen::Is("app (enforce)".to_owned()),
        }],
        namespaces: cells(false),
        uid_map: Seen::Is(map.clone()),
        gid_map: Seen::Is(map),
        cgroup: Seen::Is(CgroupView {
            path: "/good".to_owned(),
            limits: vec![limit("memory.max", "1000"), limit("pids.max", "20"), limit("cpu.max", "50000 100000")],
            usage: vec![limit("memory.current", "1"), limit("pids.current", "1")],
        }),
        unlimited: BTreeSet::new(),
        devices: DeviceRules::List { rules: vec!["c 1:3 rwm".to_owned()] },
        mounts: Seen::Is(mounts()),
        block_devices: Seen::Is(vec![]),
        sockets: Seen::Is(vec![]),
        outside: Seen::Is(vec![]),
    }
}

/// The same in the host's user namespace, where capabilities count, as a user that is not root.
pub fn in_hosts_user_namespace() -> Container {
    let mut container = isolated();
    let user = container.namespaces.iter_mut().find(|cell| cell.r#type == NsType::User).expect("there");
    (user.ns, user.host) = (Seen::Is(ns(NsType::User, 4_026_531_837)), Some(true));
    container.processes[0].over_host = Seen::Is(true);
    container.processes[0].uid = 1000;
    container.uid_map = Seen::Is(IdMap(vec![Extent { inside: 0, outside: 0, count: u32::MAX }]));
    container
}

/// Everything wrong at once, with names that mean harm.
pub fn open() -> Container {
    let mut container = in_hosts_user_namespace();
    let evil = "evil\x1b[31m<script>alert(1)</script>\u{202e}".to_owned();
    container.named = Some(Named {
        runtime: "docker".to_owned(),
        id: "3f2a".repeat(16),
        name: Some(evil.clone()),
        pod: Some("p".to_owned()),
        ..Named::default()
    });
    container.init = Init { pid: 700, comm: evil.clone() };
    container.processes = vec![Process {
        pid: 700,
        comm: evil.clone(),
        uid: 0,
        over_host: Seen::Is(true),
        capabilities: CapSets { effective: ALL, permitted: ALL, bounding: ALL, inheritable: 0, ambient: 0 },
        seccomp: Some(0),
        seccomp_filters: Some(0),
        no_new_privs: Some(false),
        lsm: Seen::Is("unconfined".to_owned()),
    }];
    for cell in &mut container.namespaces {
        if matches!(cell.r#type, NsType::Pid | NsType::Net) {
            (cell.ns, cell.host) = (Seen::Is(ns(cell.r#type, 4_026_531_836)), Some(true));
        }
        if cell.r#type == NsType::Ipc {
            cell.shared_with = vec![Sharer { container: format!("other {evil}"), same_pod: false }];
        }
    }
    container.mounts = Seen::Is(vec![
        mount("1 0 0:50 / / rw shared:1 - overlay overlay rw", None),
        mount("2 1 0:8 / /proc rw - proc proc rw", None),
        mount("3 1 0:51 / /sys rw - sysfs sysfs rw", None),
        mount("4 3 0:52 / /sys/fs/cgroup rw - cgroup cgroup rw,memory", None),
        mount("5 1 0:6 / /dev rw - devtmpfs devtmpfs rw", Some("/dev")),
        mount("6 1 8:1 / /host rw - ext4 /dev/sda1 rw", Some("/")),
        mount("7 1 8:1 /srv/data /data rw - ext4 /dev/sda1 rw", Some("/srv/data")),
        mount("8 3 0:7 / /sys/kernel/debug rw - debugfs debugfs rw", None),
    ]);
    container.devices = DeviceRules::Programs { count: 0 };
    container.cgroup = Seen::Is(CgroupView { path: "/".to_owned(), ..CgroupView::default() });
    container.unlimited = BTreeSet::from(["cpu", "memory", "pids"]);
    container.block_devices = Seen::Is(vec!["/dev/sda".to_owned()]);
    container.sockets = Seen::Is(vec![ReachedSocket {
        path: format!("/run/{evil}"),
        inode: 77,
        listener: Some(Init { pid: 42, comm: evil.clone() }),
        listener_uid: 0,
        listener_is_admin: true,
    }]);
    let outside = |what| Outside { pid: 700, comm: evil.clone(), what };
    container.outside = Seen::Is(vec![
        outside(OutsideKind::Namespace { fd: 9, ns: ns(NsType::Mnt, 4_026_531_832), initial: true }),
        outside(OutsideKind::Directory { fd: 8, path: "/".to_owned() }),
    ]);
    container
}

/// Of which nothing can be read: what an unprivileged user sees of another's container.
pub fn unreadable() -> Container {
    let refused = Errno::ACCESS;
    let cell =
        |ns_type| Cell { r#type: ns_type, ns: Seen::Unreadable(refused), host: None, stray: None, shared_with: vec![] };
    Container {
        named: Some(Named { runtime: "podman".to_owned(), id: "b".repeat(64), ..Named::default() }),
        init: Init { pid: 900, comm: "closed".to_owned() },
        processes: vec![Process {
            pid: 900,
            comm: "closed".to_owned(),
            uid: 1000,
            over_host: Seen::Unreadable(refused),
            lsm: Seen::Unreadable(refused),
            ..Process::default()
        }],
        namespaces: NsType::ALL.map(cell).into(),
        uid_map: Seen::Unreadable(refused),
        gid_map: Seen::Unreadable(refused),
        cgroup: Seen::Unreadable(refused),
        unlimited: BTreeSet::new(),
        devices: DeviceRules::Unknown,
        mounts: Seen::Unreadable(refused),
        block_devices: Seen::Unreadable(refused),
        sockets: Seen::Unreadable(refused),
        outside: Seen::Unreadable(refused),
    }
}

/// One of each.
pub fn facts() -> Facts {
    let mut sandbox = Container { named: None, ..in_hosts_user_namespace() };
    sandbox.init = Init { pid: 300, comm: "service".to_owned() };
    Facts {
        host: host(),
        containers: vec![isolated(), open(), unreadable()],
        sandboxes: vec![sandbox],
        leftovers: vec![
            Leftover {
                ns: ns(NsType::Net, 4_026_532_500),
                kept_by: BTreeMap::from([("mount", 1)]),
                first: Some("mount /run/netns/\x1bx in mnt:[4026531832]".to_owned()),
                persisted: true,
                unexplained: Some(0),
            },
            Leftover {
                ns: ns(NsType::User, 4_026_532_501),
                kept_by: BTreeMap::new(),
                first: None,
                persisted: false,
                unexplained: Some(1),
            },
        ],
        missing: vec![],
    }
}
