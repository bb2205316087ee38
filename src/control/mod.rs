//! The one writer: reload, discovery, health checks, drain.
//!
//! Everything that changes what requests see is done by one task, the [`Controller`], one thing after the other. The rest
//! of the process asks it through a [`ControlHandle`]. A configuration takes effect as a whole or not at all: it is read
//! and compiled, its host names are resolved, its sockets are bound, and only then the snapshot is published.

mod controller;
mod handle;
mod status;
mod world;

pub use controller::{Controller, Start};
pub use handle::{ControlHandle, Ended};
pub use status::{Cause, Outcome, Phase, ReloadReport, Status};
pub use world::{Files, Identity, Origin, first};

mod data_plane;

pub use data_plane::{BoundListener, DataPlane};

mod stop;

pub use stop::{Stopped, stop};

pub mod signals;

mod overload;

pub use overload::OverloadWatch;

mod certificates;
pub mod discovery;
mod endpoints;
pub mod health;
mod outliers;
mod retired;
pub mod watch;

mod task;
mod tell;

#[cfg(test)]
mod testing;
