//! `[access_log]`: one line for each request.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    setting::TemplateText,
    settings::settings,
    suggest,
};

settings! {
    /// One line for each request, also for the refused ones: what breaks HTTP/1 or HTTP/2 itself has its line, too.
    /// Lines are written off the request path: when the output stalls, lines are dropped and counted.
    pub struct AccessLog = "[access_log]" {
        /// Where the lines go: `"stdout"`, `"off"` or the path of a file. The file is opened again on SIGUSR1.
        output: Output = default("stdout"), example "/var/log/portcullis/access.log";
        /// How a line looks: `"json"`, `"combined"` (as Apache and nginx write it), `"template"` for the key
        /// `template`, or a template itself.
        format: Format = default("json"), example "combined";
        /// The line, with variables in `${…}`. Only with `format = "template"`.
        template: TemplateText = optional, example "${client_ip} ${method} ${path} ${status}";
    }
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// To the end of a file.
    File(PathBuf),
}

/// How a line looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// The combined log format.
    Combined,
    /// As the key `template` says.
    Template,
    /// As this template says.
    Inline(String),
}

impl Format {
    const WORDS: [&'static str; 3] = ["json", "combined", "template"];
}

impl Setting for Output {
    fn kind() -> String {
        "`\"stdout\"` \\| `\"off\"` \\| path".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "\"stdout\", \"off\" or a path";
        let text = decoder.parse(node, EXPECTED, Code::WrongType, |text| {
            if text.is_empty() {
                Err("it is empty")
            } else {
                Ok(text.to_owned())
            }
        })?;
        Some(match text.as_str() {
            "stdout" => Self::Stdout,
            "off" => Self::Off,
            path => Self::File(decoder.resolve(path)),
        })
    }

    fn show(&self) -> Json {
        match self {
            Self::Stdout => "stdout".into(),
            Self::Off => "off".into(),
            Self::File(path) => path.display().to_string().into(),
        }
    }
}

impl Setting for Format {
    fn kind() -> String {
        let words = Self::WORDS.map(|word| format!("`\"{word}\"`"));
        format!("{} \\| template", words.join(" \\| "))
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        let text = decoder.template(node)?;
        match text.as_str() {
            "json" => Some(Self::Json),
            "combined" => Some(Self::Combined),
            "template" => Some(Self::Template),
            template if template.contains("${") => Some(Self::Inline(text)),
            word => {
                let cannot = format!("{} cannot be {}", node.subject(), node.quoted(word));
                decoder
                    .diagnostics
                    .error(Code::UnknownValue, node.place, cannot)
                    .help(match suggest::nearest(word, Self::WORDS) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!(
                            "use {}, or a text with variables such as \"${{method}} ${{path}}\"",
                            suggest::either(Self::WORDS)
                        ),
                    });
                None
            }
        }
    }

    fn show(&self) -> Json {
        match self {
            Self::Json => "json".into(),
            Self::Combined => "combined".into(),
            Self::Template => "template".into(),
            Self::Inline(template) => template.as_str().into(),
        }
    }
}
