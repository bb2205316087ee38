//! What the gateway knows of gRPC: who speaks it, how it ended, and how its clients are told of a fault.

use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Fault;
use crate::{
    filters::Reply,
    http::{Fields, Known, RequestHead},
};

/// Whether a message is gRPC's own, by its content type; gRPC-Web is another protocol.
#[must_use]
pub(super) fn is_grpc(fields: &Fields) -> bool {
    let Some(content_type) = fields.first(Known::ContentType) else {
        return false;
    };
    let Some((kind, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The `grpc-status` that stands in trailers, or in the head of an answer that has only trailers.
#[must_use]
pub fn grpc_status(fields: &Fields) -> Option<u32> {
    let value = fields.first(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The HTTP status that stands for a gRPC code, as those who carry gRPC over REST have agreed on
/// (google/rpc/code.proto).
pub(super) const fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// The same answer for a gRPC client, which finds its status in a field and not in the HTTP status: an answer that has
/// only trailers. `None` when the client does not speak gRPC, or the answer is no fault.
#[must_use]
pub fn grpc_reply(request: &RequestHead, answer: &Reply) -> Option<Reply> {
    if !is_grpc(&request.fields) || answer.status < 400 {
        return None;
    }
    let mut fields = Fields::new();
    for field in answer.fields.iter() {
        if field.known != Known::ContentType {
            fields.push(field.name, field.value);
        }
    }
    fields.push(b"content-type", GRPC);
    fields.push(b"grpc-status", grpc_code(answer).as_bytes());
    fields.push(b"grpc-message", answer.reason.as_bytes());
    Some(Reply {
        status: 200,
        fields,
        body: Bytes::new(),
        reason: answer.reason,
    })
}

const GRPC: &[u8] = b"application/grpc";

/// The gRPC status that a client takes an HTTP status for (grpc/doc/http-grpc-status-mapping.md).
fn grpc_code(answer: &Reply) -> &'static str {
    if [Fault::DeadlineExceeded, Fault::RouteTimeout]
        .iter()
        .any(|fault| fault.reason() == answer.reason)
    {
        // A client that is told UNAVAILABLE may try again at once.
        return DEADLINE_EXCEEDED;
    }
    match answer.status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 | 405 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    }
}

/// What a client is told behind the messages that it has got when the time of its call is over.
#[must_use]
pub fn late_trailers(fault: Fault) -> Fields {
    let mut fields = Fields::new();
    fields.push(b"grpc-status", DEADLINE_EXCEEDED.as_bytes());
    fields.push(b"grpc-message", fault.reason().as_bytes());
    fields
}

/// The time of a `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2, "Requests").
pub(super) fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A time as `grpc-timeout` has it, rounded down to what eight digits can tell.
pub(super) fn timeout_text(time: Duration) -> SmallVec<[u8; 16]> {
    let seconds = u128::from(time.as_secs());
    let (number, unit) = [
        (time.as_nanos(), b'n'),
        (time.as_micros(), b'u'),
        (time.as_millis(), b'm'),
        (seconds, b'S'),
        (seconds / 60, b'M'),
        (seconds / 3_600, b'H'),
    ]
    .into_iter()
    .find(|(number, _)| *number <= MOST)
    .unwrap_or((MOST, b'H'));
    let mut text = SmallVec::new();
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    text.push(unit);
    text
}

const DEADLINE_EXCEEDED: &str = "4";
/// Eight digits.
const MOST: u128 = 99_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_one_to_eight_digits_and_a_unit() {
        for (text, nanos) in [
            ("1n", 1),
            ("00000010u", 10_000),
            ("250m", 250_000_000),
            ("5S", 5_000_000_000),
            ("2M", 120_000_000_000),
            ("1H", 3_600_000_000_000),
            ("0S", 0),
            ("99999999n", 99_999_999),
        ] {
            let wanted = Some(Duration::from_nanos(nanos));
            assert_eq!(parse_timeout(text.as_bytes()), wanted, "{text}");
        }
        for wrong in [
            "",
            "S",
            "5",
            "5s",
            "5h",
            "-1S",
            "+1S",
            "1.5S",
            " 1S",
            "1S ",
            "1 S",
            "123456789S",
            "1e3m",
            "\u{0661}S",
        ] {
            assert_eq!(parse_timeout(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert!(parse_timeout(b"99999999H").is_some());
    }

    #[test]
    fn what_is_written_is_at_most_what_is_left_and_nearly_all_of_it() {
        for nanos in [
            1_u64,
            99_999_999,
            100_000_000,
            1_234_567_890,
            99_999_999_999,
            3_600_000_000_001,
            u64::MAX,
        ] {
            let left = Duration::from_nanos(nanos);
            let text = timeout_text(left);
            assert!(text.len() <= 9, "{text:?}");
            let read = parse_timeout(&text).unwrap();
            assert!(read <= left && read >= left - left / 1_000_000, "{text:?}");
        }
        assert_eq!(timeout_text(Duration::from_secs(5)).as_slice(), b"5000000u");
        assert_eq!(timeout_text(Duration::MAX).as_slice(), b"99999999H");
    }

    #[test]
    fn a_time_that_is_over_is_not_unavailable() {
        let mut request = RequestHead::default();
        request.fields.push(b"content-type", b"application/grpc");
        for (fault, code) in [
            (Fault::DeadlineExceeded, "4"),
            (Fault::RouteTimeout, "4"),
            (Fault::UpstreamTimeout, "14"),
            (Fault::NoEndpoint, "14"),
            (Fault::BadGrpcTimeout, "13"),
        ] {
            let reply = grpc_reply(&request, &crate::gateway::reply_of(fault)).unwrap();
            let status = reply.fields.first(Known::GrpcStatus);
            assert_eq!(status, Some(code.as_bytes()), "{fault:?}");
        }
    }
}
