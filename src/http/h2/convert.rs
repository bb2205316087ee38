//! Heads to and from the types of the `http` crate, which HTTP/2 speaks here (RFC 9113 section 8).
//!
//! What HTTP/2 forbids is refused on the way in, although `h2` refuses most of it too: nothing that would mean
//! something else in HTTP/1 gets that far (wire rules 18 and 19).

use std::borrow::Cow;

use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request, response};
use bytes::Bytes;

use super::super::connection::is_connection_specific;
use super::super::error::HeadError;
use super::super::fields::{Field, Fields, Known, Origin};
use super::super::grammar::{escape, is_token, repair_value, trim};
use super::super::head::{Method, RequestHead, ResponseHead, TargetForm, Version};
use super::super::limits::HeadLimits;
use super::super::target::{TargetAuthority, read_authority_form, read_host_field, read_resource};
use super::super::trailers::is_allowed;

/// Fills `head` from a request that came over HTTP/2. What was in `head` before is forgotten, its memory used again.
///
/// `:authority` and `host` must agree and one of them must be there; the pieces of a split `cookie` are joined; the
/// limits are those of a head in HTTP/1. An extended CONNECT (RFC 8441) is a head with the method CONNECT and a path.
pub fn request_from_h2(
    parts: &request::Parts,
    head: &mut RequestHead,
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    let spare = head.query.take().unwrap_or_default();
    head.clear();
    head.version = Version::Http2;
    head.method = Method::of(parts.method.as_str());
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    let authority = read_h2_target(parts, target, spare, head)?;
    read_hosts(parts, authority, head)?;

    let authority_size = parts.uri.authority().map_or(0, |name| name.as_str().len());
    let mut size = target.len() + authority_size + parts.method.as_str().len();
    let mut count = 0;
    for (name, value) in &parts.headers {
        size += name.as_str().len() + value.len() + 4;
        if size > limits.bytes {
            return Err(HeadError::HeadTooLarge);
        }
        if name == header::HOST {
            continue;
        }
        let known = check_h2_field(name, value)?;
        count += usize::from(name != header::COOKIE);
        if count > limits.allowed_fields() {
            return Err(HeadError::TooManyFields);
        }
        if name != header::COOKIE {
            let name = name.as_str().as_bytes();
            head.fields.push_parsed(known, name, value.as_bytes());
        }
    }
    if parts.headers.contains_key(header::COOKIE) {
        let crumbs = parts.headers.get_all(header::COOKIE).iter();
        head.fields
            .push_parsed_joined(b"cookie", crumbs.map(HeaderValue::as_bytes), b"; ");
    }
    Ok(())
}

/// The head as a request for an upstream that speaks HTTP/2; `scheme` is `http` or `https`.
///
/// Fields that HTTP/2 does not know are left out; `TE: trailers` stays. A request needs a host:
/// [`HeadError::MissingHost`].
pub fn request_to_h2(head: &RequestHead, scheme: &str) -> Result<::http::Request<()>, HeadError> {
    if head.host.is_empty() {
        return Err(HeadError::MissingHost);
    }
    let mut parts = ::http::uri::Parts::default();
    parts.authority = Some(authority_of(head)?);
    if head.form != TargetForm::Authority {
        parts.scheme = Some(match scheme {
            "https" => Scheme::HTTPS,
            _ => Scheme::HTTP,
        });
        parts.path_and_query = Some(path_and_query_of(head)?);
    }
    let mut request = ::http::Request::new(());
    *request.method_mut() = ::http::Method::from_bytes(head.method.as_str().as_bytes())
        .map_err(|_| HeadError::BadRequestLine)?;
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| HeadError::BadTarget)?;
    *request.version_mut() = ::http::Version::HTTP_2;
    *request.headers_mut() = to_map(&head.fields, |field| {
        field.known != Known::Host
            && (field.known != Known::Te || field.value.eq_ignore_ascii_case(b"trailers"))
    });
    Ok(request)
}

