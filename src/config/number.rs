//! Whole numbers.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
};

/// A whole number; a secret may hold one as text.
fn whole_number(node: Node<'_>, decoder: &mut Decoder<'_>, expected: &str) -> Option<i128> {
    match node.value {
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(number),
            Err(_) => decoder.bad_value(node, expected, Code::OutOfRange, "it is too large"),
        },
        DeValue::String(_) if node.secret().is_some() => {
            decoder.parse(node, expected, Code::WrongType, |text| {
                text.parse::<i128>()
                    .map_err(|_| "the secret is no whole number")
            })
        }
        _ => decoder.wrong_type(node, expected),
    }
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            fn kind() -> String {
                "whole number".to_owned()
            }

            fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
                const EXPECTED: &str = "a whole number";
                let number = whole_number(node, decoder, EXPECTED)?;
                match Self::try_from(number) {
                    Ok(number) => Some(number),
                    Err(_) => {
                        let (min, max) = (Self::MIN, Self::MAX);
                        let reason = format!("it is not between {min} and {max}");
                        decoder.bad_value(node, EXPECTED, Code::OutOfRange, reason)
                    }
                }
            }

            fn show(&self) -> Json {
                (*self).into()
            }
        }
    )*};
}

whole_numbers! { u8 u16 i32 }

macro_rules! counts {
    ($($type:ty, $plain:ty;)*) => {$(
        impl Setting for $type {
            fn kind() -> String {
                "whole number from 1".to_owned()
            }

            fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
                const EXPECTED: &str = "a whole number from 1";
                let number = whole_number(node, decoder, EXPECTED)?;
                match <$plain>::try_from(number).ok().and_then(Self::new) {
                    Some(number) => Some(number),
                    None if number < 1 => {
                        decoder.bad_value(node, EXPECTED, Code::OutOfRange, "it is less")
                    }
                    None => {
                        let reason = format!("it is more than {}", <$plain>::MAX);
                        decoder.bad_value(node, EXPECTED, Code::OutOfRange, reason)
                    }
                }
            }

            fn show(&self) -> Json {
                self.get().into()
            }
        }
    )*};
}

counts! {
    NonZeroU16, u16;
    NonZeroU32, u32;
    NonZeroU64, u64;
    NonZeroUsize, usize;
}
