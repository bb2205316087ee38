//! The one spelling of a path: what routes match is what is sent upstream.

use super::error::HeadError;
use super::grammar::escape;

/// Appends the normalised spelling of a path to `out`; on an error `out` is as it was.
///
/// Escapes of unreserved characters are decoded and all others get upper-case digits; bytes that RFC 3986 does not
/// allow in a path are escaped; `//` becomes `/`; `.` and `..` segments are resolved, however they were spelled.
/// Normalising twice gives the same as normalising once.
///
/// [`HeadError::AmbiguousPath`] refuses what readers disagree about: a `..` above the root, encoded slashes,
/// backslashes and control bytes, raw backslashes, dot segments with parameters (`..;x`), parameters of nothing in the
/// middle (`/;x/`), and overlong UTF-8.
/// [`HeadError::BadTarget`] refuses what is no path: no leading slash, raw bytes outside visible ASCII, `?` or `#`, bad
/// escapes.
pub fn normalise_path(raw: &[u8], out: &mut String) -> Result<(), HeadError> {
    if raw.first() != Some(&b'/') {
        return Err(HeadError::BadTarget);
    }
    if let Some(plain) = as_plain(raw) {
        out.push_str(plain);
        return Ok(());
    }
    let base = out.len();
    let done = normalise_segments(raw, base, out);
    if done.is_err() {
        out.truncate(base);
    }
    done
}

/// The path itself when there is nothing to normalise, which is nearly always.
fn as_plain(raw: &[u8]) -> Option<&str> {
    let mut previous = b' ';
    for byte in raw {
        let plain = match byte {
            b'/' | b'.' | b';' => previous != b'/',
            byte => is_path_byte(*byte),
        };
        if !plain {
            return None;
        }
        previous = *byte;
    }
    std::str::from_utf8(raw).ok()
}

fn normalise_segments(raw: &[u8], base: usize, out: &mut String) -> Result<(), HeadError> {
    let mut segments = raw.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let start = out.len();
        out.push('/');
        normalise_segment(segment, out)?;
        match out.get(start + 1..).unwrap_or_default() {
            // An empty segment in the middle is half of a `//`; at the end it is the trailing slash.
            "" | "." if last => out.truncate(start + 1),
            "" | "." => out.truncate(start),
            ".." => {
                out.truncate(start);
                let parent = out
                    .get(base..)
                    .and_then(|path| path.rfind('/'))
                    .ok_or(HeadError::AmbiguousPath)?;
                out.truncate(base + parent);
                if last {
                    out.push('/');
                }
            }
            segment if is_dots_with_parameter(segment) => return Err(HeadError::AmbiguousPath),
            segment if !last && is_parameter_alone(segment) => {
                return Err(HeadError::AmbiguousPath);
            }
            _ => {}
        }
    }
    Ok(())
}

fn normalise_segment(segment: &[u8], out: &mut String) -> Result<(), HeadError> {
    let mut rest = segment;
    let mut before = 0;
    while let [byte, after @ ..] = rest {
        rest = after;
        let encoded = match byte {
            b'%' => {
                let [high, low, after @ ..] = after else {
                    return Err(HeadError::BadTarget);
                };
                rest = after;
                let byte = escape_value(*high, *low).ok_or(HeadError::BadTarget)?;
                push_escaped(byte, before, out)?;
                byte
            }
            b'\\' => return Err(HeadError::AmbiguousPath),
            b'?' | b'#' => return Err(HeadError::BadTarget),
            byte if is_path_byte(*byte) => {
                out.push(char::from(*byte));
                0
            }
            byte if byte.is_ascii_graphic() => {
                out.extend(escape(*byte).map(char::from));
                0
            }
            _ => return Err(HeadError::BadTarget),
        };
        before = encoded;
    }
    Ok(())
}

/// Appends a byte that came as an escape; `before` is the byte of the escape just before it, or 0.
fn push_escaped(byte: u8, before: u8, out: &mut String) -> Result<(), HeadError> {
    let overlong = match byte {
        0xc0 | 0xc1 => true,
        0x80..=0x9f => before == 0xe0 || (before == 0xf0 && byte < 0x90),
        _ => false,
    };
    if overlong || byte.is_ascii_control() || matches!(byte, b'/' | b'\\') {
        return Err(HeadError::AmbiguousPath);
    }
    if matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') {
        out.push(char::from(byte));
    } else {
        out.extend(escape(byte).map(char::from));
    }
    Ok(())
}

