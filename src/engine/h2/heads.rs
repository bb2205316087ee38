//! Heads that come from the other end: their blocks, and what becomes of what they say (RFC 9113 sections 6.2, 6.10
//! and 8).

use super::{
    state::{Arrival, Block, Role, State},
    streams::Key,
};
use crate::{
    engine::budget::Defence,
    gateway::{Fault, Violation},
    http::{
        BodyLength, HeadError, RequestHead, content_length,
        h2::{
            BlockError,
            frame::{FIRST_WINDOW, FrameHead, LARGEST_WINDOW, code, flag, number, without_padding},
            read_request, read_response, read_trailers, skip_block,
        },
        request_body,
    },
};

/// CONTINUATION frames of one head; the longest head that is allowed needs a few.
const MOST_CONTINUATIONS: u32 = 128;
/// Bytes of a field block for each byte that a decoded head may have: the worst of Huffman codes has four for one.
const BLOCK_FACTOR: usize = 4;
/// Interim responses that wait for their exchange.
const MOST_INTERIM: usize = 32;

/// What is wrong with a request's head.
enum Wrong {
    /// It is no request in HTTP/2's own terms.
    Malformed,
    /// It is one that is answered with this.
    Refused(HeadError),
}

impl State {
    pub(super) fn headers(&mut self, head: FrameHead, payload: &[u8]) {
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

    pub(super) fn continuation(&mut self, head: FrameHead, payload: &[u8]) {
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
            if id.is_multiple_of(2) {
                return self.fail(code::PROTOCOL_ERROR, None);
            }
            return self.request(id, ends, is_own_parent, block);
        }
        let Some(key) = self.streams.find(id) else {
            if id > self.highest || id.is_multiple_of(2) {
                return self.fail(code::PROTOCOL_ERROR, None);
            }
            if !self.was_reset(id) && id <= self.last {
                // One that never was is no stream that has ended (RFC 9113 section 5.1.1).
                let (lowest, highest) = self.skipped;
                let error = if (lowest..=highest).contains(&id) {
                    code::PROTOCOL_ERROR
                } else {
                    code::STREAM_CLOSED
                };
                return self.fail(error, None);
            }
            self.skip(block);
            return self.came_late();
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
    fn survives(&mut self, error: BlockError) -> Option<Wrong> {
        match error {
            BlockError::Compression => self.fail(code::COMPRESSION_ERROR, None),
            BlockError::Bomb => self.fail(code::ENHANCE_YOUR_CALM, Some(Defence::HeaderBomb)),
            BlockError::Malformed => return Some(Wrong::Malformed),
            BlockError::Refused(error) => return Some(Wrong::Refused(error)),
        }
        None
    }

    fn request(&mut self, id: u32, ends: bool, is_own_parent: bool, block: &[u8]) {
        if id > self.highest.saturating_add(2) {
            self.skipped = (self.highest + 1, id - 1);
        }
        self.highest = id;
        if id > self.last {
            self.skip(block);
            return self.came_late();
        }
        self.budget.moved();
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
            Ok(()) if is_own_parent => Err(Wrong::Malformed),
            Ok(()) => length_of(&scratch.request, ends),
            Err(error) => match self.survives(error) {
                None => return,
                Some(Wrong::Refused(_)) if is_own_parent => Err(Wrong::Malformed),
                Some(wrong) => Err(wrong),
            },
        };
        self.taken = id;
        let length = match length {
            Ok(length) => Ok(length),
            Err(Wrong::Refused(error)) => Err(error),
            Err(Wrong::Malformed) => {
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
                let fault = match refused {
                    Wrong::Refused(HeadError::BadStatusLine) if head.status == 101 => {
                        Fault::UpstreamProtocol
                    }
                    Wrong::Refused(error) => Fault::UpstreamMalformed(error),
                    Wrong::Malformed => Fault::UpstreamMalformed(HeadError::BadStatusLine),
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
}

/// The length of a request's body. A length of which nothing follows, or that is no number, makes it none (RFC 9113
/// section 8.1.1).
fn length_of(head: &RequestHead, ends: bool) -> Result<BodyLength, Wrong> {
    let announced = content_length(&head.fields).map_err(|_| Wrong::Malformed)?;
    match announced {
        Some(1..) if ends => Err(Wrong::Malformed),
        _ if ends => Ok(BodyLength::Empty),
        _ => request_body(head).map_err(|_| Wrong::Malformed),
    }
}
