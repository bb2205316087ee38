//! The data plane as the one writer sees it.

use std::{net::SocketAddr, sync::Arc};

use crate::{listener::bind::BindError, snapshot::ListenerPlan};

/// The workers and their sockets. A trait, so that everything here can be tested without one.
pub trait DataPlane: Send + Sync + 'static {
    /// Sockets that are bound but not visible to anyone yet. Dropping it closes those that are new.
    type Prepared: Send;

    /// The listeners that accept connections now, in the order of the configuration.
    fn listeners(&self) -> Vec<BoundListener>;

    /// Binds what these plans need and is not there yet.
    ///
    /// # Errors
    /// Every listener that cannot be bound; nothing has changed then.
    fn prepare(&self, plans: &[Arc<ListenerPlan>]) -> Result<Self::Prepared, Vec<BindError>>;

    /// Makes it so: new listeners accept, changed plans hold for new connections, listeners that are gone accept no
    /// more. Open connections live on.
    fn apply(&self, prepared: Self::Prepared);

    /// Stops accepting, and ends each connection as soon as its exchanges have ended. Asking twice is asking once.
    fn drain(&self);

    /// Waits until no exchange and no tunnel is left. Only sure to return while draining.
    fn idle(&self) -> impl Future<Output = ()> + Send;
}

/// A listener that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundListener {
    /// The name.
    pub name: Box<str>,
    /// The address as configured.
    pub address: SocketAddr,
    /// The address as it is: with the real port where the system chose one.
    pub local: SocketAddr,
}
