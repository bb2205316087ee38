//! The `Date` field's value (RFC 9110 section 6.6.1), made once a second.

use std::time::{SystemTime, UNIX_EPOCH};

/// The last date that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpDate {
    second: u64,
    text: [u8; Self::LENGTH],
}

impl HttpDate {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) const LENGTH: usize = 29;

    pub(crate) fn now(&mut self) -> [u8; Self::LENGTH] {
        let second = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.text = format(second).unwrap_or(self.text);
        }
        self.text
    }
}

impl Default for HttpDate {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }
}

fn format(second: u64) -> Option<[u8; HttpDate::LENGTH]> {
    let time = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()?;
    text.as_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_example_is_written_as_there() {
        assert_eq!(
            &format(784_111_777).unwrap(),
            b"Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }
}
