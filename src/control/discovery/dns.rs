//! Host names, resolved as the system does.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    net::NetError,
    proto::rr::{Name, RecordType},
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    pace::Pace,
    resolver::Resolver,
    source::{Failure, Found, Source},
};

/// One host name and when to ask for it again.
#[derive(Debug)]
pub struct Dns {
    host: Box<str>,
    resolver: Arc<Resolver>,
    pace: Pace,
    due: Instant,
    /// The last good answer, of which one family stays good when only the other one answers.
    kept: Families,
}

/// What a name stands for.
#[derive(Clone, Debug, Default)]
struct Families {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

/// The addresses of a name and for how long they are good.
#[derive(Debug)]
struct Answer {
    families: Families,
    good_for: Duration,
}

/// What the name servers say about one address family of a name.
#[derive(Debug)]
enum Family {
    Addresses(Vec<IpAddr>, Duration),
    /// The name does not exist, or not with such an address.
    Nothing(NetError),
    Failed(NetError),
}

impl Dns {
    /// The source for one host name.
    #[must_use]
    pub fn new(host: &str, resolver: Arc<Resolver>) -> Self {
        Self {
            host: host.into(),
            resolver,
            pace: Pace::default(),
            due: Instant::now(),
            kept: Families::default(),
        }
    }

    /// Asks now; the answer, and how long to wait before the next time.
    async fn ask(&mut self) -> (Result<Vec<Found>, Failure>, Duration) {
        match self.resolve().await {
            Ok(answer) => {
                let wait = self.pace.after_answer(answer.good_for);
                self.kept = answer.families.clone();
                (Ok(answer.families.usable(is_routable)), wait)
            }
            Err(failure) => {
                let wait = self.pace.after_failure(fastrand::u64(..));
                (Err(failure), wait)
            }
        }
    }

    async fn resolve(&self) -> Result<Answer, Failure> {
        let name =
            Name::from_str_relaxed(&self.host).map_err(|error| Failure(error.to_string()))?;
        let system = self.resolver.current();
        // As in the C library, a name that the hosts file knows with one family has no other.
        if let Some(listed) = system.listed(&name) {
            return Ok(Answer {
                families: Families {
                    v4: listed.v4,
                    v6: listed.v6,
                },
                good_for: FILE_GOOD_FOR,
            });
        }
        if is_localhost(&self.host) {
            return Ok(Answer {
                families: Families {
                    v4: vec![Ipv4Addr::LOCALHOST.into()],
                    v6: vec![Ipv6Addr::LOCALHOST.into()],
                },
                good_for: FILE_GOOD_FOR,
            });
        }
        let names = system
            .names
            .as_ref()
            .map_err(|reason| Failure(reason.clone()))?;
        let (v4, v6) = both(
            family(names, name.clone(), RecordType::A),
            family(names, name, RecordType::AAAA),
        )
        .await;
        merge(v4, v6, &self.kept)
    }
}

impl Source for Dns {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Vec<Found>, Failure>> + Send + '_>> {
        Box::pin(async move {
            sleep_until(self.due).await;
            let (answer, wait) = self.ask().await;
            self.due = Instant::now() + wait;
            answer
        })
    }
}

impl Families {
    /// The addresses that can be endpoints. A family that this machine has no route for is left out, as the C library
    /// does, unless nothing else is left.
    fn usable(self, is_routable: impl Fn(IpAddr) -> bool) -> Vec<Found> {
        let mut addresses = self.v4;
        addresses.extend(self.v6);
        addresses.retain(|address| !address.is_unspecified() && !address.is_multicast());
        // Name servers rotate their answers, which must not look like a change.
        addresses.sort_unstable();
        addresses.dedup();
        let (routable, others): (Vec<IpAddr>, Vec<IpAddr>) = addresses
            .into_iter()
            .partition(|&address| is_routable(address));
        let chosen = if routable.is_empty() {
            others
        } else {
            routable
        };
        chosen.into_iter().map(Found::at).collect()
    }
}

