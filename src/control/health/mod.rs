//! Active checks.

pub mod streak;
