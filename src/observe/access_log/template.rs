//! A line as the operator wrote it: text with `${name}` for the fields of the record.

use super::clock::Clock;
use super::escape::write_text;
use super::field::Field;
use crate::observe::record::AccessRecord;

/// Text with places for the fields of a record. A field without a value is written as `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// Why a text is no template; `at` is the byte where the trouble begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without its `}`.
    #[error("`${{` has no closing `}}`")]
    Unclosed {
        /// Where the `${` stands.
        at: usize,
    },
    /// A name that is none of [`Field::all`].
    #[error("there is no field named `{name}`")]
    UnknownField {
        /// Where the `${` stands.
        at: usize,
        /// The name.
        name: Box<str>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Field(&'static Field),
}

impl Template {
    /// Reads a template. A `$` that no `{` follows stands for itself, and `$$` for one `$`.
    ///
    /// # Errors
    /// If a name is unknown or a brace is missing.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let at = text.len() - after.len() - 1;
            literal.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                literal.push(b'$');
                rest = after;
                continue;
            }
            let Some(name) = after.strip_prefix('{') else {
                literal.push(b'$');
                rest = after;
                continue;
            };
            let (name, after) = name.split_once('}').ok_or(TemplateError::Unclosed { at })?;
            let field = Field::of(name).ok_or_else(|| TemplateError::UnknownField {
                at,
                name: name.into(),
            })?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Field(field));
            rest = after;
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self {
            parts: parts.into(),
        })
    }

    /// The combined log format of Apache and nginx.
    pub(super) fn combined() -> Self {
        // The text is a constant and a test parses it; an empty template would be the answer to a slip.
        Self::parse(COMBINED).unwrap_or_else(|_| Self {
            parts: Box::new([]),
        })
    }

    pub(super) fn write(&self, record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Field(field) => {
                    let value = (field.value)(record);
                    if value.is_nothing() {
                        out.push(b'-');
                    } else {
                        value.write(write_text, clock, out);
                    }
                }
            }
        }
    }
}

impl TemplateError {
    /// The byte of the text where the trouble begins.
    #[must_use]
    pub const fn at(&self) -> usize {
        match self {
            Self::Unclosed { at } | Self::UnknownField { at, .. } => *at,
        }
    }
}

const COMBINED: &str = r#"${client_ip} - - [${time_combined}] "${method} ${target} ${protocol}" ${status} ${bytes_sent} "${referer}" "${user_agent}""#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access_log::testing::full_record;

    fn line(template: &Template, record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        template.write(record, &mut Clock::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_format_is_that_of_apache() {
        assert_eq!(Template::parse(COMBINED), Ok(Template::combined()));
        assert_eq!(
            line(&Template::combined(), &full_record()),
            concat!(
                r#"192.0.2.7 - - [29/Feb/2024:12:34:56 +0000] "GET /v1/users/7?a=1 HTTP/2" 503 22 "#,
                r#""https://example.com/" "curl/8 \x22x\x22""#,
            )
        );
    }

    #[test]
    fn a_field_without_a_value_is_a_dash() {
        let template =
            Template::parse("${reason}|${query}|${tls_sni}|${target}|${grpc_status}").unwrap();
        let mut record = full_record();
        record.reason = "";
        record.query = None;
        record.tls = None;
        record.path = b"";
        record.grpc_status = None;
        assert_eq!(line(&template, &record), "-|-|-|-|-");
    }

    #[test]
    fn dollars_stand_for_themselves() {
        let template = Template::parse("$5 $$5 $${status} ${status}$").unwrap();
        assert_eq!(line(&template, &full_record()), "$5 $5 ${status} 503$");
    }

    #[test]
    fn a_client_cannot_forge_a_line_or_a_field() {
        let template = Template::parse("\"${path}\" \"${user_agent}\"").unwrap();
        let mut record = full_record();
        record.path = b"/a\" \"b\r\nforged";
        record.user_agent = b"\x1b]0;title\x07";
        assert_eq!(
            line(&template, &record),
            r#""/a\x22 \x22b\x0D\x0Aforged" "\x1B]0;title\x07""#
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let unknown = Template::parse("a ${time} ${tiem}").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no field named `tiem`");
        assert_eq!(unknown.at(), 10);
        let unclosed = Template::parse("$$ ${time").unwrap_err();
        assert_eq!(unclosed.to_string(), "`${` has no closing `}`");
        assert_eq!(unclosed.at(), 3);
    }
}
