//! `[upstream.NAME]`: endpoints, how to choose between them, how to speak to them.

use std::{
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    address::{HostPort, Name},
    breaker::Breaker,
    code::Code,
    decode::{Decoder, Node, Setting},
    dns::{ServiceName, UpstreamDns},
    health::Health,
    limits::{Adaptive, Limits},
    outlier::Outlier,
    percent::{LoadBound, Percent},
    place::Placed,
    retry::Retry,
    sets::Subset,
    setting::{FilePath, Map, TemplateText},
    settings::{choices, settings},
    sticky::Sticky,
    units::Timeout,
};

settings! {
    /// A named pool of endpoints that can serve the same requests.
    pub struct Upstream = "[upstream.NAME]" {
        /// How an endpoint is chosen for a request.
        balance: Balance = default("round_robin");
        /// What `balance = "hash"` goes by: a text with the variables of the filter `request_headers`, but no captures,
        /// as it comes out after the route's filters. Requests for which it comes out empty go to any endpoint.
        hash: TemplateText = optional, example "${client_ip}";
        /// How many exchanges an endpoint may have with `balance = "hash"`, in relation to the mean by weight, before
        /// requests of its keys go to others. Without this key: 125%.
        hash_load_bound: LoadBound = optional, example "150%";
        /// The endpoints: IP addresses or host names, with a port, or names with SRV records. All addresses of a name are
        /// endpoints. Names are looked up in the background, again and again; see `[dns]`.
        endpoints: Vec<Placed<Endpoint>> = required,
            example ["10.0.0.1:9001", { address = "users.internal:9002", weight = 3 }];
        /// How the names of this upstream are looked up, where that differs from `[dns]`.
        dns: UpstreamDns = optional, example { servers = ["127.0.0.1:8600"] };
        /// When a smaller share of the endpoints passes its checks, all of them get requests: rather that than crush
        /// the rest. It goes for the backups apart. `"0%"` means never.
        panic_threshold: Percent = default("0%"), example "30%";
        /// When a smaller share (by weight) of the endpoints of the gateway's own zone passes its checks, some requests go
        /// to other zones: so many that none of the own zone gets more than it would at this share. `"0%"`: only when
        /// none is left. Without this key: 70%. Needs `zone` in `[server]`.
        zone_spill_below: Percent = optional, example "50%";
        /// Lets requests be kept to a part of the endpoints.
        subset: Subset = optional, example { label = "version", header = "x-version" };
        /// Keeps each client at its endpoint by a cookie.
        sticky: Sticky = optional, example { cookie = "users-at", secret = "${env:STICKY_SECRET}" };
        /// The time in which the share of an endpoint grows to its full size after it joined, recovered or was enabled
        /// again. `"0s"`: at once.
        slow_start: Duration = default("0s"), example "30s";
        /// What is spoken.
        protocol: Protocol = default("http/1.1");
        /// Speaks it over TLS. `{}` verifies the endpoints' certificates by the authorities of the system.
        tls: UpstreamTls = optional, example { server_name = "partner.example.net" };
        /// The time to connect, TLS included.
        connect_timeout: Timeout = default("5s");
        /// The part of it that the TLS handshake may take. Without this key: all that is left.
        tls_timeout: Timeout = optional, example "2s";
        /// The time from the end of the request to the response head; also what `send_timeout` and `read_timeout` are
        /// without being written.
        response_timeout: Timeout = default("60s");
        /// The time in which the endpoint must take a further part of the request. Without this key: `response_timeout`.
        send_timeout: Timeout = optional, example "10s";
        /// The time between two parts of a response's body. Without this key: `response_timeout`.
        read_timeout: Timeout = optional, example "30s";
        /// The same for streams, which may be silent for longer: event streams (`text/event-stream`) and gRPC calls, whose
        /// client may be silent as long.
        stream_idle_timeout: Timeout = default("5m");
        /// The time that a connection is kept without a request.
        idle_timeout: Timeout = default("60s");
        /// Connections that are kept without a request, for each worker and endpoint.
        max_idle: NonZeroUsize = default(1024);
        /// The time that a tunnel (WebSocket and other upgrades) may be silent.
        tunnel_idle_timeout: Timeout = default("1h");
        /// When an attempt that failed is followed by another.
        retry: Box<Retry> = optional, example { on = ["reset", "timeout"], status = [502, 503, 504] };
        /// How much it takes at the same time. Without this key: anything.
        limits: Limits = optional, example { endpoint_requests = 100, queue = 200, queue_timeout = "2s" };
        /// Finds out by the latency of its answers how many requests it takes at the same time.
        adaptive: Adaptive = optional, example { min = 10, max = 500 };
        /// Leaves it alone for a while when too many requests fail. Without this key: never. `{}` takes the defaults.
        breaker: Breaker = optional, example { failure_share = "50%", open_for = "5s" };
        /// Checks each endpoint from time to time. Without this key, only requests tell.
        health: Health = optional, example { path = "/healthz", interval = "2s" };
        /// Ejects endpoints that serve badly. `{}` does so with its defaults; without this key, only those that take no
        /// connections are set aside, for 1 s at first and twice as long each time, up to 30 s.
        outlier: Outlier = optional, example { consecutive_failures = 10, latency = "300%" };
    }
}

