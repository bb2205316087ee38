//! Values as text that cannot break out of its line, its quotes or the terminal that shows it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Appends the inside of a JSON string (RFC 8259 section 7).
///
/// Control characters, those of Latin-1 included, become `\u00XX`. Bytes that are not UTF-8 become the four characters
/// `\xHH`, so the string stays valid and nothing is lost.
pub(super) fn write_json(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                character if character.is_control() => {
                    out.extend_from_slice(b"\\u00");
                    // Control characters end at U+009F.
                    write_hex((character as u32 & 0xff) as u8, out);
                }
                character => {
                    let mut bytes = [0; 4];
                    out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                }
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            write_hex(*byte, out);
        }
    }
}

/// Appends text for a line of the operator's own format: everything but printable ASCII becomes `\xHH`, and so do the
/// double quote and the backslash.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        if is_plain_byte(*byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            write_hex(*byte, out);
        }
    }
}

/// Appends a number.
pub(super) fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number with zeros in front up to that many digits.
pub(super) fn write_digits(number: u64, digits: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

/// Appends a duration as milliseconds with three decimals.
pub(super) fn write_milliseconds(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    write_number(micros / 1_000, out);
    out.push(b'.');
    write_digits(micros % 1_000, 3, out);
}

/// Appends an address; one that is IPv4 inside IPv6 as the former.
pub(super) fn write_ip(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                write_number(u64::from(octet), out);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector cannot fail.
            let _ = std::io::Write::write_fmt(out, format_args!("{address}"));
        }
    }
}

/// Appends an address and its port; IPv6 in brackets.
pub(super) fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    let ip = address.ip().to_canonical();
    if ip.is_ipv6() {
        out.push(b'[');
    }
    write_ip(ip, out);
    if ip.is_ipv6() {
        out.push(b']');
    }
    out.push(b':');
    write_number(u64::from(address.port()), out);
}

/// Looks at every byte, so that the compiler looks at many at once: nearly all text is plain.
fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .fold(true, |plain, byte| plain & is_plain_byte(*byte))
}

const fn is_plain_byte(byte: u8) -> bool {
    (byte >= b' ') & (byte <= b'~') & (byte != b'"') & (byte != b'\\')
}

fn write_hex(byte: u8, out: &mut Vec<u8>) {
    for digit in [byte >> 4, byte & 0xf] {
        out.push(match digit {
            0..=9 => b'0' + digit,
            _ => b'A' + digit - 10,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_keeps_text_and_escapes_what_could_break_out() {
        let json = |text: &[u8]| written(|out| write_json(text, out));
        assert_eq!(json(b"/plain?a=b c"), "/plain?a=b c");
        assert_eq!(json("grüße \u{1F600}".as_bytes()), "grüße \u{1F600}");
        assert_eq!(json(b"a\"b\\c"), r#"a\"b\\c"#);
        assert_eq!(json(b"a\r\n\x1b[2J\x7f"), r"a\u000D\u000A\u001B[2J\u007F");
        assert_eq!(json("a\u{9b}31m".as_bytes()), r"a\u009B31m");
        assert_eq!(json(b"a\xff\xc3b"), r"a\\xFF\\xC3b");
    }

    #[test]
    fn text_is_printable_ascii() {
        let text = |text: &[u8]| written(|out| write_text(text, out));
        assert_eq!(text(b"/plain?a=b c"), "/plain?a=b c");
        assert_eq!(text(b"a\"b\\c\n\x1b\xff"), r"a\x22b\x5Cc\x0A\x1B\xFF");
    }

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        let text = |micros| written(|out| write_milliseconds(Duration::from_micros(micros), out));
        assert_eq!(text(0), "0.000");
        assert_eq!(text(12_034), "12.034");
        assert_eq!(text(999), "0.999");
    }

    #[test]
    fn addresses_are_written_as_people_write_them() {
        for (address, expected) in [
            ("10.0.200.7", "10.0.200.7"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let text = written(|out| write_ip(address.parse().unwrap(), out));
            assert_eq!(text, expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_json_string_on_one_line(bytes: Vec<u8>) {
            let json = format!("\"{}\"", written(|out| write_json(&bytes, out)));
            prop_assert!(!json.chars().any(char::is_control));
            let parsed: String = serde_json::from_str(&json).unwrap();
            if let Ok(text) = std::str::from_utf8(&bytes) {
                prop_assert_eq!(parsed, text);
            }
        }

        #[test]
        fn any_bytes_are_one_line_of_text_without_quotes(bytes: Vec<u8>) {
            let text = written(|out| write_text(&bytes, out));
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'));
        }
    }
}
