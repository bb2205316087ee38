//! Request heads (RFC 9112 section 3).

use std::mem::MaybeUninit;

use httparse::Status;

use super::field_fault;
use super::scan::HeadScan;
use crate::http::error::HeadError;
use crate::http::fields::Known;
use crate::http::grammar::is_token_byte;
use crate::http::head::{Method, RequestHead, Version};
use crate::http::limits::{HeadLimits, MAX_FIELDS};
use crate::http::target::{TargetAuthority, read_host_field, read_target};

/// Reads one request head at the start of `bytes`.
///
/// `Ok(None)`: more bytes are needed, and those that are there break no limit. `Ok(Some(used))`: `head` is filled and
/// the body begins behind `used` bytes. In the head the target is split, the path normalised, the host in its one
/// spelling; `Host` is not among the fields; all other fields are there in order. What was in `head` before is
/// forgotten, its memory used again. On an error `head` holds what was understood before it, for the log.
pub fn parse_request(
    bytes: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<usize>, HeadError> {
    let knew_first_line = scan.has_first_line();
    let found = scan.advance(bytes);
    if !knew_first_line {
        check_request_line(scan.first_line(bytes), scan.has_first_line(), limits)
            .inspect_err(|_| read_method_only(scan.first_line(bytes), head))?;
    }
    let end = found
        .and_then(|end| scan.check(bytes, end, limits).map(|()| end))
        .inspect_err(|_| read_method_only(scan.first_line(bytes), head))?;
    let Some(end) = end else {
        return Ok(None);
    };
    read_head(scan.head(bytes, end), limits, head)?;
    *scan = HeadScan::new();
    Ok(Some(end))
}

/// Longer than any registered method.
const MAX_METHOD: usize = 32;

/// Checks what `httparse` would not see before the whole head is there, so that a client which waits for an answer to
/// a bad first line gets one, and the limits of its parts.
fn check_request_line(line: &[u8], complete: bool, limits: &HeadLimits) -> Result<(), HeadError> {
    let method_end = line
        .iter()
        .take(MAX_METHOD + 1)
        .position(|byte| !is_token_byte(*byte));
    let Some(method_end) = method_end else {
        // Nothing but token bytes so far.
        return if complete || line.len() > MAX_METHOD {
            Err(HeadError::BadRequestLine)
        } else {
            Ok(())
        };
    };
    let Some(([_, ..], [b' ', rest @ ..])) = line.split_at_checked(method_end) else {
        // A lone CR is the first half of the empty line that may come first.
        return if line == b"\r" && !complete {
            Ok(())
        } else {
            Err(HeadError::BadRequestLine)
        };
    };
    if !complete {
        let target = rest.len().saturating_sub(" HTTP/1.1\r".len());
        return if target > limits.target {
            Err(HeadError::TargetTooLong)
        } else {
            Ok(())
        };
    }
    let (target, version) = rest
        .split_last_chunk::<9>()
        .ok_or(HeadError::BadRequestLine)?;
    match version {
        _ if target.len() > limits.target => Err(HeadError::TargetTooLong),
        b" HTTP/1.1" | b" HTTP/1.0" => Ok(()),
        [
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'0'..=b'9',
            b'.',
            b'0'..=b'9',
        ] => Err(HeadError::UnsupportedVersion),
        _ => Err(HeadError::BadRequestLine),
    }
}

fn read_head(bytes: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<(), HeadError> {
    let spare = head.query.take().unwrap_or_default();
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.allowed_fields()).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, slots);

    if let Some(method) = request.method {
        head.method = Method::of(method);
    }
    head.version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let authority = match request.path {
        Some(target) => read_target(target.as_bytes(), spare, head)?,
        None => TargetAuthority::Absent,
    };
    match parsed {
        Ok(Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::BadRequestLine),
        Err(error) => return Err(request_fault(error, &request, bytes)),
    }
    read_fields(request.headers, authority, head)
}

fn read_fields(
    fields: &[httparse::Header<'_>],
    authority: TargetAuthority,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let mut host = None;
    for field in fields {
        if Known::of(field.name.as_bytes()) != Known::Host {
            head.fields.push_parsed(field.name.as_bytes(), field.value);
        } else if host.replace(field.value).is_some() {
            return Err(HeadError::DuplicateHost);
        }
    }
    match host {
        Some(host) => read_host_field(host, authority, head),
        None if head.version == Version::Http10 => Ok(()),
        None => Err(HeadError::MissingHost),
    }
}

#[cold]
fn request_fault(
    error: httparse::Error,
    request: &httparse::Request<'_, '_>,
    bytes: &[u8],
) -> HeadError {
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (line, lines) = bytes.split_at_checked(line_end).unwrap_or_default();
    let spaces = line.iter().filter(|byte| **byte == b' ').count();
    match error {
        httparse::Error::Token if request.method.is_some() => HeadError::BadTarget,
        httparse::Error::Token | httparse::Error::Version => HeadError::BadRequestLine,
        httparse::Error::NewLine if spaces != 2 => HeadError::BadRequestLine,
        error => field_fault(error, lines.get(1..).unwrap_or_default()),
    }
}

/// The method of a request that is refused before its head is complete.
#[cold]
fn read_method_only(line: &[u8], head: &mut RequestHead) {
    head.clear();
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = method.len() <= MAX_METHOD && method.iter().all(|byte| is_token_byte(*byte));
    if let (true, Ok(method)) = (is_method && !method.is_empty(), std::str::from_utf8(method)) {
        head.method = Method::of(method);
    }
}
