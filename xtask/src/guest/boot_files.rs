//! What QEMU boots: per kernel `vmlinuz`, `modules.sqfs` (all modules, a disk) and `initramfs.gz` (busybox, the modules
//! that the disks need, and the guest's own programs).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use super::debian::{Package, View};
use super::kernel::Kernel;
use super::pins;
use super::stamp::Stamp;
use crate::step;

/// Loaded before the root disk is mounted, dependencies included.
const BOOT_MODULES: [&str; 6] = ["virtio_pci", "virtio_blk", "virtio_console", "squashfs", "ext4", "overlay"];

/// Programs of the guest: place under `/usr/local`, text, mode.
const GUEST_PROGRAMS: [(&str, &str, u32); 8] = [
    ("sbin/guest-init", include_str!("../../guest/guest-init"), 0o755),
    ("sbin/guest-payload", include_str!("../../guest/guest-payload"), 0o755),
    ("bin/guest-docker-up", include_str!("../../guest/guest-docker-up"), 0o755),
    ("bin/guest-docker-down", include_str!("../../guest/guest-docker-down"), 0o755),
    ("bin/guest-rootless", include_str!("../../guest/guest-rootless"), 0o755),
    ("bin/guest-bundle", include_str!("../../guest/guest-bundle"), 0o755),
    ("bin/guest-suite", include_str!("../../guest/guest-suite"), 0o755),
    ("lib/systemd/system/guest-payload.service", include_str!("../../guest/guest-payload.service"), 0o644),
];
const INITRAMFS_INIT: &str = include_str!("../../guest/initramfs-init");

/// Where the boot files of a kernel are.
pub fn folder(kernel: Kernel) -> PathBuf {
    super::folder().join("kernels").join(kernel.suite())
}

/// Fetches the kernel if it is missing or its pin has moved, and builds the initramfs if any of its parts changed.
pub fn ensure(debian: &View, kernel: Kernel) -> Result<()> {
    let folder = folder(kernel);
    fs::create_dir_all(&folder)?;
    let pin = pins::of(kernel)?;
    let stamp = Stamp::new(&folder, "kernel", &[pin.package, pin.version, &BOOT_MODULES.join(" ")]);
    if !stamp.is_current() {
        stamp.clear()?;
        let version = debian.resolve(kernel, pin)?;
        let what = format!("fetch and unpack kernel {kernel} ({version})");
        let image = Package { name: pin.package.to_owned(), version: Some(version) };
        step::timed(what, || fetch(debian, image, &folder))?;
        stamp.set()?;
    }
    let release = fs::read_to_string(folder.join("release"))?;
    let mut inputs = vec![release.as_str(), INITRAMFS_INIT];
    inputs.extend(GUEST_PROGRAMS.iter().flat_map(|(place, text, _mode)| [*place, *text]));
    let stamp = Stamp::new(&folder, "initramfs", &inputs);
    if !stamp.is_current() {
        stamp.clear()?;
        step::timed(format_args!("build initramfs of kernel {kernel}"), || initramfs(&folder))?;
        stamp.set()?;
    }
    Ok(())
}

