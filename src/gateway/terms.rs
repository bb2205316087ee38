//! What a client is held to in one exchange: how much it may send, and how slow it may be.

use super::{Exchange, Fault, grpc::is_grpc};
use crate::{
    http::{BodyLength, HeadError, RequestHead},
    snapshot::{ListenerLimits, Route},
};

/// What a client is held to in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Bytes that the request's body may have; `u64::MAX`: any number.
    pub body: u64,
    /// Bytes per second at which that body must come in while it is waited for; 0: any.
    pub receive_rate: u64,
    /// Bytes per second at which the response must be taken while that is waited for; 0: any.
    pub send_rate: u64,
}

impl Terms {
    /// What holds on a listener before anything is known of the request.
    pub(super) const fn of(limits: &ListenerLimits) -> Self {
        Self {
            body: limits.body,
            receive_rate: limits.receive_rate,
            send_rate: limits.send_rate,
        }
    }

    /// The same for a request that a route has won.
    fn on(self, route: &Route, head: &RequestHead) -> Self {
        // A gRPC stream may be silent for as long as both sides like. That is only taken for granted where the route
        // says nothing else, since anyone can write such a content type.
        let receive_rate = match route.body_rate {
            Some(rate) => rate,
            None if is_grpc(&head.fields) => 0,
            None => self.receive_rate,
        };
        Self {
            body: route.max_body.unwrap_or(self.body),
            receive_rate,
            ..self
        }
    }
}

impl Exchange {
    /// What the client is held to.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// Settles what the client is held to, and refuses a body that is too large by its own account.
    pub(super) fn settle_terms(&mut self, head: &RequestHead) -> Result<(), Fault> {
        if let Some(route) = &self.route {
            self.terms = self.terms.on(route, head);
        }
        match self.length {
            BodyLength::Exact(bytes) if bytes > self.terms.body => {
                Err(Fault::Request(HeadError::BodyTooLarge))
            }
            _ => Ok(()),
        }
    }
}
