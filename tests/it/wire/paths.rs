//! Wire rules D: hosts, targets and paths.

use super::case::{Answer, Case, End, OK, Upstream, refusal, refused, sent, served};
use super::runner::run;

/// The answer to OPTIONS.
const OPTIONS_OK: Answer = Answer {
    method: "OPTIONS",
    ..OK
};

pub(super) const CASES: &[Case] = &[
    // 40: one spelling, the one that is sent.
    served(
        40,
        "a dot segment",
        b"GET /public/../admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin")],
    ),
    served(
        40,
        "an encoded dot segment",
        b"GET /public/%2e%2E/admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin")],
    ),
    served(
        40,
        "single dots",
        b"GET /./admin/. HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin/")],
    ),
    served(
        40,
        "two slashes",
        b"GET //admin//x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin/x")],
    ),
    served(
        40,
        "an encoded letter",
        b"GET /%61dmin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin")],
    ),
    served(
        40,
        "parameters are part of their segment",
        b"GET /admin;x=1/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/admin;x=1/")],
    ),
    served(
        40,
        "double encoding is decoded by nobody",
        b"GET /%252e%252e/admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/%252e%252e/admin")],
    ),
    served(
        40,
        "lower-case escapes",
        b"GET /caf%c3%a9 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/caf%C3%A9")],
    ),
    served(
        40,
        "the query is not touched",
        b"GET /a?b=/../c%2f&d=%zz//;? HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/a?b=/../c%2f&d=%zz//;?")],
    ),
    served(
        40,
        "an empty query stays",
        b"GET /a? HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/a?")],
    ),
    refused(
        40,
        "an encoded slash",
        b"GET /admin%2f.. HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "dots with a parameter",
        b"GET /a/..;/admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "a parameter of nothing in the middle",
        b"GET /;x/admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    served(
        40,
        "a parameter of nothing at the end is a session",
        b"GET /;jsessionid=1 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/;jsessionid=1")],
    ),
    refused(
        40,
        "encoded dots with a parameter",
        b"GET /a/%2e%2e;x/admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "a backslash",
        b"GET /a\\admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path|bad_target")],
    ),
    refused(
        40,
        "an encoded backslash",
        b"GET /a%5cadmin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "an encoded NUL",
        b"GET /admin%00 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "an encoded line end",
        b"GET /a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "overlong UTF-8 of two bytes",
        b"GET /%c0%afadmin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "overlong UTF-8 of three bytes",
        b"GET /%e0%80%afadmin HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "above the root",
        b"GET /.. HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "far above the root",
        b"GET /a/../../etc/passwd HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "ambiguous_path")],
    ),
    refused(
        40,
        "half an escape",
        b"GET /a%2 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        40,
        "no escape",
        b"GET /a%zz HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        40,
        "a fragment",
        b"GET /a#b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        40,
        "a control byte",
        b"GET /a\x01b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target|bad_request_line")],
    ),
    refused(
        40,
        "a byte above ASCII",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target|bad_request_line")],
    ),
    refused(
        40,
        "a space in the target",
        b"GET /a b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_request_line|bad_target")],
    ),
    refused(
        40,
        "a tab instead of a space",
        b"GET\t/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_request_line")],
    ),
    refused(
        40,
        "two spaces",
        b"GET  /a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_request_line|bad_target")],
    ),
    refused(
        40,
        "no leading slash",
        b"GET a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        40,
        "HTTP/0.9",
        b"GET /\r\n\r\n",
        &[refusal(400, "bad_request_line")],
    ),
    refused(
        40,
        "HTTP/1.9",
        b"GET / HTTP/1.9\r\nHost: gateway.test\r\n\r\n",
        &[refusal(505, "unsupported_version")],
    ),
    refused(
        40,
        "HTTP/2.0 without its preface",
        b"GET / HTTP/2.0\r\nHost: gateway.test\r\n\r\n",
        &[refusal(505, "unsupported_version")],
    ),
    refused(
        40,
        "the protocol in lower case",
        b"GET / http/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_request_line")],
    ),
    refused(
        40,
        "a method that is no token",
        b"G(T / HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_request_line")],
    ),
    // 41: hosts.
    served(
        41,
        "capitals, a final dot and a port",
        b"GET /41 HTTP/1.1\r\nHost: GateWay.TEST.:8080\r\n\r\n",
        &[OK],
        &[sent("GET", "/41").has(&[("host", "gateway.test:8080")])],
    ),
    served(
        41,
        "an IPv6 address",
        b"GET /41 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        &[OK],
        &[sent("GET", "/41").has(&[("host", "[::1]:80")])],
    ),
    refused(
        41,
        "an IPv6 zone",
        b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "no host",
        b"GET / HTTP/1.1\r\n\r\n",
        &[refusal(400, "missing_host")],
    ),
    refused(
        41,
        "an empty host",
        b"GET / HTTP/1.1\r\nHost: \r\n\r\n",
        &[refusal(400, "bad_host|missing_host")],
    ),
    refused(
        41,
        "two equal hosts",
        b"GET / HTTP/1.1\r\nHost: gateway.test\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "duplicate_host")],
    ),
    refused(
        41,
        "two hosts",
        b"GET / HTTP/1.1\r\nHost: gateway.test\r\nHost: other.test\r\n\r\n",
        &[refusal(400, "duplicate_host")],
    ),
    refused(
        41,
        "two hosts in one field",
        b"GET / HTTP/1.1\r\nHost: gateway.test, other.test\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "user information",
        b"GET / HTTP/1.1\r\nHost: a@gateway.test\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "a path in the host",
        b"GET / HTTP/1.1\r\nHost: gateway.test/x\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "a port that is no number",
        b"GET / HTTP/1.1\r\nHost: gateway.test:http\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "a port too large",
        b"GET / HTTP/1.1\r\nHost: gateway.test:65536\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "an escape in the host",
        b"GET / HTTP/1.1\r\nHost: gateway%2etest\r\n\r\n",
        &[refusal(400, "bad_host")],
    ),
    refused(
        41,
        "NUL in the host",
        b"GET / HTTP/1.1\r\nHost: gateway.test\0\r\n\r\n",
        &[refusal(400, "bad_host|bad_field_value")],
    ),
    // 42: the target against the host.
    served(
        42,
        "an absolute target and the same host",
        b"GET http://gateway.test/42?a HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/42?a").has(&[("host", "gateway.test")])],
    ),
    served(
        42,
        "an absolute target and the same host in capitals",
        b"GET HTTP://gateway.test/42 HTTP/1.1\r\nHost: GATEWAY.test:80\r\n\r\n",
        &[OK],
        &[sent("GET", "/42")],
    ),
    served(
        42,
        "an absolute target without a path",
        b"GET http://gateway.test HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OK],
        &[sent("GET", "/")],
    ),
    refused(
        42,
        "an absolute target and another host",
        b"GET http://other.test/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "host_mismatch")],
    ),
    refused(
        42,
        "an absolute target and another port",
        b"GET http://gateway.test:81/ HTTP/1.1\r\nHost: gateway.test:82\r\n\r\n",
        &[refusal(400, "host_mismatch")],
    ),
    refused(
        42,
        "an absolute target with user information",
        b"GET http://a@gateway.test/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_host|bad_target")],
    ),
    refused(
        42,
        "another scheme",
        b"GET ftp://gateway.test/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        42,
        "an absolute target without a host field",
        b"GET http://gateway.test/ HTTP/1.1\r\n\r\n",
        &[refusal(400, "missing_host")],
    ),
    // 45: the odd forms of a target.
    served(
        45,
        "OPTIONS *",
        b"OPTIONS * HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[OPTIONS_OK],
        &[sent("OPTIONS", "*")],
    ),
    refused(
        45,
        "* for another method",
        b"GET * HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    refused(
        45,
        "an authority for another method",
        b"GET gateway.test:80 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        &[refusal(400, "bad_target")],
    ),
    Case {
        number: 45,
        name: "TRACE",
        bytes: b"TRACE / HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        answers: &[refusal(405, "method_not_allowed")],
        upstream: Upstream::Nothing,
        end: End::Either,
    },
];

#[tokio::test]
async fn case_40_paths_have_one_spelling() {
    run(CASES, 40).await;
}

#[tokio::test]
async fn case_41_hosts_have_one_spelling() {
    run(CASES, 41).await;
}

#[tokio::test]
async fn case_42_target_and_host_agree() {
    run(CASES, 42).await;
}

#[tokio::test]
async fn case_45_odd_forms_of_a_target() {
    run(CASES, 45).await;
}
