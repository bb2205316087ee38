//! How many files the process may have open: as many as the system lets it, compared with what it may come to need.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors that an open client connection may need: its own, and that of its endpoint.
const EACH: u64 = 2;

/// Raises the limit on open files (`ulimit -Sn`) to the most that the process may give itself (`ulimit -Hn`): the limit
/// that shells and init systems begin with is for programs that use `select`. Gives what it is then; nothing: any number.
pub(super) fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            return before;
        }
    }
    limit.current
}

/// Tells the log how many files may be open, and whether connections may come to need more.
pub(super) fn tell(limit: Option<u64>, config: &Config) {
    let connections = config.server.max_connections.get() as u64;
    match limit {
        None => tracing::info!("any number of files may be open"),
        Some(limit) if limit < connections.saturating_mul(EACH) => tracing::warn!(
            open_files = limit,
            max_connections = connections,
            "with so many connections, each with one to its endpoint, files run out first: raise `ulimit -Hn` \
             (LimitNOFILE= of systemd), or lower `max_connections` of [server]"
        ),
        Some(limit) => tracing::info!(open_files = limit, "files that may be open"),
    }
}
