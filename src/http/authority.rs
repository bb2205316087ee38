//! The authority of a request: host and port (RFC 3986 section 3.2, RFC 9110 section 4.2).

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use super::error::HeadError;

/// Reads `host[:port]` and puts the host in the place of what `host` held: in lower case, without the trailing dot, an
/// IPv6 address in brackets and in its shortest spelling.
///
/// The grammar is narrower than RFC 3986's: a name is made of letters, digits, `-`, `.`, `_` and `~`. User
/// information, percent escapes, IPv6 zones, empty labels, an empty host and port 0 are refused with
/// [`HeadError::BadHost`]; an empty port is no port.
pub fn parse_authority(raw: &[u8], host: &mut String) -> Result<Option<u16>, HeadError> {
    host.clear();
    let parsed = if raw.first() == Some(&b'[') {
        parse_ipv6(raw, host)
    } else {
        parse_name(raw, host)
    };
    parsed.ok_or_else(|| {
        host.clear();
        HeadError::BadHost
    })
}

/// The longest host name of the DNS, with its trailing dot.
const MAX_NAME: usize = 254;

fn parse_name(raw: &[u8], host: &mut String) -> Option<Option<u16>> {
    let (name, port) = match memchr::memchr(b':', raw) {
        Some(colon) => {
            let (name, rest) = raw.split_at_checked(colon)?;
            (name, parse_port(rest)?)
        }
        None => (raw, None),
    };
    if name.len() > MAX_NAME {
        return None;
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut previous = b'.';
    for byte in name {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {}
            b'A'..=b'Z' => {}
            b'.' if previous != b'.' => {}
            _ => return None,
        }
        previous = *byte;
        host.push(char::from(byte.to_ascii_lowercase()));
    }
    // An empty name and a name that still ends in a dot both have an empty last label.
    (previous != b'.').then_some(port)
}

fn parse_ipv6(raw: &[u8], host: &mut String) -> Option<Option<u16>> {
    let close = memchr::memchr(b']', raw)?;
    let address = std::str::from_utf8(raw.get(1..close)?).ok()?;
    let address: Ipv6Addr = address.parse().ok()?;
    let port = parse_port(raw.get(close + 1..)?)?;
    // Writing to a string cannot fail.
    let _ = write!(host, "[{address}]");
    Some(port)
}

/// Reads an empty string or `:` and at most five digits.
fn parse_port(raw: &[u8]) -> Option<Option<u16>> {
    let digits = match raw {
        [] | [b':'] => return Some(None),
        [b':', digits @ ..] => digits,
        _ => return None,
    };
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (port != 0).then_some(Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> Result<(String, Option<u16>), HeadError> {
        let mut host = "stale".to_owned();
        parse_authority(raw.as_bytes(), &mut host).map(|port| (host, port))
    }

    #[test]
    fn case_041_spellings_of_one_host_are_one_host() {
        for (raw, host, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com", "example.com", None),
            ("example.com.", "example.com", None),
            ("Example.Com.:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com:0080", "example.com", Some(80)),
            ("localhost", "localhost", None),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("a_b-c~d.e", "a_b-c~d.e", None),
            ("[::1]", "[::1]", None),
            ("[0:0::0001]:443", "[::1]", Some(443)),
            ("[2001:DB8::A]", "[2001:db8::a]", None),
        ] {
            assert_eq!(parsed(raw), Ok((host.to_owned(), port)), "{raw}");
        }
    }

    #[test]
    fn case_041_what_is_no_host_is_refused() {
        for raw in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            ":80",
            "a:b",
            "a:+1",
            "a:-1",
            "a:65536",
            "a:0",
            "a:000080",
            "a:80:80",
            "user@a",
            "user:pass@a",
            "a@b",
            "a b",
            "a\tb",
            "a,b",
            "a;b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%2eb",
            "a\0b",
            "a\r\nb",
            "é.example",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "[::1%eth0]",
            "[v1.x]",
            "[]",
            "[1.2.3.4]",
            "a*",
            "*",
            "<a>",
            "a|b",
            "a\"",
        ] {
            assert_eq!(parsed(raw), Err(HeadError::BadHost), "{raw:?}");
        }
        assert_eq!(parsed(&"a".repeat(255)), Err(HeadError::BadHost));
        assert!(parsed(&"a".repeat(253)).is_ok());
    }

    #[test]
    fn a_refused_host_leaves_nothing_behind() {
        let mut host = "stale".to_owned();
        assert!(parse_authority(b"good.example@bad", &mut host).is_err());
        assert_eq!(host, "");
    }
}
