//! The examples of RFC 7541 appendix C, and what no block may do.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::field::{NameKind, Seen, ValueKind};
use super::table::{NameFrom, OVERHEAD, Table};
use super::{Broken, Decoder, Sink, huffman};

#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl Sink for Pairs {
    fn field(&mut self, seen: &Seen<'_>) {
        assert_eq!(seen.name_kind, NameKind::of(seen.name));
        assert_eq!(seen.value_kind, ValueKind::of(seen.value));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(seen.name), text(seen.value)));
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Broken> {
    let mut pairs = Pairs::default();
    decoder
        .read(block, usize::MAX, &mut pairs)
        .map(|()| pairs.0)
}

/// `name: value` lines as pairs.
fn list(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| {
            let (name, value) = line.trim().split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// Reads each block after the one before it; each comes with its list and with the size of the table after it.
fn holds(limit: usize, blocks: &[(&str, &str, usize)]) {
    let mut decoder = Decoder::new();
    decoder.table.resize(limit).unwrap();
    for (block, fields, size) in blocks {
        assert_eq!(read(&mut decoder, &bytes(block)), Ok(list(fields)));
        assert_eq!(decoder.table.size(), *size, "{fields}");
    }
}

#[test]
fn each_representation_is_read() {
    // RFC 7541 appendix C.2.
    holds(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            55,
        )],
    );
    holds(
        4096,
        &[
            (
                "040c 2f73 616d 706c 652f 7061 7468",
                ":path: /sample/path",
                0,
            ),
            (
                "1008 7061 7373 776f 7264 0673 6563 7265 74",
                "password: secret",
                0,
            ),
            ("82", ":method: GET", 0),
        ],
    );
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];

#[test]
fn requests_build_on_each_other() {
    // RFC 7541 appendix C.3.
    holds(
        4096,
        &[
            (
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                REQUESTS[0],
                57,
            ),
            ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1], 110),
            (
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                REQUESTS[2],
                164,
            ),
        ],
    );
    // Appendix C.4, the same in Huffman's code.
    holds(
        4096,
        &[
            (
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                REQUESTS[0],
                57,
            ),
            ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1], 110),
            (
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                REQUESTS[2],
                164,
            ),
        ],
    );
}

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn responses_build_on_each_other_while_entries_go() {
    // RFC 7541 appendix C.5.
    holds(
        256,
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
                 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                RESPONSES[0],
                222,
            ),
            ("4803 3330 37c1 c0bf", RESPONSES[1], 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
                 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
                 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                RESPONSES[2],
                215,
            ),
        ],
    );
    // Appendix C.6, the same in Huffman's code.
    holds(
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
                 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                RESPONSES[0],
                222,
            ),
            ("4883 640e ffc1 c0bf", RESPONSES[1], 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
                 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
                 4ee5 b106 3d50 07",
                RESPONSES[2],
                215,
            ),
        ],
    );
}

#[test]
fn a_broken_block_is_refused() {
    for (name, block) in [
        ("the index 0", "80"),
        ("an index that names nothing", "be"),
        ("a large index", "ff ff 7f"),
        (
            "an index beyond every number",
            "ff ff ff ff ff ff ff ff ff ff 7f",
        ),
        ("an index without its end", "ff"),
        ("a name that is not there", "7e 01 61"),
        ("a literal without its name", "40"),
        ("a literal without its value", "40 01 61"),
        ("a name that is cut off", "40 05 61"),
        ("a value that is cut off", "40 01 61 02 61"),
        ("a length beyond every number", "40 7f ff ff ff ff ff 7f"),
        ("a table beyond what is allowed", "3f e2 1f"),
        ("three sizes of the table", "20 20 20"),
        ("a size of the table after a field", "82 20"),
        ("an end of string in a string", "40 01 61 84 ff ff ff ff"),
        ("an end of string and more", "40 01 61 85 ff ff ff fc 00"),
        ("eight bits of padding", "40 01 61 82 1f ff"),
        ("a padding of zeros", "40 01 61 81 18"),
        ("a byte of padding alone", "40 01 61 81 ff"),
    ] {
        let result = read(&mut Decoder::new(), &bytes(block));
        assert_eq!(result, Err(Broken::Compression), "{name}");
    }
    for (name, block) in [
        ("nothing", ""),
        ("two sizes of the table", "20 3f e1 1f 82"),
        ("an empty string in the code", "40 01 61 80"),
        ("seven bits of padding", "40 01 61 86 a8 eb 10 64 9c bf"),
        ("an index in more bytes than it needs", "82 ff 80 80 00"),
    ] {
        let mut decoder = Decoder::new();
        let entries = "40 01 61 00 ".repeat(66);
        read(&mut decoder, &bytes(&entries)).unwrap();
        assert!(read(&mut decoder, &bytes(block)).is_ok(), "{name}");
    }
}

