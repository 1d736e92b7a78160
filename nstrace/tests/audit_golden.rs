//! The audit over made-up facts: each fault alone yields its finding and no other, nothing unreadable passes, no verdict
//! rests on a name, and every form of the report is what it claims to be.

mod audit_facts;

use audit_facts::{ALL, HOST_GROUP, facts, host, in_hosts_user_namespace, isolated, mount, ns, open, unreadable};
use insta::assert_snapshot;
use nstrace::{
    audit::{
        checks::{CHECKS, PERSISTED_ID},
        facts::{Container, DeviceRules, Facts, Init, Outside, OutsideKind, ReachedSocket, Sharer},
        privileges::{BASELINE, SYS_ADMIN},
        report::Report,
        verdict::{Severity, Verdict},
    },
    detect::catalogue::{ORPHAN, POSTURE},
    inspect::seen::Seen,
    map::mount_table::Mount,
    ns::NsType,
    view::{audit, audit_html, audit_sarif, document, origin::Origin, schema, sections::Look},
};
use scraper::{Html, Selector};
use serde_json::Value;

const LOOK: Look = Look { colour: false, explain: false };

fn origin() -> Origin {
    Origin { host: "host\x1b<b>".to_owned(), boot_id: String::new(), kernel: "6.18".to_owned() }
}

fn report(container: Container) -> Report {
    Report::new(&Facts { host: host(), containers: vec![container], ..Facts::default() })
}

/// Findings worse than `info` and their severities.
fn found(container: Container) -> Vec<(&'static str, Severity)> {
    let report = report(container);
    let bad = report.findings.iter().filter(|finding| finding.severity > Severity::Info);
    bad.map(|finding| (finding.check, finding.severity)).collect()
}

#[test]
fn without_a_fault_all_checks_pass() {
    let report = report(isolated());
    for row in &report.containers[0].verdicts {
        assert_eq!(row.verdict, Verdict::Pass, "{}: {}", row.id, row.reason);
    }
    assert_eq!(report.worst(), None);
    assert_eq!(found(in_hosts_user_namespace()), [], "no root, no way to become root");
}

