//! One attempt: what it was given, what it did, and the line that says so.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use nstrace_tests::{
    escape::act::{Act, GIVEN, Given, Outcome, Target},
    kinds::KINDS,
    sys::Errno,
};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
};

/// Name and deed.
pub type Technique = (&'static str, fn(&Given) -> Attempt);

pub type Attempt = Result<Done, Refused>;

/// It worked.
#[derive(Debug, Default)]
pub struct Done {
    pub target: Option<Target>,
    pub detail: String,
}

/// It did not.
#[derive(Debug)]
pub enum Refused {
    Errno(Errno),
    Skip(String),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Refused {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(Errno(errno.raw_os_error()))
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Skip(error.to_string()), |errno| Self::Errno(Errno(errno)))
    }
}

pub fn done(detail: impl Into<String>) -> Attempt {
    Ok(Done { target: None, detail: detail.into() })
}

pub fn skip(why: impl Into<String>) -> Attempt {
    Err(Refused::Skip(why.into()))
}

/// Of what a raw system call returned.
pub fn check(ret: libc::c_long) -> Result<libc::c_long, Refused> {
    if ret < 0 { Err(Errno::last().into()) } else { Ok(ret) }
}

/// A missing file is something that this kernel has not; any other error is a refusal.
pub fn unless_missing(path: &str) -> Result<(), Refused> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refused::Skip(format!("no {path} here"))),
        _ => Ok(()),
    }
}

/// The namespace that a link below `/proc/PID/ns` names.
pub fn target_of(path: &str) -> Option<Target> {
    let inum = nstrace_tests::nsfs::inum_of_link(Path::new(path))?;
    let name = path.rsplit('/').next()?;
    Some(Target { ns_type: name.to_owned(), inum })
}

/// The folder of this task's namespaces: asked through a descriptor, because the technique may change what `/proc` is.
struct OwnNamespaces(OwnedFd);

impl OwnNamespaces {
    fn open() -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open("/proc/thread-self/ns", flags, Mode::empty()).ok().map(Self)
    }

    fn read(&self) -> BTreeMap<String, u32> {
        KINDS
            .iter()
            .filter_map(|kind| {
                let link = rustix::fs::readlinkat(&self.0, kind.name, Vec::new()).ok()?;
                let inum = link.to_str().ok()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()?;
                Some((kind.name.to_owned(), inum))
            })
            .collect()
    }
}

/// Tries it and prints the line.
pub fn perform((technique, try_it): Technique) {
    let own = OwnNamespaces::open();
    let namespaces = || own.as_ref().map(OwnNamespaces::read).unwrap_or_default();
    let before = namespaces();
    let uid = rustix::process::getuid().as_raw();
    let given =
        fs::read(GIVEN).map_err(|e| e.to_string()).and_then(|b| serde_json::from_slice(&b).map_err(|e| e.to_string()));
    let attempt = match given {
        Ok(given) => try_it(&given),
        Err(why) => skip(format!("{GIVEN}: {why}")),
    };
    let (target, outcome) = match attempt {
        Ok(done) => (done.target, Outcome::Done { detail: done.detail }),
        Err(Refused::Errno(errno)) => (None, Outcome::Denied { errno: errno.name() }),
        Err(Refused::Skip(why)) => (None, Outcome::Skipped { why }),
    };
    let act = Act {
        technique: technique.to_owned(),
        pid: std::process::id(),
        uid,
        before,
        after: namespaces(),
        target,
        outcome,
    };
    let mut line = serde_json::to_vec(&act).expect("an act is plain data");
    line.push(b'\n');
    // One write(2), which a pipe takes whole: forked performers share it.
    std::io::stdout().write_all(&line).expect("the harness reads");
}
