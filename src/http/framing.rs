//! How long a body is, by its head alone (RFC 9112 section 6.3), whatever the protocol version.
//!
//! Whatever two readers could measure differently is refused, so that the next message begins where everybody thinks.

use super::error::HeadError;
use super::fields::{Fields, Known};
use super::grammar::{is_token, list};
use super::head::{Method, RequestHead, ResponseHead, Version};

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// That many bytes; an explicit zero is `Exact(0)`.
    Exact(u64),
    /// As the chunks say (HTTP/1.1).
    Chunked,
    /// Until the connection (a response in HTTP/1) or the stream (HTTP/2) ends.
    UntilClose,
}

/// The length of the body behind a request head.
pub fn request_body(head: &RequestHead) -> Result<BodyLength, HeadError> {
    let without = match head.version {
        Version::Http10 | Version::Http11 => BodyLength::Empty,
        Version::Http2 => BodyLength::UntilClose,
    };
    declared(head.version, &head.fields).map(|length| length.unwrap_or(without))
}

/// The length of the body behind a response head. Behind a 101, and a 2xx to CONNECT, what follows is no body.
///
/// The declaration is checked even where it does not matter: an upstream that contradicts itself is not trusted with
/// the next message either. For the length that a response to HEAD declares, see [`content_length`].
pub fn response_body(
    request_method: &Method,
    head: &ResponseHead,
) -> Result<BodyLength, HeadError> {
    let length = declared(head.version, &head.fields)?;
    let bodiless = matches!(head.status, 100..=199 | 204 | 304)
        || *request_method == Method::Head
        || (*request_method == Method::Connect && matches!(head.status, 200..=299));
    if bodiless {
        return Ok(BodyLength::Empty);
    }
    Ok(length.unwrap_or(BodyLength::UntilClose))
}

/// The value of `Content-Length`, if there is one: decimal digits alone, once, at most 2⁶³ − 1.
pub fn content_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut values = fields.all(Known::ContentLength);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(HeadError::BadContentLength);
    }
    parse_length(value)
        .map(Some)
        .ok_or(HeadError::BadContentLength)
}

fn declared(version: Version, fields: &Fields) -> Result<Option<BodyLength>, HeadError> {
    if !fields.has(Known::TransferEncoding) {
        return Ok(content_length(fields)?.map(BodyLength::Exact));
    }
    if fields.has(Known::ContentLength) {
        return Err(HeadError::LengthAndTransferEncoding);
    }
    match version {
        Version::Http10 => return Err(HeadError::TransferEncodingInHttp10),
        Version::Http11 => {}
        Version::Http2 => return Err(HeadError::ConnectionSpecificField),
    }
    let mut values = fields.all(Known::TransferEncoding);
    match (values.next(), values.next()) {
        (Some(value), None) => transfer_encoding(value).map(Some),
        _ => Err(HeadError::BadTransferEncoding),
    }
}

/// `chunked` and nothing else is understood. What is a proper list of other codings is told apart from nonsense, so
/// that an honest client learns why.
fn transfer_encoding(value: &[u8]) -> Result<BodyLength, HeadError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    let codings = list(value).count();
    let members = value.split(|byte| *byte == b',').count();
    let proper = codings == members && list(value).all(is_token);
    let chunked = list(value)
        .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .count();
    let last_is_chunked = list(value)
        .last()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if proper && (chunked == 0 || (chunked == 1 && last_is_chunked)) {
        return Err(HeadError::UnknownTransferEncoding);
    }
    Err(HeadError::BadTransferEncoding)
}

