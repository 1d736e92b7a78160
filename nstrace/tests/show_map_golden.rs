//! Goldens of `show` and `map` as text, from a made-up /proc and made-up reports with hostile names. Accept new ones by
//! running the tests with `INSTA_UPDATE=always` and reading the diff.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use insta::assert_snapshot;
use nstrace::{
    discover::Proc,
    engine::{Engines, Named, ports::Port},
    event::Via,
    inspect::{
        Places,
        capability::Standing,
        cgroup::{CgroupView, Limit},
        container::ContainerReport,
        idmap::{Extent, IdMap},
        namespace::Member,
        net::{
            Link, NetView, Route,
            sockets::{Holder, Protocol, Socket},
        },
        nsproxy::Sharing,
        privileges::{Capabilities, Over, Security},
        processes::ProcessTable,
        seen::Seen,
        side::Side,
        status::CapSets,
        task::{CameFrom, NamedExtent, NsRef, PidAt, Relation, SlotView, TaskReport},
        user_tree::UserTree,
    },
    map::{
        mnt::{MntMap, Unseen},
        net::{Connected, NetMap, NetNs},
        pid::{PidMap, translate},
        user::{UserMap, UserNsRow},
    },
    model::Cause,
    ns::{NsName, NsType, Slot},
    view::{json::Safe, map, map_net, sections::Look, show::Show},
};
use rustix::io::Errno;

const LOOK: Look = Look { colour: false, explain: false };
const EXPLAIN: Look = Look { colour: false, explain: true };
const ID: &str = "3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a";

fn ns(ns_type: NsType, inum: u32) -> NsName {
    NsName { ns_type, inum, id: None }
}

fn web() -> Named {
    Named {
        runtime: "docker".to_owned(),
        id: ID.to_owned(),
        name: Some("web\x1b[1m".to_owned()),
        image: Some("nginx:1.27".to_owned()),
        image_id: None,
        pid: Some(200),
        ports: vec![
            Port {
                protocol: "tcp".to_owned(),
                host: "0.0.0.0".to_owned(),
                host_port: 8080,
                container_port: 80,
                count: 1,
            },
            Port { protocol: "u\x1bdp".to_owned(), host: "::".to_owned(), host_port: 53, container_port: 53, count: 2 },
        ],
        ..Named::default()
    }
}

struct FakeProc(tempfile::TempDir);

impl FakeProc {
    /// A container's init (200) with a child and a zombie, adopted by a shim (150) that is younger than what it adopted.
    fn new() -> Self {
        let fake = Self(tempfile::tempdir().expect("a folder"));
        fake.process(1, 0, "systemd", "S", "1", "/init.scope", 0, 10);
        fake.process(2, 0, "kthreadd", "S", "2", "/", 0, 10);
        fake.process(3, 2, "kworker/0:0", "I", "3", "/", 0, 11);
        fake.process(150, 1, "shim", "S", "150", "/system.slice/shim.service", 0, 500);
        let cgroup = format!("/system.slice/docker-{ID}.scope");
        fake.process(200, 150, "ev\x1bil", "S", "200\t1", &cgroup, 100, 400);
        fake.process(210, 200, "worker", "S", "210\t7", &cgroup, 100, 410);
        fake.process(211, 200, "dead", "Z", "211\t8", &cgroup, 100, 420);
        fake.file("1/mountinfo", HOST_MOUNTS);
        fake.file("200/mountinfo", CONTAINER_MOUNTS);
        fake
    }

