//! `[upstream.NAME.sticky]`: sessions that stay at their endpoint.

use super::{
    settings::{choices, settings},
    units::Timeout,
};

settings! {
    /// Sticky sessions: a cookie brings a client back to the endpoint that it was at, as long as that is available. If it
    /// is gone, unhealthy, draining or out of reach, another one serves and the cookie is set anew. It is `HttpOnly` and
    /// signed, and does not tell the endpoint's address.
    pub struct Sticky = "[upstream.NAME.sticky]" {
        /// The cookie's name. Upstreams that the same clients see need different names.
        cookie: String = required, example "users-at";
        /// What the cookie is signed with: at least 16 bytes that nobody can guess, from the environment or a file. It
        /// decides what cookies mean, so gateways that share it share their sessions, and a new one ends them all.
        secret: String = required, example "${env:STICKY_SECRET}";
        /// How long a session lasts that is not used. The cookie is set anew when half of that is over. Without this
        /// key: as long as the browser runs.
        ttl: Timeout = optional, example "8h";
        /// The path that the cookie is sent for.
        path: String = default("/"), example "/users";
        /// The domain that the cookie is sent to, with its subdomains. Without this key: the host that set it.
        domain: String = optional, example "example.com";
        /// Whether the cookie is sent over TLS alone. Without this key: if the client came over TLS.
        secure: bool = optional, example true;
        /// Whether the cookie is sent with requests that come from other sites.
        same_site: SameSite = default("lax");
    }
}

choices! {
    /// When a browser sends a cookie with a request that another site has caused.
    pub enum SameSite {
        /// When the user follows a link.
        Lax = "lax",
        /// Never.
        Strict = "strict",
        /// Always. Browsers demand TLS for it.
        None = "none",
    }
}
