//! Any text is a configuration that compiles, or is told what is wrong with it at a place that exists.

use std::{
    cell::RefCell,
    net::IpAddr,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use portcullis::{
    compile::{Stores, compile},
    config::{self, Diagnostics},
    routing::Request,
};

/// Where relative paths begin: there is nothing to be found.
const BASE: &str = "/nonexistent/portcullis";

/// 2030-01-01.
const NOW: Duration = Duration::from_secs(1_893_456_000);

thread_local! {
    /// Compiling one configuration after the other is what reloads do.
    static STORES: RefCell<Stores> = RefCell::new(Stores::to_check());
}

/// Holds for any bytes; those that are no UTF-8 are not read.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if reaches_files(text) {
        return;
    }
    let once = load(text);
    let twice = load(text);
    assert_eq!(once, twice, "the same text means the same");
}

/// What is read from a text, as far as it can be compared.
fn load(text: &str) -> (Option<String>, String) {
    let variables = |name: &str| (!name.starts_with('_')).then(|| name.to_lowercase());
    let loaded = config::parse_with("fuzzed.toml", text, Path::new(BASE), &variables);
    assert!(loaded.config.is_some() || loaded.diagnostics.has_errors());
    let fingerprint = loaded.config.as_ref().map(config::fingerprint);
    let compiled = STORES.with_borrow(|stores| {
        let compiled = compile(&loaded, stores, 1, UNIX_EPOCH + NOW);
        stores.retain_used();
        stores.metrics.retain_used();
        compiled
    });
    assert_eq!(
        compiled.snapshot.is_none(),
        compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    assert_places(text, &compiled.diagnostics);
    if let Some(snapshot) = &compiled.snapshot {
        for path in ["", "/", "/a", "/a/b/c.html"] {
            let found = snapshot.router.find(&Get(path));
            assert!(found.is_none_or(|matched| matched.route < snapshot.routes.len()));
        }
    }
    (fingerprint, compiled.diagnostics.to_string())
}

/// Each finding is about a line of the text that is shown as it stands, secrets apart, and about a character in or
/// behind it.
fn assert_places(text: &str, diagnostics: &Diagnostics) {
    for found in diagnostics.iter() {
        assert!(!found.message.is_empty());
        let (Some(line), Some(column), Some(shown)) = (found.line, found.column, &found.text)
        else {
            assert_eq!((found.line, found.column), (None, None), "{found}");
            continue;
        };
        // Behind the last line end there is one more line.
        let written = text.lines().nth(line - 1).unwrap_or_default();
        assert!(line <= text.matches('\n').count() + 1, "{found}");
        assert_eq!(shown.chars().count(), written.chars().count(), "{found}");
        let mut pairs = shown.chars().zip(written.chars());
        assert!(
            pairs.all(|(shown, written)| shown == written || shown == '*'),
            "{found}"
        );
        assert!(
            (1..=written.chars().count() + 1).contains(&column),
            "{found}"
        );
    }
    let json = serde_json::to_value(diagnostics).expect("findings in JSON");
    assert_eq!(
        json.as_array().map(Vec::len),
        Some(diagnostics.iter().count())
    );
}

/// Whether a text may name files of this machine that nobody should wait for, such as devices. What it includes and
/// reads by patterns is left out, too.
fn reaches_files(text: &str) -> bool {
    let escapes = ["\\u", "\\U", "\\x"];
    let folders = ["dev/", "proc/", "sys/"];
    let includes = text.contains("include") && text.contains(['*', '?']);
    includes
        || escapes
            .iter()
            .chain(&folders)
            .any(|part| text.contains(part))
}

struct Get<'a>(&'a str);

impl Request for Get<'_> {
    fn host(&self) -> &str {
        "api.example.com"
    }

    fn path(&self) -> &str {
        self.0
    }

    fn method(&self) -> &str {
        "GET"
    }

    fn query(&self) -> Option<&str> {
        Some("a=b")
    }

    fn client(&self) -> IpAddr {
        [127, 0, 0, 1].into()
    }

    fn any_header(&self, _: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        wanted(b"value")
    }
}