fn cell(container: &mut Container, ns_type: NsType) -> &mut nstrace::audit::facts::Cell {
    container.namespaces.iter_mut().find(|cell| cell.r#type == ns_type).expect("all are there")
}

fn add(container: &mut Container, line: &str, host_path: Option<&str>) {
    let Seen::Is(mounts) = &mut container.mounts else { panic!("it has mounts") };
    mounts.push(mount(line, host_path));
}

fn remove(container: &mut Container, point: &str) -> Mount {
    let Seen::Is(mounts) = &mut container.mounts else { panic!("it has mounts") };
    let at = mounts.iter().position(|mount| mount.point == point).expect("it is mounted");
    mounts.remove(at)
}

fn socket(admin: bool, uid: u32) -> Seen<Vec<ReachedSocket>> {
    Seen::Is(vec![ReachedSocket {
        path: "/x".to_owned(),
        inode: 1,
        listener: Some(Init { pid: 2, comm: "y".to_owned() }),
        listener_uid: uid,
        listener_is_admin: admin,
    }])
}

#[test]
fn each_fault_yields_its_finding_and_no_other() {
    use Severity::{Critical, High, Low, Medium};
    const SYS_MODULE: u64 = 1 << 16;
    const NET_ADMIN: u64 = 1 << 12;
    const NET_RAW: u64 = 1 << 13;
    type Fault = fn(&mut Container);
    let share = |ns_type: NsType| move |container: &mut Container| cell(container, ns_type).host = Some(true);
    for (ns_type, id, severity) in [
        (NsType::Mnt, "NST-021.host-mnt", Critical),
        (NsType::Pid, "NST-021.host-pid", High),
        (NsType::Net, "NST-021.host-net", Medium),
        (NsType::Ipc, "NST-021.host-ipc", Medium),
        (NsType::Uts, "NST-021.host-uts", Low),
        (NsType::Cgroup, "NST-021.host-cgroup", Low),
    ] {
        let mut container = in_hosts_user_namespace();
        share(ns_type)(&mut container);
        assert_eq!(found(container), [(id, severity)]);
        let mut container = isolated();
        cell(&mut container, ns_type).stray = Some(501);
        assert_eq!(found(container), [(id, severity)], "a single process of it");
    }
    let faults: [(&str, Severity, Fault); 30] = [
        ("NST-021.privileged", Critical, |c| c.processes[0].capabilities.effective = ALL),
        ("NST-021.privileged", Critical, |c| c.processes[0].capabilities.permitted = ALL),
        ("NST-021.capabilities", High, |c| c.processes[0].capabilities.effective = SYS_MODULE | BASELINE),
        ("NST-021.capabilities", Medium, |c| c.processes[0].capabilities.permitted = NET_ADMIN),
        ("NST-021.capabilities", Low, |c| c.processes[0].capabilities.effective = NET_RAW),
        ("NST-021.seccomp", Medium, |c| c.processes[0].seccomp = Some(0)),
        ("NST-021.lsm", Low, |c| c.processes[0].lsm = Seen::Is("unconfined".to_owned())),
        ("NST-021.lsm", Low, |c| c.processes[0].lsm = Seen::Is("app (complain)".to_owned())),
        ("NST-021.root", Low, |c| {
            c.processes[0].uid = 0;
            // Who is root of the host is so in its user namespace too, unless that is another one.
            cell(c, NsType::User).host = Some(false);
        }),
        ("NST-021.shared-namespace", Low, |c| {
            cell(c, NsType::Net).shared_with = vec![Sharer { container: "b".to_owned(), same_pod: false }];
        }),
        ("NST-021.shared-namespace", Medium, |c| {
            cell(c, NsType::Mnt).shared_with = vec![Sharer { container: "b".to_owned(), same_pod: false }];
        }),
        ("NST-021.proc-writable", Low, |c| drop(remove(c, "/proc/sys"))),
        ("NST-021.sys-writable", Low, |c| add(c, "70 1 0:51 / /sys2 rw - sysfs sysfs rw", None)),
        ("NST-021.cgroup-writable", Low, |c| add(c, "70 1 0:60 / /cg rw - cgroup cgroup rw", None)),
        ("NST-021.kernel-file-system", High, |c| add(c, "70 1 0:61 / /d rw - debugfs debugfs rw", None)),
        ("NST-021.kernel-file-system", Medium, |c| add(c, "70 1 0:61 / /d ro - tracefs t rw", None)),
        ("NST-021.host-proc", High, |c| add(c, "70 1 0:20 / /p rw - proc proc rw", Some("/proc"))),
        ("NST-021.host-directory", Critical, |c| add(c, "70 1 8:1 / /h rw - ext4 /dev/sda1 rw", Some("/"))),
        ("NST-021.host-directory", High, |c| add(c, "70 1 8:1 /etc /e rw - ext4 /dev/sda1 rw", Some("/etc"))),
        ("NST-021.host-directory", Medium, |c| add(c, "70 1 8:1 /etc /e ro - ext4 /dev/sda1 rw", Some("/etc"))),
        ("NST-021.propagation", Medium, |c| {
            add(c, &format!("70 1 0:62 / /v rw shared:{HOST_GROUP} - tmpfs t rw"), None);
        }),
        ("NST-021.control-socket", High, |c| c.sockets = socket(true, 1000)),
        ("NST-021.control-socket", Medium, |c| c.sockets = socket(false, 0)),
        ("NST-021.devices", High, |c| c.block_devices = Seen::Is(vec!["/dev/sda".to_owned()])),
        ("NST-021.devices", High, |c| add(c, "70 1 0:6 / /devs rw - devtmpfs d rw", Some("/dev"))),
        ("NST-021.host-directory-descriptor", Critical, |c| {
            let what = OutsideKind::Cwd { path: "/".to_owned() };
            c.outside = Seen::Is(vec![Outside { pid: 500, comm: "x".to_owned(), what }]);
        }),
        ("NST-021.host-namespace-descriptor", High, |c| {
            let what = OutsideKind::Namespace { fd: 3, ns: ns(NsType::Net, 4_026_531_833), initial: true };
            c.outside = Seen::Is(vec![Outside { pid: 500, comm: "x".to_owned(), what }]);
        }),
        ("NST-021.memory-limit", Low, |c| {
            let Seen::Is(cgroup) = &mut c.cgroup else { panic!("it has a cgroup") };
            cgroup.limits.retain(|limit| limit.name != "memory.max");
        }),
        ("NST-021.pids-limit", Low, |c| {
            let Seen::Is(cgroup) = &mut c.cgroup else { panic!("it has a cgroup") };
            cgroup.limits.retain(|limit| limit.name != "pids.max");
        }),
        ("NST-021.device-rules", High, |c| {
            c.devices = DeviceRules::List { rules: vec!["a *:* rwm".to_owned()] };
            c.processes[0].capabilities.effective = 1 << 27;
        }),
    ];
    for (id, severity, fault) in faults {
        let mut container = in_hosts_user_namespace();
        fault(&mut container);
        assert_eq!(found(container), [(id, severity)]);
    }
}

#[test]
fn what_makes_a_fault_worse_or_harmless() {
    let severity = |container: Container, id: &str| {
        let report = report(container);
        report.containers[0].verdicts.iter().filter(|row| row.id == id).filter_map(|row| row.verdict.severity()).max()
    };
    // A capability in a user namespace of its own is no danger by itself.
    let mut own = isolated();
    own.processes[0].capabilities.effective = ALL;
    assert_eq!(found(own), []);
    // Files of the kernel belong to root of the host.
    let mut open_proc = in_hosts_user_namespace();
    drop(remove(&mut open_proc, "/proc/sys"));
    assert_eq!(severity(open_proc.clone(), "NST-021.proc-writable"), Some(Severity::Low));
    open_proc.processes[0].no_new_privs = Some(false);
    assert_eq!(severity(open_proc.clone(), "NST-021.proc-writable"), Some(Severity::Medium));
    open_proc.processes[0].uid = 0;
    assert_eq!(severity(open_proc.clone(), "NST-021.proc-writable"), Some(Severity::High));
    let mut mapped = isolated();
    drop(remove(&mut mapped, "/proc/sys"));
    assert_eq!(severity(mapped, "NST-021.proc-writable"), Some(Severity::Info));
    // So do disks and /etc.
    let mut mapped = isolated();
    mapped.block_devices = Seen::Is(vec!["/dev/sda".to_owned()]);
    add(&mut mapped, "70 1 8:1 /etc /e rw - ext4 /dev/sda1 rw", Some("/etc"));
    assert_eq!(severity(mapped.clone(), "NST-021.devices"), Some(Severity::Low));
    assert_eq!(severity(mapped.clone(), "NST-021.host-directory"), Some(Severity::Medium));
    mapped.processes[0].uid = 0;
    assert_eq!(severity(mapped.clone(), "NST-021.devices"), Some(Severity::High));
    assert_eq!(severity(mapped, "NST-021.host-directory"), Some(Severity::High));
    // release_agent takes CAP_SYS_ADMIN.
    let mut agent = in_hosts_user_namespace();
    add(&mut agent, "70 1 0:60 / /cg rw - cgroup cgroup rw", None);
    agent.processes[0].capabilities.effective = SYS_ADMIN;
    assert_eq!(severity(agent, "NST-021.cgroup-writable"), Some(Severity::High));
    // Of two processes the weaker counts.
    let mut two = isolated();
    let mut other = two.processes[0].clone();
    other.seccomp = Some(0);
    two.processes.push(other);
    assert_eq!(severity(two, "NST-021.seccomp"), Some(Severity::Medium));
    // A pod is made to share.
    let mut pod = isolated();
    cell(&mut pod, NsType::Net).shared_with = vec![Sharer { container: "b".to_owned(), same_pod: true }];
    assert_eq!(severity(pod, "NST-021.shared-namespace"), None);
    // What is hidden is out of reach, and what lies under another mount too.
    let mut hidden = in_hosts_user_namespace();
    add(&mut hidden, "70 1 8:1 / /h rw - ext4 /dev/sda1 rw", Some("/"));
    let Seen::Is(mounts) = &mut hidden.mounts else { panic!("it has mounts") };
    mounts.last_mut().expect("just added").hidden = true;
    assert_eq!(found(hidden), []);
    // Its own root directory lies somewhere on the host.
    let mut bundle = in_hosts_user_namespace();
    remove(&mut bundle, "/");
    add(&mut bundle, "1 0 8:1 /home/u/rootfs / ro - ext4 /dev/sda1 rw", Some("/home/u/rootfs"));
    assert_eq!(found(bundle), []);
    // An open namespace that it lives in is no way out.
    let mut same = isolated();
    cell(&mut same, NsType::Net).host = Some(true);
    let what = OutsideKind::Namespace { fd: 3, ns: ns(NsType::Net, 4_026_532_102), initial: true };
    same.outside = Seen::Is(vec![Outside { pid: 500, comm: "x".to_owned(), what }]);
    assert_eq!(severity(same, "NST-021.host-namespace-descriptor"), None);
}

#[test]
fn what_cannot_be_read_never_passes() {
    let report = report(unreadable());
    for row in &report.containers[0].verdicts {
        assert_eq!(row.verdict, Verdict::Unknown, "{}: {}", row.id, row.reason);
    }
    assert_eq!(report.containers[0].unknown, CHECKS.len());
    let mut programs = in_hosts_user_namespace();
    programs.devices = DeviceRules::Programs { count: 2 };
    let report = self::report(programs);
    let row = report.containers[0].verdicts.iter().find(|row| row.id == "NST-021.device-rules").expect("judged");
    assert_eq!(row.verdict, Verdict::Unknown, "{}", row.reason);
    let mut socket = in_hosts_user_namespace();
    socket.sockets = self::socket(false, 0);
    let Seen::Is(sockets) = &mut socket.sockets else { panic!("there is one") };
    sockets[0].listener = None;
    let report = self::report(socket);
    let row = report.containers[0].verdicts.iter().find(|row| row.id == "NST-021.control-socket").expect("judged");
    assert_eq!(row.verdict, Verdict::Unknown, "who listens is not seen: {}", row.reason);
}

#[test]
fn no_verdict_rests_on_a_name() {
    let verdicts = |facts: &Facts| -> Vec<(u32, &'static str, Verdict)> {
        let report = Report::new(facts);
        let mut all: Vec<_> = report
            .containers
            .iter()
            .flat_map(|c| c.verdicts.iter().map(|row| (c.init.pid, row.id, row.verdict)))
            .collect();
        all.sort_by_key(|(pid, id, verdict)| (*pid, *id, verdict.name()));
        all
    };
    let plain = facts();
    for name in ["systemd", "dockerd", "runc:[2:INIT]", "pause", "kubelet", ""] {
        let mut renamed = plain.clone();
        for container in &mut renamed.containers {
            container.init.comm = name.to_owned();
            if let Some(named) = &mut container.named {
                named.runtime = name.to_owned();
                named.name = Some(name.to_owned());
                named.image = Some(name.to_owned());
            }
            for process in &mut container.processes {
                process.comm = name.to_owned();
            }
            if let Seen::Is(sockets) = &mut container.sockets {
                for socket in sockets {
                    socket.path = format!("/{name}");
                    socket.listener.iter_mut().for_each(|listener| listener.comm = name.to_owned());
                }
            }
            if let Seen::Is(outside) = &mut container.outside {
                for found in outside {
                    found.comm = name.to_owned();
                }
            }
        }
        assert_eq!(verdicts(&renamed), verdicts(&plain), "{name:?}");
    }
}

/// String literals of a source file that stand outside of comments.
fn literals(source: &str) -> Vec<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.split('"').skip(1).step_by(2).map(str::to_lowercase).collect()
}

