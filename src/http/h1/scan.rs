//! The search for the empty line that ends a head, taken up again where it stopped.

use crate::http::error::HeadError;
use crate::http::limits::HeadLimits;

/// How far the search for the end of one head has come, so that a head in many pieces costs one look at each byte.
///
/// One belongs to each connection. It starts anew by itself when a head is complete; after an error it is spent. The
/// bytes of a head stay where they are from call to call, more may follow them.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Everything before has been looked at.
    searched: usize,
    /// Where the line under way begins.
    line: usize,
    /// Where the first line that is not empty begins.
    start: usize,
    /// Where the first line ends, without its CRLF, once it is complete.
    first_line_end: Option<usize>,
    /// The number of complete lines, the first line among them.
    lines: usize,
}

impl HeadScan {
    /// A search that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            searched: 0,
            line: 0,
            start: 0,
            first_line_end: None,
            lines: 0,
        }
    }

    /// Whether no byte of a head has been seen: an end of the connection here cuts nothing off. The empty line that
    /// may come before a head is no part of it.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.searched == self.start
    }

    /// Looks on in `bytes`: the position behind the empty line when the head is complete.
    ///
    /// One empty line before the first line is passed over (RFC 9112 section 2.2).
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(at) = memchr::memchr(b'\n', bytes.get(self.searched..).unwrap_or_default()) {
            let feed = self.searched + at;
            let line = bytes.get(self.line..feed).unwrap_or_default();
            let [line @ .., b'\r'] = line else {
                return Err(HeadError::BareLineFeed);
            };
            self.searched = feed + 1;
            self.line = feed + 1;
            if !line.is_empty() {
                self.lines += 1;
                self.first_line_end.get_or_insert(feed - 1);
            } else if self.lines > 0 {
                return Ok(Some(self.searched));
            } else if self.start == 0 {
                self.start = self.searched;
            } else {
                return Err(HeadError::BadRequestLine);
            }
        }
        self.searched = bytes.len();
        Ok(None)
    }

    /// The limits, for a head that is complete up to `end` or still incomplete.
    pub(super) fn check(
        &self,
        bytes: &[u8],
        end: Option<usize>,
        limits: &HeadLimits,
    ) -> Result<(), HeadError> {
        let size = end.unwrap_or(bytes.len()).saturating_sub(self.start);
        if size > limits.bytes || (end.is_none() && size == limits.bytes) {
            return Err(HeadError::HeadTooLarge);
        }
        if self.lines > limits.allowed_fields() + 1 {
            return Err(HeadError::TooManyFields);
        }
        Ok(())
    }

    /// The head from its first line to `end`.
    pub(super) fn head<'a>(&self, bytes: &'a [u8], end: usize) -> &'a [u8] {
        bytes.get(self.start..end).unwrap_or_default()
    }

    /// The first line without its CRLF, as far as it has come.
    pub(super) fn first_line<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let end = self.first_line_end.unwrap_or(bytes.len());
        bytes.get(self.start..end).unwrap_or_default()
    }

    /// Whether the first line is there as a whole.
    pub(super) const fn has_first_line(&self) -> bool {
        self.first_line_end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_pieces_ends_where_it_ends_as_a_whole() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n";
        let end = bytes.len() - 8;
        for step in 1..=bytes.len() {
            let mut scan = HeadScan::new();
            let mut size = 0;
            let found = loop {
                size = (size + step).min(bytes.len());
                if let Some(end) = scan.advance(&bytes[..size]).unwrap() {
                    break end;
                }
                assert!(size < end);
            };
            assert_eq!(found, end);
            assert_eq!(scan.first_line(bytes), b"GET / HTTP/1.1");
            assert_eq!(scan.head(bytes, found), &bytes[2..end]);
        }
    }

    #[test]
    fn bare_line_feeds_are_refused_at_once() {
        for bytes in [
            &b"\n"[..],
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nHost: a\n",
            b"a\r\n\n",
        ] {
            assert_eq!(HeadScan::new().advance(bytes), Err(HeadError::BareLineFeed));
        }
    }

    #[test]
    fn only_one_empty_line_may_come_before_the_first() {
        let mut scan = HeadScan::new();
        assert_eq!(scan.advance(b"\r\n"), Ok(None));
        assert!(scan.is_idle());
        assert_eq!(scan.advance(b"\r\nG"), Ok(None));
        assert!(!scan.is_idle());
        assert_eq!(
            HeadScan::new().advance(b"\r\n\r\n"),
            Err(HeadError::BadRequestLine)
        );
    }

    #[test]
    fn limits_hold_for_what_is_still_arriving() {
        let limits = HeadLimits {
            bytes: 10,
            fields: 2,
            target: 100,
        };
        let check = |bytes: &[u8]| {
            let mut scan = HeadScan::new();
            let end = scan.advance(bytes).unwrap();
            scan.check(bytes, end, &limits)
        };
        assert_eq!(check(b"123456789"), Ok(()));
        assert_eq!(check(b"1234567890"), Err(HeadError::HeadTooLarge));
        assert_eq!(check(b"123456\r\n\r\n"), Ok(()));
        assert_eq!(check(b"\r\n123456\r\n\r\nmore"), Ok(()));
        assert_eq!(check(b"1234567\r\n\r\n"), Err(HeadError::HeadTooLarge));
        assert_eq!(check(b"1\r\n2\r\n3\r\n"), Ok(()));
        let wide = HeadLimits {
            bytes: 100,
            ..limits
        };
        let bytes = b"1\r\n2\r\n3\r\n4\r\n";
        let mut scan = HeadScan::new();
        let end = scan.advance(bytes).unwrap();
        assert_eq!(scan.check(bytes, end, &wide), Err(HeadError::TooManyFields));
    }
}
