//! Query parameters: `&`-separated pairs, compared after percent-decoding without a copy.

use super::value::{ValueMatch, ValuePattern};

/// Whether one pair of the query has the name and a value that will do. A pair without `=` has the empty value.
pub(super) fn has_match(query: &str, wanted: &ValueMatch) -> bool {
    values(query, &wanted.name).any(|value| matches(&wanted.value, value))
}

/// The values, still encoded, of every pair of that name.
pub(super) fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter_map(move |pair| {
        let (left, right) = pair.split_once('=').unwrap_or((pair, ""));
        Decoded::of(left).eq(name.bytes()).then_some(right)
    })
}

fn matches(pattern: &ValuePattern, value: &str) -> bool {
    match pattern {
        ValuePattern::Present => true,
        ValuePattern::Exact(wanted) => Decoded::of(value).eq(wanted.bytes()),
        ValuePattern::Prefix(begin) => {
            let mut decoded = Decoded::of(value);
            begin.bytes().all(|byte| decoded.next() == Some(byte))
        }
        ValuePattern::Regex(regex) if !value.contains(['%', '+']) => {
            regex.is_match(value.as_bytes())
        }
        ValuePattern::Regex(regex) => regex.is_match(&Decoded::of(value).collect::<Vec<_>>()),
    }
}

/// The bytes that an encoded text stands for. A `%` without two hex digits stands for itself.
struct Decoded<'a> {
    rest: &'a [u8],
}

impl<'a> Decoded<'a> {
    const fn of(text: &'a str) -> Self {
        Self {
            rest: text.as_bytes(),
        }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match self.rest {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (b'%', self.rest.get(1..).unwrap_or_default()),
            },
            [b'+', rest @ ..] => (b' ', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        self.rest = rest;
        Some(byte)
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, name: &str, value: &str) -> bool {
        has_match(query, &ValueMatch::query(name, value).unwrap())
    }

    #[test]
    fn any_of_several_values_is_enough() {
        assert!(found("a=1&a=2", "a", "2"));
        assert!(!found("a=1&b=2", "a", "2"));
    }

    #[test]
    fn pairs_are_compared_decoded() {
        assert!(found("na%6De=J%C3%BCrgen+M", "name", "Jürgen M"));
        assert!(found("a=x%2By", "a", "x+y"));
        assert!(found("a=%zz%4", "a", "%zz%4"));
        assert!(found("a=%76x", "a", "v*"));
        assert!(found("a=%76x", "a", "~v."));
        assert!(found("a=b=c", "a", "b=c"));
    }

    #[test]
    fn a_pair_without_a_value_is_present_and_empty() {
        assert!(found("a", "a", "*"));
        assert!(found("a", "a", ""));
        assert!(found("b&a=&c", "a", ""));
        assert!(!found("ab=1", "a", "*"));
        assert!(!found("", "a", "*"));
    }
}
