//! Texts with variables: `client ${client_ip} of ${host}`.

use std::fmt;

use super::context::Context;
use super::setting::{RouteShape, SettingError};
use super::variable::Variable;
use crate::http::{RequestHead, ResponseHead};

/// A text with variables, for the value of a field. `$${` stands for `${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// The variable that was probably meant.
    pub suggestion: Option<String>,
}

/// When a template is rendered, and with it what it can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the request is sent upstream: there is no response yet.
    Request,
    /// When the response head is there.
    Response,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Variable(Variable),
}

impl Template {
    /// Reads a template whose variables are known in that phase. The text is a field value: no control characters.
    pub fn parse(text: &str, phase: Phase) -> Result<Self, TemplateError> {
        if let Some(wrong) = text.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(TemplateError::new(format!(
                "a field value has no {wrong:?} in it"
            )));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let (name, after) = after.split_once('}').ok_or_else(|| {
                TemplateError::new("`${` has no `}`: write `$${` for the characters themselves")
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Variable(Variable::parse(name, phase)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self {
            parts: parts.into(),
        })
    }

    /// The whole text when it has no variables.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with the values of its variables. Whatever a field value cannot hold is left out of them.
    pub fn render(
        &self,
        request: &RequestHead,
        response: Option<&ResponseHead>,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => variable.render(request, response, cx, out),
            }
        }
    }

    /// The first capture that the text names: without a route there is nothing that it could stand for.
    #[must_use]
    pub fn capture(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Variable(Variable::Capture(name)) => Some(&**name),
            Part::Variable(_) | Part::Literal(_) => None,
        })
    }

    /// Checks that the route has every capture that is named.
    pub(super) fn check(
        &self,
        key: &'static str,
        route: &RouteShape<'_>,
    ) -> Result<(), SettingError> {
        for part in &self.parts {
            if let Part::Variable(Variable::Capture(name)) = part {
                route.check_capture(key, name)?;
            }
        }
        Ok(())
    }
}

impl TemplateError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            suggestion: None,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::TlsFacts;
    use crate::filters::trial::Trial;

    fn render(text: &str, trial: &mut Trial) -> String {
        let template = Template::parse(text, Phase::Response).unwrap();
        let mut out = Vec::new();
        let (request, response, cx) = trial.parts();
        template.render(request, Some(response), &cx, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_variable_has_its_value() {
        let mut trial = Trial::new("/u/7", "a=1&b=%0Ax%20y");
        trial.tls = Some(TlsFacts {
            version: "TLSv1.3",
            sni: Some("api.test"),
            client_certificate_subject: Some("CN=ann"),
        });
        trial.capture("id", 3..4);
        trial.request_id = "r-1".into();
        trial.request.fields.push(b"X-A", b"1");
        trial.request.fields.push(b"x-a", b"2");
        trial.request.fields.push(b"Cookie", b"user=ann; User=bob");
        trial.response.fields.push(b"Server", b"s");
        for (name, value) in [
            ("client_ip", "192.0.2.7"),
            ("client_port", "4711"),
            ("host", "api.test"),
            ("method", "GET"),
            ("path", "/u/7"),
            ("query", "a=1&b=%0Ax%20y"),
            ("query.a", "1"),
            ("query.b", "x y"),
            ("query.absent", ""),
            ("cookie.user", "ann"),
            ("cookie.absent", ""),
            ("scheme", "https"),
            ("listener", "web"),
            ("route", "users"),
            ("upstream", "pool"),
            ("request_id", "r-1"),
            ("protocol", "HTTP/1.1"),
            ("tls_version", "TLSv1.3"),
            ("sni", "api.test"),
            ("client_certificate_subject", "CN=ann"),
            ("status", "200"),
            ("request_header.x-a", "1, 2"),
            ("response_header.server", "s"),
            ("capture.id", "7"),
            ("request_header.absent", ""),
        ] {
            let text = format!("<${{{name}}}>");
            assert_eq!(render(&text, &mut trial), format!("<{value}>"), "{name}");
        }
    }

    #[test]
    fn literals_and_variables_stand_side_by_side() {
        let mut trial = Trial::new("/", "");
        assert_eq!(
            render("a ${method}${scheme} $x $${y} b", &mut trial),
            "a GEThttps $x ${y} b"
        );
        let literal = Template::parse("plain", Phase::Request).unwrap();
        assert_eq!(literal.as_literal(), Some("plain"));
        let escaped = Template::parse("$${a}", Phase::Request).unwrap();
        assert_eq!(escaped.as_literal(), Some("${a}"));
    }

    #[test]
    fn captures_are_found() {
        let capture = |text| {
            let template = Template::parse(text, Phase::Request).unwrap();
            template.capture().map(str::to_owned)
        };
        assert_eq!(capture("a${host}${capture.id}").as_deref(), Some("id"));
        assert_eq!(capture("${host}"), None);
    }

    #[test]
    fn a_value_never_carries_control_characters() {
        let mut trial = Trial::new("/", "a=\r\nSet-Cookie: x\0\x1b");
        assert_eq!(render("${query}", &mut trial), "a=Set-Cookie: x");
    }

    #[test]
    fn a_mistyped_variable_gets_a_suggestion() {
        let suggestion = |text: &str| {
            Template::parse(text, Phase::Response)
                .unwrap_err()
                .suggestion
        };
        assert_eq!(suggestion("${clientip}").as_deref(), Some("${client_ip}"));
        assert_eq!(
            suggestion("${request_headers.x}").as_deref(),
            Some("${request_header.x}")
        );
        assert_eq!(
            suggestion("${request_header}").as_deref(),
            Some("${request_header.NAME}")
        );
        assert_eq!(
            suggestion("${request_header.Host}").as_deref(),
            Some("${host}")
        );
        assert_eq!(suggestion("${cookies.a}").as_deref(), Some("${cookie.a}"));
        assert_eq!(suggestion("${cookie}").as_deref(), Some("${cookie.NAME}"));
        assert_eq!(suggestion("${cookie.a b}"), None);
        assert_eq!(suggestion("${zzzzzz}"), None);
        assert_eq!(suggestion("${request_header.a b}"), None);
        assert!(Template::parse("${host", Phase::Request).is_err());
        assert!(Template::parse("a\r\nb", Phase::Request).is_err());
    }

    #[test]
    fn the_response_is_not_known_in_the_request_phase() {
        for text in ["${status}", "${response_header.server}"] {
            assert!(Template::parse(text, Phase::Request).is_err());
            assert!(Template::parse(text, Phase::Response).is_ok());
        }
    }
}