    #[expect(clippy::too_many_arguments, reason = "a line per process reads best")]
    fn process(&self, pid: u32, ppid: u32, name: &str, state: &str, pids: &str, cgroup: &str, shift: u32, start: u64) {
        let kthread = u8::from(pid == 2 || ppid == 2);
        let caught = if pid == 200 { "0000000000004000" } else { "0000000000000000" };
        self.file(
            &format!("{pid}/status"),
            &format!(
                "Name:\t{name}\nState:\t{state} (x)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{ppid}\nTracerPid:\t0\n\
                 Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nNSpid:\t{pids}\nKthread:\t{kthread}\nThreads:\t1\nSigCgt:\t{caught}\n"
            ),
        );
        let flags = if kthread == 1 { 0x0020_0000 } else { 0 };
        self.file(
            &format!("{pid}/stat"),
            &format!("{pid} (x) {state} {ppid} 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0\n"),
        );
        self.file(&format!("{pid}/cgroup"), &format!("0::{cgroup}\n"));
        self.link(&format!("{pid}/root"), "/");
        if state != "Z" {
            for slot in Slot::ALL {
                let shift = if matches!(slot.ns_type(), NsType::User | NsType::Time) { 0 } else { shift };
                let link = ns(slot.ns_type(), 4_026_531_000 + slot.ns_type() as u32 + shift).to_string();
                self.link(&format!("{pid}/ns/{}", slot.proc_name()), &link);
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("folders");
        path
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn link(&self, name: &str, target: &str) {
        symlink(target, self.path(name)).expect("a link");
    }

    fn places(&self) -> Places {
        let nowhere = |name: &str| Path::new("/nonexistent").join(name);
        Places {
            proc: Proc::at(self.0.path()),
            cgroup: nowhere("cgroup"),
            etc: nowhere("etc"),
            run: nowhere("run"),
            var_lib: nowhere("lib"),
            docker_host: None,
            container_host: None,
        }
    }

    fn table(&self) -> ProcessTable {
        ProcessTable::read(&self.places().proc, None).expect("the made-up /proc")
    }
}

const HOST_MOUNTS: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
    23 22 0:21 / /proc rw shared:5 - proc proc rw\n\
    24 22 0:30 / /run rw shared:6 - tmpfs tmpfs rw\n\
    25 22 8:2 / /var/lib rw - xfs /dev/vdb rw\n";

const CONTAINER_MOUNTS: &str = "50 40 0:90 / / rw master:1 - overlay overlay rw\n\
    51 50 0:91 / /proc rw - proc proc rw\n\
    52 50 0:30 /docker.sock /run/docker.sock rw - tmpfs tmpfs rw\n\
    53 50 8:1 /etc /host\\040etc\\033 ro master:1 - ext4 /dev/vda rw\n\
    54 50 8:2 /docker/containers/x/hosts /etc/hosts rw - xfs /dev/vdb rw\n\
    55 50 0:92 / /data rw shared:9 - tmpfs tmpfs rw\n\
    56 55 0:93 / /data/in rw unbindable - tmpfs tmpfs rw\n\
    57 55 0:94 / /data rw - tmpfs tmpfs rw\n";

fn pid_tree() -> UserTree {
    // Made-up links cannot be opened: what the kernel would tell of their parents is not known.
    UserTree::new(4_026_531_005)
}

#[test]
fn pid_map() {
    let fake = FakeProc::new();
    let engines = Engines::of(vec![web()]);
    let found = PidMap::new(&fake.table(), &engines, &pid_tree());
    assert_snapshot!(map::pid(&found, false, EXPLAIN));
}

#[test]
fn pid_translation() {
    let fake = FakeProc::new();
    let found = translate(&fake.table(), &Engines::of(vec![web()]), &pid_tree(), 210).expect("it is there");
    assert_snapshot!(map::translation(&found, LOOK));
}

#[test]
fn mnt_map() {
    let fake = FakeProc::new();
    let found = MntMap::read(&fake.places(), &fake.table(), &Engines::of(vec![web()]), &[]);
    assert_snapshot!(map::mnt(&found, LOOK));
}

#[test]
fn user_map() {
    let row = |inum: u32, parent: Option<u32>, uid: u32| UserNsRow {
        ns: NsRef(ns(NsType::User, inum)),
        initial: parent.is_none(),
        parent,
        owner_uid: Some(uid),
        owner: (uid == 1000).then(|| "alice\u{202e}".to_owned()),
        processes: 2,
        uid_map: Seen::Is(IdMap::parse(b"0 1000 1\n1 100000 65536\n")),
        gid_map: Seen::Unreadable(Errno::ACCESS),
        rootless: uid != 0,
        maps_host_root: false,
        owns: vec![NsRef(ns(NsType::Net, 4_026_532_001)), NsRef(ns(NsType::Mnt, 4_026_532_002))],
        containers: vec![web()],
    };
    let mut initial = row(4_026_531_837, None, 0);
    (initial.uid_map, initial.gid_map) = (Seen::Is(IdMap::parse(b"0 0 4294967295\n")), Seen::Absent);
    initial.containers.clear();
    let namespaces = vec![
        initial,
        row(4_026_532_100, Some(4_026_531_837), 1000),
        UserNsRow { uid_map: Seen::Is(IdMap::default()), ..row(4_026_532_101, Some(4_026_532_100), 0) },
        row(4_026_532_102, Some(4_026_531_837), 1000),
    ];
    assert_snapshot!(map::user(&UserMap { namespaces }, LOOK));
}

fn links() -> (Vec<Link>, Vec<Link>) {
    let link = |index, name: &str, kind: Option<&str>| Link {
        index,
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        up: true,
        mtu: 1500,
        ..Link::default()
    };
    let host = vec![
        Link { loopback: true, addresses: vec!["127.0.0.1/8".to_owned()], ..link(1, "lo", None) },
        link(2, "docker0", Some("bridge")),
        Link { controller: Some(2), peer: Some(2), peer_nsid: Some(0), ..link(7, "veth\x1b7", Some("veth")) },
        Link { peer: Some(9), peer_nsid: Some(5), ..link(8, "lost", Some("veth")) },
    ];
    let inner = vec![
        Link { loopback: true, up: false, ..link(1, "lo", None) },
        Link {
            peer: Some(7),
            peer_nsid: Some(0),
            addresses: vec!["172.17.0.2/16".to_owned()],
            ..link(2, "eth0", Some("veth"))
        },
    ];
    (host, inner)
}

fn net_map() -> NetMap {
    let (host, inner) = links();
    let row = |inum: u32, links: Vec<Link>, nsids: &[(i32, u32)]| NetNs {
        ns: NsRef(ns(NsType::Net, inum)),
        initial: inum == 4_026_531_840,
        names: Vec::new(),
        processes: 1,
        pid: Some(200),
        comm: Some("ev\x1bil".to_owned()),
        containers: Vec::new(),
        view: Some(NetView { links, ..NetView::default() }),
        nsids: nsids.iter().copied().collect::<BTreeMap<_, _>>(),
    };
    let mut container = row(4_026_532_200, inner, &[(0, 4_026_531_840)]);
    container.containers = vec![Connected { container: web(), mode: "bridge".to_owned() }];
    let proxied = Socket {
        protocol: Protocol::Tcp,
        address: "0.0.0.0".parse().expect("an address"),
        port: 8080,
        uid: 0,
        inode: 2,
        held_by: Some(Holder { pid: 77, comm: "docker-proxy".to_owned(), publishes: Some("172.17.0.2:80".to_owned()) }),
    };
    if let Some(view) = &mut container.view {
        view.routes = vec![Route {
            destination: "default".to_owned(),
            gateway: Some("172.17.0.1".to_owned()),
            link: Some(2),
            table: 254,
            ..Route::default()
        }];
        view.listening = vec![Socket {
            protocol: Protocol::Tcp6,
            address: "::".parse().expect("an address"),
            port: 80,
            uid: 0,
            inode: 1,
            held_by: None,
        }];
    }
    let hidden = NetNs { view: None, pid: None, names: vec!["x\"y".to_owned()], ..row(4_026_532_201, Vec::new(), &[]) };
    let mut map = NetMap {
        namespaces: vec![row(4_026_531_840, host, &[(0, 4_026_532_200)]), container, hidden],
        unseen: vec![Unseen { ns: NsRef(ns(NsType::Net, 4_026_532_201)), error: "EPERM".to_owned() }],
        ..NetMap::default()
    };
    map.namespaces[0].view.as_mut().expect("made above").listening.push(proxied);
    map.tie();
    map
}

#[test]
fn net_map_as_text() {
    assert_snapshot!(map_net::text(&net_map(), LOOK));
}

#[test]
fn net_map_as_graph() {
    assert_snapshot!(map_net::dot(&net_map()));
}

/// What graphviz itself says of it, where that is installed.
#[test]
fn net_map_is_a_graph_to_dot() {
    let mut dot = Command::new("dot");
    let started = dot.arg("-Tcanon").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut dot = match started {
        Ok(dot) => dot,
        Err(error) => return eprintln!("not asked: dot of graphviz: {error}"),
    };
    let graph = map_net::dot(&net_map());
    dot.stdin.take().expect("piped").write_all(graph.as_bytes()).expect("it reads to the end");
    let output = dot.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{graph}");
    assert!(!output.stdout.is_empty(), "it draws something");
}

fn task() -> TaskReport {
    let user = NsRef(ns(NsType::User, 4_026_532_300));
    let host_user = NsRef(NsName { id: Some(4099), ..ns(NsType::User, 4_026_531_837) });
    let slot = |slot: Slot, relation, shared_with, owner| SlotView {
        slot: slot.proc_name(),
        ns: Seen::Is(NsRef(NsName { id: Some(7), ..ns(slot.ns_type(), 4_026_532_400 + slot.ns_type() as u32) })),
        relation: Some(relation),
        shared_with: Some(shared_with),
        owner: Seen::Is(owner),
        came_from: (slot == Slot::Member(NsType::Net)).then(|| CameFrom {
            cause: Cause { via: Via::Unshare, flags: 0x4000_0000, errno: None },
            utc_ns: 1_763_760_912_000_000_000,
            by: Some((199, "ru\x1bnc".to_owned())),
        }),
    };
    let namespaces = vec![
        slot(Slot::Member(NsType::Mnt), Relation::Own, 2, user),
        slot(Slot::Member(NsType::Net), Relation::Parent, 1, user),
        slot(Slot::Member(NsType::Uts), Relation::Host, 100, host_user),
        slot(Slot::ForChildren(NsType::Pid), Relation::Itself, 0, user),
        SlotView {
            slot: "ipc",
            ns: Seen::Unreadable(Errno::ACCESS),
            relation: None,
            shared_with: None,
            owner: Seen::Absent,
            came_from: None,
        },
    ];
    let (host_links, inner_links) = links();
    let extent = |inside, outside, count| Extent { inside, outside, count };
    let name = |text: &str| Some(text.to_owned());
    TaskReport {
        pid: 200,
        tid: 200,
        ppid: 150,
        parent_comm: name("shim"),
        comm: "ev\x1bil".to_owned(),
        command: Seen::Is(vec!["nginx:\x07".to_owned(), "master".to_owned()]),
        state: 'S',
        threads: 3,
        started_boot_ns: Safe(1_000_000_000),
        tracer: Some(9),
        containers: vec![web()],
        pids: vec![PidAt { ns: Some(NsRef(ns(NsType::Pid, 4_026_531_836))), pid: 200 }, PidAt { ns: None, pid: 1 }],
        namespaces,
        same_namespaces: Some(2),
        nsproxy: Some(Sharing { threads: 4, processes: 2 }),
        host: Side {
            pid: Some(200),
            hostname: Seen::Is("host".to_owned()),
            interfaces: Seen::Is(host_links),
            mounts: Seen::Is(40),
            root: Seen::Is("/".to_owned()),
            uid: Some(1000),
            gid: Some(1000),
            ..Side::default()
        },
        inside: Side {
            pid: Some(1),
            hostname: Seen::Is("we\x1bb".to_owned()),
            interfaces: Seen::Is(inner_links),
            mounts: Seen::Is(12),
            root: Seen::Unreadable(Errno::ACCESS),
            uid: Some(0),
            gid: None,
            boottime_offset_ns: Seen::Is(-3_600_000_000_000),
            ..Side::default()
        },
        uid: [1000; 4],
        gid: [1000, 1000, 5, 1000],
        groups: vec![4, 24],
        user: name("alice"),
        uid_map: Seen::Is(vec![
            NamedExtent { extent: extent(0, 1000, 1), inside_name: name("root"), outside_name: name("ali\x1bce") },
            NamedExtent { extent: extent(1, 100_000, 65_536), inside_name: name("bin"), outside_name: None },
        ]),
        gid_map: Seen::Is(Vec::new()),
        capabilities: Capabilities {
            effective: vec!["CAP_CHOWN".to_owned(), "CAP_NET_RAW".to_owned()],
            permitted: vec!["CAP_CHOWN".to_owned(), "CAP_NET_RAW".to_owned()],
            inheritable: Vec::new(),
            bounding: (0..41).map(|n| format!("CAP_{n}")).collect(),
            ambient: Vec::new(),
            full: 0x1ff_ffff_ffff,
            sets: CapSets { effective: 0x2001, permitted: 0x2001, bounding: 0x1ff_ffff_ffff, ..CapSets::default() },
            over: vec![
                Over { user: host_user, initial: true, owns: vec![NsType::Uts], standing: Standing::None },
                Over { user, initial: false, owns: vec![NsType::Mnt, NsType::Net], standing: Standing::Effective },
                Over { user, initial: false, owns: Vec::new(), standing: Standing::All },
            ],
        },
        security: Security {
            seccomp: Some("filter"),
            seccomp_filters: Some(1),
            no_new_privs: Some(true),
            lsm: Seen::Is("docker-default (enforce)".to_owned()),
        },
        cgroup: Seen::Is(CgroupView {
            path: format!("/system.slice/docker-{ID}.scope"),
            limits: vec![
                Limit { name: "memory.max", value: "536870912".to_owned(), at: "/system.slice".to_owned() },
                Limit {
                    name: "cpu.max",
                    value: "150000 100000".to_owned(),
                    at: format!("/system.slice/docker-{ID}.scope"),
                },
            ],
            usage: vec![Limit { name: "pids.current", value: "7".to_owned(), at: String::new() }],
        }),
    }
}

fn show() -> Show {
    let member = Member {
        pid: 200,
        pids: vec![200, 1],
        ppid: 150,
        comm: "ev\x1bil".to_owned(),
        state: 'S',
        uid: 1000,
        container: Some(web()),
    };
    Show {
        target: "web".to_owned(),
        kind: "container",
        task: Some(task()),
        container: Some(ContainerReport { container: web(), processes: vec![member], init: Some(200) }),
        namespace: None,
    }
}

#[test]
fn show_container() {
    assert_snapshot!(show().text(LOOK, 61_000_000_000));
}

#[test]
fn show_explains() {
    let show = Show { container: None, kind: "task", ..show() };
    let text = show.text(EXPLAIN, 61_000_000_000);
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("  $ ")).collect();
    assert_snapshot!(commands.join("\n"));
}

#[test]
fn no_text_holds_anything_a_terminal_acts_upon() {
    let fake = FakeProc::new();
    let engines = Engines::of(vec![web()]);
    let table = fake.table();
    for text in [
        show().text(LOOK, 0),
        map_net::text(&net_map(), LOOK),
        map_net::dot(&net_map()),
        map::pid(&PidMap::new(&table, &engines, &pid_tree()), true, LOOK),
        map::mnt(&MntMap::read(&fake.places(), &table, &engines, &[]), LOOK),
    ] {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("\\x1b"), "the names are there, escaped: {text}");
    }
}
