//! The host side of the attacks: what there is to lose, the container's root, and how a container is started on it.

use std::{
    ffi::CString,
    fs,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use serde::Deserialize;

use super::{
    act::{Act, Given, SECRET, SECRET_FILE},
    cgroup,
};
use crate::program::{self, in_guest, note, patience, run, run_well};

/// See the module. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    folder: tempfile::TempDir,
    victim: Child,
    prey: Option<Child>,
    neighbour: Option<Child>,
    disk: Option<Disk>,
    given: Given,
}

/// First line of `escape victim`.
#[derive(Debug, Deserialize)]
struct Victim {
    pid: u32,
    address: u64,
    fd: i32,
    abstract_name: String,
}

impl Stage {
    /// Sets everything up.
    ///
    /// # Errors
    /// When something of it cannot be made; a disk is done without where there is no loop device.
    pub fn new() -> anyhow::Result<Self> {
        load_forge()?;
        let folder = tempfile::Builder::new().prefix("nstrace-escape-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for name in
            ["root", "outside", "shared/spread", "root/inner/root/lib", "root/inner/outside", "root/inner/shared"]
        {
            fs::create_dir_all(path(name))?;
        }
        // The contained and the victim's users may be others than root.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let secret = path("outside").join(SECRET_FILE);
        fs::write(&secret, SECRET)?;
        furnish(&path("root"))?;
        furnish(&path("root/inner/root"))?;
        // So that a container's mount of it can be in one peer group with the host's.
        mount_bind(path("shared"), path("shared"))?;
        mount_change(path("shared"), MountPropagationFlags::SHARED)?;
        let (victim, about) = start_victim(folder.path())?;
        let disk = match disk(&path("disk")) {
            Ok(disk) => Some(disk),
            Err(error) => {
                note(&format!("no disk to attack: {error:#}"));
                None
            }
        };
        let device = disk.as_ref().and_then(|disk| {
            let number = fs::metadata(&disk.path).ok()?.rdev();
            Some((rustix::fs::major(number), rustix::fs::minor(number), disk.fstype.to_owned()))
        });
        let given = Given {
            host_pid: about.pid,
            address: about.address,
            fd: about.fd,
            abstract_name: about.abstract_name,
            secret_path: secret.to_string_lossy().into_owned(),
            handle: handle_of(&secret),
            prey_pid: 0,
            neighbour_pid: 0,
            device,
            module: module(&path("shared"))?,
            guest: in_guest(),
            host_root: path("root").to_string_lossy().into_owned(),
        };
        let mut stage = Self { folder, victim, prey: None, neighbour: None, disk, given };
        stage.renew()?;
        Ok(stage)
    }

    /// What performers are told.
    pub fn given(&self) -> &Given {
        &self.given
    }

    /// Its folder: `root`, `shared`, `outside`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces what an attack may have ended, and starts the neighbour at the first time.
    fn renew(&mut self) -> anyhow::Result<()> {
        let gone = |child: &mut Option<Child>| child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if gone(&mut self.prey) {
            let exe = self.folder().join("shared/prey");
            fs::copy(program::escape(), &exe)?;
            let mut child = piped(Command::new(&exe).arg("idle"))?;
            first_line(&mut child)?;
            self.given.prey_pid = child.id();
            self.prey = Some(child);
        }
        if gone(&mut self.neighbour) {
            let mut child = piped(self.contain("none").args(["/escape", "idle"]))?;
            first_line(&mut child)?;
            let pid = child.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            self.given.neighbour_pid =
                children.trim().parse().with_context(|| format!("children of {pid}: {children:?}"))?;
            self.neighbour = Some(child);
        }
        fs::write(self.folder().join("shared/given.json"), serde_json::to_vec(&self.given)?)?;
        Ok(())
    }

    fn contain(&self, needs: &str) -> Command {
        let mut command = Command::new(program::escape());
        command.arg("contain").arg(self.folder()).arg(if needs.is_empty() { "none" } else { needs });
        command
    }

    /// Tries techniques one after the other in one container of the suite's own runtime.
    ///
    /// # Errors
    /// When there was no container, or an act of it is missing.
    pub fn attempt(&mut self, needs: &str, techniques: &[&str]) -> anyhow::Result<Vec<Act>> {
        let mut command = self.contain(needs);
        self.attempt_by(command.args(["/escape", "run"]).args(techniques), techniques)
            .with_context(|| format!("in a container with {needs:?}"))
    }

    /// Runs any program in a container of the suite's own runtime.
    ///
    /// # Errors
    /// When it fails.
    pub fn run_contained(&self, needs: &str, program: &[&str]) -> anyhow::Result<String> {
        Ok(run_well(self.contain(needs).args(program))?.text())
    }

    /// Tries techniques one after the other in one container that `command` starts.
    ///
    /// # Errors
    /// When an act is missing.
    pub fn attempt_by(&mut self, command: &mut Command, techniques: &[&str]) -> anyhow::Result<Vec<Act>> {
        self.renew()?;
        let output = run(command, patience())?;
        let acts = acts(&output)?;
        ensure!(acts.len() == techniques.len(), "{} acts of {techniques:?}; {}", acts.len(), output.stderr);
        Ok(acts)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in [Some(&mut self.victim), self.prey.as_mut(), self.neighbour.as_mut()].into_iter().flatten() {
            // The end of its input ends it; a runtime then waits for what it contains.
            drop(child.stdin.take());
            let _ = child.wait();
        }
        let _ = unmount(self.folder.path().join("shared"), UnmountFlags::DETACH);
        if let Some(disk) = self.disk.as_ref().filter(|disk| disk.ours) {
            let _ = Command::new("losetup").arg("--detach").arg(&disk.path).status();
        }
        cgroup::remove_empty();
    }
}

fn acts(output: &program::Output) -> anyhow::Result<Vec<Act>> {
    let text = output.text();
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not an act: {line}; {}", output.stderr)))
        .collect()
}

fn piped(command: &mut Command) -> anyhow::Result<Child> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.with_context(|| format!("cannot start {command:?}"))
}

