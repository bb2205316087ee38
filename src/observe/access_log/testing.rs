//! Records for the tests of this module.

use std::time::{Duration, UNIX_EPOCH};

use crate::observe::record::{AccessRecord, Source, Timings, TlsFacts};

/// A record in which every field has a value.
pub(super) fn full_record() -> AccessRecord<'static> {
    AccessRecord {
        start: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
        listener: "secure",
        client: "192.0.2.7:40000".parse().unwrap(),
        peer: Some("[2001:db8::1]:50000".parse().unwrap()),
        protocol: "HTTP/2",
        method: b"GET",
        method_label: "GET",
        host: b"api.example.com",
        path: b"/v1/users/7",
        query: Some(b"a=1"),
        status: 503,
        reason: "no_endpoint",
        source: Source::Gateway,
        route: "users",
        upstream: "users-v2",
        endpoint: "10.0.0.1:9001",
        attempts: 2,
        earlier_attempts: b"10.0.0.2:9001 503",
        timings: Timings {
            total: Duration::from_micros(1_234_567),
            head: Duration::from_micros(50),
            upstream_connect: Some(Duration::from_millis(1)),
            upstream_first_byte: Some(Duration::from_millis(1_200)),
            upstream: Duration::from_millis(1_201),
            queued: Duration::from_millis(2),
            overhead: Duration::from_nanos(33_999),
        },
        bytes_received: 11,
        bytes_sent: 22,
        request_id: b"id-1",
        user_agent: b"curl/8 \"x\"",
        referer: b"https://example.com/",
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS13_AES_128_GCM_SHA256",
            sni: "api.example.com",
            client_subject: "CN=someone",
        }),
        grpc_status: Some(14),
        generation: 3,
    }
}
