//! Goldens of `ls` and `why` over a made-up census with hostile names. Accept new ones by running the tests with
//! `INSTA_UPDATE=always` and reading the diff. Every document is valid under the schema that the program prints.

#[expect(dead_code, reason = "nothing is run here but the schema")]
mod inspect_common;

use insta::assert_snapshot;
use nstrace::{
    census::{
        Census, Descriptor, Holder, NsIndex,
        build::{Builder, HolderFact, Key, NamespaceFact, Object, TaskFact},
        holder::MountHolder,
    },
    engine::Named,
    event::Comm,
    filter::Filter,
    inspect::{
        net::{Link, fate},
        seen::Seen,
    },
    ns::{NsName, NsType, Slot},
    view::{
        ls::{self, Creation, LsRow, NetNsId},
        ls_columns::{Column, FIELDS},
        ls_json,
        ls_processes::{self, Process},
        ls_tree::{By, arrange},
        why::{self, Ending, Why},
        why_json,
    },
};
use rustix::io::Errno;
use serde_json::Value;

const INITIAL: u32 = 4_026_531_800;

fn key(ns_type: NsType, of: u32) -> Key {
    u64::from(of) * 16 + ns_type as u64 + 1
}

fn inum(ns_type: NsType, of: u32) -> u32 {
    INITIAL + of * 100 + ns_type as u32
}

/// World 0 is the initial one, 1 that of a container, 2 what it left behind, 3 what nobody is in.
fn namespace(builder: &mut Builder, ns_type: NsType, of: u32, owner: u32, refs: u32) {
    builder.namespace(NamespaceFact {
        key: key(ns_type, of),
        name: NsName {
            ns_type,
            inum: inum(ns_type, of),
            id: (of != 3).then_some(u64::from(of) * 10 + ns_type as u64 + 1),
        },
        owner: if ns_type == NsType::User && of == owner { 0 } else { key(NsType::User, owner) },
        parent: if matches!(ns_type, NsType::User | NsType::Pid) && of != 0 { key(ns_type, 0) } else { 0 },
        ucounts: 0,
        mqueue: 0,
        mqueue_mount: 0,
        listing: 0,
        level: None,
        owner_uid: (ns_type == NsType::User).then_some(of * 1000),
        refs: Some(refs).filter(|&refs| refs != 0),
        segments: None,
    });
}

fn task(tgid: u32, tid: u32, ppid: u32, comm: &[u8], worlds: impl Fn(NsType) -> u32) -> TaskFact {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    TaskFact {
        tid,
        tgid,
        ppid: Some(ppid),
        uid: if worlds(NsType::User) == 0 { 0 } else { 1000 },
        comm: Comm::new(&name),
        dead: false,
        kernel_thread: false,
        cgroup: 0,
        slots: Slot::ALL.map(|slot| key(slot.ns_type(), worlds(slot.ns_type()))),
        nsproxy: 0x1000 + u64::from(tgid),
        real_cred: 0x2000 + u64::from(tgid),
        cred: 0x2000 + u64::from(tgid),
        pid: 0x3000 + u64::from(tid),
        ucounts: 0,
        mm: (0, 0),
        groups: [(0, 0); 2],
        exe_cred: (0, 0),
    }
}

