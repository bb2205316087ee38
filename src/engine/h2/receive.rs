//! What comes from the other end: frames, in order, each a change of the state (RFC 9113 sections 5 and 6).

use bytes::{Buf, BytesMut};

use super::{
    send::LAST_CALL,
    state::{Arrival, Block, Role, State},
    streams::Key,
};
use crate::{
    engine::budget::Defence,
    gateway::{Fault, Violation},
    http::{
        BodyLength, HeadError, Method, content_length,
        h2::{
            BlockError,
            frame::{
                FIRST_WINDOW, FrameHead, HEAD, LARGEST_WINDOW, MOST_PAYLOAD, PREFACE, code, flag,
                kind, number, setting, settings, without_padding, write_frame,
            },
            read_request, read_response, read_trailers, skip_block,
        },
        request_body,
    },
};

/// CONTINUATION frames of one head; the longest head that is allowed needs a few.
const MOST_CONTINUATIONS: u32 = 128;
/// Bytes of a field block for each byte that a decoded head may have: the worst of Huffman codes has four for one.
const BLOCK_FACTOR: usize = 4;
/// A body's piece is copied if it is shorter, so that few bytes do not hold on to a large buffer.
const COPIED: usize = 4096;
/// Interim responses that wait for their exchange.
const MOST_INTERIM: usize = 32;