/// Whether a reader that drops path parameters would see a dot segment.
fn is_dots_with_parameter(segment: &str) -> bool {
    let rest = segment.trim_start_matches('.');
    let dots = segment.len() - rest.len();
    matches!(dots, 1 | 2) && is_parameter_alone(rest)
}

/// Whether a reader that drops path parameters would see nothing, and in the middle of a path half of a `//`. Behind
/// the last slash a session may stand.
fn is_parameter_alone(segment: &str) -> bool {
    segment.starts_with(';') || segment.starts_with("%3B")
}

/// Whether RFC 3986 allows the byte unescaped in a segment (`pchar`).
const fn is_path_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
    )
}

pub(super) fn escape_value(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(raw: &str) -> Result<String, HeadError> {
        let mut out = "kept".to_owned();
        let done = normalise_path(raw.as_bytes(), &mut out);
        let path = out
            .strip_prefix("kept")
            .expect("what stood before stays")
            .to_owned();
        match done {
            Ok(()) => Ok(path),
            Err(error) => {
                assert_eq!(path, "", "an error appends nothing");
                Err(error)
            }
        }
    }

    #[test]
    fn case_040_one_path_has_one_spelling() {
        for (raw, path) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("//admin", "/admin"),
            ("/a//b", "/a/b"),
            ("/a//", "/a/"),
            ("///", "/"),
            ("/public/../admin", "/admin"),
            ("/public/%2e%2e/admin", "/admin"),
            ("/public/%2E./admin", "/admin"),
            ("/a/./b", "/a/b"),
            ("/a/%2e/b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a//../b", "/b"),
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a%2db%5fc%2Ed", "/a-b_c.d"),
            ("/a%3ab%3f%23", "/a%3Ab%3F%23"),
            ("/%c3%a9", "/%C3%A9"),
            ("/%e9", "/%E9"),
            ("/%25", "/%25"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/%252f", "/%252f"),
            ("/admin;x=1/", "/admin;x=1/"),
            ("/...;a", "/...;a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/..a/.b/c..", "/..a/.b/c.."),
            ("/a;b/..", "/"),
            ("/\"<>^`{|}[]", "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
            ("/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"),
            ("/%20", "/%20"),
            ("/%e0%a4%a4", "/%E0%A4%A4"),
            ("/%f0%9f%98%80", "/%F0%9F%98%80"),
        ] {
            assert_eq!(normalised(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn case_040_ambiguous_paths_are_refused() {
        for raw in [
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e",
            "/.%2e/a",
            "//../a",
            "/./..",
            "/admin%2f..",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
            "/..\\a",
            "/a/..;/admin",
            "/a/..;x=1/admin",
            "/a/.;/admin",
            "/a/%2e%2e;/b",
            "/a/..%3b/b",
            "/a/..%3Bx/b",
            "/;/admin",
            "/a/;x=1/admin",
            "/%3b/admin",
            "//;x//admin",
            "/%00",
            "/a%00.css",
            "/%0d%0a",
            "/%1f",
            "/%7f",
            "/%c0%af",
            "/%C0%AE",
            "/%c1%9c",
            "/%e0%80%af",
            "/%e0%9f%bf",
            "/%f0%80%80%af",
            "/%f0%8f%bf%bf",
        ] {
            assert_eq!(normalised(raw), Err(HeadError::AmbiguousPath), "{raw:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for raw in [
            "", "a", "*", "?", "/%", "/%2", "/%zz", "/%u002f", "/%2/", "/% 2e", "/%%34%31", "/a b",
            "/a\tb", "/a\0", "/\r\n", "/é", "/a?b", "/a#b", "/\u{7f}",
        ] {
            assert_eq!(normalised(raw), Err(HeadError::BadTarget), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(raw in "/([./;%\\\\a]|%2[eEfF5]|%[0-9a-fA-F]{2}|[ -~])*") {
            if let Ok(once) = normalised(&raw) {
                let twice = normalised(&once);
                prop_assert_eq!(twice, Ok(once));
            }
        }

        #[test]
        fn a_normalised_path_has_no_dot_segment(raw in "/([./]|%2e|[a-c;]){0,24}") {
            if let Ok(path) = normalised(&raw) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(!path.contains("//"));
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }

        #[test]
        fn any_bytes_are_refused_or_become_visible_ascii(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = String::new();
            if normalise_path(&raw, &mut out).is_ok() {
                prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'?'));
            }
        }
    }
}
