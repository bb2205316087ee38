//! A WebSocket origin that echoes, and a WebSocket client.

use std::fmt;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::within;

/// An origin that says every message back.
pub(crate) struct WebSocketOrigin {
    address: SocketAddr,
    ended: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

/// A client's end of a WebSocket.
pub(crate) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
}

impl WebSocketOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (sender, ended) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                let sender = sender.clone();
                tasks.spawn(async move {
                    echo(stream).await;
                    sender.send_modify(|count| *count += 1);
                });
            }
        });
        Self {
            address,
            ended,
            task,
        }
    }

    /// Waits until so many of its connections have ended.
    pub(crate) async fn until_ended(&self, count: usize) {
        let mut ended = self.ended.clone();
        within(
            "the end of a WebSocket",
            ended.wait_for(|now| *now >= count),
        )
        .await
        .expect("the origin");
    }
}

impl Drop for WebSocketOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for WebSocketOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Opens a WebSocket to `target` at this address.
pub(crate) async fn websocket(address: SocketAddr, target: &str) -> WebSocket {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let handshake = tokio_tungstenite::client_async(format!("ws://gateway.test{target}"), stream);
    let (stream, response) = within("a WebSocket handshake", handshake)
        .await
        .expect("a WebSocket handshake");
    assert_eq!(response.status(), 101);
    WebSocket { stream }
}

impl WebSocket {
    pub(crate) async fn say(&mut self, text: &str) {
        within("a message sent", self.stream.send(Message::text(text)))
            .await
            .expect("a message sent");
    }

    /// The next text message.
    pub(crate) async fn hear(&mut self) -> String {
        match within("a message", self.stream.next()).await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("instead of a message: {other:?}"),
        }
    }

    /// Says goodbye and waits for the other side's.
    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.expect("a close frame");
        within("the end of the WebSocket", async {
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }

    /// Waits until the other side ends the connection.
    pub(crate) async fn ended(mut self) {
        within("the end of the WebSocket", async {
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the callback's type is tungstenite's"
)]
async fn echo(stream: TcpStream) {
    // The subprotocol is taken as offered, so that a test can see it pass both ways.
    let accept = |request: &Request, mut response: Response| {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            response
                .headers_mut()
                .insert("sec-websocket-protocol", offered.clone());
        }
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, accept).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