/// Fills `head` from a response that came over HTTP/2. What was in `head` before is forgotten, its memory used again.
pub fn response_from_h2(parts: &response::Parts, head: &mut ResponseHead) -> Result<(), HeadError> {
    head.clear();
    head.version = Version::Http2;
    head.status = parts.status.as_u16();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HeadError::BadStatusLine);
    }
    for (name, value) in &parts.headers {
        let known = check_h2_field(name, value)?;
        let name = name.as_str().as_bytes();
        head.fields.push_parsed(known, name, value.as_bytes());
    }
    Ok(())
}

/// The head as a response for a client that speaks HTTP/2, without its reason and the fields that HTTP/2 does not know.
///
/// [`HeadError::BadStatusLine`] for a status outside 100 to 999 and for 101, which HTTP/2 does not have.
pub fn response_to_h2(head: &ResponseHead) -> Result<::http::Response<()>, HeadError> {
    let status = StatusCode::from_u16(head.status).map_err(|_| HeadError::BadStatusLine)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HeadError::BadStatusLine);
    }
    let mut response = ::http::Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = ::http::Version::HTTP_2;
    *response.headers_mut() = to_map(&head.fields, |field| field.known != Known::Te);
    Ok(response)
}

/// The trailers that came over HTTP/2, without those that must not stand there.
#[must_use]
pub fn trailers_from_h2(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        let name = name.as_str().as_bytes();
        fields.push_parsed(Known::of(name), name, trim(value.as_bytes()));
    }
    fields.remove_where(|field| !is_allowed(field) || !is_token(field.name));
    fields
}

/// Trailers for HTTP/2, without those that must not stand there.
#[must_use]
pub fn trailers_to_h2(fields: &Fields) -> HeaderMap {
    to_map(fields, is_allowed)
}

fn read_h2_target(
    parts: &request::Parts,
    target: &str,
    spare: String,
    head: &mut RequestHead,
) -> Result<TargetAuthority, HeadError> {
    let authority = parts.uri.authority().map(Authority::as_str);
    if head.method == Method::Connect && target.is_empty() {
        let authority = authority.ok_or(HeadError::MissingHost)?;
        return read_authority_form(authority.as_bytes(), head);
    }
    if !target.starts_with('/') && target != "*" {
        return Err(HeadError::BadTarget);
    }
    read_resource(target.as_bytes(), spare, head)?;
    let Some(authority) = authority else {
        return Ok(TargetAuthority::Absent);
    };
    read_host_field(authority.as_bytes(), TargetAuthority::Absent, head)?;
    let default_port = match parts.uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    };
    Ok(TargetAuthority::Named { default_port })
}

fn read_hosts(
    parts: &request::Parts,
    authority: TargetAuthority,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(HeadError::DuplicateHost),
        (Some(host), None) => read_host_field(host.as_bytes(), authority, head),
        (None, _) if authority == TargetAuthority::Absent => Err(HeadError::MissingHost),
        (None, _) => Ok(()),
    }
}

fn check_h2_field(name: &HeaderName, value: &HeaderValue) -> Result<Known, HeadError> {
    // A `HeaderName` may hold a quotation mark, which is in no token.
    if !is_token(name.as_str().as_bytes()) {
        return Err(HeadError::BadFieldName);
    }
    let known = Known::of(name.as_str().as_bytes());
    if is_connection_specific(known) || (known == Known::Te && value != "trailers") {
        return Err(HeadError::ConnectionSpecificField);
    }
    // RFC 9113 section 8.2.1; the other forbidden bytes are impossible in a `HeaderValue`.
    if trim(value.as_bytes()).len() != value.len() {
        return Err(HeadError::BadFieldValue);
    }
    Ok(known)
}

