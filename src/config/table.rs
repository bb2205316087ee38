//! Reading a table key by key: missing keys, unknown keys, defaults.

use std::io;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    place::{Place, Placed},
    reference::KeyDoc,
    suggest,
};

/// A table with a fixed set of keys; `settings!` implements it.
pub trait Table: Sized {
    /// The name in messages and in the reference, such as `[[listener]]`.
    const TITLE: &'static str;

    /// What the table is for.
    const DOC: &'static str;

    /// The key that a plain value in place of the table stands for.
    const SHORTHAND: Option<&'static str>;

    /// Reads every key.
    fn read(reader: &mut TableReader<'_, '_, '_>) -> Option<Self>;

    /// The value of every key that has one.
    fn entries(&self) -> Vec<(&'static str, Json)>;

    /// The names of the keys.
    const KEYS: &'static [&'static str];

    /// What the reference says of the keys.
    fn keys() -> Vec<KeyDoc>;
}

/// A table while it is read.
pub struct TableReader<'r, 'a, 'd> {
    content: Content<'a>,
    node: Node<'a>,
    title: &'static str,
    decoder: &'r mut Decoder<'d>,
    broken: Vec<&'static str>,
}

#[derive(Clone, Copy)]
enum Content<'a> {
    Table(&'a DeTable<'a>),
    Shorthand(&'static str),
}

/// Reads a whole table; `tag` is a key that has been read before, if there is one.
pub(crate) fn read<T: Table>(
    node: Node<'_>,
    tag: Option<&'static str>,
    decoder: &mut Decoder<'_>,
) -> Option<T> {
    let content = match (node.value, T::SHORTHAND) {
        (DeValue::Table(table), _) => Content::Table(table),
        (DeValue::String(_), Some(key)) => Content::Shorthand(key),
        (_, Some(_)) => return decoder.wrong_type(node, "a string or a table"),
        (_, None) => return decoder.wrong_type(node, "a table"),
    };
    let mut reader = TableReader {
        content,
        node,
        title: T::TITLE,
        decoder,
        broken: Vec::new(),
    };
    reader.refuse_unknown(T::KEYS, tag);
    T::read(&mut reader)
}

impl<'a> TableReader<'_, 'a, '_> {
    /// A key that must be written.
    pub(crate) fn required<T: Setting>(
        &mut self,
        key: &'static str,
        example: Option<&'static str>,
    ) -> Option<Placed<T>> {
        if self.find(key, example).is_none() {
            let title = self.title;
            let finding = self.decoder.diagnostics.error(
                Code::MissingKey,
                self.node.place,
                format!("{title} has no `{key}`"),
            );
            if let Some(example) = example {
                finding.help(format!("for example: {key} = {example}"));
            }
        }
        self.optional(key, example)
    }

    /// A key that may be left out.
    pub(crate) fn optional<T: Setting>(
        &mut self,
        key: &'static str,
        example: Option<&'static str>,
    ) -> Option<Placed<T>> {
        let node = self.find(key, example)?;
        let value = Placed::<T>::decode(node, self.decoder);
        if value.is_none() {
            self.broken.push(key);
        }
        value
    }

    /// A key with a default, which is read like a written value, so that the reference cannot lie about it.
    pub(crate) fn or_default<T: Setting>(
        &mut self,
        key: &'static str,
        default: &'static str,
        example: Option<&'static str>,
    ) -> Option<Placed<T>> {
        if let Some(value) = self.optional(key, example.or(Some(default))) {
            return Some(value);
        }
        let parsed = self.decoder.default(default)?;
        let node = Node {
            value: parsed.get_ref(),
            place: self.node.place,
            key,
            is_entry: false,
            example: None,
            unwritten: true,
        };
        Placed::<T>::decode(node, self.decoder)
    }

    /// The keys that are written but could not be read.
    pub(crate) fn broken(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.broken)
    }

    fn find(&self, key: &'static str, example: Option<&'static str>) -> Option<Node<'a>> {
        let node = match self.content {
            Content::Table(table) => self.node.part(table.get(key)?),
            Content::Shorthand(short) if short == key => return Some(self.node),
            Content::Shorthand(_) => return None,
        };
        Some(Node {
            key,
            is_entry: false,
            example,
            ..node
        })
    }

    fn refuse_unknown(&mut self, known: &'static [&'static str], tag: Option<&'static str>) {
        let Content::Table(table) = self.content else {
            return;
        };
        let known = || known.iter().copied().chain(tag);
        let is_known = |key: &str| known().any(|known| known == key);
        for key in table.keys().filter(|key| !is_known(key.get_ref())) {
            let place: Place = self.node.place_of(&key.span());
            let title = self.title;
            self.decoder
                .diagnostics
                .error(
                    Code::UnknownKey,
                    place,
                    format!("there is no key `{}` in {title}", key.get_ref()),
                )
                .help(suggest::help(key.get_ref(), known()));
        }
    }
}

/// Writes a table as JSON, its keys in the order of the alphabet, as a tree of JSON has them.
pub(crate) fn write<T: Table>(table: &T, out: &mut dyn io::Write) -> io::Result<()> {
    let mut entries = table.entries();
    entries.sort_unstable_by_key(|(key, _)| *key);
    let mut before = "{";
    for (key, value) in entries {
        write!(out, "{before}\"{key}\":")?;
        serde_json::to_writer(&mut *out, &value)?;
        before = ",";
    }
    // A table without entries has not been begun.
    out.write_all(if before == "{" { b"{}" } else { b"}" })
}

/// Reads the key `kind` of a table, which decides what the other keys are.
pub(crate) fn kind<'a>(
    node: Node<'a>,
    kinds: &[&str],
    decoder: &mut Decoder<'_>,
) -> Option<(String, Node<'a>)> {
    let DeValue::Table(table) = node.value else {
        return decoder.wrong_type(node, "a table");
    };
    let Some(value) = table.get("kind") else {
        decoder
            .diagnostics
            .error(
                Code::MissingKey,
                node.place,
                format!("`{}` has an entry without `kind`", node.key),
            )
            .help(format!("use {}", suggest::either(kinds.iter().copied())));
        return None;
    };
    let at = Node {
        key: "kind",
        is_entry: false,
        example: None,
        ..node.part(value)
    };
    Some((decoder.text(at)?, at))
}
