//! A moment of a recording, as people write it: a date, a time of day, a distance from its start or its end.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use crate::recording::{ReadError, Recording};

/// For the end of a long help: all ways to write one.
pub(super) const SYNTAX: &str = "\
A TIME is one of:
  2026-11-21T20:35:12Z   with its zone (RFC 3339)
  '2026-11-21 20:35'     where you are
  20:35:12               of the day on which the recording begins
  +90s, +5m              after its start
  -5m                    before its end
  @86400.5               seconds since boot";

/// Which part of a recording is told.
#[derive(Debug, clap::Args)]
pub(super) struct Part {
    /// Only events from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Moment>,

    /// Only events up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Moment>,
}

impl Part {
    /// Begin and end as UTC in nanoseconds, where the reader lives.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn utc_in(&self, recording: &Recording) -> Result<(Option<i64>, Option<i64>), ReadError> {
        let zone = TimeZone::system();
        let utc = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.utc_in(recording, &zone)).transpose();
        Ok((utc(&self.since)?, utc(&self.until)?))
    }
}

/// Understood, not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// UTC, nanoseconds since 1970.
    At(i64),
    /// A date and time where the reader lives.
    Local(civil::DateTime),
    /// A time of the day on which the recording begins; before its start: of the next day.
    OfDay(civil::Time),
    AfterStart(SignedDuration),
    BeforeEnd(SignedDuration),
    /// CLOCK_BOOTTIME, nanoseconds.
    Boot(i64),
}

const REMEDY: &str = "write a time like 2026-11-21T20:35:12Z, '2026-11-21 20:35', 20:35:12.5, +90s (after the start), \
                      -5m (before the end) or @86400.5 (since boot)";

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let distance = |text: &str| -> Result<SignedDuration, &'static str> {
            let bare = text.parse::<u32>().map(|seconds| SignedDuration::from_secs(i64::from(seconds)));
            bare.or_else(|_| text.parse()).ok().filter(|d: &SignedDuration| !d.is_negative()).ok_or(REMEDY)
        };
        if let Some(after) = text.strip_prefix('+') {
            return distance(after).map(Self::AfterStart);
        }
        if let Some(before) = text.strip_prefix('-') {
            return distance(before).map(Self::BeforeEnd);
        }
        if let Some(boot) = text.strip_prefix('@') {
            return seconds(boot).map(Self::Boot).ok_or(REMEDY);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(nanoseconds(time)));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Local(time));
        }
        text.parse().map(Self::OfDay).map_err(|_| REMEDY)
    }
}

/// `86400`, `86400.5` in nanoseconds, as exact as it is written.
fn seconds(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

impl Moment {
    /// UTC in nanoseconds, for this recording, in the reader's time zone.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn utc_in(&self, recording: &Recording, zone: &TimeZone) -> Result<i64, ReadError> {
        match self {
            Self::Boot(boot_ns) => recording.utc_at(*boot_ns),
            _ => Ok(self.resolve(recording.span()?.unwrap_or_default(), zone)),
        }
    }

    /// For a recording from `first` to `last`.
    fn resolve(&self, (first, last): (i64, i64), zone: &TimeZone) -> i64 {
        let whole = |d: &SignedDuration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        match self {
            Self::At(utc_ns) => *utc_ns,
            Self::Local(time) => local(*time, zone),
            Self::OfDay(time) => {
                let start = Timestamp::from_nanosecond(i128::from(first)).unwrap_or_default();
                let day = zone.to_datetime(start).date();
                let at = local(day.to_datetime(*time), zone);
                match day.tomorrow() {
                    Ok(tomorrow) if at < first => local(tomorrow.to_datetime(*time), zone),
                    _ => at,
                }
            }
            Self::AfterStart(distance) => first.saturating_add(whole(distance)),
            Self::BeforeEnd(distance) => last.saturating_sub(whole(distance)),
            // The recording's own clock knows better: `utc_in`.
            Self::Boot(boot_ns) => first.saturating_add(*boot_ns),
        }
    }
}

fn local(time: civil::DateTime, zone: &TimeZone) -> i64 {
    zone.to_timestamp(time).map_or(i64::MAX, nanoseconds)
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time.as_nanosecond() < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2026-11-21T20:00:00Z, for an hour and a half.
    const SPAN: (i64, i64) = (1_795_291_200 * SECOND, 1_795_296_600 * SECOND);

    fn resolved(text: &str) -> Option<i64> {
        let moment: Moment = text.parse().ok()?;
        Some((moment.resolve(SPAN, &TimeZone::fixed(jiff::tz::offset(1))) - SPAN.0) / SECOND)
    }

    #[test]
    fn moments() {
        for (text, seconds) in [
            ("2026-11-21T20:35:12Z", 2112),
            ("2026-11-21T21:35:12+01:00", 2112),
            ("2026-11-21 21:35", 2100),
            ("2026-11-21T21:35:12", 2112),
            ("21:35:12", 2112),
            ("20:35:12", 2112 + 23 * 3600),
            ("+90s", 90),
            ("+90", 90),
            ("+1m30s", 90),
            ("-5m", 5100),
            ("-0s", 5400),
        ] {
            assert_eq!(resolved(text), Some(seconds), "{text}");
        }
        assert_eq!("@14592.277528480".parse(), Ok(Moment::Boot(14_592_277_528_480)));
        for text in ["@", "@-1", "@1.2.3", "@1e9", "@99999999999999", "@1.0123456789", "@é"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        for text in ["", "+", "-", "+-5s", "now", "25:00", "2026-13-01", "5 parsecs", "+99999999999999999999h"] {
            assert_eq!(resolved(text), None, "{text}");
        }
    }
}
