//! The system call that a task is in: `/proc/TID/syscall` (proc_pid_syscall(5)).

use std::{fs, io};

use super::Proc;

impl Proc {
    /// The thread is in neither setns nor unshare, or is no more. False also when nobody can tell, as of one that runs just now.
    pub fn is_past_namespace_calls(&self, tid: u32) -> bool {
        match fs::read_to_string(self.root().join(format!("{tid}/syscall"))) {
            Ok(text) => is_past(&text),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// `running`, or -1 or a number and what follows it.
fn is_past(text: &str) -> bool {
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
    number.is_some_and(|number: libc::c_long| number != libc::SYS_unshare && number != libc::SYS_setns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_sleeps_elsewhere_is_past_a_call() {
        for (text, past) in [
            ("0 0x0 0x7ffd 0x1000 0x0 0x0 0x0 0x7ffd 0x7f00\n", true),
            ("-1 0x7ffd5e0 0x7f12\n", true),
            ("272 0x4000000 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f00\n", false),
            ("308 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f00\n", false),
            ("running\n", false),
            ("", false),
        ] {
            assert_eq!(is_past(text), past, "{text:?}");
        }
    }

    #[test]
    fn a_thread_that_is_no_more_is_past_everything() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let proc = Proc::at(folder.path());
        assert!(proc.is_past_namespace_calls(7));
        fs::create_dir(folder.path().join("7")).expect("a folder");
        fs::write(folder.path().join("7/syscall"), "308 0x3\n").expect("a file");
        assert!(!proc.is_past_namespace_calls(7));
    }
}
