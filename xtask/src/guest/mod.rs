//! Guests: QEMU machines with Debian kernels and one root image full of container runtimes.
//!
//! Everything lives in `target/vm` and may be moved as a whole: `apt` (a view of Debian's suites, download only),
//! `kernels/<suite>`, `root` (the image), `runs` (one folder per running guest), `log`.

pub mod boot_files;
pub mod debian;
pub mod forge;
pub mod kernel;
pub mod machine;
pub mod payload;
pub mod pins;
pub mod root_image;
pub mod stamp;

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::{apt, step, workspace};
use kernel::Kernel;

/// What the host needs to build images and to run guests.
const HOST_PACKAGES: [&str; 8] =
    ["qemu-system-x86", "busybox-static", "cpio", "kmod", "make", "mmdebstrap", "e2fsprogs", "squashfs-tools"];

/// The cache of everything about guests.
pub fn folder() -> PathBuf {
    workspace::target().join("vm")
}

/// Makes whatever the guests of `kernels` need and is not there yet.
///
/// # Errors
/// A package, kernel or image cannot be fetched or built; the error names it and the log of the failed step.
pub fn prepare(kernels: &[Kernel]) -> Result<()> {
    apt::ensure(&HOST_PACKAGES)?;
    // Two runs at once must not build the same image; the lock goes with the file handle.
    let lock = lock()?;
    let debian = debian();
    // The image (unpacking, mostly) and the kernels (downloading, decompressing) take about as long: side by side.
    let (root, kernels) = thread::scope(|scope| {
        let root = scope.spawn(root_image::ensure_packages);
        let kernels = kernels_ready(&debian, kernels);
        (root.join(), kernels)
    });
    kernels?;
    root.map_err(|_panic| anyhow!("the thread that builds the root image panicked"))??;
    root_image::ensure_baked(&debian)?;
    drop(lock);
    Ok(())
}

/// The view of Debian that guests are made from.
pub fn debian() -> debian::View {
    debian::View::new(folder().join("apt"))
}

fn lock() -> Result<File> {
    fs::create_dir_all(folder())?;
    let file = File::create(folder().join("lock")).context("cannot make the lock file of target/vm")?;
    if file.try_lock().is_err() {
        step::note("waiting for another xtask that prepares guests");
        file.lock().context("cannot lock target/vm")?;
    }
    Ok(file)
}

fn kernels_ready(debian: &debian::View, kernels: &[Kernel]) -> Result<()> {
    for kernel in kernels {
        boot_files::ensure(debian, *kernel)?;
        forge::ensure(debian, *kernel)?;
    }
    Ok(())
}

/// Removes the folders of guests whose process is gone (killed terminals leave them).
pub fn sweep_runs() {
    let Ok(entries) = fs::read_dir(folder().join("runs")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok()) else { continue };
        if !std::path::Path::new(&format!("/proc/{owner}")).exists()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            step::note(format_args!("cannot remove {}: {error}", entry.path().display()));
        }
    }
}
