//! The commands as a shell sees them: arguments in, two texts and an exit code out.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use clap::CommandFactory;

use super::{Arguments, Console, Exit, execute};
use crate::config::golden;

const GATEWAY: &str = "tests/golden/explain/gateway.toml";

/// What came of one command.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let mut console = Console::new(out.clone(), err.clone());
    let exit = execute(
        ["portcullis"].iter().chain(arguments).copied(),
        &mut console,
    );
    Ran {
        exit,
        out: out.text(),
        err: err.text(),
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A configuration in a directory of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn the_commands_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn help_goes_to_standard_output_and_shows_examples() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["run", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["reference", "--help"],
        &["demo", "--help"],
        &["completions", "--help"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.exit, &*ran.err), (Exit::Done, ""), "{arguments:?}");
        assert!(
            ran.out.contains("\nExamples:\n  portcullis "),
            "{arguments:?}"
        );
    }
}

#[test]
fn wrong_arguments_are_refused_on_standard_error() {
    for (arguments, hint) in [
        (&[][..], "Usage: portcullis"),
        (&["chek"], "'check'"),
        (&["run"], "--config <FILE>"),
        (&["explain", "-c", "x", "GET", "/v1"], "http://"),
        (
            &["explain", "-c", "x", "GET", "http://a/", "-H", "x"],
            "x-tier: gold",
        ),
        (&["demo", "--http-port", "0"], "--http-port"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.exit, &*ran.out), (Exit::Refused, ""), "{arguments:?}");
        assert!(ran.err.contains(hint), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let expected = concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["version"]).out, expected);
    assert_eq!(run(&["--version"]).out, expected);
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.exit, Exit::Done);
        assert!(ran.out.contains("explain"), "{shell}");
    }
}

#[test]
fn the_reference_is_the_one_in_the_repository() {
    let ran = run(&["reference"]);
    assert_eq!(ran.out, include_str!("../../conf/reference.md"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut console = Console::new(Closed, Closed);
    assert_eq!(
        execute(["portcullis", "reference"], &mut console),
        Exit::Done
    );
}

#[test]
fn a_good_configuration_is_valid() {
    let ran = run(&["check", "--config", GATEWAY]);
    assert_eq!((ran.exit, &*ran.err), (Exit::Done, ""));
    assert_eq!(ran.out, format!("{GATEWAY} is valid\n"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let (_directory, path) = file("[[listner]]\n[server]\nworkers = 0\ndrian = \"1s\"\n");
    let ran = run(&["check", "--config", &path]);
    assert_eq!(ran.exit, Exit::Refused);
    for place in [":1:", ":3:", ":4:"] {
        assert!(
            ran.err.contains(&format!("{path}{place}")),
            "{place}: {}",
            ran.err
        );
    }
    assert!(ran.out.contains("cannot be used: "), "{}", ran.out);
}

#[test]
fn problems_are_also_there_as_json() {
    let (_directory, path) = file("[[listner]]\n");
    let ran = run(&["check", "--config", &path, "--format", "json"]);
    assert_eq!((ran.exit, &*ran.err), (Exit::Refused, ""));
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["diagnostics"][0]["code"], "unknown_key");
    assert_eq!(answer["diagnostics"][0]["line"], 1);

    let ran = run(&["check", "--config", GATEWAY, "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &answer["valid"]), (Exit::Done, &true.into()));
}

#[test]
fn a_wrong_configuration_is_neither_served_nor_explained() {
    let (_directory, path) = file("[[listner]]\n");
    for arguments in [
        &["run", "--config", &path][..],
        &["explain", "--config", &path, "GET", "http://a/"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.exit, &*ran.out), (Exit::Refused, ""), "{arguments:?}");
        assert!(ran.err.contains("did you mean `listener`?"), "{}", ran.err);
    }
}

#[test]
fn explanations_say_who_wins_and_why_the_others_do_not() {
    for (name, arguments) in [
        (
            "wins",
            &[
                "GET",
                "https://api.example.com/v1/users/7",
                "-H",
                "x-tier: gold",
            ][..],
        ),
        (
            "lacks_a_header",
            &["GET", "https://api.example.com/v1/users/7"],
        ),
        (
            "split",
            &[
                "GET",
                "http://localhost/v1/orders?version=2",
                "--client",
                "10.1.2.3",
            ],
        ),
        ("redirect", &["POST", "http://localhost/old/./b?c=d"]),
        ("respond", &["GET", "http://localhost/ping"]),
        ("no_route", &["GET", "http://localhost/"]),
        ("ambiguous", &["GET", "http://localhost/v1/users%2f7"]),
    ] {
        let ran = run(&[&["explain", "--config", GATEWAY], arguments].concat());
        assert_eq!((ran.exit, &*ran.err), (Exit::Done, ""), "{name}");
        golden::compare(
            Path::new(&format!("tests/golden/explain/{name}.txt")),
            &ran.out,
        );
    }
}
