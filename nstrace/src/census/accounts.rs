//! How many references the known holders take, by the kernel object that takes each.
//!
//! A reference is not taken by a task or a descriptor but by the object behind it, which many may share:
//! `struct nsproxy` (one reference a slot; fork shares it), `struct cred`, `struct ucounts` and `mm_struct`
//! (from 7.1 on `struct task_exec_state`; user namespaces), `struct pid` (pid
//! namespaces), the one nsfs inode of a namespace (all its descriptors and bind mounts together), `struct sock`
//! (network namespaces), some open files themselves, a child's `parent` and an owned namespace's `user_ns`, `super_block.s_user_ns` (user
//! namespaces), and `proc_fs_info.pid_ns` (pid namespaces).

/// The objects of one namespace. An address is an opaque name.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// (address, slot).
    pub(super) nsproxies: Objects<(u64, u8)>,
    pub(super) creds: Objects<u64>,
    /// `mm_struct.user_ns`.
    pub(super) mms: Objects<u64>,
    /// `struct ucounts` keep the user namespace they count in.
    pub(super) ucounts: Objects<u64>,
    pub(super) pids: Objects<u64>,
    pub(super) socks: Objects<u64>,
    pub(super) super_blocks: Objects<u64>,
    /// `vfsmount.mnt_userns`, before 6.2.
    pub(super) mounts: Objects<u64>,
    /// Files that hold it themselves: attachments of System V shared memory, open tables.
    pub(super) files: Objects<u64>,
    /// Anonymous mount namespaces it owns.
    pub(super) anonymous: Objects<u64>,
    /// Child namespaces whose `parent` it is, and namespaces it owns.
    pub(super) below: u32,
    /// Some nsfs file or mount exists.
    pub(super) nsfs: bool,
}

/// Each object once, as soon as [`Objects::settle`] was called; until then as often as it was met. Most namespaces have few
/// objects, met one after the other, for which sets of hashes would take ten times as long.
#[derive(Clone, Debug)]
pub(super) struct Objects<T>(Vec<T>);

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord> Objects<T> {
    pub fn insert(&mut self, object: T) {
        if self.0.last() != Some(&object) {
            // Few have more than the first room, and those have many.
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(4 + 3 * self.0.len());
            }
            self.0.push(object);
        }
    }

    /// As [`Self::insert`], of each.
    pub fn extend(&mut self, objects: impl IntoIterator<Item = T>) {
        for object in objects {
            self.insert(object);
        }
    }

    fn settle(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Accounts {
    /// Makes every object count once; to be called when all are inserted.
    pub(super) fn settle(&mut self) {
        self.nsproxies.settle();
        let sets = [&mut self.creds, &mut self.mms, &mut self.ucounts, &mut self.pids, &mut self.socks];
        sets.into_iter().for_each(Objects::settle);
        [&mut self.super_blocks, &mut self.mounts, &mut self.files, &mut self.anonymous]
            .into_iter()
            .for_each(Objects::settle);
    }

    /// Some nsfs file or mount exists.
    pub fn has_nsfs(&self) -> bool {
        self.nsfs
    }

    pub fn explained(&self) -> u32 {
        let objects = self.nsproxies.len()
            + self.creds.len()
            + self.mms.len()
            + self.ucounts.len()
            + self.pids.len()
            + self.socks.len()
            + self.super_blocks.len()
            + self.mounts.len()
            + self.files.len()
            + self.anonymous.len()
            + usize::from(self.nsfs);
        u32::try_from(objects).unwrap_or(u32::MAX).saturating_add(self.below)
    }

    /// What takes references, with how many; zeroes are left out.
    pub fn lines(&self) -> Vec<(&'static str, u32)> {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        [
            ("nsproxy", len(self.nsproxies.len())),
            ("cred", len(self.creds.len())),
            ("mm", len(self.mms.len())),
            ("ucounts", len(self.ucounts.len())),
            ("pid", len(self.pids.len())),
            ("nsfs inode", u32::from(self.nsfs)),
            ("sock", len(self.socks.len())),
            ("super block", len(self.super_blocks.len())),
            ("mount", len(self.mounts.len())),
            ("file", len(self.files.len())),
            ("detached mount tree", len(self.anonymous.len())),
            ("namespace below", self.below),
        ]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect()
    }
}