#[test]
fn a_size_of_the_table_holds_at_once() {
    let mut decoder = Decoder::new();
    read(&mut decoder, &bytes("40 01 61 01 62 40 01 63 01 64")).unwrap();
    // Too small for both, then as large as before: the older one is gone.
    assert_eq!(
        read(&mut decoder, &bytes("3f 03 3f e1 1f be")),
        Ok(vec![("c".to_owned(), "d".to_owned())])
    );
    assert_eq!(read(&mut decoder, &bytes("bf")), Err(Broken::Compression));
    // An entry that is larger than the table empties it, and is read none the less.
    assert_eq!(
        read(&mut decoder, &bytes("3f 03 40 02 61 61 01 62")).map(|list| list.len()),
        Ok(1)
    );
    assert_eq!(read(&mut decoder, &bytes("be")), Err(Broken::Compression));
}

#[test]
fn a_list_far_beyond_its_limit_ends_the_connection() {
    let mut decoder = Decoder::new();
    let mut sink = Pairs::default();
    // `:method: GET` counts 42.
    assert_eq!(decoder.read(&[0x82; 10], 420, &mut sink), Ok(()));
    assert_eq!(decoder.read(&[0x82; 11], 420, &mut sink), Err(Broken::Bomb));
}

/// The code of each symbol and its length, as the standard lists them.
fn codes() -> Vec<(u32, u8)> {
    let mut sorted: Vec<usize> = (0..257).collect();
    sorted.sort_by_key(|symbol| (huffman::LENGTHS[*symbol], *symbol));
    let mut codes = vec![(0, 0); 257];
    let (mut code, mut length) = (0, huffman::LENGTHS[sorted[0]]);
    for symbol in sorted {
        code <<= huffman::LENGTHS[symbol] - length;
        length = huffman::LENGTHS[symbol];
        codes[symbol] = (code, length);
        code += 1;
    }
    codes
}

fn in_code(text: &[u8], codes: &[(u32, u8)]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (code, length) = codes[usize::from(*byte)];
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8)
        .map(|byte| {
            byte.iter()
                .fold(0, |value, bit| value << 1 | u8::from(*bit))
        })
        .collect()
}

#[test]
fn every_symbol_is_decoded() {
    let codes = codes();
    // RFC 7541 appendix B, here and there.
    for (symbol, expected) in [
        (0, (0x1ff8, 13)),
        (10, (0x3fff_fffc, 30)),
        (usize::from(b' '), (0x14, 6)),
        (usize::from(b'0'), (0, 5)),
        (usize::from(b'\\'), (0x7_fff0, 19)),
        (usize::from(b'z'), (0x7b, 7)),
        (127, (0xfff_fffc, 28)),
        (128, (0xf_ffe6, 20)),
        (199, (0x1ff_ffec, 25)),
        (249, (0xfff_fffe, 28)),
        (255, (0x3ff_ffee, 26)),
        (256, (0x3fff_ffff, 30)),
    ] {
        assert_eq!(codes[symbol], expected, "{symbol}");
    }
    for first in 0..=255 {
        for second in [b'0', b'a', b'~', 0, 10, 255] {
            let text = [first, second, first];
            let mut out = b"kept".to_vec();
            huffman::decode(&in_code(&text, &codes), &mut out).unwrap();
            assert_eq!(out, [b"kept", &text[..]].concat());
        }
    }
}

