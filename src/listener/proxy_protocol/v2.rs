//! Version 2 of the PROXY protocol: a binary header of 16 bytes, the addresses, and type-length-value entries.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ProxyError, ProxyHeader, canonical, starts};

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
const ADDRESSES_V4: usize = 12;
const ADDRESSES_V6: usize = 36;
/// The most bytes after the addresses. Real senders use some tens; a client certificate in a TLV is the largest.
const MAX_EXTRA: usize = 4096;
pub(super) const MAX_BYTES: usize = FIXED + ADDRESSES_V6 + MAX_EXTRA;

/// What the fixed part asks of the rest.
#[derive(Clone, Copy)]
enum Rest {
    /// LOCAL, or a connection of unknown kind: skipped.
    Ignored,
    V4,
    V6,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
    if !starts(bytes, SIGNATURE)? {
        return Ok(None);
    }
    let Some(fixed) = bytes.get(SIGNATURE.len()..) else {
        return Ok(None);
    };
    // Each byte is judged as soon as it is there, so that garbage is refused without waiting for more of it.
    let local = match fixed.first() {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(ProxyError::UnknownVersion),
    };
    let rest = match fixed.get(1) {
        None => return Ok(None),
        Some(_) if local => Rest::Ignored,
        Some(0x00) => Rest::Ignored,
        Some(0x11) => Rest::V4,
        Some(0x21) => Rest::V6,
        Some(_) => return Err(ProxyError::UnsupportedFamily),
    };
    let Some(&[high, low]) = fixed.get(2..4) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let addresses = rest.addresses();
    if length < addresses {
        return Err(ProxyError::BadLength);
    }
    if length - addresses > MAX_EXTRA {
        return Err(ProxyError::TooLong);
    }
    let total = FIXED + length;
    let Some(header) = bytes.get(..total) else {
        return Ok(None);
    };
    let said = match rest {
        Rest::Ignored => return Ok(Some((total, ProxyHeader::Local))),
        Rest::V4 => read_v4(header),
        Rest::V6 => read_v6(header),
    };
    check_entries(header, FIXED + addresses)?;
    Ok(Some((total, said.ok_or(ProxyError::BadLength)?)))
}

impl Rest {
    const fn addresses(self) -> usize {
        match self {
            Self::Ignored => 0,
            Self::V4 => ADDRESSES_V4,
            Self::V6 => ADDRESSES_V6,
        }
    }
}

fn read_v4(header: &[u8]) -> Option<ProxyHeader> {
    let (source, rest) = header.get(FIXED..)?.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    let (source_port, destination_port) = read_ports(rest)?;
    Some(ProxyHeader::Forwarded {
        source: canonical(Ipv4Addr::from(*source), source_port),
        destination: canonical(Ipv4Addr::from(*destination), destination_port),
    })
}

fn read_v6(header: &[u8]) -> Option<ProxyHeader> {
    let (source, rest) = header.get(FIXED..)?.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let (source_port, destination_port) = read_ports(rest)?;
    Some(ProxyHeader::Forwarded {
        source: canonical(Ipv6Addr::from(*source), source_port),
        destination: canonical(Ipv6Addr::from(*destination), destination_port),
    })
}

fn read_ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let (source, rest) = bytes.split_first_chunk::<2>()?;
    let (destination, _) = rest.split_first_chunk::<2>()?;
    Some((
        u16::from_be_bytes(*source),
        u16::from_be_bytes(*destination),
    ))
}

/// The type of the entry that holds a CRC-32C of the whole header.
const CHECKSUM: u8 = 0x03;

