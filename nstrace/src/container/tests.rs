use proptest::prelude::*;

use super::*;

const A: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
const B: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
const POD: &str = "a8ecd8eb-3b4e-4a0a-9b5c-0d4bd1b2c3d4";
const POD_UNIT: &str = "a8ecd8eb_3b4e_4a0a_9b5c_0d4bd1b2c3d4";
const STATIC_POD: &str = "3b1a7f2c5d6e8091a2b3c4d5e6f70819";

/// Path with `{A}`, `{B}`, `{P}` (pod uid), `{Q}` (the same in a unit name), `{S}` (static pod); expected `runtime id [pod]`, or `-`.
const SHAPES: &[(&str, &str)] = &[
    // docker
    ("/system.slice/docker-{A}.scope", "docker {A}"),
    ("/docker/{A}", "docker {A}"),
    ("/docker/{A}/init", "docker {A}"),
    ("/docker", "-"),
    ("/docker/buildx", "-"),
    ("/system.slice/docker.service", "-"),
    ("/system.slice/docker.socket", "-"),
    ("/system.slice/docker-{A}.scope/init.scope", "docker {A}"),
    ("/custom.slice/custom-web.slice/docker-{A}.scope", "docker {A}"),
    ("/my-parent/{A}", "unknown {A}"),
    ("/system.slice:docker:{A}", "docker {A}"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope", "docker {A}"),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/{A}", "unknown {A}"),
    ("/docker/buildkit/s3v4kq2l0p9x8c7b6n5m4a3z2", "docker s3v4kq2l0p9x8c7b6n5m4a3z2"),
    ("/system.slice/docker-s3v4kq2l0p9x8c7b6n5m4a3z2.scope", "docker s3v4kq2l0p9x8c7b6n5m4a3z2"),
    ("/../../system.slice/docker-{A}.scope", "docker {A}"),
    ("/system.slice/docker-{A}.scope (deleted)", "docker {A}"),
    // podman
    ("/machine.slice/libpod-{A}.scope", "podman {A}"),
    ("/machine.slice/libpod-{A}.scope/container", "podman {A}"),
    ("/machine.slice/libpod-conmon-{A}.scope", "-"),
    ("/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container", "podman {A}"),
    ("/machine.slice/machine-libpod_pod_{B}.slice/libpod-conmon-{A}.scope", "-"),
    ("/machine.slice/machine-libpod_pod_{B}.slice", "-"),
    ("/libpod_parent/libpod-{A}", "podman {A}"),
    ("/libpod_parent/libpod-{A}/container", "podman {A}"),
    ("/libpod_parent/{B}/libpod-{A}", "podman {A}"),
    ("/libpod_parent/{B}", "-"),
    ("/libpod_parent/conmon", "-"),
    ("/libpod_parent/libpod-conmon-{A}", "-"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container", "podman {A}"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{A}.scope", "-"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/podman-1234.scope", "-"),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{B}.slice/libpod-{A}.scope",
        "podman {A}",
    ),
    ("/system.slice/web.service/libpod-payload-{A}", "podman {A}"),
    ("/system.slice/web.service/supervisor", "-"),
    // containerd, Kubernetes
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{Q}.slice/cri-containerd-{A}.scope",
        "containerd {A} {P}",
    ),
    ("/kubepods.slice/kubepods-pod{Q}.slice/cri-containerd-{A}.scope", "containerd {A} {P}"),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{Q}.slice", "-"),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{S}.slice/docker-{A}.scope", "docker {A} {S}"),
    ("/kubepods/burstable/pod{P}/{A}", "unknown {A} {P}"),
    ("/kubepods/besteffort/pod{P}/{A}", "unknown {A} {P}"),
    ("/kubepods/pod{S}/{A}", "unknown {A} {S}"),
    ("/kubepods/burstable/pod{P}", "-"),
    ("/kubepods/burstable/pod{P}/crio-{A}", "cri-o {A} {P}"),
    ("/system.slice/containerd.service/kubepods-burstable-pod{Q}.slice:cri-containerd:{A}", "containerd {A} {P}"),
    ("/docker/{B}/kubelet/kubepods/burstable/pod{P}/{A}", "unknown {A} {P}"),
    (
        "/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{Q}.slice/cri-containerd-{A}.scope",
        "containerd {A} {P}",
    ),
    ("/system.slice/docker-{B}.scope/kubelet.slice/kubelet.service", "docker {B}"),
    ("/system.slice/containerd.service", "-"),
    ("/default/{A}", "containerd {A}"),
    ("/k8s.io/{A}", "containerd {A}"),
    ("/system.slice/nerdctl-{A}.scope", "containerd {A}"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{A}.scope", "containerd {A}"),
    ("/default/c1", "-"),
    ("/default/containerd-c1.scope", "containerd c1"),
    // CRI-O
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{Q}.slice/crio-{A}.scope", "cri-o {A} {P}"),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{Q}.slice/crio-{A}.scope/container",
        "cri-o {A} {P}",
    ),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{Q}.slice/crio-conmon-{A}.scope", "-"),
    ("/system.slice/crio.service", "-"),
    ("/kubepods.slice/kubepods-pod{Q}.slice/crio-{A}.scope/init.scope", "cri-o {A} {P}"),
    // runc, crun
    ("/system.slice/runc-r1.scope", "runc r1"),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/runc-my_box.2.scope", "runc my_box.2"),
    ("/user.slice/crun-c1.scope", "crun c1"),
    ("/system.slice/crun-web\\x2dfront.scope", "crun web-front"),
    ("/system.slice:runc:r1", "runc r1"),
    ("/:crun:c1", "crun c1"),
    ("/r1", "-"),
    ("/user.slice/r1", "-"),
    ("/runc-r1", "-"),
    ("/system.slice/runc-.scope", "-"),
    ("/system.slice/runc-...scope", "-"),
    // systemd-nspawn
    ("/machine.slice/systemd-nspawn@deb12.service/payload", "nspawn deb12"),
    ("/machine.slice/systemd-nspawn@deb12.service/payload/system.slice/cron.service", "nspawn deb12"),
    ("/machine.slice/systemd-nspawn@deb12.service", "nspawn deb12"),
    ("/machine.slice/systemd-nspawn@deb12.service/supervisor", "-"),
    ("/machine.slice/systemd-nspawn@web\\x2dfront.service/payload/init.scope", "nspawn web-front"),
    ("/machine.slice/machine-deb12.scope/payload", "nspawn deb12"),
    ("/machine.slice/machine-deb\\x2d12.scope/payload/user.slice", "nspawn deb-12"),
    ("/machine.slice/machine-deb12.scope/supervisor", "-"),
    ("/machine.slice/container@mail.service/payload", "nspawn mail"),
    ("/machine.slice/machine-qemu\\x2d1\\x2dwin11.scope/libvirt/emulator", "-"),
    ("/machine.slice/machine-lxc\\x2d2231\\x2dbox.scope", "lxc lxc-2231-box"),
    ("/machine/box.libvirt-lxc", "lxc box"),
    ("/machine/vm.libvirt-qemu", "-"),
    ("/init.scope/payload", "nspawn init.scope"),
    ("/init.scope/supervisor", "-"),
    ("/system.slice/my\\x2dbox.service/payload/init.scope", "nspawn my-box.service"),
    ("/system.slice/mybox.service/supervisor", "-"),
    ("/machine.slice/machine-qemu\\x2d1\\x2dwin11.scope/supervisor", "-"),
    ("/machine.slice/machine-deb12.scope/payload/system.slice/web.service/supervisor", "nspawn deb12"),
    ("/payload", "-"),
    ("/user.slice/payload", "-"),
    ("/lxc.payload.outer/system.slice/mybox.service/payload", "nspawn mybox.service"),
    ("/lxc.payload.outer/system.slice/mybox.service/supervisor", "lxc outer"),
    // LXC, LXD, Incus
    ("/lxc.payload.c1", "lxc c1"),
    ("/lxc.payload.c1/system.slice/ssh.service", "lxc c1"),
    ("/lxc.payload.dev_web-1/init.scope", "lxc dev_web-1"),
    ("/lxc.payload/c1", "lxc c1"),
    ("/lxc/101/ns/system.slice/cron.service", "lxc 101"),
    ("/lxc/c1", "lxc c1"),
    ("/lxc", "-"),
    ("/lxc.monitor.c1", "-"),
    ("/lxc.monitor/101", "-"),
    ("/lxc.pivot", "-"),
    ("/user.slice/user-1000.slice/session-3.scope/lxc.payload.mine", "lxc mine"),
    // one in the other
    ("/system.slice/docker-{A}.scope/docker/{B}", "docker {B}"),
    ("/docker/{A}/docker/{B}", "docker {B}"),
    ("/lxc.payload.c1/system.slice/docker-{A}.scope", "docker {A}"),
    ("/system.slice/docker-{A}.scope/machine.slice/libpod-conmon-{B}.scope", "docker {A}"),
    ("/lxc.payload.outer/lxc.monitor.inner", "lxc outer"),
    ("/lxc.payload.outer/machine.slice/systemd-nspawn@in.service/supervisor", "lxc outer"),
    ("/kubepods/burstable/pod{P}/{A}/docker/{B}", "docker {B} {P}"),
    ("/system.slice/docker-{A}.scope/supervisor", "docker {A}"),
    // others
    ("/ecs/0123456789abcdef0123456789abcdef/{A}", "unknown {A}"),
    (
        "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
        "unknown 0123456789abcdef0123456789abcdef-1234567890",
    ),
    ("/", "-"),
    ("", "-"),
    ("/init.scope", "-"),
    ("/user.slice/user-0.slice/session-1.scope", "-"),
    ("/system.slice/ssh.service", "-"),
    ("/process_api/12fd8c3e7e3f2cdb6d0c5358bdfd7349", "-"),
    // hostile
    ("/docker/{A}x", "-"),
    ("/system.slice/docker-.scope", "-"),
    ("/system.slice/docker-\u{1b}[31m.scope", "-"),
    ("/lxc.payload.\u{7}\u{7}", "-"),
    ("/lxc.payload.", "-"),
    ("/lxc.payload.a b", "-"),
    ("/machine.slice/systemd-nspawn@a\\x2fb.service/payload", "-"),
    ("/machine.slice/systemd-nspawn@a\\xff.service/payload", "-"),
    ("/machine.slice/systemd-nspawn@a\\x0ab.service/payload", "-"),
    ("/machine.slice/machine-\\x2.scope", "-"),
    ("/system.slice/docker-4F797C539E6C745DE61A93CA3FF89235.scope", "-"),
];