async fn family(names: &TokioResolver, name: Name, kind: RecordType) -> Family {
    match names.lookup(name, kind).await {
        Ok(found) => {
            let lifetime = found.answers().iter().map(|record| record.ttl).min();
            let addresses = found
                .answers()
                .iter()
                .filter_map(|record| record.data.ip_addr())
                .collect();
            let good_for = Duration::from_secs(lifetime.unwrap_or_default().into());
            Family::Addresses(addresses, good_for)
        }
        Err(error) if error.is_no_records_found() => Family::Nothing(error),
        Err(error) => Family::Failed(error),
    }
}

/// Both families at once. When one has addresses, the other gets only little more time, because some name servers
/// never answer for a family that they do not know.
async fn both(
    v4: impl Future<Output = Family>,
    v6: impl Future<Output = Family>,
) -> (Family, Family) {
    let (mut v4, mut v6) = (pin!(v4), pin!(v6));
    tokio::select! {
        first = &mut v4 => {
            let second = after(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = after(&first, v4).await;
            (second, first)
        }
    }
}

async fn after(first: &Family, second: impl Future<Output = Family>) -> Family {
    if !matches!(first, Family::Addresses(..)) {
        return second.await;
    }
    timeout(LAG, second)
        .await
        .unwrap_or(Family::Failed(NetError::Timeout))
}

/// One answer from two. A family that failed keeps its last good addresses while the other one answers.
fn merge(v4: Family, v6: Family, kept: &Families) -> Result<Answer, Failure> {
    let good_for = match (&v4, &v6) {
        (Family::Addresses(_, one), Family::Addresses(_, other)) => *one.min(other),
        (Family::Addresses(_, one), _) | (_, Family::Addresses(_, one)) => *one,
        (Family::Failed(error), _)
        | (_, Family::Failed(error))
        | (Family::Nothing(error), Family::Nothing(_)) => return Err(Failure(words(error))),
    };
    let addresses = |family, kept: &[IpAddr]| match family {
        Family::Addresses(addresses, _) => addresses,
        Family::Nothing(_) => Vec::new(),
        Family::Failed(_) => kept.to_vec(),
    };
    Ok(Answer {
        families: Families {
            v4: addresses(v4, &kept.v4),
            v6: addresses(v6, &kept.v6),
        },
        good_for,
    })
}

/// Why there is no answer, in the same words each time: a repeated failure must be told from a new one.
fn words(error: &NetError) -> String {
    if error.is_nx_domain() {
        "the name does not exist".to_owned()
    } else if error.is_no_records_found() {
        "the name has no address".to_owned()
    } else {
        error.to_string()
    }
}

/// Whether this machine has a route to an address: connecting a datagram socket asks the kernel and sends nothing.
fn is_routable(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((address, 9)))
        .is_ok()
}

/// `localhost` and the names below it never reach a name server, RFC 6761 section 6.3.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.')
        .next()
        .is_some_and(|label| label.eq_ignore_ascii_case("localhost"))
}

/// For how long what a file says is good.
const FILE_GOOD_FOR: Duration = Duration::from_secs(10);
/// How much longer the second family may take than a first one with addresses.
const LAG: Duration = Duration::from_millis(500);

#[cfg(test)]
mod responder;

#[cfg(test)]
mod tests {
    use hickory_resolver::Hosts;

    use super::{responder::Responder, *};

    fn at(addresses: &[&str]) -> Vec<Found> {
        let addresses = addresses.iter();
        addresses
            .map(|text| Found::at(text.parse().unwrap()))
            .collect()
    }

    fn families(v4: &[&str], v6: &[&str]) -> Families {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Families {
            v4: parse(v4),
            v6: parse(v6),
        }
    }

    #[tokio::test]
    async fn all_addresses_of_both_families_are_found_in_a_steady_order() {
        let names = Responder::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.3", "127.0.0.2"]);
        names.set("a.test", RecordType::AAAA, 40, &["::1"]);
        let (answer, wait) = names.source("a.test").ask().await;
        assert_eq!(answer, Ok(at(&["127.0.0.2", "127.0.0.3", "::1"])));
        assert_eq!(wait, Duration::from_secs(40));
    }

    #[tokio::test]
    async fn the_lifetime_has_a_floor_and_a_ceiling() {
        let names = Responder::start().await;
        names.set("short.test", RecordType::A, 0, &["127.0.0.2"]);
        names.set("long.test", RecordType::A, 86_400, &["127.0.0.2"]);
        let (_, short) = names.source("short.test").ask().await;
        let (_, long) = names.source("long.test").ask().await;
        assert_eq!(short, Duration::from_secs(1));
        assert_eq!(long, Duration::from_secs(300));
    }

