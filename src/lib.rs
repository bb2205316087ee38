//! Portcullis: a Layer-7 API gateway and load balancer.
//!
//! The modules stand in reading order: what a message is, what is decided about it, who moves its bytes, and who
//! changes the world it moves in. `ARCHITECTURE.md` beside this file tells the whole story.

pub mod admin;
pub mod balance;
pub mod app;
pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
pub mod engine;
pub mod filters;
pub mod gateway;
pub mod http;
pub mod listener;
pub mod observe;
pub mod routing;
pub mod snapshot;
