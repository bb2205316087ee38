//! A gRPC service with unary calls, whatever their name: each message is sent back. As cheap as HTTP/2 allows, for its CPU
//! is shared with the load.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

pub(crate) async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that leaves is no concern of the measurement.
        spawn_local(async move { calls(stream).await.ok() });
    }
}

async fn calls(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(1_000)
        .initial_connection_window_size(16 * 1024 * 1024)
        .handshake::<_, bytes::Bytes>(stream)
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        spawn_local(async move { echo(request.into_body(), respond).await.ok() });
    }
    Ok(())
}

async fn echo(
    mut body: RecvStream,
    mut respond: SendResponse<bytes::Bytes>,
) -> Result<(), h2::Error> {
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    let head = head.body(()).map_err(|_| Reason::INTERNAL_ERROR)?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(message.freeze(), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
