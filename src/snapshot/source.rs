//! Where endpoints come from that the configuration gives no address for, and what is known of such a source.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::observe::metrics::SourceFigures;

/// What names a source and how it is asked: equal keys share one source, across upstreams and reloads. A registry that
/// is added has a variant here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceKey {
    /// Name servers.
    Dns(DnsKey),
}

/// A name that name servers are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsKey {
    /// The name, in lower case.
    pub name: Box<str>,
    /// What is asked of it.
    pub records: DnsRecords,
    /// Who is asked, and how often.
    pub plan: Arc<DnsPlan>,
}

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsRecords {
    /// A and AAAA: addresses, whose port is the configured one.
    Addresses,
    /// SRV: hosts with ports, weights and priorities, and then the addresses of the hosts.
    Services,
}

/// Who is asked for names, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsPlan {
    /// The name servers; empty: those of the system.
    pub servers: Box<[SocketAddr]>,
    /// For one try with all servers together; `None`: as the system has it.
    pub timeout: Option<Duration>,
    /// How often a question is put again after a failure; `None`: as the system has it.
    pub retries: Option<u32>,
    /// The shortest time from a good answer to the next question.
    pub min_ttl: Duration,
    /// The longest.
    pub max_ttl: Duration,
    /// The addresses that are asked for.
    pub family: AddressFamily,
}

/// Which addresses of a host are endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// All of them.
    #[default]
    Any,
    /// The IPv4 ones.
    V4,
    /// The IPv6 ones.
    V6,
}

/// One endpoint, with what its source knows of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// 0 for those that are used first; added to the configured tier.
    pub tier: u8,
    /// The address.
    pub address: IpAddr,
    /// The port, from sources that know it; else the configured one holds.
    pub port: Option<u16>,
    /// The share of the requests in relation to the others that were found, from sources that know it; the configured
    /// weight multiplies it.
    pub weight: Option<u32>,
    /// The host that TLS verifies, from sources that know it and can be believed; else the configured one.
    pub host: Option<Box<str>>,
    /// The zone, from sources that know it; else the configured one.
    pub zone: Option<Box<str>>,
    /// Names and values to tell subsets by; they come before the configured ones.
    pub labels: Vec<(Box<str>, Box<str>)>,
}

/// What a source last said, and how often. Written by the one who follows it, read by the admin address and by scrapes;
/// it lives as long as the source is followed, across reloads.
#[derive(Debug, Default)]
pub struct SourceState {
    answers: AtomicU64,
    failures: AtomicU64,
    known: Mutex<SourceKnown>,
}

/// What is known of a source at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceKnown {
    /// The endpoints of the last good answer.
    pub endpoints: usize,
    /// When the last good answer came; `None` before the first.
    pub answered: Option<Instant>,
    /// What has gone wrong since.
    pub failing: Option<SourceFailure>,
}

/// A failure of a source that has not been followed by a good answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// What is wrong, in words for people.
    pub reason: Box<str>,
    /// When the first failure in a row came.
    pub since: SystemTime,
}

impl SourceKey {
    /// The word for the kind of source, in logs, metrics and on the admin address.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(key) => match key.records {
                DnsRecords::Addresses => "dns",
                DnsRecords::Services => "srv",
            },
        }
    }

    /// What is looked for there.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Dns(key) => &key.name,
        }
    }

    /// Whether both look for the same thing, though perhaps in another way.
    #[must_use]
    pub fn seeks_the_same_as(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.name() == other.name()
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for DnsPlan {
    /// What the system is configured to do.
    fn default() -> Self {
        Self {
            servers: Box::default(),
            timeout: None,
            retries: None,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            family: AddressFamily::default(),
        }
    }
}

impl Found {
    /// An address of which nothing else is known.
    #[must_use]
    pub const fn at(address: IpAddr) -> Self {
        Self {
            tier: 0,
            address,
            port: None,
            weight: None,
            host: None,
            zone: None,
            labels: Vec::new(),
        }
    }
}

impl SourceState {
    /// Notes a good answer of that many endpoints.
    pub fn answered(&self, endpoints: usize, now: Instant) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        *self.lock() = SourceKnown {
            endpoints,
            answered: Some(now),
            failing: None,
        };
    }

    /// Notes a failure, which changes nothing about the endpoints.
    pub fn failed(&self, reason: &str, now: SystemTime) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut known = self.lock();
        let since = known.failing.take().map_or(now, |failure| failure.since);
        known.failing = Some(SourceFailure {
            reason: reason.into(),
            since,
        });
    }

    /// Goes on from another source that sought the same.
    pub fn take_over(&self, other: &Self) {
        *self.lock() = other.known();
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> SourceKnown {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SourceKnown> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceFigures for SourceState {
    fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn endpoints(&self) -> usize {
        self.lock().endpoints
    }

    fn age(&self) -> Option<Duration> {
        self.lock().answered.map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_what_is_known_and_its_beginning() {
        let state = SourceState::default();
        let now = Instant::now();
        state.answered(3, now);
        state.failed("refused", SystemTime::UNIX_EPOCH);
        state.failed("timeout", SystemTime::now());
        let known = state.known();
        assert_eq!((known.endpoints, known.answered), (3, Some(now)));
        let failure = known.failing.unwrap();
        assert_eq!(&*failure.reason, "timeout");
        assert_eq!(failure.since, SystemTime::UNIX_EPOCH);
        assert_eq!((state.answers(), state.failures()), (1, 2));
        state.answered(2, now);
        assert_eq!(state.known().failing, None);
    }

    #[test]
    fn who_asks_otherwise_still_seeks_the_same() {
        let key = |name: &str, records, plan| {
            SourceKey::Dns(DnsKey {
                name: name.into(),
                records,
                plan: Arc::new(plan),
            })
        };
        let quick = DnsPlan {
            max_ttl: Duration::from_secs(5),
            ..DnsPlan::default()
        };
        let one = key("a.test", DnsRecords::Addresses, DnsPlan::default());
        let other = key("a.test", DnsRecords::Addresses, quick);
        assert_ne!(one, other);
        assert!(one.seeks_the_same_as(&other));
        let service = key("a.test", DnsRecords::Services, DnsPlan::default());
        assert!(!one.seeks_the_same_as(&service));
    }
}
