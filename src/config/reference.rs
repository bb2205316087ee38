//! The reference of the language, made from the declarations that also make the decoder.

use super::table::Table;

/// What the reference says of a table.
#[derive(Clone, Debug)]
pub struct TableDoc {
    /// The name, such as `[[listener]]`.
    pub title: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys.
    pub keys: Vec<KeyDoc>,
}

/// What the reference says of a key.
#[derive(Clone, Debug)]
pub struct KeyDoc {
    /// The key.
    pub name: &'static str,
    /// The type of its value.
    pub kind: String,
    /// Whether it must be written, and what holds when it is not.
    pub presence: Presence,
    /// A value for it, as TOML.
    pub example: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
    /// The tables that its value is or holds.
    pub tables: Vec<TableDoc>,
}

/// Whether a key must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be left out.
    Optional,
    /// It may be left out; then this TOML value holds.
    Default(&'static str),
}

impl TableDoc {
    /// The documentation of a table type.
    pub(crate) fn of<T: Table>() -> Self {
        Self {
            title: T::TITLE,
            doc: T::DOC,
            keys: T::keys(),
        }
    }
}
