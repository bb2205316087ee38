//! The plain types that keys can have: texts, numbers, booleans, lists, maps, durations, sizes, paths.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    place::Placed,
    reference::TableDoc,
    units::{self, Size, Timeout},
};

impl<T: Setting> Setting for Placed<T> {
    fn kind() -> String {
        T::kind()
    }

    fn kinds() -> String {
        T::kinds()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = T::decode(node, decoder)?;
        Some(Self::with_secret(value, node.place, node.secret()))
    }

    fn show(&self) -> Json {
        self.secret()
            .map_or_else(|| self.value.show(), |written| written.into())
    }

    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        match self.secret() {
            None => self.value.write(out),
            Some(written) => Ok(serde_json::to_writer(out, written)?),
        }
    }

    fn tables() -> Vec<TableDoc> {
        T::tables()
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }
}

/// A value that is large and seldom written, so that its key is small where it is not.
impl<T: Setting> Setting for Box<T> {
    fn kind() -> String {
        T::kind()
    }

    fn kinds() -> String {
        T::kinds()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, decoder).map(Self::new)
    }

    fn show(&self) -> Json {
        T::show(self)
    }

    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        T::write(self, out)
    }

    fn tables() -> Vec<TableDoc> {
        T::tables()
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }
}

/// A list keeps its good items, so that one bad item hides nothing about the others.
impl<T: Setting> Setting for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kinds())
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let DeValue::Array(items) = node.value else {
            return decoder.wrong_type(node, "a list");
        };
        // Routes are many and large: none is moved to make room for the next.
        let mut good = Self::with_capacity(items.len());
        for item in items.iter() {
            let entry = Node {
                is_entry: true,
                ..node.part(item)
            };
            good.extend(T::decode(entry, decoder));
        }
        Some(good)
    }

    fn show(&self) -> Json {
        self.iter().map(Setting::show).collect()
    }

    fn tables() -> Vec<TableDoc> {
        T::tables()
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }
}

/// Named values in the order of the file.
#[derive(Clone, Debug)]
pub struct Map<T> {
    /// The names and values.
    pub entries: Vec<(Placed<String>, Placed<T>)>,
    /// The names whose values could not be read, so that nobody reports them as unknown.
    pub broken: Vec<Placed<String>>,
}

impl<T> Map<T> {
    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Placed<String>, &Placed<T>)> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// Every name that is written, also those with a value that could not be read.
    pub fn names(&self) -> impl Iterator<Item = &Placed<String>> {
        self.entries
            .iter()
            .map(|(name, _)| name)
            .chain(&self.broken)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Placed<T>> {
        self.iter()
            .find(|(known, _)| known.value == name)
            .map(|(_, value)| value)
    }
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            broken: Vec::new(),
        }
    }
}

impl<T: Setting> Setting for Map<T> {
    fn kind() -> String {
        format!("table of {}", T::kinds())
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.value else {
            return decoder.wrong_type(node, "a table");
        };
        let mut written: Vec<_> = table.iter().collect();
        written.sort_by_key(|(key, _)| key.span().start);
        let mut map = Self::default();
        for (key, value) in written {
            let name = Placed::new(key.get_ref().to_string(), node.place_of(&key.span()));
            let item = Node {
                key: key.get_ref(),
                is_entry: false,
                example: None,
                ..node.part(value)
            };
            match Placed::<T>::decode(item, decoder) {
                Some(value) => map.entries.push((name, value)),
                None => map.broken.push(name),
            }
        }
        Some(map)
    }

    fn show(&self) -> Json {
        self.iter()
            .map(|(name, value)| (name.value.clone(), value.show()))
            .collect()
    }

    fn tables() -> Vec<TableDoc> {
        T::tables()
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }
}

impl Setting for String {
    fn kind() -> String {
        "string".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.text(node)
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

impl Setting for bool {
    fn kind() -> String {
        "boolean".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "true or false";
        match node.value {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(_) if node.secret().is_some() => {
                decoder.parse(node, EXPECTED, Code::WrongType, |text| {
                    text.parse::<Self>().map_err(|_| "the secret is neither")
                })
            }
            _ => decoder.wrong_type(node, EXPECTED),
        }
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

/// A text with variables in `${…}`. What a secret puts in is text, whatever it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateText(pub(crate) String);

impl TemplateText {
    /// The template.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for TemplateText {
    fn kind() -> String {
        "template".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.template(node).map(Self)
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

const DURATION: &str = "a duration";

impl Setting for Duration {
    fn kind() -> String {
        "duration".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(node, DURATION, Code::BadDuration, units::parse_duration)
    }

    fn show(&self) -> Json {
        units::duration_text(*self).into()
    }
}

impl Setting for Timeout {
    fn kind() -> String {
        "duration, not zero".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let duration = Duration::decode(node, decoder)?;
        match Self::new(duration) {
            Some(timeout) => Some(timeout),
            None => decoder.bad_value(node, DURATION, Code::OutOfRange, "it cannot be zero"),
        }
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

impl Setting for Size {
    fn kind() -> String {
        "size".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let size = decoder.parse(node, "a size", Code::BadSize, units::parse_size)?;
        if size.bytes() == 0 {
            return decoder.bad_value(node, "a size", Code::OutOfRange, "it cannot be zero");
        }
        Some(size)
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

/// A path that has been made relative to the directory of the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub(crate) PathBuf);

impl FilePath {
    /// The path to open.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl std::fmt::Display for FilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Setting for FilePath {
    fn kind() -> String {
        "path".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let path = decoder.parse(node, "a path", Code::WrongType, |text| {
            if text.is_empty() {
                Err("it is empty")
            } else {
                Ok(text.to_owned())
            }
        })?;
        Some(Self(decoder.resolve(&path)))
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}
