//! The gRPC health protocol: a call of `grpc.health.v1.Health/Check`. Its two messages have one field each, so they are
//! written and read here.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    http2::{converse, fault, read},
    probe::{AGENT, ProbeFault},
};

/// One call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) scheme: &'a str,
    pub(super) authority: &'a str,
    /// Empty for the whole of the endpoint.
    pub(super) service: &'a str,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    /// What the endpoint is told of the caller's patience.
    pub(super) timeout: Duration,
}

impl Call<'_> {
    /// Calls on a connection of its own. Anything but `SERVING` is a failure.
    pub(super) async fn make<S>(&self, stream: S) -> Result<(), ProbeFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = self.request()?;
        converse(stream, async |mut sender| {
            let (response, mut sending) = sender.send_request(request, false).map_err(fault)?;
            sending
                .send_data(Bytes::from(asking(self.service)), true)
                .map_err(fault)?;
            let (head, mut incoming) = response.await.map_err(fault)?.into_parts();
            if head.status != 200 {
                return Err(ProbeFault::Status(head.status.as_u16()));
            }
            // An answer without messages has its status in its head.
            if let Some(code) = status(&head.headers)? {
                return Err(ProbeFault::GrpcStatus(code));
            }
            let mut body = Vec::new();
            read(&mut incoming, &mut body, MOST_ANSWER).await?;
            let trailers = incoming.trailers().await.map_err(fault)?;
            let trailers = trailers.ok_or(ProbeFault::NotGrpc("there is no grpc-status"))?;
            match status(&trailers)? {
                Some(0) => judge(&body),
                Some(code) => Err(ProbeFault::GrpcStatus(code)),
                None => Err(ProbeFault::NotGrpc("there is no grpc-status")),
            }
        })
        .await
    }

    fn request(&self) -> Result<Request<()>, ProbeFault> {
        let mut request = Request::post(format!("{}://{}{CHECK}", self.scheme, self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // At most eight digits may stand there; that are 27 hours.
            .header(
                "grpc-timeout",
                format!("{}m", self.timeout.as_millis().min(99_999_999)),
            )
            .header("user-agent", AGENT);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request
            .body(())
            .map_err(|error| ProbeFault::Malformed(error.to_string()))
    }
}

fn status(fields: &HeaderMap) -> Result<Option<u32>, ProbeFault> {
    let Some(value) = fields.get("grpc-status") else {
        return Ok(None);
    };
    let code = value.to_str().ok().and_then(|text| text.parse().ok());
    code.map(Some)
        .ok_or(ProbeFault::NotGrpc("its grpc-status is no number"))
}

/// `HealthCheckRequest { string service = 1; }` behind the five bytes that begin each gRPC message.
fn asking(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(FIELD_1_TEXT);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// Reads `HealthCheckResponse { ServingStatus status = 1; }`.
fn judge(body: &[u8]) -> Result<(), ProbeFault> {
    const CUT: ProbeFault = ProbeFault::NotGrpc("its message is cut off");
    let Some((&[flag, a, b, c, d], message)) = body.split_first_chunk() else {
        return Err(CUT);
    };
    if flag != 0 {
        return Err(ProbeFault::NotGrpc("its message is compressed"));
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let message = message.get(..length).ok_or(CUT)?;
    match serving_status(message).ok_or(ProbeFault::NotGrpc("its message makes no sense"))? {
        1 => Ok(()),
        2 => Err(ProbeFault::NotServing("NOT_SERVING")),
        3 => Err(ProbeFault::NotServing("SERVICE_UNKNOWN")),
        _ => Err(ProbeFault::NotServing("UNKNOWN")),
    }
}

/// Field 1, the last one if there are several, 0 if there is none; `None` if the message cannot be read. Fields that a
/// later version may add are passed over.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Takes a number of at most ten bytes, seven bits each, the lowest ones first.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The key of field 1 with a text in it.
const FIELD_1_TEXT: u8 = 0x0a;
/// An answer has seven bytes.
const MOST_ANSWER: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(message: &[u8]) -> Result<(), String> {
        let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        body.extend_from_slice(message);
        judge(&body).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_request_names_its_service_or_has_no_field() {
        assert_eq!(asking(""), [0, 0, 0, 0, 0]);
        assert_eq!(asking("abc"), b"\0\0\0\0\x05\x0a\x03abc");
        let long = asking(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 308);
    }

    #[test]
    fn only_serving_is_a_success() {
        assert_eq!(judged(&[8, 1]), Ok(()));
        for (status, word) in [(2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (0, "UNKNOWN")] {
            assert_eq!(judged(&[8, status]), Err(word.to_owned()));
        }
        assert_eq!(judged(&[]), Err("UNKNOWN".to_owned()));
    }

    #[test]
    fn fields_of_later_versions_are_passed_over() {
        let message = [
            18, 2, 7, 7, 8, 1, 25, 1, 2, 3, 4, 5, 6, 7, 8, 37, 1, 2, 3, 4, 0xf8, 1, 9,
        ];
        assert_eq!(judged(&message), Ok(()));
    }

    #[test]
    fn what_cannot_be_read_is_a_failure() {
        for message in [&[8][..], &[8, 0x80], &[18, 200, 1], &[11], &[0xff; 12]] {
            assert!(judged(message).is_err(), "{message:?}");
        }
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 9, 8, 1],
            &[1, 0, 0, 0, 0],
        ] {
            assert!(judge(body).is_err(), "{body:?}");
        }
    }
}
