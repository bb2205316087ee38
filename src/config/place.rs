//! Where a setting stands: files, byte ranges in them, and values that remember theirs.

use std::{
    fmt,
    ops::{Deref, Range},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::mask;

/// The text of one configuration file.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// Where secrets stand in it.
    secrets: Vec<Range<usize>>,
}

/// All texts that a configuration was read from. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Arc<Source>>,
}

/// The number of a file in its [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A byte range in one of the files. Every value has one, and values are many: numbers of four bytes go as far as any
/// text that somebody writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    file: FileId,
    start: u32,
    end: u32,
}

/// A place as people count: lines and columns from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// How many characters of the line belong to the place, at least 1.
    pub width: usize,
    /// The whole line, without its end; secrets in it are unreadable.
    pub text: String,
}

/// A value and where it was written. A value that was not written stands where its table does.
#[derive(Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// What was meant.
    pub value: T,
    /// Where it stands.
    pub place: Place,
    /// The text as written, when a secret was put into it: the value itself is never shown then. Seldom there, and so
    /// no more than a pointer.
    secret: Option<Box<Written>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Written(Box<str>);

impl Sources {
    /// Adds a file; the name is what messages call it.
    pub(crate) fn add(&mut self, path: &Path, text: String) -> FileId {
        self.files.push(Arc::new(Source {
            path: path.to_owned(),
            secrets: mask::secrets(&text),
            text,
        }));
        FileId(short(self.files.len() - 1))
    }

    /// The names of all files, in the order in which they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The names of all files and what stands in them, in the order in which they were read.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files
            .iter()
            .map(|file| (file.path.as_path(), file.text.as_str()))
    }

    /// The name of a file.
    #[must_use]
    pub fn path(&self, file: FileId) -> &Path {
        self.file(file).map_or_else(|| Path::new(""), |f| &f.path)
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, file: FileId) -> &str {
        self.file(file).map_or("", |f| &f.text)
    }

    fn file(&self, file: FileId) -> Option<&Source> {
        let found = self.files.get(usize::try_from(file.0).ok()?);
        found.map(|file| &**file)
    }

    /// Where a place is, in lines and columns. A place over several lines is cut to its first.
    #[must_use]
    pub fn position(&self, place: Place) -> Position {
        let text = self.text(place.file);
        let start = floor_char_boundary(text, place.start());
        let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let (_, in_line) = before.split_at_checked(line_start).unwrap_or(("", before));
        let rest_of_line = after.lines().next().unwrap_or("");
        let end = floor_char_boundary(text, long(place.end).max(start)) - start;
        let marked = rest_of_line.get(..end).unwrap_or(rest_of_line);
        Position {
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            width: marked.trim_end().chars().count().max(1),
            text: mask::masked(
                &format!("{in_line}{rest_of_line}"),
                line_start,
                self.file(place.file).map_or(&[], |file| &file.secrets),
            ),
        }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A number of a text, or the last one that there is.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn long(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Place {
    pub(crate) fn new(file: FileId, span: &Range<usize>) -> Self {
        Self {
            file,
            start: short(span.start),
            end: short(span.end),
        }
    }

    /// The file it is in.
    #[must_use]
    pub fn file(self) -> FileId {
        self.file
    }

    /// Whether another place lies inside of this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    /// The first byte.
    #[must_use]
    pub fn start(self) -> usize {
        long(self.start)
    }
}

impl<T> Placed<T> {
    /// A value that holds no secret.
    pub fn new(value: T, place: Place) -> Self {
        Self {
            value,
            place,
            secret: None,
        }
    }

    /// A value that came from a text with a secret in it.
    pub(crate) fn with_secret(value: T, place: Place, written: Option<&str>) -> Self {
        Self {
            value,
            place,
            secret: written.map(|text| Box::new(Written(text.into()))),
        }
    }

    /// The text as written, when the value came from a secret.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|written| &*written.0)
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What a message may say of the value: a secret's reference instead of its content.
impl<T: fmt::Display> fmt::Display for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret() {
            Some(written) => f.write_str(written),
            None => self.value.fmt(f),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret() {
            Some(written) => written.fmt(f),
            None => self.value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, span: Range<usize>) -> Position {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("a.toml"), text.to_owned());
        sources.position(Place::new(file, &span))
    }

    #[test]
    fn a_position_counts_characters_not_bytes() {
        let text = "a = 1\nü = \"käse\" # x\n";
        let start = text.find('"').unwrap();
        let end = text.rfind('"').unwrap() + 1;
        let found = position(text, start..end);
        assert_eq!((found.line, found.column, found.width), (2, 5, 6));
        assert_eq!(found.text, "ü = \"käse\" # x");
    }

    #[test]
    fn a_place_over_several_lines_is_cut_to_the_first() {
        let found = position("a = [\n 1,\n]\n", 4..11);
        assert_eq!((found.line, found.column, found.width), (1, 5, 1));
    }

    #[test]
    fn a_place_at_the_end_of_the_file_has_a_position() {
        let found = position("a = ", 4..4);
        assert_eq!((found.line, found.column, found.width), (1, 5, 1));
        assert_eq!(position("a = 1\n", 90..99).line, 2);
    }

    #[test]
    fn a_secret_value_shows_only_its_reference() {
        let value = Placed::with_secret(
            "hunter2".to_owned(),
            Place::default(),
            Some("${env:PASSWORD}"),
        );
        assert_eq!(
            format!("{value:?} {value}"),
            "\"${env:PASSWORD}\" ${env:PASSWORD}"
        );
    }
}
