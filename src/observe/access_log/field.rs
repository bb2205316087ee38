//! The fields of a line: an interface, so their names, order and meaning stand in one place.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::clock::Clock;
use super::escape::{write_address, write_ip, write_milliseconds, write_number};
use crate::observe::record::{AccessRecord, TlsFacts};

/// One thing that a line can say about an exchange.
pub struct Field {
    /// The key in JSON, and the name in a template.
    pub name: &'static str,
    /// What it means, as one sentence without a full stop.
    pub meaning: &'static str,
    pub(super) value: for<'a> fn(&AccessRecord<'a>) -> Value<'a>,
}

/// What a field says about one exchange.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Nothing: the field does not apply. Empty text means the same.
    Nothing,
    /// Text from outside, to be escaped.
    Text(&'a [u8]),
    Number(u64),
    Milliseconds(Duration),
    Address(IpAddr),
    AddressAndPort(SocketAddr),
    Time(SystemTime),
    CombinedTime(SystemTime),
    /// A path and its query.
    Target(&'a [u8], Option<&'a [u8]>),
}

/// The fields of a JSON line, in their order. Templates know them too.
pub const FIELDS: &[Field] = &[
    Field {
        name: "time",
        meaning: "when the request's first byte arrived, in UTC with milliseconds",
        value: |record| Value::Time(record.start),
    },
    Field {
        name: "listener",
        meaning: "the listener's name",
        value: |record| Value::Text(record.listener.as_bytes()),
    },
    Field {
        name: "client_ip",
        meaning: "the client's address, as believed from trusted proxies",
        value: |record| Value::Address(record.client.ip()),
    },
    Field {
        name: "client_port",
        meaning: "the client's port; 0 if a trusted proxy did not tell",
        value: |record| Value::Number(u64::from(record.client.port())),
    },
    Field {
        name: "peer",
        meaning: "the address and port of the socket's peer, when that is not the client",
        value: |record| record.peer.map_or(Value::Nothing, Value::AddressAndPort),
    },
    Field {
        name: "protocol",
        meaning: "the protocol the client spoke",
        value: |record| Value::Text(record.protocol.as_bytes()),
    },
    Field {
        name: "method",
        meaning: "the method as it was sent",
        value: |record| Value::Text(record.method),
    },
    Field {
        name: "host",
        meaning: "the host that the client named",
        value: |record| Value::Text(record.host),
    },
    Field {
        name: "path",
        meaning: "the path, normalised, without the query",
        value: |record| Value::Text(record.path),
    },
    Field {
        name: "query",
        meaning: "the query, without its question mark",
        value: |record| record.query.map_or(Value::Nothing, Value::Text),
    },
    Field {
        name: "status",
        meaning: "the response's status; 0 if there was none",
        value: |record| Value::Number(u64::from(record.status)),
    },
    Field {
        name: "reason",
        meaning: "why the gateway made this status itself, in one word",
        value: |record| Value::Text(record.reason.as_bytes()),
    },
    Field {
        name: "source",
        meaning: "who made the status: gateway or upstream",
        value: |record| Value::Text(record.source.as_str().as_bytes()),
    },
    Field {
        name: "route",
        meaning: "the route's name",
        value: |record| Value::Text(record.route.as_bytes()),
    },
    Field {
        name: "upstream",
        meaning: "the upstream's name",
        value: |record| Value::Text(record.upstream.as_bytes()),
    },
    Field {
        name: "endpoint",
        meaning: "the name of the endpoint that was tried last",
        value: |record| Value::Text(record.endpoint.as_bytes()),
    },
    Field {
        name: "attempts",
        meaning: "how many times an endpoint was tried",
        value: |record| Value::Number(u64::from(record.attempts)),
    },
    Field {
        name: "duration_ms",
        meaning: "milliseconds from the request's first byte to the response's last",
        value: |record| Value::Milliseconds(record.timings.total),
    },
    Field {
        name: "head_ms",
        meaning: "milliseconds to read the request's head",
        value: |record| Value::Milliseconds(record.timings.head),
    },
    Field {
        name: "upstream_connect_ms",
        meaning: "milliseconds to open the last attempt's connection, if it was not open",
        value: |record| milliseconds(record.timings.upstream_connect),
    },
    Field {
        name: "upstream_first_byte_ms",
        meaning: "milliseconds from the head being sent to the response's first byte, in the last attempt",
        value: |record| milliseconds(record.timings.upstream_first_byte),
    },
    Field {
        name: "upstream_ms",
        meaning: "milliseconds of waiting for upstream in sum",
        value: |record| Value::Milliseconds(record.timings.upstream),
    },
    Field {
        name: "overhead_ms",
        meaning: "milliseconds of the gateway's own",
        value: |record| Value::Milliseconds(record.timings.overhead),
    },
    Field {
        name: "bytes_received",
        meaning: "bytes of the request's body, and of what a tunnel's client sent",
        value: |record| Value::Number(record.bytes_received),
    },
    Field {
        name: "bytes_sent",
        meaning: "bytes of the response's body, and of what a tunnel's client was sent",
        value: |record| Value::Number(record.bytes_sent),
    },
    Field {
        name: "request_id",
        meaning: "the id that ties this line to those of other services",
        value: |record| Value::Text(record.request_id),
    },
    Field {
        name: "user_agent",
        meaning: "the User-Agent field",
        value: |record| Value::Text(record.user_agent),
    },
    Field {
        name: "referer",
        meaning: "the Referer field",
        value: |record| Value::Text(record.referer),
    },
    Field {
        name: "tls_version",
        meaning: "the version of TLS",
        value: |record| tls(record, |tls| tls.version),
    },
    Field {
        name: "tls_cipher",
        meaning: "the cipher suite",
        value: |record| tls(record, |tls| tls.cipher),
    },
    Field {
        name: "tls_sni",
        meaning: "the server name that the client asked for in the handshake",
        value: |record| tls(record, |tls| tls.sni),
    },
    Field {
        name: "tls_client_subject",
        meaning: "the subject of the client's certificate",
        value: |record| tls(record, |tls| tls.client_subject),
    },
    Field {
        name: "grpc_status",
        meaning: "the gRPC status of the response",
        value: |record| {
            let status = record.grpc_status.map(u64::from);
            status.map_or(Value::Nothing, Value::Number)
        },
    },
    Field {
        name: "generation",
        meaning: "the generation of the configuration that served the exchange",
        value: |record| Value::Number(record.generation),
    },
];

