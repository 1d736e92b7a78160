//! Points in time, as text.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter, tz::TimeZone};

/// `i64` nanoseconds reach from 1677 to 2262, all of which jiff can say.
fn timestamp(utc_ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(utc_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3339 in UTC with nine decimals: `2026-11-21T20:35:12.123456789Z`.
pub fn rfc3339(utc_ns: i64) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
    PRINTER.timestamp_to_string(&timestamp(utc_ns))
}

/// Time of day with milliseconds: `20:35:12.123`.
pub fn time_of_day(utc_ns: i64, zone: &TimeZone) -> String {
    let time = timestamp(utc_ns).to_zoned(zone.clone()).time();
    format!("{:02}:{:02}:{:02}.{:03}", time.hour(), time.minute(), time.second(), time.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_decimals_always() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_795_293_312_123_456_789), "2026-11-21T20:35:12.123456789Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn time_of_day_is_that_of_the_zone() {
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time_of_day(1_795_293_312_123_456_789, &TimeZone::UTC), "20:35:12.123");
        assert_eq!(time_of_day(1_795_293_312_123_456_789, &east), "22:35:12.123");
    }
}