/// Walks over the entries from `start`: each must lie within the header, and a checksum must be right.
fn check_entries(header: &[u8], start: usize) -> Result<(), ProxyError> {
    let mut at = start;
    while at < header.len() {
        let entry = header.get(at..).unwrap_or_default();
        let Some((&[kind, high, low], value)) = entry.split_first_chunk::<3>() else {
            return Err(ProxyError::BadLength);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = value.get(..length).ok_or(ProxyError::BadLength)?;
        if kind == CHECKSUM {
            let stated = value.try_into().map_err(|_| ProxyError::BadLength)?;
            if checksum(header, at + 3) != u32::from_be_bytes(stated) {
                return Err(ProxyError::BadChecksum);
            }
        }
        at += 3 + length;
    }
    Ok(())
}

/// CRC-32C (RFC 3720, appendix B.4) of `header` with the four bytes at `field` taken as zero.
fn checksum(header: &[u8], field: usize) -> u32 {
    let bytes = header.iter().enumerate().map(|(at, &byte)| {
        if (field..field + 4).contains(&at) {
            0
        } else {
            byte
        }
    });
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let carry = crc & 1;
            (crc >> 1) ^ (carry.wrapping_neg() & 0x82F6_3B78)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const TCP4: u8 = 0x11;
    const TCP6: u8 = 0x21;
    const ENDS_V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

    fn header(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
        let rest = parts.concat();
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn entry(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(value);
        bytes
    }

    fn forwarded(source: &str, destination: &str) -> ProxyHeader {
        ProxyHeader::Forwarded {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[track_caller]
    fn accepts(bytes: &[u8], header: ProxyHeader) {
        let followed = [bytes, b"\r\n\r\n\0 the client's bytes"].concat();
        assert_eq!(parse(&followed), Ok(Some((bytes.len(), header))));
    }

    #[test]
    fn tells_both_ends_and_leaves_the_rest() {
        let v4 = forwarded("192.0.2.1:56324", "198.51.100.2:443");
        accepts(&header(PROXY, TCP4, &[&ENDS_V4]), v4);
        accepts(
            &header(
                PROXY,
                TCP4,
                &[&ENDS_V4, &entry(2, b"example.com"), &entry(4, b"")],
            ),
            v4,
        );

        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let ends = [source.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
        accepts(
            &header(PROXY, TCP6, &[&ends, &[0, 1, 0, 2]]),
            forwarded("[2001:db8::1]:1", "[::1]:2"),
        );
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
        accepts(
            &header(PROXY, TCP6, &[&mapped, &mapped, &[0, 1, 0, 2]]),
            forwarded("192.0.2.1:1", "192.0.2.1:2"),
        );
    }

    #[test]
    fn local_and_unknown_connections_keep_the_peer_s_address() {
        accepts(&header(LOCAL, 0x00, &[]), ProxyHeader::Local);
        accepts(&header(LOCAL, TCP4, &[&ENDS_V4]), ProxyHeader::Local);
        accepts(&header(LOCAL, 0xff, &[&[9; 100]]), ProxyHeader::Local);
        accepts(&header(PROXY, 0x00, &[&[9; 100]]), ProxyHeader::Local);
    }

    #[test]
    fn other_versions_commands_and_families_are_refused() {
        for command in [0x11, 0x22, 0x2f, 0x31, 0x00] {
            let bytes = header(command, TCP4, &[&ENDS_V4]);
            assert_eq!(parse(&bytes), Err(ProxyError::UnknownVersion), "{command}");
        }
        // UDP over IPv4 and IPv6, unix stream and datagram, half known ones.
        for family in [0x12, 0x22, 0x31, 0x32, 0x10, 0x01, 0x20, 0x41, 0xff] {
            let bytes = header(PROXY, family, &[&[0; 216]]);
            assert_eq!(
                parse(&bytes),
                Err(ProxyError::UnsupportedFamily),
                "{family}"
            );
        }
    }

    #[test]
    fn lengths_must_fit_into_each_other() {
        let short = header(PROXY, TCP4, &[&ENDS_V4[..11]]);
        assert_eq!(parse(&short), Err(ProxyError::BadLength));
        let short = header(PROXY, TCP6, &[&[0; 35]]);
        assert_eq!(parse(&short), Err(ProxyError::BadLength));
        for entries in [
            &[4][..],
            &[4, 0],
            &[4, 0, 1],
            &[4, 0xff, 0xff, 0],
            &[4, 0, 0, 4, 0],
        ] {
            let bytes = header(PROXY, TCP4, &[&ENDS_V4, entries]);
            assert_eq!(parse(&bytes), Err(ProxyError::BadLength), "{entries:?}");
        }
    }

    #[test]
    fn what_follows_the_addresses_is_limited_before_it_is_read() {
        let most = entry(0xe0, &vec![0; MAX_EXTRA - 3]);
        accepts(
            &header(PROXY, TCP4, &[&ENDS_V4, &most]),
            forwarded("192.0.2.1:56324", "198.51.100.2:443"),
        );
        for (command, addresses) in [(PROXY, &ENDS_V4[..]), (LOCAL, &[])] {
            let more = header(command, TCP4, &[addresses, &vec![0; MAX_EXTRA + 1]]);
            assert_eq!(parse(&more[..FIXED]), Err(ProxyError::TooLong));
        }
    }

    #[test]
    fn a_checksum_must_be_right() {
        // The check value of CRC-32C.
        assert_eq!(checksum(b"123456789", 9), 0xE306_9283);

        let mut bytes = header(
            PROXY,
            TCP4,
            &[&ENDS_V4, &entry(CHECKSUM, &[0; 4]), &entry(4, b"x")],
        );
        let field = FIXED + ADDRESSES_V4 + 3;
        let right = checksum(&bytes, field).to_be_bytes();
        bytes[field..field + 4].copy_from_slice(&right);
        accepts(&bytes, forwarded("192.0.2.1:56324", "198.51.100.2:443"));

        bytes[FIXED] ^= 1;
        assert_eq!(parse(&bytes), Err(ProxyError::BadChecksum));
        let odd = header(PROXY, TCP4, &[&ENDS_V4, &entry(CHECKSUM, &[0; 3])]);
        assert_eq!(parse(&odd), Err(ProxyError::BadLength));
    }

    #[test]
    fn a_signature_that_goes_wrong_is_refused_at_that_byte() {
        for at in 0..SIGNATURE.len() {
            let mut bytes = SIGNATURE[..=at].to_vec();
            assert_eq!(parse(&bytes), Ok(None));
            bytes[at] ^= 0x20;
            assert_eq!(parse(&bytes), Err(ProxyError::Missing), "{at}");
        }
    }
}
