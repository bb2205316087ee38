//! What comes from the other end: frames, in order, each a change of the state (RFC 9113 sections 5 and 6).

use bytes::{Buf, BytesMut};

use super::{
    send::LAST_CALL,
    state::{Role, State},
};
use crate::{
    gateway::{Fault, Violation},
    http::h2::frame::{
        FIRST_WINDOW, FrameHead, HEAD, LARGEST_WINDOW, MOST_PAYLOAD, PREFACE, code, flag, kind,
        number, setting, settings, without_padding, write_frame,
    },
};

/// A body's piece is copied if it is shorter, so that few bytes do not hold on to a large buffer.
const COPIED: usize = 4096;

impl State {
    /// Goes on with what has come.
    pub(super) fn parse(&mut self) {
        let mut inbound = std::mem::take(&mut self.receiving.inbound);
        self.receiving.heard += u64::from(!inbound.is_empty());
        self.parse_frames(&mut inbound);
        if self.end.is_some() {
            inbound.clear();
        }
        self.receiving.inbound = inbound;
    }

    fn parse_frames(&mut self, inbound: &mut BytesMut) {
        if !self.passes_preface(inbound) {
            return;
        }
        self.receiving.in_head = false;
        while self.end.is_none() {
            let Some(head) = FrameHead::read(inbound) else {
                return;
            };
            if head.length > MOST_PAYLOAD {
                return self.fail(code::FRAME_SIZE_ERROR, None);
            }
            let whole = HEAD + head.length;
            let Some(payload) = inbound.get(HEAD..whole) else {
                let starts = head.kind == kind::HEADERS;
                self.receiving.in_head = starts || head.kind == kind::CONTINUATION;
                if inbound.capacity() < whole {
                    inbound.reserve(whole - inbound.len());
                }
                return;
            };
            if !self.may_come(head) {
                return self.fail(code::PROTOCOL_ERROR, None);
            }
            let spent = self.budget.spend(head, std::time::Instant::now);
            if let Some(defence) = spent {
                return self.fail(code::ENHANCE_YOUR_CALM, Some(defence));
            }
            if head.kind == kind::DATA {
                self.data(head, inbound);
            } else {
                self.frame(head, payload);
                inbound.advance(whole);
            }
        }
    }

    /// Passes over the preface; `false` until all of it is there, or if it is none.
    fn passes_preface(&mut self, inbound: &mut BytesMut) -> bool {
        let left = self.receiving.preface;
        if left == 0 {
            return true;
        }
        let count = left.min(inbound.len());
        let from = PREFACE.len() - left;
        if inbound.get(..count) != PREFACE.get(from..from + count) {
            self.fail(code::PROTOCOL_ERROR, None);
            return false;
        }
        inbound.advance(count);
        self.receiving.preface = left - count;
        self.receiving.preface == 0
    }

    /// Whether a frame may stand here at all.
    fn may_come(&self, head: FrameHead) -> bool {
        if let Some(block) = &self.receiving.block {
            return head.kind == kind::CONTINUATION && head.stream == block.stream;
        }
        let is_of_connection = matches!(head.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        let is_of_stream = matches!(
            head.kind,
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM
        );
        let fits = match head.stream {
            0 => !is_of_stream,
            _ => !is_of_connection,
        };
        // Nobody was asked to promise anything.
        let is_known = !matches!(head.kind, kind::PUSH_PROMISE | kind::CONTINUATION);
        fits && is_known && (self.receiving.settled || head.kind == kind::SETTINGS)
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) {
        let has_length = match head.kind {
            kind::PRIORITY => payload.len() == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => payload.len() == 4,
            kind::PING => payload.len() == 8,
            kind::GOAWAY => payload.len() >= 8,
            kind::SETTINGS if head.has(flag::ACK) => payload.is_empty(),
            kind::SETTINGS => payload.len().is_multiple_of(6),
            _ => true,
        };
        if !has_length {
            return self.fail(code::FRAME_SIZE_ERROR, None);
        }
        match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::PRIORITY => self.priority(head.stream, payload),
            kind::RST_STREAM => self.reset_came(head.stream, number(payload, 0)),
            kind::SETTINGS if head.has(flag::ACK) => self.settings_acknowledged(),
            kind::SETTINGS => self.settings(payload),
            kind::PING if head.has(flag::ACK) && payload == LAST_CALL => self.heard_last_call(),
            kind::PING if head.has(flag::ACK) => {}
            kind::PING => {
                write_frame(kind::PING, flag::ACK, 0, payload, &mut self.sending.out);
                self.kick();
            }
            kind::GOAWAY => self.goaway_came(number(payload, 0) & LARGEST_WINDOW),
            kind::WINDOW_UPDATE => {
                self.window_update(head.stream, number(payload, 0) & LARGEST_WINDOW);
            }
            _ => {}
        }
    }

