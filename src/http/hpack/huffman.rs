//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). Only decoding: we write strings as they are.
//!
//! The code is canonical: among codes of one length the symbols are in order, so the lengths alone say all of it.

/// The length of the code of each symbol, in bits; the last one is EOS.
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The shortest and the longest code.
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// What eight bits say: the symbol and the length of its code, or length 0 when the code is longer.
#[derive(Clone, Copy)]
struct Short {
    symbol: u8,
    length: u8,
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Group {
    /// What is below this, as the first bits of 32, is no longer than the codes of this group.
    limit: u64,
    /// The first code, as the first bits of 32.
    first: u64,
    /// Where the symbols of the group begin in [`SYMBOLS`].
    start: usize,
    length: u8,
}

/// The symbols in the order of their codes.
const SYMBOLS: [u16; 257] = symbols();
const GROUPS: [Group; LONGEST - SHORTEST + 1] = groups();
/// By the next eight bits.
static SHORTS: [Short; 256] = shorts();

const EOS: u16 = 256;

/// Appends what the code stands for. `None`, with any part of it appended, when the code is broken: an EOS in it, or an
/// end that is not less than eight ones.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    // No code is shorter than five bits.
    out.resize(start + code.len() * 8 / SHORTEST, 0);
    let left = {
        let mut slots = out.get_mut(start..)?.iter_mut();
        read(code, &mut slots)?;
        slots.len()
    };
    out.truncate(out.len() - left);
    Some(())
}

fn read(code: &[u8], slots: &mut std::slice::IterMut<'_, u8>) -> Option<()> {
    let mut rest = code;
    // The next bits, from the top down; below them there are zeros.
    let mut window = 0_u64;
    let mut bits = 0_u32;
    loop {
        if bits < 32 {
            if let Some((word, after)) = rest.split_first_chunk::<4>() {
                window |= u64::from(u32::from_be_bytes(*word)) << (32 - bits);
                bits += 32;
                rest = after;
            } else if let Some((byte, after)) = rest.split_first() {
                window |= u64::from(*byte) << (56 - bits);
                bits += 8;
                rest = after;
                continue;
            }
        }
        let next = u8::try_from(window >> 56).unwrap_or_default();
        let short = SHORTS.get(usize::from(next))?;
        let (symbol, length) = if short.length > 0 {
            (short.symbol, u32::from(short.length))
        } else {
            let (symbol, length) = long(window >> 32)?;
            if length > bits {
                break;
            }
            // EOS is no byte.
            (u8::try_from(symbol).ok()?, length)
        };
        if length > bits {
            break;
        }
        *slots.next()? = symbol;
        window <<= length;
        bits -= length;
    }
    // What is left is the padding.
    let ones = u64::MAX.checked_shl(64 - bits).unwrap_or_default();
    (bits < 8 && window == ones).then_some(())
}

/// The symbol that the first of 32 bits stand for, and the length of its code.
#[cold]
fn long(next: u64) -> Option<(u16, u32)> {
    let group = GROUPS.iter().find(|group| next < group.limit)?;
    let length = u32::from(group.length);
    let position = usize::try_from((next - group.first) >> (32 - length)).ok()?;
    let symbol = SYMBOLS.get(group.start + position)?;
    Some((*symbol, length))
}

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which stops at an index outside"
)]
const fn symbols() -> [u16; 257] {
    let mut sorted = [0; 257];
    let mut count = 0;
    let mut length = SHORTEST;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol as usize] as usize == length {
                sorted[count] = symbol;
                count += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which stops at an index outside"
)]
const fn groups() -> [Group; LONGEST - SHORTEST + 1] {
    const NONE: Group = Group {
        limit: 0,
        first: 0,
        start: 0,
        length: 0,
    };
    let mut groups = [NONE; LONGEST - SHORTEST + 1];
    let mut first = 0;
    let mut start = 0;
    let mut length = SHORTEST;
    while length <= LONGEST {
        let mut count = 0;
        while start + count < 257 && LENGTHS[SYMBOLS[start + count] as usize] as usize == length {
            count += 1;
        }
        let limit = first + ((count as u64) << (32 - length));
        groups[length - SHORTEST] = Group {
            limit,
            first,
            start,
            length: length as u8,
        };
        first = limit;
        start += count;
        length += 1;
    }
    groups
}

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which stops at an index outside"
)]
const fn shorts() -> [Short; 256] {
    let mut shorts = [Short {
        symbol: 0,
        length: 0,
    }; 256];
    let mut next = 0;
    let mut position = 0;
    while position < 257 && LENGTHS[SYMBOLS[position] as usize] <= 8 {
        let symbol = SYMBOLS[position];
        let length = LENGTHS[symbol as usize];
        let mut copies = 1_usize << (8 - length);
        while copies > 0 {
            shorts[next] = Short {
                symbol: symbol as u8,
                length,
            };
            next += 1;
            copies -= 1;
        }
        position += 1;
    }
    shorts
}