settings! {
    /// One address of an upstream.
    pub struct Endpoint = "[[upstream.NAME.endpoints]]" shorthand address {
        /// The host and the port.
        address: HostPort = optional, example "10.0.0.1:9001";
        /// In place of `address`: a name whose SRV records (RFC 2782) say hosts, ports, weights (0 counts as 1) and
        /// priorities. Endpoints of a higher priority number get requests only while none of a lower one is available.
        /// With TLS and without `server_name`, the name without its first labels with `_` is verified, because the
        /// records themselves can be forged.
        srv: ServiceName = optional, example "_http._tcp.users.internal";
        /// The share of the requests in relation to the other endpoints. The weights of SRV records are multiplied by it.
        weight: Weight = default(1), example 3;
        /// Whether it gets requests only while none of the others is available: the same as `tier = 1`.
        backup: bool = default(false), example true;
        /// The tier: an endpoint gets requests only while none of a lower tier is available. Without this key: 0, or 1
        /// with `backup`.
        tier: u8 = optional, example 2;
        /// The zone that it is in, such as a data centre.
        zone: Name = optional, example "a";
        /// Names and values that tell endpoints apart, for `subset`.
        labels: Map<String> = default({}), example { version = "2" };
    }
}

settings! {
    /// The TLS side of an upstream.
    pub struct UpstreamTls = "[upstream.NAME.tls]" {
        /// The name to ask for and to verify. Without this key: the endpoint's own host name or address.
        server_name: String = optional, example "partner.example.net";
        /// The file with the authorities (PEM) that are believed, in place of those of the system.
        ca: FilePath = optional, example "tls/partner-ca.pem";
        /// The file with the gateway's own certificate (PEM), for mutual TLS. Needs `key`.
        certificate: FilePath = optional, example "tls/gateway.pem";
        /// The file with the private key (PEM) of `certificate`.
        key: FilePath = optional, example "tls/gateway.key";
        /// Whether the endpoint's certificate is verified. `false` lets anyone answer in its place.
        verify: bool = default(true);
    }
}

choices! {
    /// How an endpoint is chosen.
    pub enum Balance {
        /// In turns, by weight.
        RoundRobin = "round_robin",
        /// By chance, by weight.
        Random = "random",
        /// The one with the fewest exchanges in flight in relation to its weight, over all workers.
        LeastConnections = "least_connections",
        /// The less busy of two random ones, by weight: nearly as even as `least_connections`, cheaper with many endpoints.
        P2c = "p2c",
        /// The one of two random ones that will probably answer first, by its latency lately and its exchanges in flight.
        PeakEwma = "peak_ewma",
        /// The same one for requests with the same `hash`, as long as it is there and not too busy.
        Hash = "hash",
    }
}

choices! {
    /// What is spoken to an endpoint.
    pub enum Protocol {
        /// HTTP/1.1.
        Http1 = "http/1.1",
        /// HTTP/2 over TLS.
        H2 = "h2",
        /// HTTP/2 with prior knowledge, without TLS.
        H2c = "h2c",
    }
}

/// A share in relation to others: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0.get())
    }
}

impl Setting for Weight {
    fn kind() -> String {
        "whole number from 1 to 65535".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let DeValue::Integer(number) = node.value
            && number.as_str() == "0"
        {
            decoder
                .diagnostics
                .error(
                    Code::OutOfRange,
                    node.place,
                    format!("`{}` cannot be 0: it would never be chosen", node.key),
                )
                .help("remove the entry, or give it a weight from 1");
            return None;
        }
        NonZeroU16::decode(node, decoder).map(Self)
    }

    fn show(&self) -> Json {
        self.get().into()
    }
}

/// The statuses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first status.
    pub first: u16,
    /// The last status.
    pub last: u16,
}

impl StatusRange {
    fn class(text: &str) -> Option<Self> {
        let (digit, rest) = text.split_at_checked(1)?;
        let class: u16 = digit.parse().ok().filter(|c| (1..=5).contains(c))?;
        (rest == "xx").then_some(Self {
            first: class * 100,
            last: class * 100 + 99,
        })
    }
}

impl Setting for StatusRange {
    fn kind() -> String {
        "status or class of statuses".to_owned()
    }

    fn kinds() -> String {
        "statuses and classes of statuses".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a status such as 204, or a class such as \"2xx\"";
        match node.value {
            DeValue::Integer(_) => {
                let status = u16::decode(node, decoder)?;
                if !(100..600).contains(&status) {
                    let reason = "it is not between 100 and 599";
                    return decoder.bad_value(node, EXPECTED, Code::OutOfRange, reason);
                }
                Some(Self {
                    first: status,
                    last: status,
                })
            }
            _ => decoder.parse(node, EXPECTED, Code::OutOfRange, |text| {
                Self::class(text).ok_or("it is neither")
            }),
        }
    }

    fn show(&self) -> Json {
        if self.first == self.last {
            self.first.into()
        } else {
            format!("{}xx", self.first / 100).into()
        }
    }
}
