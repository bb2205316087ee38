//! A host name and its addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    pin::pin,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    net::NetError,
    proto::rr::{Name, RecordType},
};
use tokio::time::timeout;

use super::{Answer, FILE_GOOD_FOR};
use crate::{
    control::discovery::{resolver::Resolver, source::Failure},
    snapshot::AddressFamily,
};

/// One host name, with what it last stood for.
#[derive(Debug)]
pub(super) struct Host {
    name: Box<str>,
    wanted: AddressFamily,
    /// The last good answer, of which one family stays good when only the other one answers.
    kept: Families,
}

/// What a name stands for.
#[derive(Clone, Debug, Default)]
struct Families {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

/// What the name servers say about one address family of a name.
#[derive(Debug)]
enum Family {
    Addresses(Vec<IpAddr>, Duration),
    /// The name does not exist, or not with such an address.
    Nothing(String),
    Failed(String),
    Unwanted,
}

impl Host {
    pub(super) fn new(name: &str, wanted: AddressFamily) -> Self {
        Self {
            name: name.into(),
            wanted,
            kept: Families::default(),
        }
    }

    /// The host's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The addresses that can be endpoints, in a steady order.
    pub(super) async fn resolve(&mut self, resolver: &Resolver) -> Result<Answer<IpAddr>, Failure> {
        let answer = self.look_up(resolver).await?;
        self.kept = answer.0.clone();
        Ok(Answer {
            found: answer.0.usable(is_routable),
            good_for: answer.1,
        })
    }

    /// The addresses of the last good answer.
    pub(super) fn last_good(&self) -> Vec<IpAddr> {
        self.kept.clone().usable(is_routable)
    }

    async fn look_up(&self, resolver: &Resolver) -> Result<(Families, Duration), Failure> {
        let name =
            Name::from_str_relaxed(&*self.name).map_err(|error| Failure(error.to_string()))?;
        let system = resolver.current();
        // As in the C library, a name that the hosts file knows with one family has no other.
        if let Some(listed) = system.listed(&name) {
            let families = Families {
                v4: listed.v4,
                v6: listed.v6,
            };
            return self.known_without_asking(families);
        }
        if is_localhost(&self.name) {
            return self.known_without_asking(Families {
                v4: vec![Ipv4Addr::LOCALHOST.into()],
                v6: vec![Ipv6Addr::LOCALHOST.into()],
            });
        }
        let names = system
            .names
            .as_ref()
            .map_err(|reason| Failure(reason.clone()))?;
        let v4 = family(names, name.clone(), RecordType::A);
        let v6 = family(names, name, RecordType::AAAA);
        let (v4, v6) = match self.wanted {
            AddressFamily::Any => both(v4, v6).await,
            AddressFamily::V4 => (v4.await, Family::Unwanted),
            AddressFamily::V6 => (Family::Unwanted, v6.await),
        };
        merge(v4, v6, &self.kept)
    }