fn authority_of(head: &RequestHead) -> Result<Authority, HeadError> {
    let mut text = Vec::with_capacity(head.host.len() + 6);
    text.extend_from_slice(head.host.as_bytes());
    if let Some(port) = head.port {
        text.push(b':');
        text.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
    Authority::from_maybe_shared(Bytes::from(text)).map_err(|_| HeadError::BadHost)
}

fn path_and_query_of(head: &RequestHead) -> Result<PathAndQuery, HeadError> {
    if head.form == TargetForm::Asterisk {
        return Ok(PathAndQuery::from_static("*"));
    }
    let query = head.query.as_deref();
    let mut text = Vec::with_capacity(head.path.len() + query.map_or(0, str::len) + 2);
    if !head.path.starts_with('/') {
        text.push(b'/');
    }
    push_target_bytes(&head.path, b"?#\"<>", &mut text);
    if let Some(query) = query {
        text.push(b'?');
        push_target_bytes(query, b"#\"<>", &mut text);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| HeadError::BadTarget)
}

/// Appends bytes of a target, with escapes for those that an `http` URI cannot hold.
fn push_target_bytes(bytes: &str, also: &[u8], text: &mut Vec<u8>) {
    for byte in bytes.bytes() {
        if byte.is_ascii_graphic() && !also.contains(&byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(&escape(byte));
        }
    }
}

/// The fields as a map. The values share one copy of the bytes.
fn to_map(fields: &Fields, wanted: impl Fn(Field<'_>) -> bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (field, origin, shared) in fields.iter_shared() {
        if is_connection_specific(field.known)
            || field.known == Known::Http2Settings
            || !wanted(field)
        {
            continue;
        }
        let Some(name) = name_of(field) else {
            continue;
        };
        let value = match origin {
            Origin::Parsed => HeaderValue::from_maybe_shared(shared).ok(),
            Origin::Composed => match repair_value(field.value) {
                Cow::Borrowed(kept) if kept.len() == shared.len() => {
                    HeaderValue::from_maybe_shared(shared).ok()
                }
                Cow::Borrowed(kept) => HeaderValue::from_bytes(kept).ok(),
                Cow::Owned(repaired) => HeaderValue::try_from(repaired).ok(),
            },
        };
        if let Some(value) = value {
            // Refused only beyond 24,576 names, far above every limit of a head.
            let _ = map.try_append(name, value);
        }
    }
    map
}

/// The name, for the most common fields without looking it up; `None` if it is no token.
fn name_of(field: Field<'_>) -> Option<HeaderName> {
    Some(match field.known {
        Known::Accept => header::ACCEPT,
        Known::AcceptEncoding => header::ACCEPT_ENCODING,
        Known::Age => header::AGE,
        Known::Authorization => header::AUTHORIZATION,
        Known::CacheControl => header::CACHE_CONTROL,
        Known::ContentEncoding => header::CONTENT_ENCODING,
        Known::ContentLength => header::CONTENT_LENGTH,
        Known::ContentType => header::CONTENT_TYPE,
        Known::Cookie => header::COOKIE,
        Known::Date => header::DATE,
        Known::GrpcStatus => const { HeaderName::from_static("grpc-status") },
        Known::Location => header::LOCATION,
        Known::Server => header::SERVER,
        Known::SetCookie => header::SET_COOKIE,
        Known::Te => header::TE,
        Known::UserAgent => header::USER_AGENT,
        Known::XForwardedFor => const { HeaderName::from_static("x-forwarded-for") },
        Known::XForwardedHost => const { HeaderName::from_static("x-forwarded-host") },
        Known::XForwardedProto => const { HeaderName::from_static("x-forwarded-proto") },
        Known::XRequestId => const { HeaderName::from_static("x-request-id") },
        _ => return HeaderName::from_bytes(field.name).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 512,
        fields: 8,
        target: 64,
    };

    fn from_h2(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<RequestHead, HeadError> {
        let mut builder = ::http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            // As `h2` makes it of what is on the wire.
            let name = HeaderName::from_lowercase(name.as_bytes()).unwrap();
            builder = builder.header(name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let mut head = RequestHead::default();
        head.fields.push(b"stale", b"1");
        head.query = Some("stale".to_owned());
        request_from_h2(&parts, &mut head, &LIMITS).map(|()| head)
    }

    fn pairs(fields: &Fields) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields
            .iter()
            .map(|field| (text(field.name), text(field.value)))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_request_is_taken_apart_as_in_http_1() {
        let head = from_h2(
            "POST",
            "https://Example.com:8443/a/%2e%2e/b?q=1",
            &[("x-a", "1"), ("accept", "*/*")],
        )
        .unwrap();
        assert_eq!((head.version, head.method), (Version::Http2, Method::Post));
        assert_eq!((head.host.as_str(), head.port), ("example.com", Some(8443)));
        assert_eq!(
            (head.path.as_str(), head.query.as_deref()),
            ("/b", Some("q=1"))
        );
        assert_eq!(
            pairs(&head.fields),
            [pair("x-a", "1"), pair("accept", "*/*")]
        );
        assert_eq!(from_h2("GET", "https://a/", &[]).unwrap().query, None);
    }

    #[test]
    fn the_pieces_of_a_cookie_are_joined() {
        let head = from_h2(
            "GET",
            "https://a/",
            &[
                ("cookie", "a=1"),
                ("x", "y"),
                ("cookie", "b=2"),
                ("cookie", "c=3"),
            ],
        )
        .unwrap();
        assert_eq!(
            pairs(&head.fields),
            [pair("x", "y"), pair("cookie", "a=1; b=2; c=3")]
        );
    }

    #[test]
    fn case_042_authority_and_host_agree() {
        for (uri, host) in [
            ("https://a/", "A."),
            ("https://a/", "a:443"),
            ("http://a:80/", "a"),
            ("/", "a"),
        ] {
            let head = from_h2("GET", uri, &[("host", host)]).unwrap();
            assert_eq!(head.host, "a");
            assert!(head.fields.is_empty());
        }
        for (uri, host) in [
            ("https://a/", "b"),
            ("https://a/", "a:80"),
            ("https://a:1/", "a"),
            ("https://a/", "a.b"),
        ] {
            assert_eq!(
                from_h2("GET", uri, &[("host", host)]).err(),
                Some(HeadError::HostMismatch),
                "{uri} {host}"
            );
        }
        assert_eq!(from_h2("GET", "/", &[]).err(), Some(HeadError::MissingHost));
        assert_eq!(
            from_h2("GET", "https://a/", &[("host", "a"), ("host", "a")]).err(),
            Some(HeadError::DuplicateHost)
        );
        assert_eq!(
            from_h2("GET", "https://u@a/", &[]).err(),
            Some(HeadError::BadHost)
        );
        assert_eq!(
            from_h2("GET", "https://a/", &[("host", "")]).err(),
            Some(HeadError::BadHost)
        );
    }

    #[test]
    fn case_018_what_http_1_would_misread_is_refused() {
        assert_eq!(
            from_h2("GET", "https://a/", &[("x", " y")]).err(),
            Some(HeadError::BadFieldValue)
        );
        assert_eq!(
            from_h2("GET", "https://a/", &[("x", "y\t")]).err(),
            Some(HeadError::BadFieldValue)
        );
        // The `http` crate takes it for a name (RFC 9110 section 5.6.2 does not).
        assert_eq!(
            from_h2("GET", "https://a/", &[("x\"y", "z")]).err(),
            Some(HeadError::BadFieldName)
        );
        assert_eq!(
            from_h2("GET", "https://a/%00", &[]).err(),
            Some(HeadError::AmbiguousPath)
        );
        assert_eq!(
            from_h2("GET", "https://a/é", &[]).err(),
            Some(HeadError::BadTarget)
        );
        assert_eq!(
            from_h2("GET", "https://a/?é", &[]).err(),
            Some(HeadError::BadTarget)
        );
    }

    #[test]
    fn case_019_connection_specific_fields_are_refused() {
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "x"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
        ] {
            assert_eq!(
                from_h2("GET", "https://a/", &[(name, value)]).err(),
                Some(HeadError::ConnectionSpecificField)
            );
        }
        assert!(from_h2("GET", "https://a/", &[("te", "trailers")]).is_ok());
    }

    #[test]
    fn case_025_the_decoded_head_is_limited() {
        let long = "x".repeat(100);
        let big = [
            ("a", &*long),
            ("b", &long),
            ("c", &long),
            ("d", &long),
            ("e", &long),
        ];
        assert_eq!(
            from_h2("GET", "https://a/", &big).err(),
            Some(HeadError::HeadTooLarge)
        );
        let crumbs = [("cookie", &*long); 5];
        assert_eq!(
            from_h2("GET", "https://a/", &crumbs).err(),
            Some(HeadError::HeadTooLarge)
        );
        assert_eq!(
            from_h2("GET", "https://a/", &[("x", "y"); 9]).err(),
            Some(HeadError::TooManyFields)
        );
        assert!(from_h2("GET", "https://a/", &[("cookie", "y"); 9]).is_ok());
        assert_eq!(
            from_h2("GET", &format!("https://a/{long}"), &[]).err(),
            Some(HeadError::TargetTooLong)
        );
        let hosts = [("host", &*long); 9];
        assert!(from_h2("GET", "https://a/", &hosts).is_err());
    }

    #[test]
    fn case_045_every_form_of_a_target_is_known() {
        let head = from_h2("CONNECT", "a:443", &[]).unwrap();
        assert_eq!(
            (head.form, head.host.as_str(), head.port),
            (TargetForm::Authority, "a", Some(443))
        );
        let head = from_h2("CONNECT", "https://a/chat", &[]).unwrap();
        assert_eq!((head.form, head.path.as_str()), (TargetForm::Path, "/chat"));
        assert_eq!(head.method, Method::Connect);
        let head = from_h2("OPTIONS", "*", &[("host", "a")]).unwrap();
        assert_eq!((head.form, head.path.as_str()), (TargetForm::Asterisk, ""));
        assert_eq!(
            from_h2("GET", "*", &[("host", "a")]).err(),
            Some(HeadError::BadTarget)
        );
    }

    #[test]
    fn a_request_goes_out_without_what_http_2_does_not_know() {
        let mut head = RequestHead {
            method: Method::of("PROPFIND"),
            host: "a.example".to_owned(),
            port: Some(81),
            path: "/x".to_owned(),
            query: Some("q={\"<|>\"}".to_owned()),
            ..RequestHead::default()
        };
        for (name, value) in [
            ("X-Upper", "1"),
            ("x-upper", "2"),
            ("Connection", "close"),
            ("Keep-Alive", "x"),
            ("Upgrade", "x"),
            ("Transfer-Encoding", "chunked"),
            ("HTTP2-Settings", "x"),
            ("Host", "other"),
            ("TE", "trailers"),
            ("Content-Length", "5"),
        ] {
            let name = name.as_bytes();
            head.fields
                .push_parsed(Known::of(name), name, value.as_bytes());
        }
        head.fields.push(b"X-Made", b" a\r\nb ");
        head.fields.push(b"X-\r\n", b"c");
        let request = request_to_h2(&head, "https").unwrap();
        assert_eq!(request.method().as_str(), "PROPFIND");
        assert_eq!(request.uri(), "https://a.example:81/x?q={%22%3C|%3E%22}");
        assert_eq!(request.version(), ::http::Version::HTTP_2);
        let fields: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(
            fields,
            [
                ("x-upper", &b"1"[..]),
                ("x-upper", b"2"),
                ("te", b"trailers"),
                ("content-length", b"5"),
                ("x-made", b"a  b"),
            ]
        );
        head.fields.clear();
        head.fields.push(b"TE", b"gzip");
        assert!(request_to_h2(&head, "http").unwrap().headers().is_empty());
        head.host.clear();
        assert_eq!(
            request_to_h2(&head, "http").err(),
            Some(HeadError::MissingHost)
        );
    }

    #[test]
    fn every_form_of_a_target_goes_out() {
        let uri = |method: Method, form, path: &str| {
            let head = RequestHead {
                method,
                form,
                host: "a".to_owned(),
                port: Some(1),
                path: path.to_owned(),
                ..RequestHead::default()
            };
            request_to_h2(&head, "http").unwrap().uri().clone()
        };
        assert_eq!(uri(Method::Options, TargetForm::Asterisk, "").path(), "*");
        let connect = uri(Method::Connect, TargetForm::Authority, "");
        assert_eq!((connect.scheme(), connect.path_and_query()), (None, None));
        assert_eq!(connect.authority().unwrap().as_str(), "a:1");
        assert_eq!(
            uri(Method::Get, TargetForm::Path, "a b"),
            "http://a:1/a%20b"
        );
    }

    #[test]
    fn every_query_that_http_1_lets_in_goes_out() {
        let query: String = (b'!'..=b'~')
            .map(char::from)
            .filter(|c| *c != '#')
            .collect();
        let head = RequestHead {
            host: "a".to_owned(),
            path: "/".to_owned(),
            query: Some(query.clone()),
            ..RequestHead::default()
        };
        let request = request_to_h2(&head, "http").unwrap();
        let wanted = query
            .replace('"', "%22")
            .replace('<', "%3C")
            .replace('>', "%3E");
        assert_eq!(request.uri().query(), Some(wanted.as_str()));
    }

    #[test]
    fn what_came_goes_out_the_same() {
        let fields = [("x-a", "1"), ("x-b", "\u{e9}")];
        let head = from_h2("PUT", "https://a:1/b/c%20d?e=%20", &fields).unwrap();
        let request = request_to_h2(&head, "https").unwrap();
        assert_eq!(request.uri(), "https://a:1/b/c%20d?e=%20");
        assert_eq!(request.headers().len(), 2);
        assert_eq!(request.headers()["x-b"].as_bytes(), "\u{e9}".as_bytes());
    }

    #[test]
    fn a_response_comes_and_goes() {
        let (parts, ()) = ::http::Response::builder()
            .status(404)
            .header("x-a", "1")
            .header("set-cookie", "a")
            .header("set-cookie", "b")
            .body(())
            .unwrap()
            .into_parts();
        let mut head = ResponseHead {
            reason: b"stale".to_vec(),
            ..ResponseHead::default()
        };
        response_from_h2(&parts, &mut head).unwrap();
        assert_eq!((head.version, head.status), (Version::Http2, 404));
        assert!(head.reason.is_empty());
        assert_eq!(
            pairs(&head.fields),
            [
                pair("x-a", "1"),
                pair("set-cookie", "a"),
                pair("set-cookie", "b")
            ]
        );
        head.fields.push(b"Connection", b"close");
        head.fields.push(b"Transfer-Encoding", b"chunked");
        let response = response_to_h2(&head).unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers(), &parts.headers);
    }

    #[test]
    fn a_status_that_http_2_does_not_have_is_refused() {
        for status in [0, 99, 101, 1000] {
            let head = ResponseHead {
                status,
                ..ResponseHead::default()
            };
            assert_eq!(
                response_to_h2(&head).err(),
                Some(HeadError::BadStatusLine),
                "{status}"
            );
        }
        let (parts, ()) = ::http::Response::builder()
            .status(101)
            .body(())
            .unwrap()
            .into_parts();
        let result = response_from_h2(&parts, &mut ResponseHead::default());
        assert_eq!(result, Err(HeadError::BadStatusLine));
        let (parts, ()) = ::http::Response::builder()
            .header("connection", "x")
            .body(())
            .unwrap()
            .into_parts();
        let result = response_from_h2(&parts, &mut ResponseHead::default());
        assert_eq!(result, Err(HeadError::ConnectionSpecificField));
    }

    #[test]
    fn case_008_forbidden_trailers_do_not_pass() {
        let mut map = HeaderMap::new();
        for name in [
            "grpc-status",
            "host",
            "content-length",
            "authorization",
            "x\"sum",
            "x-sum",
        ] {
            map.insert(
                HeaderName::from_lowercase(name.as_bytes()).unwrap(),
                HeaderValue::from_static("0"),
            );
        }
        let fields = trailers_from_h2(&map);
        assert_eq!(
            pairs(&fields),
            [pair("grpc-status", "0"), pair("x-sum", "0")]
        );
        let mut fields = fields;
        fields.push(b"Cookie", b"a");
        fields.push(b"X-Made", b"a\r\n");
        let map = trailers_to_h2(&fields);
        assert_eq!(map.len(), 3);
        assert_eq!(map["x-made"], "a");
    }
}