#[test]
fn no_source_of_a_check_names_a_program_a_runtime_or_an_image() {
    let sources = [
        include_str!("../src/audit/checks.rs"),
        include_str!("../src/audit/facts.rs"),
        include_str!("../src/audit/host_directories.rs"),
        include_str!("../src/audit/kernel_files.rs"),
        include_str!("../src/audit/layers.rs"),
        include_str!("../src/audit/leftovers.rs"),
        include_str!("../src/audit/mounts.rs"),
        include_str!("../src/audit/namespaces.rs"),
        include_str!("../src/audit/outside.rs"),
        include_str!("../src/audit/privileges.rs"),
        include_str!("../src/audit/resources.rs"),
        include_str!("../src/audit/report.rs"),
        include_str!("../src/audit/collect/mod.rs"),
        include_str!("../src/audit/collect/cgroups.rs"),
        include_str!("../src/audit/collect/groups.rs"),
        include_str!("../src/audit/collect/leftovers.rs"),
        include_str!("../src/audit/collect/mounts.rs"),
        include_str!("../src/audit/collect/outside.rs"),
        include_str!("../src/audit/collect/sockets.rs"),
    ];
    // `/var/lib/kubelet` is a directory of the host whose content matters, whoever made it.
    const DIRECTORY: &str = "/var/lib/kubelet";
    const NAMES: [&str; 22] = [
        "docker",
        "podman",
        "containerd",
        "runc",
        "crun",
        "crio",
        "cri-o",
        "kubelet",
        "kube",
        "conmon",
        "systemd",
        "nspawn",
        "lxc",
        "lxd",
        "incus",
        "libpod",
        "buildkit",
        "nginx",
        "busybox",
        "pause",
        ".sock",
        "shim",
    ];
    let mut seen = 0;
    for source in sources {
        for literal in literals(source) {
            seen += 1;
            let literal = literal.replace(DIRECTORY, "");
            for name in NAMES {
                assert!(!literal.contains(name), "a condition must not know {name:?}: {literal:?}");
            }
        }
        // Names are only ever put into sentences.
        for compared in [".comm ==", ".comm.as_", ".comm.starts", ".comm.contains", ".comm.ends", ".runtime", ".image"]
        {
            assert!(!source.contains(compared), "{compared}");
        }
    }
    assert!(seen > 200, "{seen} literals: the reader of the sources is broken");
    assert!(literals("a(\"x docker\"); // \"y\"").iter().any(|literal| literal.contains("docker")), "it can fail");
}

