//! The invariants of the fuzz targets on the stable toolchain: each committed corpus, and inputs made from the
//! fragments of each grammar.

#![cfg(test)]

#[path = "../fuzz/invariants/mod.rs"]
pub mod invariants;

use std::{fs, net::SocketAddr, path::PathBuf};

use invariants::{
    chunked, config, gateway, header_block, path, proxy_header, request_head, response_head,
};
use proptest::prelude::*;

/// The targets; each has a test below.
const TARGETS: [&str; 8] = [
    "chunked",
    "config",
    "gateway",
    "header_block",
    "path",
    "proxy_header",
    "request_head",
    "response_head",
];

#[test]
fn every_target_of_the_fuzzer_is_here() {
    let mut targets: Vec<_> = files("fuzz/fuzz_targets")
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    assert_eq!(targets, TARGETS);
}

#[test]
fn the_corpus_of_chunked_holds() {
    replay("chunked", chunked::check);
}

#[test]
fn the_corpus_of_config_holds() {
    replay("config", config::check);
}

#[test]
fn the_corpus_of_gateway_holds() {
    replay("gateway", gateway::check);
    gateway::finish();
}

#[test]
fn the_corpus_of_header_block_holds() {
    replay("header_block", header_block::check);
}

#[test]
fn the_corpus_of_path_holds() {
    replay("path", path::check);
}

#[test]
fn the_corpus_of_proxy_header_holds() {
    replay("proxy_header", proxy_header::check);
}

#[test]
fn the_corpus_of_request_head_holds() {
    replay("request_head", request_head::check);
}

#[test]
fn the_corpus_of_response_head_holds() {
    replay("response_head", response_head::check);
}

/// Checks each file of a corpus; the last name that was printed is the one that failed.
fn replay(target: &str, check: fn(&[u8])) {
    let corpus = files(&format!("fuzz/corpus/{target}"));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for path in corpus {
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file of the corpus"));
    }
}

/// The files of a folder of this repository, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

