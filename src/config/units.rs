//! Texts with units: durations and sizes.

use std::{fmt, time::Duration};

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A duration that is longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Timeout {
    pub(crate) fn new(duration: Duration) -> Option<Self> {
        (!duration.is_zero()).then_some(Self(duration))
    }

    /// The duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Size {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Reads `"250ms"`, `"1s"`, `"1m30s"`. The error says what is wrong with the text.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = split_number(rest)?;
        let factor = factor(unit, &DURATION_UNITS)?;
        total = number
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .ok_or("it is too long")?;
        rest = after;
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Duration::from_millis(total))
}

/// Reads `"512B"`, `"16KiB"`, `"1MB"`. The error says what is wrong with the text.
pub(crate) fn parse_size(text: &str) -> Result<Size, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (number, unit, after) = split_number(text)?;
    if !after.is_empty() {
        return Err("it has more than one number".to_owned());
    }
    let factor = factor(unit, &SIZE_UNITS)?;
    number
        .checked_mul(factor)
        .map(Size)
        .ok_or_else(|| "it is too large".to_owned())
}

/// The number and the unit that a text starts with, and what follows them.
fn split_number(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits).unwrap_or((text, ""));
    if number.is_empty() {
        return Err("it does not start with a whole number".to_owned());
    }
    let letters = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(letters).unwrap_or((rest, ""));
    if unit.is_empty() {
        return Err("it has no unit".to_owned());
    }
    let number = number.parse().map_err(|_| "it is too large".to_owned())?;
    Ok((number, unit, after))
}

/// The unit as written is not repeated in the message: it may be part of a secret.
fn factor(unit: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| "its unit is unknown".to_owned())
}

/// A duration as it is written in a file.
pub(crate) fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS.iter().rev() {
        if rest >= *factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    text
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration_text(self.0))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, millis) in [
            ("250ms", 250),
            ("1s", 1_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_without_a_known_unit_are_refused() {
        for (text, reason) in [
            ("30", "it has no unit"),
            ("", "it is empty"),
            ("s", "it does not start with a whole number"),
            ("-1s", "it does not start with a whole number"),
            ("1.5s", "its unit is unknown"),
            ("1 s", "its unit is unknown"),
            ("3weeks", "its unit is unknown"),
            ("99999999999999999999s", "it is too large"),
            ("999999999999999999d", "it is too long"),
        ] {
            assert_eq!(parse_duration(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_have_one_unit() {
        for (text, bytes) in [
            ("512B", 512),
            ("16KiB", 16_384),
            ("1MiB", 1 << 20),
            ("2KB", 2_000),
        ] {
            assert_eq!(parse_size(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "12", "1kib", "1KiB1B", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["250ms", "1m30s", "1h", "0s", "1d"] {
            assert_eq!(duration_text(parse_duration(text).unwrap()), text);
        }
        for text in ["512B", "32KiB", "3MiB", "1GiB"] {
            assert_eq!(parse_size(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_timeout_is_longer_than_nothing() {
        assert_eq!(Timeout::new(Duration::ZERO), None);
        assert_eq!(
            Timeout::new(Duration::from_millis(1)).unwrap().to_string(),
            "1ms"
        );
    }
}
