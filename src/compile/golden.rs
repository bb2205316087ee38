//! Every message of `check`, in the files of `tests/golden/check`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{Stores, compile, tests::certificate};
use crate::config::{self, Code, golden};

const DIRECTORY: &str = "tests/golden/check";

/// 2030-01-01, between the validities of the certificates below.
const NOW: Duration = Duration::from_secs(1_893_456_000);

/// A copy of the inputs, with the certificates that they name.
fn prepared() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for directory in ["", "parts"] {
        fs::create_dir_all(copy.path().join(directory)).unwrap();
        for entry in fs::read_dir(Path::new(DIRECTORY).join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap();
                fs::copy(&path, copy.path().join(directory).join(name)).unwrap();
            }
        }
    }
    for (name, from, until) in [
        ("good", 2020, 2040),
        ("other", 2020, 2040),
        ("expired", 2020, 2025),
        ("future", 2035, 2040),
    ] {
        certificate(&copy.path().join("tls"), name, from, until);
    }
    copy
}

fn checked(directory: &Path, name: &str) -> String {
    let loaded = config::load(&directory.join(name));
    let compiled = compile(&loaded, &Stores::to_check(), 1, UNIX_EPOCH + NOW);
    assert_eq!(
        compiled.snapshot.is_none(),
        compiled.diagnostics.has_errors(),
        "{name}"
    );
    let directory = format!("{}/", directory.display());
    compiled.diagnostics.to_string().replace(&directory, "")
}

fn inputs() -> Vec<PathBuf> {
    let mut inputs: Vec<_> = fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_is_answered_as_its_golden_file_says() {
    let copy = prepared();
    for input in inputs() {
        let name = input.file_name().unwrap().to_str().unwrap();
        golden::compare(&input.with_extension("txt"), &checked(copy.path(), name));
    }
    let absent = Path::new(DIRECTORY).join("absent.txt");
    golden::compare(&absent, &checked(copy.path(), "absent.toml"));
}

#[test]
fn every_kind_of_finding_is_in_a_golden_file() {
    let shown: String = fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for code in Code::ALL {
        let word = format!("[{}]", code.as_str());
        assert!(shown.contains(&word), "no golden file shows {word}");
    }
}
