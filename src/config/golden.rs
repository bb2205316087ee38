//! Files that hold what the program is expected to say. `UPDATE_GOLDEN=1 cargo test` writes them anew.

use std::{env, fs, path::Path};

/// Fails when a file does not hold the text.
pub(crate) fn compare(path: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let line = expected
        .lines()
        .zip(actual.lines())
        .position(|(expected, actual)| expected != actual)
        .unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "{} is stale from line {}; run UPDATE_GOLDEN=1 cargo test and read the difference. Now:\n{actual}",
        path.display(),
        line + 1,
    );
}
