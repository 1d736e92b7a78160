//! Signals by name (signal(7)); pure.

/// Signals 1 to 31.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// First real-time signal of the kernel.
const SIGRTMIN: u32 = 32;

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Signals that people send to end a process and that a process may handle.
pub const DEADLY: u64 = bit(libc::SIGHUP)
    | bit(libc::SIGINT)
    | bit(libc::SIGQUIT)
    | bit(libc::SIGTERM)
    | bit(libc::SIGUSR1)
    | bit(libc::SIGUSR2);

/// Names of a set, bit `n - 1` for signal `n`.
pub fn names(set: u64) -> Vec<String> {
    let name = |signal: u32| match NAMES.get(signal as usize - 1) {
        Some(name) => format!("SIG{name}"),
        None => format!("SIGRT{}", signal - SIGRTMIN),
    };
    (1..=64).filter(|signal| set & (1 << (signal - 1)) != 0).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_the_numbers() {
        assert_eq!(names(bit(libc::SIGTERM) | bit(libc::SIGKILL)), ["SIGKILL", "SIGTERM"]);
        assert_eq!(names(bit(libc::SIGSYS) | bit(libc::SIGCHLD)), ["SIGCHLD", "SIGSYS"]);
        assert_eq!(names(1 << 63 | 1 << 31), ["SIGRT0", "SIGRT32"]);
        assert!(names(0).is_empty());
    }
}