/// The fields that only templates know.
pub const TEMPLATE_FIELDS: &[Field] = &[
    Field {
        name: "target",
        meaning: "the path with the query",
        value: |record| Value::Target(record.path, record.query),
    },
    Field {
        name: "time_combined",
        meaning: "the time as the combined format has it",
        value: |record| Value::CombinedTime(record.start),
    },
];

impl Field {
    /// The field that templates know by that name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Self> {
        Self::all().find(|field| field.name == name)
    }

    /// Every field that templates know.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FIELDS.iter().chain(TEMPLATE_FIELDS)
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl fmt::Debug for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Value<'_> {
    /// Whether there is nothing to say.
    pub(super) const fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(text) | Self::Target(text, None) => text.is_empty(),
            Self::Target(_, Some(_))
            | Self::Number(_)
            | Self::Milliseconds(_)
            | Self::Address(_)
            | Self::AddressAndPort(_)
            | Self::Time(_)
            | Self::CombinedTime(_) => false,
        }
    }

    /// Whether JSON has it without quotes.
    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Milliseconds(_))
    }

    /// Appends the value; text from outside goes through `escape`.
    pub(super) fn write(
        self,
        escape: fn(&[u8], &mut Vec<u8>),
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Nothing => {}
            Self::Text(text) => escape(text, out),
            Self::Number(number) => write_number(number, out),
            Self::Milliseconds(duration) => write_milliseconds(duration, out),
            Self::Address(address) => write_ip(address, out),
            Self::AddressAndPort(address) => write_address(address, out),
            Self::Time(time) => clock.write_rfc3339(time, out),
            Self::CombinedTime(time) => clock.write_combined(time, out),
            Self::Target(path, query) => {
                escape(path, out);
                if let Some(query) = query {
                    out.push(b'?');
                    escape(query, out);
                }
            }
        }
    }
}

fn milliseconds(duration: Option<Duration>) -> Value<'static> {
    duration.map_or(Value::Nothing, Value::Milliseconds)
}

fn tls<'a>(record: &AccessRecord<'a>, part: impl Fn(TlsFacts<'a>) -> &'a str) -> Value<'a> {
    record
        .tls
        .map_or(Value::Nothing, |tls| Value::Text(part(tls).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_in_snake_case() {
        let mut names: Vec<_> = Field::all().map(|field| field.name).collect();
        assert!(names.iter().all(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        }));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