    fn known_without_asking(
        &self,
        mut families: Families,
    ) -> Result<(Families, Duration), Failure> {
        match self.wanted {
            AddressFamily::Any => {}
            AddressFamily::V4 => families.v6.clear(),
            AddressFamily::V6 => families.v4.clear(),
        }
        if families.v4.is_empty() && families.v6.is_empty() {
            return Err(Failure("the hosts file has no such address".to_owned()));
        }
        Ok((families, FILE_GOOD_FOR))
    }
}

impl Families {
    /// The addresses that can be endpoints. A family that this machine has no route for is left out, as the C library
    /// does, unless nothing else is left.
    fn usable(self, is_routable: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let mut addresses = self.v4;
        addresses.extend(self.v6);
        addresses.retain(|address| !address.is_unspecified() && !address.is_multicast());
        // Name servers rotate their answers, which must not look like a change.
        addresses.sort_unstable();
        addresses.dedup();
        let (routable, others): (Vec<IpAddr>, Vec<IpAddr>) = addresses
            .into_iter()
            .partition(|&address| is_routable(address));
        if routable.is_empty() {
            others
        } else {
            routable
        }
    }
}

async fn family(names: &TokioResolver, name: Name, kind: RecordType) -> Family {
    match names.lookup(name, kind).await {
        Ok(found) => {
            let lifetime = found.answers().iter().map(|record| record.ttl).min();
            let addresses: Vec<IpAddr> = found
                .answers()
                .iter()
                .filter_map(|record| record.data.ip_addr())
                .collect();
            if addresses.is_empty() {
                // Such as an alias of a name without addresses.
                return Family::Nothing(NO_ADDRESS.to_owned());
            }
            let good_for = Duration::from_secs(lifetime.unwrap_or_default().into());
            Family::Addresses(addresses, good_for)
        }
        Err(error) if error.is_no_records_found() => Family::Nothing(words(&error, NO_ADDRESS)),
        Err(error) => Family::Failed(words(&error, NO_ADDRESS)),
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
        .unwrap_or_else(|_| Family::Failed("the name servers are slow".to_owned()))
}

/// One answer from two. A family that failed keeps its last good addresses while the other one answers.
fn merge(v4: Family, v6: Family, kept: &Families) -> Result<(Families, Duration), Failure> {
    let good_for = match (&v4, &v6) {
        (Family::Addresses(_, one), Family::Addresses(_, other)) => *one.min(other),
        (Family::Addresses(_, one), _) | (_, Family::Addresses(_, one)) => *one,
        (Family::Failed(reason), _)
        | (_, Family::Failed(reason))
        | (Family::Nothing(reason), _)
        | (_, Family::Nothing(reason)) => return Err(Failure(reason.clone())),
        (Family::Unwanted, Family::Unwanted) => return Err(Failure(NO_ADDRESS.to_owned())),
    };
    let addresses = |family, kept: &[IpAddr]| match family {
        Family::Addresses(addresses, _) => addresses,
        Family::Nothing(_) | Family::Unwanted => Vec::new(),
        Family::Failed(_) => kept.to_vec(),
    };
    let families = Families {
        v4: addresses(v4, &kept.v4),
        v6: addresses(v6, &kept.v6),
    };
    Ok((families, good_for))
}

/// Why there is no answer, in the same words each time: a repeated failure must be told from a new one.
pub(super) fn words(error: &NetError, nothing: &str) -> String {
    if error.is_nx_domain() {
        "the name does not exist".to_owned()
    } else if error.is_no_records_found() {
        nothing.to_owned()
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

const NO_ADDRESS: &str = "the name has no address";
/// How much longer the second family may take than a first one with addresses.
const LAG: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use hickory_resolver::Hosts;

    use super::{super::testing::NameServer, *};

    fn at(addresses: &[&str]) -> Vec<IpAddr> {
        let addresses = addresses.iter();
        addresses.map(|text| text.parse().unwrap()).collect()
    }

    fn families(v4: &[&str], v6: &[&str]) -> Families {
        Families {
            v4: at(v4),
            v6: at(v6),
        }
    }

    /// A host with the name servers to ask for it.
    struct Asked(Host, std::sync::Arc<Resolver>);

    impl Asked {
        fn new(names: &NameServer, name: &str) -> Self {
            Self::wanting(names, name, AddressFamily::Any)
        }

        fn wanting(names: &NameServer, name: &str, wanted: AddressFamily) -> Self {
            Self(Host::new(name, wanted), names.resolver(Hosts::default()))
        }

        async fn addresses(&mut self) -> Result<Vec<IpAddr>, Failure> {
            Ok(self.0.resolve(&self.1).await?.found)
        }
    }

    #[tokio::test]
    async fn all_addresses_of_both_families_are_found_in_a_steady_order() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.3", "127.0.0.2"]);
        names.set("a.test", RecordType::AAAA, 40, &["::1"]);
        let Asked(mut host, resolver) = Asked::new(&names, "a.test");
        let answer = host.resolve(&resolver).await.unwrap();
        assert_eq!(answer.found, at(&["127.0.0.2", "127.0.0.3", "::1"]));
        assert_eq!(answer.good_for, Duration::from_secs(40));
    }

    #[tokio::test]
    async fn one_family_alone_is_asked_for_when_it_alone_is_wanted() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.3"]);
        names.set("a.test", RecordType::AAAA, 40, &["::1"]);
        for (wanted, expected) in [(AddressFamily::V4, "127.0.0.3"), (AddressFamily::V6, "::1")] {
            let before = names.asked("a.test");
            let mut host = Asked::wanting(&names, "a.test", wanted);
            assert_eq!(host.addresses().await, Ok(at(&[expected])));
            assert_eq!(names.asked("a.test"), before + 1);
        }
        let mut local = Asked::wanting(&names, "localhost", AddressFamily::V4);
        assert_eq!(local.addresses().await, Ok(at(&["127.0.0.1"])));
    }

    #[tokio::test]
    async fn an_answer_that_was_cut_short_is_asked_for_over_tcp() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2", "127.0.0.3"]);
        names.cut_short("a.test", RecordType::A);
        let mut host = Asked::wanting(&names, "a.test", AddressFamily::V4);
        assert_eq!(host.addresses().await, Ok(at(&["127.0.0.2", "127.0.0.3"])));
    }

    #[tokio::test]
    async fn a_family_that_fails_keeps_its_addresses_while_the_other_one_answers() {
        let names = NameServer::start().await;
        let mut host = Asked::new(&names, "a.test");
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        names.set("a.test", RecordType::AAAA, 60, &["::1"]);
        host.addresses().await.unwrap();
        names.set("a.test", RecordType::A, 60, &["127.0.0.3"]);
        names.fail("a.test", RecordType::AAAA);
        assert_eq!(host.addresses().await, Ok(at(&["127.0.0.3", "::1"])));
    }

    #[tokio::test]
    async fn a_family_without_an_answer_does_not_hold_up_the_other_one() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        names.keep_silent("a.test", RecordType::AAAA);
        let mut host = Asked::new(&names, "a.test");
        let answer = timeout(Duration::from_secs(4), host.addresses());
        assert_eq!(answer.await.unwrap(), Ok(at(&["127.0.0.2"])));
        names.until_asked("a.test", 2).await;
    }

    #[tokio::test]
    async fn a_failing_name_server_is_a_failure_that_forgets_nothing() {
        let names = NameServer::start().await;
        let mut host = Asked::new(&names, "a.test");
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        host.addresses().await.unwrap();
        names.fail("a.test", RecordType::A);
        names.fail("a.test", RecordType::AAAA);
        assert!(host.addresses().await.is_err());
        assert_eq!(host.0.last_good(), at(&["127.0.0.2"]));
    }

    #[tokio::test]
    async fn the_hosts_file_comes_before_the_name_servers() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        let mut hosts = Hosts::default();
        hosts
            .read_hosts_conf("127.0.0.9 a.test".as_bytes())
            .unwrap();
        let resolver = names.resolver(hosts);
        let mut host = Host::new("a.test", AddressFamily::Any);
        let answer = host.resolve(&resolver).await.unwrap();
        assert_eq!(answer.found, at(&["127.0.0.9"]));
        assert_eq!(answer.good_for, FILE_GOOD_FOR);
        let mut host = Host::new("a.test", AddressFamily::V6);
        assert!(host.resolve(&resolver).await.is_err());
    }

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        let names = NameServer::start().await;
        let answer = Asked::new(&names, "localhost").addresses().await;
        assert!(answer.unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
        assert_eq!(names.asked("localhost"), 0);
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
