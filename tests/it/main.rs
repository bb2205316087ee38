//! The gateway as a process, before real sockets: scenarios of origin, configuration, request and expectation.

#![cfg(test)]

mod harness;
mod harness_itself;

mod access_log;
mod admin;
mod balance;
mod benches;
mod bodies;
mod breaker;
mod checks;
mod deadlines;
mod demo;
mod drain;
mod engine;
mod failure;
mod filters;
mod forwarded;
mod grpc;
mod health;
mod http10;
mod http2;
mod http2_limits;
mod interim;
mod keys;
mod large_bodies;
mod limits;
mod metrics;
mod names;
mod outliers;
mod overload;
mod per_client;
mod program_log;
mod proxy_protocol;
mod reload;
mod retry;
mod routing;
mod scenarios;
mod sets;
mod slow;
mod slow_clients;
mod start;
mod state;
mod sticky;
mod strain;
mod streaming;
mod survival;
mod system_calls;
mod timeouts;
mod tls;
mod trailers;
mod upstream_tls;
mod ways;
mod websocket;
mod wire;
