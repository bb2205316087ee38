//! Moving bytes: HTTP/1 and HTTP/2 on both sides, pools, tunnels and deadlines.
//!
//! A worker is one thread. `door` accepts, `serve_h1` and `serve_h2` read heads, `exchange` carries one
//! exchange between a `exchange::Client` and a `upstream::Remote`, `transfer` moves both bodies at once.
//! Everything here runs on one thread and shares by `Rc` and `Cell`; only `workers` is seen from outside.

mod workers;

mod worker;

mod door;
mod socket;

mod serve_h1;
mod serve_h2;

mod budget;
mod refused;
mod trust;

mod exchange;
mod record;
mod replay;
mod spare_answer;
mod unwind;

mod asserted;
mod body;
mod bounded;
mod client_h1;
mod client_h2;
mod conduit;
mod pace;
mod transfer;
mod turn;
mod upstream;

mod h1;
mod h2;

mod connect;
mod places;
mod pool;

mod age;
mod buffers;
mod date;
mod deadline;
mod times;

pub use workers::{DoorKey, Gate, Workers};
