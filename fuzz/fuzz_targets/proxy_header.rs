//! The PROXY header, versions 1 and 2.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::proxy_header::check(bytes));
