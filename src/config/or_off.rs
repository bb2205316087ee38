//! Limits that can be switched off: a value, or the word `"off"`.

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    decode::{Decoder, Node, Setting},
    reference::TableDoc,
};

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrOff<T> {
    /// There is no limit.
    Off,
    /// The limit.
    At(T),
}

impl<T: Copy> OrOff<T> {
    /// The limit; `None` if there is none.
    #[must_use]
    pub const fn limit(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl<T: Setting> Setting for OrOff<T> {
    fn kind() -> String {
        format!("{}, or `\"off\"`", T::kind())
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(text) if text == "off" => Some(Self::Off),
            _ => T::decode(node, decoder).map(Self::At),
        }
    }

    fn show(&self) -> Json {
        match self {
            Self::Off => "off".into(),
            Self::At(limit) => limit.show(),
        }
    }

    fn tables() -> Vec<TableDoc> {
        T::tables()
    }
}