    /// A frame of DATA stands at the front of `inbound`, all of it.
    fn data(&mut self, head: FrameHead, inbound: &mut BytesMut) {
        inbound.advance(HEAD);
        let frame = inbound.get(..head.length).unwrap_or_default();
        let Some(body) = without_padding(head, frame).map(<[u8]>::len) else {
            return self.fail(code::PROTOCOL_ERROR, None);
        };
        let counted = i64::try_from(head.length).unwrap_or(i64::MAX);
        // What stands before the body is the length of the padding.
        let before = usize::from(head.has(flag::PADDED));
        self.receiving.window -= counted;
        if self.receiving.window < 0 {
            return self.fail(code::FLOW_CONTROL_ERROR, None);
        }
        let ends = head.has(flag::END_STREAM);
        if body > 0 {
            self.budget.moved();
        } else if !ends && let Some(defence) = self.budget.spend_empty_data(std::time::Instant::now)
        {
            return self.fail(code::ENHANCE_YOUR_CALM, Some(defence));
        }
        let Some(key) = self.streams.find(head.stream) else {
            inbound.advance(head.length);
            return self.unexpected_data(head);
        };
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        if slot.ended_in {
            return self.fail(code::STREAM_CLOSED, None);
        }
        slot.receive_window -= counted;
        let length = body as u64;
        let wrong = if slot.receive_window < 0 {
            Some((code::FLOW_CONTROL_ERROR, Violation::FlowControl))
        } else if self.role == Role::Client && !slot.answered {
            Some((code::PROTOCOL_ERROR, Violation::Protocol))
        } else if slot
            .remaining
            .is_some_and(|left| left < length || (ends && left > length))
        {
            Some((code::PROTOCOL_ERROR, Violation::Length))
        } else {
            None
        };
        if let Some((error, violation)) = wrong {
            inbound.advance(head.length);
            self.release_connection(head.length);
            return self.refuse_open(key, error, violation);
        }
        if let Some(left) = &mut slot.remaining {
            *left = left.saturating_sub(length);
        }
        if body >= COPIED && slot.pending.is_empty() {
            inbound.advance(before);
            slot.pending = inbound.split_to(body);
            inbound.advance(head.length.saturating_sub(before + body));
        } else {
            let body = frame.get(before..before + body).unwrap_or_default();
            slot.pending.extend_from_slice(body);
            inbound.advance(head.length);
        }
        slot.ended_in = ends;
        slot.wake();
        self.streams.settle(key);
        // Padding is nobody's to take.
        self.release(key, head.length.saturating_sub(body));
    }

    /// DATA on a stream that is not open.
    fn unexpected_data(&mut self, head: FrameHead) {
        if head.stream > self.highest || head.stream.is_multiple_of(2) {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        self.release_connection(head.length);
        if !self.was_reset(head.stream) && head.stream <= self.last {
            self.refuse(head.stream, code::STREAM_CLOSED);
        }
    }

    /// Priorities mean nothing any more (RFC 9113 section 5.3.2). One stream that depends on itself is still refused, as
    /// RFC 7540 section 5.3.1 wants it and tests of conformity look for; where there is no stream, there is none to refuse.
    fn priority(&mut self, id: u32, payload: &[u8]) {
        if number(payload, 0) & LARGEST_WINDOW != id {
            return;
        }
        if let Some(key) = self.streams.find(id) {
            self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Protocol);
        }
    }

