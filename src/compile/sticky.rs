//! Sticky sessions: what their cookie looks like, and whether browsers would keep it.

use std::{fmt::Write as _, sync::Arc};

use super::Compiler;
use crate::{
    balance::StickyKey,
    config::{
        self, Code, Placed,
        sticky::{SameSite, Sticky},
        upstream::Balance,
    },
    filters::is_field_name,
    snapshot::StickyPlan,
};

impl Compiler<'_> {
    /// The sticky sessions of the upstream of that name.
    pub(super) fn sticky(&mut self, name: &str, upstream: &config::Upstream) -> Option<StickyPlan> {
        let sticky = upstream.sticky.as_ref()?;
        if upstream.balance.value == Balance::Hash {
            self.found
                .error(
                    Code::ConflictingKeys,
                    sticky.place,
                    "`sticky` cannot be used with `balance = \"hash\"`: both say where a client belongs",
                )
                .help("take one of them away");
        }
        self.check_cookie(sticky);
        self.check_secret(&sticky.secret);
        Some(StickyPlan {
            key: Arc::new(StickyKey::new(sticky.secret.as_bytes(), name)),
            cookie: sticky.cookie.as_str().into(),
            // A browser counts seconds, and `Max-Age=0` would end the session at once.
            ttl: sticky.ttl.as_ref().map(|ttl| {
                let seconds = ttl.get().as_millis().div_ceil(1_000);
                u64::try_from(seconds).unwrap_or(u64::MAX)
            }),
            attributes: attributes(sticky).into(),
            secure: sticky
                .secure
                .as_ref()
                .map(|secure| secure.value)
                .or_else(|| demands_tls(sticky).then_some(true)),
        })
    }

    fn check_cookie(&mut self, sticky: &Sticky) {
        let name = &sticky.cookie;
        if !is_field_name(name) {
            let reason = format!("\"{name}\" cannot be the name of a cookie");
            self.refused(Code::BadCookie, name, "cookie", reason)
                .help("use letters, digits, `-` and `_`");
        }
        let path = &sticky.path;
        if !path.starts_with('/') || !path.bytes().all(is_attribute_byte) {
            let reason = format!("\"{path}\" cannot be the path of a cookie");
            self.refused(Code::BadCookie, path, "path", reason)
                .help("begin with `/`, without `;` and spaces");
        }
        if let Some(domain) = &sticky.domain {
            let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            if domain.is_empty() || !domain.bytes().all(is_domain) {
                let reason = format!("\"{domain}\" is not a domain");
                self.refused(Code::BadCookie, domain, "domain", reason)
                    .help("for example: domain = \"example.com\"");
            }
        }
        if let Some(secure) = &sticky.secure
            && !secure.value
            && demands_tls(sticky)
        {
            let reason = "browsers do not keep such a cookie without it";
            self.refused(Code::BadCookie, secure, "secure", reason)
                .help("the name begins with `__`, or `same_site` is \"none\": both need `secure = true`");
        }
        if has_prefix(name, "__Host-") && (path.as_str() != "/" || sticky.domain.is_some()) {
            let reason = "browsers keep a cookie `__Host-…` only with the path `/` and no domain";
            self.refused(Code::BadCookie, name, "cookie", reason)
                .help("take `path` and `domain` away, or give it another name");
        }
    }

    /// Nothing here repeats the secret.
    fn check_secret(&mut self, secret: &Placed<String>) {
        let Some(written) = secret.secret() else {
            self.found
                .error(
                    Code::BadSecret,
                    secret.place,
                    "`secret` stands in the configuration, which is no secret",
                )
                .help("write `${env:NAME}` or `${file:path}`");
            return;
        };
        if secret.len() < SHORTEST_SECRET {
            let message = format!(
                "`secret`: what \"{written}\" stands for is shorter than {SHORTEST_SECRET} bytes"
            );
            self.found
                .error(Code::BadSecret, secret.place, message)
                .help("make one, for example: openssl rand -hex 32");
        }
    }
}

/// What follows the value, but for `Secure` and the time.
fn attributes(sticky: &Sticky) -> String {
    let mut text = format!("; Path={}", sticky.path.as_str());
    if let Some(domain) = &sticky.domain {
        let _ = write!(text, "; Domain={}", domain.as_str());
    }
    text.push_str("; HttpOnly; SameSite=");
    text.push_str(match sticky.same_site.value {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    });
    text
}

/// Whether browsers keep the cookie only with `Secure` (draft-ietf-httpbis-rfc6265bis, sections 4.1.2.7 and 4.1.3).
fn demands_tls(sticky: &Sticky) -> bool {
    let name = &sticky.cookie;
    sticky.same_site.value == SameSite::None
        || ["__Host-", "__Secure-"]
            .iter()
            .any(|prefix| has_prefix(name, prefix))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

const fn is_attribute_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

/// 128 bits, if they are random.
const SHORTEST_SECRET: usize = 16;
