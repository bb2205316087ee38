//! Integers with a prefix (RFC 7541 section 5.1).

/// Reads an integer whose first byte has `prefix` bits for it, and takes its bytes away. `None` when it is cut off, or
/// larger than any index, size or length here can be.
pub(super) fn read(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let mask = 0xff_u8 >> (8 - prefix);
    let low = first & mask;
    let mut value = usize::from(low);
    if low == mask {
        // Four bytes hold 28 bits: far more than a block can be long, and no shift or sum overflows.
        let mut shift = 0;
        loop {
            let (byte, next) = after.split_first()?;
            after = next;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 21 {
                return None;
            }
        }
    }
    *rest = after;
    Some(value)
}

/// Appends an integer; `pattern` holds the bits of the first byte in front of its `prefix` bits.
pub(super) fn write(pattern: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let mask = 0xff_u8 >> (8 - prefix);
    match u8::try_from(value) {
        Ok(small) if small < mask => out.push(pattern | small),
        _ => {
            out.push(pattern | mask);
            let mut left = value.saturating_sub(usize::from(mask));
            while left >= 0x80 {
                out.push(0x80 | u8::try_from(left & 0x7f).unwrap_or_default());
                left >>= 7;
            }
            out.push(u8::try_from(left).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_read_and_written() {
        // RFC 7541 appendix C.1.
        for (value, prefix, bytes) in [
            (10, 5, &[0x0a][..]),
            (1337, 5, &[0x1f, 0x9a, 0x0a]),
            (42, 8, &[0x2a]),
            (30, 5, &[0x1e]),
            (31, 5, &[0x1f, 0]),
            (127, 7, &[0x7f, 0]),
        ] {
            let mut rest = bytes;
            assert_eq!(read(&mut rest, prefix), Some(value));
            assert!(rest.is_empty());
            let mut out = Vec::new();
            write(0, prefix, value, &mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_no_integer() {
        for bytes in [
            &[][..],
            &[0x7f],
            &[0x7f, 0x80],
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0],
            &[
                0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
            ],
        ] {
            let mut rest = bytes;
            assert_eq!(read(&mut rest, 7), None, "{bytes:x?}");
        }
        let mut rest = &[0x7f, 0x80, 0x80, 0x80, 0][..];
        assert_eq!(read(&mut rest, 7), Some(127), "zeros in front are allowed");
    }

    #[test]
    fn every_integer_comes_back() {
        for prefix in 1..=8 {
            for value in (0..70_000).step_by(7).chain([1 << 20, (1 << 28) - 1]) {
                let mut out = Vec::new();
                write(0, prefix, value, &mut out);
                out.push(0xaa);
                let mut rest = &out[..];
                assert_eq!(read(&mut rest, prefix), Some(value));
                assert_eq!(rest, [0xaa]);
            }
        }
    }
}
