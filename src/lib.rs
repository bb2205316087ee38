#![doc = include_str!("ARCHITECTURE.md")]

// Messages, and what is decided by looking at them.
pub mod http;
pub mod routing;

// What routes lead to and what is seen of it.
pub mod balance;
pub mod filters;
pub mod observe;

// From what the operator wrote to the world that requests see.
pub mod config;

pub mod snapshot;

pub mod compile;

// The data plane: sockets, decisions, bytes.
pub mod listener;

pub mod gateway;

pub mod engine;

// The control plane, and the process around both.
pub mod control;

pub mod admin;

pub mod app;

pub mod cli;
