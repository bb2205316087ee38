//! Configuration text: placeholders filled, and what every scenario needs added unless it says otherwise.

use std::fmt::Display;
use std::path::Path;

/// What a placeholder stands for.
pub(crate) trait Value: Display + Sync {}

impl<T: Display + Sync> Value for T {}

/// Replaces each `<name>` by its value; a placeholder without a value fails the test.
pub(crate) fn fill(text: &str, values: &[(&str, &dyn Value)]) -> String {
    let mut filled = text.to_owned();
    for (name, value) in values {
        let placeholder = format!("<{name}>");
        assert!(
            filled.contains(&placeholder),
            "the text has no {placeholder}: {text}"
        );
        filled = filled.replace(&placeholder, &value.to_string());
    }
    let left = regex::Regex::new("<[a-z0-9_]+>").expect("a pattern");
    assert!(
        !left.is_match(&filled),
        "a placeholder without a value: {filled}"
    );
    filled
}

/// Adds the tables that the text does not write itself: one plain listener named `web`, the admin address, the access
/// log in `directory`, the program log as JSON.
pub(super) fn complete(text: &str, directory: &Path) -> String {
    let mut complete = String::new();
    let mut add = |table: &str, body: &str| {
        if !text.contains(table) {
            complete.push_str(table);
            complete.push('\n');
            complete.push_str(body);
            complete.push('\n');
        }
    };
    // One worker: its records stand in the order of the requests.
    add("[server]", "workers = 1");
    // A machine that is busy with other tests is no reason to end connections.
    let overload = "relieve_delay = \"off\"\nshed_delay = \"off\"";
    if !text.contains("overload") {
        add("[server.overload]", overload);
    }
    add("[admin]", "address = \"127.0.0.1:0\"");
    add("[log]", "format = \"json\"");
    add(
        "[access_log]",
        &format!(
            "output = {:?}",
            directory.join("access.log").display().to_string()
        ),
    );
    add("[[listener]]", "name = \"web\"\naddress = \"127.0.0.1:0\"");
    // A key at the top stands before all tables.
    match text.lines().find(|line| line.starts_with("include")) {
        Some(include) => format!("{include}\n{complete}{}", text.replacen(include, "", 1)),
        None => complete + text,
    }
}
