//! `[access_log]`: what a line looks like and where it goes.

use std::sync::Arc;

use super::{Compiler, help_with};
use crate::{
    config::{
        Code,
        access_log::{Format as Written, Output},
        suggest,
    },
    observe::{
        AccessLog,
        access_log::{Format, Settings, TEMPLATE_FIELDS, Target, Template, TemplateError},
    },
};

impl Compiler<'_> {
    /// The log that exchanges are told to; `None` when it is off. It is opened when everything else is right.
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
        let sink = self.stores.access_logs.as_ref()?;
        match sink.open(&Settings { target, format }) {
            Ok(log) => Some(log),
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
        let (key, text, place) = match (&written.format.value, &written.template) {
            (Written::Json, _) => return Some(Format::Json),
            (Written::Combined, _) => return Some(Format::combined()),
            (Written::Inline(text), _) => ("format", text, written.format.place),
            (Written::Template, Some(template)) => {
                ("template", &template.value.0, template.place)
            }
            (Written::Template, None) if written.is_whole("template") => {
                self.found
                    .error(
                        Code::MissingKey,
                        written.format.place,
                        "`format = \"template\"` needs the key `template`",
                    )
                    .help("for example: template = \"${client_ip} ${method} ${path} ${status}\"");
                return None;
            }
            (Written::Template, None) => return None,
        };
        match Template::parse(text) {
            Ok(template) => Some(Format::Text(template)),
            Err(error) => {
                let near = match &error {
                    TemplateError::Unclosed { .. } => None,
                    TemplateError::UnknownField { name, .. } => {
                        suggest::nearest(name, TEMPLATE_FIELDS.iter().map(|field| field.name))
                    }
                };
                let suggestion = near.map(|name| format!("${{{name}}}"));
                let finding =
                    self.found
                        .error(Code::BadTemplate, place, format!("`{key}`: {error}"));
                help_with(finding, suggestion);
                None
            }
        }
    }
}
