//! Secrets: `${env:NAME}` and `${file:path}` inside of any text.
//!
//! Other `${…}` are left alone: they are the variables of templates.

/// A reference to something that the file itself does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// An environment variable.
    Variable(&'a str),
    /// The content of a file, without the line ends at its end.
    File(&'a str),
    /// Looks like one of the two but is neither; the word before the colon.
    Misspelled(&'a str),
}

/// A text cut into what is written and what is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Secret(Reference<'a>),
}

/// Whether a text refers to a secret.
pub(crate) fn mentioned(text: &str) -> bool {
    has_references(text) && pieces(text).iter().any(|p| matches!(p, Piece::Secret(_)))
}

/// Whether a text may refer to anything at all. Nearly none does, and each of thousands is asked.
pub(crate) fn has_references(text: &str) -> bool {
    text.contains("${")
}

/// Cuts a text into its pieces, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut written = 0;
    let mut from = 0;
    while let Some((start, end, reference)) = next(text, from) {
        from = end;
        if let Some(reference) = reference {
            pieces.extend(
                text.get(written..start)
                    .filter(|t| !t.is_empty())
                    .map(Piece::Text),
            );
            pieces.push(Piece::Secret(reference));
            written = end;
        }
    }
    pieces.extend(
        text.get(written..)
            .filter(|t| !t.is_empty())
            .map(Piece::Text),
    );
    pieces
}

/// The next `${…}` at or after `from`: its range, and what it refers to unless it is a template's variable.
fn next(text: &str, from: usize) -> Option<(usize, usize, Option<Reference<'_>>)> {
    let start = from + text.get(from..)?.find("${")?;
    let (inner, _) = text.get(start + 2..)?.split_once('}')?;
    Some((start, start + 2 + inner.len() + 1, reference(inner)))
}

fn reference(inner: &str) -> Option<Reference<'_>> {
    let (word, rest) = inner.split_once(':')?;
    match word {
        "env" => Some(Reference::Variable(rest)),
        "file" => Some(Reference::File(rest)),
        _ if ["env", "file"].iter().any(|known| is_slip(word, known)) => {
            Some(Reference::Misspelled(word))
        }
        _ => None,
    }
}

fn is_slip(word: &str, known: &str) -> bool {
    strsim::damerau_levenshtein(&word.trim().to_ascii_lowercase(), known) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_secrets() {
        assert_eq!(
            pieces("Bearer ${env:TOKEN}/${file:a/b}!"),
            [
                Piece::Text("Bearer "),
                Piece::Secret(Reference::Variable("TOKEN")),
                Piece::Text("/"),
                Piece::Secret(Reference::File("a/b")),
                Piece::Text("!"),
            ]
        );
    }

    #[test]
    fn variables_of_templates_are_no_secrets() {
        for text in [
            "${client_ip}",
            "a ${header:x-y} b",
            "${",
            "${env",
            "$env:A",
            "{env:A}",
        ] {
            assert!(!mentioned(text), "{text}");
            assert_eq!(pieces(text), [Piece::Text(text)]);
        }
        assert!(mentioned("${client_ip} ${env:A}"));
        assert!(pieces("").is_empty());
    }

    #[test]
    fn a_misspelled_reference_is_not_taken_for_text() {
        for (text, word) in [
            ("${evn:A}", "evn"),
            ("${Env:A}", "Env"),
            ("${fil:a}", "fil"),
        ] {
            assert_eq!(pieces(text), [Piece::Secret(Reference::Misspelled(word))]);
        }
    }
}
