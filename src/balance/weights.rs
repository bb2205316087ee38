//! Weights as ranges of one line, to throw a number at.

/// For each endpoint, its part of the line.
#[derive(Debug)]
pub(super) enum Ranges {
    /// So many parts of the same length.
    Even(u64),
    /// Where each part ends.
    Uneven(Box<[u64]>),
}

impl Ranges {
    pub(super) fn new(weights: &[u32]) -> Self {
        let first = weights.first().copied().unwrap_or_default();
        if first > 0 && weights.iter().all(|weight| *weight == first) {
            return Self::Even(u64::try_from(weights.len()).unwrap_or(u64::MAX));
        }
        let ends = weights.iter().scan(0_u64, |end, weight| {
            *end += u64::from(*weight);
            Some(*end)
        });
        Self::Uneven(ends.collect())
    }

    /// The endpoint that a point hits; the whole range of `u64` is the line. Some place outside if there is no weight.
    pub(super) fn hit(&self, point: u64) -> usize {
        match self {
            Self::Even(parts) => place(point, *parts),
            Self::Uneven(ends) => {
                let total = ends.last().copied().unwrap_or_default();
                let hit = scale(point, total);
                ends.partition_point(|end| *end <= hit)
            }
        }
    }
}

/// Brings a number from the whole range of `u64` into `0..total`, evenly.
pub(super) fn scale(number: u64, total: u64) -> u64 {
    let wide = u128::from(number) * u128::from(total);
    u64::try_from(wide >> u64::BITS).unwrap_or_default()
}

/// The same, for places in a list.
pub(super) fn place(number: u64, count: u64) -> usize {
    usize::try_from(scale(number, count)).unwrap_or_default()
}

/// The next number of a sequence that has no pattern, for a choice that needs more than one random number (SplitMix64).
pub(super) const fn next_random(random: u64) -> u64 {
    let mut mixed = random.wrapping_add(GOLDEN);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The golden ratio's fraction in 64 bits: its multiples spread more evenly over a range than those of any other number.
pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_hits_the_part_it_lies_in() {
        let ranges = Ranges::new(&[1, 0, 2, 1]);
        let quarter = 1 << 62;
        assert_eq!(ranges.hit(0), 0);
        assert_eq!(ranges.hit(quarter - 1), 0);
        assert_eq!(ranges.hit(quarter), 2);
        assert_eq!(ranges.hit(3 * quarter - 1), 2);
        assert_eq!(ranges.hit(3 * quarter), 3);
        assert_eq!(ranges.hit(u64::MAX), 3);
    }

    #[test]
    fn equal_weights_need_no_search() {
        let ranges = Ranges::new(&[7, 7, 7, 7]);
        assert!(matches!(ranges, Ranges::Even(4)));
        let quarter = 1 << 62;
        assert_eq!(ranges.hit(quarter - 1), 0);
        assert_eq!(ranges.hit(quarter), 1);
        assert_eq!(ranges.hit(u64::MAX), 3);
    }

    #[test]
    fn without_weight_nothing_is_hit() {
        assert_eq!(Ranges::new(&[]).hit(5), 0);
        assert_eq!(Ranges::new(&[0, 0]).hit(u64::MAX), 2);
    }
}
