//! How many files the process may have open: as many as the system lets it, compared with what it may come to need.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::{Code, Config, Diagnostics};

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

/// Warns of limits on connections that somebody has written and that cannot be reached, since the process may not have as
/// many files open. The limit is that of the process that checks, which is often that of the one that will serve.
pub(crate) fn check(config: &Config, found: &mut Diagnostics) {
    if let Some(limit) = getrlimit(Resource::Nofile).maximum {
        compare(limit, config, found);
    }
}

fn compare(limit: u64, config: &Config, found: &mut Diagnostics) {
    let all = &config.server.max_connections;
    let server = (all, all.place != config.server.place);
    let listeners = config.listeners.iter().map(|listener| {
        let own = &listener.max_connections;
        // More than all listeners may have together is nothing that it could come to need.
        (own, own.place != listener.place && own.value <= all.value)
    });
    for (connections, is_written) in std::iter::once(server).chain(listeners) {
        // That each may need another one for its endpoint is for the log to tell: most may be idle.
        if is_written && connections.get() as u64 > limit {
            found
                .warning(
                    Code::WithoutEffect,
                    connections.place,
                    format!("`max_connections` is not reached: files run out at {limit} before"),
                )
                .help("raise `ulimit -Hn` (LimitNOFILE= of systemd), or write a smaller number");
        }
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse_str;

    /// The lines that are warned of when so many files may be open.
    fn lines(limit: u64, server: &str, listener: &str) -> Vec<usize> {
        let text = format!(
            "[server]\n{server}\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{listener}\n"
        );
        let mut loaded = parse_str("test.toml", &text, Path::new("."));
        let config = loaded.config.unwrap();
        let before = loaded.diagnostics.iter().count();
        compare(limit, &config, &mut loaded.diagnostics);
        let found = loaded.diagnostics.iter().skip(before);
        found.filter_map(|it| it.line).collect()
    }

    #[test]
    fn written_limits_that_files_do_not_suffice_for_are_warned_of() {
        let many = "max_connections = 1000";
        assert_eq!(lines(1_000, many, many), [0; 0]);
        assert_eq!(lines(999, many, many), [2, 6]);
        assert_eq!(lines(999, "max_connections = 10", many), [0; 0]);
        assert_eq!(lines(999, "", many), [6]);
        // Nobody has asked for as many as there may be without a word.
        assert_eq!(lines(1_000, "", ""), [0; 0]);
    }
}
