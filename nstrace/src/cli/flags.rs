//! Flags that several verbs share, and the parsers of their values.

use std::{io::IsTerminal as _, time::Duration};

use clap::ValueEnum;

use crate::{kernel::report::AttachMode, view::sections::Look};

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether stdout gets colours.
    pub fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let stdout = std::io::stdout();
                stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never
            }
        }
    }
}

/// How a document about this moment is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Printing {
    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    pub json: bool,

    /// Print the classic command that shows the same beside each part
    #[arg(long, conflicts_with = "json")]
    pub explain: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,
}

impl Printing {
    pub fn look(&self) -> Look {
        Look { colour: self.color.wanted(), explain: self.explain }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Attach {
    /// The best way there is, for each fact on its own.
    #[default]
    Auto,
    Kprobe,
    Fentry,
    Tracepoint,
}

impl Attach {
    /// None: auto.
    pub fn mode(self) -> Option<AttachMode> {
        match self {
            Self::Auto => None,
            Self::Kprobe => Some(AttachMode::Kprobe),
            Self::Fentry => Some(AttachMode::Fentry),
            Self::Tracepoint => Some(AttachMode::Tracepoint),
        }
    }
}

/// `500ms`, `10s`, `2m`, `1h30m`; a bare number counts seconds, as timeout(1) has it.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const REMEDY: &str = "write it like 500ms, 10s, 2m or 1h30m";
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let duration: jiff::SignedDuration = text.parse().map_err(|_| REMEDY)?;
    Duration::try_from(duration).map_err(|_| REMEDY)
}

/// A size of the kernel's ring buffer, in bytes: `K`, `M` and `G` count 1024s.
pub(super) fn ring_size(text: &str) -> Result<u32, &'static str> {
    const REMEDY: &str = "write a power of two between 64K and 1G, like 16M";
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
        None => (text, 0),
        Some(digits) if text.ends_with(['K', 'k']) => (digits, 10),
        Some(digits) if text.ends_with(['M', 'm']) => (digits, 20),
        Some(digits) => (digits, 30),
    };
    let size = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or(REMEDY)?;
    if size.is_power_of_two() && (1 << 16..=1 << 30).contains(&size) { Ok(size) } else { Err(REMEDY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("3", 3_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "10 parsecs", "1x", "99999999999999999999h", "-3"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ring_sizes() {
        for (text, size) in [("65536", 1 << 16), ("64K", 1 << 16), ("16M", 1 << 24), ("1G", 1 << 30), ("8m", 1 << 23)] {
            assert_eq!(ring_size(text), Ok(size), "{text}");
        }
        for text in ["", "K", "0", "32K", "3M", "2G", "4G", "-1", "16MiB", "99999999999"] {
            assert!(ring_size(text).is_err(), "{text}");
        }
    }
}