fn census() -> Census {
    let mut builder = Builder::default();
    builder.initial(NsType::ALL.map(|ns_type| inum(ns_type, 0)));
    for ns_type in NsType::ALL {
        namespace(&mut builder, ns_type, 0, 0, 7);
    }
    namespace(&mut builder, NsType::User, 1, 0, 5);
    for (ns_type, refs) in [(NsType::Mnt, 1), (NsType::Net, 1), (NsType::Pid, 5)] {
        namespace(&mut builder, ns_type, 1, 1, refs);
    }
    namespace(&mut builder, NsType::Uts, 2, 1, 4);
    namespace(&mut builder, NsType::Net, 3, 0, 6);
    namespace(&mut builder, NsType::Ipc, 3, 0, 0);
    builder.task(task(1, 1, 0, b"systemd", |_| 0));
    builder.task(task(300, 300, 1, b"ev\x1b[31mil\n", |ns_type| {
        u32::from(matches!(ns_type, NsType::User | NsType::Mnt | NsType::Net | NsType::Pid))
    }));
    // A thread that went elsewhere, a zombie, and one whose children will be.
    builder.task(TaskFact {
        nsproxy: 0x1301,
        slots: Slot::ALL.map(|slot| key(slot.ns_type(), if slot.ns_type() == NsType::Uts { 2 } else { 0 })),
        ..task(300, 301, 1, b"\xe2\x80\xaetxt", |_| 0)
    });
    builder.task(TaskFact { dead: true, ..task(310, 310, 300, b"dead", |_| 0) });
    builder.task(TaskFact {
        slots: Slot::ALL.map(|slot| key(slot.ns_type(), u32::from(slot == Slot::ForChildren(NsType::Pid)))),
        ..task(320, 320, 1, b"unshare", |_| 0)
    });
    let (net, pid) = (key(NsType::Net, 3), key(NsType::Pid, 1));
    let at = |fd| Descriptor { pid: 320, tid: 320, fd };
    let mount =
        |path: &str, hidden| MountHolder { mnt_ns: Some(inum(NsType::Mnt, 0)), path: Some(path.to_owned()), hidden };
    for (ns, holder, object) in [
        (net, Holder::Fd(at(9)), Object::Nsfs),
        (net, Holder::Fd(Descriptor { tid: 301, ..at(10) }), Object::Nsfs),
        (net, Holder::InFlight(at(11)), Object::Nsfs),
        (net, Holder::Mount(mount("/run/netns/a\x1b]0;b\u{202e}c", false)), Object::Nsfs),
        (net, Holder::Mount(mount("/mnt/x y", true)), Object::Nsfs),
        (net, Holder::Mount(MountHolder::unnamed(None)), Object::Nsfs),
        (net, Holder::Socket { at: at(12), family: 16 }, Object::Sock(1)),
        (net, Holder::Tun(at(13)), Object::Sock(2)),
        (
            pid,
            Holder::Procfs(MountHolder { mnt_ns: Some(inum(NsType::Mnt, 1)), ..mount("/proc", false) }),
            Object::SuperBlock(1),
        ),
        (pid, Holder::Pidfd(at(14)), Object::Pid(1)),
        (key(NsType::Ipc, 3), Holder::Shm { pid: 300, id: 5 }, Object::File(1)),
        (key(NsType::Ipc, 3), Holder::Other { at: Some(at(15)), what: "file system context" }, Object::File(2)),
    ] {
        builder.holder(HolderFact { ns, holder, object });
    }
    let mut census = builder.finish();
    census.boot_id = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f".to_owned();
    census.missing = vec!["mounts of 1 mount namespaces that changed meanwhile: run it again".to_owned()];
    census
}

fn index(census: &Census, ns_type: NsType, of: u32) -> NsIndex {
    let wanted = inum(ns_type, of);
    census.indices().find(|&at| census.namespace(at).name.inum == wanted).expect("it was described")
}

fn web() -> Named {
    Named {
        runtime: "docker".to_owned(),
        id: "3f2a".repeat(16),
        name: Some("we\x1b[1mb".to_owned()),
        image: Some("ngi nx:1.27".to_owned()),
        image_id: None,
        pod: Some("front\u{9b}".to_owned()),
        ..Named::default()
    }
}

fn rows<'c>(census: &'c Census, web: &'c Named) -> Vec<LsRow<'c>> {
    let row = |index: NsIndex| {
        let ns = census.namespace(index);
        let of = (ns.name.inum - INITIAL) / 100;
        let is_net = ns.name.ns_type == NsType::Net;
        LsRow {
            census,
            index,
            command: ns.first.map(|first| format!("{} --flag \x07", census.task(first).comm.to_string_lossy())),
            user: Some(if of == 1 { "ali\x1bce" } else { "root" }.to_owned()),
            netnsid: match (is_net, of) {
                (true, 0) => Seen::Is(NetNsId::Unassigned),
                (true, 1) => Seen::Is(NetNsId::Is(4)),
                (true, _) => Seen::Unreadable(Errno::ACCESS),
                _ => Seen::Absent,
            },
            container: (of == 1).then_some(web),
            creation: (is_net && of == 1).then(|| Creation {
                utc_ns: 1_763_760_912_123_456_789,
                age_ns: 61_000_000_000,
                creator: Some((299, "ru\x1bnc".to_owned())),
            }),
        }
    };
    census.indices().map(row).collect()
}

#[test]
fn ls_default() {
    let (census, web) = (census(), web());
    assert_snapshot!(ls::table(&rows(&census, &web), &[], &Column::DEFAULT, true));
}

#[test]
fn ls_all_columns() {
    let (census, web) = (census(), web());
    assert_snapshot!(ls::table(&rows(&census, &web), &[], &Column::ALL.map(|(column, _)| column), true));
}

#[test]
fn ls_raw() {
    let (census, web) = (census(), web());
    let text = ls::raw(&rows(&census, &web), &Column::ALL.map(|(column, _)| column), true);
    for line in text.lines() {
        assert_eq!(line.split(' ').count(), Column::ALL.len(), "{line}");
    }
    assert_snapshot!(text);
}

