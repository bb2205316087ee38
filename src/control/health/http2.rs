//! A question over HTTP/2, on a connection of its own.

use std::{future::Future, io, pin::pin};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{SendRequest, handshake},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe::{AGENT, Answer, MOST_BODY, ProbeFault};
use crate::{http::Method, snapshot::HttpQuestion};

/// Asks and reads the answer: its body only if the question is about it. The target is a scheme and an authority.
pub(super) async fn ask<S>(
    stream: S,
    (scheme, authority): (&str, &str),
    question: &HttpQuestion,
) -> Result<Answer, ProbeFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = http::Request::builder()
        .method(question.method.as_str())
        .uri(format!("{scheme}://{authority}{}", question.path))
        .header("user-agent", AGENT);
    if question.method == Method::Post {
        request = request.header("content-length", "0");
    }
    for (name, value) in &question.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(())
        .map_err(|error| ProbeFault::Malformed(error.to_string()))?;
    converse(stream, async |mut sender| {
        let (response, _) = sender.send_request(request, true).map_err(fault)?;
        let (head, mut incoming) = response.await.map_err(fault)?.into_parts();
        let mut body = Vec::new();
        if question.body.is_some() {
            read(&mut incoming, &mut body, MOST_BODY).await?;
        }
        Ok(Answer {
            status: head.status.as_u16(),
            body,
        })
    })
    .await
}

/// Has a conversation on a new connection, and keeps that going meanwhile.
pub(super) async fn converse<S, T>(
    stream: S,
    conversation: impl AsyncFnOnce(SendRequest<Bytes>) -> Result<T, ProbeFault>,
) -> Result<T, ProbeFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = handshake(stream).await.map_err(fault)?;
    let mut conversation = pin!(async {
        let sender = sender.ready().await.map_err(fault)?;
        conversation(sender).await
    });
    tokio::select! {
        biased;
        outcome = &mut conversation => return outcome,
        ended = connection => ended.map_err(fault)?,
    }
    // The endpoint may have answered and gone at once.
    once(conversation).await
}

/// What a future comes to without waiting for anything: who would answer is gone.
async fn once<T>(future: impl Future<Output = Result<T, ProbeFault>>) -> Result<T, ProbeFault> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(outcome) => std::task::Poll::Ready(outcome),
        std::task::Poll::Pending => {
            std::task::Poll::Ready(Err(ProbeFault::Lost(io::ErrorKind::UnexpectedEof.into())))
        }
    })
    .await
}

/// Reads a body until it ends or so much of it is there.
pub(super) async fn read(
    incoming: &mut RecvStream,
    body: &mut Vec<u8>,
    most: usize,
) -> Result<(), ProbeFault> {
    while body.len() < most {
        let Some(data) = incoming.data().await else {
            return Ok(());
        };
        let data = data.map_err(fault)?;
        let _ = incoming.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    body.truncate(most);
    Ok(())
}

pub(super) fn fault(error: h2::Error) -> ProbeFault {
    if error.is_io() {
        let lost = error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
        return ProbeFault::Lost(lost);
    }
    ProbeFault::Malformed(format!("HTTP/2: {error}"))
}
