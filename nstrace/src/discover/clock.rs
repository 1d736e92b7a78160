//! The clocks: kernel records carry CLOCK_BOOTTIME, people want UTC.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// How often [`Anchor::read`] tries; the tightest attempt counts.
const ATTEMPTS: usize = 5;

/// Nanoseconds of CLOCK_BOOTTIME, as the kernel stamps records with (`bpf_ktime_get_boot_ns`). They differ when nstrace
/// runs in a time namespace with an offset (time_namespaces(7)).
pub fn boot_ns() -> u64 {
    // Negative only in a time namespace with such an offset.
    u64::try_from(nanoseconds(clock_gettime(ClockId::Boottime))).unwrap_or(0)
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// One moment in both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot_ns: u64,
    /// CLOCK_REALTIME, nanoseconds since the epoch.
    pub utc_ns: i64,
    /// The two may be this far apart, nanoseconds.
    pub uncertainty_ns: u64,
}

impl Anchor {
    /// Reads CLOCK_REALTIME between two readings of CLOCK_BOOTTIME.
    pub fn read() -> Self {
        Self::read_with(boot_ns, || nanoseconds(clock_gettime(ClockId::Realtime)))
    }

    /// The same with other clocks.
    pub fn read_with(mut boot: impl FnMut() -> u64, mut utc: impl FnMut() -> i64) -> Self {
        let mut attempt = || {
            let before = boot();
            let utc_ns = utc();
            let width = boot().saturating_sub(before);
            Self { boot_ns: before + width / 2, utc_ns, uncertainty_ns: width.div_ceil(2) }
        };
        let first = attempt();
        (1..ATTEMPTS)
            .map(|_| attempt())
            .fold(first, |best, next| if next.uncertainty_ns < best.uncertainty_ns { next } else { best })
    }

    /// UTC of a boot time, by this anchor.
    pub fn utc_of(self, boot_ns: u64) -> i64 {
        let since = i128::from(boot_ns) - i128::from(self.boot_ns);
        i64::try_from(i128::from(self.utc_ns) + since).unwrap_or(if since < 0 { i64::MIN } else { i64::MAX })
    }

    /// The wall clock was set (or slewed) by more than both readings' uncertainty and `tolerance_ns` between the two.
    pub fn stepped_since(self, earlier: Self, tolerance_ns: u64) -> bool {
        let slack = tolerance_ns.saturating_add(self.uncertainty_ns).saturating_add(earlier.uncertainty_ns);
        earlier.utc_of(self.boot_ns).abs_diff(self.utc_ns) > slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_bracket_wins() {
        // Pairs of boot readings: widths 100, 10, 40, 40, 40.
        let mut boot = [0, 100, 200, 210, 300, 340, 400, 440, 500, 540].into_iter();
        let mut utc = [1000, 1205, 1320, 1420, 1520].into_iter();
        let anchor = Anchor::read_with(|| boot.next().expect("ten readings"), || utc.next().expect("five readings"));
        assert_eq!(anchor, Anchor { boot_ns: 205, utc_ns: 1205, uncertainty_ns: 5 });
        assert_eq!(anchor.utc_of(305), 1305);
        assert_eq!(anchor.utc_of(105), 1105);
        assert_eq!(Anchor { utc_ns: i64::MAX, ..anchor }.utc_of(u64::MAX), i64::MAX);
    }

    #[test]
    fn a_step_is_told_from_noise() {
        let first = Anchor { boot_ns: 1_000, utc_ns: 50_000, uncertainty_ns: 5 };
        let same = Anchor { boot_ns: 2_000, utc_ns: 51_012, uncertainty_ns: 5 };
        assert!(!same.stepped_since(first, 10));
        assert!(same.stepped_since(first, 1));
        assert!(Anchor { utc_ns: 40_000, ..same }.stepped_since(first, 1_000));
    }

    #[test]
    fn real_clocks_agree_with_the_kernel() {
        let before = boot_ns();
        let anchor = Anchor::read();
        assert!(anchor.boot_ns >= before && anchor.boot_ns <= boot_ns());
        let system = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let since = i64::try_from(system.as_nanos()).expect("fits until 2262") - anchor.utc_ns;
        assert!((0..60_000_000_000).contains(&since), "{since}");
    }
}
