//! Moving bytes: HTTP/1 and HTTP/2 on both sides, pools, tunnels and deadlines.
