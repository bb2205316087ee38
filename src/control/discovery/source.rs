//! What a source of addresses looks like to those who use it.

use std::{collections::BTreeMap, fmt, net::IpAddr, pin::Pin};

/// Says which addresses stand behind a name. One source serves every upstream that uses the name.
///
/// Polling and pushing sources look the same: [`next`](Self::next) returns when there is something to say, and when
/// that is, is the source's own business.
pub trait Source: Send {
    /// Waits for the next complete set, which replaces the one before, or for a failure, which changes nothing: the
    /// last good set stays. A source tries again by itself, at the pace that suits it.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Vec<Found>, Failure>> + Send + '_>>;
}

/// Makes the source for a name.
pub trait Sources: Send {
    /// A source that has not said anything yet.
    fn open(&self, key: &SourceKey) -> Box<dyn Source>;
}

/// What names a source: equal keys share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKey {
    /// A host name, resolved as the system does.
    Dns(Box<str>),
}

/// One address behind a name, with what the source knows of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The address.
    pub address: IpAddr,
    /// The port, from sources that know it; else the configured one holds.
    pub port: Option<u16>,
    /// The weight, from sources that know it; else the configured one holds.
    pub weight: Option<u32>,
    /// What else the source says, such as a zone or a version.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
}

impl Found {
    /// An address of which nothing else is known.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self {
            address,
            port: None,
            weight: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// Why a source has no answer, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl fmt::Display for SourceKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(host) => out.write_str(host),
        }
    }
}
