//! `X-Forwarded-For`, `-Proto` and `-Host`: believed only from trusted peers, written from the truth.

use std::net::IpAddr;

use crate::{
    gateway::Connection,
    http::{Fields, Known, RequestHead},
    snapshot::Snapshot,
};

/// What is known of the client behind a chain of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub client: IpAddr,
    /// The scheme that the client used.
    pub scheme: &'static str,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
}

/// Finds out who the client is, and replaces what the request says of it by what is known.
///
/// From a trusted peer, `X-Forwarded-For` is read from right to left past trusted hops; the first address that is not
/// trusted is the client. From anybody else, every spelling of these fields is removed before ours are written.
pub(super) fn assert_origin(
    head: &mut RequestHead,
    connection: &Connection,
    snapshot: &Snapshot,
) -> Origin {
    let peer = connection.address();
    let mut origin = Origin {
        client: peer,
        scheme: connection.scheme(),
        trusted: snapshot.trusts(peer),
    };
    let mut chain = String::with_capacity(CHAIN);
    let mut kept_host = None;
    if origin.trusted {
        origin.client = client_of(&head.fields, peer, snapshot);
        origin.scheme = scheme_of(&head.fields).unwrap_or(origin.scheme);
        kept_host = only(&head.fields, Known::XForwardedHost).map(<[u8]>::to_vec);
        join(&head.fields, &mut chain);
    }
    head.fields.remove_where(|field| match field.known {
        Known::XForwardedFor
        | Known::XForwardedHost
        | Known::XForwardedProto
        | Known::Forwarded => true,
        Known::Other => speaks_of_the_client(field.name),
        _ => false,
    });
    if !chain.is_empty() {
        chain.push_str(", ");
    }
    push_address(peer, &mut chain);
    head.fields.push(b"x-forwarded-for", chain.as_bytes());
    head.fields
        .push(b"x-forwarded-proto", origin.scheme.as_bytes());
    if let Some(host) = kept_host {
        head.fields.push(b"x-forwarded-host", &host);
    } else if !head.host.is_empty() {
        chain.clear();
        chain.push_str(&head.host);
        if let Some(port) = head.port {
            chain.push(':');
            chain.push_str(itoa::Buffer::new().format(port));
        }
        head.fields.push(b"x-forwarded-host", chain.as_bytes());
    }
    origin
}

/// Room for most chains, so that writing one allocates once.
const CHAIN: usize = 96;

/// Any other spelling under which an application may read the same facts: many take `_` for `-`.
fn speaks_of_the_client(name: &[u8]) -> bool {
    let is = |pattern: &[u8]| {
        name.len() >= pattern.len()
            && name.iter().zip(pattern).all(|(byte, wanted)| {
                byte.eq_ignore_ascii_case(wanted)
                    || (*wanted == b'-' && matches!(byte, b'_' | b'.'))
            })
    };
    is(b"x-forwarded-") || (is(b"x-real-ip") && name.len() == 9)
}

fn client_of(fields: &Fields, peer: IpAddr, snapshot: &Snapshot) -> IpAddr {
    let mut client = peer;
    let lines: smallvec::SmallVec<[&[u8]; 4]> = fields.all(Known::XForwardedFor).collect();
    for hop in lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
    {
        let Some(address) = address_of(hop) else {
            // What cannot be read was not written by a trusted hop: whoever sent it is the client.
            return client;
        };
        client = address;
        if !snapshot.trusts(address) {
            return client;
        }
    }
    client
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn address_of(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let plain = text
        .parse::<IpAddr>()
        .or_else(|_| {
            text.parse::<std::net::SocketAddr>()
                .map(|with_port| with_port.ip())
        })
        .or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>());
    plain.ok().map(|address| address.to_canonical())
}

fn scheme_of(fields: &Fields) -> Option<&'static str> {
    match only(fields, Known::XForwardedProto)? {
        value if value.eq_ignore_ascii_case(b"https") => Some("https"),
        value if value.eq_ignore_ascii_case(b"http") => Some("http"),
        _ => None,
    }
}

fn only(fields: &Fields, known: Known) -> Option<&[u8]> {
    let mut all = fields.all(known);
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// The chain as it came, in one line. What is not text was not written by a trusted hop and ends it.
fn join(fields: &Fields, chain: &mut String) {
    for line in fields.all(Known::XForwardedFor) {
        let Ok(line) = std::str::from_utf8(line) else {
            chain.clear();
            continue;
        };
        if !chain.is_empty() {
            chain.push_str(", ");
        }
        chain.push_str(line);
    }
}

fn push_address(address: IpAddr, text: &mut String) {
    use std::fmt::Write;
    // Writing into a string cannot fail.
    let _ = write!(text, "{address}");
}
