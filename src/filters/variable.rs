//! The variables of templates: their names and their values.

use std::fmt;
use std::io::Write as _;

use super::context::Context;
use super::names;
use super::setting::nearest;
use super::template::{Phase, TemplateError};
use crate::http::{RequestHead, ResponseHead, cookies, query_parameter};

/// Something that a template shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    ClientIp,
    ClientPort,
    Host,
    Method,
    Path,
    Query,
    Scheme,
    Listener,
    Route,
    Upstream,
    RequestId,
    Protocol,
    TlsVersion,
    Sni,
    ClientCertificateSubject,
    Status,
    RequestHeader(Box<str>),
    ResponseHeader(Box<str>),
    Cookie(Box<str>),
    QueryParameter(Box<str>),
    Capture(Box<str>),
}

impl Variable {
    /// Reads the text between `${` and `}`.
    pub(super) fn parse(name: &str, phase: Phase) -> Result<Self, TemplateError> {
        let variable = match name.split_once('.') {
            Some((family, part)) => Self::parse_member(family, part, name)?,
            None => SIMPLE
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, variable)| variable.clone())
                .ok_or_else(|| unknown(name))?,
        };
        let too_early = matches!(variable, Self::Status | Self::ResponseHeader(_));
        if too_early && phase == Phase::Request {
            return Err(TemplateError::new(format!(
                "${{{name}}} is not known before there is a response"
            )));
        }
        Ok(variable)
    }

    fn parse_member(family: &str, part: &str, name: &str) -> Result<Self, TemplateError> {
        if part.is_empty() {
            return Err(unknown(name));
        }
        let is_header = matches!(family, "request_header" | "response_header");
        if is_header && !part.bytes().all(names::is_token) {
            return Err(TemplateError::new(format!(
                "{part:?} is not the name of a header field"
            )));
        }
        if family == "cookie" && !part.bytes().all(names::is_token) {
            let message = format!("{part:?} is not the name of a cookie");
            return Err(TemplateError::new(message));
        }
        if family == "request_header" && part.eq_ignore_ascii_case("host") {
            let mut error = TemplateError::new("the host is part of the request's target");
            error.suggestion = Some("${host}".into());
            return Err(error);
        }
        match family {
            "request_header" => Ok(Self::RequestHeader(part.into())),
            "response_header" => Ok(Self::ResponseHeader(part.into())),
            "cookie" => Ok(Self::Cookie(part.into())),
            "query" => Ok(Self::QueryParameter(part.into())),
            "capture" => Ok(Self::Capture(part.into())),
            _ => {
                let mut error = unknown(name);
                error.suggestion =
                    nearest(family, FAMILIES.into_iter()).map(|near| format!("${{{near}.{part}}}"));
                Err(error)
            }
        }
    }

    /// Appends the value.
    pub(super) fn render(
        &self,
        request: &RequestHead,
        response: Option<&ResponseHead>,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) {
        let tls = cx.tls.unwrap_or_default();
        let text = match self {
            Self::ClientIp => return number(cx.client.ip().to_canonical(), out),
            Self::ClientPort => return number(cx.client.port(), out),
            Self::Status => {
                if let Some(response) = response {
                    number(response.status, out);
                }
                return;
            }
            Self::RequestHeader(name) => {
                return joined(request.fields.all_named(name.as_bytes()), out);
            }
            Self::ResponseHeader(name) => {
                if let Some(response) = response {
                    joined(response.fields.all_named(name.as_bytes()), out);
                }
                return;
            }
            Self::Cookie(name) => {
                let value = cookies(&request.fields, name.as_bytes()).next();
                return push_clean(value.unwrap_or_default(), out);
            }
            Self::QueryParameter(name) => {
                let query = cx.original.query(request).unwrap_or_default();
                let value = query_parameter(query, name);
                return out.extend(value.into_iter().flatten().filter(is_clean));
            }
            Self::Host => cx.original.host(request),
            Self::Method => request.method.as_str(),
            Self::Path => cx.original.path(request),
            Self::Query => cx.original.query(request).unwrap_or_default(),
            Self::Scheme => cx.scheme,
            Self::Listener => cx.listener,
            Self::Route => cx.route,
            Self::Upstream => cx.upstream,
            Self::RequestId => cx.request_id,
            Self::Protocol => request.version.as_str(),
            Self::TlsVersion => tls.version,
            Self::Sni => tls.sni.unwrap_or_default(),
            Self::ClientCertificateSubject => tls.client_certificate_subject.unwrap_or_default(),
            Self::Capture(name) => {
                let path = cx.original.path(request);
                cx.captures.get(name, path).unwrap_or_default()
            }
        };
        push_clean(text.as_bytes(), out);
    }
}

fn unknown(name: &str) -> TemplateError {
    let known = SIMPLE.iter().map(|(known, _)| *known);
    TemplateError {
        message: format!("there is no variable {name:?}"),
        suggestion: nearest(name, known.chain(FAMILIES)).map(|near| {
            if FAMILIES.contains(&near) {
                format!("${{{near}.NAME}}")
            } else {
                format!("${{{near}}}")
            }
        }),
    }
}

fn number(value: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{value}");
}

/// Several fields of one name are one list (RFC 9110 section 5.3).
fn joined<'a>(values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        push_clean(value, out);
    }
}

/// Appends the bytes that a field value can hold (RFC 9110 section 5.5): CR, LF, NUL and other control characters are
/// left out, so that a value stays one value.
fn push_clean(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().all(is_clean) {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().copied().filter(is_clean));
    }
}

fn is_clean(byte: &u8) -> bool {
    *byte == b'\t' || !byte.is_ascii_control()
}

const SIMPLE: [(&str, Variable); 16] = [
    ("client_ip", Variable::ClientIp),
    ("client_port", Variable::ClientPort),
    ("host", Variable::Host),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("scheme", Variable::Scheme),
    ("listener", Variable::Listener),
    ("route", Variable::Route),
    ("upstream", Variable::Upstream),
    ("request_id", Variable::RequestId),
    ("protocol", Variable::Protocol),
    ("tls_version", Variable::TlsVersion),
    ("sni", Variable::Sni),
    (
        "client_certificate_subject",
        Variable::ClientCertificateSubject,
    ),
    ("status", Variable::Status),
];

const FAMILIES: [&str; 5] = [
    "request_header",
    "response_header",
    "cookie",
    "query",
    "capture",
];
