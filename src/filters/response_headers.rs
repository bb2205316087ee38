//! `response_headers`: changes the fields of the response before it is sent to the client.

use super::context::Context;
use super::edits::{Edits, Message};
use super::setting::{RouteShape, SettingError};
use super::template::Phase;
use crate::http::{RequestHead, ResponseHead};

/// The settings of `response_headers`. Fields are removed first, then set, then added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Fields that take the place of all of their name. Values are templates; one that comes out empty leaves no field.
    pub set: Vec<(String, String)>,
    /// Fields beside those that are there. Values are templates; one that comes out empty adds no field.
    pub add: Vec<(String, String)>,
    /// Fields to remove.
    pub remove: Vec<String>,
}

/// Changes the fields of the response.
#[derive(Clone, Debug)]
pub struct ResponseHeaders {
    edits: Edits,
}

impl Settings {
    /// Checks the settings and makes the filter.
    pub fn build(&self) -> Result<ResponseHeaders, SettingError> {
        let edits = Edits::build(&self.set, &self.add, &self.remove, Phase::Response)?;
        Ok(ResponseHeaders { edits })
    }
}

impl ResponseHeaders {
    pub(super) fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        self.edits.check(route)
    }

    pub(super) fn on_response(
        &self,
        request: &RequestHead,
        head: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) {
        self.edits.apply(&mut Message::Response(request, head), cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    #[test]
    fn the_response_shows_what_is_known_by_then() {
        let mut trial = Trial::new("/u", "");
        trial.response.fields.push(b"Server", b"secret/1.0");
        trial.response.fields.push(b"Set-Cookie", b"a");
        let settings = Settings {
            set: vec![(
                "x-was".into(),
                "${status} ${response_header.set-cookie}".into(),
            )],
            add: vec![("set-cookie".into(), "path=${path}".into())],
            remove: vec!["server".into()],
        };
        let filter = settings.build().unwrap();
        let (request, response, mut cx) = trial.parts();
        filter.on_response(request, response, &mut cx);
        let fields: Vec<_> = response
            .fields
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(
            fields,
            [
                (&b"Set-Cookie"[..], &b"a"[..]),
                (b"x-was", b"200 a"),
                (b"set-cookie", b"path=/u"),
            ]
        );
    }

    #[test]
    fn names_that_only_resemble_each_other_stay() {
        let mut trial = Trial::new("/", "");
        trial.response.fields.push(b"x_a", b"1");
        let settings = Settings {
            remove: vec!["x-a".into()],
            ..Settings::default()
        };
        let (request, response, mut cx) = trial.parts();
        settings
            .build()
            .unwrap()
            .on_response(request, response, &mut cx);
        assert_eq!(response.fields.len(), 1);
    }

    #[test]
    fn framing_is_out_of_reach() {
        let settings = Settings {
            remove: vec!["Content-Length".into()],
            ..Settings::default()
        };
        assert_eq!(settings.build().unwrap_err().key, "remove");
    }
}
