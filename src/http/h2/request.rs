//! Requests in HTTP/2 (RFC 9113 section 8.3.1).

use std::mem;

use super::super::authority::parse_authority;
use super::super::error::HeadError;
use super::super::fields::Known;
use super::super::grammar::{escape, is_token};
use super::super::head::{Method, RequestHead, TargetForm, Version};
use super::super::hpack::{self, NameKind, Seen, Sink};
use super::super::limits::HeadLimits;
use super::super::target::{TargetAuthority, read_host_field, read_resource};
use super::lines::Lines;
use super::write::write_fields;
use super::{BlockError, Decoder, Encoder, read_block};

/// Fills `head` from the header block of a request. What was in `head` before is forgotten, its memory used again.
///
/// `:authority` and `host` must agree and one of them must be there; the pieces of a split `cookie` are joined; the
/// limits are those of a head in HTTP/1. An extended CONNECT (RFC 8441) is a head with the method CONNECT and a path.
/// After an error `head` means nothing.
pub fn read_request(
    decoder: &mut Decoder,
    block: &[u8],
    head: &mut RequestHead,
    limits: &HeadLimits,
) -> Result<(), BlockError> {
    let spare = head.query.take().unwrap_or_default();
    head.clear();
    head.version = Version::Http2;
    let Decoder { blocks, cookie } = decoder;
    cookie.clear();
    let mut reader = Reader {
        head,
        limits,
        cookie,
        spare,
        lines: Lines::new(limits),
        seen: Pseudo::default(),
        has_cookie: false,
        has_host: false,
        is_connect: false,
        scheme_port: None,
    };
    let done = read_block(blocks, block, limits, &mut reader).and_then(|()| reader.finish());
    if cookie.capacity() > KEPT {
        cookie.clear();
        cookie.shrink_to(KEPT);
    }
    done
}

/// Appends the header block of a request for an upstream; `scheme` is `http` or `https`.
///
/// Fields that HTTP/2 does not know are left out; `TE: trailers` stays. A request needs a host:
/// [`HeadError::MissingHost`]. A CONNECT that is not to an authority has no form here: [`HeadError::BadTarget`]. On an
/// error `out` is as it was.
pub fn write_request(
    encoder: &mut Encoder,
    head: &RequestHead,
    scheme: &str,
    out: &mut Vec<u8>,
) -> Result<(), HeadError> {
    if head.host.is_empty() {
        return Err(HeadError::MissingHost);
    }
    if !head.host.bytes().all(is_host_byte) {
        return Err(HeadError::BadHost);
    }
    let method = head.method.as_str().as_bytes();
    if matches!(head.method, Method::Other(_)) && !is_token(method) {
        return Err(HeadError::BadRequestLine);
    }
    let to_authority = head.form == TargetForm::Authority;
    if (head.method == Method::Connect) != to_authority {
        return Err(HeadError::BadTarget);
    }
    let query = head.query.as_deref();
    out.reserve(
        64 + method.len()
            + head.host.len()
            + head.path.len()
            + query.map_or(0, str::len)
            + head.fields.written_size(),
    );
    encoder.blocks.begin(out);
    match head.method {
        Method::Get => hpack::write_indexed(hpack::METHOD, out),
        Method::Post => hpack::write_indexed(hpack::METHOD_POST, out),
        _ => hpack::write_named(hpack::METHOD, method, out),
    }
    if !to_authority {
        hpack::write_indexed(
            match scheme {
                "https" => hpack::SCHEME_HTTPS,
                _ => hpack::SCHEME,
            },
            out,
        );
        write_path(head, out);
    }
    write_authority(head, out);
    write_fields(&head.fields, out, |field| {
        field.known != Known::Host
            && (field.known != Known::Te || field.value.eq_ignore_ascii_case(b"trailers"))
    });
    Ok(())
}

/// What is kept for cookies between requests, in bytes.
const KEPT: usize = 8192;

