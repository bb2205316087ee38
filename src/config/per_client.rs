//! `[listener.per_client]`: what each client address may use of a listener.

use std::num::{NonZeroU16, NonZeroUsize};

use super::{or_off::OrOff, rate::EventRate, settings::settings};

settings! {
    /// What each client address may use of a listener. Who a client is, a PROXY header says where one is awaited. Peers
    /// in `trusted_proxies` stand for many clients and are not held to this.
    pub struct PerClient = "[listener.per_client]" {
        /// Open connections of one client. More are closed at once. Without this key: half of the listener's
        /// `max_connections`, but at least 100, so that no client alone can shut the others out.
        max_connections: OrOff<NonZeroUsize> = optional, example 200;
        /// New connections of one client: as many as the number says at once, and then evenly spread over the time.
        /// More are closed at once. Keep in mind that many clients may come from one address.
        connection_rate: OrOff<EventRate> = default("5000/s"), example "100/s";
        /// How many bits of an IPv6 address say who the client is.
        ipv6_prefix: NonZeroU16 = default(64);
    }
}
