//! Running one guest: QEMU's command line, its time limit, its exit status.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::boot_files;
use super::kernel::Kernel;
use super::payload::Payload;
use super::root_image;
use crate::step;

/// Exit status of [`Machine::run`] when the time limit ended the guest.
pub const TIMED_OUT: u8 = 124;
/// Exit status of [`Machine::run`] when the guest ended without reporting: a panic or a reset.
pub const DIED: u8 = 125;
/// Room for the tar that a guest leaves; sparse.
const OUT_DISK: u64 = 1 << 30;

/// A guest to be started.
#[derive(Debug, Clone)]
pub struct Machine {
    pub kernel: Kernel,
    /// Virtual CPUs. One is the fastest on few cores: emulated CPUs wait for each other.
    pub cpus: u32,
    /// In MiB.
    pub memory: u32,
    pub timeout_seconds: u64,
    /// systemd as PID 1 instead of the bare init.
    pub systemd: bool,
    /// Added to the kernel's command line.
    pub append: String,
    /// QEMU's accelerator: `tcg` or `kvm`.
    pub accelerator: String,
    /// QEMU's `-icount`: one CPU whose clocks advance by a nanosecond per instruction, so that costs can be measured and
    /// repeat. Time that the guest sleeps passes at once.
    pub counts_instructions: bool,
    /// Takes what the command leaves in `$OUT`.
    pub out: Option<PathBuf>,
    /// Write to the root image itself (to bake it) instead of throwing changes away.
    pub keep_root_changes: bool,
}

impl Machine {
    pub fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            cpus: 1,
            memory: 2048,
            timeout_seconds: 600,
            systemd: false,
            append: String::new(),
            accelerator: "tcg".to_owned(),
            counts_instructions: false,
            out: None,
            keep_root_changes: false,
        }
    }

    /// Boots, runs the payload, and returns its exit status ([`TIMED_OUT`], [`DIED`] if there is none).
    pub fn run(&self, payload: &Payload) -> Result<u8> {
        self.run_lines(payload, |_line| ())
    }

    /// As [`Machine::run`], with each line of stdout given to `line` if the payload asks for [`Output::Lines`].
    pub fn run_lines(&self, payload: &Payload, line: impl FnMut(&str) + Send) -> Result<u8> {
        let folder = RunFolder::new()?;
        let disk = payload.write_disk(&folder.0)?;
        let mut command = self.qemu(payload, &folder.0, &disk)?;
        if !payload.is_interactive() {
            // Always pipes: QEMU opens its outputs by name, which a socket behind our own stdout would refuse.
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().context("cannot start qemu-system-x86_64")?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut to_stdout, mut to_stderr) = payload.output.sinks(line)?;
        let status = thread::scope(|scope| {
            if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
                scope.spawn(move || forward(stdout, &mut *to_stdout));
                scope.spawn(move || forward(stderr, &mut *to_stderr));
            }
            wait(child, Duration::from_secs(self.timeout_seconds))
        })?;
        if let Some(out) = &self.out {
            take_out(&folder.0, out)?;
        }
        Ok(self.verdict(status, payload, &folder.0))
    }

    /// Words for the kernel's command line that make an emulated guest repeat, or fast.
    fn tuning(&self) -> &'static str {
        if self.counts_instructions {
            "nokaslr norandmaps randomize_kstack_offset=off"
        } else if self.accelerator != "tcg" {
            ""
        } else if self.kernel == Kernel::Newest {
            // As below; and since this kernel ends every time slice by a timer of its own, each switch of tasks would wake
            // QEMU's main loop up, which takes half the time of a soak.
            "norandmaps highres=off"
        } else {
            // What was translated of a program is used again by the next process only at the same address: execve(2) of a small
            // program takes a fifth of the time.
            "norandmaps"
        }
    }

    fn qemu(&self, payload: &Payload, folder: &Path, disk: &Path) -> Result<Command> {
        let boot = boot_files::folder(self.kernel);
        let init = if self.systemd { "/sbin/init" } else { "/usr/local/sbin/guest-init" };
        // lsm=: no AppArmor and SELinux, which runtimes insist on setting up when present; BPF LSM stays.
        let line = format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 net.ifnames=0 lsm=landlock,yama,bpf guest.init={init} {} {}",
            self.tuning(),
            self.append,
        );
        let out = folder.join("out.tar");
        File::create(&out)?.set_len(OUT_DISK)?;
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", "q35"]);
        if self.accelerator == "kvm" {
            command.args(["-accel", "kvm", "-cpu", "host"]);
        } else if self.counts_instructions {
            command.args(["-accel", "tcg,thread=single,tb-size=512", "-icount", "shift=0,sleep=off,align=off"]);
            command.args(["-cpu", "max,-cx16,-rdrand,-rdseed", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
        } else {
            // QEMU 7.2 corrupts EFLAGS in un-locked cmpxchg16b, which kills kernel 6.12 in its allocator. With erms and fsrm,
            // kernel and libc copy and clear by `rep movsb`, which is emulated byte by byte.
            command.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-cx16,-erms,-fsrm"]);
        }
        command.args(["-smp", &self.cpus.to_string(), "-m", &format!("{}M", self.memory)]);
        command.arg("-kernel").arg(boot.join("vmlinuz")).arg("-initrd").arg(boot.join("initramfs.gz"));
        command.args(["-append", line.trim()]);
        let root = if self.keep_root_changes { "cache=unsafe" } else { "cache=unsafe,snapshot=on" };
        drive(&mut command, &root_image::path(), root);
        drive(&mut command, &boot.join("modules.sqfs"), "readonly=on");
        drive(&mut command, disk, "readonly=on");
        drive(&mut command, &out, "cache=unsafe");
        if payload.is_interactive() {
            command.args(["-serial", "mon:stdio", "-chardev", "null,id=stdout", "-chardev", "null,id=stderr"]);
        } else {
            command.arg("-serial").arg(option("file:", &folder.join("console.log"), ""));
            // Not a stdio chardev: at the end of stdin it counts as unplugged, and the guest's writes would wait forever.
            command.args(["-chardev", "file,id=stdout,path=/proc/self/fd/1"]);
            command.args(["-chardev", "file,id=stderr,path=/proc/self/fd/2"]);
        }
        command.arg("-chardev").arg(option("file,id=status,path=", &folder.join("status"), ""));
        command.args(["-device", "virtio-serial-pci"]);
        for (number, port) in (1..).zip(["stdout", "stderr", "status"]) {
            command.args(["-device", &format!("virtserialport,nr={number},chardev={port},name={port}")]);
        }
        // snapshot=on writes its temporary files there.
        command.env("TMPDIR", folder);
        Ok(command)
    }

    fn verdict(&self, status: Option<ExitStatus>, payload: &Payload, folder: &Path) -> u8 {
        if status.is_none() {
            step::note(format_args!("guest {}: stopped after {} s", self.kernel, self.timeout_seconds));
            show_console(folder);
            return TIMED_OUT;
        }
        let reported = fs::read_to_string(folder.join("status")).ok();
        if let Some(code) = reported.and_then(|text| text.trim().parse().ok()) {
            return code;
        }
        // Leaving QEMU by its own keys (Ctrl-A x) is how an interactive session may end.
        if payload.is_interactive() && status.is_some_and(|status| status.success()) {
            return 0;
        }
        step::note(format_args!("guest {} died; end of its console:", self.kernel));
        show_console(folder);
        DIED
    }
}

