//! Which addresses stand behind the host names of the upstreams.
//!
//! Each name has one task, whichever upstreams use it, and the task outlives reloads: a new snapshot begins with what is
//! known already. A source that fails changes nothing, so the last good addresses stay.

pub mod dns;
pub mod pace;
pub mod pool;
pub mod resolver;
pub mod source;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::task::Task;
use crate::snapshot::{HostedEndpoint, Snapshot, Upstream};
use source::{Failure, Found, Source, SourceKey, Sources};

/// The sources of all upstreams and what they last said. Belongs to the controller.
pub struct Discovery {
    sources: Box<dyn Sources>,
    followed: HashMap<SourceKey, Followed>,
    /// Counts the tasks, so that news from one that has been ended can be told apart.
    started: u64,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

struct Followed {
    number: u64,
    found: Vec<Found>,
    /// Whether the source has said anything yet, good or bad.
    heard: bool,
    failure: Option<Failure>,
    _task: Task,
}

struct News {
    key: SourceKey,
    number: u64,
    answer: Result<Vec<Found>, Failure>,
}

impl Discovery {
    /// Follows nothing yet.
    #[must_use]
    pub fn new(sources: impl Sources + 'static) -> Self {
        let (sender, news) = mpsc::channel(QUEUE);
        Self {
            sources: Box::new(sources),
            followed: HashMap::new(),
            started: 0,
            sender,
            news,
        }
    }

    /// Begins to follow what this snapshot names and nobody follows yet.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        for key in keys(snapshot) {
            if self.followed.contains_key(&key) {
                continue;
            }
            self.started += 1;
            let number = self.started;
            let task = Task::start(tell(
                key.clone(),
                number,
                self.sources.open(&key),
                self.sender.clone(),
            ));
            let followed = Followed {
                number,
                found: Vec::new(),
                heard: false,
                failure: None,
                _task: task,
            };
            self.followed.insert(key, followed);
        }
    }

    /// Follows no more what this snapshot does not name.
    pub fn forget_others(&mut self, snapshot: &Snapshot) {
        let named = keys(snapshot);
        self.followed.retain(|key, _| named.contains(key));
    }

    /// Waits until every source has said something, but no longer than `grace`.
    pub async fn settle(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        while self.followed.values().any(|followed| !followed.heard) {
            let Ok(Some(news)) = timeout_at(deadline, self.news.recv()).await else {
                return;
            };
            self.hear(news);
        }
    }

    /// Waits until a source says something new, and returns which one. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> SourceKey {
        loop {
            let Some(news) = self.news.recv().await else {
                // We hold a sender ourselves, so the channel does not close.
                return std::future::pending().await;
            };
            if let Some(key) = self.hear(news) {
                return key;
            }
        }
    }

    /// What stands behind a configured host name; empty while nothing is known.
    #[must_use]
    pub fn found(&self, endpoint: &HostedEndpoint) -> &[Found] {
        key(endpoint)
            .and_then(|key| self.followed.get(&key))
            .map_or(&[], |followed| &followed.found)
    }

    /// Takes note; the key when the set of addresses is another one now.
    fn hear(&mut self, news: News) -> Option<SourceKey> {
        let followed = self
            .followed
            .get_mut(&news.key)
            .filter(|followed| followed.number == news.number)?;
        followed.heard = true;
        match news.answer {
            Ok(found) => {
                let recovered = followed.failure.take().is_some();
                if followed.found == found {
                    if recovered {
                        tracing::info!(name = %news.key, "name is resolved again, to the same addresses");
                    }
                    return None;
                }
                let addresses: Vec<_> = found.iter().map(|found| found.address).collect();
                tracing::info!(name = %news.key, ?addresses, "name is resolved");
                followed.found = found;
                Some(news.key)
            }
            Err(failure) => {
                if followed.failure.as_ref() != Some(&failure) {
                    let name = &news.key;
                    if followed.found.is_empty() {
                        tracing::warn!(%name, error = %failure, "name is not resolved and has no address");
                    } else {
                        let kept = followed.found.len();
                        tracing::warn!(%name, error = %failure, kept, "name is not resolved, the last good addresses stay");
                    }
                    followed.failure = Some(failure);
                }
                None
            }
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Discovery")
            .field("followed", &self.followed.keys())
            .finish_non_exhaustive()
    }
}

/// Tells everything that a source says, until nobody listens.
async fn tell(
    key: SourceKey,
    number: u64,
    mut source: Box<dyn Source>,
    listener: mpsc::Sender<News>,
) {
    loop {
        let news = News {
            key: key.clone(),
            number,
            answer: source.next().await,
        };
        if listener.send(news).await.is_err() {
            return;
        }
    }
}

/// What a configured endpoint is looked up under; `None` when it is an address already.
#[must_use]
pub fn key(endpoint: &HostedEndpoint) -> Option<SourceKey> {
    match endpoint.host.parse::<std::net::IpAddr>() {
        Ok(_) => None,
        Err(_) => Some(SourceKey::Dns(
            endpoint.host.to_ascii_lowercase().into_boxed_str(),
        )),
    }
}

/// Whether an upstream has endpoints behind this name.
#[must_use]
pub fn uses(upstream: &Upstream, wanted: &SourceKey) -> bool {
    upstream
        .configured
        .iter()
        .any(|endpoint| key(endpoint).as_ref() == Some(wanted))
}

/// Whether an upstream has endpoints that have to be found.
#[must_use]
pub fn has_names(upstream: &Upstream) -> bool {
    upstream
        .configured
        .iter()
        .any(|endpoint| key(endpoint).is_some())
}

fn keys(snapshot: &Snapshot) -> HashSet<SourceKey> {
    snapshot
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.configured.iter().filter_map(key))
        .collect()
}

/// Sources that speak while nobody listens wait.
const QUEUE: usize = 64;
