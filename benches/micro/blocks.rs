//! Header blocks of HTTP/2, from bytes and to bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis::http::h2::{
    Decoder, Encoder, read_request, read_response, write_request, write_response,
};
use portcullis::http::{HeadLimits, RequestHead, ResponseHead};

/// What a browser sends first: literals in Huffman's code, each of which becomes an entry of the table.
const FIRST: &str = concat!(
    "82418b1d665cbe474d741574950987449563b858b505b10c3bfe56398b00be107b130543a4bf7ab5d07f66a281b0dae053fa",
    "fc087ed4ce6aadf2a7979c89c6bed4b3bdc089e5c1fda988a4ea76040080010054c26b0b29fcb0113cb83f53c0497ca589d3",
    "4d1f43aeba0c41a4c7a98f33a69a3fdf9a68fa1d75d0620d263d4c79a68fbed00177fe8d48e62b03ee697e8d48e62b1e0b1d",
    "7f5f2c7cfdf6800bbd518b2d4b62bbf45abefb4005db50929bd9abfa5242cb40d25fa523b3e94f684c9f73969d29ad171863",
    "c78f0b97c8e9ae82ae92a12c5a82d88f4003646e74013160a74150831ea8001132d36e3af3e38c921650044cb4db8ebcf8e3",
    "24859401132d36e3af3e38c9216560884ce5a4b0483b3aff608821ea416a4c1e8a8f4092b6b9ac1c8558d520a4b6c2ad617b",
    "5a54251f0131408a4148b4a549275a42a13f8690e4b692d49f408a4148b4a549275a93c85f86a87dcd30d25f408a4148b4a5",
    "49275906497f8840e92ac7b0d31aaf408a4148b4a549275ad416cf023f314086aec31ec327d785b6007d286f4085aec1cd48",
    "ff86a8eb10649cbf5886a8eb10649cbf408cf2b585ed695092c8b783267f8bfcd19f1a535ed2f6b4a84f",
);

/// The same again: nothing but entries.
const AGAIN: &str = "82d187d0cfcecdcccbcac9c8c7c6c5c4c3c2c1c0bfbe";

const RESPONSE: [(&str, &str); 8] = [
    ("Server", "nginx"),
    ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ("Content-Type", "application/json"),
    ("Content-Length", "130"),
    ("ETag", "\"65920080-82\""),
    ("Vary", "Accept-Encoding"),
    ("Cache-Control", "private, max-age=60"),
    ("X-Request-Id", "0123456789abcdef0123456789abcdef"),
];

pub(crate) fn all(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("block");
    let mut request = RequestHead::default();
    let mut decoder = Decoder::new();
    for (name, block) in [("the first", FIRST), ("again", AGAIN)] {
        let block = bytes(block);
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function(
            format!("read the request of a browser, {name}"),
            |bencher| {
                // `AGAIN` means the entries that `FIRST` makes.
                decoder = Decoder::new();
                let read = read_request(&mut decoder, &bytes(FIRST), &mut request, &limits);
                assert_eq!(read, Ok(()));
                bencher.iter(|| {
                    let read = read_request(&mut decoder, black_box(&block), &mut request, &limits);
                    assert_eq!(read, Ok(()));
                });
            },
        );
    }
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    group.bench_function("write the request of a browser", |bencher| {
        // It may be the only one that was asked for.
        let read = read_request(&mut Decoder::new(), &bytes(FIRST), &mut request, &limits);
        assert_eq!(read, Ok(()));
        bencher.iter(|| {
            out.clear();
            let written = write_request(&mut encoder, black_box(&request), "https", &mut out);
            assert_eq!(written, Ok(()));
        });
    });
    let mut response = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    for (name, value) in RESPONSE {
        response.fields.push(name.as_bytes(), value.as_bytes());
    }
    out.clear();
    let written = write_response(&mut encoder, &response, &mut out);
    assert_eq!(written, Ok(()));
    group.throughput(Throughput::Bytes(out.len() as u64));
    let block = out.clone();
    group.bench_function("write a response", |bencher| {
        bencher.iter(|| {
            out.clear();
            let written = write_response(&mut encoder, black_box(&response), &mut out);
            assert_eq!(written, Ok(()));
        });
    });
    group.bench_function("read a response", |bencher| {
        let mut decoder = Decoder::new();
        let mut read = ResponseHead::default();
        bencher.iter(|| {
            let done = read_response(&mut decoder, black_box(&block), &mut read, &limits);
            assert_eq!(done, Ok(()));
        });
    });
    group.finish();
}

/// The bytes that a text of hexadecimal digits stands for.
fn bytes(digits: &str) -> Vec<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).expect("a digit") as u8;
    digits
        .as_bytes()
        .as_chunks()
        .0
        .iter()
        .map(|[high, low]| value(*high) << 4 | value(*low))
        .collect()
}