/// What an exit status of [`Machine::run`] means.
pub fn meaning(code: u8) -> String {
    match code {
        TIMED_OUT => "the guest exceeded its time limit".to_owned(),
        DIED => "the guest died".to_owned(),
        code => format!("the command in the guest ended with {code}"),
    }
}

fn drive(command: &mut Command, path: &Path, options: &str) {
    command.arg("-drive").arg(option("if=virtio,format=raw,file=", path, &format!(",{options}")));
}

/// A QEMU option with a path in it: commas are doubled.
fn option(before: &str, path: &Path, after: &str) -> String {
    format!("{before}{}{after}", path.display().to_string().replace(',', ",,"))
}

/// Copies until the end; a sink that fails (a closed terminal) is given no more, but the guest is not held up.
fn forward(mut from: impl Read, to: &mut dyn Write) {
    let mut buffer = [0; 4096];
    let mut open = true;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        open = open && to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok();
    }
}

/// Waits for the end, or ends it; `None` when the time was up.
fn wait(mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, end) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watchdog = scope.spawn(move || match end.recv_timeout(limit) {
            // The child is not reaped before the watchdog is told, so the PID is still its own.
            Err(RecvTimeoutError::Timeout) => rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok(),
            _ => false,
        });
        let waited = wait_unreaped(pid);
        drop(ended);
        let killed = watchdog.join().unwrap_or(false);
        waited?;
        let status = child.wait().context("waiting for QEMU")?;
        Ok((!killed).then_some(status))
    })
}

fn wait_unreaped(pid: rustix::process::Pid) -> Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).context("waiting for QEMU")?;
    Ok(())
}

fn take_out(folder: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut tar = Command::new("tar");
    step::execute(tar.arg("-C").arg(out).arg("-xf").arg(folder.join("out.tar")))
}

fn show_console(folder: &Path) {
    let mut text = Vec::new();
    if let Ok(mut console) = File::open(folder.join("console.log")) {
        let _partial_is_fine = console.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(30)..] {
        // A console may hold anything; what is not printable stays off the developer's terminal.
        eprintln!("  {}", line.replace(|c: char| c.is_control(), ""));
    }
}

/// A folder for one run, named after this process so that leftovers can be told; removed at the end.
#[derive(Debug)]
struct RunFolder(PathBuf);

impl RunFolder {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        super::sweep_runs();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = super::folder().join("runs").join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            step::note(format_args!("cannot remove {}: {error}", self.0.display()));
        }
    }
}
