//! Version 1 of the PROXY protocol: one line of text, `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ProxyError, ProxyHeader, canonical, starts};

/// The longest line, its CRLF included.
const MAX_BYTES: usize = 107;
const START: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
    if !starts(bytes, START)? {
        return Ok(None);
    }
    let Some(line) = line(bytes)? else {
        return Ok(None);
    };
    let words = line.get(START.len()..).ok_or(ProxyError::BadLine)?;
    Ok(Some((line.len() + 2, addresses(words)?)))
}

/// The line without its CRLF, once it is complete.
fn line(bytes: &[u8]) -> Result<Option<&str>, ProxyError> {
    // A carriage return that comes later has no room for its line feed.
    let window = bytes.get(..MAX_BYTES - 1).unwrap_or(bytes);
    let Some(end) = window.iter().position(|b| !matches!(b, b' '..=b'~')) else {
        return if window.len() < MAX_BYTES - 1 {
            Ok(None)
        } else {
            Err(ProxyError::TooLong)
        };
    };
    match bytes.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) => return Ok(None),
        _ => return Err(ProxyError::BadLine),
    }
    bytes
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok())
        .map(Some)
        .ok_or(ProxyError::BadLine)
}

fn addresses(words: &str) -> Result<ProxyHeader, ProxyError> {
    let mut words = words.split(' ');
    let family = match words.next() {
        // What follows UNKNOWN must be ignored.
        Some("UNKNOWN") => return Ok(ProxyHeader::Local),
        Some("TCP4") => address_v4,
        Some("TCP6") => address_v6,
        _ => return Err(ProxyError::UnsupportedFamily),
    };
    let mut word = || words.next().ok_or(ProxyError::BadLine);
    let (source, destination) = (family(word()?)?, family(word()?)?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(ProxyError::BadLine);
    }
    Ok(ProxyHeader::Forwarded {
        source: canonical(source, source_port),
        destination: canonical(destination, destination_port),
    })
}

fn address_v4(word: &str) -> Result<IpAddr, ProxyError> {
    let address: Ipv4Addr = word.parse().map_err(|_| ProxyError::BadAddress)?;
    Ok(address.into())
}

fn address_v6(word: &str) -> Result<IpAddr, ProxyError> {
    let address: Ipv6Addr = word.parse().map_err(|_| ProxyError::BadAddress)?;
    Ok(address.into())
}

/// A decimal number without sign or leading zeroes.
fn port(word: &str) -> Result<u16, ProxyError> {
    let plain = word == "0" || word.starts_with(|first| matches!(first, '1'..='9'));
    if !plain {
        return Err(ProxyError::BadAddress);
    }
    word.parse().map_err(|_| ProxyError::BadAddress)
}
