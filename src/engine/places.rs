//! Leave to open a connection to an endpoint, where there may be only so many.

use std::{future::poll_fn, rc::Rc, task::Poll};

use super::{connect::Patience, worker::Worker};
use crate::{
    balance::{Endpoint, Limits, OpenConnection, Scarce, Ticket},
    gateway::Fault,
    snapshot::Upstream,
};

/// The limits of an upstream, if they go for connections.
pub(crate) fn limits(upstream: &Upstream) -> Option<&Limits> {
    let limits = upstream.balance.limits.as_deref()?;
    let limited = limits.connections.is_some() || limits.endpoint_connections.is_some();
    limited.then_some(limits)
}

/// Leave to open one more connection. Where there are as many as there may be, idle ones are closed: first the worker's
/// own, then those of the others, which are asked for it. There are some, since no more requests are in flight.
pub(crate) async fn leave(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    patience: Patience<'_>,
) -> Result<OpenConnection, Fault> {
    // Also without limits: those that a reload adds want this worker's connections closed, too.
    endpoint.state.bells().add(&worker.bell);
    let Some(limits) = limits(upstream) else {
        return Ok(OpenConnection::counted(endpoint));
    };
    loop {
        let scarce = match at_once(worker, endpoint, limits) {
            Ok(open) => return Ok(open),
            Err(scarce) => scarce,
        };
        // Seldom, and its own future: it does not make every exchange's larger.
        let waited = patience
            .bound(Box::pin(wait(endpoint, limits, scarce)))
            .await
            .map_err(|fault| match fault {
                Fault::ConnectTimeout => Fault::UpstreamOverloaded,
                other => other,
            })?;
        if let Some(open) = waited {
            return Ok(open);
        }
    }
}

/// The same without waiting for other workers.
pub(crate) fn at_once(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    limits: &Limits,
) -> Result<OpenConnection, Scarce> {
    loop {
        let scarce = match OpenConnection::within(endpoint, limits) {
            Ok(open) => return Ok(open),
            Err(scarce) => scarce,
        };
        if !worker.pools.close_one(|open| open.helps(endpoint, scarce)) {
            return Err(scarce);
        }
    }
}

/// Waits for a connection to be closed; `None` when something else has become scarce meanwhile.
async fn wait(
    endpoint: &Endpoint,
    limits: &Limits,
    scarce: Scarce,
) -> Result<Option<OpenConnection>, Fault> {
    let queue = OpenConnection::wanted(endpoint, scarce);
    let mut ticket: Option<Ticket> = None;
    let outcome = poll_fn(|cx| {
        let ticket = match &mut ticket {
            Some(ticket) => ticket,
            none => match queue.join(u32::MAX, cx.waker()) {
                Ok(joined) => {
                    endpoint.state.bells().ring();
                    none.insert(joined)
                }
                Err(_) => return Poll::Ready(Err(Fault::UpstreamOverloaded)),
            },
        };
        while ticket.is_turn(cx.waker()) {
            match OpenConnection::within(endpoint, limits) {
                Ok(open) => return Poll::Ready(Ok(Some(open))),
                Err(other) if other != scarce => return Poll::Ready(Ok(None)),
                // A reload can leave more open than there may be, so that one that was closed is not enough.
                Err(_) => endpoint.state.bells().ring(),
            }
        }
        Poll::Pending
    })
    .await;
    if let Some(ticket) = ticket {
        ticket.served();
    }
    outcome
}
