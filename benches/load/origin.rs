//! A service over HTTP/1 that takes what it is sent and answers 130 bytes: at once, late, or now and then not at all.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::http::{self, Connection};

#[derive(Args)]
pub(crate) struct Settings {
    /// Where to listen
    #[arg(long)]
    address: SocketAddr,
    /// How long each answer takes
    #[arg(long, value_parser = super::seconds, default_value = "0")]
    delay: Duration,
    /// In each hundred requests, how many are answered 503
    #[arg(long, default_value_t = 0)]
    refused: u32,
    /// In each hundred requests, how many get no answer but the end of the connection
    #[arg(long, default_value_t = 0)]
    dropped: u32,
}

const OK: &str =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 130\r\n\r\n";
const REFUSED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nServer: origin\r\nContent-Length: 0\r\n\r\n";

pub(crate) async fn serve(settings: Settings) -> io::Result<()> {
    let listener = TcpListener::bind(settings.address).await?;
    let settings = Rc::new(settings);
    let count = Rc::new(Cell::new(0));
    loop {
        let (stream, _peer) = listener.accept().await?;
        let (settings, count) = (Rc::clone(&settings), Rc::clone(&count));
        spawn_local(async move {
            // A client that leaves is no concern of the measurement.
            let _ = answer(Connection::new(stream)?, &settings, &count).await;
            io::Result::Ok(())
        });
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an answer that comes late is what is asked for"
)]
async fn answer(
    mut connection: Connection,
    settings: &Settings,
    count: &Cell<u32>,
) -> io::Result<()> {
    let ok = format!("{OK}{}", "x".repeat(130)).into_bytes();
    while connection.receive(http::request).await?.is_some() {
        // 61 has no factor in common with 100: failures are spread over the hundred.
        let place = count.get() * 61 % 100;
        count.set((count.get() + 1) % 100);
        if !settings.delay.is_zero() {
            sleep(settings.delay).await;
        }
        if place < settings.dropped {
            return Ok(());
        }
        let refused = place < settings.dropped + settings.refused;
        connection.send(if refused { REFUSED } else { &ok }).await?;
    }
    Ok(())
}
