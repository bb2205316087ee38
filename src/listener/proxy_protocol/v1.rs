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

#[cfg(test)]
mod tests {
    use super::super::{ProxyError, ProxyHeader, parse};

    fn forwarded(source: &str, destination: &str) -> ProxyHeader {
        ProxyHeader::Forwarded {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn tells_both_ends_and_leaves_the_rest() {
        for (line, header) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
                forwarded("192.0.2.1:56324", "198.51.100.2:443"),
            ),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n",
                forwarded("255.255.255.255:65535", "255.255.255.255:0"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
                forwarded("[2001:db8::1]:1", "[::1]:2"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
                forwarded("192.0.2.1:1", "192.0.2.2:2"),
            ),
            ("PROXY UNKNOWN\r\n", ProxyHeader::Local),
            ("PROXY UNKNOWN ffff::1 what ever 7\r\n", ProxyHeader::Local),
        ] {
            let bytes = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(
                parse(bytes.as_bytes()),
                Ok(Some((line.len(), header))),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_that_breaks_the_grammar_is_refused() {
        use ProxyError as E;
        for (line, error) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", E::BadLine),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", E::BadLine),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", E::BadLine),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", E::BadLine),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", E::BadLine),
            ("PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n", E::BadLine),
            ("PROXY UNKNOWN \0\r\n", E::BadLine),
            ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 ::1 1 2\r\n", E::BadAddress),
            ("PROXY TCP6 192.0.2.1 ::1 1 2\r\n", E::BadAddress),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.02 1 2\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", E::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", E::BadAddress),
            (
                "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
                E::UnsupportedFamily,
            ),
            (
                "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
                E::UnsupportedFamily,
            ),
            ("PROXY \r\n", E::UnsupportedFamily),
            ("PROXY\r\n", E::Missing),
            ("proxy TCP4", E::Missing),
            ("GET / HTTP/1.1\r\n", E::Missing),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
    }

    #[test]
    fn a_line_may_have_107_bytes_and_no_more() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
        assert_eq!(
            parse(longest.as_bytes()),
            Ok(Some((107, ProxyHeader::Local)))
        );
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 15));
        assert_eq!(parse(longer.as_bytes()), Err(ProxyError::TooLong));
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(parse(endless.as_bytes()), Err(ProxyError::TooLong));
    }
}
