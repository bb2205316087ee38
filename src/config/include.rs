//! The patterns of `include`: paths in which `*` and `?` stand for parts of one name.
//!
//! Written here because it is one page and no directory is ever walked without need: a crate for it would bring `**`,
//! character classes and case rules that the language does not have.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// What a pattern stands for.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    /// The files, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// The directories that were looked into: a new file in one of them may change the answer.
    pub(crate) directories: Vec<PathBuf>,
}

/// Whether a pattern names files by more than their exact names.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The files that a pattern stands for, as seen from a directory. Hidden files are not matched by `*`, so an editor's
/// temporary files are not taken for configuration.
pub(crate) fn expand(base: &Path, pattern: &str) -> io::Result<Expanded> {
    let mut expanded = Expanded::default();
    let mut found = vec![base.to_owned()];
    for component in Path::new(pattern).components() {
        let name = match component {
            Component::Normal(name) => name.to_str().filter(|name| is_pattern(name)),
            _ => None,
        };
        found = match name {
            None => found.into_iter().map(|path| path.join(component)).collect(),
            Some(name) => {
                let inside = list(&found, name)?;
                expanded.directories.append(&mut found);
                inside
            }
        };
    }
    found.retain(|path| path.is_file());
    found.sort();
    expanded.files = found;
    Ok(expanded)
}

/// The entries of the directories with a name that matches. A directory that does not exist has none.
fn list(directories: &[PathBuf], pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in directories {
        let entries = match fs::read_dir(or_here(directory)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| matches(pattern, name)) {
                found.push(directory.join(name));
            }
        }
    }
    Ok(found)
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether a name fits a pattern. On a mismatch only the last `*` is tried again, so the time is bounded by the product
/// of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut pattern = pattern.chars();
    let mut name = name.chars();
    let mut retry = None;
    loop {
        let mut ahead = pattern.clone();
        match (ahead.next(), name.clone().next()) {
            (Some('*'), _) => {
                retry = Some((ahead.clone(), name.clone()));
                pattern = ahead;
                continue;
            }
            (Some(wanted), Some(actual)) if wanted == '?' || wanted == actual => {
                pattern = ahead;
                name.next();
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after_star, mut from)) = retry.take() else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        pattern = after_star.clone();
        name = from.clone();
        retry = Some((after_star, from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part_of_a_name_and_a_question_mark_one_character() {
        for (pattern, name) in [
            ("*.toml", "a.toml"),
            ("*", "a"),
            ("a*b*c", "a1b2b3c"),
            ("?.toml", "ü.toml"),
            ("a*", "a"),
            (".*", ".hidden"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.toml", "a.toml~"),
            ("*.toml", ".a.toml"),
            ("?.toml", "ab.toml"),
            ("a*b", "a"),
            ("", "a"),
            ("a", ""),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_sorted_and_directories_are_remembered() {
        let root = tempfile::tempdir().unwrap();
        for path in ["r/b.toml", "r/a.toml", "r/c.txt", "r/x.toml/y", "s/d.toml"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |pattern| {
            let expanded = expand(root.path(), pattern).unwrap();
            let name = |p: &PathBuf| p.strip_prefix(root.path()).unwrap().display().to_string();
            let files: Vec<_> = expanded.files.iter().map(name).collect();
            (files.join(" "), expanded.directories.len())
        };
        assert_eq!(names("r/*.toml"), ("r/a.toml r/b.toml".to_owned(), 1));
        assert_eq!(
            names("?/*.toml"),
            ("r/a.toml r/b.toml s/d.toml".to_owned(), 3)
        );
        assert_eq!(names("none/*.toml"), (String::new(), 1));
        assert_eq!(names("r/c.txt"), ("r/c.txt".to_owned(), 0));
    }
}