fn first_line(child: &mut Child) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
    ensure!(!line.is_empty(), "it ended before its first line");
    Ok(line)
}

fn start_victim(folder: &Path) -> anyhow::Result<(Child, Victim)> {
    let exe = folder.join("shared/victim");
    fs::copy(program::escape(), &exe)?;
    let mut child = piped(Command::new(exe).arg("victim").arg(folder))?;
    let line = first_line(&mut child).context("the victim")?;
    Ok((child, serde_json::from_str(&line)?))
}

/// The escape program and the libraries that it shares with this one; busybox, if there is one without libraries.
fn furnish(root: &Path) -> anyhow::Result<()> {
    for name in ["bin", "lib", "lib64", "proc", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let place = |from: &Path, to: PathBuf| fs::hard_link(from, &to).or_else(|_other| fs::copy(from, &to).map(drop));
    fs::copy(program::escape(), root.join("escape"))?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut libraries: Vec<&str> = maps.split_whitespace().filter(|word| word.contains(".so")).collect();
    libraries.sort_unstable();
    libraries.dedup();
    for library in libraries.into_iter().map(Path::new) {
        let name = library.file_name().context("a library has a name")?;
        // The loader's own path has lib64 in it on most machines.
        place(library, root.join("lib").join(name))?;
        place(library, root.join("lib64").join(name))?;
    }
    for busybox in ["/bin/busybox", "/usr/bin/busybox"] {
        if Path::new(busybox).exists() && !root.join("bin/busybox").exists() {
            fs::copy(busybox, root.join("bin/busybox"))?;
            for applet in ["sh", "ps", "cat", "true"] {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
            }
        }
    }
    Ok(())
}

/// A block device with a file system on it.
#[derive(Debug)]
struct Disk {
    path: String,
    fstype: &'static str,
    /// A loop device that was made for this.
    ours: bool,
}

/// A guest's own second disk, which is only read; elsewhere a loop device.
fn disk(file: &Path) -> anyhow::Result<Disk> {
    if in_guest() {
        return Ok(Disk { path: "/dev/vdb".to_owned(), fstype: "squashfs", ours: false });
    }
    fs::File::create(file)?.set_len(4 << 20)?;
    run_well(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file))?;
    let output = run_well(Command::new("losetup").args(["--find", "--show"]).arg(file))?;
    Ok(Disk { path: output.text(), fstype: "ext4", ours: true })
}

/// name_to_handle_at(2): type and bytes; none where the file system has no handles.
fn handle_of(path: &Path) -> (i32, Vec<u8>) {
    const ROOM: usize = 128;
    #[repr(C)]
    struct Handle {
        bytes: u32,
        handle_type: i32,
        data: [u8; ROOM],
    }
    let mut handle = Handle { bytes: ROOM as u32, handle_type: 0, data: [0; ROOM] };
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return (0, Vec::new()) };
    let mut mount = 0;
    // SAFETY: the handle has the room it says, the path is NUL-terminated, the mount id has room.
    let ret = unsafe {
        libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), &raw mut handle, &raw mut mount, 0)
    };
    let length = if ret == 0 { handle.bytes as usize } else { 0 };
    (handle.handle_type, handle.data[..length.min(ROOM)].to_vec())
}

/// The module that forges for whoever asks (`tests/module`), in guests that were given it. It stays: what it forged is
/// referred to by nobody who could let go of it.
fn load_forge() -> anyhow::Result<()> {
    if Path::new("/proc/nstrace_forge").exists() || !in_guest() {
        return Ok(());
    }
    match std::env::var_os("NSTRACE_FORGE") {
        Some(module) => run_well(Command::new("insmod").arg(module)).map(drop),
        None => {
            let why = std::env::var("NSTRACE_FORGE_MISSING").unwrap_or_else(|_| "this guest was given none".to_owned());
            note(&format!("nothing is forged: {why}"));
            Ok(())
        }
    }
}

/// A module of this kernel that is not loaded, copied to where containers see it; in guests only.
fn module(shared: &Path) -> anyhow::Result<Option<String>> {
    const NAME: &str = "dummy";
    if !in_guest() {
        return Ok(None);
    }
    let path = run_well(Command::new("modinfo").args(["-F", "filename", NAME]))?.text();
    if !path.ends_with(".ko") {
        return Ok(None);
    }
    fs::copy(path, shared.join(format!("{NAME}.ko")))?;
    Ok(Some(NAME.to_owned()))
}
