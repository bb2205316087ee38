//! What a message says about the connection it came over, and how that stays on this side of the gateway.

use super::error::HeadError;
use super::fields::{Fields, Known};
use super::grammar::{is_token, is_token_byte, list};
use super::head::{RequestHead, Version};

/// Whether the connection may carry another message after this one (RFC 9112 section 9.3).
#[must_use]
pub fn keep_alive(version: Version, fields: &Fields) -> bool {
    match version {
        Version::Http2 => true,
        Version::Http11 => !has_option(fields, b"close"),
        Version::Http10 => has_option(fields, b"keep-alive") && !has_option(fields, b"close"),
    }
}

/// The one protocol that the message wants to switch to: `Connection: upgrade` and a single `Upgrade` token.
///
/// `None` in any version but 1.1 (RFC 9110 section 7.8), for a list of protocols and for `h2c`, which must never
/// reach an upstream: it would carry requests past the routes.
#[must_use]
pub fn upgrade_token(version: Version, fields: &Fields) -> Option<&[u8]> {
    if version != Version::Http11 {
        return None;
    }
    let mut values = fields.all(Known::Upgrade);
    let token = values.next()?;
    let single = values.next().is_none() && is_protocol(token);
    (single && !token.eq_ignore_ascii_case(b"h2c") && has_option(fields, b"upgrade"))
        .then_some(token)
}

/// Whether the client waits for a 100 before it sends its body (RFC 9110 section 10.1.1).
///
/// Always `false` for HTTP/1.0, where the expectation has no meaning. Any other expectation is
/// [`HeadError::BadExpect`].
pub fn expects_continue(head: &RequestHead) -> Result<bool, HeadError> {
    let mut values = head.fields.all(Known::Expect);
    let Some(value) = values.next() else {
        return Ok(false);
    };
    if values.next().is_some() || !value.eq_ignore_ascii_case(b"100-continue") {
        return Err(HeadError::BadExpect);
    }
    Ok(head.version != Version::Http10)
}

/// Whether the sender of a request takes trailers: `TE: trailers` (RFC 9110 section 10.1.4).
///
/// `TE` itself is removed with the other hop-by-hop fields. To announce trailers to the upstream, push `TE: trailers`
/// after that; the writers of both protocols know what to do with it.
#[must_use]
pub fn accepts_trailers(fields: &Fields) -> bool {
    fields
        .all(Known::Te)
        .flat_map(list)
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Removes the fields that are meant for this connection alone (RFC 9110 section 7.6.1), among them those that
/// `Connection` nominates.
///
/// A nomination cannot remove a field that is for everybody or that the gateway itself reads or writes: every
/// [`Known`] name that is not hop-by-hop (`Host`, `Content-Length`, `Authorization`, `Cookie`, …) and everything that
/// begins with `X-Forwarded-`, `X-Real-` or `Content-`; such a nomination is ignored, since no honest sender makes it.
/// [`HeadError::BadConnection`] refuses a `Connection` that holds something else than options, or more than 32.
pub fn strip_hop_by_hop(fields: &mut Fields) -> Result<(), HeadError> {
    let nominated = nominated(fields)?;
    fields.remove_where(|field| {
        is_hop_by_hop(field.known)
            || (field.known == Known::Other
                && nominated
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(field.name)))
    });
    Ok(())
}

