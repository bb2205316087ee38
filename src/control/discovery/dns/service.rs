//! A service and its SRV records, RFC 2782: hosts with ports, weights and priorities.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::SRV};
use tokio::task::JoinSet;

use super::{
    Answer,
    host::{Host, words},
};
use crate::{
    control::discovery::{
        resolver::Resolver,
        source::{Failure, Found},
    },
    snapshot::AddressFamily,
};

/// One service, with what its hosts last stood for.
#[derive(Debug)]
pub(super) struct Service {
    name: Box<str>,
    wanted: AddressFamily,
    /// The hosts of the last answer.
    hosts: BTreeMap<Box<str>, Target>,
}

#[derive(Debug)]
struct Target {
    host: Host,
    /// What was wrong the last time, so that it is said once.
    failing: Option<Failure>,
}

/// One SRV record of use.
#[derive(Debug)]
struct Record {
    priority: u16,
    weight: u32,
    port: u16,
    host: Box<str>,
}

impl Service {
    pub(super) fn new(name: &str, wanted: AddressFamily) -> Self {
        Self {
            name: name.into(),
            wanted,
            hosts: BTreeMap::new(),
        }
    }

    /// The endpoints, best tier first. A host that cannot be resolved keeps its last good addresses; one that never had
    /// any is left out, unless it is so with all.
    pub(super) async fn resolve(
        &mut self,
        resolver: &Arc<Resolver>,
    ) -> Result<Answer<Found>, Failure> {
        let (records, lifetime) = self.records(resolver).await?;
        let named: BTreeSet<&str> = records.iter().map(|record| &*record.host).collect();
        let targets = named.into_iter().map(|name| self.target(name)).collect();
        let resolved = resolve_all(targets, resolver).await;
        let mut good_for = lifetime;
        let mut addresses: BTreeMap<Box<str>, Vec<IpAddr>> = BTreeMap::new();
        let mut failure = None;
        // Hosts that are not in the answer any more are forgotten.
        self.hosts.clear();
        for (mut target, answer) in resolved {
            let name: Box<str> = target.host.name().into();
            match answer {
                Ok(answer) => {
                    good_for = good_for.min(answer.good_for);
                    target.failing = None;
                    addresses.insert(name.clone(), answer.found);
                }
                Err(reason) => {
                    good_for = good_for.min(INCOMPLETE_GOOD_FOR);
                    let kept = target.host.last_good();
                    if target.failing.as_ref() != Some(&reason) {
                        tracing::warn!(service = %self.name, host = %name, error = %reason, kept = kept.len(), "a host of a service cannot be resolved");
                    }
                    addresses.insert(name.clone(), kept);
                    target.failing = Some(reason.clone());
                    failure = Some(Failure(format!("{name}: {reason}")));
                }
            }
            self.hosts.insert(name, target);
        }
        let found = endpoints(&records, &addresses);
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(Answer { found, good_for }),
        }
    }

    async fn records(&self, resolver: &Resolver) -> Result<(Vec<Record>, Duration), Failure> {
        let name =
            Name::from_str_relaxed(&*self.name).map_err(|error| Failure(error.to_string()))?;
        let system = resolver.current();
        let names = system
            .names
            .as_ref()
            .map_err(|reason| Failure(reason.clone()))?;
        let found = names
            .lookup(name, RecordType::SRV)
            .await
            .map_err(|error| Failure(words(&error, NO_RECORD)))?;
        let lifetime = found.answers().iter().map(|record| record.ttl).min();
        let services: Vec<&SRV> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some(service),
                _ => None,
            })
            .collect();
        let records: Vec<Record> = services.iter().copied().filter_map(Record::new).collect();
        if records.is_empty() {
            let reason = if services.is_empty() {
                NO_RECORD
            } else {
                "the service is not offered: its records name no host"
            };
            return Err(Failure(reason.to_owned()));
        }
        let lifetime = Duration::from_secs(lifetime.unwrap_or_default().into());
        Ok((records, lifetime))
    }

    /// What is known of a host, or a new one.
    fn target(&mut self, name: &str) -> Target {
        self.hosts.remove(name).unwrap_or_else(|| Target {
            host: Host::new(name, self.wanted),
            failing: None,
        })
    }
}

impl Record {
    /// What a record says; nothing where it names no host or no port.
    fn new(service: &SRV) -> Option<Self> {
        if service.target.is_root() || service.port == 0 {
            return None;
        }
        Some(Self {
            priority: service.priority,
            // Records of weight 0 are to be chosen rarely beside others, and evenly among themselves.
            weight: u32::from(service.weight).max(1),
            port: service.port,
            host: service.target.to_lowercase().to_ascii().into(),
        })
    }
}

/// Asks for all hosts, some of them at a time.
async fn resolve_all(
    targets: Vec<Target>,
    resolver: &Arc<Resolver>,
) -> Vec<(Target, Result<Answer<IpAddr>, Failure>)> {
    let mut waiting = targets.into_iter();
    let mut asked = JoinSet::new();
    let mut resolved = Vec::new();
    loop {
        while asked.len() < AT_A_TIME {
            let Some(mut target) = waiting.next() else {
                break;
            };
            let resolver = Arc::clone(resolver);
            asked.spawn(async move {
                let answer = target.host.resolve(&resolver).await;
                (target, answer)
            });
        }
        match asked.join_next().await {
            None => return resolved,
            Some(Ok(one)) => resolved.push(one),
            // A look-up that panicked is one that failed; its host is asked for anew the next time.
            Some(Err(_)) => {}
        }
    }
}

