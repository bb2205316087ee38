//! An endpoint for an attempt, and the wait for it when the upstream has as much as it takes.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::exchange::{Carrier, Client};
use crate::{
    balance::{Lease, Limits, QueueSettings, Ticket},
    gateway::Fault,
};

impl<C: Client> Carrier<'_, C> {
    /// Chooses an endpoint. When all that there are have as much as they take, waits for a place if that is allowed.
    pub(super) async fn lease(&mut self) -> Result<Lease, Fault> {
        let Some((limits, queue)) = self.queue() else {
            return self.select();
        };
        if limits.load.queue().waiting() == 0 {
            match self.select() {
                Err(fault) if is_crowded(fault) => {}
                outcome => return outcome,
            }
        }
        // Seldom, and its own future: it does not make every exchange's larger.
        Box::pin(self.wait_for_lease(&limits, queue)).await
    }

    fn queue(&self) -> Option<(Arc<Limits>, QueueSettings)> {
        let limits = self.exchange.limits()?;
        Some((Arc::clone(limits), limits.queue?))
    }

    fn select(&mut self) -> Result<Lease, Fault> {
        self.exchange.select(self.worker.moment())
    }

    async fn wait_for_lease(
        &mut self,
        limits: &Arc<Limits>,
        queue: QueueSettings,
    ) -> Result<Lease, Fault> {
        let began = Instant::now();
        let end = began + queue.timeout;
        let (end, late) = match self.exchange.ends_at() {
            Some((whole, fault)) if whole < end => (whole, fault),
            _ => (end, Fault::QueueTimeout),
        };
        self.deadline.set(end);
        let mut waits = Waits::Outside;
        let outcome = poll_fn(|cx| self.poll_turn(cx, limits, (queue, late), &mut waits)).await;
        if !matches!(waits, Waits::Outside) {
            self.exchange.waited(self.worker.id, began.elapsed());
        }
        if let Waits::Inside(ticket) = waits {
            match outcome {
                // It leaves without having used a call.
                Err(
                    Fault::ClientGone
                    | Fault::QueueTimeout
                    | Fault::RouteTimeout
                    | Fault::DeadlineExceeded,
                ) => drop(ticket),
                // Also when it turns out that there is nobody to wait for: the next one shall see that too.
                Ok(_) | Err(_) => ticket.served(),
            }
        }
        outcome
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        (queue, late): (QueueSettings, Fault),
        waits: &mut Waits,
    ) -> Poll<Result<Lease, Fault>> {
        if let Waits::Outside = waits {
            match limits.load.queue().join(queue.places.get(), cx.waker()) {
                Ok(ticket) => *waits = Waits::Inside(ticket),
                // Those who wait have no use for what may be free, such as the endpoints of another subset.
                Err(full) if full.settled => {
                    return Poll::Ready(self.select().map_err(|fault| match fault {
                        crowded if is_crowded(crowded) => Fault::QueueFull,
                        other => other,
                    }));
                }
                Err(_) => return Poll::Ready(Err(Fault::QueueFull)),
            }
        }
        if let Waits::Inside(ticket) = waits {
            while ticket.is_turn(cx.waker()) {
                match self.select() {
                    Err(fault) if is_crowded(fault) => {
                        if self.exchange.is_room(self.worker.now_ms()) {
                            ticket.pass();
                        }
                    }
                    outcome => return Poll::Ready(outcome),
                }
            }
        }
        if self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        self.deadline.poll_expired(cx).map(|_| Err(late))
    }
}

/// Whether waiting helps.
const fn is_crowded(fault: Fault) -> bool {
    matches!(fault, Fault::UpstreamOverloaded | Fault::AdaptiveLimit)
}

/// Where an exchange is that wants a place.
enum Waits {
    /// Not in the queue, or turned away from it.
    Outside,
    Inside(Ticket),
}
