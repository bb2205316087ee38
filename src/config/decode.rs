//! Reading values with their places, and saying what is wrong with them.

use std::{
    collections::HashMap,
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

use serde_json::Value as Json;
use toml::{Spanned, de::DeValue};

use super::{
    code::Code,
    diagnostics::Diagnostics,
    place::{FileId, Place},
    reference::TableDoc,
    secret::{self, Piece, Reference},
    suggest,
};

/// A type of value that a key can have: how it is called, read and shown.
pub trait Setting: Sized {
    /// The type as the reference names it.
    fn kind() -> String;

    /// Several of them.
    fn kinds() -> String {
        format!("{}s", Self::kind())
    }

    /// Reads the value. `None`: it is wrong, and the decoder has been told why.
    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self>;

    /// The value as it would be written, without the content of secrets.
    fn show(&self) -> Json;

    /// Writes what `show` shows. For what is many, without a tree of it first.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, &self.show())?)
    }

    /// The tables that the value is or holds, for the reference.
    fn tables() -> Vec<TableDoc> {
        Vec::new()
    }

    /// The words to choose from and what each means, for the reference.
    fn words() -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// A value in a file and the key it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) place: Place,
    pub(crate) key: &'a str,
    /// Set for a part of a list.
    pub(crate) is_entry: bool,
    pub(crate) example: Option<&'a str>,
    /// Set for a default: it is not in the file, so its parts stand where the whole does.
    pub(crate) unwritten: bool,
}

/// Looks up an environment variable.
pub type Variables<'d> = &'d dyn Fn(&str) -> Option<String>;

/// What reading one file needs: the file's place in the world and a list for the findings.
pub struct Decoder<'d> {
    pub(crate) diagnostics: &'d mut Diagnostics,
    base: PathBuf,
    variables: Variables<'d>,
    read: Vec<ReadSecret>,
    /// The values of keys that are not written, each read once and not at each of thousands of routes.
    defaults: HashMap<&'static str, Rc<Spanned<DeValue<'static>>>>,
}

/// A file that a secret came from, and what tells its content apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadSecret {
    pub(crate) path: PathBuf,
    /// `None`: it could not be read.
    content: Option<u64>,
}

impl ReadSecret {
    fn new(path: PathBuf, content: Option<&str>) -> Self {
        let content = content.map(|content| {
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            hasher.finish()
        });
        Self { path, content }
    }

    /// Whether it would be read as it was.
    pub(crate) fn reads_the_same(&self) -> bool {
        let content = fs::read_to_string(&self.path).ok();
        *self == Self::new(self.path.clone(), content.as_deref())
    }
}

impl<'a> Node<'a> {
    /// A whole file.
    pub(crate) fn root(value: &'a DeValue<'a>, file: FileId) -> Self {
        Self {
            value,
            place: Place::new(file, &(0..0)),
            key: "",
            is_entry: false,
            example: None,
            unwritten: false,
        }
    }

    /// A part of this value.
    pub(crate) fn part(self, part: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            value: part.get_ref(),
            place: self.place_of(&part.span()),
            ..self
        }
    }

    pub(crate) fn place_of(self, span: &std::ops::Range<usize>) -> Place {
        if self.unwritten {
            self.place
        } else {
            Place::new(self.place.file(), span)
        }
    }

    /// What messages call the value.
    pub(crate) fn subject(self) -> String {
        if self.is_entry {
            format!("an entry of `{}`", self.key)
        } else {
            format!("`{}`", self.key)
        }
    }

    /// A word in quotes for a message, or the reference that it came from.
    pub(crate) fn quoted(self, word: &str) -> String {
        format!("\"{}\"", self.secret().unwrap_or(word))
    }

    /// The text as written, when it refers to a secret.
    pub(crate) fn secret(self) -> Option<&'a str> {
        self.value.as_str().filter(|text| secret::mentioned(text))
    }
}

impl<'d> Decoder<'d> {
    pub(crate) fn new(
        diagnostics: &'d mut Diagnostics,
        base: &Path,
        variables: Variables<'d>,
    ) -> Self {
        Self {
            diagnostics,
            base: base.to_owned(),
            variables,
            read: Vec::new(),
            defaults: HashMap::new(),
        }
    }

    /// The files that secrets came from.
    pub(crate) fn into_secrets(self) -> Vec<ReadSecret> {
        self.read
    }