impl State {
    /// Goes on with what has come.
    pub(super) fn parse(&mut self) {
        let mut inbound = std::mem::take(&mut self.receiving.inbound);
        self.receiving.heard |= !inbound.is_empty();
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
            kind::SETTINGS => payload.len() % 6 == 0,
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
            kind::PING if head.has(flag::ACK) => {
                if payload == LAST_CALL {
                    self.heard_last_call();
                }
            }
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

    fn headers(&mut self, head: FrameHead, payload: &[u8]) {
        let Some(mut fragment) = without_padding(head, payload) else {
            return self.fail(code::PROTOCOL_ERROR, None);
        };
        let mut is_own_parent = false;
        if head.has(flag::PRIORITY) {
            let Some((priority, rest)) = fragment.split_at_checked(5) else {
                return self.fail(code::FRAME_SIZE_ERROR, None);
            };
            is_own_parent = number(priority, 0) & LARGEST_WINDOW == head.stream;
            fragment = rest;
        }
        self.receiving.heads = self.receiving.heads.wrapping_add(1);
        let ends = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, ends, is_own_parent, fragment);
        }
        self.receiving.block = Some(Block {
            stream: head.stream,
            ends,
            is_own_parent,
            bytes: fragment.to_vec(),
            frames: 0,
        });
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8]) {
        let Some(block) = &mut self.receiving.block else {
            return;
        };
        block.frames += 1;
        let most = self.terms.head.bytes.saturating_mul(BLOCK_FACTOR);
        if block.frames > MOST_CONTINUATIONS || block.bytes.len() + payload.len() > most {
            return self.fail(code::ENHANCE_YOUR_CALM, Some(Defence::Continuation));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS)
            && let Some(block) = self.receiving.block.take()
        {
            self.block(block.stream, block.ends, block.is_own_parent, &block.bytes);
        }
    }

    /// A whole field block has come.
    fn block(&mut self, id: u32, ends: bool, is_own_parent: bool, block: &[u8]) {
        let opens = self.role == Role::Server && id > self.highest;
        if opens {
            if id % 2 == 0 {
                return self.fail(code::PROTOCOL_ERROR, None);
            }
            return self.request(id, ends, is_own_parent, block);
        }
        let Some(key) = self.streams.find(id) else {
            if id > self.highest || id % 2 == 0 {
                return self.fail(code::PROTOCOL_ERROR, None);
            }
            if self.role == Role::Server && !self.was_reset(id) && id <= self.last {
                return self.fail(code::STREAM_CLOSED, None);
            }
            return self.skip(block);
        };
        let slot = self.streams.get(key);
        if slot.is_some_and(|slot| slot.ended_in) {
            return self.fail(code::STREAM_CLOSED, None);
        }
        match self.role {
            Role::Client if slot.is_some_and(|slot| !slot.answered) => {
                self.response(key, ends, block);
            }
            Role::Client | Role::Server => self.trailers(key, ends, block),
        }
    }

    /// Nobody wants the fields, but those that come later may refer to them.
    fn skip(&mut self, block: &[u8]) {
        let skipped = skip_block(&mut self.receiving.decoder, block, &self.terms.head);
        if let Err(error) = skipped {
            let _ = self.survives(error);
        }
    }

    /// What is wrong with a head alone; an error of the whole connection ends that.
    fn survives(&mut self, error: BlockError) -> Option<Result<Violation, HeadError>> {
        match error {
            BlockError::Compression => self.fail(code::COMPRESSION_ERROR, None),
            BlockError::Bomb => self.fail(code::ENHANCE_YOUR_CALM, Some(Defence::HeaderBomb)),
            BlockError::Malformed => return Some(Ok(Violation::MalformedHead)),
            BlockError::Refused(error) => return Some(Err(error)),
        }
        None
    }

    fn request(&mut self, id: u32, ends: bool, is_own_parent: bool, block: &[u8]) {
        self.highest = id;
        self.budget.moved();
        if id > self.last {
            return self.skip(block);
        }
        if self.streams.count() >= self.terms.streams {
            self.skip(block);
            self.write_reset(id, code::REFUSED_STREAM);
            self.taken = id;
            let fault = Fault::Http2(Violation::TooManyStreams);
            return self.arrivals.push_back(Arrival::Refused(fault));
        }
        let mut scratch = self.worker.scratch();
        scratch.request.clear();
        let head = &mut scratch.request;
        let read = read_request(&mut self.receiving.decoder, block, head, &self.terms.head);
        let length = match read {
            Err(error) => match self.survives(error) {
                None => return,
                Some(Ok(_)) => Err(None),
                Some(Err(error)) => Err(Some(error)),
            },
            Ok(()) => {
                let announced = content_length(&scratch.request.fields);
                match announced.and_then(|known| Ok((known, request_body(&scratch.request)?))) {
                    // It was announced, and nothing follows.
                    Ok((Some(1..), _)) if ends => Err(None),
                    Ok(_) if ends => Ok(BodyLength::Empty),
                    Ok((_, length)) => Ok(length),
                    Err(_) => Err(None),
                }
            }
        };
        self.taken = id;
        let length = match length {
            _ if is_own_parent => Err(None),
            known => known,
        };
        let length = match length {
            Ok(length) => Ok(length),
            Err(Some(error)) => Err(error),
            Err(None) => {
                self.worker.reuse(scratch);
                let fault = Fault::Http2(Violation::MalformedHead);
                self.arrivals.push_back(Arrival::Refused(fault));
                return self.refuse(id, code::PROTOCOL_ERROR);
            }
        };
        let window = self.window_of_streams();
        let key = self.streams.open(id, window, self.sending.stream_window);
        if let Some(slot) = self.streams.get_mut(key) {
            slot.ended_in = ends;
            slot.remaining = match length {
                Ok(BodyLength::Exact(bytes)) => Some(bytes),
                _ => None,
            };
        }
        self.arrivals.push_back(Arrival::Request {
            key,
            scratch,
            length,
        });
    }

    /// What the other end believes that it may send on a new stream.
    pub(super) const fn window_of_streams(&self) -> u32 {
        if self.receiving.acknowledged {
            self.terms.stream_window
        } else {
            FIRST_WINDOW
        }
    }

    fn response(&mut self, key: Key, ends: bool, block: &[u8]) {
        let mut scratch = self.worker.scratch();
        let mut head = std::mem::take(&mut scratch.response);
        self.worker.reuse(scratch);
        let decoder = &mut self.receiving.decoder;
        if let Err(error) = read_response(decoder, block, &mut head, &self.terms.head) {
            if let Some(refused) = self.survives(error) {
                // HTTP/2 has no such status (RFC 9113 section 8.6): there is no connection to switch.
                let fault = match refused.err().unwrap_or(HeadError::BadStatusLine) {
                    HeadError::BadStatusLine if head.status == 101 => Fault::UpstreamProtocol,
                    error => Fault::UpstreamMalformed(error),
                };
                self.malformed(key, fault);
            }
            return;
        }
        let is_interim = (100..200).contains(&head.status);
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        let announced = match content_length(&head.fields) {
            Ok(length) => length,
            Err(error) => return self.malformed(key, Fault::UpstreamMalformed(error)),
        };
        let is_flood = is_interim && slot.heads.len() >= MOST_INTERIM;
        if (is_interim && ends) || is_flood {
            return self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Protocol);
        }
        if !is_interim {
            slot.answered = true;
            let bodiless = slot.bodiless || matches!(head.status, 204 | 304);
            slot.remaining = announced.filter(|_| !bodiless);
            if ends && matches!(slot.remaining, Some(1..)) {
                return self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Length);
            }
            slot.ended_in = ends;
        }
        slot.heads.push_back(head);
        slot.wake();
        self.streams.settle(key);
    }

    /// An endpoint's head is outside the grammar or the limits.
    fn malformed(&mut self, key: Key, fault: Fault) {
        if let Some(slot) = self.streams.get_mut(key) {
            slot.fault.get_or_insert(fault);
        }
        self.refuse_open(key, code::PROTOCOL_ERROR, Violation::MalformedHead);
    }

    fn trailers(&mut self, key: Key, ends: bool, block: &[u8]) {
        let decoder = &mut self.receiving.decoder;
        let trailers = match read_trailers(decoder, block, &self.terms.head) {
            Ok(trailers) => trailers,
            Err(error) => {
                if self.survives(error).is_some() {
                    self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Protocol);
                }
                return;
            }
        };
        if !ends {
            return self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Protocol);
        }
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        if matches!(slot.remaining, Some(1..)) {
            return self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Length);
        }
        slot.trailers = trailers;
        slot.ended_in = true;
        slot.wake();
        self.streams.settle(key);
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
        if head.stream > self.highest || head.stream % 2 == 0 {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        self.release_connection(head.length);
        if !self.was_reset(head.stream) && head.stream <= self.last {
            self.refuse(head.stream, code::STREAM_CLOSED);
        }
    }

    fn priority(&mut self, id: u32, payload: &[u8]) {
        if number(payload, 0) & LARGEST_WINDOW != id {
            return;
        }
        if let Some(key) = self.streams.find(id) {
            self.refuse_open(key, code::PROTOCOL_ERROR, Violation::Protocol);
        }
    }

    fn reset_came(&mut self, id: u32, error: u32) {
        if id > self.highest || id % 2 == 0 {
            return self.fail(code::PROTOCOL_ERROR, None);
        }
        let fault = match (self.role, error) {
            (Role::Server, _) => Fault::ClientGone,
            (Role::Client, code::REFUSED_STREAM) => Fault::UpstreamRefused,
            (Role::Client, _) => Fault::UpstreamClosed,
        };
        let Some(key) = self.streams.find(id) else {
            return;
        };
        if let Some(slot) = self.streams.get_mut(key) {
            slot.fault.get_or_insert(fault);
            slot.wake();
        }
        self.streams.settle(key);
    }

    fn settings_acknowledged(&mut self) {
        if std::mem::replace(&mut self.receiving.acknowledged, true) {
            return;
        }
        let change = i64::from(self.terms.stream_window) - i64::from(FIRST_WINDOW);
        self.streams.each_open(|slot| slot.receive_window += change);
    }

    fn settings(&mut self, payload: &[u8]) {
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
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - i64::from(self.sending.stream_window);
                    self.sending.stream_window = value;
                    self.change_windows(change);
                }
                setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                    return self.fail(code::PROTOCOL_ERROR, None);
                }
                // Longer ones would keep other streams waiting.
                setting::MAX_FRAME_SIZE => {}
                _ => {}
            }
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
        if id > self.highest || id % 2 == 0 {
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

    /// The number of the head that the other end is in the middle of.
    pub(super) fn open_head(&self) -> Option<u64> {
        let receiving = &self.receiving;
        (receiving.in_head || receiving.block.is_some()).then_some(receiving.heads)
    }

    /// Whether the other end has begun a request and not said what it is.
    pub(super) fn has_half_a_head(&self) -> bool {
        let block = self.receiving.block.as_ref();
        block.is_some_and(|block| block.stream > self.highest && block.stream <= self.last)
    }

    /// Whether the answer to that method has no body.
    pub(super) fn is_bodiless(method: &Method) -> bool {
        *method == Method::Head
    }
}
