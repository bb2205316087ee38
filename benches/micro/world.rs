//! Worlds for the benchmarks: configurations of any size, and what comes of them.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis::compile::{Stores, compile};
use portcullis::config::{Loaded, parse_str};
use portcullis::snapshot::Snapshot;

/// A configuration with that many routes to ten upstreams, as an API gateway has them: some by host, some with
/// captures, most by prefix.
pub(crate) fn text(routes: usize) -> String {
    let mut text = String::from("[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n");
    for upstream in 0..10 {
        let _ = write!(
            text,
            "[upstream.u{upstream}]\nendpoints = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n",
            20_000 + upstream,
            30_000 + upstream
        );
    }
    for route in 0..routes {
        let upstream = route % 10;
        let _ = write!(
            text,
            "[[route]]\nname = \"r{route}\"\nupstream = \"u{upstream}\"\n"
        );
        let _ = match route % 10 {
            0 => writeln!(
                text,
                "hosts = [\"h{route}.example.test\"]\npath = \"/v1/*\""
            ),
            1 => writeln!(text, "path = \"/v{route}/users/{{id}}/orders/{{order}}\""),
            2 => writeln!(
                text,
                "path = \"/v{route}/items/*\"\nmethods = [\"GET\", \"HEAD\"]"
            ),
            _ => writeln!(text, "path = \"/v{route}/services/*\""),
        };
    }
    text
}

/// What was written, read.
pub(crate) fn loaded(text: &str) -> Loaded {
    parse_str("bench.toml", text, Path::new("/"))
}

/// The frozen world that a configuration makes; panics with the diagnostics of one that is wrong.
pub(crate) fn snapshot(text: &str, stores: &Stores) -> Arc<Snapshot> {
    let compiled = compile(&loaded(text), stores, 1, SystemTime::now());
    match compiled.snapshot {
        Some(snapshot) => Arc::new(snapshot),
        None => panic!("{:?}", compiled.diagnostics),
    }
}
