//! The configuration, from its text to a snapshot.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::config::check(bytes));
