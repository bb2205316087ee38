//! Heads to and from the types of the `http` crate, which HTTP/2 speaks here (RFC 9113 section 8).
//!
//! What HTTP/2 forbids is refused on the way in, although `h2` refuses most of it too: nothing that would mean
//! something else in HTTP/1 gets that far (wire rules 18 and 19).

use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request, response};
use bytes::Bytes;

use super::connection::is_connection_specific;
use super::error::HeadError;
use super::fields::{Field, Fields, Known, Origin};
use super::grammar::{escape, repair_value, trim};
use super::head::{Method, RequestHead, ResponseHead, TargetForm, Version};
use super::limits::HeadLimits;
use super::target::{TargetAuthority, read_authority_form, read_host_field, read_resource};
use super::trailers::is_allowed;

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
        check_h2_field(name, value)?;
        count += usize::from(name != header::COOKIE);
        if count > limits.allowed_fields() {
            return Err(HeadError::TooManyFields);
        }
        if name != header::COOKIE {
            head.fields
                .push_parsed(name.as_str().as_bytes(), value.as_bytes());
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
        check_h2_field(name, value)?;
        head.fields
            .push_parsed(name.as_str().as_bytes(), value.as_bytes());
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
        fields.push_parsed(name.as_str().as_bytes(), trim(value.as_bytes()));
    }
    fields.remove_where(|field| !is_allowed(field));
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

fn check_h2_field(name: &HeaderName, value: &HeaderValue) -> Result<(), HeadError> {
    let known = Known::of(name.as_str().as_bytes());
    if is_connection_specific(known) || (known == Known::Te && value != "trailers") {
        return Err(HeadError::ConnectionSpecificField);
    }
    // RFC 9113 section 8.2.1; the other forbidden bytes are impossible in a `HeaderValue`.
    if trim(value.as_bytes()).len() != value.len() {
        return Err(HeadError::BadFieldValue);
    }
    Ok(())
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

/// The fields as a map. The values from the wire share one copy of the bytes.
fn to_map(fields: &Fields, wanted: impl Fn(Field<'_>) -> bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (field, origin, shared) in fields.iter_shared() {
        if is_connection_specific(field.known)
            || field.known == Known::Http2Settings
            || !wanted(field)
        {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(field.name) else {
            continue;
        };
        let value = match origin {
            Origin::Parsed => HeaderValue::from_maybe_shared(shared).ok(),
            Origin::Composed => HeaderValue::from_bytes(&repair_value(field.value)).ok(),
        };
        if let Some(value) = value {
            // Refused only beyond 24,576 names, far above every limit of a head.
            let _ = map.try_append(name, value);
        }
    }
    map
}
