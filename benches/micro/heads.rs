//! Heads of HTTP/1, from bytes and to bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis::http::h1::{
    ConnectionHeader, Framing, HeadScan, parse_request, parse_response, write_request_head,
    write_response_head,
};
use portcullis::http::{HeadLimits, RequestHead, ResponseHead};

/// What `curl` sends.
const SMALL: &[u8] =
    b"GET /v1/users/7 HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// What a browser sends.
const LARGE: &[u8] = b"GET /v1/users/7?page=2&sort=name HTTP/1.1\r\nHost: api.example.test\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.test/users\r\nDNT: 1\r\nConnection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nX-Requested-With: XMLHttpRequest\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 130\r\nETag: \"65920080-82\"\r\nVary: Accept-Encoding\r\n\
    Cache-Control: private, max-age=60\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n\r\n";

pub(crate) fn all(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("head");
    for (name, bytes) in [("of curl", SMALL), ("of a browser", LARGE)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut head = RequestHead::default();
        group.bench_function(format!("parse the request {name}"), |bencher| {
            bencher.iter(|| {
                let read =
                    parse_request(black_box(bytes), &mut HeadScan::new(), &limits, &mut head);
                assert_eq!(read, Ok(Some(bytes.len())));
            });
        });
        let mut out = Vec::new();
        group.bench_function(format!("write the request {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_request_head(
                    black_box(&head),
                    Framing::None,
                    ConnectionHeader::None,
                    &mut out,
                );
            });
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    let mut head = ResponseHead::default();
    group.bench_function("parse a response", |bencher| {
        bencher.iter(|| {
            let read = parse_response(
                black_box(RESPONSE),
                &mut HeadScan::new(),
                &limits,
                &mut head,
            );
            assert_eq!(read, Ok(Some(RESPONSE.len())));
        });
    });
    let mut out = Vec::new();
    group.bench_function("write a response", |bencher| {
        bencher.iter(|| {
            out.clear();
            let framing = Framing::Length(130);
            write_response_head(black_box(&head), framing, ConnectionHeader::None, &mut out);
        });
    });
    group.finish();
}
