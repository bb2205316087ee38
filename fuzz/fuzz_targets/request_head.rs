//! Request heads of HTTP/1.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::request_head::check(bytes));