fn fill(text: &str) -> String {
    text.replace("{A}", A).replace("{B}", B).replace("{P}", POD).replace("{Q}", POD_UNIT).replace("{S}", STATIC_POD)
}

#[test]
fn every_known_shape() {
    let mut wrong = Vec::new();
    for (path, expected) in SHAPES {
        let got = match from_cgroup_path(&fill(path)) {
            None => "-".to_owned(),
            Some(Container { runtime, id, pod: None }) => format!("{runtime} {id}"),
            Some(Container { runtime, id, pod: Some(pod) }) => format!("{runtime} {id} {pod}"),
        };
        if got != fill(expected) {
            wrong.push(format!("{path}: {got}, expected {}", fill(expected)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn over_long_input_is_refused() {
    assert_eq!(from_cgroup_path(&format!("/{}/docker/{A}", "x/".repeat(4096))), None);
    assert_eq!(from_cgroup_path(&format!("/lxc.payload.{}", "x".repeat(300))), None);
    assert!(from_cgroup_path(&format!("/lxc.payload.{}", "x".repeat(200))).is_some());
}

#[test]
fn a_plain_path_is_rewritten_only_at_a_component() {
    let path = "/user.slice/r1/init";
    let rewritten = with_runtime_unit(path, 14, "runc").expect("a component ends at byte 14");
    assert_eq!(rewritten, "/user.slice/runc-r1.scope/init");
    let container = from_cgroup_path(&rewritten).expect("the shape of runc's systemd driver");
    assert_eq!((container.runtime, container.id.as_str()), ("runc", "r1"));
    assert_eq!(with_runtime_unit("/c1", 3, "crun").as_deref(), Some("/crun-c1.scope"));
    assert_eq!(with_runtime_unit(path, 13, "runc"), None);
    assert_eq!(with_runtime_unit(path, 14, "libpod"), None, "podman's ids are hexadecimal");
    let podman = with_runtime_unit(&format!("/tester/{A}"), 8 + A.len(), "libpod").expect("an id of podman");
    assert_eq!(from_cgroup_path(&podman).map(|c| c.runtime), Some("podman"));
    assert_eq!(with_runtime_unit(path, 99, "runc"), None);
    assert_eq!(with_runtime_unit("/user.slice/..", 14, "runc"), None);
}

/// Components that come near to a known shape.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        "(docker|libpod|libpod-conmon|crio|cri-containerd|runc|machine|nerdctl)-[a-z0-9\\\\x.-]{0,70}(\\.scope)?",
        "(systemd-nspawn@|lxc\\.payload\\.|lxc\\.monitor\\.|pod|kubepods-pod)\\PC{0,40}(\\.service|\\.slice)?",
        "(docker|lxc|lxc.payload|supervisor|payload|buildkit|\\.\\.|)",
        "[0-9a-f]{64}",
        "\\PC{0,20}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn never_panics_and_believes_only_bounded_clean_ids(parts in prop::collection::vec(component(), 0..8)) {
        let path = format!("/{}", parts.join("/"));
        if let Some(container) = from_cgroup_path(&path) {
            prop_assert!(!container.id.is_empty() && container.id.len() <= 255);
            prop_assert!(container.id.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'\\'));
            prop_assert!(container.pod.is_none_or(|pod| pod.len() <= 36));
        }
    }

    #[test]
    fn rewriting_never_panics(path in "\\PC{0,60}", end in 0usize..80) {
        if let Some(rewritten) = with_runtime_unit(&path, end, "runc") {
            prop_assert!(rewritten.contains("runc-"));
        }
    }

    #[test]
    fn what_is_below_a_container_belongs_to_it(below in prop::collection::vec("[a-z]{1,8}(\\.slice|\\.service)?", 0..5)) {
        let below: Vec<String> = below.into_iter().filter(|name| !["lxc", "supervisor", "payload"].contains(&name.as_str())).collect();
        let path = format!("/system.slice/docker-{A}.scope/{}", below.join("/"));
        prop_assert_eq!(from_cgroup_path(&path).map(|c| c.id), Some(A.to_owned()));
    }
}
