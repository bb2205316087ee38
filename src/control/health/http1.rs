//! A question over HTTP/1.1, on a connection of its own.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::probe::{AGENT, Answer, MOST_BODY, ProbeFault};
use crate::{
    http::{
        BodyLength, HeadError, HeadLimits, Method, ResponseHead,
        h1::{Chunk, ChunkDecoder, ChunkLimits, HeadScan, parse_response},
        response_body,
    },
    snapshot::HttpQuestion,
};

/// Asks and reads the answer: its body only if the question is about it. What is there by half of the time that is left
/// until `deadline` of a body that nobody wants is read away.
pub(super) async fn ask<S>(
    mut stream: S,
    (host, deadline): (&str, Instant),
    question: &HttpQuestion,
) -> Result<Answer, ProbeFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream
        .write_all(&request(host, question))
        .await
        .map_err(ProbeFault::Lost)?;
    stream.flush().await.map_err(ProbeFault::Lost)?;
    let mut buffer = Vec::with_capacity(1024);
    let head = final_head(&mut stream, &mut buffer).await?;
    let mut answer = Answer {
        status: head.status,
        body: Vec::new(),
    };
    if question.body.is_some() {
        let length = response_body(&question.method, &head).map_err(malformed)?;
        answer.body = body(&mut stream, buffer, length).await?;
    } else {
        // An origin that is still writing its body would log a broken connection at every check.
        let rest = drain(&mut stream, MOST_BODY.saturating_sub(buffer.len()));
        let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let _ = timeout(patience, rest).await;
    }
    Ok(answer)
}

fn request(host: &str, question: &HttpQuestion) -> Vec<u8> {
    let HttpQuestion {
        method,
        path,
        headers,
        ..
    } = question;
    let method = method.as_str();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {AGENT}\r\n").into_bytes();
    let has = |name: &str| headers.iter().any(|(known, _)| known == name);
    if !has("accept") {
        request.extend_from_slice(b"accept: */*\r\n");
    }
    for (name, value) in headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    if question.method == Method::Post {
        request.extend_from_slice(b"content-length: 0\r\n");
    }
    request.extend_from_slice(b"connection: close\r\n\r\n");
    request
}

/// The first head that is not an interim one; the buffer keeps what came behind it.
async fn final_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<ResponseHead, ProbeFault> {
    let mut head = ResponseHead::default();
    let mut scan = HeadScan::new();
    loop {
        match parse_response(buffer, &mut scan, &LIMITS, &mut head).map_err(malformed)? {
            Some(used) => {
                buffer.drain(..used.min(buffer.len()));
                if !matches!(head.status, 100 | 102..=199) {
                    return Ok(head);
                }
            }
            None => more(stream, buffer).await?,
        }
    }
}

/// The beginning of a body, the whole one if it is not larger.
async fn body<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut buffer: Vec<u8>,
    length: BodyLength,
) -> Result<Vec<u8>, ProbeFault> {
    let wanted = match length {
        BodyLength::Empty => 0,
        BodyLength::Exact(bytes) => usize::try_from(bytes).unwrap_or(MOST_BODY).min(MOST_BODY),
        BodyLength::UntilClose => MOST_BODY,
        BodyLength::Chunked => return chunked(stream, buffer).await,
    };
    while buffer.len() < wanted {
        match more(stream, &mut buffer).await {
            Ok(()) => {}
            Err(ProbeFault::Lost(error))
                if length == BodyLength::UntilClose
                    && error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(wanted);
    Ok(buffer)
}

async fn chunked<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, ProbeFault> {
    let mut decoder = ChunkDecoder::new(CHUNKS);
    let mut body = Vec::new();
    while body.len() < MOST_BODY {
        let used = match decoder.decode(&buffer).map_err(malformed)? {
            Chunk::End { .. } => break,
            Chunk::Data { skip, len } => {
                body.extend_from_slice(buffer.get(skip..skip + len).unwrap_or_default());
                skip + len
            }
            Chunk::More { used } => used,
        };
        buffer.drain(..used.min(buffer.len()));
        if buffer.is_empty() && !decoder.is_done() {
            more(stream, &mut buffer).await?;
        }
    }
    body.truncate(MOST_BODY);
    Ok(body)
}

async fn more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<(), ProbeFault> {
    match stream.read_buf(buffer).await {
        Ok(0) => Err(ProbeFault::Lost(io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => Ok(()),
        Err(error) => Err(ProbeFault::Lost(error)),
    }
}

async fn drain<S: AsyncRead + Unpin>(stream: &mut S, most: usize) -> io::Result<()> {
    let mut left = most;
    let mut scratch = [0; 4096];
    while left > 0 {
        let read = stream.read(&mut scratch).await?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

fn malformed(error: HeadError) -> ProbeFault {
    ProbeFault::Malformed(error.reason().to_owned())
}

const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 100,
    target: 0,
};
const CHUNKS: ChunkLimits = ChunkLimits {
    extensions: 4 * 1024,
    trailers: 16 * 1024,
    trailer_fields: 100,
};
/// How long a body that nobody wants is read away before the connection is closed.
const PATIENCE: Duration = Duration::from_millis(200);
