//! The normal spelling of a literal path segment, so that a pattern is compared with normalised paths byte by byte.

use super::error::PatternError;

/// Brings a literal segment to the spelling it has in a normalised path: percent-encoding of unreserved characters
/// undone, upper-case hex digits, characters outside ASCII encoded (RFC 3986 section 6.2.2).
pub(super) fn literal(segment: &str) -> Result<String, PatternError> {
    let mut out = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                let (Some(high), Some(low)) = digits else {
                    return Err(PatternError::new(
                        "`%` is followed by two hexadecimal digits",
                    ));
                };
                push_decoded(high * 16 + low, &mut out)?;
            }
            b'?' => {
                return Err(PatternError::new(
                    "a path pattern has no query: use the route's `query`",
                ));
            }
            b'#' => return Err(PatternError::new("a request has no fragment")),
            b'*' => {
                return Err(PatternError::new(
                    "`*` stands for whole segments: for parts of a segment use `path_regex`",
                ));
            }
            b'\\' | 0x00..=0x1f | 0x7f => return Err(never(byte)),
            _ if is_path_byte(byte) => out.push(char::from(byte)),
            _ => push_encoded(byte, &mut out),
        }
    }
    let (dots, parameter) = out.split_once(';').unwrap_or((&out, ""));
    if matches!(dots, "." | "..") {
        return Err(PatternError::new(if parameter.is_empty() {
            "`.` and `..` are resolved before a route is looked for, so they never match"
        } else {
            "a path with a parameter at `.` or `..` is refused before routing, so this never matches"
        }));
    }
    Ok(out)
}

fn push_decoded(byte: u8, out: &mut String) -> Result<(), PatternError> {
    match byte {
        b'/' | b'\\' | 0x00..=0x1f | 0x7f => return Err(never(byte)),
        _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
            out.push(char::from(byte));
        }
        _ => push_encoded(byte, out),
    }
    Ok(())
}

/// Whether a byte stands for itself in a segment (`pchar` in RFC 3986 section 3.3).
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&byte)
}

fn push_encoded(byte: u8, out: &mut String) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    out.push('%');
    out.push(digit(byte >> 4).to_ascii_uppercase());
    out.push(digit(byte & 15).to_ascii_uppercase());
}

fn never(byte: u8) -> PatternError {
    PatternError::new(format!(
        "a path with {:?} in a segment is refused before routing, so this never matches",
        char::from(byte)
    ))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_brought_to_the_spelling_of_request_paths() {
        for (written, normal) in [
            ("plain", "plain"),
            ("%61%2d%7E", "a-~"),
            ("a b", "a%20b"),
            ("\"<>^`|[]", "%22%3C%3E%5E%60%7C%5B%5D"),
            ("a;v=1", "a;v=1"),
            ("%3b", "%3B"),
            ("é", "%C3%A9"),
            ("...", "..."),
        ] {
            assert_eq!(literal(written).as_deref(), Ok(normal));
        }
    }

    #[test]
    fn what_never_reaches_a_route_is_a_mistake() {
        for written in [
            ".", "..", "%2e%2E", "..;x", "a%2Fb", "a%5cb", "a\\b", "%", "%g0", "%0a", "a*b",
        ] {
            assert!(literal(written).is_err(), "{written}");
        }
    }
}
