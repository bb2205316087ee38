//! `settings!`, `choices!` and `kinds!`: one declaration gives the type, its decoder and its part of the reference.
//!
//! ```text
//! settings! {
//!     /// What the table is for.
//!     pub struct Listener = "[[listener]]" {
//!         /// What the key does.
//!         name: Name = required, example "web";
//!         idle_timeout: Timeout = default("60s");
//!         tls: ListenerTls = optional, example { certificates = [] };
//!     }
//! }
//! ```
//!
//! Defaults and examples are TOML. A default is read by the decoder of its type whenever the key is not written.

/// Declares a table: its struct, `Table` and `Setting`.
macro_rules! settings {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident = $title:literal $(shorthand $short:ident)? {
            $(
                $(#[doc = $key_doc:literal])*
                $key:ident : $type:ty = $presence:ident $(($default:tt))? $(, example $example:tt)?;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $(
                $(#[doc = $key_doc])*
                pub $key: settings!(@type $presence $type),
            )*
            /// The keys that are written but could not be read, so that nobody reports them as missing.
            pub broken: Vec<&'static str>,
        }

        impl $name {
            /// Whether the key has been left out or can be relied on: it is not one that could not be read.
            #[must_use]
            pub fn is_whole(&self, key: &str) -> bool {
                !self.broken.contains(&key)
            }
        }

        impl $crate::config::table::Table for $name {
            const TITLE: &'static str = $title;
            const DOC: &'static str = concat!($($doc, "\n"),*);
            const SHORTHAND: Option<&'static str> = settings!(@option $($short)?);
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn read(reader: &mut $crate::config::table::TableReader<'_, '_, '_>) -> Option<Self> {
                $(
                    let $key = settings!(
                        @read $presence reader $key $type,
                        ($($default)?),
                        settings!(@option $($example)?)
                    );
                )*
                let broken = reader.broken();
                Some(Self { $($key: settings!(@take $presence $key),)* broken })
            }

            fn entries(&self) -> Vec<(&'static str, serde_json::Value)> {
                [$(settings!(@show $presence stringify!($key), self.$key)),*]
                    .into_iter()
                    .flatten()
                    .collect()
            }

            fn keys() -> Vec<$crate::config::reference::KeyDoc> {
                use $crate::config::decode::Setting;
                vec![$(
                    $crate::config::reference::KeyDoc {
                        name: stringify!($key),
                        kind: <$type>::kind(),
                        presence: settings!(@presence $presence ($($default)?)),
                        example: settings!(@option $($example)?),
                        doc: concat!($($key_doc, "\n"),*),
                        tables: <$type>::tables(),
                        words: <$type>::words(),
                    },
                )*]
            }
        }

        impl $crate::config::decode::Setting for $name {
            fn kind() -> String {
                match <Self as $crate::config::table::Table>::SHORTHAND {
                    Some(key) => format!("table, or the text of its `{key}`"),
                    None => "table".to_owned(),
                }
            }

            fn kinds() -> String {
                match <Self as $crate::config::table::Table>::SHORTHAND {
                    Some(key) => format!("tables, or the texts of their `{key}`"),
                    None => "tables".to_owned(),
                }
            }

            fn decode(
                node: $crate::config::decode::Node<'_>,
                decoder: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                $crate::config::table::read(node, None, decoder)
            }

            fn show(&self) -> serde_json::Value {
                $crate::config::table::Table::entries(self)
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }

            fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
                $crate::config::table::write(self, out)
            }

            fn tables() -> Vec<$crate::config::reference::TableDoc> {
                vec![$crate::config::reference::TableDoc::of::<Self>()]
            }
        }
    };

    (@type required $type:ty) => { $crate::config::place::Placed<$type> };
    (@type default $type:ty) => { $crate::config::place::Placed<$type> };
    (@type optional $type:ty) => { Option<$crate::config::place::Placed<$type>> };

    (@option) => { None };
    (@option $text:tt) => { Some(stringify!($text)) };

    (@read required $reader:ident $key:ident $type:ty, (), $example:expr) => {
        $reader.required::<$type>(stringify!($key), $example)
    };
    (@read optional $reader:ident $key:ident $type:ty, (), $example:expr) => {
        $reader.optional::<$type>(stringify!($key), $example)
    };
    (@read default $reader:ident $key:ident $type:ty, ($default:tt), $example:expr) => {
        $reader.or_default::<$type>(stringify!($key), stringify!($default), $example)
    };

    (@take optional $key:ident) => { $key };
    (@take required $key:ident) => { $key? };
    (@take default $key:ident) => { $key? };

    (@show optional $name:expr, $value:expr) => {
        $value.as_ref().map(|value| ($name, $crate::config::decode::Setting::show(value)))
    };
    (@show $presence:ident $name:expr, $value:expr) => {
        Some(($name, $crate::config::decode::Setting::show(&$value)))
    };

    (@presence required ()) => { $crate::config::reference::Presence::Required };
    (@presence optional ()) => { $crate::config::reference::Presence::Optional };
    (@presence default ($default:tt)) => {
        $crate::config::reference::Presence::Default(stringify!($default))
    };
}

/// Declares a closed set of words.
macro_rules! choices {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(
                $(#[doc = $choice_doc:literal])*
                $choice:ident = $word:literal,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(
                $(#[doc = $choice_doc])*
                $choice,
            )*
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
            const DOCS: &'static [&'static str] = &[$(concat!($($choice_doc, "\n"),*)),*];

            /// The word as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$choice => $word,)*
                }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$choice),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::config::decode::Setting for $name {
            fn kind() -> String {
                let words: Vec<String> = Self::WORDS.iter().map(|w| format!("`\"{w}\"`")).collect();
                words.join(" \\| ")
            }

            fn kinds() -> String {
                <Self as $crate::config::decode::Setting>::kind()
            }

            fn decode(
                node: $crate::config::decode::Node<'_>,
                decoder: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                let word = decoder.text(node)?;
                match Self::from_word(&word) {
                    Some(choice) => Some(choice),
                    None => decoder.unknown_value(node, &word, Self::WORDS),
                }
            }

            fn show(&self) -> serde_json::Value {
                self.as_str().into()
            }

            fn words() -> Vec<(&'static str, &'static str)> {
                Self::WORDS.iter().copied().zip(Self::DOCS.iter().copied()).collect()
            }
        }
    };
}

