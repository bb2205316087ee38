//! The times of one exchange: what its route, its upstream and a gRPC client allow.

use std::time::{Duration, Instant};

use super::{Exchange, Fault, grpc};
use crate::{
    http::{Known, RequestHead, ResponseHead},
    snapshot::{ConnectTimeouts, ExchangeTimeouts},
};

/// What bounds an exchange as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The route's time, and when it is over.
    pub route: Option<(Duration, Instant)>,
    /// Whether the route's time also holds for streams and tunnels.
    pub streams: bool,
    /// When the deadline of a gRPC call has passed.
    pub deadline: Option<Instant>,
}

impl Exchange {
    /// How long the exchange waits for its endpoint.
    #[must_use]
    pub fn timeouts(&self) -> Option<ExchangeTimeouts> {
        let upstream = self.upstream.as_ref()?.timeouts.exchange;
        Some(
            self.route
                .as_ref()
                .map_or(upstream, |route| route.timeouts.over(upstream)),
        )
    }

    /// How long a new connection to its endpoint may take.
    #[must_use]
    pub fn connect_timeouts(&self) -> Option<ConnectTimeouts> {
        let upstream = self.upstream.as_ref()?.timeouts.connect;
        Some(
            self.route
                .as_ref()
                .map_or(upstream, |route| route.timeouts.over_connect(upstream)),
        )
    }

    /// What bounds the exchange as a whole.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let timeouts = self.route.as_ref().map(|route| route.timeouts);
        let timeouts = timeouts.unwrap_or_default();
        Bounds {
            route: timeouts
                .whole
                .and_then(|whole| Some((whole, self.started.checked_add(whole)?))),
            streams: timeouts.streams,
            deadline: self.deadline,
        }
    }

    /// When the exchange is over, whatever comes, and what that is called.
    #[must_use]
    pub fn ends_at(&self) -> Option<(Instant, Fault)> {
        let Bounds {
            route, deadline, ..
        } = self.bounds();
        let route = route.map(|(_, end)| (end, Fault::RouteTimeout));
        let deadline = deadline.map(|end| (end, Fault::DeadlineExceeded));
        match (route, deadline) {
            (Some(route), Some(deadline)) if route.0 < deadline.0 => Some(route),
            (route, deadline) => deadline.or(route),
        }
    }

    /// Whether the request is a gRPC call.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        self.is_call
    }

    /// Whether the response to come is one that may last: events, or the messages of a gRPC call.
    #[must_use]
    pub fn is_stream(&self, response: &ResponseHead) -> bool {
        self.is_call || is_event_stream(response)
    }

    /// Reads what a gRPC client says about its patience.
    pub(super) fn note_call(&mut self, head: &RequestHead) -> Result<(), Fault> {
        self.is_call = grpc::is_grpc(&head.fields);
        if !self.is_call {
            return Ok(());
        }
        let mut written = head.fields.all(Known::GrpcTimeout);
        let Some(first) = written.next() else {
            return Ok(());
        };
        if written.next().is_some() {
            return Err(Fault::BadGrpcTimeout);
        }
        let timeout = grpc::parse_timeout(first).ok_or(Fault::BadGrpcTimeout)?;
        // One that is too far away to be told as an instant never comes.
        self.deadline = self.started.checked_add(timeout);
        Ok(())
    }

    /// Tells the endpoint how much of the time of a gRPC call is left.
    pub fn pass_deadline(&self, head: &mut RequestHead) -> Result<(), Fault> {
        let Some(deadline) = self
            .deadline
            .filter(|_| head.fields.has(Known::GrpcTimeout))
        else {
            return Ok(());
        };
        let end = match self.bounds() {
            Bounds {
                route: Some((_, end)),
                streams: true,
                ..
            } => end.min(deadline),
            _ => deadline,
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::DeadlineExceeded);
        }
        head.fields.set(b"grpc-timeout", &grpc::timeout_text(left));
        Ok(())
    }
}

fn is_event_stream(response: &ResponseHead) -> bool {
    response
        .fields
        .first(Known::ContentType)
        .and_then(|kind| kind.split_at_checked(EVENTS.len()))
        .is_some_and(|(kind, rest)| {
            kind.eq_ignore_ascii_case(EVENTS) && matches!(rest.first(), None | Some(b';' | b' '))
        })
}

const EVENTS: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_by_their_content_type() {
        for (kind, wanted) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/event", false),
            ("text/plain", false),
        ] {
            let mut head = ResponseHead::default();
            head.fields.push(b"content-type", kind.as_bytes());
            assert_eq!(is_event_stream(&head), wanted, "{kind}");
        }
        assert!(!is_event_stream(&ResponseHead::default()));
    }
}
