//! The names of all metrics with their labels and help texts: an interface, so they stand in one place.

/// One metric family.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// What Prometheus calls the type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $constant: Family = Family {
            name: concat!("portcullis_", $name),
            kind: Kind::$kind,
            labels: &$labels,
            help: $help,
        };)*

        #[cfg(test)]
        const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    // Exchanges.
    REQUESTS: Counter "requests_total" ["listener", "route", "upstream", "method", "code", "source", "reason"],
        "Finished requests. Source says who made the status; reason says why the gateway made it. Route is empty for what was refused before a route was found.";
    REQUEST_DURATION: Histogram "request_duration_seconds" ["listener", "route"],
        "Time from the first byte of a request to the last byte of its response.";
    GATEWAY_OVERHEAD: Histogram "gateway_overhead_seconds" ["listener"],
        "The gateway's own time in a request: its duration without waiting for the client or the upstream.";
    RECEIVED_BYTES: Counter "received_bytes_total" ["listener"],
        "Bytes of request bodies and of tunnels received from clients, counted when the exchange ends.";
    SENT_BYTES: Counter "sent_bytes_total" ["listener"],
        "Bytes of response bodies and of tunnels sent to clients, counted when the exchange ends.";
    TUNNELS_OPEN: Gauge "tunnels_open" [],
        "Upgraded connections, such as WebSockets, that are open.";
    SERIES_OVERFLOW: Counter "series_overflow_total" ["route"],
        "Requests missing in requests_total because their route has too many combinations of labels.";

    // Connections from clients.
    CONNECTIONS: Counter "connections_total" ["listener"],
        "Connections admitted.";
    CONNECTIONS_OPEN: Gauge "connections_open" ["listener"],
        "Connections that are open.";
    CONNECTIONS_REFUSED: Counter "connections_refused_total" ["listener", "reason"],
        "Connections closed before they were served; with the reason accept_paused, times that the system gave none.";
    DEFENCES: Counter "defences_total" ["listener", "defence"],
        "HTTP/2 connections that were ended because the client sent more of something than any client needs, or did not take what it had asked for.";
    CONNECTIONS_ENDED: Counter "connections_ended_total" ["listener", "reason"],
        "Connections that the gateway ended in order, by the setting or the event that asked for it.";
    TLS_HANDSHAKES: Counter "tls_handshakes_total" ["listener", "version", "resumed"],
        "TLS handshakes that succeeded.";
    TLS_HANDSHAKE_FAILURES: Counter "tls_handshake_failures_total" ["listener", "reason"],
        "TLS handshakes that failed.";

    // Upstreams and endpoints.
    UPSTREAM_FIRST_BYTE: Histogram "upstream_first_byte_seconds" ["upstream"],
        "Time from a request's head being sent to the first byte of its response, in the last attempt.";
    RETRIES: Counter "retries_total" ["upstream", "reason"],
        "Attempts beyond the first of an exchange, by why the one before it failed.";
    RETRIES_DENIED: Counter "retries_denied_total" ["upstream", "reason"],
        "Failures that allowed another attempt and got none, by what stood against it: attempts, body, time, retry_after or budget.";
    RETRIED_REQUESTS: Counter "retried_requests_total" ["upstream", "outcome"],
        "Finished requests that took more than one attempt. Outcome is success when the endpoint's answer was passed on with a status below 500 and, for gRPC, with OK; or else failure.";
    UPSTREAM_PICKS: Counter "upstream_picks_total" ["upstream", "tier", "zone"],
        "Endpoints chosen by the policy of an upstream that has tiers or zones. Tier is first or later; zone is own or other where a tier has both. What is other or later has spilled over.";
    SUBSET_FALLBACKS: Counter "subset_fallbacks_total" ["upstream"],
        "Endpoints chosen outside of the subset that the request named, because nobody in it could serve.";
    STICKY_REQUESTS: Counter "sticky_requests_total" ["upstream", "session"],
        "Answers of endpoints in upstreams with sticky sessions, by what became of the session: new, kept, moved, or guest when its endpoint was full and another one stood in.";
    UPSTREAM_WAITING: Gauge "upstream_requests_waiting" ["upstream"],
        "Requests that wait for a place at an upstream.";
    UPSTREAM_QUEUE: Histogram "upstream_queue_seconds" ["upstream"],
        "Time that requests waited for a place at an upstream, of those that had to.";
    CONCURRENCY_LIMIT: Gauge "upstream_concurrency_limit" ["upstream"],
        "Requests in flight that an upstream's adaptive limit allows at this moment.";
    BREAKER_STATE: Gauge "upstream_breaker_state" ["upstream"],
        "What an upstream's circuit breaker lets through: 0 everything (closed), 1 a few trials (half open), 2 nothing (open).";
    BREAKER_TRANSITIONS: Counter "upstream_breaker_transitions_total" ["upstream", "to"],
        "How often an upstream's circuit breaker became open, half_open or closed.";
    UPSTREAM_CONNECTIONS: Counter "upstream_connections_total" ["upstream", "endpoint"],
        "Connections opened to endpoints.";
    UPSTREAM_CONNECTIONS_OPEN: Gauge "upstream_connections_open" ["upstream", "endpoint"],
        "Connections to endpoints that are open or being opened, idle ones included.";
    UPSTREAM_CONNECTIONS_REUSED: Counter "upstream_connections_reused_total" ["upstream", "endpoint"],
        "Requests sent on a connection that was open already.";
    UPSTREAM_CONNECT_FAILURES: Counter "upstream_connect_failures_total" ["upstream", "endpoint", "reason"],
        "Connections to endpoints that could not be opened.";
    UPSTREAM_IN_FLIGHT: Gauge "upstream_requests_in_flight" ["upstream", "endpoint"],
        "Requests that hold an endpoint.";
    UPSTREAM_RECEIVED_BYTES: Counter "upstream_received_bytes_total" ["upstream", "endpoint"],
        "Bytes of response bodies and of tunnels received from endpoints.";
    UPSTREAM_SENT_BYTES: Counter "upstream_sent_bytes_total" ["upstream", "endpoint"],
        "Bytes of request bodies and of tunnels sent to endpoints.";
    HEALTH_CHECKS: Counter "health_checks_total" ["upstream", "endpoint", "result"],
        "Active checks of endpoints, by result: passed or failed.";
    ENDPOINT_EJECTIONS: Counter "endpoint_ejections_total" ["upstream", "endpoint", "reason"],
        "Times an endpoint went out of use because of how it served: it took no connections, failed or was slow.";
    ENDPOINT_RETURNS: Counter "endpoint_returns_total" ["upstream", "endpoint", "reason"],
        "Times an endpoint came back into use, by the reason that it had been out of use for.";
    ENDPOINT_EJECTED: Gauge "endpoint_ejected" ["upstream", "endpoint"],
        "How many addresses of an endpoint are ejected by outlier detection.";
    ENDPOINT_UP: Gauge "endpoint_up" ["upstream", "endpoint"],
        "1 while an endpoint passes its checks, takes connections and is not ejected; for a host name, while one of its addresses does.";

    // Where endpoints are found.
    DISCOVERY_ANSWERS: Counter "discovery_answers_total" ["upstream", "kind", "name", "result"],
        "What the source of an upstream's endpoints has answered, by result: success or failure. A failure changes nothing: the last good answer holds.";
    DISCOVERY_ENDPOINTS: Gauge "discovery_endpoints" ["upstream", "kind", "name"],
        "Endpoints in the last good answer.";
    DISCOVERY_AGE: Gauge "discovery_age_seconds" ["upstream", "kind", "name"],
        "Time since the last good answer; absent before the first one.";

    // The configuration.
    CONFIG_RELOADS: Counter "config_reloads_total" ["result"],
        "Configurations loaded after the first, by result: success or failure.";
    CONFIG_LAST_SUCCESS: Gauge "config_last_reload_success" [],
        "1 if the last configuration that was read is the one that serves, 0 if it was refused.";
    CONFIG_LAST_SUCCESS_TIMESTAMP: Gauge "config_last_reload_success_timestamp_seconds" [],
        "When the configuration that serves was loaded.";
    CONFIG_GENERATION: Gauge "config_generation" [],
        "How many configurations have served since the start.";
    CONFIG_INFO: Gauge "config_info" ["hash"],
        "1, with the hash of the configuration that serves.";
    CERTIFICATE_NOT_AFTER: Gauge "certificate_not_after_timestamp_seconds" ["listener", "certificate"],
        "When a certificate expires.";

    // The process.
    ACCESS_LOG_DROPPED: Counter "access_log_dropped_total" [],
        "Lines of the access log that were lost because its output stalled or failed.";
    ACCESS_LOG_ERRORS: Counter "access_log_write_errors_total" [],
        "Writes to the access log that failed.";
    PROGRAM_LOG_DROPPED: Counter "program_log_dropped_total" [],
        "Lines of the program log that were lost because its output stalled or failed.";
    PANICS: Counter "panics_total" [],
        "Panics caught while serving: each one is a bug.";
    OVERLOAD_LEVEL: Gauge "overload_level" ["resource"],
        "0 while there is enough, 1 while connections are not kept, 2 while requests of low importance are refused, 3 while those of normal importance are refused too.";
    MEMORY_LIMIT: Gauge "memory_limit_bytes" [],
        "The memory that the process may use, with which overload is measured.";
    DRAINING: Gauge "draining" [],
        "1 while the gateway is finishing what runs and takes nothing new.";
    BUILD_INFO: Gauge "build_info" ["version"],
        "1, with the version of the gateway.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_what_they_are() {
        for family in ALL {
            let name = family.name;
            assert_eq!(
                family.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            // Durations are spread over buckets; a moment and an age are one number.
            let is_duration = name.ends_with("_seconds")
                && !name.ends_with("_timestamp_seconds")
                && !name.ends_with("_age_seconds");
            assert_eq!(family.kind == Kind::Histogram, is_duration, "{name}");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            assert!(
                family.help.ends_with('.') || family.help.starts_with("1, "),
                "{name}"
            );
        }
    }

    #[test]
    fn names_are_different() {
        let mut names: Vec<_> = ALL.iter().map(|family| family.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