fn fetch(debian: &View, image: Package, folder: &Path) -> Result<()> {
    let packages = folder.join("packages");
    let tree = folder.join("tree");
    for old in [&packages, &tree] {
        remove_tree(old)?;
    }
    for file in debian.download(&debian.kernel_packages(image)?, &packages)? {
        step::execute(Command::new("dpkg-deb").arg("-x").arg(file).arg(&tree))?;
    }
    let modules = modules_folder(&tree)?;
    let release = modules.file_name().context("a modules folder without name")?.to_string_lossy().into_owned();
    // Until 6.16 the image is /boot/vmlinuz-RELEASE, later it lies among its modules.
    let image = [tree.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = image.iter().find(|path| path.exists()).with_context(|| format!("no vmlinuz for {release}"))?;
    fs::copy(image, folder.join("vmlinuz"))?;
    decompress(&modules)?;
    step::execute(Command::new("depmod").arg("-b").arg(&tree).arg(&release))?;
    collect_boot_modules(&tree, &release, &folder.join("boot-modules"))?;
    let disk = folder.join("modules.sqfs");
    if disk.exists() {
        fs::remove_file(&disk)?;
    }
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs.arg(&modules).arg(&disk).args(["-quiet", "-no-progress", "-all-root", "-comp", "zstd"]);
    mksquashfs.args(["-Xcompression-level", "3", "-e", "vmlinuz", "-e", "build", "-e", "source"]);
    step::logged("mksquashfs-modules", &mut mksquashfs)?;
    fs::write(folder.join("release"), release)?;
    remove_tree(&packages)?;
    remove_tree(&tree)
}

/// The one folder of modules, as `usr/lib/modules/RELEASE`; old packages have it under `/lib`, and depmod and modprobe
/// look there: make the tree a merged-usr one.
fn modules_folder(tree: &Path) -> Result<PathBuf> {
    let (old, merged) = (tree.join("lib/modules"), tree.join("usr/lib/modules"));
    if old.exists() {
        fs::create_dir_all(tree.join("usr/lib"))?;
        fs::rename(&old, &merged)?;
        remove_tree(&tree.join("lib"))?;
    }
    std::os::unix::fs::symlink("usr/lib", tree.join("lib"))?;
    let found: Vec<_> = fs::read_dir(&merged)?.collect::<Result<_, _>>()?;
    match &found[..] {
        [one] => Ok(one.path()),
        several => bail!("{} kernels in {} instead of one", several.len(), merged.display()),
    }
}

/// Unpacks `.ko.xz` once here rather than slowly at every load in an emulated machine.
fn decompress(modules: &Path) -> Result<()> {
    let mut files = Vec::new();
    let mut open = vec![modules.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.path().to_string_lossy().ends_with(".ko.xz") {
                files.push(entry.path());
            }
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let started: Vec<_> = files
            .chunks(files.len().div_ceil(workers))
            .map(|part| scope.spawn(move || step::execute(Command::new("unxz").args(part))))
            .collect();
        started.into_iter().try_for_each(|worker| worker.join().map_err(|_panic| anyhow!("unxz worker panicked"))?)
    })
}

fn collect_boot_modules(tree: &Path, release: &str, into: &Path) -> Result<()> {
    remove_tree(into)?;
    fs::create_dir_all(into)?;
    let mut order = String::new();
    let mut seen = BTreeSet::new();
    for module in BOOT_MODULES {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("-d").arg(tree).args(["-S", release, "--show-depends", module]);
        // `builtin NAME` needs no file, and a module that this kernel does not know has become part of another.
        let needed = step::probe(&mut modprobe).unwrap_or_default();
        for path in needed.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim) {
            let name = path.rsplit('/').next().unwrap_or(path);
            if seen.insert(name.to_owned()) {
                fs::copy(path, into.join(name)).with_context(|| format!("cannot copy {path}"))?;
                order.push_str(name);
                order.push('\n');
            }
        }
    }
    fs::write(into.join("order"), order)?;
    Ok(())
}

fn initramfs(folder: &Path) -> Result<()> {
    let tree = folder.join("initramfs");
    remove_tree(&tree)?;
    for name in ["bin", "dev", "proc", "sys", "run", "tmp", "newroot", "boot-modules", "guest"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("/bin/busybox (package busybox-static)")?;
    for entry in fs::read_dir(folder.join("boot-modules"))? {
        let entry = entry?;
        fs::copy(entry.path(), tree.join("boot-modules").join(entry.file_name()))?;
    }
    place(&tree.join("init"), INITRAMFS_INIT, 0o755)?;
    for (name, text, mode) in GUEST_PROGRAMS {
        place(&tree.join("guest").join(name), text, mode)?;
    }
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | cpio -o -H newc -R 0:0 --quiet | gzip -1 > ../initramfs.gz"]).current_dir(&tree);
    step::execute(&mut pack)?;
    remove_tree(&tree)
}

/// Writes a file with its mode, making the folders above it.
pub fn place(path: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Removes a folder if it is there.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
