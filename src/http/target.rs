//! The request target and the host it names, whatever the protocol version (RFC 9112 section 3.2).

use super::authority::parse_authority;
use super::error::HeadError;
use super::grammar::is_visible_ascii;
use super::head::{Method, RequestHead, TargetForm};
use super::path::normalise_path;

/// Fills `form`, `path` and `query` of a head whose method is set, and `host` and `port` when the target names them.
///
/// `spare` is the memory for a query. The answer is the port that the target means when it names a host and no port.
pub(super) fn read_target(
    raw: &[u8],
    spare: String,
    head: &mut RequestHead,
) -> Result<TargetAuthority, HeadError> {
    if head.method == Method::Connect {
        read_authority_form(raw, head)
    } else {
        read_resource(raw, spare, head)
    }
}

/// Reads any form of a target but that of CONNECT.
pub(super) fn read_resource(
    raw: &[u8],
    spare: String,
    head: &mut RequestHead,
) -> Result<TargetAuthority, HeadError> {
    if !is_visible_ascii(raw) || memchr::memchr(b'#', raw).is_some() {
        return Err(HeadError::BadTarget);
    }
    match raw {
        b"*" if head.method == Method::Options => {
            head.form = TargetForm::Asterisk;
            Ok(TargetAuthority::Absent)
        }
        [b'/', ..] => read_path(raw, spare, head).map(|()| TargetAuthority::Absent),
        _ => read_absolute_form(raw, spare, head),
    }
}

/// Reads `host:port`, the target of CONNECT.
pub(super) fn read_authority_form(
    raw: &[u8],
    head: &mut RequestHead,
) -> Result<TargetAuthority, HeadError> {
    head.form = TargetForm::Authority;
    head.port = parse_authority(raw, &mut head.host)?;
    if head.port.is_none() {
        return Err(HeadError::BadTarget);
    }
    Ok(TargetAuthority::Named { default_port: None })
}

/// What a target says about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetAuthority {
    /// Nothing: the `Host` field decides.
    Absent,
    /// `host` and `port` are set; without a port the scheme means this one. CONNECT has no such port.
    Named { default_port: Option<u16> },
}

/// Sets the host from the `Host` field, or checks that it names the host that the target has named (wire rule 42).
pub(super) fn read_host_field(
    raw: &[u8],
    authority: TargetAuthority,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let TargetAuthority::Named { default_port } = authority else {
        head.port = parse_authority(raw, &mut head.host)?;
        return Ok(());
    };
    let mut host = String::new();
    let port = parse_authority(raw, &mut host)?;
    let target_port = head.port.or(default_port);
    // A CONNECT always names its port, and its `Host` field may leave it out.
    let same_port = port.or(default_port).or(target_port) == target_port;
    if host == head.host && same_port {
        Ok(())
    } else {
        Err(HeadError::HostMismatch)
    }
}

/// Splits and normalises a path with an optional query.
fn read_path(raw: &[u8], mut spare: String, head: &mut RequestHead) -> Result<(), HeadError> {
    let (path, query) = match memchr::memchr(b'?', raw).and_then(|at| raw.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (raw, None),
    };
    normalise_path(path, &mut head.path)?;
    if let Some(query) = query {
        spare.clear();
        spare.push_str(std::str::from_utf8(query).map_err(|_| HeadError::BadTarget)?);
        head.query = Some(spare);
    }
    Ok(())
}

fn read_absolute_form(
    raw: &[u8],
    spare: String,
    head: &mut RequestHead,
) -> Result<TargetAuthority, HeadError> {
    let (default_port, rest) = if let Some(rest) = strip_scheme(raw, b"http://") {
        (80, rest)
    } else if let Some(rest) = strip_scheme(raw, b"https://") {
        (443, rest)
    } else {
        return Err(HeadError::BadTarget);
    };
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(HeadError::BadTarget)?;
    head.port = parse_authority(authority, &mut head.host)?;
    match rest {
        // RFC 9112 section 3.2.4: this is how `OPTIONS *` looks to a proxy.
        [] if head.method == Method::Options => head.form = TargetForm::Asterisk,
        [] => head.path.push('/'),
        [b'?', query @ ..] => {
            read_path(b"/", String::new(), head)?;
            let query = std::str::from_utf8(query).map_err(|_| HeadError::BadTarget)?;
            head.query = Some(query.to_owned());
        }
        path => read_path(path, spare, head)?,
    }
    Ok(TargetAuthority::Named {
        default_port: Some(default_port),
    })
}

fn strip_scheme<'a>(raw: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = raw.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
