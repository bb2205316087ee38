//! The streams of one connection: what of each is on the wire, and what waits for its exchange.

use std::{
    collections::VecDeque,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::BytesMut;

use crate::{
    gateway::Fault,
    http::{Fields, ResponseHead},
};

/// What a slot keeps for its next stream.
const KEPT: usize = 8 * 1024;
/// How long nothing has to come from an endpoint that was asked for something until it counts as silent. An answer may
/// take as long without anything being wrong; what is lost then is a connection.
const SILENCE: Duration = Duration::from_secs(1);

/// Where a stream's slot is. It is the stream's own as long as its exchange holds on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) id: u32,
    /// What has come of the body, and nobody has taken.
    pub(super) pending: BytesMut,
    /// What followed it.
    pub(super) trailers: Option<Fields>,
    /// How much of the body is still to come, if that was announced.
    pub(super) remaining: Option<u64>,
    /// What the other end may still send, and what of it was taken here and not given back yet.
    pub(super) receive_window: i64,
    pub(super) unreleased: u32,
    /// Whether the other end has said that it is at its end, and whether we have.
    pub(super) ended_in: bool,
    pub(super) ended_out: bool,
    /// What we may still send.
    pub(super) send_window: i64,
    /// Why nothing comes and goes any more.
    pub(super) fault: Option<Fault>,
    /// Heads of responses that have come: the interim ones, and the final one.
    pub(super) heads: VecDeque<ResponseHead>,
    /// Whether the final one has come.
    pub(super) answered: bool,
    /// When an endpoint was asked for the answer, and how often something had come from it by then.
    pub(super) asked: Option<(Instant, u64)>,
    /// Whether the answer has no body whatever its length says: it is one to HEAD.
    pub(super) bodiless: bool,
    /// Whether it stands in the line of those who wait for room.
    pub(super) waits: bool,
    /// The round in which it was called to take room, until it has; the one in which it last took some.
    pub(super) called: u64,
    pub(super) served: u64,
    /// The exchange's task.
    owner: Option<Waker>,
}

/// All streams of one connection that are open on the wire or that an exchange holds on to.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Those that are open on the wire, in order of their numbers: these only grow.
    open: Vec<(u32, usize)>,
}

impl Streams {
    /// A new stream, with a number above all others.
    pub(super) fn open(&mut self, id: u32, receive_window: u32, send_window: u32) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(place) {
            slot.id = id;
            slot.receive_window = i64::from(receive_window);
            slot.send_window = i64::from(send_window);
        }
        self.open.push((id, place));
        Key(place)
    }

    /// How many are open on the wire.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The stream of that number, if it is open on the wire.
    pub(super) fn find(&self, id: u32) -> Option<Key> {
        let at = self.place(id)?;
        self.open.get(at).map(|(_, place)| Key(*place))
    }

    fn place(&self, id: u32) -> Option<usize> {
        // Most questions are about one of the few latest.
        self.open.binary_search_by_key(&id, |(open, _)| *open).ok()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.0)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.0)
    }

    /// Notes that a stream is closed on the wire, if it is.
    pub(super) fn settle(&mut self, key: Key) {
        let closed = self.get(key).filter(|slot| slot.is_closed());
        if let Some(at) = closed.and_then(|slot| self.place(slot.id)) {
            self.open.remove(at);
        }
    }

    /// The exchange lets go of its stream, which is closed. `spare` is the memory of a piece.
    pub(super) fn free(&mut self, key: Key, spare: BytesMut) {
        if let Some(slot) = self.slots.get_mut(key.0) {
            let mut pending = std::mem::take(&mut slot.pending);
            if !reclaims(&mut pending) {
                pending = spare;
                reclaims(&mut pending);
            }
            let mut heads = std::mem::take(&mut slot.heads);
            heads.clear();
            *slot = Slot {
                pending: if (1..=KEPT).contains(&pending.capacity()) {
                    pending
                } else {
                    BytesMut::new()
                },
                heads,
                ..Slot::default()
            };
            self.free.push(key.0);
        }
        if self.free.len() == self.slots.len() && self.slots.len() > 32 {
            // A burst is over.
            self.slots.truncate(0);
            self.slots.shrink_to(0);
            self.free = Vec::new();
        }
    }

    /// All that are open on the wire, with their numbers.
    pub(super) fn each_open(&mut self, mut each: impl FnMut(&mut Slot)) {
        for (_, place) in &self.open {
            if let Some(slot) = self.slots.get_mut(*place) {
                each(slot);
            }
        }
    }

    /// Ends those that `ends` finds: nothing comes or goes on them any more.
    pub(super) fn end_where(&mut self, fault: Fault, ends: impl Fn(&Slot) -> bool) {
        let Self { slots, open, .. } = self;
        open.retain(|(_, place)| match slots.get_mut(*place) {
            Some(slot) if ends(slot) => {
                slot.fault.get_or_insert(fault);
                slot.wake();
                false
            }
            Some(_) => true,
            None => false,
        });
    }
}

/// Whether there is memory in a buffer that is no longer used.
fn reclaims(buffer: &mut BytesMut) -> bool {
    buffer.clear();
    buffer.try_reclaim(1)
}

impl Slot {
    /// Whether it is closed on the wire.
    pub(super) const fn is_closed(&self) -> bool {
        (self.ended_in && self.ended_out) || self.fault.is_some()
    }

    /// Whether an endpoint, from which something has come so often, has been silent since it was asked, although it is
    /// its turn: it has the whole request, or takes no more of it.
    pub(super) fn is_unheard(&self, heard: u64, now: impl FnOnce() -> Instant) -> bool {
        let is_its_turn = self.ended_out || self.waits || self.send_window <= 0;
        self.asked.is_some_and(|(since, before)| {
            is_its_turn && before == heard && now().saturating_duration_since(since) >= SILENCE
        })
    }

    /// Wakes the exchange.
    pub(super) fn wake(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// The exchange waits for something to happen on the stream.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        let known = self.owner.as_ref();
        if !known.is_some_and(|owner| owner.will_wake(cx.waker())) {
            self.owner = Some(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_silent_if_nothing_comes_for_a_second_while_it_is_its_turn() {
        let asked = Instant::now();
        let whole = Slot {
            asked: Some((asked, 7)),
            ended_out: true,
            send_window: 1,
            ..Slot::default()
        };
        assert!(whole.is_unheard(7, || asked + SILENCE));
        assert!(!whole.is_unheard(7, || asked + SILENCE / 2));
        assert!(!whole.is_unheard(8, || asked + SILENCE * 60));

        let begun = Slot {
            ended_out: false,
            ..whole
        };
        assert!(!begun.is_unheard(7, || asked + SILENCE * 60));
        let without_window = Slot {
            send_window: 0,
            ..begun
        };
        assert!(without_window.is_unheard(7, || asked + SILENCE));
        let without_room = Slot {
            send_window: 1,
            waits: true,
            ..without_window
        };
        assert!(without_room.is_unheard(7, || asked + SILENCE));
    }
}