/// Takes the fields of a request.
struct Reader<'a> {
    head: &'a mut RequestHead,
    limits: &'a HeadLimits,
    cookie: &'a mut Vec<u8>,
    /// The memory for a query.
    spare: String,
    lines: Lines<'a>,
    seen: Pseudo,
    has_cookie: bool,
    has_host: bool,
    is_connect: bool,
    /// The port that the scheme means.
    scheme_port: Option<u16>,
}

/// Which pseudo-fields there have been.
#[derive(Default)]
struct Pseudo {
    method: bool,
    scheme: bool,
    authority: bool,
    path: bool,
    protocol: bool,
}

impl Sink for Reader<'_> {
    fn field(&mut self, seen: &Seen<'_>) {
        let lines = &mut self.lines;
        match seen.name_kind {
            NameKind::Field(_) | NameKind::NoToken => self.read_field(seen),
            NameKind::Method => {
                self.is_connect = seen.value == b"CONNECT";
                if lines.admit_pseudo(seen, &mut self.seen.method) {
                    self.read_method(seen.value);
                }
            }
            NameKind::Scheme => {
                if lines.admit_pseudo(seen, &mut self.seen.scheme) {
                    self.read_scheme(seen.value);
                }
            }
            NameKind::Authority => {
                if lines.admit_pseudo(seen, &mut self.seen.authority) {
                    let port = parse_authority(seen.value, &mut self.head.host);
                    self.head.port = lines.check(port).flatten();
                }
            }
            NameKind::Path => {
                if lines.admit_pseudo(seen, &mut self.seen.path) {
                    self.read_path(seen.value);
                }
            }
            NameKind::Protocol => {
                lines.admit_pseudo(seen, &mut self.seen.protocol);
            }
            NameKind::Status | NameKind::Malformed => lines.malformed(),
        }
    }
}

impl Reader<'_> {
    fn read_field(&mut self, seen: &Seen<'_>) {
        let Some(known) = self.lines.admit(seen) else {
            return;
        };
        match known {
            Known::Host => self.read_host(seen.value),
            Known::Cookie => {
                // An empty piece says nothing; joined, it would end the value with a space.
                if !self.cookie.is_empty() && !seen.value.is_empty() {
                    self.cookie.extend_from_slice(b"; ");
                }
                self.has_cookie = true;
                self.cookie.extend_from_slice(seen.value);
            }
            _ => self.lines.keep(known, seen, &mut self.head.fields),
        }
    }

    fn read_method(&mut self, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(token) if is_token(value) => self.head.method = Method::of(token),
            _ => self.lines.malformed(),
        }
    }

    fn read_scheme(&mut self, value: &[u8]) {
        self.scheme_port = match value {
            b"https" => Some(443),
            b"http" => Some(80),
            _ if is_scheme(value) => None,
            _ => return self.lines.malformed(),
        };
    }

    fn read_path(&mut self, value: &[u8]) {
        match value {
            [] => self.lines.malformed(),
            _ if value.len() > self.limits.target => self.lines.refuse(HeadError::TargetTooLong),
            b"*" => self.head.form = TargetForm::Asterisk,
            [b'/', ..] => {
                let read = read_resource(value, mem::take(&mut self.spare), self.head);
                self.lines.check(read);
            }
            _ => self.lines.refuse(HeadError::BadTarget),
        }
    }

    /// All pseudo-fields have been seen by now.
    fn read_host(&mut self, value: &[u8]) {
        if mem::replace(&mut self.has_host, true) {
            return self.lines.refuse(HeadError::DuplicateHost);
        }
        let authority = if self.seen.authority {
            TargetAuthority::Named {
                default_port: self.scheme_port,
            }
        } else {
            TargetAuthority::Absent
        };
        let read = read_host_field(value, authority, self.head);
        self.lines.check(read);
    }

    /// Judges what only the whole head tells.
    fn finish(mut self) -> Result<(), BlockError> {
        let Pseudo {
            method,
            scheme,
            authority,
            path,
            protocol,
        } = self.seen;
        // RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4.
        let to_authority = self.is_connect && !protocol;
        let complete = if to_authority {
            !scheme && !path
        } else {
            scheme && path
        };
        if !method || !complete || (protocol && !self.is_connect) {
            self.lines.malformed();
        }
        self.lines.verdict()?;
        let head = self.head;
        if !authority && !self.has_host {
            return Err(BlockError::Refused(HeadError::MissingHost));
        }
        if to_authority {
            if !authority {
                return Err(BlockError::Refused(HeadError::MissingHost));
            }
            head.form = TargetForm::Authority;
        }
        let fits = match head.form {
            TargetForm::Path => true,
            TargetForm::Asterisk => head.method == Method::Options,
            TargetForm::Authority => head.port.is_some(),
        };
        if !fits {
            return Err(BlockError::Refused(HeadError::BadTarget));
        }
        if self.has_cookie {
            head.fields
                .push_parsed(Known::Cookie, b"cookie", self.cookie);
        }
        Ok(())
    }
}