/// The dynamic table as the standard tells of it.
#[derive(Default)]
struct Model {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    limit: usize,
}

impl Model {
    fn size(&self) -> usize {
        let size = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + OVERHEAD;
        self.entries.iter().map(size).sum()
    }

    fn evict(&mut self, most: usize) {
        while self.size() > most {
            self.entries.pop_back();
        }
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let size = name.len() + value.len() + OVERHEAD;
        if size > self.limit {
            self.entries.clear();
        } else {
            self.evict(self.limit - size);
            self.entries.push_front((name, value));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Resize(usize),
    Insert(Vec<u8>, Vec<u8>),
    /// With the name of an entry.
    Again(prop::sample::Index, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    // Long texts, quickly made, no two of them alike in many places.
    let text = |most: usize| {
        (0..26_usize, 0..most).prop_map(|(first, length)| -> Vec<u8> {
            let letters = (b'a'..=b'z').cycle();
            letters.skip(first).take(length).collect()
        })
    };
    prop_oneof![
        1 => (0..=4096_usize).prop_map(Step::Resize),
        1 => Just(Step::Resize(4096)),
        8 => (text(40), text(200)).prop_map(|(name, value)| Step::Insert(name, value)),
        2 => (text(3000), text(3000)).prop_map(|(name, value)| Step::Insert(name, value)),
        4 => (any::<prop::sample::Index>(), text(900)).prop_map(|(at, value)| Step::Again(at, value)),
    ]
}

proptest! {
    #[test]
    fn the_table_is_what_the_standard_says(steps in proptest::collection::vec(step(), 0..40)) {
        let mut table = Table::new();
        let mut model = Model { limit: 4096, ..Model::default() };
        for step in steps {
            match step {
                Step::Resize(limit) => {
                    table.resize(limit).unwrap();
                    model.limit = limit;
                    model.evict(limit);
                }
                Step::Insert(name, value) => {
                    table.insert(NameFrom::Bytes(&name), NameKind::of(&name), &value, ValueKind::Good);
                    model.insert(name, value);
                }
                Step::Again(_, _) if model.entries.is_empty() => {}
                Step::Again(at, value) => {
                    let age = at.index(model.entries.len());
                    let name = model.entries[age].0.clone();
                    table.insert(NameFrom::Entry(age), NameKind::of(&name), &value, ValueKind::Good);
                    model.insert(name, value);
                }
            }
            prop_assert_eq!(table.size(), model.size());
            for (age, (name, value)) in model.entries.iter().enumerate() {
                let seen = table.get(age).unwrap();
                prop_assert_eq!(seen.name, &name[..]);
                prop_assert_eq!(seen.value, &value[..]);
                prop_assert_eq!(seen.name_kind, NameKind::of(name));
            }
            prop_assert!(table.get(model.entries.len()).is_none());
        }
    }

    #[test]
    fn every_text_comes_back_from_the_code(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let codes = codes();
        let mut out = Vec::new();
        huffman::decode(&in_code(&text, &codes), &mut out).unwrap();
        prop_assert_eq!(out, text);
    }

    #[test]
    fn any_blocks_are_read_or_refused(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
    ) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let mut pairs = Pairs::default();
            if decoder.read(&block, 10_000, &mut pairs).is_err() {
                break;
            }
            let size: usize = pairs.0.iter().map(|(name, _)| name.len() + OVERHEAD).sum();
            prop_assert!(size <= 10_000);
            prop_assert!(decoder.table.size() <= 4096);
        }
    }
}
