//! `request_id`: gives each exchange an identity that client, gateway and upstream share.

use super::chain::Flow;
use super::context::Context;
use super::names;
use super::setting::SettingError;
use super::template::Phase;
use crate::http::{RequestHead, ResponseHead};

/// The settings of `request_id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The field that carries the identity, in the request to the upstream and in the response; `x-request-id` when
    /// absent.
    pub header: Option<String>,
    /// Whether any client may bring its own identity. The trusted proxies always may.
    pub trust: bool,
}

/// Gives the exchange an identity.
#[derive(Clone, Debug)]
pub struct RequestId {
    header: Box<str>,
    trust: bool,
}

impl Settings {
    /// Checks the settings and makes the filter.
    pub fn build(&self) -> Result<RequestId, SettingError> {
        let header = self.header.as_deref().unwrap_or(DEFAULT_HEADER);
        names::check("header", header, Phase::Request)?;
        Ok(RequestId {
            header: header.into(),
            trust: self.trust,
        })
    }
}

impl RequestId {
    pub(super) fn on_request(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Flow {
        match self
            .brought(head)
            .filter(|_| self.trust || cx.peer_is_trusted)
        {
            Some(id) => {
                cx.request_id.clear();
                cx.request_id.push_str(id);
            }
            None if cx.request_id.is_empty() => fresh(cx.now_ms, cx.random, cx.request_id),
            None => {}
        }
        names::remove_lookalikes(&mut head.fields, &self.header);
        head.fields
            .push(self.header.as_bytes(), cx.request_id.as_bytes());
        Flow::Continue
    }

    pub(super) fn on_response(&self, head: &mut ResponseHead, cx: &Context<'_>) {
        if !cx.request_id.is_empty() {
            head.fields
                .set(self.header.as_bytes(), cx.request_id.as_bytes());
        }
    }

    /// The identity that the request came with, if it is one and there is only one.
    fn brought<'a>(&'a self, head: &'a RequestHead) -> Option<&'a str> {
        let mut values = head.fields.all_named(self.header.as_bytes());
        let value = values.next().filter(|_| values.next().is_none())?;
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~-".contains(byte);
        if value.is_empty() || value.len() > MAX_LENGTH || !value.iter().all(harmless) {
            return None;
        }
        std::str::from_utf8(value).ok()
    }
}

/// Appends a new identity: a UUID of version 7 (RFC 9562 section 5.7), so that identities sort by time.
pub fn fresh(now_ms: u64, random: &mut dyn FnMut() -> u64, out: &mut String) {
    let bits = (u128::from(random()) << 64) | u128::from(random());
    let mut bytes = [0; 10];
    for (byte, random) in bytes.iter_mut().zip(bits.to_be_bytes()) {
        *byte = random;
    }
    let id = uuid::Builder::from_unix_timestamp_millis(now_ms, &bytes).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    out.push_str(id.hyphenated().encode_lower(&mut buffer));
}

const DEFAULT_HEADER: &str = "x-request-id";

/// The longest identity that is believed, in bytes.
const MAX_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    fn run(settings: &Settings, trial: &mut Trial) -> Vec<String> {
        let filter = settings.build().unwrap();
        let (request, response, mut cx) = trial.parts();
        filter.on_request(request, &mut cx);
        filter.on_response(response, &cx);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let name = settings.header.as_deref().unwrap_or(DEFAULT_HEADER);
        request
            .fields
            .all_named(name.as_bytes())
            .chain(response.fields.all_named(name.as_bytes()))
            .map(text)
            .collect()
    }

    fn trial(id: &str) -> Trial {
        let mut trial = Trial::new("/", "");
        trial.request.fields.push(b"X-Request-ID", id.as_bytes());
        trial
    }

    fn trusting() -> Settings {
        Settings {
            trust: true,
            ..Settings::default()
        }
    }

    #[test]
    fn a_client_that_is_not_trusted_gets_a_fresh_identity() {
        let mut trial = trial("mine");
        trial.response.fields.push(b"x-request-id", b"theirs");
        let ids = run(&Settings::default(), &mut trial);
        let expected = "018bcfe5-6800-7000-8000-000000000001";
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0][..18], expected[..18]);
        assert_eq!(ids[0], trial.request_id);
    }

    #[test]
    fn a_trusted_one_keeps_its_own() {
        assert_eq!(run(&trusting(), &mut trial("mine-1.~_")), ["mine-1.~_"; 2]);
        let mut from_proxy = trial("mine");
        from_proxy.peer_is_trusted = true;
        assert_eq!(run(&Settings::default(), &mut from_proxy), ["mine"; 2]);
    }

    #[test]
    fn case_052_length_and_characters_are_limited() {
        let long = "a".repeat(129);
        for id in ["", "a b", "a\u{7f}", "é", "\"", "a\r\nb", &long] {
            let ids = run(&trusting(), &mut trial(id));
            assert_eq!(ids[0].len(), 36, "{id}");
        }
        let mut twice = trial("a");
        twice.request.fields.push(b"x-request-id", b"b");
        assert_eq!(run(&trusting(), &mut twice)[0].len(), 36);
        assert_eq!(run(&trusting(), &mut trial(&"a".repeat(128)))[0].len(), 128);
    }

    #[test]
    fn an_identity_that_the_exchange_already_has_stays() {
        let mut trial = trial("mine");
        trial.request_id = "early".into();
        assert_eq!(run(&Settings::default(), &mut trial), ["early"; 2]);
    }

    #[test]
    fn the_header_can_be_another() {
        let settings = Settings {
            header: Some("x-correlation".into()),
            trust: false,
        };
        assert_eq!(run(&settings, &mut trial("mine")).len(), 2);
        let settings = Settings {
            header: Some("Host".into()),
            trust: false,
        };
        assert_eq!(settings.build().unwrap_err().key, "header");
    }

    #[test]
    fn identities_sort_by_time_and_differ_by_randomness() {
        let id = |now_ms, seed: u64| {
            let mut out = String::new();
            fresh(now_ms, &mut || seed, &mut out);
            out
        };
        assert!(id(1, u64::MAX) < id(2, 0));
        assert_ne!(id(1, 1 << 60), id(1, 2 << 60));
        assert_eq!(&id(1, u64::MAX)[14..15], "7");
    }
}
