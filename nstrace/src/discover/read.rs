//! Reading `/proc`: every failure is one of three kinds and is counted, none ends a scan.

use std::{
    ffi::CStr,
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Dir, Mode, OFlags},
    io::Errno,
};

/// Most bytes read of one `/proc` file; the kernel's own are far smaller, except `mountinfo`.
const MAX_FILE: usize = 16 << 20;

/// Why something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The task or file went away while it was being read: no loss, its end is an event of its own.
    #[error("gone")]
    Gone,
    /// `EACCES` or `EPERM`: a privilege is missing (`CAP_SYS_PTRACE` for what lies below `/proc/PID`).
    #[error("permission denied")]
    Denied,
    /// Any other errno.
    #[error("{0}")]
    Errno(Errno),
    /// The content is not what the kernel writes; names the field.
    #[error("unexpected content of {0}")]
    Malformed(&'static str),
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::SRCH => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Errno(other),
        }
    }
}

/// What a scan did not see, by kind, with the first example of each kind that is a loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Went away during the scan.
    pub gone: u64,
    /// Refused with `EACCES` or `EPERM`.
    pub denied: u64,
    /// Everything else.
    pub other: u64,
    /// First path that was refused.
    pub first_denied: Option<String>,
    /// First path that failed otherwise, with the reason.
    pub first_other: Option<String>,
}

impl Missed {
    /// Counts `error` at `path`.
    pub fn note(&mut self, error: ReadError, path: impl fmt::Display) {
        match error {
            ReadError::Gone => self.gone += 1,
            ReadError::Denied => {
                self.denied += 1;
                self.first_denied.get_or_insert_with(|| path.to_string());
            }
            ReadError::Errno(_) | ReadError::Malformed(_) => {
                self.other += 1;
                self.first_other.get_or_insert_with(|| format!("{path}: {error}"));
            }
        }
    }

    /// Adds the counts of another scan.
    pub fn add(&mut self, more: Self) {
        self.gone += more.gone;
        self.denied += more.denied;
        self.other += more.other;
        self.first_denied = self.first_denied.take().or(more.first_denied);
        self.first_other = self.first_other.take().or(more.first_other);
    }

    /// What stayed unseen and what would make it visible, one line; None: nothing.
    pub fn line(&self) -> Option<String> {
        let more = |count: u64| if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let denied = self.first_denied.as_ref().map(|first| {
            format!("{first}{} (permission denied): run as root in the initial namespaces", more(self.denied))
        });
        let other = self.first_other.as_ref().map(|first| format!("{first}{}", more(self.other)));
        let parts: Vec<String> = denied.into_iter().chain(other).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Nothing that exists stayed unseen.
    pub fn is_complete(&self) -> bool {
        self.denied == 0 && self.other == 0
    }
}

pub(super) fn open_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd, ReadError> {
    Ok(rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Replaces `into` by the content of `name` below `dir`.
pub(super) fn read_file(dir: impl AsFd, name: &CStr, into: &mut Vec<u8>) -> Result<(), ReadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    into.clear();
    let mut chunk = [0; 8192];
    loop {
        match rustix::io::read(&file, &mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => into.extend_from_slice(&chunk[..n]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if into.len() > MAX_FILE {
            return Err(ReadError::Errno(Errno::FBIG));
        }
    }
}

/// Target of the symbolic link `name` below `dir`, as far as it fits into `buffer`. Does not follow it.
pub(super) fn read_link<'b>(
    dir: BorrowedFd<'_>,
    name: &CStr,
    buffer: &'b mut [u8; libc::PATH_MAX as usize],
) -> Result<&'b [u8], ReadError> {
    let len = rustix::fs::readlinkat_raw(dir, name, &mut buffer[..])?;
    Ok(&buffer[..len])
}

/// Names in `dir` that are decimal numbers, ascending.
pub(super) fn numeric_names(dir: impl AsFd) -> Result<Vec<u32>, ReadError> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name.bytes().all(|b| b.is_ascii_digit())
            && let Ok(number) = name.parse()
        {
            numbers.push(number);
        }
    }
    // procfs lists pids in ascending order already; a fake tree need not.
    numbers.sort_unstable();
    Ok(numbers)
}
