//! A point in time on the command line, as `--since`, `--until`, `--at` and `FILE@TIME` take it.

use std::str::FromStr;

use jiff::{SpanRelativeTo, Timestamp, civil::DateTime, tz::TimeZone};
use rusqlite::OptionalExtension as _;

use crate::recording::Recording;

/// For the help of the flags that take one.
pub(super) const SYNTAX: &str = "\
A TIME is one of
  2026-11-21T20:35:12Z  a date and time with its zone (RFC 3339); without one, in local time
  -5m                   so long before the end of the recording
  +10s                  so long after its start
  @86400.5              seconds since boot";

/// A point in time; all but the first kind need a recording to mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// UTC, nanoseconds since 1970.
    Utc(i64),
    /// Nanoseconds before the end of the recording.
    BeforeEnd(i64),
    /// Nanoseconds after its start.
    AfterStart(i64),
    /// Nanoseconds of CLOCK_BOOTTIME.
    Boot(i64),
}

/// A text that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a time like 2026-11-21T20:35:12Z, -5m (before the end), +10s (after the start) or @86400.5 (since boot)"
)]
pub(super) struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        match text.as_bytes().first() {
            Some(b'-') => Ok(Self::BeforeEnd(span(&text[1..])?)),
            Some(b'+') => Ok(Self::AfterStart(span(&text[1..])?)),
            Some(b'@') => Ok(Self::Boot(seconds(&text[1..])?)),
            _ => {
                let zoned = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok();
                let time = text.parse::<Timestamp>().ok().or_else(|| zoned().map(|time| time.timestamp()));
                let ns = time.ok_or(NoMoment)?.as_nanosecond();
                i64::try_from(ns).map(Self::Utc).map_err(|_| NoMoment)
            }
        }
    }
}

/// `10s`, `1h30m`, `2d`; a bare number counts seconds.
fn span(text: &str) -> Result<i64, NoMoment> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(NoMoment);
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return seconds(text);
    }
    let span: jiff::Span = text.parse().map_err(|_| NoMoment)?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| NoMoment)?;
    i64::try_from(span.as_nanos()).ok().filter(|&ns| ns >= 0).ok_or(NoMoment)
}

/// `86400`, `86400.5`: as exact as it is written.
fn seconds(text: &str) -> Result<i64, NoMoment> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return Err(NoMoment);
    }
    let whole: i64 = whole.parse().map_err(|_| NoMoment)?;
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| NoMoment)?;
    whole.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(part)).ok_or(NoMoment)
}

impl Moment {
    /// As UTC in nanoseconds, by the clock of this recording.
    ///
    /// # Errors
    /// When the recording cannot be read, or holds nothing that time could be counted from.
    pub fn utc_in(self, recording: &Recording) -> anyhow::Result<i64> {
        let span = || {
            let file = super::shown(recording.path());
            recording.span()?.ok_or_else(|| anyhow::anyhow!("{file} holds no event: give an absolute time"))
        };
        Ok(match self {
            Self::Utc(ns) => ns,
            Self::BeforeEnd(ns) => span()?.1.saturating_sub(ns),
            Self::AfterStart(ns) => span()?.0.saturating_add(ns),
            Self::Boot(ns) => {
                // By the last block that begins before; each carries the clock that was in force.
                let (boot, utc) = block_at(recording, ns)?.map_or_else(|| span().map(|(utc, _)| (ns, utc)), Ok)?;
                utc.saturating_add(ns.saturating_sub(boot))
            }
        })
    }
}

/// (CLOCK_BOOTTIME, UTC) of the begin of the last block that does not begin after `boot_ns`, else of the first one.
fn block_at(recording: &Recording, boot_ns: i64) -> anyhow::Result<Option<(i64, i64)>> {
    let row = |sql: &str, value: i64| {
        let mut statement = recording.database().prepare(sql)?;
        statement.query_row([value], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    };
    let select = "SELECT boot_first, utc_first FROM entry WHERE kind = 'facts' AND boot_first";
    match row(&format!("{select} <= ?1 ORDER BY id DESC LIMIT 1"), boot_ns)? {
        None => Ok(row(&format!("{select} > ?1 ORDER BY id LIMIT 1"), boot_ns)?),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_one() {
        const S: i64 = 1_000_000_000;
        for (text, moment) in [
            ("2026-11-21T20:35:12.5Z", Moment::Utc(1_795_293_312 * S + S / 2)),
            ("2026-11-21T21:35:12+01:00", Moment::Utc(1_795_293_312 * S)),
            ("-5m", Moment::BeforeEnd(300 * S)),
            ("-0", Moment::BeforeEnd(0)),
            ("-1.5", Moment::BeforeEnd(S + S / 2)),
            ("+10s", Moment::AfterStart(10 * S)),
            ("+1h30m", Moment::AfterStart(5400 * S)),
            ("+2d", Moment::AfterStart(172_800 * S)),
            ("+500ms", Moment::AfterStart(S / 2)),
            ("@12", Moment::Boot(12 * S)),
            ("@14592.277528480", Moment::Boot(14_592_277_528_480)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
        let local: Moment = "2026-11-21 20:35:12".parse().expect("local time");
        let Moment::Utc(ns) = local else { panic!("{local:?}") };
        assert!((ns / S - 1_795_293_312).abs() <= 15 * 3600, "{local:?}");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-",
            "+",
            "@",
            "now",
            "--5m",
            "-+5m",
            "+-5m",
            "@-1",
            "@1.2.3",
            "@1e9",
            "@99999999999999",
            "-5 parsecs",
            "+1mo",
            "@1.0123456789",
            "2026-13-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "é",
            "-é",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
        }
    }
}
