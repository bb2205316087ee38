//! Cookies of a request (RFC 6265 section 4.2.1).

use super::fields::{Fields, Known};
use super::grammar::trim;

/// The values of the cookies of that name, in order; names are compared by case. Quotes around a value belong to it.
pub fn cookies<'a>(fields: &'a Fields, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .all(Known::Cookie)
        .flat_map(|field| field.split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let rest = trim(pair).strip_prefix(name)?;
            rest.strip_prefix(b"=")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str], name: &str) -> Vec<String> {
        let mut fields = Fields::new();
        for line in lines {
            fields.push(b"Cookie", line.as_bytes());
        }
        cookies(&fields, name.as_bytes())
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let line = "ab=1; a=2;b=3;  c=\"4\" ;A=5; a";
        assert_eq!(found(&[line], "a"), ["2"]);
        assert_eq!(found(&[line], "ab"), ["1"]);
        assert_eq!(found(&[line], "b"), ["3"]);
        assert_eq!(found(&[line], "c"), ["\"4\""]);
        assert_eq!(found(&[line], "A"), ["5"]);
        assert!(found(&[line], "d").is_empty());
    }

    #[test]
    fn cookies_of_one_name_come_in_their_order_and_over_several_fields() {
        assert_eq!(
            found(&["a=1; a=2", "b=0; a=", "a=x=y"], "a"),
            ["1", "2", "", "x=y"]
        );
    }
}