#[test]
fn ls_trees() {
    let (census, web) = (census(), web());
    let columns = [Column::Ns, Column::Type, Column::Pid];
    let tree = |by: By| {
        let mut rows = rows(&census, &web);
        let prefixes = arrange(&census, by, &mut rows);
        assert_eq!(rows.len(), census.namespaces.len(), "nothing is lost");
        ls::table(&rows, &prefixes, &columns, true)
    };
    assert_snapshot!([By::Owner, By::Parent, By::Process].map(tree).join("\n"));
}

#[test]
fn processes_of_a_namespace_are_escaped_and_aligned() {
    let of = |pid, ppid, command: &str| Process { pid, ppid, user: "ro\x1bot".to_owned(), command: command.to_owned() };
    let processes = [of(7, None, "sh -c \u{9b}x"), of(4321, Some(7), "cat")];
    assert_eq!(
        ls_processes::table(&processes, true),
        " PID PPID USER     COMMAND\n   7    - ro\\x1bot sh -c \\u{9b}x\n4321    7 ro\\x1bot cat\n"
    );
    assert_eq!(ls_processes::raw(&processes, false), "7 - ro\\x1bot sh\\x20-c\\x20\\u{9b}x\n4321 7 ro\\x1bot cat\n");
}

fn assert_valid(definition: &str, document: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(document).expect("JSON");
    let validator = inspect_common::validator(definition);
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    value
}

#[test]
fn ls_document() {
    let (census, web) = (census(), web());
    let document = ls_json::document(&census, &rows(&census, &web));
    assert_valid("ls", &document);
    assert_snapshot!(String::from_utf8(document).expect("UTF-8"));
}

#[test]
fn filters_over_every_column() {
    let (census, web) = (census(), web());
    let rows = rows(&census, &web);
    for (expression, count) in [
        ("NETNSID == 4", 1),
        ("AGE > 60.5 and AGE < 61.5", 1),
        ("CREATED =~ \"^2025-11-21T\"", 1),
        ("CREATOR =~ \"299\"", 1),
        ("IMAGE =~ \"nx\" and TYPE != \"user\"", 3),
        ("CONTAINER =~ \"^we\"", 4),
        ("KEPT_BY =~ \"socket\" and NPROCS == 0", 1),
    ] {
        let filter = Filter::parse(expression, &FIELDS).expect(expression);
        assert_eq!(rows.iter().filter(|row| filter.matches(*row)).count(), count, "{expression}");
    }
}

/// What the visit to the container's network namespace found.
fn devices() -> Vec<fate::Device> {
    let link = |index, name: &str, kind: Option<&str>| Link {
        index,
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        peer: Some(7),
        ..Link::default()
    };
    let links = [
        Link { loopback: true, ..link(1, "lo", None) },
        link(2, "eth0\x1b", Some("veth")),
        link(3, "wg0", Some("wireguard")),
        link(4, "eth1", None),
    ];
    fate::devices(&links, |_| Some(fate::Peer { name: "vethA\u{202e}".to_owned(), ns: Some(inum(NsType::Net, 0)) }))
}

fn whys(each: &mut dyn FnMut(&Why<'_>)) {
    let census = census();
    for (ns_type, of) in
        [(NsType::Net, 3), (NsType::Pid, 1), (NsType::User, 1), (NsType::Uts, 2), (NsType::Ipc, 3), (NsType::Net, 0)]
    {
        let index = index(&census, ns_type, of);
        let look = |net: NsIndex| match census.namespace(net).name.inum {
            inum if inum == self::inum(NsType::Net, 1) => Seen::Is(devices()),
            _ => Seen::Unreadable(Errno::PERM),
        };
        let end = Ending::of(&census, index, look);
        each(&Why { census: &census, index, end: end.as_ref() });
    }
}

#[test]
fn why_as_text() {
    let mut text = String::new();
    whys(&mut |why| text += &(why::text(why, &mut |task| format!("{} \x07", task.comm.to_string_lossy())) + "\n"));
    assert_snapshot!(text);
}

#[test]
fn why_documents() {
    let mut all = Vec::new();
    whys(&mut |why| {
        let document = why_json::document(why);
        assert_valid("why", &document);
        all.extend(document);
    });
    assert_snapshot!(String::from_utf8(all).expect("UTF-8"));
}

#[test]
fn nothing_reaches_a_terminal_unescaped() {
    let (census, web) = (census(), web());
    let rows = rows(&census, &web);
    let columns = Column::ALL.map(|(column, _)| column);
    let mut texts = vec![ls::table(&rows, &[], &columns, true), ls::raw(&rows, &columns, true)];
    texts.push(String::from_utf8(ls_json::document(&census, &rows)).expect("UTF-8"));
    whys(&mut |why| {
        texts.push(why::text(why, &mut |task| task.comm.to_string_lossy().into_owned()));
        texts.push(String::from_utf8(why_json::document(why)).expect("UTF-8"));
    });
    for text in texts {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}
