//! Sticky sessions: a signed cookie that names the endpoint a session is at.
//!
//! The cookie has no address in it but a keyed digest of the endpoint's identity, so it tells a client nothing of the network behind the
//! gateway, and its signature covers the upstream, so a cookie of one cannot be used at another. Every gateway with the
//! same secret reads and writes the same cookies. Whether the endpoint is still there is for the pool to say.

use aws_lc_rs::{constant_time, hmac};

use super::identity::EndpointId;

/// What names endpoints and signs cookies of one upstream.
#[derive(Clone, Debug)]
pub struct StickyKey {
    names: hmac::Key,
    signatures: hmac::Key,
}

/// An endpoint as a cookie names it. Only the key that made it can make it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StickyId([u8; ID_LENGTH]);

/// What a cookie says that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// The endpoint that the session is at.
    pub id: StickyId,
    /// Until when it is good, in seconds of Unix time; `None` for as long as its key.
    pub expires: Option<u64>,
}

impl StickyKey {
    /// The key of the upstream of that name. The secret should have 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8], upstream: &str) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &str| {
            let mut context = hmac::Context::with_key(&secret);
            context.update(purpose.as_bytes());
            context.update(upstream.as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
        };
        Self {
            names: derive("portcullis sticky endpoint 1\0"),
            signatures: derive("portcullis sticky cookie 1\0"),
        }
    }

    /// The name of an endpoint.
    #[must_use]
    pub fn id(&self, endpoint: &EndpointId) -> StickyId {
        let tag = hmac::sign(&self.names, endpoint.to_string().as_bytes());
        StickyId(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// Appends a cookie's value: 64 hexadecimal digits. `expires` is in seconds of Unix time; `None` for a cookie that
    /// is good as long as its key.
    pub fn write(&self, id: StickyId, expires: Option<u64>, out: &mut Vec<u8>) {
        let expires = expires.unwrap_or(NEVER).to_be_bytes();
        let signature = self.signature(id, expires);
        for byte in id.0.into_iter().chain(expires).chain(signature) {
            out.extend([byte >> 4, byte & 0xF].map(digit));
        }
    }

    /// What a cookie's value says; `None` if it is malformed, expired or not signed by this key.
    #[must_use]
    pub fn read(&self, value: &[u8], now: u64) -> Option<StickyCookie> {
        let bytes = decode(value)?;
        let (id, rest) = bytes.split_first_chunk()?;
        let (expires, signature) = rest.split_first_chunk()?;
        let id = StickyId(*id);
        constant_time::verify_slices_are_equal(&self.signature(id, *expires), signature).ok()?;
        let expires = u64::from_be_bytes(*expires);
        (now < expires).then_some(StickyCookie {
            id,
            expires: (expires != NEVER).then_some(expires),
        })
    }

    /// Half of the digest, as RFC 2104, section 5 allows.
    fn signature(&self, id: StickyId, expires: [u8; EXPIRES_LENGTH]) -> [u8; SIGNATURE_LENGTH] {
        let mut context = hmac::Context::with_key(&self.signatures);
        context.update(&id.0);
        context.update(&expires);
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

fn decode(value: &[u8]) -> Option<[u8; LENGTH]> {
    let (pairs, []) = value.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; LENGTH];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (number(*high)? << 4) | number(*low)?;
    }
    Some(bytes)
}

const fn digit(number: u8) -> u8 {
    match number {
        0..=9 => b'0' + number,
        _ => b'a' + (number - 10),
    }
}

/// Lower-case digits only: a cookie has one spelling.
const fn number(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const NEVER: u64 = u64::MAX;
const ID_LENGTH: usize = 8;
const EXPIRES_LENGTH: usize = 8;
const SIGNATURE_LENGTH: usize = 16;
const LENGTH: usize = ID_LENGTH + EXPIRES_LENGTH + SIGNATURE_LENGTH;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StickyKey {
        StickyKey::new(b"a secret for tests", "users")
    }

    fn endpoint() -> EndpointId {
        EndpointId::at("10.1.2.3:80".parse().unwrap())
    }

    fn cookie(key: &StickyKey, expires: Option<u64>) -> Vec<u8> {
        let mut cookie = Vec::new();
        key.write(key.id(&endpoint()), expires, &mut cookie);
        cookie
    }

    #[test]
    fn a_cookie_names_its_endpoint_until_it_expires() {
        let key = key();
        let cookie = cookie(&key, Some(1_000));
        assert_eq!(cookie.len(), 64);
        assert!(cookie.iter().all(u8::is_ascii_hexdigit));
        let read = StickyCookie {
            id: key.id(&endpoint()),
            expires: Some(1_000),
        };
        assert_eq!(key.read(&cookie, 999), Some(read));
        assert_eq!(key.read(&cookie, 1_000), None);
    }

    #[test]
    fn a_cookie_without_an_end_is_good_for_ever() {
        let key = key();
        let cookie = cookie(&key, None);
        let read = StickyCookie {
            id: key.id(&endpoint()),
            expires: None,
        };
        assert_eq!(key.read(&cookie, u64::MAX - 1), Some(read));
    }

    #[test]
    fn no_change_goes_unseen() {
        let key = key();
        let good = cookie(&key, Some(1_000));
        for place in 0..good.len() {
            for other in *b"0f" {
                let mut changed = good.clone();
                changed[place] = other;
                assert_eq!(key.read(&changed, 0).is_some(), changed == good, "{place}");
            }
        }
        for wrong in [
            &good[..62],
            &good[..63],
            b"",
            b"x",
            &good.repeat(2),
            &good.to_ascii_uppercase(),
        ] {
            assert_eq!(key.read(wrong, 0), None);
        }
    }

    #[test]
    fn a_cookie_of_another_upstream_or_secret_is_nothing() {
        let good = cookie(&key(), None);
        for other in [
            StickyKey::new(b"a secret for tests", "orders"),
            StickyKey::new(b"another secret", "users"),
        ] {
            assert_eq!(other.read(&good, 0), None);
            assert_ne!(other.id(&endpoint()), key().id(&endpoint()));
        }
    }

    #[test]
    fn the_same_secret_makes_the_same_cookie() {
        assert_eq!(cookie(&key(), Some(7)), cookie(&key(), Some(7)));
    }
}
