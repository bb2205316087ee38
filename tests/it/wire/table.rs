//! The table of the wire rules: which test holds which case. `README.md` beside this file is made from it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// Why a case has no test.
enum Without {
    /// It is about something that the gateway does not have.
    Absent(&'static str),
    /// It is held by something that is not a test of this suite.
    Elsewhere(&'static str),
}

use Without::{Absent, Elsewhere};

const JWT: Option<Without> = Some(Absent("there are no tokens yet"));
const CACHE: Option<Without> = Some(Absent("there is no cache yet"));

/// A case that tests of this suite hold.
const TESTED: Option<Without> = None;

/// One case: its number, what must be true, and why it has no test if it has none.
type Rule = (u8, &'static str, Option<Without>);

/// The classes of cases.
const CLASSES: &[(&str, &[Rule])] = &[
    (
        "Message framing and desync",
        &[
            (
                1,
                "Content-Length and Transfer-Encoding together are refused",
                TESTED,
            ),
            (
                2,
                "only `chunked`, once, is a transfer coding; others are refused",
                TESTED,
            ),
            (3, "Transfer-Encoding in HTTP/1.0 is refused", TESTED),
            (
                4,
                "lengths that differ, lists of lengths and empty lengths are refused",
                TESTED,
            ),
            (5, "a length is digits that fit, and nothing else", TESTED),
            (
                6,
                "a chunk size is hexadecimal digits that fit, and nothing else",
                TESTED,
            ),
            (
                7,
                "lines of a chunked body end with CRLF, extensions hold none",
                TESTED,
            ),
            (
                8,
                "trailers cannot carry framing, routing or authorisation",
                TESTED,
            ),
            (
                9,
                "chunk data ends with CRLF, or both connections end",
                TESTED,
            ),
            (
                10,
                "a field line has a name, a colon right behind it, and no folding",
                TESTED,
            ),
            (
                11,
                "no NUL, CR or LF in a value, no byte outside the grammar in a name",
                TESTED,
            ),
            (
                12,
                "what follows an Upgrade that was not accepted is a request of its own, or nothing",
                TESTED,
            ),
            (
                13,
                "nothing that follows a CONNECT reaches an upstream",
                TESTED,
            ),
            (
                14,
                "an early answer never turns the unread body into a request",
                TESTED,
            ),
            (15, "Expect cannot shift the boundary of a message", TESTED),
            (
                16,
                "bodies of GET, HEAD and DELETE are passed on whole",
                TESTED,
            ),
            (
                17,
                "an HTTP/2 body that differs from its length ends the stream and the upstream connection",
                TESTED,
            ),
            (
                18,
                "HTTP/2 fields that HTTP/1 could not carry end the stream",
                TESTED,
            ),
            (
                19,
                "HTTP/1's connection fields in HTTP/2 end the stream",
                TESTED,
            ),
            (
                20,
                "an upstream's malformed, doubled or unasked answers never reach a client as its own",
                TESTED,
            ),
            (
                21,
                "a malformed request behind a good one is refused, the good one answered",
                TESTED,
            ),
        ],
    ),
    (
        "HTTP/2 and memory",
        &[
            (
                22,
                "rapid resets end the connection within a budget",
                TESTED,
            ),
            (
                23,
                "resets that a client makes the gateway send count in a budget",
                TESTED,
            ),
            (24, "CONTINUATION without end is cut off", TESTED),
            (25, "the decoded size of a header list is limited", TESTED),
            (
                26,
                "floods of control frames end the connection, also when the client never reads",
                TESTED,
            ),
            (27, "empty and padded DATA is bounded", TESTED),
            (
                28,
                "responses to clients that do not read are bounded",
                TESTED,
            ),
            (
                29,
                "HEADERS where none may be end the stream or the connection, not the process",
                TESTED,
            ),
            (
                30,
                "idle connections and half-open handshakes stay within their budget",
                TESTED,
            ),
            (31, "an upload to a slow upstream is held back", TESTED),
            (32, "inspected values take linear time", TESTED),
            (33, "metrics do not grow with what clients write", TESTED),
        ],
    ),
    (
        "Slow clients and deadlines",
        &[
            (34, "a head has one deadline, whatever trickles in", TESTED),
            (35, "a body that trickles is cut off", TESTED),
            (36, "a client that stops reading is cut off", TESTED),
            (37, "a handshake has one deadline", TESTED),
            (
                38,
                "a connection carries a limited number of requests",
                TESTED,
            ),
            (
                39,
                "slow clients of each kind do not disturb the others",
                TESTED,
            ),
        ],
    ),
    (
        "Paths, hosts and routes",
        &[
            (
                40,
                "the path that is matched is the path that is sent; ambiguous ones are refused",
                TESTED,
            ),
            (
                41,
                "a host has one spelling, however many hosts there are",
                TESTED,
            ),
            (42, "target, Host, `:authority` and SNI agree", TESTED),
            (43, "a route sees every value of a field", TESTED),
            (44, "captures cannot inject anything", TESTED),
            (45, "odd forms of a target do no harm", TESTED),
            (
                46,
                "redirects and forwarded hosts come from the configuration",
                TESTED,
            ),
        ],
    ),
    (
        "Identity and chains of proxies",
        &[
            (
                47,
                "forwarded addresses are believed from trusted hops only",
                TESTED,
            ),
            (
                48,
                "PROXY headers are believed from trusted addresses only",
                TESTED,
            ),
            (49, "Connection cannot remove what the gateway adds", TESTED),
            (
                50,
                "no client's spelling of an asserted field gets through",
                TESTED,
            ),
            (
                51,
                "sub-requests carry no credentials",
                Some(Absent(
                    "there are no sub-requests: checks of endpoints carry nothing of a client",
                )),
            ),
            (
                52,
                "identifiers from clients are limited, log fields escaped",
                TESTED,
            ),
        ],
    ),
    (
        "Tokens",
        &[
            (53, "the algorithm is the configuration's", JWT),
            (54, "the vectors of Wycheproof", JWT),
            (55, "nothing is fetched because a token says so", JWT),
            (56, "claims of a wrong type deny", JWT),
            (57, "huge and doubled tokens are refused", JWT),
            (58, "key sets that fail do no harm", JWT),
            (59, "an authority that does not answer denies", JWT),
            (60, "secrets are compared in constant time", JWT),
            (61, "an exchange keeps one configuration", TESTED),
        ],
    ),
    (
        "TLS and client certificates",
        &[
            (
                62,
                "a resumed session is valid for the same policy and authorities only",
                TESTED,
            ),
            (63, "a fragmented ClientHello meets the same policy", TESTED),
            (
                64,
                "an unknown, absent or odd server name never gets a laxer policy",
                TESTED,
            ),
            (
                65,
                "certificates that are not what they should be are refused",
                TESTED,
            ),
            (66, "there is no early data", TESTED),
            (
                67,
                "an upstream's wrong certificate is a fault, and nothing before the handshake counts",
                TESTED,
            ),
        ],
    ),
    (
        "Cache",
        &[
            (68, "the key holds scheme, host, path and Vary", CACHE),
            (69, "what an upstream reflects is stripped or keyed", CACHE),
            (70, "private responses are not stored by extension", CACHE),
            (71, "what must not be stored is not", CACHE),
            (72, "ranges are bounded", CACHE),
            (73, "one fill, and waiters do not wait for ever", CACHE),
        ],
    ),
    (
        "Upstream faults and retries",
        &[
            (74, "a POST that may have been seen is sent once", TESTED),
            (
                75,
                "a GET on a kept connection that closed is sent again",
                TESTED,
            ),
            (76, "extra attempts stay within their budget", TESTED),
            (77, "a killed endpoint costs its own requests only", TESTED),
            (78, "a stopped endpoint costs its own requests only", TESTED),
            (
                79,
                "garbage, endless heads and resets become faults, never whole answers",
                TESTED,
            ),
            (
                80,
                "names that fail, empty or flip leave the last good addresses",
                TESTED,
            ),
        ],
    ),
    (
        "Life cycle",
        &[
            (81, "reloads under load lose no request", TESTED),
            (
                82,
                "a broken configuration leaves the old one serving",
                TESTED,
            ),
            (83, "a stop lets exchanges end", TESTED),
            (84, "after a kill the next start is clean", TESTED),
            (
                85,
                "without descriptors accepting pauses and recovers",
                TESTED,
            ),
            (86, "a full disk or a blocked log stops no traffic", TESTED),
            (87, "under a cap of memory load is shed", TESTED),
            (88, "a jump of the clock disturbs nothing", TESTED),
            (89, "a panic ends one exchange", TESTED),
            (
                90,
                "memory and descriptors do not grow with time",
                Some(Elsewhere("`make soak`")),
            ),
        ],
    ),
];

/// The tests of each case, by the number in their names.
fn tests() -> BTreeMap<u8, Vec<String>> {
    let mut found: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                for line in text.lines() {
                    // A function, or a line of a macro that makes them.
                    let listed = line.trim_start().strip_prefix("case_");
                    let listed = listed.filter(|rest| rest.contains(" = "));
                    let function = line.split_once("fn case_").map(|(_, rest)| rest);
                    let Some(name) = listed.or(function) else {
                        continue;
                    };
                    let name: String = name
                        .chars()
                        .take_while(|it| it.is_alphanumeric() || *it == '_')
                        .collect();
                    let number = name.split('_').next().unwrap_or_default();
                    let Ok(number) = number.parse() else {
                        continue;
                    };
                    found
                        .entry(number)
                        .or_default()
                        .push(format!("case_{name}"));
                }
            }
        }
    }
    for names in found.values_mut() {
        names.sort();
    }
    found
}