    fn reset_came(&mut self, id: u32, error: u32) {
        if id > self.highest || id.is_multiple_of(2) {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        let fault = match (self.role, error) {
            (Role::Server, _) => Fault::ClientGone,
            (Role::Client, code::REFUSED_STREAM) => Fault::UpstreamRefused,
            (Role::Client, _) => Fault::UpstreamClosed,
        };
        let Some(key) = self.streams.find(id) else {
            return self.came_late();
        };
        if let Some(slot) = self.streams.get_mut(key) {
            slot.fault.get_or_insert(fault);
            slot.wake();
        }
        self.streams.settle(key);
    }

    /// A reset or a head has come for a stream that has ended, or that nobody will look at. What an endpoint sends on
    /// streams that were given up is not its fault.
    pub(super) fn came_late(&mut self) {
        if self.role == Role::Server
            && let Some(defence) = self.budget.spend_late(std::time::Instant::now)
        {
            self.fail(code::ENHANCE_YOUR_CALM, Some(defence));
        }
    }

    fn settings_acknowledged(&mut self) {
        if std::mem::replace(&mut self.receiving.acknowledged, true) {
            return;
        }
        let change = i64::from(self.terms.stream_window) - i64::from(FIRST_WINDOW);
        self.streams.each_open(|slot| slot.receive_window += change);
    }

    fn settings(&mut self, payload: &[u8]) {
        let mut window = self.sending.stream_window;
        for (name, value) in settings(payload) {
            match name {
                setting::ENABLE_PUSH if value > u32::from(self.role == Role::Server) => {
                    return self.fail(code::PROTOCOL_ERROR, None);
                }
                setting::MAX_CONCURRENT_STREAMS => {
                    self.sending.streams = usize::try_from(value).unwrap_or(usize::MAX);
                }
                setting::INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => {
                    return self.fail(code::FLOW_CONTROL_ERROR, None);
                }
                // One frame may say so thousands of times. What all of it comes to is done once.
                setting::INITIAL_WINDOW_SIZE => window = value,
                setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                    return self.fail(code::PROTOCOL_ERROR, None);
                }
                // Longer ones would keep other streams waiting.
                setting::MAX_FRAME_SIZE => {}
                _ => {}
            }
        }
        let before = std::mem::replace(&mut self.sending.stream_window, window);
        if before != window {
            self.change_windows(i64::from(window) - i64::from(before));
        }
        if self.end.is_some() {
            return;
        }
        self.receiving.settled = true;
        write_frame(kind::SETTINGS, flag::ACK, 0, &[], &mut self.sending.out);
        self.kick();
    }

    /// The other end takes more, or less, on every stream.
    fn change_windows(&mut self, change: i64) {
        let mut overflows = false;
        self.streams.each_open(|slot| {
            slot.send_window += change;
            overflows |= slot.send_window > i64::from(LARGEST_WINDOW);
            if change > 0 {
                slot.wake();
            }
        });
        if overflows {
            self.fail(code::FLOW_CONTROL_ERROR, None);
        }
    }

    fn window_update(&mut self, id: u32, more: u32) {
        if more == 0 {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        if id == 0 {
            self.sending.window += i64::from(more);
            if self.sending.window > i64::from(LARGEST_WINDOW) {
                return self.fail(code::FLOW_CONTROL_ERROR, None);
            }
            return self.wake_waiting();
        }
        if id > self.highest || id.is_multiple_of(2) {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        let Some(key) = self.streams.find(id) else {
            return;
        };
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        slot.send_window += i64::from(more);
        if slot.send_window > i64::from(LARGEST_WINDOW) {
            return self.refuse_open(key, code::FLOW_CONTROL_ERROR, Violation::FlowControl);
        }
        slot.wake();
    }

    fn goaway_came(&mut self, last: u32) {
        self.refuses = true;
        if self.role == Role::Client {
            // Those above were not looked at.
            self.streams
                .end_where(Fault::UpstreamRefused, |slot| slot.id > last);
            self.leave();
        }
    }
}
