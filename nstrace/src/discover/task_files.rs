//! `stat`, `status`, `cgroup` and the `ns` links of one task, parsed; pure.
//!
//! Not by the procfs crate: its `status` demands UTF-8 of the whole file, so a process could hide from the scan by its
//! name, and it makes a map of sixty strings per task.

use std::sync::Arc;

use crate::{container, event::TaskKey, ns::NsType};

use super::ReadError;

/// Of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    /// With `\n` and `\\` written as two characters each.
    pub comm: &'a [u8],
    /// `R`, `S`, … `Z` zombie, `X` dead.
    pub state: u8,
    /// `PF_*`.
    pub flags: u32,
    /// Boot time of the start, nanoseconds, cut to a clock tick.
    pub start_boottime: u64,
}

impl<'a> Stat<'a> {
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let open = text.iter().position(|&b| b == b'(')?;
        let close = text.iter().rposition(|&b| b == b')')?;
        let comm = text.get(open + 1..close)?;
        // Field 3 (state) comes first here, so field n is number n - 3.
        let mut fields = text.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let state = *fields.next()?.first()?;
        let flags = decimal(fields.nth(5)?)?;
        let ticks: u64 = decimal(fields.nth(12)?)?;
        Some(Self {
            comm,
            state,
            // PF_* fit 32 bits; the kernel prints them as unsigned int.
            flags: u32::try_from(flags).ok()?,
            start_boottime: ticks.checked_mul(TaskKey::TICK_NS)?,
        })
    }
}

/// Of `/proc/PID/task/TID/status` (proc_pid_status(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub tgid: u32,
    pub uid: u32,
    pub euid: u32,
    pub cap_effective: u64,
    /// The thread's id from the reader's pid namespace down to its own; empty when the kernel has no pid namespaces.
    pub pids: Vec<u32>,
}

impl Status {
    pub fn parse(text: &[u8]) -> Result<Self, ReadError> {
        let (mut tgid, mut uids, mut caps, mut pids) = (None, None, None, Vec::new());
        for line in text.split(|&b| b == b'\n') {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            match key {
                b"Tgid" => tgid = words(value).next().and_then(decimal),
                b"Uid" => {
                    let mut ids = words(value).map(decimal);
                    uids = ids.next().flatten().zip(ids.next().flatten());
                }
                b"CapEff" => {
                    caps = words(value)
                        .next()
                        .and_then(|hex| std::str::from_utf8(hex).ok())
                        .and_then(|hex| u64::from_str_radix(hex, 16).ok());
                }
                b"NSpid" => pids = words(value).filter_map(decimal).filter_map(|pid| u32::try_from(pid).ok()).collect(),
                _ => {}
            }
        }
        let number = |value: u64, field| u32::try_from(value).map_err(|_| ReadError::Malformed(field));
        let (uid, euid) = uids.ok_or(ReadError::Malformed("Uid"))?;
        Ok(Self {
            tgid: number(tgid.ok_or(ReadError::Malformed("Tgid"))?, "Tgid")?,
            uid: number(uid, "Uid")?,
            euid: number(euid, "Uid")?,
            cap_effective: caps.ok_or(ReadError::Malformed("CapEff"))?,
            pids,
        })
    }
}

/// Where a task stands in the control group hierarchies, from `/proc/PID/cgroup` (cgroups(7)), as seen from the
/// reader's cgroup namespace. Hostile names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Path in the cgroup2 hierarchy; None without one.
    pub v2: Option<Arc<str>>,
    /// A path of a version 1 hierarchy that says more than `v2`: it names a container and `v2` does not (docker on a
    /// hybrid host leaves its containers in the `v2` cgroup of containerd), or `v2` is the root or absent.
    pub v1: Option<Arc<str>>,
}

