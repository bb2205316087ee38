//! Texts such as `"100B/s"`: how much must move, or may come, in a time.

use std::fmt;

use serde_json::Value as Json;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    units::{self, Size},
};

/// Bytes per second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(Size);

impl ByteRate {
    /// The number of bytes in a second.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        self.0.bytes() as u64
    }

    fn parse(text: &str) -> Result<Self, String> {
        let size = text
            .strip_suffix("/s")
            .ok_or("it does not end in `/s`, for a second")?;
        match units::parse_size(size)? {
            zero if zero.bytes() == 0 => Err("it cannot be zero".to_owned()),
            size => Ok(Self(size)),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl Setting for ByteRate {
    fn kind() -> String {
        "size per second".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a size per second such as \"100B/s\"";
        decoder.parse(node, EXPECTED, Code::BadRate, Self::parse)
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_for_each_second() {
        assert_eq!(
            ByteRate::parse("2KiB/s").map(ByteRate::bytes_per_second),
            Ok(2048)
        );
        assert_eq!(ByteRate::parse("100B/s").unwrap().to_string(), "100B/s");
        for wrong in ["", "/s", "100", "100B", "0B/s", "100/s", "100B/m", "1B/s/s"] {
            assert!(ByteRate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
