//! Percent-encoding of texts that become part of a URI (RFC 3986 section 2.1).

/// Escapes what no URI holds: spaces, control characters, everything outside ASCII and a few signs.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, &mut out);
        }
    }
    out
}

/// Appends a piece of a path as a value in a query. The signs that separate parameters are escaped, so that a capture
/// cannot add parameters of its own.
pub(super) fn push_query_value(text: &str, query: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'&' | b'=' | b'+' | b';' | b'#' => push_escape(byte, query),
            _ => query.push(char::from(byte)),
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
        out.push(digit.to_ascii_uppercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_uri_holds_is_escaped_and_escapes_stay() {
        assert_eq!(
            escaped("/a b\r\n\"<é>#%2F?x=[1]"),
            "/a%20b%0D%0A%22%3C%C3%A9%3E%23%2F?x=[1]"
        );
    }

    #[test]
    fn a_value_holds_no_separator() {
        let mut query = "q=".to_owned();
        push_query_value("a&b=c+d;e#f%20/", &mut query);
        assert_eq!(query, "q=a%26b%3Dc%2Bd%3Be%23f%20/");
    }
}
