//! Clients: how many connections one address may have open, and how fast it may open new ones.
//!
//! Open connections are counted for each address that has any, so the table is never larger than the number of
//! connections. What is remembered of addresses that have none, in order to limit their rate, has a fixed size: when
//! too many come at once, those that have been quiet for longest are forgotten.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// What one client may use of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections that are open at once.
    pub connections: usize,
    /// New connections: so many, and so many more in each such time, evenly spread; `None`: any number.
    pub rate: Option<(u32, Duration)>,
    /// How many bits of an IPv6 address say who a client is.
    pub ipv6_prefix: u8,
}

/// The clients of one listener.
#[derive(Debug)]
pub struct Clients {
    began: Instant,
    hasher: RandomState,
    open: Box<[Mutex<HashMap<u128, usize>>]>,
    /// Made when a rate is first asked for.
    recent: OnceLock<Box<[Mutex<Recent>]>>,
}

/// One connection of a client. Dropping it gives its place back.
#[derive(Debug)]
#[must_use = "the connection counts as long as this lives"]
pub struct ClientPlace {
    clients: Arc<Clients>,
    /// As bytes, which may stand anywhere: each connection holds one of these.
    client: [u8; 16],
}

/// Which limit refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefused {
    /// The client has too many connections.
    Full,
    /// The client opens them too fast.
    Rate,
}

/// Addresses that share a place in the table: when each will have been quiet long enough to start over, in
/// microseconds.
#[derive(Debug, Default)]
struct Recent([(u128, u64); WAYS]);

const SHARDS: usize = 64;
const SETS: usize = 2048;
const WAYS: usize = 8;

impl Clients {
    /// No client yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            hasher: RandomState::new(),
            open: (0..SHARDS).map(|_| Mutex::default()).collect(),
            recent: OnceLock::new(),
        })
    }

    /// Takes a place for one connection of that client.
    ///
    /// # Errors
    /// The client is at one of its limits; the connection must be closed.
    pub fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        limits: ClientLimits,
        now: Instant,
    ) -> Result<ClientPlace, ClientRefused> {
        let client = identity(client, limits.ipv6_prefix);
        let hash = self.hash(client);
        let mut open = self.shard(hash).ok_or(ClientRefused::Full)?;
        let before = open.get(&client).copied().unwrap_or(0);
        if before >= limits.connections {
            return Err(ClientRefused::Full);
        }
        if let Some((count, time)) = limits.rate {
            let now = micros(now.saturating_duration_since(self.began));
            let mut recent = self.recent(hash).ok_or(ClientRefused::Rate)?;
            if !recent.admit(client, now, (count, micros(time))) {
                return Err(ClientRefused::Rate);
            }
        }
        open.insert(client, before + 1);
        drop(open);
        Ok(ClientPlace {
            clients: Arc::clone(self),
            client: client.to_ne_bytes(),
        })
    }

    // The locks are held for a look into a table, and by those who accept or close a connection alone.
    fn shard(&self, hash: usize) -> Option<MutexGuard<'_, HashMap<u128, usize>>> {
        lock(&self.open, hash)
    }

    fn recent(&self, hash: usize) -> Option<MutexGuard<'_, Recent>> {
        let sets = self
            .recent
            .get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        lock(sets, hash)
    }

    fn hash(&self, client: u128) -> usize {
        usize::try_from(self.hasher.hash_one(client) >> 32).unwrap_or(0)
    }
}

/// Locks the part that a hash falls into; there always is one.
fn lock<T>(parts: &[Mutex<T>], hash: usize) -> Option<MutexGuard<'_, T>> {
    let part = parts.get(hash.checked_rem(parts.len())?)?;
    Some(part.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let client = u128::from_ne_bytes(self.client);
        let Some(mut shard) = self.clients.shard(self.clients.hash(client)) else {
            return;
        };
        if let Entry::Occupied(mut open) = shard.entry(client) {
            match open.get().checked_sub(1) {
                Some(left @ 1..) => {
                    open.insert(left);
                }
                Some(0) | None => {
                    open.remove();
                }
            }
        }
    }
}

impl ClientRefused {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Full => "client_full",
            Self::Rate => "client_rate",
        }
    }
}

