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
    /// The comma, the name and the colon: one copy instead of three.
    pub(super) json_key: &'static str,
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

macro_rules! fields {
    ($($name:literal, $meaning:literal, $value:expr;)*) => {
        &[$(Field {
            name: $name,
            meaning: $meaning,
            json_key: concat!(",\"", $name, "\":"),
            value: $value,
        }),*]
    };
}

/// The fields of a JSON line, in their order. Templates know them too.
pub const FIELDS: &[Field] = fields! {
    "time", "when the request's first byte arrived, in UTC with milliseconds", |record| Value::Time(record.start);
    "listener", "the listener's name", |record| Value::Text(record.listener.as_bytes());
    "client_ip", "the client's address, as believed from trusted proxies", |record| Value::Address(record.client.ip());
    "client_port", "the client's port; 0 if a trusted proxy did not tell", |record| Value::Number(u64::from(record.client.port()));
    "peer", "the address and port of the socket's peer, when that is not the client", |record| record.peer.map_or(Value::Nothing, Value::AddressAndPort);
    "protocol", "the protocol the client spoke", |record| Value::Text(record.protocol.as_bytes());
    "method", "the method as it was sent", |record| Value::Text(record.method);
    "host", "the host that the client named", |record| Value::Text(record.host);
    "path", "the path, normalised, without the query", |record| Value::Text(record.path);
    "query", "the query, without its question mark", |record| record.query.map_or(Value::Nothing, Value::Text);
    "status", "the response's status; 0 if there was none", |record| Value::Number(u64::from(record.status));
    "reason", "why the gateway made this status itself, in one word", |record| Value::Text(record.reason.as_bytes());
    "source", "who made the status: gateway or upstream", |record| Value::Text(record.source.as_str().as_bytes());
    "route", "the route's name", |record| Value::Text(record.route.as_bytes());
    "upstream", "the upstream's name", |record| Value::Text(record.upstream.as_bytes());
    "endpoint", "the name of the endpoint that was tried last", |record| Value::Text(record.endpoint.as_bytes());
    "attempts", "how many times an endpoint was tried", |record| Value::Number(u64::from(record.attempts));
    "earlier_attempts", "the endpoints that were tried before the last one, each with its failure", |record| Value::Text(record.earlier_attempts);
    "duration_ms", "milliseconds from the request's first byte to the response's last", |record| Value::Milliseconds(record.timings.total);
    "head_ms", "milliseconds to read the request's head", |record| Value::Milliseconds(record.timings.head);
    "upstream_connect_ms", "milliseconds to open the last attempt's connection, if it was not open", |record| milliseconds(record.timings.upstream_connect);
    "upstream_first_byte_ms", "milliseconds from the head being sent to the response's first byte, in the last attempt", |record| milliseconds(record.timings.upstream_first_byte);
    "upstream_ms", "milliseconds of waiting for upstream in sum", |record| Value::Milliseconds(record.timings.upstream);
    "queued_ms", "milliseconds of waiting for a place at the upstream", |record| {
        let queued = record.timings.queued;
        if queued.is_zero() { Value::Nothing } else { Value::Milliseconds(queued) }
    };
    "overhead_ms", "milliseconds of the gateway's own", |record| Value::Milliseconds(record.timings.overhead);
    "bytes_received", "bytes of the request's body, and of what a tunnel's client sent", |record| Value::Number(record.bytes_received);
    "bytes_sent", "bytes of the response's body, and of what a tunnel's client was sent", |record| Value::Number(record.bytes_sent);
    "request_id", "the id that ties this line to those of other services", |record| Value::Text(record.request_id);
    "user_agent", "the User-Agent field", |record| Value::Text(record.user_agent);
    "referer", "the Referer field", |record| Value::Text(record.referer);
    "tls_version", "the version of TLS", |record| tls(record, |tls| tls.version);
    "tls_cipher", "the cipher suite", |record| tls(record, |tls| tls.cipher);
    "tls_sni", "the server name that the client asked for in the handshake", |record| tls(record, |tls| tls.sni);
    "tls_client_subject", "the subject of the client's certificate", |record| tls(record, |tls| tls.client_subject);
    "grpc_status", "the gRPC status of the response", |record| {
        let status = record.grpc_status.map(u64::from);
        status.map_or(Value::Nothing, Value::Number)
    };
    "generation", "the generation of the configuration that served the exchange", |record| Value::Number(record.generation);
};

/// The fields that only templates know.
pub const TEMPLATE_FIELDS: &[Field] = fields! {
    "target", "the path with the query", |record| Value::Target(record.path, record.query);
    "time_combined", "the time as the combined format has it", |record| Value::CombinedTime(record.start);
};

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