/// Whether a field of that name is for one connection only.
#[must_use]
pub const fn is_hop_by_hop(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Whether a field of that name cannot stand in an HTTP/2 message (RFC 9113 section 8.2.2); `TE` can, with one value.
pub(super) const fn is_connection_specific(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Whether the bytes are `name` or `name/version` (RFC 9110 section 7.8).
pub(super) fn is_protocol(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'/');
    parts.next().is_some_and(is_token)
        && parts.next().is_none_or(is_token)
        && parts.next().is_none()
}

/// More than any honest message has; each one is compared with every field.
const MAX_OPTIONS: usize = 32;

/// The names of fields outside the [`Known`] ones that `Connection` nominates: none, in nearly every message.
fn nominated(fields: &Fields) -> Result<Vec<Box<[u8]>>, HeadError> {
    let mut names = Vec::new();
    for (position, option) in options(fields).enumerate() {
        if position >= MAX_OPTIONS || !option.iter().all(|byte| is_token_byte(*byte)) {
            return Err(HeadError::BadConnection);
        }
        let is_signal = [&b"close"[..], b"keep-alive", b"upgrade", b"te"]
            .iter()
            .any(|signal| option.eq_ignore_ascii_case(signal));
        if !is_signal && Known::of(option) == Known::Other && !is_protected(option) {
            names.push(option.into());
        }
    }
    Ok(names)
}

fn is_protected(name: &[u8]) -> bool {
    [&b"x-forwarded-"[..], b"x-real-", b"content-"]
        .iter()
        .any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

fn has_option(fields: &Fields, wanted: &[u8]) -> bool {
    options(fields).any(|option| option.eq_ignore_ascii_case(wanted))
}

fn options(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.all(Known::Connection).flat_map(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn stripped(pairs: &[(&str, &str)]) -> Result<Vec<String>, HeadError> {
        let mut fields = fields(pairs);
        strip_hop_by_hop(&mut fields)?;
        Ok(fields
            .iter()
            .map(|field| String::from_utf8_lossy(field.name).into_owned())
            .collect())
    }

    #[test]
    fn keep_alive_follows_the_version_unless_an_option_says_otherwise() {
        let none = fields(&[]);
        let close = fields(&[("connection", "x, CLOSE")]);
        let keep = fields(&[("Connection", "Keep-Alive")]);
        let both = fields(&[("connection", "keep-alive"), ("connection", "close")]);
        assert!(keep_alive(Version::Http11, &none));
        assert!(!keep_alive(Version::Http10, &none));
        assert!(!keep_alive(Version::Http11, &close));
        assert!(keep_alive(Version::Http10, &keep));
        assert!(!keep_alive(Version::Http10, &both));
        assert!(!keep_alive(Version::Http11, &both));
        assert!(keep_alive(Version::Http2, &close));
        assert!(keep_alive(
            Version::Http11,
            &fields(&[("connection", "closed")])
        ));
    }

    #[test]
    fn case_049_hop_by_hop_fields_do_not_pass() {
        let left = stripped(&[
            ("Connection", "close, X-Private"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("HTTP2-Settings", "AAMAAABk"),
            ("Proxy-Authorization", "Basic eA=="),
            ("Proxy-Authenticate", "Basic"),
            ("x-private", "1"),
            ("X-PRIVATE", "2"),
            ("Accept", "*/*"),
            ("X-Public", "3"),
        ]);
        assert_eq!(left.unwrap(), ["Accept", "X-Public"]);
    }

    #[test]
    fn case_049_a_nomination_cannot_remove_what_the_gateway_relies_on() {
        let kept = [
            "Host",
            "Content-Length",
            "Content-Type",
            "Content-MD5",
            "Authorization",
            "Cookie",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Prefix",
            "X-Real-IP",
            "Forwarded",
            "X-Request-Id",
            "Cache-Control",
            "Via",
        ];
        for name in kept {
            let left = stripped(&[(name, "v"), ("Connection", name)]);
            assert_eq!(left.unwrap(), [name]);
        }
        assert_eq!(
            stripped(&[("X-User", "v"), ("Connection", "x-user")]).unwrap(),
            [""; 0]
        );
    }

    #[test]
    fn a_connection_field_that_is_no_list_of_options_is_refused() {
        let many = vec!["a"; MAX_OPTIONS + 1].join(",");
        for value in ["close;x", "a b", "\"close\"", "x=y", "é", &many] {
            assert_eq!(
                stripped(&[("Connection", value)]),
                Err(HeadError::BadConnection),
                "{value}"
            );
        }
        for value in ["", ",", "close,,", " close ,\tkeep-alive"] {
            assert_eq!(
                stripped(&[("Connection", value)]),
                Ok(Vec::new()),
                "{value}"
            );
        }
    }

    #[test]
    fn case_012_an_upgrade_needs_one_protocol_and_the_option() {
        let token = |pairs: &[(&str, &str)]| {
            let fields = fields(pairs);
            upgrade_token(Version::Http11, &fields).map(<[u8]>::to_vec)
        };
        let connection = ("Connection", "keep-alive, Upgrade");
        assert_eq!(
            token(&[connection, ("Upgrade", "websocket")]),
            Some(b"websocket".to_vec())
        );
        assert_eq!(
            token(&[connection, ("Upgrade", "irc/6.9")]),
            Some(b"irc/6.9".to_vec())
        );
        assert_eq!(token(&[("Upgrade", "websocket")]), None);
        assert_eq!(token(&[connection]), None);
        for value in [
            "websocket, foo",
            "h2c",
            "H2C",
            "",
            "a b",
            "a/b/c",
            "/",
            "web socket",
        ] {
            assert_eq!(token(&[connection, ("Upgrade", value)]), None, "{value}");
        }
        assert_eq!(
            token(&[connection, ("Upgrade", "a"), ("Upgrade", "b")]),
            None
        );
        let fields = fields(&[connection, ("Upgrade", "websocket")]);
        assert_eq!(upgrade_token(Version::Http10, &fields), None);
        assert_eq!(upgrade_token(Version::Http2, &fields), None);
    }

    #[test]
    fn case_015_only_one_expectation_is_known() {
        let expects = |version, pairs: &[(&str, &str)]| {
            expects_continue(&RequestHead {
                version,
                fields: fields(pairs),
                ..RequestHead::default()
            })
        };
        assert_eq!(expects(Version::Http11, &[]), Ok(false));
        assert_eq!(
            expects(Version::Http11, &[("Expect", "100-Continue")]),
            Ok(true)
        );
        assert_eq!(
            expects(Version::Http2, &[("expect", "100-continue")]),
            Ok(true)
        );
        assert_eq!(
            expects(Version::Http10, &[("Expect", "100-continue")]),
            Ok(false)
        );
        for value in [
            "",
            "200-ok",
            "100-continue, x",
            "100-continue;q=1",
            "100 continue",
            "y 100-continue",
        ] {
            assert_eq!(
                expects(Version::Http11, &[("Expect", value)]),
                Err(HeadError::BadExpect)
            );
            assert_eq!(
                expects(Version::Http10, &[("Expect", value)]),
                Err(HeadError::BadExpect)
            );
        }
        let twice = [("Expect", "100-continue"), ("Expect", "100-continue")];
        assert_eq!(expects(Version::Http11, &twice), Err(HeadError::BadExpect));
    }

    #[test]
    fn trailers_are_accepted_when_te_says_so() {
        assert!(accepts_trailers(&fields(&[(
            "TE",
            "deflate;q=0.5, Trailers"
        )])));
        assert!(!accepts_trailers(&fields(&[("TE", "deflate")])));
        assert!(!accepts_trailers(&fields(&[])));
    }
}
