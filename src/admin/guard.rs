//! Keeps web pages out: a browser on the operator's machine reaches loopback addresses, and any page may make it try.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method,
    header::{HOST, ORIGIN},
};

/// Why a request is refused, or `None`.
///
/// A page that posts carries its `Origin`; command line clients carry none. A page that reads must have its own name
/// point at a loopback address (DNS rebinding), so on those `Host` must be an address or `localhost`.
pub(super) fn refusal(method: &Method, headers: &HeaderMap, local: IpAddr) -> Option<&'static str> {
    if !method.is_safe() && headers.contains_key(ORIGIN) {
        return Some("changes are not accepted from web pages");
    }
    if local.to_canonical().is_loopback()
        && !headers
            .get(HOST)
            .is_some_and(|h| names_loopback(h.as_bytes()))
    {
        return Some("on a loopback address, Host must be an IP address or localhost");
    }
    None
}

fn names_loopback(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    const LOOPBACK: &str = "127.0.0.1";

    fn refused(method: &Method, fields: &[(&'static str, &'static str)], local: &str) -> bool {
        refusal(method, &headers(fields), local.parse().unwrap()).is_some()
    }

    #[test]
    fn a_page_may_not_post() {
        let fields = [
            ("host", "127.0.0.1:9901"),
            ("origin", "http://127.0.0.1:9901"),
        ];
        assert!(refused(&Method::POST, &fields, LOOPBACK));
        assert!(!refused(&Method::GET, &fields, LOOPBACK));
        assert!(!refused(
            &Method::POST,
            &[("host", "127.0.0.1:9901")],
            LOOPBACK
        ));
    }

    #[test]
    fn a_foreign_name_on_loopback_is_refused() {
        for host in [
            "rebound.example",
            "rebound.example:9901",
            "",
            "[::1",
            "localhost.example",
        ] {
            assert!(refused(&Method::GET, &[("host", host)], LOOPBACK), "{host}");
        }
        assert!(refused(&Method::GET, &[], "::1"));
        for host in [
            "localhost",
            "LOCALHOST:9901",
            "127.0.0.1",
            "[::1]:9901",
            "10.1.2.3:80",
        ] {
            assert!(!refused(&Method::GET, &[("host", host)], "::1"), "{host}");
        }
    }

    #[test]
    fn names_are_welcome_on_a_private_network() {
        assert!(!refused(
            &Method::GET,
            &[("host", "portcullis.internal:9901")],
            "10.0.0.5"
        ));
    }
}
