//! The reference of the language, made from the declarations that also make the decoder.

use std::fmt::Write as _;

use super::{document::Document, table::Table};

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
    /// The words that its value is chosen from, and what each means.
    pub words: Vec<(&'static str, &'static str)>,
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

const INTRODUCTION: &str = "\
# Configuration reference

This text is generated from the program (`portcullis reference`). A configuration is a TOML file; an unknown key is an
error.

- A **duration** is a text of numbers with units `ms`, `s`, `m`, `h`, `d`: `\"250ms\"`, `\"1m30s\"`.
- A **size** is a number with a unit `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`: `\"32KiB\"`.
- A **network** is an address or a range in CIDR notation: `\"10.0.0.0/8\"`, `\"192.168.1.7\"`.
- A **name** has letters, digits, `-`, `_` and `.`.
- A **path** that is relative starts at the directory of the file that names it.
- A **secret** stands in any text as `${env:NAME}` or `${file:path}` and is never shown. A number or a boolean may be
  such a text, too.

";

/// The whole reference as Markdown.
#[must_use]
pub fn reference() -> String {
    let tables = all_tables();
    let mut text = INTRODUCTION.to_owned();
    for table in &tables {
        text.push_str(&section(table));
    }
    text
}

/// Every table of the language, each once, parents before their parts.
fn all_tables() -> Vec<TableDoc> {
    let mut tables = Vec::new();
    collect(TableDoc::of::<Document>(), &mut tables);
    tables
}

fn collect(table: TableDoc, tables: &mut Vec<TableDoc>) {
    if tables.iter().any(|known| known.title == table.title) {
        return;
    }
    tables.push(table.clone());
    for key in table.keys {
        for part in key.tables {
            collect(part, tables);
        }
    }
}

fn section(table: &TableDoc) -> String {
    let mut text = format!("## {}\n\n{}\n\n", heading(table.title), flowing(table.doc));
    text.push_str("| Key | Type | Default | What it does | Example |\n|---|---|---|---|---|\n");
    for key in &table.keys {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            key.name,
            key.kind,
            key.presence.describe(),
            key.meaning().replace('|', "\\|"),
            key.shown_example(),
        );
    }
    text.push('\n');
    text
}

/// Names of tables are code.
fn heading(title: &str) -> String {
    match title.rsplit_once(']') {
        Some((name, rest)) => format!("`{name}]`{rest}"),
        None => title.replacen("the ", "The ", 1),
    }
}

/// The lines of a doc comment as one.
fn flowing(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn code(toml: &str) -> String {
    format!("`{}`", flowing(toml).replace('|', "\\|"))
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

impl KeyDoc {
    /// A value that can be written for the key, as TOML.
    #[must_use]
    pub fn value(&self) -> Option<&'static str> {
        self.example.or(match self.presence {
            Presence::Default(default) => Some(default),
            Presence::Required | Presence::Optional => None,
        })
    }

    fn meaning(&self) -> String {
        let mut text = flowing(self.doc);
        for (word, meaning) in &self.words {
            let _ = write!(text, " `\"{word}\"`: {}", flowing(meaning));
        }
        text
    }

    fn shown_example(&self) -> String {
        self.value()
            .map(|value| code(&format!("{} = {value}", self.name)))
            .unwrap_or_default()
    }
}

impl Presence {
    fn describe(self) -> String {
        match self {
            Self::Required => "required".to_owned(),
            Self::Optional => "none".to_owned(),
            Self::Default(value) => code(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{
        access_log, breaker, decode::Decoder, decode::Node, diagnostics::Diagnostics, dns, filters,
        limits, listener, place::Sources, retry, route, server, sets, sticky, table, upstream,
    };

    #[test]
    fn the_file_in_conf_is_the_reference() {
        crate::config::golden::compare(Path::new("conf/reference.md"), &reference());
    }

    #[test]
    fn every_key_of_every_table_says_what_it_does() {
        for table in all_tables() {
            assert!(!flowing(table.doc).is_empty(), "{}", table.title);
            for key in table.keys {
                assert!(!flowing(key.doc).is_empty(), "{} {}", table.title, key.name);
            }
        }
    }

    /// Reads a table in which every key has its example, and one in which every key has its default.
    fn read_examples<T: Table>() -> &'static str {
        let defaults = |key: &KeyDoc| match key.presence {
            Presence::Default(default) => Some(default),
            Presence::Required | Presence::Optional => key.example,
        };
        read_all::<T>(KeyDoc::value);
        read_all::<T>(defaults);
        T::TITLE
    }

    fn read_all<T: Table>(value: impl Fn(&KeyDoc) -> Option<&'static str>) {
        let mut keys = T::keys();
        // The tables of a file have their examples in their own keys.
        keys.retain(|key| T::TITLE != Document::TITLE || key.tables.is_empty());
        let entries: Vec<_> = keys
            .iter()
            .map(|key| {
                let value = value(key);
                let value = value.unwrap_or_else(|| panic!("{} {}", T::TITLE, key.name));
                format!("{} = {value}", key.name)
            })
            .collect();
        let text = format!("{{ {} }}", entries.join(", "));
        let mut sources = Sources::default();
        let file = sources.add(Path::new(T::TITLE), text.clone());
        let mut found = Diagnostics::new(sources);
        let parsed = toml::de::DeValue::parse(&text).unwrap();
        let variables = |_: &str| Some("secret".to_owned());
        let mut decoder = Decoder::new(&mut found, Path::new(""), &variables);
        let read = table::read::<T>(Node::root(parsed.get_ref(), file), None, &mut decoder);
        assert!(found.is_empty(), "{found}");
        assert!(read.is_some());
    }

    #[test]
    fn every_default_and_every_example_can_be_read() {
        let read = [
            read_examples::<Document>(),
            read_examples::<server::Server>(),
            read_examples::<crate::config::overload::Overload>(),
            read_examples::<server::Admin>(),
            read_examples::<access_log::AccessLog>(),
            read_examples::<server::Log>(),
            read_examples::<dns::Dns>(),
            read_examples::<listener::Listener>(),
            read_examples::<listener::ListenerTls>(),
            read_examples::<listener::Certificate>(),
            read_examples::<crate::config::per_client::PerClient>(),
            read_examples::<crate::config::http2::Http2>(),
            read_examples::<route::Route>(),
            read_examples::<retry::Retry>(),
            read_examples::<retry::Budget>(),
            read_examples::<filters::RequestHeaders>(),
            read_examples::<filters::ResponseHeaders>(),
            read_examples::<filters::Rewrite>(),
            read_examples::<filters::RequestId>(),
            read_examples::<route::Share>(),
            read_examples::<route::Redirect>(),
            read_examples::<route::Respond>(),
            read_examples::<upstream::Upstream>(),
            read_examples::<upstream::Endpoint>(),
            read_examples::<dns::UpstreamDns>(),
            read_examples::<sets::Subset>(),
            read_examples::<sticky::Sticky>(),
            read_examples::<upstream::UpstreamTls>(),
            read_examples::<limits::Limits>(),
            read_examples::<limits::Adaptive>(),
            read_examples::<breaker::Breaker>(),
            read_examples::<crate::config::health::Health>(),
            read_examples::<crate::config::health::BodyMatch>(),
            read_examples::<crate::config::outlier::Outlier>(),
        ];
        let titles: Vec<_> = all_tables().iter().map(|table| table.title).collect();
        assert_eq!(read.as_slice(), titles);
    }
}