impl Placement {
    /// The content of one `cgroup` file.
    pub fn parse(text: &[u8]) -> Self {
        let mut v2 = None;
        let mut v1: Vec<(bool, String)> = Vec::new();
        for line in text.split(|&b| b == b'\n') {
            let mut fields = line.splitn(3, |&b| b == b':');
            let (Some(hierarchy), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let path = String::from_utf8_lossy(path).into_owned();
            if hierarchy == b"0" && controllers.is_empty() {
                v2 = Some(path);
            } else if path != "/" {
                v1.push((controllers == b"name=systemd", path));
            }
        }
        let names_container = |path: &str| container::from_cgroup_path(path).is_some();
        let v2_says_nothing = v2.as_deref().is_none_or(|path| path == "/");
        let best = if v2.as_deref().is_some_and(names_container) {
            None
        } else if let Some(found) = v1.iter().position(|(_, path)| names_container(path)) {
            Some(v1.swap_remove(found).1)
        } else if v2_says_nothing {
            // systemd's own hierarchy is the one that follows services; else the deepest says most.
            v1.into_iter().max_by_key(|(systemd, path)| (*systemd, path.matches('/').count())).map(|(_, path)| path)
        } else {
            None
        };
        Self { v2: v2.map(Arc::from), v1: best.map(Arc::from) }
    }

    /// The path that says most; None when the task is in no named cgroup at all.
    pub fn path(&self) -> Option<&Arc<str>> {
        self.v1.as_ref().or(self.v2.as_ref())
    }
}

/// `net:[4026531833]`, the text of a link below `/proc/PID/ns` or of a file on nsfs.
pub(crate) fn parse_ns_link(link: &[u8]) -> Option<(NsType, u32)> {
    let text = std::str::from_utf8(link).ok()?;
    let (name, number) = text.strip_suffix(']')?.split_once(":[")?;
    let inum = decimal(number.as_bytes()).and_then(|n| u32::try_from(n).ok())?;
    (inum != 0).then_some((name.parse().ok()?, inum))
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Only digits: no sign, no space.
fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &[u8] = b"4321 (a) b (c)) S 1 4321 4321 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7250 2658304 200 18446744073709551615 1 1 0 0\n";

    #[test]
    fn stat_with_brackets_in_the_name() {
        let stat = Stat::parse(STAT).expect("a line of the kernel");
        assert_eq!(stat.comm, b"a) b (c)");
        assert_eq!((stat.state, stat.flags), (b'S', 4_194_560));
        assert_eq!(stat.start_boottime, 72_500_000_000);
        assert_eq!(Stat::parse(b"1 (x) S 1 2 3"), None);
        assert_eq!(Stat::parse(b"1 )x( S"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn status_with_a_name_that_is_not_text() {
        let text = b"Name:\t\xff\xfeevil\nTgid:\t7\nPid:\t9\nUid:\t1000\t1001\t0\t0\nNSpid:\t9\t3\t1\nCapEff:\t000001ffffffffff\n";
        let status = Status::parse(text).expect("all fields are there");
        assert_eq!(
            status,
            Status { tgid: 7, uid: 1000, euid: 1001, cap_effective: 0x1ff_ffff_ffff, pids: vec![9, 3, 1] }
        );
        assert_eq!(Status::parse(b"Tgid:\t7\nUid:\t0\t0\n"), Err(ReadError::Malformed("CapEff")));
        assert_eq!(Status::parse(b"Tgid:\t-7\nUid:\t0\t0\nCapEff:\t0\n"), Err(ReadError::Malformed("Tgid")));
        assert_eq!(Status::parse(b""), Err(ReadError::Malformed("Uid")));
    }

    #[test]
    fn ns_links() {
        assert_eq!(parse_ns_link(b"net:[4026531833]"), Some((NsType::Net, 4_026_531_833)));
        assert_eq!(parse_ns_link(b"pid:[1]"), Some((NsType::Pid, 1)));
        for wrong in ["net:[0]", "net:[-1]", "net:[99999999999]", "net:[]", "nat:[1]", "net:1", "/run/netns/x", ""] {
            assert_eq!(parse_ns_link(wrong.as_bytes()), None, "{wrong}");
        }
    }

    fn placed(text: &str) -> (Option<String>, Option<String>) {
        let placement = Placement::parse(text.as_bytes());
        (placement.v2.map(|p| p.to_string()), placement.v1.map(|p| p.to_string()))
    }

    #[test]
    fn placement_prefers_what_names_a_container() {
        let id = "2403ccfe427f1dc7b6120dccb9ac58c2f8456950380d587a9f33ea7f00dd303d";
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(placed("0::/system.slice/ssh.service\n"), (text("/system.slice/ssh.service"), None));
        assert_eq!(
            placed(&format!(
                "9:blkio:/docker/{id}\n1:name=systemd:/docker/{id}\n0::/system.slice/containerd.service\n"
            )),
            (text("/system.slice/containerd.service"), text(&format!("/docker/{id}")))
        );
        assert_eq!(
            placed(&format!("4:memory:/jobs/x\n0::/system.slice/docker-{id}.scope\n")),
            (text(&format!("/system.slice/docker-{id}.scope")), None)
        );
        assert_eq!(placed("4:memory:/a/b/c\n1:name=systemd:/u\n0::/\n"), (text("/"), text("/u")));
        assert_eq!(placed("4:memory:/a/b/c\n2:cpu:/a\n1:name=systemd:/\n0::/\n"), (text("/"), text("/a/b/c")));
        assert_eq!(placed("2:cpu:/with:colon\n"), (None, text("/with:colon")));
        assert_eq!(placed("0::/\n"), (text("/"), None));
        assert_eq!(placed(""), (None, None));
    }

    proptest! {
        #[test]
        fn no_content_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..120) {
            let _ = Stat::parse(&bytes);
            let _ = Stat::parse(&STAT[..cut.min(STAT.len())]);
            let _ = Status::parse(&bytes);
            let _ = Placement::parse(&bytes);
            let _ = parse_ns_link(&bytes);
        }
    }
}
