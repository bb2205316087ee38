//! What excerpts of a configuration do not show: secrets that stand in it.
//!
//! They are found in the text itself and not in what was read of it: the text may be broken, and the key misspelled.

use std::ops::Range;

use super::secret;

/// Parts of keys whose values are secrets.
const WORDS: [&str; 7] = [
    "secret",
    "password",
    "passwd",
    "token",
    "credential",
    "apikey",
    "authorization",
];

/// The values of all keys that hold secrets, in order. References to secrets are none.
pub(crate) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find('=')) {
        let sign = from + at;
        from = sign + 1;
        if !holds_secret(key_before(text, sign)) {
            continue;
        }
        let value = value_after(text, from);
        from = value.end;
        if !is_reference(text.get(value.clone()).unwrap_or_default()) {
            found.push(value);
        }
    }
    found
}

/// A piece of text, which starts at this byte of the whole, with the secrets in it made unreadable. What stands where
/// stays as it is.
pub(crate) fn masked(piece: &str, start: usize, secrets: &[Range<usize>]) -> String {
    let is_secret = |at: usize| secrets.iter().any(|secret| secret.contains(&at));
    piece
        .char_indices()
        .map(|(at, character)| match character {
            '"' | '\'' | '\t' | '\n' => character,
            _ if is_secret(start + at) => '*',
            _ => character,
        })
        .collect()
}

/// Whether a key's value is a secret, by its name or something near to it.
fn holds_secret(key: &str) -> bool {
    let key: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    WORDS.iter().any(|word| key.contains(word)) || strsim::damerau_levenshtein(&key, "secret") <= 1
}

/// The name in front of a `=`; of a dotted one, the last part.
fn key_before(text: &str, sign: usize) -> &str {
    let before = text.get(..sign).unwrap_or_default();
    let before = before.trim_end_matches([' ', '\t']);
    for quote in ['"', '\''] {
        if let Some(inner) = before.strip_suffix(quote) {
            let start = inner.rfind([quote, '\n']).map_or(0, |at| at + 1);
            return inner.get(start..).unwrap_or_default();
        }
    }
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let name = before.trim_end_matches(is_of_name).len();
    before.get(name..).unwrap_or_default()
}

/// The value behind a `=`. One of which it is not clear where it ends goes as far as its line.
fn value_after(text: &str, from: usize) -> Range<usize> {
    let start = from + blanks(text, from);
    let end = match first(text, start) {
        Some(b'"' | b'\'') => end_of_string(text, start),
        Some(b'[' | b'{') => end_of_list(text, start),
        _ => end_of_line(text, start),
    };
    match first(text, end + blanks(text, end)) {
        None | Some(b',' | b'}' | b']' | b'#' | b'\r' | b'\n') => start..end,
        Some(_) => start..end_of_line(text, end),
    }
}

/// Whether a value is a whole string that refers to a secret: it is shown as it is written.
fn is_reference(value: &str) -> bool {
    let is_whole = value.starts_with(['"', '\'']) && end_of_string(value, 0) == value.len();
    is_whole && value.len() > 1 && value.ends_with(['"', '\'']) && secret::mentioned(value)
}

fn end_of_string(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let quote = if rest.starts_with('"') { '"' } else { '\'' };
    let long = quote.to_string().repeat(3);
    let is_long = rest.starts_with(&long);
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(if is_long { 3 } else { 1 }) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            '\n' if !is_long => return start + at,
            _ if character != quote => {}
            _ if !is_long => return start + at + 1,
            _ if rest.get(at..).is_some_and(|tail| tail.starts_with(&long)) => {
                // One or two more belong to the string.
                let tail = rest.get(at..).unwrap_or_default();
                let more = tail.len() - tail.trim_start_matches(quote).len();
                return start + at + more.min(5);
            }
            _ => {}
        }
    }
    text.len()
}

/// The end of a list or an inline table, or of the text.
fn end_of_list(text: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = first(text, at) {
        at = match byte {
            b'"' | b'\'' => end_of_string(text, at),
            _ => at + 1,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn end_of_line(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.lines().next().map_or(0, str::len)
}

/// How many blanks there are.
fn blanks(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.len() - rest.trim_start_matches([' ', '\t']).len()
}

fn first(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        masked(text, 0, &secrets(text))
    }

    #[test]
    fn a_secret_is_not_shown_however_it_is_written() {
        for (text, expected) in [
            (r#"secret = "abc""#, r#"secret = "***""#),
            (r#"secret='abc' # x"#, r#"secret='***' # x"#),
            (r#""secret" = "a\"c" "#, r#""secret" = "**"*" "#),
            (
                r#"a = { secret = "ä,}", b = 1 }"#,
                r#"a = { secret = "***", b = 1 }"#,
            ),
            (r#"sticky.secret = "abc""#, r#"sticky.secret = "***""#),
            (
                "secret = \"\"\"a\n\"\"b\nc\"\"\"\nb = 1",
                "secret = \"\"\"*\n\"\"*\n*\"\"\"\nb = 1",
            ),
            ("secret = '''a\nb'''\nb = 1", "secret = '''*\n*'''\nb = 1"),
            ("secret = [\"a]\", \"b\"]", "secret = *\"**\"**\"*\"*"),
            (
                "secret = { a = \"b\" }, c = 1",
                "secret = ******\"*\"**, c = 1",
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn a_secret_is_not_shown_in_a_text_that_is_broken() {
        for text in [
            "secret = abc",
            "secret = \"abc",
            "secret = \"abc\nb = 1",
            "secret = 'abc",
            "secret = \"x\"abc\"",
            "secret = \"\"\"x\nabc",
            "secret = [\"x\", \"abc\"",
            "secret = x, abc",
            "a = \"\"\"x\nsecret = \"abc\"",
            "a = { secret = \"abc\"\n[b]",
            "# secret = \"abc\"",
            "secret = \"abc\\",
        ] {
            assert!(!shown(text).contains("abc"), "{}", shown(text));
        }
    }

    #[test]
    fn keys_that_hold_secrets_are_known_by_their_names() {
        for key in [
            "secret",
            "secert",
            "secrets",
            "sticky_secret",
            "X-Api-Key",
            "Authorization",
            "auth-token",
        ] {
            let text = format!("\"{key}\" = \"abc\"");
            assert!(!shown(&text).contains("abc"), "{text}");
        }
        for key in ["secure", "key", "cookie", "hash", "name"] {
            let text = format!("{key} = \"abc\"");
            assert_eq!(shown(&text), text);
        }
    }

    #[test]
    fn a_reference_to_a_secret_is_shown() {
        for text in [
            "secret = \"${env:A}\"",
            "secret = '${file:a}'",
            "authorization = \"Bearer ${env:A}\"",
            "secret = \"${evn:A}\"",
        ] {
            assert_eq!(shown(text), text);
        }
        assert!(!shown("secret = abc, b = \"${env:A}\"").contains("abc"));
        assert!(!shown("secret = \"abc\"\"${env:A}\"").contains("abc"));
    }
}
