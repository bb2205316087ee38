//! `[server]`, `[admin]` and `[log]`: the process itself.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    address::Name,
    overload::Overload,
    place::Placed,
    settings::{choices, settings},
};

settings! {
    /// The process: how many workers it has, whom it believes, how it ends.
    pub struct Server = "[server]" {
        /// Worker threads. Each has its own sockets and its own connections to the upstreams. Without this key: one
        /// for each core.
        workers: NonZeroU16 = optional, example 2;
        /// On SIGTERM, the time that running exchanges have to end before they are cut.
        drain: Duration = default("30s");
        /// Peers whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are believed. From everyone else
        /// these fields are replaced by what the gateway sees itself.
        trusted_proxies: Vec<Placed<IpNet>> = default([]), example ["10.0.0.0/8", "192.168.1.7"];
        /// The zone that the gateway is in, such as a data centre. Endpoints of the same `zone` go first.
        zone: Name = optional, example "a";
        /// Open client connections of all listeners together. More are closed at once.
        max_connections: NonZeroUsize = default(15000);
        /// Requests that are served at once, over all listeners; more get a 503.
        max_concurrent_requests: NonZeroUsize = default(20000);
        /// What happens when the process is short of something.
        overload: Overload = default({}), example { shed_at = "85%" };
    }
}

settings! {
    /// The admin address: health, metrics, configuration, state of the endpoints, reload. It has no access control of
    /// its own, so keep it on a loopback or private address.
    pub struct Admin = "[admin]" {
        /// Whether there is an admin address.
        enabled: bool = default(true);
        /// Where to listen.
        address: SocketAddr = default("127.0.0.1:9901");
    }
}

settings! {
    /// The log of the program itself, on standard error. The log of the requests is `[access_log]`.
    pub struct Log = "[log]" {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also by module, as in the example. The
        /// admin address can change it at run time.
        level: String = default("info"), example "info,portcullis::control=debug";
        /// How it looks.
        format: LogFormat = default("text");
    }
}

choices! {
    /// How the lines of the program log look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}