/// Nineteen digits always fit; above 2⁶³ − 1 an upstream with signed numbers would read something else.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    i64::try_from(length).is_ok().then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn request(version: Version, pairs: &[(&str, &str)]) -> Result<BodyLength, HeadError> {
        request_body(&RequestHead {
            version,
            fields: fields(pairs),
            ..RequestHead::default()
        })
    }

    fn response(
        method: &Method,
        status: u16,
        pairs: &[(&str, &str)],
    ) -> Result<BodyLength, HeadError> {
        response_body(
            method,
            &ResponseHead {
                status,
                fields: fields(pairs),
                ..ResponseHead::default()
            },
        )
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        assert_eq!(request(Version::Http11, &[]), Ok(BodyLength::Empty));
        assert_eq!(request(Version::Http10, &[]), Ok(BodyLength::Empty));
        assert_eq!(request(Version::Http2, &[]), Ok(BodyLength::UntilClose));
        assert_eq!(
            request(Version::Http11, &[("content-length", "0")]),
            Ok(BodyLength::Exact(0))
        );
        assert_eq!(
            request(Version::Http2, &[("content-length", "7")]),
            Ok(BodyLength::Exact(7))
        );
        assert_eq!(
            request(Version::Http11, &[("transfer-encoding", "Chunked")]),
            Ok(BodyLength::Chunked)
        );
        let longest = i64::MAX.to_string();
        assert_eq!(
            request(Version::Http11, &[("content-length", &longest)]),
            Ok(BodyLength::Exact(i64::MAX.unsigned_abs()))
        );
    }

    #[test]
    fn case_001_length_and_transfer_encoding_is_refused() {
        for version in [Version::Http10, Version::Http11, Version::Http2] {
            for pairs in [
                [("content-length", "5"), ("transfer-encoding", "chunked")],
                [("transfer-encoding", "chunked"), ("content-length", "5")],
                [
                    ("transfer-encoding", "identity"),
                    ("content-length", "junk"),
                ],
            ] {
                assert_eq!(
                    request(version, &pairs),
                    Err(HeadError::LengthAndTransferEncoding)
                );
            }
        }
    }

    #[test]
    fn case_002_odd_transfer_encodings_are_refused() {
        for (value, error) in [
            (",chunked", HeadError::BadTransferEncoding),
            ("chunked,", HeadError::BadTransferEncoding),
            ("", HeadError::BadTransferEncoding),
            ("chunked, chunked", HeadError::BadTransferEncoding),
            ("chunked, identity", HeadError::BadTransferEncoding),
            ("chunked;x=1", HeadError::BadTransferEncoding),
            ("chunked x", HeadError::BadTransferEncoding),
            ("\"chunked\"", HeadError::BadTransferEncoding),
            ("\u{b}chunked", HeadError::BadTransferEncoding),
            ("gzip, chunked", HeadError::UnknownTransferEncoding),
            ("xchunked", HeadError::UnknownTransferEncoding),
            ("identity", HeadError::UnknownTransferEncoding),
            ("gzip", HeadError::UnknownTransferEncoding),
        ] {
            assert_eq!(
                request(Version::Http11, &[("transfer-encoding", value)]),
                Err(error),
                "{value:?}"
            );
        }
        let split = [
            ("transfer-encoding", "gzip"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(
            request(Version::Http11, &split),
            Err(HeadError::BadTransferEncoding)
        );
        let twice = [
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(
            request(Version::Http11, &twice),
            Err(HeadError::BadTransferEncoding)
        );
        assert_eq!(HeadError::UnknownTransferEncoding.status(), 501);
    }

    #[test]
    fn case_003_transfer_encoding_needs_http_1_1() {
        let pairs = [("transfer-encoding", "chunked")];
        assert_eq!(
            request(Version::Http10, &pairs),
            Err(HeadError::TransferEncodingInHttp10)
        );
        assert_eq!(
            request(Version::Http2, &pairs),
            Err(HeadError::ConnectionSpecificField)
        );
    }

    #[test]
    fn case_004_more_than_one_content_length_is_refused() {
        for pairs in [
            [("content-length", "5"), ("content-length", "6")],
            [("content-length", "5"), ("Content-Length", "5")],
            [("content-length", ""), ("content-length", "5")],
        ] {
            assert_eq!(
                request(Version::Http11, &pairs),
                Err(HeadError::BadContentLength)
            );
        }
    }

    #[test]
    fn case_005_a_content_length_is_digits_alone() {
        for value in [
            "",
            "+3",
            "-3",
            "-0",
            "0x3",
            "3_0",
            "3 0",
            "5, 6",
            "5,5",
            "3.0",
            "1e1",
            "٣",
            "3;",
            "\t3",
            "9223372036854775808",
            "10000000000000000000",
            "00000000000000000003",
        ] {
            assert_eq!(
                request(Version::Http11, &[("content-length", value)]),
                Err(HeadError::BadContentLength),
                "{value:?}"
            );
        }
    }

    #[test]
    fn case_016_every_method_may_have_a_body() {
        for method in [Method::Get, Method::Head, Method::Delete, Method::Options] {
            let head = RequestHead {
                method,
                fields: fields(&[("content-length", "3")]),
                ..RequestHead::default()
            };
            assert_eq!(request_body(&head), Ok(BodyLength::Exact(3)));
        }
    }

    #[test]
    fn a_response_without_body_is_known_by_status_and_method() {
        let length = [("content-length", "5")];
        for status in [100, 101, 103, 204, 304] {
            assert_eq!(
                response(&Method::Get, status, &length),
                Ok(BodyLength::Empty)
            );
        }
        assert_eq!(response(&Method::Head, 200, &length), Ok(BodyLength::Empty));
        assert_eq!(response(&Method::Connect, 200, &[]), Ok(BodyLength::Empty));
        assert_eq!(
            response(&Method::Connect, 403, &length),
            Ok(BodyLength::Exact(5))
        );
        assert_eq!(
            response(&Method::Get, 200, &length),
            Ok(BodyLength::Exact(5))
        );
        assert_eq!(response(&Method::Get, 200, &[]), Ok(BodyLength::UntilClose));
        assert_eq!(
            response(&Method::Get, 200, &[("transfer-encoding", "chunked")]),
            Ok(BodyLength::Chunked)
        );
    }

    #[test]
    fn case_020_a_response_that_contradicts_itself_is_refused() {
        for status in [200, 204, 304] {
            for method in [Method::Get, Method::Head] {
                for (pairs, error) in [
                    (
                        [("content-length", "1"), ("content-length", "1")],
                        HeadError::BadContentLength,
                    ),
                    (
                        [("content-length", "1"), ("content-length", "2")],
                        HeadError::BadContentLength,
                    ),
                    (
                        [("content-length", "1"), ("transfer-encoding", "chunked")],
                        HeadError::LengthAndTransferEncoding,
                    ),
                ] {
                    assert_eq!(response(&method, status, &pairs), Err(error));
                }
            }
        }
    }
}
