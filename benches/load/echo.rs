//! WebSocket: an origin that sends messages back, and clients that wait for them.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use super::samples::Samples;

#[derive(Args)]
pub(crate) struct Settings {
    /// Where to
    #[arg(long)]
    address: SocketAddr,
    /// The target of the upgrade
    #[arg(long, default_value = "/websocket")]
    path: String,
    /// How long
    #[arg(long, value_parser = super::seconds, default_value = "3")]
    seconds: Duration,
    /// Connections, each with one message on its way
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    size: usize,
}

pub(crate) async fn run(settings: Settings) -> io::Result<Value> {
    let start = Instant::now();
    let end = start + settings.seconds;
    let samples = Rc::new(RefCell::new(Samples::since(start)));
    let url = format!("ws://{}{}", settings.address, settings.path);
    let message = Bytes::from(vec![b'x'; settings.size]);
    let clients: Vec<_> = (0..settings.connections)
        .map(|_| {
            let (url, message, samples) = (url.clone(), message.clone(), Rc::clone(&samples));
            let address = settings.address;
            spawn_local(async move {
                let ended = talk(address, &url, &message, end, &samples).await;
                if let Err(error) = ended {
                    samples
                        .borrow_mut()
                        .ended(Instant::now(), Some(error.to_string()));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.map_err(io::Error::other)?;
    }
    let mut told = samples.borrow().told();
    if let Some(fields) = told.as_object_mut() {
        fields.insert("seconds".to_owned(), json!(start.elapsed().as_secs_f64()));
    }
    Ok(told)
}

async fn talk(
    address: SocketAddr,
    url: &str,
    message: &Bytes,
    end: Instant,
    samples: &RefCell<Samples>,
) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _head) = client_async(url, stream).await.map_err(io::Error::other)?;
    while Instant::now() < end {
        let sent = Instant::now();
        let message = Message::Binary(message.clone());
        socket.send(message).await.map_err(io::Error::other)?;
        let patience = tokio::time::Instant::from_std(end + Duration::from_secs(5));
        match timeout_at(patience, socket.next()).await {
            Ok(Some(answer)) => answer.map_err(io::Error::other)?,
            Ok(None) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Err(_elapsed) => return Err(io::ErrorKind::TimedOut.into()),
        };
        samples.borrow_mut().ended(sent, None);
    }
    socket.close(None).await.map_err(io::Error::other)
}

pub(crate) async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(async move {
            let Ok(mut socket) = accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                let is_data = message.is_binary() || message.is_text();
                if is_data && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}
