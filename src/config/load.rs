//! From files to a configuration: the only place of the language that touches the disk, apart from secrets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Config,
    code::Code,
    decode::{Decoder, Node, ReadSecret, Setting, Variables},
    diagnostics::Diagnostics,
    document::{Document, Merged},
    include,
    place::{Place, Placed},
    syntax,
};

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, also when there are errors, so that `compile` can find the rest of them. `None`: a file could
    /// not be read or is not TOML.
    pub config: Option<Config>,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// Every file that was read or looked for: configuration, included files, secrets.
    pub files: Vec<PathBuf>,
    /// Every directory in which a new file may belong to the configuration.
    pub directories: Vec<PathBuf>,
    secrets: Vec<ReadSecret>,
    listed: Vec<Listed>,
}

/// A pattern and the files it stood for.
#[derive(Debug)]
struct Listed {
    base: PathBuf,
    pattern: String,
    files: Vec<PathBuf>,
}

impl Loaded {
    /// Whether everything would be read again as it was, byte by byte. Reads files.
    #[must_use]
    pub fn reads_the_same(&self) -> bool {
        let mut texts = self.diagnostics.sources().texts();
        // A file that could not be read may have come.
        self.config.is_some()
            && texts.all(|(path, text)| {
                fs::read(path).is_ok_and(|now| now.as_slice() == text.as_bytes())
            })
            && self.secrets.iter().all(ReadSecret::reads_the_same)
            && self.listed.iter().all(|listed| {
                let now = include::expand(&listed.base, &listed.pattern);
                now.is_ok_and(|now| now.files == listed.files)
            })
    }
}

/// Reads a configuration and everything it includes; secrets come from the environment of the process.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let mut loader = Loader::new(&environment);
    match fs::read_to_string(path) {
        Ok(text) => loader.file(path, &text, &directory(path)),
        Err(error) => {
            loader
                .diagnostics
                .file_error(
                    Code::UnreadableFile,
                    path,
                    format!("cannot read it: {error}"),
                )
                .help("name the file with --config");
            loader.complete = false;
            loader.files.push(path.to_owned());
        }
    }
    loader.finish()
}

/// Reads a configuration from a text: `name` is what messages call it, relative paths start at `base`.
#[must_use]
pub fn parse_str(name: &str, text: &str, base: &Path) -> Loaded {
    parse_with(name, text, base, &environment)
}

/// Like [`parse_str`], with an environment of one's own.
#[must_use]
pub fn parse_with(name: &str, text: &str, base: &Path, variables: Variables<'_>) -> Loaded {
    let mut loader = Loader::new(variables);
    loader.file(Path::new(name), text, base);
    loader.finish()
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The directory that relative paths in a file start at.
fn directory(path: &Path) -> PathBuf {
    path.parent().map_or_else(PathBuf::new, Path::to_owned)
}

struct Loader<'d> {
    diagnostics: Diagnostics,
    variables: Variables<'d>,
    merged: Merged,
    complete: bool,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    secrets: Vec<ReadSecret>,
    listed: Vec<Listed>,
    /// The files that are being read, the including ones first.
    open: Vec<PathBuf>,
    /// The files that have been begun, so that one named by two patterns is read once.
    begun: Vec<PathBuf>,
}

impl<'d> Loader<'d> {
    fn new(variables: Variables<'d>) -> Self {
        Self {
            diagnostics: Diagnostics::default(),
            variables,
            merged: Merged::default(),
            complete: true,
            files: Vec::new(),
            directories: Vec::new(),
            secrets: Vec::new(),
            listed: Vec::new(),
            open: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Reads one file, then those that it includes.
    fn file(&mut self, path: &Path, text: &str, base: &Path) {
        let identity = identity(path);
        self.files.push(path.to_owned());
        self.open.push(identity.clone());
        self.begun.push(identity);
        let file = self.diagnostics.sources_mut().add(path, text.to_owned());
        let (table, problems) = DeTable::parse_recoverable(text);
        let value = DeValue::Table(table.into_inner());
        let mut found = Diagnostics::new(self.diagnostics.sources().clone());
        let mut decoder = Decoder::new(&mut found, base, self.variables);
        let document = Document::decode(Node::root(&value, file), &mut decoder);
        let secrets = decoder.into_secrets();
        self.files
            .extend(secrets.iter().map(|secret| secret.path.clone()));
        self.secrets.extend(secrets);
        if !problems.is_empty() {
            self.complete = false;
            syntax::report(&problems, text, file, &value, &mut found);
        }
        self.diagnostics.append(found);
        if let Some(document) = document {
            let patterns = document.include.value.clone();
            self.merged.add(document, &mut self.diagnostics);
            for pattern in &patterns {
                self.include(pattern, base);
            }
        }
        self.open.pop();
    }

    fn include(&mut self, pattern: &Placed<String>, base: &Path) {
        if pattern.split('/').any(|segment| segment.contains("**")) {
            self.diagnostics
                .error(
                    Code::BadInclude,
                    pattern.place,
                    format!("`include` does not know `**`: \"{pattern}\""),
                )
                .help("write one pattern for each level, such as \"routes/*.toml\"");
            return;
        }
        if !include::is_pattern(pattern) {
            self.included(&base.join(&pattern.value), pattern.place);
            return;
        }
        match include::expand(base, pattern) {
            Err(error) => {
                self.diagnostics.error(
                    Code::UnreadableFile,
                    pattern.place,
                    format!("cannot look for \"{pattern}\": {error}"),
                );
            }
            Ok(expanded) => {
                self.directories.extend(expanded.directories);
                if expanded.files.is_empty() {
                    self.diagnostics
                        .warning(
                            Code::IncludeMatchesNothing,
                            pattern.place,
                            format!("\"{pattern}\" matches no file"),
                        )
                        .help("a relative pattern starts at the directory of this file");
                }
                for path in &expanded.files {
                    self.included(path, pattern.place);
                }
                self.listed.push(Listed {
                    base: base.to_owned(),
                    pattern: pattern.value.clone(),
                    files: expanded.files,
                });
            }
        }
    }

    fn included(&mut self, path: &Path, named: Place) {
        let identity = identity(path);
        if self.open.contains(&identity) {
            self.diagnostics
                .error(
                    Code::IncludeCycle,
                    named,
                    format!("{} includes itself through this", path.display()),
                )
                .help("name only the files that are parts of this one");
            return;
        }
        if self.begun.contains(&identity) {
            return;
        }
        match fs::read_to_string(path) {
            Ok(text) => self.file(path, &text, &directory(path)),
            Err(error) => {
                self.diagnostics
                    .error(
                        Code::UnreadableFile,
                        named,
                        format!("cannot read {}: {error}", path.display()),
                    )
                    .help("a relative path starts at the directory of this file");
                self.complete = false;
                self.files.push(path.to_owned());
            }
        }
    }

    fn finish(mut self) -> Loaded {
        let config = self.merged.finish(&mut self.diagnostics, self.variables);
        self.diagnostics.sort();
        self.files.dedup();
        Loaded {
            config: config.filter(|_| self.complete),
            diagnostics: self.diagnostics,
            files: self.files,
            directories: self.directories,
            secrets: self.secrets,
            listed: self.listed,
        }
    }
}

/// What two names of the same file have in common.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
