//! `[access_log]`: what a line looks like and where it goes.

use std::sync::Arc;

use super::{Compiler, help_with};
use crate::{
    config::{
        Code, Placed,
        access_log::{Format as Written, Output},
        suggest,
    },
    observe::{
        AccessLog,
        access_log::{Field, Format, Settings, Target, Template, TemplateError},
    },
};

impl Compiler<'_> {
    /// The log that exchanges are told to; `None` when it is off. It is opened when everything else is right; where
    /// nothing is served it is only seen whether it could be.
    pub(super) fn access_log(&mut self) -> Option<Arc<AccessLog>> {
        let format = self.log_format()?;
        let output = &self.config.access_log.output;
        let target = match &output.value {
            Output::Off => return None,
            Output::Stdout => Target::Stdout,
            Output::File(path) => Target::File(path.clone()),
        };
        if self.found.has_errors() {
            return None;
        }
        let opened = match &self.stores.access_logs {
            Some(sink) => sink.open(&Settings { target, format }).map(Some),
            None => target.probe().map(|()| None),
        };
        match opened {
            Ok(log) => log,
            Err(error) => {
                self.refused(
                    Code::UnreadableFile,
                    output,
                    "output",
                    format_args!("cannot open it for writing: {error}"),
                )
                .help("the directory must exist and the gateway's user must be allowed to write there");
                None
            }
        }
    }

    fn log_format(&mut self) -> Option<Format> {
        let written = &self.config.access_log;
        if let Some(template) = &written.template
            && written.format.value != Written::Template
        {
            self.found
                .error(
                    Code::ConflictingKeys,
                    template.place,
                    "`template` is only used with `format = \"template\"`",
                )
                .help("write `format = \"template\"`, or take `template` away");
            return None;
        }
        match (&written.format.value, &written.template) {
            (Written::Json, _) => Some(Format::Json),
            (Written::Combined, _) => Some(Format::combined()),
            (Written::Inline(text), _) => self.log_template("format", &written.format, text),
            (Written::Template, Some(template)) => {
                self.log_template("template", template, template.as_str())
            }
            (Written::Template, None) => {
                if written.is_whole("template") {
                    self.found
                        .error(
                            Code::MissingKey,
                            written.format.place,
                            "`format = \"template\"` needs the key `template`",
                        )
                        .help(
                            "for example: template = \"${client_ip} ${method} ${path} ${status}\"",
                        );
                }
                None
            }
        }
    }

    fn log_template<T>(&mut self, key: &str, written: &Placed<T>, text: &str) -> Option<Format> {
        match Template::parse(text) {
            Ok(template) => Some(Format::Text(template)),
            Err(error) => {
                let near = match &error {
                    TemplateError::Unclosed { .. } => None,
                    TemplateError::UnknownField { name, .. } => {
                        suggest::nearest(name, Field::all().map(|field| field.name))
                    }
                };
                let suggestion = near.map(|name| format!("${{{name}}}"));
                help_with(
                    self.refused(Code::BadTemplate, written, key, error),
                    suggestion,
                );
                None
            }
        }
    }
}