/// Declares a set of tables that are told apart by their key `kind`.
macro_rules! kinds {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident($table:ty) = $kind:literal,
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub enum $name {
            $(
                $(#[doc = $variant_doc])*
                $variant($table),
            )*
        }

        impl $name {
            const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The word that `kind` has for it.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }
        }

        impl $crate::config::decode::Setting for $name {
            fn kind() -> String {
                "table with a `kind`".to_owned()
            }

            fn kinds() -> String {
                "tables with a `kind`".to_owned()
            }

            fn decode(
                node: $crate::config::decode::Node<'_>,
                decoder: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                let (kind, at) = $crate::config::table::kind(node, Self::KINDS, decoder)?;
                match kind.as_str() {
                    $($kind => {
                        $crate::config::table::read(node, Some("kind"), decoder).map(Self::$variant)
                    })*
                    _ => decoder.unknown_value(at, &kind, Self::KINDS),
                }
            }

            fn show(&self) -> serde_json::Value {
                let entries = match self {
                    $(Self::$variant(table) => $crate::config::table::Table::entries(table),)*
                };
                std::iter::once(("kind", self.kind().into()))
                    .chain(entries)
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }

            fn tables() -> Vec<$crate::config::reference::TableDoc> {
                vec![$($crate::config::reference::TableDoc::of::<$table>()),*]
            }
        }
    };
}

pub(crate) use {choices, kinds, settings};
