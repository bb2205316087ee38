//! The composition root: the only place where everything is built and wired.

mod data_plane;
