//! `respond`: answers with a fixed text.

use bytes::Bytes;

use super::chain::Reply;
use super::context::Context;
use super::names;
use super::setting::{RouteShape, SettingError};
use super::template::{Phase, Template};
use crate::http::{Known, RequestHead};

/// The settings of the action `respond`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// 200 to 599; 200 when absent.
    pub status: Option<u16>,
    /// The body, as it stands; none when absent. It is `text/plain` unless `headers` say otherwise.
    pub body: Option<String>,
    /// The fields of the answer. Values are templates; one that comes out empty leaves no field.
    pub headers: Vec<(String, String)>,
}

/// Answers with a fixed text.
#[derive(Clone, Debug)]
pub struct Respond {
    status: u16,
    body: Bytes,
    headers: Box<[(Box<str>, Template)]>,
}

impl Settings {
    /// Checks the settings and makes the action.
    pub fn build(&self) -> Result<Respond, SettingError> {
        let status = self.status.unwrap_or(200);
        if !(200..=599).contains(&status) {
            return Err(SettingError::new(
                "status",
                format!("{status} is not a status between 200 and 599"),
            ));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            return Err(SettingError::new(
                "body",
                format!("an answer with status {status} has no body"),
            ));
        }
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, value) in &self.headers {
            names::check("headers", name, Phase::Response)?;
            let value = Template::parse(value.trim(), Phase::Request)
                .map_err(|error| SettingError::template("headers", error).at(name))?;
            headers.push((Box::from(name.as_str()), value));
        }
        let has_type = |(name, _): &(Box<str>, _)| Known::of(name.as_bytes()) == Known::ContentType;
        if !body.is_empty() && !headers.iter().any(has_type) {
            let plain = Template::parse("text/plain; charset=utf-8", Phase::Request)
                .map_err(|error| SettingError::template("body", error))?;
            headers.push(("content-type".into(), plain));
        }
        Ok(Respond {
            status,
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: headers.into(),
        })
    }
}

impl Respond {
    /// Checks that the route has whatever the action refers to.
    pub fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        for (name, value) in &self.headers {
            value
                .check("headers", route)
                .map_err(|error| error.at(name))?;
        }
        Ok(())
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &RequestHead, cx: &Context<'_>) -> Reply {
        let mut reply = Reply::empty(self.status, "respond");
        reply.body = self.body.clone();
        let mut value = Vec::new();
        for (name, template) in &self.headers {
            value.clear();
            template.render(request, None, cx, &mut value);
            let value = value.trim_ascii();
            if !value.is_empty() {
                reply.fields.push(name.as_bytes(), value);
            }
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    fn answer(settings: &Settings) -> Reply {
        let mut trial = Trial::new("/ping", "");
        let (request, _, cx) = trial.parts();
        settings.build().unwrap().answer(request, &cx)
    }

    fn fields(reply: &Reply) -> Vec<(&[u8], &[u8])> {
        let fields = reply.fields.iter();
        fields.map(|field| (field.name, field.value)).collect()
    }

    #[test]
    fn a_body_is_plain_text_unless_told_otherwise() {
        let mut settings = Settings {
            body: Some("pong".into()),
            ..Settings::default()
        };
        let reply = answer(&settings);
        assert_eq!((reply.status, &*reply.body), (200, &b"pong"[..]));
        assert_eq!(
            fields(&reply),
            [(&b"content-type"[..], &b"text/plain; charset=utf-8"[..])]
        );
        settings.headers = vec![("Content-Type".into(), "application/json".into())];
        assert_eq!(
            fields(&answer(&settings)),
            [(&b"Content-Type"[..], &b"application/json"[..])]
        );
    }

    #[test]
    fn headers_are_templates() {
        let settings = Settings {
            status: Some(403),
            body: None,
            headers: vec![
                ("x-path".into(), "${path}".into()),
                ("x-none".into(), "${sni}".into()),
            ],
        };
        let reply = answer(&settings);
        assert_eq!(reply.status, 403);
        assert_eq!(fields(&reply), [(&b"x-path"[..], &b"/ping"[..])]);
    }

    #[test]
    fn answers_that_cannot_be_are_mistakes() {
        let settings = |status, body: &str, header: &str| Settings {
            status,
            body: Some(body.into()),
            headers: vec![(header.into(), "x".into())],
        };
        for (settings, key) in [
            (settings(Some(101), "", "a"), "status"),
            (settings(Some(600), "", "a"), "status"),
            (settings(Some(204), "x", "a"), "body"),
            (settings(None, "", "content-length"), "headers"),
            (settings(None, "", "a b"), "headers"),
        ] {
            assert_eq!(settings.build().unwrap_err().key, key);
        }
    }
}
