//! Who may import whom: the walls of the house, as `ARCHITECTURE.md` draws them, kept by a test.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those of ours that it may import. `lib.rs` and `main.rs` may name everything.
const WALLS: &[(&str, &[&str])] = &[
    ("http", &[]),
    ("routing", &[]),
    ("observe", &[]),
    ("filters", &["http", "observe"]),
    ("balance", &["http", "observe"]),
    ("config", &["filters", "balance"]),
    ("listener", &["http", "observe"]),
    (
        "snapshot",
        &["routing", "filters", "balance", "http", "observe"],
    ),
    (
        "compile",
        &[
            "config", "snapshot", "listener", "routing", "filters", "balance", "http", "observe",
        ],
    ),
    (
        "gateway",
        &[
            "snapshot", "routing", "filters", "balance", "http", "observe",
        ],
    ),
    (
        "engine",
        &[
            "gateway", "snapshot", "listener", "routing", "filters", "balance", "http", "observe",
        ],
    ),
    (
        "control",
        &[
            "config", "compile", "snapshot", "listener", "balance", "http", "observe",
        ],
    ),
    (
        "admin",
        &["control", "config", "snapshot", "balance", "observe"],
    ),
];

/// Modules that may name everything of ours: the composition root and the command line.
const ROOTS: &[&str] = &["app", "cli"];

/// Modules that know no runtime: they take time and bytes as arguments.
const WITHOUT_TOKIO: &[&str] = &["config", "compile", "routing", "balance", "http", "gateway"];

/// The modules in which types of Pingora live.
const WITH_PINGORA: &[&str] = &["app", "listener", "engine"];

#[test]
fn modules_import_what_they_may() {
    let walls: BTreeMap<&str, &[&str]> = WALLS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(allowed) = walls.get(source.module.as_str()) else {
            assert!(
                ROOTS.contains(&source.module.as_str()),
                "{} has no walls: add the module to this test and to ARCHITECTURE.md",
                source.module
            );
            continue;
        };
        for import in source.imports() {
            if import != source.module && !allowed.contains(&import.as_str()) {
                broken.push(format!("{} imports {import}", source.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn decisions_know_no_runtime_and_no_pingora() {
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.module.as_str();
        let code = &source.code;
        if WITHOUT_TOKIO.contains(&module) && names(code, "tokio") {
            broken.push(format!("{} names tokio", source.path.display()));
        }
        if !WITH_PINGORA.contains(&module) && code.contains("pingora_") {
            broken.push(format!("{} names Pingora", source.path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_data_plane_does_not_read_the_configuration() {
    for source in sources() {
        if ["engine", "gateway", "snapshot", "listener"].contains(&source.module.as_str()) {
            assert!(
                !source.imports().contains("config"),
                "{} imports config",
                source.path.display()
            );
        }
    }
}

/// Whoever decides how long something takes goes by a clock that does not jump. The wall clock is for what people and
/// certificates read: dates, records, expiry.
#[test]
fn case_88_a_jump_of_the_wall_clock_decides_nothing_for_an_exchange() {
    const READERS: &[&str] = &[
        "engine/date.rs",
        "engine/door.rs",
        // `Retry-After` may be a date.
        "gateway/attempts.rs",
        "gateway/exchange.rs",
    ];
    let data_plane = [
        "balance", "engine", "filters", "gateway", "http", "listener", "routing", "snapshot",
    ];
    let mut readers: Vec<_> = sources()
        .into_iter()
        .filter(|source| data_plane.contains(&source.module.as_str()))
        .filter(|source| source.code.contains("SystemTime::now"))
        .map(|source| source.path.display().to_string())
        .collect();
    readers.sort();
    assert_eq!(readers.len(), READERS.len(), "{readers:?}");
    for (path, reader) in readers.iter().zip(READERS) {
        assert!(path.ends_with(reader), "{path} reads the wall clock");
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut silent = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            silent.push(source.path.display().to_string());
        }
    }
    assert!(
        silent.is_empty(),
        "no `//!` at the top: {}",
        silent.join(", ")
    );
}

#[test]
fn a_line_of_imports_is_read_right() {
    let text = "//! x\nuse crate::{gateway::{Fault, Exchange}, http::Fields,\n    balance as b};\n\
               // crate::admin in a comment\nfn f() { crate::observe::x(\"crate::config\"); }\n\
               #[cfg(test)]\nmod tests { use crate::control::Y; }\n";
    let source = Source::read(PathBuf::new(), "engine", text, &Patterns::new());
    let imports: Vec<_> = source.imports().into_iter().collect();
    assert_eq!(imports, ["balance", "gateway", "http", "observe"]);
    assert!(names("use tokio::net", "tokio") && !names("use my_tokio::x", "tokio"));
}

/// A file under `src/` and the module it belongs to.
struct Source {
    path: PathBuf,
    module: String,
    text: String,
    /// The file without comments, texts and tests: tests may look behind any wall.
    code: String,
}

/// What is no code.
struct Patterns {
    comment: regex::Regex,
    text: regex::Regex,
}

impl Patterns {
    fn new() -> Self {
        Self {
            comment: regex(r"//[^\n]*"),
            text: regex(r#""(?:[^"\\]|\\.)*""#),
        }
    }
}

impl Source {
    fn read(path: PathBuf, module: &str, text: &str, patterns: &Patterns) -> Self {
        let tested = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code = patterns.comment.replace_all(tested, "");
        let code = patterns.text.replace_all(&code, "\"\"").into_owned();
        Self {
            path,
            module: module.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    /// The modules of ours that it names by `crate::`.
    fn imports(&self) -> BTreeSet<String> {
        let code = &self.code;
        let mut found = BTreeSet::new();
        for (at, start) in code.match_indices("crate::") {
            let rest = &code[at + start.len()..];
            let whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !whole_word {
                continue;
            }
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_names(group)),
                None => found.extend(name(rest)),
            }
        }
        // Macros and items of lib.rs itself are no modules.
        found.retain(|name| modules().contains(name));
        found
    }
}

/// The first name of each element of a group that has just been opened.
fn first_names(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                found.extend(name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    found
}

fn name(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// Whether the code names this crate.
fn names(code: &str, name: &str) -> bool {
    regex(&format!(r"(^|[^A-Za-z0-9_]){name}::")).is_match(code)
}

fn modules() -> BTreeSet<String> {
    WALLS
        .iter()
        .map(|(module, _)| *module)
        .chain(ROOTS.iter().copied())
        .map(str::to_owned)
        .collect()
}

fn regex(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).expect("a pattern")
}

/// Every file of every module; files of tests alone are left out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let patterns = Patterns::new();
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).ok()?;
            let module = inside.components().next()?.as_os_str().to_str()?;
            let module = module.strip_suffix(".rs").unwrap_or(module).to_owned();
            if ["lib", "main"].contains(&module.as_str()) {
                return None;
            }
            let text = fs::read_to_string(&path).expect("a source file");
            Some(Source::read(path, &module, &text, &patterns))
        })
        .filter(|source| !is_test_file(source))
        .collect()
}

/// A file that is declared under `#[cfg(test)]` in the file above it.
fn is_test_file(source: &Source) -> bool {
    let stem = source.path.file_stem().and_then(|stem| stem.to_str());
    let Some(stem) = stem else { return false };
    let Some(folder) = source.path.parent() else {
        return false;
    };
    let declared = format!("#[cfg(test)]\nmod {stem};");
    [folder.join("mod.rs"), folder.with_extension("rs")]
        .iter()
        .filter_map(|parent| fs::read_to_string(parent).ok())
        .any(|text| text.contains(&declared))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}
