//! Texts such as `"100B/s"`: how much must move, or may come, in a time.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde_json::Value as Json;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    units::{self, Size},
};

/// Bytes per second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(Size);

/// So many events in each time: `"100/s"`, `"600/m"`, `"1000/h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub time: Duration,
}

const TIMES: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

impl EventRate {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (count, unit) = text
            .split_once('/')
            .ok_or("it has no `/` between the number and the time")?;
        let (_, seconds) = TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or("its time is none of `s`, `m` and `h`")?;
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("before the `/` there must be a whole number");
        }
        Ok(Self {
            count: count
                .parse()
                .map_err(|_| "its number is zero, or too large")?,
            time: Duration::from_secs(*seconds),
        })
    }
}

impl fmt::Display for EventRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        let unit = TIMES.iter().find(|(_, known)| *known == seconds);
        write!(f, "{}/{}", self.count, unit.map_or("s", |(name, _)| name))
    }
}

impl Setting for EventRate {
    fn kind() -> String {
        "number per second, minute or hour".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a number in a time such as \"100/s\"";
        decoder.parse(node, EXPECTED, Code::BadRate, Self::parse)
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

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

    #[test]
    fn a_number_in_a_time_is_shown_as_it_is_written() {
        for text in ["100/s", "600/m", "1/h"] {
            assert_eq!(EventRate::parse(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "/s",
            "100",
            "0/s",
            "+1/s",
            "1.5/s",
            "1/d",
            "99999999999/s",
        ] {
            assert!(EventRate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