proptest! {
    #[test]
    fn a_request_head_of_any_fragments_holds(
        bytes in fragments(&[
            b"GET ", b"POST ", b"OPTIONS * ", b"CONNECT a:1 ", b"/", b"/a/%2e./b", b"?q=%zz", b"http://a.test", b" ",
            b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"HTTP/1.1", b"Host: a.test\r\n", b"Host: A.Test.:80\r\n",
            b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close, x-a\r\n", b"X-A: b\r\n",
            b"TE: trailers\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"X : y", b": ", b"\t",
            b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b"\x80",
        ]),
    ) {
        request_head::check(&bytes);
        // Without a line that begins well, nothing behind it is ever looked at.
        request_head::check(&[b"GET / HTTP/1.1\r\nHost: a.test\r\n", &*bytes, b"\r\n\r\n"].concat());
    }

    #[test]
    fn a_response_head_of_any_fragments_holds(
        bytes in fragments(&[
            b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b"HTTP/1.1 ", b"204", b"304 ", b"101", b" ", b"Not Here", b"\r\n",
            b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X: y\r\n",
            b" folded\r\n", b"\r", b"\n", b"\r\n\r\n", b"\0", b"\xff", b"\t",
        ]),
    ) {
        response_head::check(&bytes);
        response_head::check(&[b"HTTP/1.1 200 OK\r\n", &*bytes, b"\r\n\r\n"].concat());
    }

    #[test]
    fn header_blocks_of_any_fragments_hold(
        blocks in proptest::collection::vec(
            (
                any::<bool>(),
                fragments(&[
                    b"\x82", b"\x83", b"\x84", b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x90", b"\xbe", b"\xbf", b"\xc0",
                    b"\x20", b"\x3f\x21", b"\x3f\xe1\x1f", b"\x41\x01a", b"\x01\x04A.:1", b"\x44\x05/a?b\"", b"\x04\x01*",
                    b"\x42\x07CONNECT", b"\x42\x07OPTIONS", b"\x66\x01a", b"\x60\x03a=1", b"\x10\x06cookie\x03b=2", b"\x40\x01x\x01y",
                    b"\x40\x01x\x02 y", b"\x40\x02te\x08trailers", b"\x00\x01X\x01y", b"\x00\x02x\"\x00", b"\x7e\x01z", b"\x0f\x2f\x01z",
                    b"\x5c\x015", b"\x00\x0bgrpc-status\x010", b"\x40\x82\xf2\xb5\x81\x1f", b"\xff", b"\x80", b"\x00", b"\x7f",
                ]),
            ),
            0..6,
        ),
    ) {
        // Without what every request has, or every response, nothing else is ever looked at.
        let framed = |start: &[u8]| {
            let framed = blocks.iter().flat_map(|(whole, fields)| {
                let start = if *whole { start } else { b"" };
                let length = u16::try_from(start.len() + fields.len()).expect("a short block");
                [&length.to_be_bytes(), start, fields].concat()
            });
            framed.collect::<Vec<u8>>()
        };
        header_block::check(&framed(b""));
        header_block::check(&framed(b"\x82\x87\x84\x41\x01a"));
        header_block::check(&framed(b"\x88"));
    }

    #[test]
    fn a_chunked_body_of_any_fragments_holds(
        step in any::<u8>(),
        bytes in fragments(&[
            b"0", b"1", b"a", b"F", b"\r\n", b"\r", b"\n", b"1\r\nx\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"0\r\n",
            b";", b"a=b", b"=\"", b"\\", b" ", b"\t", b"X-Sum: 1\r\n", b"Host: a\r\n", b"abc", b"\0",
        ]),
    ) {
        chunked::check(&[&[step], &*bytes].concat());
    }

    #[test]
    fn a_path_of_any_fragments_holds(
        bytes in fragments(&[
            b"/", b"a", b".", b"..", b"%2e", b"%2E%2e", b";x=1", b"%3b", b"%2f", b"%5C", b"\\", b"%25", b"%c0%af",
            b"%e2%82%ac", b"%41", b"%zz", b"%", b"?", b"#", b" ", b"\x80", b"[::1]", b":80", b"a.test", b"A",
        ]),
    ) {
        path::check(&bytes);
        path::check(&[b"/", &*bytes].concat());
    }

    #[test]
    fn a_proxy_header_holds_whatever_is_changed_in_it(
        source in any::<SocketAddr>(),
        destination in any::<SocketAddr>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        entries in fragments(&[b"\x01\0\x02h2", b"\x03\0\x04\0\0\0\0", b"\x04\0\0", b"\x20\xff\xff", b"GET / HTTP/1.1\r\n"]),
    ) {
        for header in [proxy_header::line, proxy_header::binary] {
            let mut bytes = header(source, destination);
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.extend_from_slice(&entries);
            proxy_header::check(&bytes);
        }
    }

    #[test]
    fn a_configuration_of_any_fragments_holds(
        bytes in fragments(&[
            b"[[listener]]\n", b"[[route]]\n", b"[upstream.a]\n", b"[upstream.a.limits]\n", b"name = ", b"address = ",
            b"endpoints = ", b"upstream = ", b"\"a\"\n", b"\"127.0.0.1:80\"\n", b"[\"127.0.0.1:81\"]\n", b"path = \"/{x}/*\"\n",
            b"filters = [{ kind = \"rewrite\", path = \"/{x}\" }]\n", b"respond = {}\n", b"1\n", b"= ", b"[", b"]", b"\"", b"\n",
            b"${env:A}", b"\xc3\xbc", b"#", b"timeout = \"1s\"\n", b"{", b"}", b"'''", b"\r",
        ]),
    ) {
        config::check(&bytes);
    }
}

/// Up to 24 of these, one after the other.
fn fragments(all: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop::sample::select(all), 0..24).prop_map(|parts| parts.concat())
}
