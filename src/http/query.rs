//! Parameters of a query: `&`-separated pairs, percent-encoded.

use super::path::escape_value;

/// The decoded value of the first parameter of that name; one without `=` has the empty value.
#[must_use]
pub fn query_parameter<'a>(
    query: &'a str,
    name: &str,
) -> Option<impl Iterator<Item = u8> + use<'a>> {
    query.split('&').find_map(|pair| {
        let (left, right) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(left).eq(name.bytes()).then(|| decoded(right))
    })
}

/// The bytes that an encoded text stands for. A `%` without two hex digits stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match escape_value(*high, *low) {
                Some(byte) => (byte, after),
                None => (b'%', rest.get(1..).unwrap_or_default()),
            },
            [b'+', after @ ..] => (b' ', after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(query: &str, name: &str) -> Option<String> {
        let bytes = query_parameter(query, name)?;
        Some(String::from_utf8(bytes.collect()).unwrap())
    }

    #[test]
    fn the_first_parameter_of_a_name_is_decoded() {
        let query = "a=1&b=x%20y+z%&%61b=%C3%A9&a=2&flag&=3";
        for (name, expected) in [
            ("a", Some("1")),
            ("b", Some("x y z%")),
            ("ab", Some("é")),
            ("flag", Some("")),
            ("", Some("3")),
            ("c", None),
            ("A", None),
        ] {
            assert_eq!(value(query, name).as_deref(), expected, "{name}");
        }
        assert_eq!(value("", "a"), None);
    }
}
