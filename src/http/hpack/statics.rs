//! The static table of HPACK (RFC 7541 appendix A).

use super::super::fields::Known;
use super::field::{NameKind, Seen, ValueKind};

/// The field of an index from 1 to 61.
pub(super) fn get(index: usize) -> Option<&'static Seen<'static>> {
    TABLE.get(index.checked_sub(1)?)
}

/// The number of fields.
pub(super) const COUNT: usize = TABLE.len();

static TABLE: [Seen<'static>; 61] = [
    seen(NameKind::Authority, b":authority", b""),
    seen(NameKind::Method, b":method", b"GET"),
    seen(NameKind::Method, b":method", b"POST"),
    seen(NameKind::Path, b":path", b"/"),
    seen(NameKind::Path, b":path", b"/index.html"),
    seen(NameKind::Scheme, b":scheme", b"http"),
    seen(NameKind::Scheme, b":scheme", b"https"),
    seen(NameKind::Status, b":status", b"200"),
    seen(NameKind::Status, b":status", b"204"),
    seen(NameKind::Status, b":status", b"206"),
    seen(NameKind::Status, b":status", b"304"),
    seen(NameKind::Status, b":status", b"400"),
    seen(NameKind::Status, b":status", b"404"),
    seen(NameKind::Status, b":status", b"500"),
    seen(NameKind::Field(Known::Other), b"accept-charset", b""),
    seen(
        NameKind::Field(Known::AcceptEncoding),
        b"accept-encoding",
        b"gzip, deflate",
    ),
    seen(NameKind::Field(Known::Other), b"accept-language", b""),
    seen(NameKind::Field(Known::Other), b"accept-ranges", b""),
    seen(NameKind::Field(Known::Accept), b"accept", b""),
    seen(
        NameKind::Field(Known::Other),
        b"access-control-allow-origin",
        b"",
    ),
    seen(NameKind::Field(Known::Age), b"age", b""),
    seen(NameKind::Field(Known::Other), b"allow", b""),
    seen(NameKind::Field(Known::Authorization), b"authorization", b""),
    seen(NameKind::Field(Known::CacheControl), b"cache-control", b""),
    seen(NameKind::Field(Known::Other), b"content-disposition", b""),
    seen(
        NameKind::Field(Known::ContentEncoding),
        b"content-encoding",
        b"",
    ),
    seen(NameKind::Field(Known::Other), b"content-language", b""),
    seen(
        NameKind::Field(Known::ContentLength),
        b"content-length",
        b"",
    ),
    seen(NameKind::Field(Known::Other), b"content-location", b""),
    seen(NameKind::Field(Known::Other), b"content-range", b""),
    seen(NameKind::Field(Known::ContentType), b"content-type", b""),
    seen(NameKind::Field(Known::Cookie), b"cookie", b""),
    seen(NameKind::Field(Known::Date), b"date", b""),
    seen(NameKind::Field(Known::Other), b"etag", b""),
    seen(NameKind::Field(Known::Expect), b"expect", b""),
    seen(NameKind::Field(Known::Other), b"expires", b""),
    seen(NameKind::Field(Known::Other), b"from", b""),
    seen(NameKind::Field(Known::Host), b"host", b""),
    seen(NameKind::Field(Known::Other), b"if-match", b""),
    seen(NameKind::Field(Known::Other), b"if-modified-since", b""),
    seen(NameKind::Field(Known::Other), b"if-none-match", b""),
    seen(NameKind::Field(Known::Other), b"if-range", b""),
    seen(NameKind::Field(Known::Other), b"if-unmodified-since", b""),
    seen(NameKind::Field(Known::Other), b"last-modified", b""),
    seen(NameKind::Field(Known::Other), b"link", b""),
    seen(NameKind::Field(Known::Location), b"location", b""),
    seen(NameKind::Field(Known::Other), b"max-forwards", b""),
    seen(
        NameKind::Field(Known::ProxyAuthenticate),
        b"proxy-authenticate",
        b"",
    ),
    seen(
        NameKind::Field(Known::ProxyAuthorization),
        b"proxy-authorization",
        b"",
    ),
    seen(NameKind::Field(Known::Other), b"range", b""),
    seen(NameKind::Field(Known::Referer), b"referer", b""),
    seen(NameKind::Field(Known::Other), b"refresh", b""),
    seen(NameKind::Field(Known::RetryAfter), b"retry-after", b""),
    seen(NameKind::Field(Known::Server), b"server", b""),
    seen(NameKind::Field(Known::SetCookie), b"set-cookie", b""),
    seen(
        NameKind::Field(Known::Other),
        b"strict-transport-security",
        b"",
    ),
    seen(
        NameKind::Field(Known::TransferEncoding),
        b"transfer-encoding",
        b"",
    ),
    seen(NameKind::Field(Known::UserAgent), b"user-agent", b""),
    seen(NameKind::Field(Known::Other), b"vary", b""),
    seen(NameKind::Field(Known::Via), b"via", b""),
    seen(NameKind::Field(Known::Other), b"www-authenticate", b""),
];

const fn seen(name_kind: NameKind, name: &'static [u8], value: &'static [u8]) -> Seen<'static> {
    Seen {
        name_kind,
        value_kind: ValueKind::Good,
        name,
        value,
        secret: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_what_its_name_says() {
        for index in 1..=COUNT {
            let seen = get(index).unwrap();
            assert_eq!(seen.name_kind, NameKind::of(seen.name), "{index}");
            assert_eq!(seen.value_kind, ValueKind::of(seen.value), "{index}");
        }
        assert!(get(0).is_none());
        assert!(get(62).is_none());
        assert_eq!(get(61).unwrap().name, b"www-authenticate");
        assert_eq!(get(16).unwrap().value, b"gzip, deflate");
    }
}
