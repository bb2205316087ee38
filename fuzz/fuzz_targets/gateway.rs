//! A whole gateway between a client and an origin.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::gateway::check(bytes));
