//! Texts such as `"125%"`: shares, and bounds in relation to a mean.

use serde_json::Value as Json;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
};

/// How far an endpoint's load may be above the mean: `"125%"`, or `"off"` for any load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBound {
    /// There is no bound.
    Off,
    /// So many hundredths of the mean, 101 to 1000.
    At(u32),
}

/// How much more than something is taken for the same: 101 to 1000 hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance(u16);

impl Tolerance {
    /// The hundredths, 101 to 1000.
    #[must_use]
    pub fn hundredths(self) -> u16 {
        self.0
    }
}

impl Setting for Tolerance {
    fn kind() -> String {
        "percentage from 101% to 1000%".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a percentage such as \"150%\"";
        decoder.parse(
            node,
            EXPECTED,
            Code::OutOfRange,
            |text| match u16::try_from(hundredths(text)?) {
                Ok(at @ 101..=1_000) => Ok(Self(at)),
                Ok(0..=100) => Err("it must be more than 100%"),
                Ok(_) | Err(_) => Err("it is more than 1000%"),
            },
        )
    }

    fn show(&self) -> Json {
        shown(u32::from(self.0))
    }
}

/// A share of a whole, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
    /// The hundredths, 0 to 100.
    #[must_use]
    pub fn hundredths(self) -> u8 {
        self.0
    }
}

impl Setting for Percent {
    fn kind() -> String {
        "percentage".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a percentage such as \"30%\"";
        decoder.parse(
            node,
            EXPECTED,
            Code::OutOfRange,
            |text| match u8::try_from(hundredths(text)?) {
                Ok(share @ 0..=100) => Ok(Self(share)),
                Ok(_) | Err(_) => Err("it is more than 100%"),
            },
        )
    }

    fn show(&self) -> Json {
        shown(u32::from(self.0))
    }
}

impl Setting for LoadBound {
    fn kind() -> String {
        "percentage from 101% to 1000%, or \"off\"".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a percentage such as \"125%\", or \"off\"";
        decoder.parse(node, EXPECTED, Code::OutOfRange, |text| match text {
            "off" => Ok(Self::Off),
            _ => match hundredths(text)? {
                at @ 101..=1_000 => Ok(Self::At(at)),
                0..=100 => Err("at 100% and below nobody could be above the mean"),
                _ => Err("it is more than 1000%"),
            },
        })
    }

    fn show(&self) -> Json {
        match self {
            Self::Off => "off".into(),
            Self::At(hundredths) => shown(*hundredths),
        }
    }
}

/// The number before the sign.
fn hundredths(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_suffix('%').ok_or("it does not end in `%`")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("before the `%` there must be a whole number");
    }
    digits.parse().map_err(|_| "it is too large")
}

fn shown(hundredths: u32) -> Json {
    format!("{hundredths}%").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_whole_number_and_its_sign() {
        assert_eq!(hundredths("125%"), Ok(125));
        assert_eq!(hundredths("0%"), Ok(0));
        for wrong in ["", "%", "125", "-1%", "+1%", "1.5%", " 1%", "99999999999%"] {
            assert!(hundredths(wrong).is_err(), "{wrong}");
        }
    }
}
