//! Response heads (RFC 9112 section 4).

use std::mem::MaybeUninit;

use httparse::Status;

use super::field_fault;
use super::scan::HeadScan;
use crate::http::error::HeadError;
use crate::http::head::{ResponseHead, Version};
use crate::http::limits::{HeadLimits, MAX_FIELDS};

/// Reads one response head at the start of `bytes`, a 1xx like any other.
///
/// `Ok(None)`: more bytes are needed, and those that are there break no limit. `Ok(Some(used))`: `head` is filled and
/// what follows begins behind `used` bytes. What was in `head` before is forgotten, its memory used again.
pub fn parse_response(
    bytes: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, HeadError> {
    // An upstream that speaks something else is known by its first bytes, and often sends no line feed at all.
    if bytes.iter().zip(START).any(|(byte, wanted)| byte != wanted) {
        return Err(HeadError::BadStatusLine);
    }
    let end = scan.advance(bytes)?;
    scan.check(bytes, end, limits)?;
    let Some(end) = end else {
        return Ok(None);
    };
    read_head(scan.head(bytes, end), limits, head)?;
    *scan = HeadScan::new();
    Ok(Some(end))
}

const START: &[u8] = b"HTTP/1.";

fn read_head(bytes: &[u8], limits: &HeadLimits, head: &mut ResponseHead) -> Result<(), HeadError> {
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.allowed_fields()).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        slots,
    );
    let code = response.code;
    head.version = match response.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    match parsed {
        Ok(Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::BadStatusLine),
        Err(error) => return Err(response_fault(error, code.is_some(), bytes)),
    }
    head.status = code
        .filter(|code| *code >= 100)
        .ok_or(HeadError::BadStatusLine)?;
    head.reason
        .extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    for field in response.headers.iter() {
        head.fields.push_parsed(field.name.as_bytes(), field.value);
    }
    Ok(())
}

#[cold]
fn response_fault(error: httparse::Error, has_status: bool, bytes: &[u8]) -> HeadError {
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    match error {
        httparse::Error::Version | httparse::Error::Status | httparse::Error::Token => {
            HeadError::BadStatusLine
        }
        _ if !has_status => HeadError::BadStatusLine,
        error => field_fault(error, bytes.get(line_end + 1..).unwrap_or_default()),
    }
}
