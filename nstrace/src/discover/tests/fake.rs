//! A tree that looks like /proc.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    discover::Proc,
    ns::{NsType, Slot},
};

/// Removed when dropped.
pub struct FakeProc {
    dir: TempDir,
}

/// Content of one thread.
pub struct FakeTask<'a> {
    pub tgid: u32,
    pub tid: u32,
    pub comm: &'a [u8],
    pub state: char,
    pub flags: u32,
    pub ticks: u64,
    pub nspid: &'a str,
    pub cgroup: &'a [u8],
    /// Added to the inode number of every type: 0 = the initial ones.
    pub shift: u32,
}

impl Default for FakeTask<'_> {
    fn default() -> Self {
        Self {
            tgid: 1,
            tid: 1,
            comm: b"init",
            state: 'S',
            flags: 0x40_0100,
            ticks: 100,
            nspid: "1",
            cgroup: b"0::/init.scope\n",
            shift: 0,
        }
    }
}

/// Inode number that the fake gives a type.
pub fn inum(ns_type: NsType, shift: u32) -> u32 {
    4_026_531_000 + ns_type as u32 + shift * 100
}

impl FakeProc {
    /// With `self` being process 500.
    pub fn new() -> Self {
        let fake = Self { dir: TempDir::new().expect("a temporary folder") };
        fake.link("self", "500");
        fake
    }

    pub fn proc(&self) -> Proc {
        Proc::at(self.dir.path())
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.parent(name);
        fs::write(path, content).expect("write into the fake");
    }

    pub fn link(&self, name: &str, target: impl AsRef<[u8]>) {
        let path = self.parent(name);
        symlink(std::ffi::OsStr::from_bytes(target.as_ref()), path).expect("link in the fake");
    }

    pub fn remove(&self, name: &str) {
        let path = self.dir.path().join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("remove from the fake");
    }

    /// A thread with all its files.
    pub fn task(&self, task: &FakeTask<'_>) -> String {
        let FakeTask { tgid, tid, comm, state, flags, ticks, nspid, cgroup, shift } = *task;
        let base = format!("{tgid}/task/{tid}");
        let mut stat = format!("{tid} (").into_bytes();
        stat.extend(comm.escape_ascii().to_string().replace("\\\\", "\\").into_bytes());
        stat.extend(
            format!(") {state} 0 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0 18446744073709551615 0\n")
                .bytes(),
        );
        self.file(&format!("{base}/stat"), stat);
        self.file(&format!("{base}/comm"), [comm, b"\n"].concat());
        let status = format!(
            "Name:\tx\nUmask:\t0022\nTgid:\t{tgid}\nPid:\t{tid}\nUid:\t1000\t1001\t1002\t1003\nNStgid:\t{tgid}\nNSpid:\t{nspid}\nCapEff:\t000001ffffffffff\n"
        );
        self.file(&format!("{base}/status"), status);
        self.file(&format!("{base}/cgroup"), cgroup);
        for slot in Slot::ALL {
            let ns_type = slot.ns_type();
            self.link(&format!("{base}/ns/{}", slot.proc_name()), format!("{ns_type}:[{}]", inum(ns_type, shift)));
        }
        self.link(&format!("{base}/root"), "/");
        base
    }

    fn parent(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("folders of the fake");
        path
    }
}