    /// A default, which is TOML like what is written.
    pub(crate) fn default(&mut self, text: &'static str) -> Option<Rc<Spanned<DeValue<'static>>>> {
        if let Some(known) = self.defaults.get(text) {
            return Some(Rc::clone(known));
        }
        let parsed = Rc::new(DeValue::parse(text).ok()?);
        self.defaults.insert(text, Rc::clone(&parsed));
        Some(parsed)
    }

    /// A path as seen from the file that names it.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// A text with its secrets put in.
    pub(crate) fn text(&mut self, node: Node<'_>) -> Option<String> {
        self.text_with(node, |content| content)
    }

    /// A template with its secrets put in; a `${` in a secret is escaped, so that it is no variable.
    pub(crate) fn template(&mut self, node: Node<'_>) -> Option<String> {
        self.text_with(node, |content| content.replace("${", "$${"))
    }

    fn text_with(&mut self, node: Node<'_>, escaped: impl Fn(String) -> String) -> Option<String> {
        let Some(written) = node.value.as_str() else {
            return self.wrong_type(node, "a string");
        };
        if !secret::has_references(written) {
            return Some(written.to_owned());
        }
        let mut text = String::with_capacity(written.len());
        let mut complete = true;
        for piece in secret::pieces(written) {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Secret(reference) => match self.secret(node, reference) {
                    Some(content) => text.push_str(&escaped(content)),
                    None => complete = false,
                },
            }
        }
        complete.then_some(text)
    }

    fn secret(&mut self, node: Node<'_>, reference: Reference<'_>) -> Option<String> {
        match reference {
            Reference::Variable(name) => {
                let content = (self.variables)(name);
                if content.is_none() {
                    self.diagnostics
                        .error(
                            Code::MissingSecret,
                            node.place,
                            format!(
                                "{}: the environment variable `{name}` is not set",
                                node.subject()
                            ),
                        )
                        .help(format!("set {name} in the environment of the process"));
                }
                content
            }
            Reference::File(name) => {
                let path = self.resolve(name);
                let content = fs::read_to_string(&path);
                let read = content.as_deref().ok();
                self.read.push(ReadSecret::new(path, read));
                match content {
                    Ok(content) => Some(content.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(error) => {
                        self.diagnostics
                            .error(
                                Code::MissingSecret,
                                node.place,
                                format!(
                                    "{}: cannot read the file `{name}`: {error}",
                                    node.subject()
                                ),
                            )
                            .help("a relative path starts at the directory of this file");
                        None
                    }
                }
            }
            Reference::Misspelled(word) => {
                self.diagnostics
                    .error(
                        Code::BadSecret,
                        node.place,
                        format!(
                            "{}: `${{{word}:…}}` is no reference to a secret",
                            node.subject()
                        ),
                    )
                    .help("write `${env:NAME}` or `${file:path}`");
                None
            }
        }
    }

    /// Reads a text with a function whose error says what is wrong with it.
    pub(crate) fn parse<T, E: fmt::Display>(
        &mut self,
        node: Node<'_>,
        expected: &str,
        code: Code,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !node.value.is_str() {
            return self.wrong_type(node, expected);
        }
        let text = self.text(node)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => self.bad_value(node, expected, code, reason),
        }
    }

    /// Says that a text cannot be understood.
    pub(crate) fn bad_value<T>(
        &mut self,
        node: Node<'_>,
        expected: &str,
        code: Code,
        reason: impl fmt::Display,
    ) -> Option<T> {
        let finding = self.diagnostics.error(
            code,
            node.place,
            format!("{} must be {expected}: {reason}", node.subject()),
        );
        if let Some(example) = node.example {
            finding.help(format!("for example: {} = {example}", node.key));
        }
        None
    }

    /// Says that a value has the wrong type.
    pub(crate) fn wrong_type<T>(&mut self, node: Node<'_>, expected: &str) -> Option<T> {
        let actual = match node.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.bad_value(
            node,
            expected,
            Code::WrongType,
            format_args!("this is {actual}"),
        )
    }

    /// Says that a word is none of the choices.
    pub(crate) fn unknown_value<T>(
        &mut self,
        node: Node<'_>,
        word: &str,
        choices: &[&str],
    ) -> Option<T> {
        self.diagnostics
            .error(
                Code::UnknownValue,
                node.place,
                format!("{} cannot be {}", node.subject(), node.quoted(word)),
            )
            .help(suggest::help(word, choices.iter().copied()));
        None
    }
}
