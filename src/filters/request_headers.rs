//! `request_headers`: changes the fields of the request before it is sent upstream.

use super::chain::Flow;
use super::context::Context;
use super::edits::{Edits, Message};
use super::setting::{RouteShape, SettingError};
use super::template::Phase;
use crate::http::RequestHead;

/// The settings of `request_headers`. Fields are removed first, then set, then added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Fields that take the place of all of their name, and of those that a reader might take for them (`x_user` for
    /// `x-user`). Values are templates; one that comes out empty leaves no field.
    pub set: Vec<(String, String)>,
    /// Fields beside those that are there. Values are templates; one that comes out empty adds no field.
    pub add: Vec<(String, String)>,
    /// Fields to remove, with those that a reader might take for them.
    pub remove: Vec<String>,
}

/// Changes the fields of the request.
#[derive(Clone, Debug)]
pub struct RequestHeaders {
    edits: Edits,
}

impl Settings {
    /// Checks the settings and makes the filter.
    pub fn build(&self) -> Result<RequestHeaders, SettingError> {
        let edits = Edits::build(&self.set, &self.add, &self.remove, Phase::Request)?;
        Ok(RequestHeaders { edits })
    }
}

impl RequestHeaders {
    pub(super) fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        self.edits.check(route)
    }

    pub(super) fn on_request(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Flow {
        self.edits.apply(&mut Message::Request(head), cx);
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn set(name: &str, value: &str) -> Settings {
        Settings {
            set: pairs(&[(name, value)]),
            ..Settings::default()
        }
    }

    fn run(settings: &Settings, trial: &mut Trial) {
        let filter = settings.build().unwrap();
        let (request, _, mut cx) = trial.parts();
        assert!(matches!(
            filter.on_request(request, &mut cx),
            Flow::Continue
        ));
    }

    fn values<'a>(trial: &'a Trial, name: &'a str) -> Vec<&'a [u8]> {
        trial.request.fields.all_named(name.as_bytes()).collect()
    }

    #[test]
    fn remove_comes_before_set_before_add() {
        let mut trial = Trial::new("/", "");
        trial.request.fields.push(b"X-Old", b"1");
        trial.request.fields.push(b"X-User", b"spoofed");
        trial.request.fields.push(b"Accept", b"a");
        let settings = Settings {
            set: pairs(&[("x-user", "${client_ip}:${client_port}")]),
            add: pairs(&[("accept", "b"), ("x-old", "new")]),
            remove: vec!["x-old".into()],
        };
        run(&settings, &mut trial);
        assert_eq!(values(&trial, "x-user"), [b"192.0.2.7:4711"]);
        assert_eq!(values(&trial, "accept"), [b"a", b"b"]);
        assert_eq!(values(&trial, "x-old"), [b"new"]);
    }

    #[test]
    fn case_050_a_value_that_is_empty_still_removes_what_the_client_sent() {
        let mut trial = Trial::new("/", "");
        trial.request.fields.push(b"X-Client-Subject", b"CN=root");
        trial.request.fields.push(b"x_client_subject", b"CN=root");
        run(
            &set("x-client-subject", "${client_certificate_subject}"),
            &mut trial,
        );
        assert!(trial.request.fields.is_empty());
    }

    #[test]
    fn a_later_edit_sees_what_an_earlier_one_set() {
        let mut trial = Trial::new("/", "");
        let settings = Settings {
            set: pairs(&[("a", "1"), ("b", "${request_header.a}2")]),
            ..Settings::default()
        };
        run(&settings, &mut trial);
        assert_eq!(values(&trial, "b"), [b"12"]);
    }

    #[test]
    fn mistakes_name_their_key_and_item() {
        let error = set("Host", "a").build().unwrap_err();
        assert_eq!((error.key, error.item.as_deref()), ("set", Some("Host")));
        let error = set("x", "${hots}").build().unwrap_err();
        assert_eq!(error.item.as_deref(), Some("x"));
        assert_eq!(error.suggestion.as_deref(), Some("${host}"));
        assert!(set("x", "${status}").build().is_err());
        let twice = Settings {
            set: pairs(&[("X", "1"), ("x", "2")]),
            ..Settings::default()
        };
        assert!(twice.build().is_err());
        let both = Settings {
            remove: vec!["X".into()],
            ..set("x", "1")
        };
        assert_eq!(both.build().unwrap_err().key, "remove");
    }

    #[test]
    fn a_capture_that_the_route_lacks_is_a_mistake() {
        let filter = set("x", "${capture.user}").build().unwrap();
        let captures = ["users".into()];
        let route = RouteShape {
            captures: &captures,
            ..RouteShape::default()
        };
        let error = filter.check(&route).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("users"));
    }
}
