//! Which fields may stand behind a body (RFC 9110 section 6.5.1).

use super::fields::{Field, Known};

/// Whether a field may stand in the trailers. Framing, routing, authentication, control data and everything the
/// gateway itself reads or writes may not: a reader that merges trailers into the head would act on them.
pub(super) fn is_allowed(field: Field<'_>) -> bool {
    match field.known {
        Known::GrpcStatus => true,
        Known::Other => !is_forbidden_name(field.name),
        _ => false,
    }
}

fn is_forbidden_name(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 10] = [
        b"content-range",
        b"cookie2",
        b"expires",
        b"max-forwards",
        b"pragma",
        b"range",
        b"set-cookie2",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    const PREFIXES: [&[u8]; 4] = [b"if-", b"proxy-", b"x-forwarded-", b"x-real-"];
    NAMES
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        || PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(name: &str) -> bool {
        is_allowed(Field {
            known: Known::of(name.as_bytes()),
            name: name.as_bytes(),
            value: b"",
        })
    }

    #[test]
    fn case_008_forbidden_trailers_are_told_from_allowed_ones() {
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Content-Type",
            "Content-Encoding",
            "Content-Range",
            "Cache-Control",
            "Expect",
            "X-Forwarded-For",
            "X-Forwarded-Prefix",
            "X-Real-Ip",
            "Forwarded",
            "If-Match",
            "WWW-Authenticate",
            "X-Request-Id",
        ] {
            assert!(!allowed(name), "{name}");
        }
        for name in [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "Server-Timing",
            "ETag",
            "Digest",
            "X-Sum",
        ] {
            assert!(allowed(name), "{name}");
        }
    }
}
