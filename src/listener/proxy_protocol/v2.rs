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