fn table(tests: &BTreeMap<u8, Vec<String>>) -> String {
    let mut text = String::from(
        "# The wire rules, and what holds them\n\n\
         Generated from `table.rs`; `UPDATE_GOLDEN=1 cargo test --test it wire::table` writes it anew. The numbers are\n\
         stable and stand in the names of the tests; all of them pass whenever `make test` does, which is what \"holds\" means.\n",
    );
    for (class, cases) in CLASSES {
        let _ = write!(
            text,
            "\n## {class}\n\n| Case | What must be true | Tests | Result |\n|---|---|---|---|\n"
        );
        for (number, rule, without) in *cases {
            let names = tests.get(number).map(Vec::as_slice).unwrap_or_default();
            let (held, result) = match (names, without) {
                ([], Some(Absent(reason))) => (String::new(), format!("does not apply: {reason}")),
                ([], Some(Elsewhere(place))) => ((*place).to_owned(), "holds by that".to_owned()),
                ([], None) => (String::new(), "**not shown**".to_owned()),
                (names, _) => (format!("`{}`", names.join("`, `")), "holds".to_owned()),
            };
            let _ = writeln!(text, "| {number} | {rule} | {held} | {result} |");
        }
    }
    text
}

#[test]
fn every_case_is_held_by_a_test_or_has_a_reason() {
    let tests = tests();
    let mut missing = Vec::new();
    let mut known = Vec::new();
    for (number, _, without) in CLASSES.iter().flat_map(|(_, cases)| *cases) {
        known.push(*number);
        match (tests.get(number), without) {
            (None, None) => missing.push(*number),
            (Some(_), Some(_)) => panic!("case {number} has a test and a reason for having none"),
            _ => {}
        }
    }
    assert_eq!(known, (1..=90).collect::<Vec<u8>>());
    assert!(missing.is_empty(), "no test for the cases {missing:?}");
    let unknown: Vec<_> = tests.keys().filter(|it| !known.contains(it)).collect();
    assert!(
        unknown.is_empty(),
        "tests of cases that are none: {unknown:?}"
    );
}

#[test]
fn the_table_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wire/README.md");
    let table = table(&tests());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &table).expect("writable");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "tests/it/wire/README.md is stale: UPDATE_GOLDEN=1 cargo test --test it wire::table"
    );
}
