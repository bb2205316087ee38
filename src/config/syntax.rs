//! Syntax errors: what the TOML parser says, cut down to what helps.

use toml::de::{DeValue, Error};

use super::{
    code::Code,
    diagnostics::Diagnostics,
    place::{FileId, Place, Sources},
};

/// Reports what the parser found, one finding a line, and drops what the decoder said about the same lines or about
/// keys that the parser may have lost.
pub(crate) fn report(
    problems: &[Error],
    text: &str,
    file: FileId,
    document: &DeValue<'_>,
    found: &mut Diagnostics,
) {
    let unclosed = unclosed(document, text, 0);
    let limit = unclosed.unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    let mut errors: Vec<(usize, &Error)> = problems
        .iter()
        .map(|problem| (problem.span().map_or(0, |span| span.start), problem))
        .filter(|(start, _)| *start < limit)
        .collect();
    errors.sort_by_key(|(start, _)| *start);
    let sources = found.sources().clone();
    let mut syntax = Diagnostics::new(sources.clone());
    for (start, problem) in errors {
        let place = Place::new(file, &problem.span().unwrap_or(start..start));
        let line = sources.position(place).line;
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let (message, help) = explain(problem.message(), written(text, problem));
        let finding = syntax.error(Code::Syntax, place, message);
        if let Some(help) = help {
            finding.help(help);
        }
    }
    if let Some(start) = unclosed {
        let place = Place::new(file, &(start..start + 1));
        syntax
            .error(Code::Syntax, place, "this bracket is never closed")
            .help("close it with `]` or `}`");
    }
    keep_sure_findings(found, &lines, &sources, limit);
    found.append(syntax);
}

fn keep_sure_findings(found: &mut Diagnostics, wrong: &[usize], sources: &Sources, limit: usize) {
    found.retain(|finding| {
        finding.code != Code::MissingKey
            && finding.place().is_none_or(|place| {
                let line = sources.position(place).line;
                let text = sources.text(place.file());
                place.start() < limit && !wrong.contains(&line) && !is_homeless(text, line, wrong)
            })
    });
}

/// Whether the header of the table that a line belongs to has an error: its keys ended up in another table.
fn is_homeless(text: &str, line: usize, wrong: &[usize]) -> bool {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let header = lines
        .iter()
        .rposition(|line| line.trim_start().starts_with('['));
    header.is_some_and(|index| wrong.contains(&(index + 1)))
}

/// The text that a problem is about.
fn written<'a>(text: &'a str, problem: &Error) -> &'a str {
    problem
        .span()
        .and_then(|span| text.get(span))
        .unwrap_or_default()
}

/// The parser's message, or a better one, and what to write instead.
fn explain<'a>(message: &'a str, written: &str) -> (&'a str, Option<&'static str>) {
    let is_word = written.starts_with(|c: char| c.is_ascii_alphabetic());
    let unquoted = message.starts_with("string values must be quoted");
    if unquoted && written.is_empty() {
        ("this key has no value", None)
    } else if unquoted || (is_word && message.starts_with("invalid ")) {
        ("a text must be in quotes", Some("put it in quotes"))
    } else if message.starts_with("duplicate key") {
        (
            "this is written twice in the same table",
            Some("write it once"),
        )
    } else {
        (message, None)
    }
}

/// The first byte of the outermost list or inline table that swallowed the rest of the file.
fn unclosed(value: &DeValue<'_>, text: &str, depth: usize) -> Option<usize> {
    const DEEPEST: usize = 64;
    if depth > DEEPEST {
        return None;
    }
    let parts: Vec<&toml::Spanned<DeValue<'_>>> = match value {
        DeValue::Array(items) => items.iter().collect(),
        DeValue::Table(table) => table.values().collect(),
        _ => return None,
    };
    parts.into_iter().find_map(|part| {
        let span = part.span();
        let written = text.get(span.clone())?;
        let closer = match (part.get_ref(), written.chars().next()) {
            (DeValue::Array(_), Some('[')) if !written.starts_with("[[") => ']',
            (DeValue::Table(_), Some('{')) => '}',
            _ => return unclosed(part.get_ref(), text, depth + 1),
        };
        let ends_file = text
            .get(span.end..)
            .is_some_and(|rest| rest.trim().is_empty());
        if ends_file && !written.trim_end().ends_with(closer) {
            Some(span.start)
        } else {
            unclosed(part.get_ref(), text, depth + 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse_str;

    fn findings(text: &str) -> Vec<String> {
        parse_str("a.toml", text, Path::new(""))
            .diagnostics
            .iter()
            .map(|d| format!("{}:{}", d.line.unwrap(), d.code.as_str()))
            .collect()
    }

    #[test]
    fn every_line_with_a_syntax_error_is_reported_once() {
        assert_eq!(
            findings("[server]\ndrain = 30s\nworkers = \n[log]\nlevel = info\n"),
            ["2:syntax", "3:syntax", "5:syntax"]
        );
    }

    #[test]
    fn an_unclosed_bracket_is_reported_where_it_opens() {
        assert_eq!(
            findings(
                "[server]\ntrusted_proxies = [\"10.0.0.0/8\"\nworkers = 2\n[log]\nlevel = 1\n"
            ),
            ["2:syntax"]
        );
    }

    #[test]
    fn a_syntax_error_does_not_hide_unknown_keys() {
        assert_eq!(
            findings("[server]\ndrain = 30s\nworker = 1\n"),
            ["2:syntax", "3:unknown_key"]
        );
    }

    #[test]
    fn keys_below_a_broken_header_are_not_called_unknown() {
        assert_eq!(findings("[[listener]\nname = \"a\"\n"), ["1:syntax"]);
    }

    #[test]
    fn a_syntax_error_stops_the_load() {
        assert!(parse_str("a.toml", "a = ", Path::new("")).config.is_none());
    }
}