    #[tokio::test]
    async fn a_changed_answer_is_seen_at_the_next_time() {
        let names = Responder::start().await;
        let mut source = names.source("a.test");
        names.set("a.test", RecordType::A, 1, &["127.0.0.2"]);
        assert_eq!(source.ask().await.0, Ok(at(&["127.0.0.2"])));
        names.set("a.test", RecordType::A, 1, &["127.0.0.4"]);
        assert_eq!(source.ask().await.0, Ok(at(&["127.0.0.4"])));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_a_failure_with_a_short_wait() {
        let names = Responder::start().await;
        let (answer, wait) = names.source("gone.test").ask().await;
        assert_eq!(answer, Err(Failure("the name does not exist".to_owned())));
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[tokio::test]
    async fn a_family_that_fails_keeps_its_addresses_while_the_other_one_answers() {
        let names = Responder::start().await;
        let mut source = names.source("a.test");
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        names.set("a.test", RecordType::AAAA, 60, &["::1"]);
        source.ask().await.0.unwrap();
        names.set("a.test", RecordType::A, 60, &["127.0.0.3"]);
        names.fail("a.test", RecordType::AAAA);
        assert_eq!(source.ask().await.0, Ok(at(&["127.0.0.3", "::1"])));
    }

    #[tokio::test]
    async fn a_family_without_an_answer_does_not_hold_up_the_other_one() {
        let names = Responder::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        names.keep_silent("a.test", RecordType::AAAA);
        let answer = timeout(Duration::from_secs(4), async {
            names.source("a.test").ask().await.0
        });
        assert_eq!(answer.await.unwrap(), Ok(at(&["127.0.0.2"])));
    }

    #[tokio::test]
    async fn a_failing_name_server_is_a_failure() {
        let names = Responder::start().await;
        names.fail("a.test", RecordType::A);
        names.fail("a.test", RecordType::AAAA);
        assert!(names.source("a.test").ask().await.0.is_err());
    }

    #[tokio::test]
    async fn the_hosts_file_comes_before_the_name_servers() {
        let names = Responder::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        let mut hosts = Hosts::default();
        hosts
            .read_hosts_conf("127.0.0.9 a.test".as_bytes())
            .unwrap();
        let resolver = names.resolver(hosts);
        let (answer, wait) = Dns::new("a.test", resolver).ask().await;
        assert_eq!(answer, Ok(at(&["127.0.0.9"])));
        assert_eq!(wait, FILE_GOOD_FOR);
    }

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        let names = Responder::start().await;
        let (answer, _) = names.source("localhost").ask().await;
        assert!(
            answer
                .unwrap()
                .contains(&Found::at(Ipv4Addr::LOCALHOST.into()))
        );
        assert_eq!(names.asked(), 0);
    }

    #[tokio::test]
    async fn the_first_answer_comes_without_a_wait() {
        let names = Responder::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        let mut source: Box<dyn Source> = Box::new(names.source("a.test"));
        assert_eq!(source.next().await, Ok(at(&["127.0.0.2"])));
    }

    #[test]
    fn a_family_without_a_route_is_left_out_unless_nothing_else_is_left() {
        let only_v4 = |address: IpAddr| address.is_ipv4();
        let both = families(&["192.0.2.1"], &["2001:db8::1"]);
        assert_eq!(both.usable(only_v4), at(&["192.0.2.1"]));
        let v6 = families(&[], &["2001:db8::1"]);
        assert_eq!(v6.usable(only_v4), at(&["2001:db8::1"]));
    }

    #[test]
    fn addresses_that_are_no_endpoint_are_left_out() {
        let odd = families(&["0.0.0.0", "224.0.0.1", "192.0.2.1", "192.0.2.1"], &["::"]);
        assert_eq!(odd.usable(|_| true), at(&["192.0.2.1"]));
    }

    #[test]
    fn localhost_is_the_last_label() {
        assert!(is_localhost("localhost"));
        assert!(is_localhost("a.LocalHost."));
        assert!(!is_localhost("localhost.example.com"));
    }
}
