//! The wire rules: what a client or an upstream may throw at the gateway, and what must happen. Numbers are stable.

mod case;
mod floods;
mod framing;
mod http2;
mod http2_broken;
mod http2_case;
mod http2_records;
mod http2_spec;
mod http2_streams;
mod oracle;
mod paths;
mod policy;
mod responses;
mod runner;
mod table;
mod translated;
