//! What exchanges send: heads, pieces of bodies, ends of streams. Frames stand in `out` in the order in which they go.

use bytes::BytesMut;

use super::{
    state::{Role, State},
    streams::Key,
};
use crate::{
    engine::budget::SMALL_PIECE,
    gateway::{Fault, Violation},
    http::{
        Fields, HeadError,
        h2::{
            Encoder,
            frame::{FrameHead, LARGEST_WINDOW, code, flag, kind, write_block, write_frame},
            write_trailers,
        },
    },
};

/// The last stream of a GOAWAY that leaves out none.
pub(super) const EVERY_STREAM: u32 = LARGEST_WINDOW;
/// The payload of the PING that asks whether that has arrived.
pub(super) const LAST_CALL: [u8; 8] = *b"lastcall";
/// Room for less is no room: a response does not go out in crumbs because the socket is slow.
const WORTHWHILE: usize = 1024;

/// How much of a body may go out now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grant {
    Bytes(usize),
    /// The exchange will be woken.
    Later,
}

impl State {
    /// Puts a head on the stream, the last of it if `ends`. `write` appends the field block.
    pub(super) fn send_head(
        &mut self,
        key: Key,
        ends: bool,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), HeadError>,
    ) -> Result<(), Result<Fault, HeadError>> {
        let gone = self.gone();
        let slot = self.streams.get_mut(key).ok_or(Ok(gone))?;
        if let Some(fault) = slot.fault {
            return Err(Ok(fault));
        }
        if slot.ended_out {
            return Err(Ok(gone));
        }
        let (sending, id) = (&mut self.sending, slot.id);
        let encoder = &mut sending.encoder;
        write_block(id, ends, sending.frame, &mut sending.out, |out| {
            write(encoder, out)
        })
        .map_err(Err)?;
        if ends {
            slot.ended_out = true;
            self.streams.settle(key);
        }
        self.kick();
        Ok(())
    }

    /// How much of a piece of that size the other end and the socket take now.
    pub(super) fn grant(&mut self, key: Key, wanted: usize) -> Result<Grant, Fault> {
        let gone = self.gone();
        let slot = self.streams.get_mut(key).ok_or(gone)?;
        if let Some(fault) = slot.fault {
            return Err(fault);
        }
        if slot.ended_out {
            return Err(gone);
        }
        let sending = &mut self.sending;
        let room = self.terms.send_buffer.saturating_sub(sending.unwritten());
        let is_full = room < wanted.min(WORTHWHILE).min(self.terms.send_buffer);
        let was_called = slot.called == sending.round;
        // Who has had a piece in this round lets those pass who are called and have had none. The next round comes when
        // that piece is out.
        let is_served = slot.served == sending.round;
        let passes = is_served && !was_called && sending.called > 0;
        let has_room = slot.send_window > 0 && sending.window > 0 && !is_full;
        if was_called && !has_room {
            slot.called = 0;
            sending.called = sending.called.saturating_sub(1);
        }
        if slot.send_window <= 0 {
            return Ok(Grant::Later);
        }
        if !has_room || passes || slot.waits {
            if !std::mem::replace(&mut slot.waits, true) {
                let line = if is_served {
                    &mut sending.sated
                } else {
                    &mut sending.waiting
                };
                line.push_back(key);
            }
            return Ok(Grant::Later);
        }
        let window = usize::try_from(slot.send_window.min(sending.window)).unwrap_or(usize::MAX);
        let granted = wanted.min(sending.frame).min(room).min(window);
        if granted == window
            && granted < SMALL_PIECE
            && granted < wanted
            && let Some(defence) = self.budget.spend_small_piece(std::time::Instant::now)
        {
            self.fail(code::ENHANCE_YOUR_CALM, Some(defence));
            return Err(Fault::Http2(Violation::Excess));
        }
        Ok(Grant::Bytes(granted))
    }

    /// Puts a piece of the body on the stream that has been granted.
    pub(super) fn send_data(&mut self, key: Key, piece: &[u8], ends: bool) {
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        let head = FrameHead {
            length: piece.len(),
            kind: kind::DATA,
            flags: if ends { flag::END_STREAM } else { 0 },
            stream: slot.id,
        };
        let sending = &mut self.sending;
        sending.out.reserve(piece.len() + head.bytes().len());
        sending.out.extend_from_slice(&head.bytes());
        sending.out.extend_from_slice(piece);
        let length = i64::try_from(piece.len()).unwrap_or(i64::MAX);
        slot.send_window -= length;
        sending.window -= length;
        if slot.called == sending.round {
            slot.called = 0;
            sending.called = sending.called.saturating_sub(1);
        }
        slot.served = sending.round;
        if ends {
            slot.ended_out = true;
            self.streams.settle(key);
        }
        if !piece.is_empty() {
            self.budget.sent(piece.len());
        }
        self.kick();
    }

    /// Ends the body, with trailers if there are any.
    pub(super) fn finish(&mut self, key: Key, trailers: Option<&Fields>) -> Result<(), Fault> {
        let trailers = trailers.filter(|fields| !fields.is_empty());
        if let Some(fields) = trailers {
            return self
                .send_head(key, true, |encoder, out| {
                    write_trailers(encoder, fields, out);
                    Ok(())
                })
                .map_err(|refused| refused.unwrap_or(Fault::Internal));
        }
        let gone = self.gone();
        let slot = self.streams.get(key).ok_or(gone)?;
        match slot.fault {
            Some(fault) => Err(fault),
            None if slot.ended_out => Ok(()),
            None => {
                self.send_data(key, &[], true);
                Ok(())
            }
        }
    }

    /// Ends the stream so that nobody can take what went out for all.
    pub(super) fn reset(&mut self, key: Key, error: u32) {
        let gone = self.gone();
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        if slot.is_closed() {
            return;
        }
        slot.fault = Some(gone);
        let id = slot.id;
        self.streams.settle(key);
        self.write_reset(id, error);
    }

    /// The exchange lets go of its stream; `piece` is what it had in hand.
    pub(super) fn let_go(&mut self, key: Key, piece: BytesMut) {
        let Some(slot) = self.streams.get(key) else {
            return;
        };
        let untaken = slot.pending.len() + piece.len();
        let waits = slot.waits;
        let is_unheard = slot.is_unheard(self.receiving.heard, std::time::Instant::now);
        // The answer is out, and only the rest of the request is not wanted (RFC 9113 section 8.1).
        let error = match self.role {
            Role::Server if slot.ended_out => code::NO_ERROR,
            Role::Server | Role::Client => code::CANCEL,
        };
        self.reset(key, error);
        self.release_connection(untaken);
        if waits {
            self.sending.waiting.retain(|waiting| *waiting != key);
            self.sending.sated.retain(|waiting| *waiting != key);
        }
        self.streams.free(key, piece);
        if is_unheard {
            // Nobody may be there any more, and TCP would not tell for a quarter of an hour. Whoever comes next has a new
            // connection, and who waits here goes on waiting.
            self.leave();
        }
        if self.leaving {
            self.kick();
        }
    }

    /// The exchange has taken bytes of the body: the other end may send as many more.
    pub(super) fn release(&mut self, key: Key, bytes: usize) {
        self.release_connection(bytes);
        let window = self.window_of_streams().min(self.terms.stream_window);
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        if slot.ended_in || slot.fault.is_some() {
            return;
        }
        slot.unreleased = slot.unreleased.saturating_add(length(bytes));
        if slot.unreleased >= window / 2 {
            let more = std::mem::take(&mut slot.unreleased);
            slot.receive_window += i64::from(more);
            let id = slot.id;
            self.write_window(id, more);
        }
    }

    /// The same for the connection alone: the stream has ended.
    pub(super) fn release_connection(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let receiving = &mut self.receiving;
        receiving.unreleased = receiving.unreleased.saturating_add(length(bytes));
        // Where others hold most of the window, the rest of it goes round in smaller pieces.
        let is_needed = i64::from(receiving.unreleased) >= receiving.window;
        if is_needed || receiving.unreleased >= self.terms.connection_window / 2 {
            let more = std::mem::take(&mut receiving.unreleased);
            receiving.window += i64::from(more);
            self.write_window(0, more);
        }
    }

    fn write_window(&mut self, stream: u32, more: u32) {
        if self.end.is_some() || self.sending.is_shut {
            // Nothing is said behind the last word.
            return;
        }
        let out = &mut self.sending.out;
        write_frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes(), out);
        self.kick();
    }

    /// There may be room for those that wait: they are called in the order in which they take of it.
    pub(super) fn wake_waiting(&mut self) {
        let sending = &mut self.sending;
        sending.round += 1;
        sending.called = 0;
        while let Some(key) = sending
            .waiting
            .pop_front()
            .or_else(|| sending.sated.pop_front())
        {
            if let Some(slot) = self.streams.get_mut(key) {
                slot.waits = false;
                slot.called = sending.round;
                sending.called += 1;
                slot.wake();
            }
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
