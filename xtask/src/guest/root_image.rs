//! The guests' root disk: a Debian userland with real container runtimes, as a sparse ext4 image. Every guest boots from
//! the same file through QEMU's `snapshot=on`, so each run starts clean.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::boot_files;
use super::boot_files::{place, remove_tree};
use super::debian::{self, View};
use super::kernel::Kernel;
use super::machine::{self, Machine};
use super::payload::Payload;
use super::stamp::Stamp;
use crate::step;

/// The suite of the userland; one for all kernels.
const SUITE: &str = "trixie";
const PACKAGES: &str = include_str!("../../guest/root-packages.txt");
const BAKE: &str = include_str!("../../guest/bake");
/// Bump when [`customise`] changes what it writes.
const LAYOUT: &str = "2";
/// Size of the sparse image; about 0.9 GiB of it are used.
const SIZE: u64 = 4 << 30;
/// The kernel under which the image stores are filled.
const BAKING_KERNEL: Kernel = Kernel::V6_1;
/// Applets of the busybox container image.
const APPLETS: [&str; 18] = [
    "sh", "sleep", "echo", "cat", "ls", "id", "ps", "mount", "umount", "unshare", "nsenter", "hostname", "sync",
    "true", "mkdir", "env", "uname", "readlink",
];

/// What systemd guests would start for nothing; `guest-docker-up` starts docker when it is wanted.
const MASKED: [&str; 15] = [
    "docker.service",
    "docker.socket",
    "containerd.service",
    "lxc.service",
    "lxc-net.service",
    "lxc-monitord.service",
    "netavark-dhcp-proxy.service",
    "netavark-dhcp-proxy.socket",
    "systemd-networkd-wait-online.service",
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
];

fn folder() -> PathBuf {
    super::folder().join("root")
}

/// The image that guests boot from; present after [`ensure_baked`].
pub fn path() -> PathBuf {
    folder().join("root.ext4")
}

fn unbaked() -> PathBuf {
    folder().join("unbaked.ext4")
}

fn packages() -> String {
    let lines = PACKAGES.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(",")
}

fn packages_stamp() -> Stamp {
    Stamp::new(&folder(), "packages", &[SUITE, &packages(), LAYOUT])
}

fn baked_stamp() -> Stamp {
    Stamp::new(&folder(), "baked", &[SUITE, &packages(), LAYOUT, BAKE])
}

/// First half: an image with all packages, whose container stores are empty.
pub fn ensure_packages() -> Result<()> {
    fs::create_dir_all(folder())?;
    let stamp = packages_stamp();
    if baked_stamp().is_current() || stamp.is_current() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("building the guests' root image needs root (it keeps the owners of Debian's files)");
    }
    stamp.clear()?;
    let tree = folder().join("tree");
    remove_tree(&tree)?;
    let mirror = debian::mirror()?;
    step::timed(format_args!("install Debian {SUITE} with container runtimes for the guests"), || {
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.args(["--variant=minbase", "--mode=root", &format!("--include={}", packages())]);
        mmdebstrap.args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"3\""]);
        for unneeded in ["man", "doc", "locale"] {
            mmdebstrap.arg(format!("--dpkgopt=path-exclude=/usr/share/{unneeded}/*"));
        }
        // Nobody loses the image to a power failure.
        mmdebstrap.arg("--dpkgopt=force-unsafe-io").arg(SUITE).arg(&tree).arg(&mirror);
        step::logged("mmdebstrap", &mut mmdebstrap)
    })?;
    step::timed("make the guests' root image", || {
        customise(&tree)?;
        make_ext4(&tree, &unbaked())?;
        remove_tree(&tree)
    })?;
    stamp.set()
}

/// Second half: image stores filled by a guest; needs the boot files of [`BAKING_KERNEL`], which it fetches.
pub fn ensure_baked(debian: &View) -> Result<()> {
    let stamp = baked_stamp();
    if stamp.is_current() {
        return Ok(());
    }
    stamp.clear()?;
    boot_files::ensure(debian, BAKING_KERNEL)?;
    step::timed("fill the container stores of the root image (in a guest)", || {
        step::execute(Command::new("cp").arg("--sparse=always").args([unbaked(), path()]))?;
        let mut payload = Payload::new(&["bash", "-c", BAKE]);
        payload.log_output("bake");
        let machine = Machine { keep_root_changes: true, timeout_seconds: 900, ..Machine::new(BAKING_KERNEL) };
        match machine.run(&payload)? {
            0 => Ok(()),
            code => bail!("filling the stores failed: {}", machine::meaning(code)),
        }
    })?;
    stamp.set()?;
    packages_stamp().clear()?;
    fs::remove_file(unbaked()).context("cannot remove the unbaked image")
}

/// Users, names and the busybox container image, which needs no registry.
fn customise(tree: &Path) -> Result<()> {
    place(&tree.join("etc/hostname"), "guest\n", 0o644)?;
    place(&tree.join("etc/hosts"), "127.0.0.1 localhost guest\n", 0o644)?;
    place(&tree.join("etc/machine-id"), "", 0o444)?;
    let chroot = |arguments: &[&str]| step::execute(Command::new("chroot").arg(tree).args(arguments));
    chroot(&["passwd", "-q", "-d", "root"])?;
    chroot(&["useradd", "-m", "-s", "/bin/bash", "-u", "1000", "tester"])?;
    for name in ["etc/subuid", "etc/subgid"] {
        append_once(&tree.join(name), "tester:", "tester:100000:65536\n")?;
    }
    for unit in MASKED {
        mask(tree, unit)?;
    }
    // Newer than /usr: systemd then does not rebuild ldconfig's and the journal's caches at every first boot.
    for name in ["etc/.updated", "var/.updated"] {
        place(&tree.join(name), "", 0o644)?;
    }
    let container = tree.join("opt/bb");
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc", "root", "run", "usr/bin", "usr/lib"] {
        fs::create_dir_all(container.join(name))?;
    }
    fs::copy(tree.join("bin/busybox"), container.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", container.join("bin").join(applet))?;
    }
    place(&container.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    // systemd-nspawn refuses a tree without it.
    place(&container.join("usr/lib/os-release"), "ID=bb\n", 0o644)?;
    step::execute(Command::new("tar").arg("-C").arg(&container).arg("-cf").arg(tree.join("opt/bb.tar")).arg("."))
}

fn mask(tree: &Path, unit: &str) -> Result<()> {
    let link = tree.join("etc/systemd/system").join(unit);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    symlink("/dev/null", &link).with_context(|| format!("cannot mask {unit}"))
}

fn append_once(path: &Path, marker: &str, line: &str) -> Result<()> {
    let present = fs::read_to_string(path).unwrap_or_default();
    if present.lines().any(|line| line.starts_with(marker)) {
        return Ok(());
    }
    let mut file = fs::File::options().append(true).create(true).open(path)?;
    file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn make_ext4(tree: &Path, image: &Path) -> Result<()> {
    if image.exists() {
        fs::remove_file(image)?;
    }
    fs::File::create(image)?.set_len(SIZE)?;
    let mut mkfs = Command::new("mkfs.ext4");
    // No journal, no checksums: the image is thrown away after each run, and emulated CPUs pay for both.
    mkfs.args(["-q", "-F", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=0,root_owner=0:0", "-d"]);
    step::execute(mkfs.arg(tree).arg(image))
}