#[test]
fn the_table_of_checks_is_sound() {
    let mut ids: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert!(ids.iter().all(|id| id.starts_with(&format!("{}.", POSTURE.id))));
    assert!(PERSISTED_ID.starts_with(&format!("{}.", ORPHAN.id)));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CHECKS.len(), "ids are unique");
    let frameworks: Vec<&str> = CHECKS.iter().flat_map(|check| check.controls).map(|c| c.framework).collect();
    for framework in ["CIS Docker Benchmark", "Kubernetes Pod Security Standards", "NIST SP 800-190"] {
        assert!(frameworks.contains(&framework), "{framework}");
    }
    assert!(frameworks.iter().any(|framework| framework.starts_with("CIS Kubernetes Benchmark")));
    assert!(CHECKS.iter().all(|check| !check.controls.is_empty() && !check.remedy.is_empty()));
}

#[test]
fn as_text() {
    assert_snapshot!(audit::text(&Report::new(&facts()), LOOK, false));
}

#[test]
fn as_text_with_what_passes() {
    let text = audit::text(&report(isolated()), LOOK, true);
    assert_eq!(text.lines().filter(|line| line.starts_with("  pass ")).count(), CHECKS.len(), "{text}");
}

#[test]
fn no_form_holds_anything_a_terminal_acts_upon() {
    let report = Report::new(&facts());
    let missing = vec!["x\x1b\u{202e}".to_owned()];
    for text in [
        audit::text(&report, Look { explain: true, ..LOOK }, true),
        document::json(&report, &missing),
        audit_sarif::sarif(&report, &missing, &origin()),
        audit_html::page(&report, &missing, &origin(), "now"),
    ] {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn the_document_is_valid() {
    let report = Report::new(&facts());
    let value: Value = serde_json::from_str(&document::json(&report, &["x".to_owned()])).expect("JSON");
    let mut schema: Value = serde_json::from_str(schema::TEXT).expect("the schema is JSON");
    let object = schema.as_object_mut().expect("the schema is an object");
    object.remove("anyOf").expect("the root offers alternatives");
    object.insert("$ref".to_owned(), Value::from("#/$defs/audit"));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12");
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert_eq!(value["containers"][0]["risk"], "critical", "worst first");
    let severities: Vec<&Value> = value["findings"].as_array().expect("list").iter().map(|f| &f["severity"]).collect();
    assert_eq!((severities[0].as_str(), severities[severities.len() - 1].as_str()), (Some("critical"), Some("info")));
    let mut wrong = value.clone();
    wrong["containers"][0]["verdicts"][0]["verdict"] = Value::from("fine");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn sarif_is_sarif() {
    let report = Report::new(&facts());
    let text = audit_sarif::sarif(&report, &["the moon".to_owned()], &origin());
    let value: Value = serde_json::from_str(&text).expect("JSON");
    // Types made from the OASIS schema: what they do not know would be missing after the way there and back.
    let log: serde_sarif::sarif::Sarif = serde_json::from_value(value.clone()).expect("SARIF 2.1.0");
    assert_eq!(serde_json::to_value(&log).expect("JSON"), value);
    let run = &log.runs[0];
    let results = run.results.as_ref().expect("results");
    let rules = run.tool.driver.rules.as_ref().expect("rules");
    let judged: usize = report.containers.iter().flat_map(|c| &c.verdicts).count() + report.namespaces.len();
    let silent = [Verdict::Pass, Verdict::Covered];
    let passed = report.containers.iter().flat_map(|c| &c.verdicts).filter(|row| silent.contains(&row.verdict)).count();
    assert_eq!(results.len(), judged - passed);
    for result in results {
        let index = usize::try_from(result.rule_index.expect("an index")).expect("not negative");
        assert_eq!(Some(&rules[index].id), result.rule_id.as_ref());
        let value = serde_json::to_value(result).expect("JSON");
        let (kind, level) = (&value["kind"], &value["level"]);
        // 3.27.10: level is none exactly when the kind is no failure.
        assert_eq!(kind == "fail", level != "none", "{value}");
        assert!(["fail", "open", "informational"].map(Value::from).contains(kind), "{value}");
        assert_eq!(value["locations"][0]["logicalLocations"].as_array().map(Vec::len), Some(1), "{value}");
    }
    let notes = &value["runs"][0]["invocations"][0]["toolExecutionNotifications"];
    assert_eq!(notes[0]["message"]["text"], "the moon");
}

#[test]
fn html_is_one_harmless_page() {
    let report = Report::new(&facts());
    let text = audit_html::page(&report, &["<i>moon</i>".to_owned()], &origin(), "2026-11-21T20:35:12Z");
    let page = Html::parse_document(&text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    let all = |selector: &str| page.select(&Selector::parse(selector).expect("a selector")).collect::<Vec<_>>();
    assert_eq!(
        all("script, link, img, iframe, object, embed, form, base, i, b").len(),
        0,
        "nothing of a name is markup"
    );
    for element in all("*") {
        for (name, value) in element.value().attrs() {
            let harmless = !name.starts_with("on") && name != "src" && (name != "href" || value.starts_with('#'));
            assert!(harmless, "{name}={value}");
        }
    }
    assert!(!text.contains("url(") && !text.contains("@import"), "the style loads nothing");
    assert_eq!(all("section.container").len(), 3);
    assert_eq!(all("#checks details").len(), report.checks.len());
    // Every link leads to a check that is there.
    for link in all("a[href]") {
        let target = link.value().attr("href").expect("it has one").trim_start_matches('#');
        assert!(all("details").iter().any(|details| details.value().attr("id") == Some(target)), "{target}");
    }
    let words: String = all("section.container h2")[0].text().collect();
    assert!(words.contains("<script>alert(1)</script>") && words.contains("\\x1b"), "{words}");
    let rows = all("#containers table").len();
    assert_eq!(rows, 2, "matrix and layers");
    let hosts: Vec<String> = all("td.host").iter().map(|cell| cell.text().collect::<String>()).collect();
    assert!(hosts.iter().any(|text| text.starts_with("HOST")), "{hosts:?}");
    assert_eq!(all("#missing li").len(), 1);
}

#[test]
fn a_browser_shows_the_page() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        std::process::Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    }) else {
        eprintln!("not tested: no browser is installed");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("report.html");
    let report = Report::new(&facts());
    std::fs::write(&path, audit_html::page(&report, &[], &origin(), "now")).expect("a file");
    let output = std::process::Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("the browser runs");
    let page = Html::parse_document(&String::from_utf8_lossy(&output.stdout));
    let selector = Selector::parse("section.container").expect("a selector");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(page.select(&selector).count(), 3, "{said}");
    // The console tells of what the policy of the page refused.
    assert!(!said.contains("Refused") && !said.contains("violates"), "{said}");
}

#[test]
fn the_open_container_has_every_kind_of_fault() {
    let mut checks: Vec<&str> = report(open()).findings.iter().map(|finding| finding.check).collect();
    checks.dedup();
    for id in CHECKS.iter().map(|check| check.id) {
        // These are covered by worse findings, or contradict another fault.
        let apart =
            ["NST-021.host-mnt", "NST-021.host-uts", "NST-021.host-ipc", "NST-021.host-cgroup", "NST-021.host-proc"];
        let covered = ["NST-021.capabilities", "NST-021.bounding-set", "NST-021.drop-all"];
        assert_eq!(checks.contains(&id), !apart.contains(&id) && !covered.contains(&id), "{id}");
    }
}