impl Recent {
    /// Whether the client may come now, by the generic cell rate algorithm: each visit moves the time at which it will
    /// have been quiet long enough, and that may be at most `time` away.
    fn admit(&mut self, client: u128, now: u64, (count, time): (u32, u64)) -> bool {
        let each = time / u64::from(count.max(1));
        // A client that is not here takes the place of the one that has been quiet for longest.
        let known = self
            .0
            .iter_mut()
            .max_by_key(|(who, until)| (*who == client && *until > 0, std::cmp::Reverse(*until)));
        let Some(slot) = known else { return true };
        let quiet_at = if slot.0 == client {
            slot.1.max(now)
        } else {
            now
        };
        let next = quiet_at.saturating_add(each);
        if next.saturating_sub(now) > time {
            return false;
        }
        *slot = (client, next);
        true
    }
}

/// Who a client is: an IPv4 address, or the first bits of an IPv6 address.
fn identity(client: IpAddr, ipv6_prefix: u8) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(client) => client.to_ipv6_mapped().to_bits(),
        IpAddr::V6(client) => {
            let hidden = 128_u32.saturating_sub(u32::from(ipv6_prefix));
            client.to_bits() & u128::MAX.checked_shl(hidden).unwrap_or(0)
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ANY: ClientLimits = ClientLimits {
        connections: usize::MAX,
        rate: None,
        ipv6_prefix: 64,
    };

    #[test]
    fn a_client_has_so_many_connections_and_others_do_not_suffer() {
        let clients = Clients::new();
        let limits = ClientLimits {
            connections: 2,
            ..ANY
        };
        let now = Instant::now();
        let admit = |client: &str| clients.admit(client.parse().unwrap(), limits, now);
        let (_first, second) = (admit("192.0.2.1").unwrap(), admit("192.0.2.1").unwrap());
        assert_eq!(admit("192.0.2.1").err(), Some(ClientRefused::Full));
        assert_eq!(admit("::ffff:192.0.2.1").err(), Some(ClientRefused::Full));
        let _other = admit("192.0.2.2").unwrap();
        drop(second);
        assert!(admit("192.0.2.1").is_ok());
    }

    #[test]
    fn an_ipv6_client_is_known_by_its_prefix() {
        let clients = Clients::new();
        let admit = |client: &str, ipv6_prefix| {
            let limits = ClientLimits {
                connections: 1,
                ipv6_prefix,
                ..ANY
            };
            clients.admit(client.parse().unwrap(), limits, Instant::now())
        };
        let _held = admit("2001:db8::1", 64).unwrap();
        assert!(admit("2001:db8::2", 64).is_err());
        assert!(admit("2001:db8:0:1::1", 64).is_ok());
        assert!(admit("2001:db8::2", 128).is_ok());
    }

    #[test]
    fn what_is_counted_is_forgotten_with_the_last_connection() {
        let clients = Clients::new();
        let now = Instant::now();
        let held: Vec<_> = (0..100_u32)
            .map(|number| clients.admit(IpAddr::from(number.to_be_bytes()), ANY, now))
            .collect();
        drop(held);
        let left: usize = clients.open.iter().map(|s| s.lock().unwrap().len()).sum();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_an_even_flow() {
        let clients = Clients::new();
        let limits = ClientLimits {
            rate: Some((10, Duration::from_secs(1))),
            ..ANY
        };
        let at = |millis| clients.began + Duration::from_millis(millis);
        let admitted = |now| {
            (0..100)
                .filter(|_| clients.admit(A, limits, now).is_ok())
                .count()
        };
        assert_eq!(admitted(at(1_000)), 10);
        assert_eq!(admitted(at(1_050)), 0);
        assert_eq!(admitted(at(1_100)), 1);
        assert_eq!(admitted(at(1_500)), 4);
        assert_eq!(
            admitted(at(60_000)),
            10,
            "nothing is saved up beyond a burst"
        );
    }

    #[test]
    fn the_table_of_rates_has_a_fixed_size_and_keeps_those_who_come_often() {
        let mut set = Recent::default();
        let terms = (2, 1_000_000);
        assert!(set.admit(1, 1, terms) && set.admit(1, 2, terms));
        // Others come once each; the one at its limit stays known.
        for (client, now) in (2..100).zip(3..) {
            assert!(set.admit(client, now, terms));
        }
        assert!(!set.admit(1, 200, terms));
    }
}
