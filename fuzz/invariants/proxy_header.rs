//! A PROXY header says the same in pieces as in one, takes no byte of what follows it, and never makes anybody wait
//! for more than it may have.

use std::net::{IpAddr, SocketAddr};

use portcullis::listener::proxy_protocol::{MAX_BYTES, ProxyHeader, parse};

/// The longest line of version 1.
const LONGEST_LINE: usize = 107;

/// Holds for any bytes.
pub fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    let mut answered = false;
    // Long ones are looked at here and there, for each look costs their length.
    for end in (0..=bytes.len()).filter(|end| *end < 300 || end % 97 == 0) {
        let part = parse(&bytes[..end]);
        match part {
            Ok(None) => assert!(!answered, "an answer was taken back"),
            answer => {
                assert_eq!(answer, whole, "of {end} bytes");
                answered = true;
            }
        }
    }
    let is_line = bytes.first() == Some(&b'P');
    let cap = if is_line { LONGEST_LINE } else { MAX_BYTES };
    if whole == Ok(None) {
        assert!(bytes.len() < cap, "it asks for more than a header can have");
    }
    let Ok(Some((used, header))) = whole else {
        return;
    };
    assert!(used <= bytes.len() && used <= cap);
    assert_eq!(parse(&bytes[..used]), whole);
    assert_eq!(parse(&bytes[..used - 1]), Ok(None));
    if is_line {
        assert!(bytes[..used].ends_with(b"\r\n"));
        assert!(
            bytes[..used - 2]
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~'))
        );
    }
    if let ProxyHeader::Forwarded {
        source,
        destination,
    } = header
    {
        for address in [source, destination] {
            assert_eq!(address.ip(), address.ip().to_canonical());
        }
        for again in [line(source, destination), binary(source, destination)] {
            assert_eq!(parse(&again), Ok(Some((again.len(), header))));
        }
    }
}

/// The header in version 1.
#[must_use]
pub fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (ports, family) = (
        (source.port(), destination.port()),
        family(source, destination),
    );
    let addresses = match family {
        Family::V4 => format!("TCP4 {} {}", source.ip(), destination.ip()),
        Family::V6 => format!("TCP6 {} {}", mapped(source), mapped(destination)),
    };
    format!("PROXY {addresses} {} {}\r\n", ports.0, ports.1).into_bytes()
}

/// The header in version 2.
#[must_use]
pub fn binary(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    let mut addresses = Vec::new();
    match family(source, destination) {
        Family::V4 => {
            out.push(0x11);
            for address in [source, destination] {
                if let IpAddr::V4(address) = address.ip() {
                    addresses.extend(address.octets());
                }
            }
        }
        Family::V6 => {
            out.push(0x21);
            addresses.extend(mapped(source).octets());
            addresses.extend(mapped(destination).octets());
        }
    }
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    let length = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(addresses);
    out
}

enum Family {
    V4,
    V6,
}

fn family(source: SocketAddr, destination: SocketAddr) -> Family {
    if source.is_ipv4() && destination.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    }
}

fn mapped(address: SocketAddr) -> std::net::Ipv6Addr {
    match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
