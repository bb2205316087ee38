//! Smooth weighted round robin: in turn, as often as the weights say, and never in clumps.
//!
//! Weights 5, 1 and 1 give `a a b a c a a` and not `a a a a a b c`. When the weights' sum is small, the order is written
//! down once and a shared cursor walks through it: one atomic addition and one array access, whatever the number of
//! endpoints. When it is large, the cursor's number times the golden ratio hits a part of the line of weights: the hits
//! of each endpoint are nearly evenly spaced too (three-gap theorem), for a binary search and no table.
//!
//! What is unavailable is stepped over and its turn is used up, so the others keep their shares among themselves. Every
//! worker moves the same cursor: the order holds for the whole gateway.

use std::sync::Arc;

use super::cursor::Cursor;
use super::eligible::Eligible;
use super::weights::{GOLDEN, Ranges};

/// The policy's frozen part.
#[derive(Debug)]
pub(super) struct RoundRobin {
    order: Order,
    cursor: Arc<Cursor>,
}

#[derive(Debug)]
enum Order {
    /// The turns of one round, written down.
    Written(Box<[u16]>),
    /// Too many turns to write down.
    Spread(Ranges),
}

impl RoundRobin {
    pub(super) fn new(weights: &[u32], cursor: Arc<Cursor>) -> Self {
        Self {
            order: Order::new(weights),
            cursor,
        }
    }

    /// Takes the next turn of someone eligible.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        let turn = self.cursor.advance(1);
        for skipped in 0..PATIENCE {
            let index = self.order.at(turn.wrapping_add(skipped));
            if eligible.accepts(index) {
                if skipped > 0 {
                    self.cursor.advance(skipped);
                }
                return Some(index);
            }
        }
        // Most of the pool is down. Chance keeps the shares right, only the spacing is lost.
        eligible.by_weight(random)
    }
}

impl Order {
    fn new(weights: &[u32]) -> Self {
        written(weights).map_or_else(|| Self::Spread(Ranges::new(weights)), Self::Written)
    }

    /// The endpoint whose turn it is; some place outside if nobody has any weight.
    fn at(&self, turn: u64) -> usize {
        match self {
            Self::Written(turns) => usize::try_from(turn)
                .unwrap_or_default()
                .checked_rem(turns.len())
                .and_then(|place| turns.get(place))
                .map_or(usize::MAX, |index| usize::from(*index)),
            Self::Spread(ranges) => ranges.hit(turn.wrapping_mul(GOLDEN)),
        }
    }
}

/// One round of turns, unless it is too long to write down.
fn written(weights: &[u32]) -> Option<Box<[u16]>> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
    let shares: Vec<(u16, i64)> = weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0)
        .map(|(index, weight)| Some((u16::try_from(index).ok()?, i64::from(weight / divisor))))
        .collect::<Option<_>>()?;
    let round: i64 = shares.iter().map(|(_, share)| share).sum();
    let turns = usize::try_from(round).ok()?;
    if turns == shares.len() {
        return Some(shares.into_iter().map(|(index, _)| index).collect());
    }
    let work = turns.checked_mul(shares.len())?;
    if turns > LONGEST_ROUND || work > MOST_WORK {
        return None;
    }
    // Everyone gains its share each turn; the one who has most takes the turn and pays the whole round for it.
    let mut credits: Vec<(u16, i64, i64)> = shares
        .into_iter()
        .map(|(index, share)| (index, share, 0))
        .collect();
    let mut order = Vec::with_capacity(turns);
    for _ in 0..turns {
        for (_, share, credit) in &mut credits {
            *credit += *share;
        }
        // The first of equals: `max_by_key` would take the last.
        let richest = credits
            .iter_mut()
            .rev()
            .max_by_key(|(_, _, credit)| *credit);
        if let Some((index, _, credit)) = richest {
            *credit -= round;
            order.push(*index);
        }
    }
    Some(order.into())
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// 128 KiB of turns.
const LONGEST_ROUND: usize = 65_536;
/// Additions to write one round; some milliseconds at a reload.
const MOST_WORK: usize = 1 << 23;
/// How many turns of unavailable endpoints are stepped over before chance decides.
const PATIENCE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{Upstream, pick_index, pool, shares};
    use crate::balance::{Policy, Pool};
    use std::time::UNIX_EPOCH;

    fn turns(pool: &Pool, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'a' + u8::try_from(pick_index(pool, 0)).unwrap()))
            .collect()
    }

    #[test]
    fn weights_are_interleaved_like_nginx_does() {
        let pool = pool(Policy::RoundRobin, &[5, 1, 1]);
        assert_eq!(turns(&pool, 14), "aabacaaaabacaa");
    }

    #[test]
    fn equal_weights_take_turns_whatever_they_are() {
        let pool = pool(Policy::RoundRobin, &[300, 300, 0, 300]);
        assert_eq!(turns(&pool, 7), "abdabda");
    }

    #[test]
    fn those_that_remain_keep_their_shares() {
        let pool = pool(Policy::RoundRobin, &[4, 2, 1]);
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        assert_eq!(shares(&pool, 300), [0, 200, 100]);
    }

    #[test]
    fn equals_share_alike_when_their_neighbour_is_down() {
        let pool = pool(Policy::RoundRobin, &[1, 1, 1]);
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        assert_eq!(turns(&pool, 6), "bcbcbc");
    }

    #[test]
    fn a_heavy_endpoint_that_is_down_does_not_hide_the_light_ones() {
        let pool = pool(Policy::RoundRobin, &[60_000, 1, 2]);
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        let shares = shares(&pool, 3_000);
        assert_eq!(shares[0], 0);
        assert!((900..1_100).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn a_round_that_is_too_long_is_spread_as_smoothly() {
        let weights = [50_021, 30_011, 20_023];
        assert!(written(&weights).is_none());
        let pool = pool(Policy::RoundRobin, &weights);
        let total: u32 = weights.iter().sum();
        let mut counts = [0_u32; 3];
        let mut last = [0_u32; 3];
        for turn in 1..=total {
            let index = pick_index(&pool, 0);
            counts[index] += 1;
            // Three times the mean distance is the most that three gaps allow.
            let gap = turn - last[index];
            assert!(
                gap <= 3 * total.div_ceil(weights[index]),
                "{index} waited {gap}"
            );
            last[index] = turn;
            for (count, weight) in counts.iter().zip(weights) {
                let due = f64::from(turn) * f64::from(weight) / f64::from(total);
                assert!((f64::from(*count) - due).abs() < 5.0, "{turn}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_new_pool_goes_on_where_the_old_one_was() {
        let upstream = Upstream::default();
        let [old, new] = [(); 2].map(|()| upstream.pool(Policy::RoundRobin, &[1, 1, 1]));
        let chosen = [&old, &new, &old, &new].map(|pool| pick_index(pool, 0));
        assert_eq!(chosen, [0, 1, 2, 0]);
    }

    #[test]
    fn many_endpoints_are_written_down_only_if_equal() {
        let mut weights = vec![7; 20_000];
        assert_eq!(written(&weights).map(|turns| turns.len()), Some(20_000));
        weights[0] = 14;
        assert!(written(&weights).is_none());
        assert!(written(&vec![1; 70_000]).is_none());
    }
}
