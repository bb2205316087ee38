//! Name servers as a source of endpoints: asks again when an answer has expired.

mod host;
mod service;

#[cfg(test)]
mod testing;

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    pace::Pace,
    resolver::Resolver,
    source::{Failure, Found, Source},
};
use crate::snapshot::{DnsKey, DnsRecords};
use host::Host;
use service::Service;

/// One name and when to ask for it again.
#[derive(Debug)]
pub struct Dns {
    question: Question,
    resolver: Arc<Resolver>,
    pace: Pace,
    due: Instant,
}

#[derive(Debug)]
enum Question {
    Host(Host),
    Service(Service),
}

/// What was found, and for how long it is good.
#[derive(Debug, PartialEq, Eq)]
struct Answer<T> {
    found: Vec<T>,
    good_for: Duration,
}

impl Dns {
    /// The source for one name.
    #[must_use]
    pub fn new(key: &DnsKey, resolver: Arc<Resolver>) -> Self {
        Self {
            question: match key.records {
                DnsRecords::Addresses => Question::Host(Host::new(&key.name, key.plan.family)),
                DnsRecords::Services => Question::Service(Service::new(&key.name, key.plan.family)),
            },
            resolver,
            pace: Pace::new(key.plan.min_ttl, key.plan.max_ttl),
            due: Instant::now(),
        }
    }

    /// Asks now; the answer, and how long to wait before the next time.
    async fn ask(&mut self) -> (Result<Vec<Found>, Failure>, Duration) {
        let answer = match &mut self.question {
            Question::Host(host) => host.resolve(&self.resolver).await.map(|answer| Answer {
                found: answer.found.into_iter().map(Found::at).collect(),
                good_for: answer.good_for,
            }),
            Question::Service(service) => service.resolve(&self.resolver).await,
        };
        match answer {
            Ok(answer) => (Ok(answer.found), self.pace.after_answer(answer.good_for)),
            Err(failure) => (Err(failure), self.pace.after_failure(fastrand::u64(..))),
        }
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

/// For how long what a file says is good.
const FILE_GOOD_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::RecordType;

    use super::{testing::NameServer, *};

    #[tokio::test]
    async fn the_lifetime_has_a_floor_and_a_ceiling() {
        let names = NameServer::start().await;
        names.set("short.test", RecordType::A, 0, &["127.0.0.2"]);
        names.set("long.test", RecordType::A, 86_400, &["127.0.0.2"]);
        let (_, short) = names.source("short.test").ask().await;
        let (_, long) = names.source("long.test").ask().await;
        assert_eq!(short, Duration::from_secs(1));
        assert_eq!(long, Duration::from_secs(300));
    }

    #[tokio::test]
    async fn a_changed_answer_is_seen_at_the_next_time() {
        let names = NameServer::start().await;
        let mut source = names.source("a.test");
        let at = |text: &str| Ok(vec![Found::at(text.parse().unwrap())]);
        names.set("a.test", RecordType::A, 1, &["127.0.0.2"]);
        assert_eq!(source.ask().await.0, at("127.0.0.2"));
        names.set("a.test", RecordType::A, 1, &["127.0.0.4"]);
        assert_eq!(source.ask().await.0, at("127.0.0.4"));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_a_failure_with_a_short_wait() {
        let names = NameServer::start().await;
        let (answer, wait) = names.source("gone.test").ask().await;
        assert_eq!(answer, Err(Failure("the name does not exist".to_owned())));
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[tokio::test]
    async fn the_first_answer_comes_without_a_wait() {
        let names = NameServer::start().await;
        names.set("a.test", RecordType::A, 60, &["127.0.0.2"]);
        let mut source: Box<dyn Source> = Box::new(names.source("a.test"));
        let found = source.next().await.unwrap();
        assert_eq!(found, [Found::at("127.0.0.2".parse().unwrap())]);
    }
}
