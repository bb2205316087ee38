//! What is wrong with a configuration, where, and what to write instead.

use std::{fmt, path::Path};

use serde::Serialize;

use super::{
    code::Code,
    place::{FileId, Place, Position, Sources},
};

/// Everything that was found in one go, in the order of files and lines once [`Diagnostics::sort`] has run.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    sources: Sources,
    items: Vec<Diagnostic>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the load.
    pub severity: Severity,
    /// The stable word for this kind of finding.
    pub code: Code,
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; `None` when the finding is about the whole file.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The whole line; secrets in it are unreadable.
    pub text: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The other place that has to do with it, as `file:line:column: what`.
    pub see: Option<String>,
    #[serde(skip)]
    width: usize,
    #[serde(skip)]
    place: Option<Place>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

impl Diagnostics {
    /// An empty list about those texts.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            items: Vec::new(),
        }
    }

    /// The texts it is about.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Adds an error about a place.
    pub fn error(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Error, code, place, message.into())
    }

    /// Adds a warning about a place.
    pub fn warning(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Warning, code, place, message.into())
    }

    /// Adds an error about a whole file.
    pub(crate) fn file_error(
        &mut self,
        code: Code,
        file: &Path,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push_about_file(Severity::Error, code, file, message.into())
    }

    /// Adds a warning about the configuration as a whole, that is about its first file.
    pub fn general_warning(&mut self, code: Code, message: impl Into<String>) -> &mut Diagnostic {
        let file = self.sources.path(FileId::default()).to_owned();
        self.push_about_file(Severity::Warning, code, &file, message.into())
    }

    fn push_about_file(
        &mut self,
        severity: Severity,
        code: Code,
        file: &Path,
        message: String,
    ) -> &mut Diagnostic {
        self.insert(Diagnostic {
            severity,
            code,
            file: file.display().to_string(),
            line: None,
            column: None,
            text: None,
            message,
            help: None,
            see: None,
            width: 0,
            place: None,
        })
    }

    fn push(
        &mut self,
        severity: Severity,
        code: Code,
        place: Place,
        message: String,
    ) -> &mut Diagnostic {
        let position = self.sources.position(place);
        self.insert(Diagnostic {
            severity,
            code,
            file: self.sources.path(place.file()).display().to_string(),
            line: Some(position.line),
            column: Some(position.column),
            text: Some(position.text),
            message,
            help: None,
            see: None,
            width: position.width,
            place: Some(place),
        })
    }

    fn insert(&mut self, item: Diagnostic) -> &mut Diagnostic {
        let at = self.items.len();
        self.items.insert(at, item);
        #[expect(
            clippy::indexing_slicing,
            reason = "inserted at this index one line above"
        )]
        &mut self.items[at]
    }

    /// `file:line:column`, for a message that points to a second place.
    #[must_use]
    pub fn locate(&self, place: Place) -> String {
        let Position { line, column, .. } = self.sources.position(place);
        let file = self.sources.path(place.file()).display();
        format!("{file}:{line}:{column}")
    }

    /// Takes over what another step found.
    pub fn append(&mut self, other: Self) {
        self.items.extend(other.items);
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }

    /// Brings the findings into the order of files and lines and drops repeated ones.
    pub fn sort(&mut self) {
        self.items.sort_by_key(|item| item.place);
        self.items.dedup();
    }

    /// The findings.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// How many findings stop the load.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many findings do not.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|i| i.severity == severity).count()
    }

    /// Whether something inside of this place stops the load.
    #[must_use]
    pub fn has_errors_in(&self, place: Place) -> bool {
        self.items.iter().any(|item| {
            item.severity == Severity::Error
                && item.place.is_some_and(|inner| place.contains(inner))
        })
    }

    /// Whether something stops the load.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Diagnostic {
    /// Says what to write instead.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Points to the other place that has to do with it.
    pub fn see(&mut self, see: impl Into<String>) -> &mut Self {
        self.see = Some(see.into());
        self
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.place
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{item}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, ": {severity}[{}]: {}", self.code.as_str(), self.message)?;
        let gutter = self.line.map_or(2, |line| line.to_string().len());
        if let (Some(line), Some(column), Some(text)) = (self.line, self.column, &self.text) {
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{line} | {text}")?;
            // Tabs stay tabs, so that the caret stands under its character whatever the terminal makes of them.
            let indent: String = text
                .chars()
                .take(column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "{:gutter$} | {indent}{}", "", "^".repeat(self.width))?;
        }
        if let Some(see) = &self.see {
            writeln!(f, "{:gutter$} = see: {see}", "")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, marked: &str) -> Diagnostics {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("conf/a.toml"), text.to_owned());
        let start = text.find(marked).unwrap();
        let mut diagnostics = Diagnostics::new(sources);
        diagnostics
            .error(
                Code::UnknownKey,
                Place::new(file, &(start..start + marked.len())),
                "there is no key `adress` in [[listener]]",
            )
            .help("did you mean `address`?");
        diagnostics
    }

    #[test]
    fn an_error_shows_its_line_and_a_caret() {
        let shown = one("[[listener]]\n\tadress = \"x\"\n", "adress").to_string();
        assert_eq!(
            shown,
            "conf/a.toml:2:2: error[unknown_key]: there is no key `adress` in [[listener]]\n  \
             |\n2 | \tadress = \"x\"\n  | \t^^^^^^\n  = help: did you mean `address`?\n\n"
        );
    }

    #[test]
    fn an_error_about_a_whole_file_has_no_excerpt() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.file_error(Code::UnreadableFile, Path::new("x.toml"), "no such file");
        assert_eq!(
            diagnostics.to_string(),
            "x.toml: error[unreadable_file]: no such file\n\n"
        );
    }

    #[test]
    fn json_has_place_code_and_help() {
        let json = serde_json::to_value(one("adress = 1", "adress")).unwrap();
        assert_eq!(json[0]["code"], "unknown_key");
        assert_eq!(json[0]["severity"], "error");
        assert_eq!(
            (&json[0]["line"], &json[0]["column"]),
            (&1.into(), &1.into())
        );
        assert_eq!(json[0]["text"], "adress = 1");
        assert_eq!(json[0]["help"], "did you mean `address`?");
    }

    #[test]
    fn findings_come_in_the_order_of_the_file_and_once() {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("a.toml"), "a\nb\n".to_owned());
        let mut diagnostics = Diagnostics::new(sources);
        for start in [2, 0, 2] {
            let place = Place::new(file, &(start..start + 1));
            diagnostics.error(Code::UnknownKey, place, "no");
        }
        diagnostics.sort();
        let lines: Vec<_> = diagnostics.iter().map(|d| d.line.unwrap()).collect();
        assert_eq!(lines, [1, 2]);
    }
}
