//! Words of closed sets (reasons, TLS versions) as small numbers, so that label values pack into one table key.

use std::sync::OnceLock;

/// All words that have been used as label values. Written by whoever first uses a word, read by everyone, no lock.
#[derive(Debug)]
pub(super) struct Words {
    slots: Box<[OnceLock<&'static str>]>,
}

/// The number of a word; below 512.
pub(super) type WordId = u64;

/// How many bits a word's number has.
pub(super) const WORD_BITS: u32 = 9;

impl Default for Words {
    fn default() -> Self {
        Self {
            slots: (0..OTHER).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Words {
    /// The number of a word. The empty word is 0; when more than 510 words are in use, the rest share one number.
    pub(super) fn id(&self, word: &'static str) -> WordId {
        if word.is_empty() {
            return NONE;
        }
        let count = self.slots.len();
        let start = spread(word) % count;
        for place in (start..count).chain(1..start).filter(|place| *place != 0) {
            let Some(slot) = self.slots.get(place) else {
                break;
            };
            if *slot.get_or_init(|| word) == word {
                return place as WordId;
            }
        }
        OTHER
    }

    /// The word of a number.
    pub(super) fn word(&self, id: WordId) -> &'static str {
        match id {
            NONE => "",
            OTHER => "other",
            id => usize::try_from(id)
                .ok()
                .and_then(|place| self.slots.get(place)?.get())
                .copied()
                .unwrap_or_default(),
        }
    }
}

/// Eight bytes at a step; reason words are short.
fn spread(word: &str) -> usize {
    let hash = word.as_bytes().chunks(8).fold(0_u64, |hash, chunk| {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(chunk) {
            *to = *from;
        }
        (hash.rotate_left(5) ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    usize::try_from(hash >> 40).unwrap_or_default()
}

const NONE: WordId = 0;
const OTHER: WordId = (1 << WORD_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_number_wherever_it_is_stored() {
        let words = Words::default();
        let copy: &'static str = String::from("no_route").leak();
        assert_eq!(words.id("no_route"), words.id(copy));
        assert_ne!(words.id("no_route"), words.id("no_endpoint"));
        assert_eq!(words.word(words.id("no_route")), "no_route");
        assert_eq!(words.word(words.id("")), "");
    }

    #[test]
    fn too_many_words_share_a_number() {
        let words = Words::default();
        let mut others = 0;
        for number in 0..600 {
            let word: &'static str = format!("word {number}").leak();
            let id = words.id(word);
            if id == OTHER {
                others += 1;
            } else {
                assert_eq!(words.word(id), word);
            }
        }
        assert_eq!(others, 600 - 510);
        assert_eq!(words.word(OTHER), "other");
    }
}
