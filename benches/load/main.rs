//! What the comparisons need and nobody packages: a load generator that keeps its rate whatever the answers, clients and
//! origins for WebSocket and gRPC, origins that are slow or flaky. `cargo build --release --example load` builds it.
//!
//! Everything runs on one thread, since load and origin have one core. Results are one JSON object on the standard
//! output. benches/README.md tells which comparison uses what.

#![expect(
    clippy::print_stdout,
    reason = "the result of a measurement is what it prints"
)]

mod echo;
mod grpc;
mod http;
mod open_loop;
mod origin;
mod pace;
mod samples;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

#[derive(Parser)]
#[command(about = "Load generator and origins of the comparisons")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Sends requests over HTTP/1 at a fixed mean rate, whatever the answers, and tells how long they took from the moment
    /// at which they were due
    Open(open_loop::Settings),
    /// Sends messages over WebSocket connections, the next one when the last has come back
    Websocket(echo::Settings),
    /// Answers HTTP/1 requests, late or not at all if so asked
    Origin(origin::Settings),
    /// Sends WebSocket messages back
    WebsocketOrigin {
        #[arg(long)]
        address: SocketAddr,
    },
    /// Sends gRPC messages back, over HTTP/2 with prior knowledge
    GrpcOrigin {
        #[arg(long)]
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("load: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        match task {
            Task::Open(settings) => println!("{}", open_loop::run(settings).await?),
            Task::Websocket(settings) => println!("{}", echo::run(settings).await?),
            Task::Origin(settings) => origin::serve(settings).await?,
            Task::WebsocketOrigin { address } => echo::serve(address).await?,
            Task::GrpcOrigin { address } => grpc::serve(address).await?,
        }
        Ok(())
    })
}

/// Reads a number of seconds, such as `2.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}
