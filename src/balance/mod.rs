//! Choosing an endpoint: policies, leases and what is remembered of an endpoint.