fn write_path(head: &RequestHead, out: &mut Vec<u8>) {
    if head.form == TargetForm::Asterisk {
        return hpack::write_named(hpack::PATH, b"*", out);
    }
    let (path, query) = (head.path.as_bytes(), head.query.as_deref());
    if path == b"/" && query.is_none() {
        return hpack::write_indexed(hpack::PATH, out);
    }
    let slash: &[u8] = if path.first() == Some(&b'/') {
        b""
    } else {
        b"/"
    };
    let query_size = query.map_or(0, |query| 1 + target_size(query.as_bytes(), IN_QUERY));
    let size = slash.len() + target_size(path, IN_PATH) + query_size;
    hpack::write_named_length(hpack::PATH, size, out);
    out.extend_from_slice(slash);
    write_target(path, IN_PATH, out);
    if let Some(query) = query {
        out.push(b'?');
        write_target(query.as_bytes(), IN_QUERY, out);
    }
}

fn write_authority(head: &RequestHead, out: &mut Vec<u8>) {
    let Some(port) = head.port else {
        return hpack::write_named(hpack::AUTHORITY, head.host.as_bytes(), out);
    };
    let mut digits = itoa::Buffer::new();
    let port = digits.format(port).as_bytes();
    hpack::write_named_length(hpack::AUTHORITY, head.host.len() + 1 + port.len(), out);
    out.extend_from_slice(head.host.as_bytes());
    out.push(b':');
    out.extend_from_slice(port);
}

/// The size of a part of a target, in which some bytes become escapes.
fn target_size(bytes: &[u8], part: u8) -> usize {
    bytes.len()
        + 2 * bytes
            .iter()
            .filter(|byte| needs_escape(**byte, part))
            .count()
}

/// Appends a part of a target, with escapes for the bytes that strict readers of URIs refuse.
fn write_target(bytes: &[u8], part: u8, out: &mut Vec<u8>) {
    if !bytes.iter().any(|byte| needs_escape(*byte, part)) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if needs_escape(*byte, part) {
            out.extend_from_slice(&escape(*byte));
        } else {
            out.push(*byte);
        }
    }
}

fn needs_escape(byte: u8, part: u8) -> bool {
    ESCAPED
        .get(usize::from(byte))
        .is_none_or(|parts| parts & part != 0)
}

const IN_PATH: u8 = 1;
const IN_QUERY: u8 = 2;

/// In which parts of a target each byte becomes an escape.
static ESCAPED: [u8; 256] = escaped();

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which stops at an index outside"
)]
const fn escaped() -> [u8; 256] {
    let mut escaped = [IN_PATH | IN_QUERY; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        escaped[byte as usize] = match byte {
            b'#' | b'"' | b'<' | b'>' => IN_PATH | IN_QUERY,
            b'?' => IN_PATH,
            _ => 0,
        };
        byte += 1;
    }
    escaped
}

/// Whether the bytes are a scheme (RFC 3986 section 3.1).
fn is_scheme(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Whether a host has such a byte, after [`parse_authority`].
const fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'[' | b']' | b':')
}
