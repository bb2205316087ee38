//! Paths and hosts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::path::check(bytes));
