//! An HTTP/2 client that writes its frames by hand, and so can send what no library would.

use super::Client;

/// A client's connection whose frames are the test's.
pub(crate) struct RawH2 {
    client: Client,
    /// What the gateway has announced: identifier and value (RFC 9113 section 6.5).
    settings: Vec<(u16, u32)>,
    /// Whether PING frames are acknowledged.
    pub(crate) answers_pings: bool,
    /// Whether the gateway's SETTINGS are.
    pub(crate) acknowledges: bool,
}

/// What became of a stream of `RawH2`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// A response whose status is one of HPACK's static table; 0 for another one.
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl RawH2 {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const ACK: u8 = 1;

    /// Takes over a connection on which the preface and more may have been sent.
    pub(crate) const fn on(client: Client) -> Self {
        Self {
            client,
            settings: Vec::new(),
            answers_pings: true,
            acknowledges: true,
        }
    }

    /// Takes over a fresh connection and sends the preface.
    pub(crate) async fn over(mut client: Client) -> Self {
        client.send(PREFACE).await;
        let mut raw = Self::on(client);
        raw.frame(Self::SETTINGS, 0, 0, &[]).await;
        raw
    }

    /// Writes a frame; false when the gateway has hung up.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.bytes(&frame(kind, flags, stream, payload)).await
    }

    /// Writes frames as they are; false when the gateway has hung up.
    pub(crate) async fn bytes(&mut self, frames: &[u8]) -> bool {
        self.client.try_send(frames).await.is_ok()
    }

    /// A request head; with `end` there is no body.
    pub(crate) async fn headers(&mut self, stream: u32, fields: &[(&[u8], &[u8])], end: bool) {
        let block = block(fields);
        let flags = Self::END_HEADERS | if end { Self::END_STREAM } else { 0 };
        self.frame(Self::HEADERS, flags, stream, &block).await;
    }

    pub(crate) async fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let flags = if end { Self::END_STREAM } else { 0 };
        self.frame(Self::DATA, flags, stream, bytes).await;
    }

    /// Reads frames until something is decided about `stream`, answering SETTINGS and PING.
    pub(crate) async fn end_of(&mut self, stream: u32) -> StreamEnd {
        while let Some(frame) = self.next_frame().await {
            let number = |at: usize| {
                frame
                    .payload
                    .get(at..at + 4)
                    .and_then(|four| four.try_into().ok())
                    .map_or(0, u32::from_be_bytes)
            };
            match frame.kind {
                Self::RST_STREAM if frame.stream == stream => return StreamEnd::Reset(number(0)),
                Self::GOAWAY => return StreamEnd::GoAway(number(4)),
                Self::HEADERS if frame.stream == stream => {
                    return StreamEnd::Status(static_status(&frame.payload));
                }
                _ => {}
            }
        }
        StreamEnd::Closed
    }

    /// Reads frames until the response to `stream`, past a GOAWAY that lets it end.
    pub(crate) async fn status_of(&mut self, stream: u32) -> Option<u16> {
        loop {
            match self.end_of(stream).await {
                StreamEnd::Status(status) => return Some(status),
                StreamEnd::GoAway(0) => {}
                StreamEnd::GoAway(_) | StreamEnd::Reset(_) | StreamEnd::Closed => return None,
            }
        }
    }

    /// Waits for the gateway's first word, with which it has taken the connection for one of HTTP/2.
    pub(crate) async fn until_greeted(&mut self) {
        let greeting = self.next_frame().await.expect("a greeting");
        assert_eq!(greeting.kind, Self::SETTINGS);
    }

    /// Reads frames until the gateway ends the connection.
    pub(crate) async fn until_closed(&mut self) {
        while self.next_frame().await.is_some() {}
    }

    /// The value that the gateway has announced for a setting.
    pub(crate) fn setting(&self, identifier: u16) -> Option<u32> {
        self.settings
            .iter()
            .rev()
            .find(|(other, _)| *other == identifier)
            .map(|(_, value)| *value)
    }

    /// The next frame, or nothing at the end of the connection.
    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        let head = self.client.try_bytes(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.client.try_bytes(length).await?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        };
        if frame.kind == Self::SETTINGS && frame.flags & Self::ACK == 0 {
            self.settings
                .extend(frame.payload.chunks_exact(6).map(|six| {
                    let value = u32::from_be_bytes([six[2], six[3], six[4], six[5]]);
                    (u16::from_be_bytes([six[0], six[1]]), value)
                }));
            if self.acknowledges {
                self.frame(Self::SETTINGS, Self::ACK, 0, &[]).await;
            }
        }
        if frame.kind == Self::PING && frame.flags & Self::ACK == 0 && self.answers_pings {
            let payload = frame.payload.clone();
            self.frame(Self::PING, Self::ACK, 0, &payload).await;
        }
        Some(frame)
    }
}

/// All that a client sends for one request on a new connection: the preface, its settings, and stream 1.
pub(crate) fn opening(fields: &[(&[u8], &[u8])], body: &[u8]) -> Vec<u8> {
    let ends = if body.is_empty() {
        RawH2::END_STREAM
    } else {
        0
    };
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(RawH2::SETTINGS, 0, 0, &[]));
    bytes.extend(frame(
        RawH2::HEADERS,
        RawH2::END_HEADERS | ends,
        1,
        &block(fields),
    ));
    if !body.is_empty() {
        bytes.extend(frame(RawH2::DATA, RawH2::END_STREAM, 1, body));
    }
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field block of literals (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        literal(name, &mut block);
        literal(value, &mut block);
    }
    block
}

/// A string literal of HPACK without Huffman coding.
fn literal(text: &[u8], block: &mut Vec<u8>) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).expect("a small length"));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("seven bits"));
    }
    block.extend_from_slice(text);
}

/// The status of a response whose first field is an entry of the static table (RFC 7541 appendix A).
fn static_status(block: &[u8]) -> u16 {
    // A change of the table's size may stand before the first field.
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match first {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8a) => 206,
        Some(0x8b) => 304,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}
