//! `/proc/PID/status` (proc_pid_status(5)) in full; pure.

use serde::Serialize;

/// What the kernel says of one task. Ids are those of the reader's user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Lossy; hostile.
    pub name: String,
    /// `R`, `S`, … `Z` zombie, `X` dead.
    pub state: char,
    pub tgid: u32,
    pub pid: u32,
    pub ppid: u32,
    /// Who traces it with ptrace(2); 0: nobody.
    pub tracer: u32,
    /// Real, effective, saved, file system.
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    pub groups: Vec<u32>,
    /// Its id from the reader's pid namespace down to its own.
    pub pids: Vec<u32>,
    pub threads: u32,
    pub capabilities: CapSets,
    /// None: the kernel does not say.
    pub no_new_privs: Option<bool>,
    pub seccomp: Option<u32>,
    pub seccomp_filters: Option<u32>,
    pub signals: Signals,
    pub kernel_thread: bool,
}

/// Bit sets of capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// Bit `n - 1` stands for signal `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signals {
    pub blocked: u64,
    pub ignored: u64,
    pub caught: u64,
}

impl Status {
    /// None: the lines that every kernel writes are not there.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut status = Self::default();
        let mut found = (false, false, false);
        for line in text.split(|&b| b == b'\n') {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let value = line[colon + 1..].trim_ascii();
            match &line[..colon] {
                // A name comes first; later lines cannot be faked by it since its newlines are escaped.
                b"Name" if !found.0 => {
                    status.name = unescape(value);
                    found.0 = true;
                }
                b"State" => status.state = value.first().copied().map_or('?', char::from),
                b"Tgid" => status.tgid = number(value)?,
                b"Pid" => {
                    status.pid = number(value)?;
                    found.1 = true;
                }
                b"PPid" => status.ppid = number(value)?,
                b"TracerPid" => status.tracer = number(value)?,
                b"Uid" => {
                    status.uid = four(value)?;
                    found.2 = true;
                }
                b"Gid" => status.gid = four(value)?,
                b"Groups" => status.groups = numbers(value),
                b"NSpid" => status.pids = numbers(value),
                b"Threads" => status.threads = number(value).unwrap_or(0),
                b"CapInh" => status.capabilities.inheritable = hex(value),
                b"CapPrm" => status.capabilities.permitted = hex(value),
                b"CapEff" => status.capabilities.effective = hex(value),
                b"CapBnd" => status.capabilities.bounding = hex(value),
                b"CapAmb" => status.capabilities.ambient = hex(value),
                b"NoNewPrivs" => status.no_new_privs = number(value).map(|n| n != 0),
                b"Seccomp" => status.seccomp = number(value),
                b"Seccomp_filters" => status.seccomp_filters = number(value),
                b"SigBlk" => status.signals.blocked = hex(value),
                b"SigIgn" => status.signals.ignored = hex(value),
                b"SigCgt" => status.signals.caught = hex(value),
                b"Kthread" => status.kernel_thread = value == b"1",
                _ => {}
            }
        }
        if status.pids.is_empty() {
            status.pids.push(status.pid);
        }
        // Before 6.8 there is no line "Kthread": kthreadd is process 2 and the parent of all others.
        status.kernel_thread |= status.pids.len() == 1 && (status.ppid == 2 || (status.pid == 2 && status.ppid == 0));
        (found == (true, true, true)).then_some(status)
    }

    /// It ended and was not waited for.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Its id in its own pid namespace.
    pub fn own_pid(&self) -> u32 {
        self.pids.last().copied().unwrap_or(self.pid)
    }
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn numbers(value: &[u8]) -> Vec<u32> {
    value.split(u8::is_ascii_whitespace).filter_map(number).collect()
}

fn four(value: &[u8]) -> Option<[u32; 4]> {
    numbers(value).try_into().ok()
}

fn hex(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0)
}

/// `proc_task_name` writes a newline and a backslash as two characters each.
fn unescape(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if !text.contains('\\') {
        return text.into_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('\\')) => plain.push('\\'),
            _ => {
                plain.push(c);
                continue;
            }
        }
        chars.next();
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] =
        b"Name:\ta\\nPid:\\\\b\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t9\nNgid:\t0\nPid:\t9\nPPid:\t4\n\
        TracerPid:\t0\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t5\t5\t5\nGroups:\t4 24 \nNSpid:\t9\t3\t1\nThreads:\t2\n\
        SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180014a07\nCapEff:\t000001ffffffffff\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

    #[test]
    fn a_whole_file() {
        let status = Status::parse(TEXT).expect("a file of the kernel");
        assert_eq!(status.name, "a\nPid:\\b");
        assert_eq!((status.state, status.tgid, status.ppid, status.threads), ('S', 9, 4, 2));
        assert_eq!((status.uid, status.groups.as_slice()), ([1000, 1001, 1002, 1003], &[4, 24][..]));
        assert_eq!((status.pids.as_slice(), status.own_pid()), (&[9, 3, 1][..], 1));
        assert_eq!(status.capabilities.effective, 0x1ff_ffff_ffff);
        assert_eq!((status.no_new_privs, status.seccomp, status.seccomp_filters), (Some(true), Some(2), Some(3)));
        assert_eq!(status.signals.ignored, 0x1000);
        assert!(!status.is_zombie() && !status.kernel_thread);
        assert_eq!(Status::parse(b"Name:\tx\n"), None);
    }

    proptest! {
        #[test]
        fn no_content_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Status::parse(&bytes);
            let _ = unescape(&bytes);
        }
    }
}
