//! Sockets and TLS: bind, accept, admission, PROXY protocol, certificates.
