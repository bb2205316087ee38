//! Which field names filters may touch, and which fields a reader could mistake for each other.

use super::setting::SettingError;
use super::template::Phase;
use crate::http::{Fields, Known};

/// Checks the name of a field that a filter shall change.
pub(super) fn check(key: &'static str, name: &str, phase: Phase) -> Result<(), SettingError> {
    if !is_field_name(name) {
        let message = format!("{name:?} is not the name of a header field");
        return Err(SettingError::new(key, message).at(name));
    }
    let message = match (Known::of(name.as_bytes()), phase) {
        (Known::Host, Phase::Request) => {
            "the host is part of the request's target: use `rewrite` with `host`".to_owned()
        }
        (Known::ContentLength | Known::TransferEncoding | Known::Trailer, _) => {
            format!("{name} says where the body ends: the gateway writes it itself")
        }
        (
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Upgrade
            | Known::Http2Settings,
            _,
        ) => format!("{name} belongs to one connection: the gateway writes it itself"),
        (Known::Expect, Phase::Request) => {
            format!("{name} is answered by the gateway itself")
        }
        _ => return Ok(()),
    };
    Err(SettingError::new(key, message).at(name))
}

/// Whether it is a name that a field can have (RFC 9110 section 5.1).
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

/// Removes every field that a reader might take for `name`: any case, and `_` or `.` for `-`. Interfaces in the manner
/// of CGI turn all of them into one variable, so a client could otherwise smuggle in a field that the gateway asserts.
pub(super) fn remove_lookalikes(fields: &mut Fields, name: &str) {
    fields.remove_where(|field| looks_like(field.name, name.as_bytes()));
}

fn looks_like(name: &[u8], wanted: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    };
    name.len() == wanted.len() && name.iter().map(folded).eq(wanted.iter().map(folded))
}

/// A character of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_connection_and_framing_are_out_of_reach() {
        for name in [
            "Host",
            "connection",
            "Keep-Alive",
            "proxy-connection",
            "TE",
            "Trailer",
            "expect",
            "Transfer-Encoding",
            "Upgrade",
            "content-length",
            "HTTP2-Settings",
            "",
            "a b",
            ":path",
        ] {
            assert!(check("set", name, Phase::Request).is_err(), "{name}");
        }
        assert!(check("set", "transfer-encoding", Phase::Response).is_err());
        assert!(check("set", "x-user", Phase::Request).is_ok());
    }

    #[test]
    fn case_050_every_spelling_is_removed() {
        let mut fields = Fields::new();
        for name in ["X-User", "x_user", "X.USER", "x-USER", "x-users", "xuser"] {
            fields.push(name.as_bytes(), b"a");
        }
        remove_lookalikes(&mut fields, "x-user");
        let left: Vec<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(left, [&b"x-users"[..], b"xuser"]);
    }
}
