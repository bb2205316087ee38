//! Points in time as text, worked out once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::Offset;

use super::escape::write_digits;

/// Writes points in time in UTC. Keeps the text of the last second, for the next line is mostly of the same.
#[derive(Debug, Default)]
pub struct Clock {
    second: Option<u64>,
    /// `2026-01-02T03:04:05`
    rfc3339: Vec<u8>,
    /// `02/Jan/2026:03:04:05 +0000`
    combined: Vec<u8>,
}

impl Clock {
    /// Appends `2026-01-02T03:04:05.678Z` (RFC 3339).
    pub(super) fn write_rfc3339(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let since = self.turn_to(time);
        out.extend_from_slice(&self.rfc3339);
        out.push(b'.');
        write_digits(u64::from(since.subsec_millis()), 3, out);
        out.push(b'Z');
    }

    /// Appends `02/Jan/2026:03:04:05 +0000`, as the combined log format has it.
    pub(super) fn write_combined(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        self.turn_to(time);
        out.extend_from_slice(&self.combined);
    }

    fn turn_to(&mut self, time: SystemTime) -> Duration {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.render(since.as_secs());
        }
        since
    }

    fn render(&mut self, second: u64) {
        let second = i64::try_from(second).unwrap_or(i64::MAX);
        // Beyond the year 9999 there is no text; the system clock is wrong then, and the log goes on.
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let moment = Offset::UTC.to_datetime(timestamp);
        let part = |number: i8| u64::try_from(number).unwrap_or_default();
        let year = u64::try_from(moment.year()).unwrap_or_default();
        let time = [moment.hour(), moment.minute(), moment.second()];

        let text = &mut self.rfc3339;
        text.clear();
        write_digits(year, 4, text);
        text.push(b'-');
        write_digits(part(moment.month()), 2, text);
        text.push(b'-');
        write_digits(part(moment.day()), 2, text);
        for (separator, number) in b"T::".iter().zip(time) {
            text.push(*separator);
            write_digits(part(number), 2, text);
        }

        let month = usize::try_from(moment.month() - 1)
            .ok()
            .and_then(|place| MONTHS.get(place));
        let text = &mut self.combined;
        text.clear();
        write_digits(part(moment.day()), 2, text);
        text.push(b'/');
        text.extend_from_slice(month.copied().unwrap_or_default().as_bytes());
        text.push(b'/');
        write_digits(year, 4, text);
        for number in time {
            text.push(b':');
            write_digits(part(number), 2, text);
        }
        text.extend_from_slice(b" +0000");
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn both(clock: &mut Clock, time: SystemTime) -> (String, String) {
        let (mut rfc3339, mut combined) = (Vec::new(), Vec::new());
        clock.write_rfc3339(time, &mut rfc3339);
        clock.write_combined(time, &mut combined);
        (
            String::from_utf8(rfc3339).unwrap(),
            String::from_utf8(combined).unwrap(),
        )
    }

    #[test]
    fn each_second_has_its_own_text() {
        let mut clock = Clock::default();
        let leap_day = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
        for (time, rfc3339, combined) in [
            (
                leap_day,
                "2024-02-29T12:34:56.007Z",
                "29/Feb/2024:12:34:56 +0000",
            ),
            (
                leap_day + Duration::from_millis(990),
                "2024-02-29T12:34:56.997Z",
                "29/Feb/2024:12:34:56 +0000",
            ),
            (
                leap_day + Duration::from_secs(86_400),
                "2024-03-01T12:34:56.007Z",
                "01/Mar/2024:12:34:56 +0000",
            ),
            (
                UNIX_EPOCH,
                "1970-01-01T00:00:00.000Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
            (
                UNIX_EPOCH - Duration::from_secs(5),
                "1970-01-01T00:00:00.000Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
        ] {
            let text = both(&mut clock, time);
            assert_eq!(text, (rfc3339.to_owned(), combined.to_owned()));
        }
    }

    #[test]
    fn a_clock_that_is_far_off_still_gives_text() {
        let (rfc3339, _) = both(
            &mut Clock::default(),
            UNIX_EPOCH + Duration::from_secs(1 << 50),
        );
        assert!(rfc3339.starts_with("9999-12-30T"), "{rfc3339}");
    }
}
