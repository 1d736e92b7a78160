//! Spans of time for people: two units at most, three digits or so.

/// `812ns`, `4.20us`, `17.3ms`, `2.50s`, `3m12s`, `5h07m`, `12d03h`.
pub fn human(ns: u64) -> String {
    let (us, ms, s) = (1_000, 1_000_000, 1_000_000_000);
    let (m, h, d) = (60 * s, 3_600 * s, 86_400 * s);
    match ns {
        n if n < us => format!("{n}ns"),
        n if n < ms => digits(n, us, "us"),
        n if n < s => digits(n, ms, "ms"),
        n if n < m => digits(n, s, "s"),
        n if n < h => format!("{}m{:02}s", n / m, n % m / s),
        n if n < d => format!("{}h{:02}m", n / h, n % h / m),
        n => format!("{}d{:02}h", n / d, n % d / h),
    }
}

/// Three significant digits, cut rather than rounded so that 999.9 ms does not become 1000 ms.
fn digits(ns: u64, unit: u64, name: &str) -> String {
    let (whole, hundredths) = (ns / unit, ns % unit * 100 / unit);
    match whole {
        0..=9 => format!("{whole}.{hundredths:02}{name}"),
        10..=99 => format!("{whole}.{}{name}", hundredths / 10),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn picks_the_unit() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (4_205, "4.20us"),
            (17_399_999, "17.3ms"),
            (999_999_999, "999ms"),
            (2_500_000_000, "2.50s"),
            (59_999_999_999, "59.9s"),
            (192_000_000_000, "3m12s"),
            (18_420_000_000_000, "5h07m"),
            (1_047_600_000_000_000, "12d03h"),
            (u64::MAX, "213503d23h"),
        ] {
            assert_eq!(human(ns), text);
        }
    }
}
