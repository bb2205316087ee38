//! What every scenario is built from: the gateway as a process, origins behind it, clients before it.

mod access_log;
mod client;
mod config;
mod connection;
mod gateway;
mod grpc;
mod grpc_health;
mod h2;
mod message;
mod metrics;
mod name_server;
mod origin;
mod pki;
mod program_log;
pub(crate) mod raw_h2;
mod raw_origin;
mod system_calls;
mod tools;
mod wall_clock;
mod websocket;

use std::time::Duration;

pub(crate) use access_log::{AccessLog, Record};
pub(crate) use client::{Client, ClientTls, Request};
pub(crate) use config::{Value, fill};
pub(crate) use connection::{Broken, Connection};
pub(crate) use gateway::{CommandOutput, Gateway, portcullis};
pub(crate) use grpc::{EchoClient, EchoOrigin, Text};
pub(crate) use grpc_health::GrpcHealth;
pub(crate) use h2::{H2Answer, H2Client, H2Exchange, H2Origin, h2_request};
pub(crate) use message::{Fields, Length, RequestMessage, ResponseMessage};
pub(crate) use metrics::Samples;
pub(crate) use name_server::NameServer;
pub(crate) use origin::{Gate, Origin, blackhole, narrow, ok, refusing_address};
pub(crate) use pki::{Authority, Identity};
pub(crate) use raw_h2::{RawH2, StreamEnd};
pub(crate) use raw_origin::{RawOrigin, RecordingOrigin};
pub(crate) use system_calls::{Call, SystemCalls};
pub(crate) use tools::{curl, h2load, nghttp, sslyze};
pub(crate) use wall_clock::WallClock;
pub(crate) use websocket::{WebSocketOrigin, websocket};

/// The longest that a scenario waits for one event: a bound for failures, never a pause.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `event`; a test that waits in vain fails and says for what.
pub(crate) async fn within<F: Future>(what: &str, event: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: did not happen within {DEADLINE:?}"),
    }
}