/// The addresses behind each record. Priorities become tiers, the lowest number first.
fn endpoints(records: &[Record], addresses: &BTreeMap<Box<str>, Vec<IpAddr>>) -> Vec<Found> {
    let priorities: BTreeSet<u16> = records.iter().map(|record| record.priority).collect();
    let tier = |priority| {
        let before = priorities.range(..priority).count();
        u8::try_from(before).unwrap_or(u8::MAX)
    };
    let mut found: Vec<Found> = records
        .iter()
        .flat_map(|record| {
            let addresses = addresses.get(&record.host).into_iter().flatten();
            addresses.map(move |address| (record, *address))
        })
        .map(|(record, address)| Found {
            tier: tier(record.priority),
            port: Some(record.port),
            weight: Some(record.weight),
            ..Found::at(address)
        })
        .collect();
    found.sort_unstable();
    // What several records name counts once, in its best tier.
    let mut seen = HashSet::new();
    found.retain(|found| seen.insert((found.address, found.port)));
    found
}

/// How many hosts of a service are asked for at once.
const AT_A_TIME: usize = 16;
/// An answer without some of its hosts is asked for again soon.
const INCOMPLETE_GOOD_FOR: Duration = Duration::from_secs(10);
const NO_RECORD: &str = "the name has no SRV record";

#[cfg(test)]
mod tests {
    use hickory_resolver::Hosts;

    use super::{super::testing::NameServer, *};

    const NAME: &str = "_http._tcp.users.test";

    /// Tier, address with port, weight.
    type Shown = (u8, String, u32);

    fn shown(found: &[Found]) -> Vec<Shown> {
        let found = found.iter();
        found
            .map(|f| {
                let at = format!("{}:{}", f.address, f.port.unwrap());
                (f.tier, at, f.weight.unwrap())
            })
            .collect()
    }

    struct Asked(Service, Arc<Resolver>);

    impl Asked {
        fn new(names: &NameServer) -> Self {
            let service = Service::new(NAME, AddressFamily::V4);
            Self(service, names.resolver(Hosts::default()))
        }

        async fn endpoints(&mut self) -> Result<Vec<Shown>, Failure> {
            Ok(shown(&self.0.resolve(&self.1).await?.found))
        }
    }

    fn one(tier: u8, at: &str, weight: u32) -> Shown {
        (tier, at.to_owned(), weight)
    }

    #[tokio::test]
    async fn records_become_endpoints_with_ports_weights_and_tiers() {
        let names = NameServer::start().await;
        names.serve(
            NAME,
            60,
            &[
                (20, 0, 8_003, "c.test."),
                (10, 3, 8_001, "A.test."),
                (10, 0, 8_002, "b.test."),
            ],
        );
        names.set("a.test", RecordType::A, 30, &["127.0.0.1", "127.0.0.9"]);
        names.set("b.test", RecordType::A, 90, &["127.0.0.2"]);
        names.set("c.test", RecordType::A, 90, &["127.0.0.3"]);
        let Asked(mut service, resolver) = Asked::new(&names);
        let answer = service.resolve(&resolver).await.unwrap();
        assert_eq!(
            shown(&answer.found),
            [
                one(0, "127.0.0.1:8001", 3),
                one(0, "127.0.0.2:8002", 1),
                one(0, "127.0.0.9:8001", 3),
                one(1, "127.0.0.3:8003", 1),
            ]
        );
        assert_eq!(answer.good_for, Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_host_that_fails_keeps_its_addresses_and_one_that_never_had_any_is_left_out() {
        let names = NameServer::start().await;
        names.serve(NAME, 60, &[(1, 1, 81, "a.test."), (1, 1, 82, "b.test.")]);
        names.set("a.test", RecordType::A, 60, &["127.0.0.1"]);
        names.fail("b.test", RecordType::A);
        let mut asked = Asked::new(&names);
        let a = one(0, "127.0.0.1:81", 1);
        assert_eq!(asked.endpoints().await, Ok(vec![a.clone()]));
        names.set("b.test", RecordType::A, 60, &["127.0.0.2"]);
        let b = one(0, "127.0.0.2:82", 1);
        assert_eq!(asked.endpoints().await, Ok(vec![a.clone(), b.clone()]));
        names.fail("b.test", RecordType::A);
        let answer = asked.0.resolve(&asked.1).await.unwrap();
        assert_eq!(shown(&answer.found), [a, b]);
        assert_eq!(answer.good_for, INCOMPLETE_GOOD_FOR);
    }

    #[tokio::test]
    async fn without_any_address_there_is_no_answer() {
        let names = NameServer::start().await;
        names.serve(NAME, 60, &[(1, 1, 81, "gone.test.")]);
        let failure = Asked::new(&names).endpoints().await.unwrap_err();
        assert_eq!(failure.0, "gone.test.: the name does not exist");
    }

    #[tokio::test]
    async fn a_service_that_is_not_offered_is_a_failure() {
        let names = NameServer::start().await;
        names.serve(NAME, 60, &[(0, 0, 0, ".")]);
        let failure = Asked::new(&names).endpoints().await.unwrap_err();
        assert!(failure.0.contains("not offered"), "{failure}");
        names.set(NAME, RecordType::SRV, 60, &[]);
        let failure = Asked::new(&names).endpoints().await.unwrap_err();
        assert_eq!(failure.0, NO_RECORD);
    }

    #[tokio::test]
    async fn what_two_records_name_counts_once_in_its_best_tier() {
        let names = NameServer::start().await;
        names.serve(NAME, 60, &[(5, 9, 81, "b.test."), (1, 1, 81, "a.test.")]);
        names.set("a.test", RecordType::A, 60, &["127.0.0.1"]);
        names.set("b.test", RecordType::A, 60, &["127.0.0.1"]);
        let found = Asked::new(&names).endpoints().await;
        assert_eq!(found, Ok(vec![one(0, "127.0.0.1:81", 1)]));
    }
}
