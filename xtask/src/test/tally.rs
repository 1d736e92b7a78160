//! Counting what libtest prints.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// libtest calls them ignored.
    pub skipped: u64,
}

impl Tally {
    /// Of a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`; `None` for any other line.
    pub fn of_line(line: &str) -> Option<Self> {
        let (_verdict, numbers) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let mut tally = Self::default();
        for part in numbers.split(';') {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            match word {
                "passed" => tally.passed = number,
                "failed" => tally.failed = number,
                "ignored" => tally.skipped = number,
                _ => {}
            }
        }
        Some(tally)
    }

    /// Of one test's line, `test a::b ... ok`; `None` for any other line.
    pub fn of_test(line: &str) -> Option<Self> {
        let (_name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let outcome = outcome.split([' ', ',']).next().unwrap_or_default();
        match outcome {
            "ok" => Some(Self { passed: 1, ..Self::default() }),
            "FAILED" => Some(Self::FAILURE),
            "ignored" => Some(Self { skipped: 1, ..Self::default() }),
            _ => None,
        }
    }

    /// One thing failed that is no test: an executable that crashed, a guest that died.
    pub const FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(formatter, "{passed} passed, {failed} failed")?;
        if *skipped > 0 {
            write!(formatter, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

/// The results by place, in the order they came.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(String, Tally, f64)>,
}

impl Report {
    /// Adds what one place (`native`, `guest 6.1 fentry`) gave in so many seconds.
    pub fn add(&mut self, place: String, tally: Tally, seconds: f64) {
        self.rows.push((place, tally, seconds));
    }

    /// The rows, on stderr.
    pub fn show(&self) {
        for (place, tally, seconds) in &self.rows {
            eprintln!("xtask: {place:<24} {tally} ({seconds:.1} s)");
        }
    }

    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, tally, _) in &self.rows {
            total += *tally;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn reads_what_libtest_prints() {
        let line = "test result: FAILED. 12 passed; 3 failed; 2 ignored; 0 measured; 1 filtered out; finished in 0.53s";
        assert_eq!(Tally::of_line(line), Some(Tally { passed: 12, failed: 3, skipped: 2 }));
        assert_eq!(Tally::of_line("test a::b ... ok"), None);
    }

    #[test]
    fn the_last_line_is_plain() {
        assert_eq!(Tally { passed: 5, failed: 0, skipped: 0 }.to_string(), "5 passed, 0 failed");
        assert_eq!(Tally { passed: 5, failed: 1, skipped: 2 }.to_string(), "5 passed, 1 failed, 2 skipped");
    }
}
