//! Which endpoints stand behind the names of the upstreams.
//!
//! Each source has one task, whichever upstreams use it, and the task outlives reloads: a new snapshot begins with what
//! is known already, even if from now on another way is gone to find it. A source that fails, or finds nothing, changes
//! nothing: the last good endpoints stay, for as long as it takes.

pub mod dns;
pub mod pace;
pub mod resolver;
pub mod source;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::task::Task;
use crate::{
    observe::metrics::{NamedSource, SourceFigures},
    snapshot::{HostedEndpoint, Snapshot, SourceState, Upstream},
};
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
    state: Arc<SourceState>,
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
            let state = Arc::new(SourceState::default());
            let mut followed = Followed {
                number,
                found: Vec::new(),
                heard: false,
                state,
                _task: task,
            };
            // Asking otherwise than before must not lose what is known while there is no answer yet.
            if let Some((_, other)) = self.same(&key) {
                followed.found.clone_from(&other.found);
                followed.state.take_over(&other.state);
            }
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

    /// The endpoints that a source has found; none while nothing is known.
    #[must_use]
    pub fn found(&self, key: &SourceKey) -> &[Found] {
        self.followed
            .get(key)
            .map_or(&[], |followed| &followed.found)
    }

    /// Tells the upstreams of a snapshot, and their metrics, what is known of their sources.
    pub fn tell(&self, snapshot: &Snapshot) {
        for upstream in &snapshot.upstreams {
            let mut sources: Vec<(SourceKey, Arc<SourceState>)> = Vec::new();
            for key in self::sources(upstream) {
                if let Some(followed) = self.followed.get(key)
                    && sources.iter().all(|(known, _)| known != key)
                {
                    sources.push((key.clone(), Arc::clone(&followed.state)));
                }
            }
            let named = sources.iter().map(|(key, state)| {
                let figures: Weak<dyn SourceFigures> = Arc::downgrade(state) as _;
                NamedSource {
                    kind: key.kind(),
                    name: key.name().into(),
                    figures,
                }
            });
            upstream.metrics.set_sources(named.collect());
            upstream.sources.store(Arc::new(sources));
        }
    }

    /// Who seeks the same already, with endpoints.
    fn same(&self, key: &SourceKey) -> Option<(&SourceKey, &Followed)> {
        self.followed
            .iter()
            .find(|(known, followed)| known.seeks_the_same_as(key) && !followed.found.is_empty())
    }

    /// Takes note; the key when the set of endpoints is another one now.
    fn hear(&mut self, news: News) -> Option<SourceKey> {
        let followed = self
            .followed
            .get_mut(&news.key)
            .filter(|followed| followed.number == news.number)?;
        followed.heard = true;
        let failing = followed.state.known().failing;
        let (kind, name) = (news.key.kind(), news.key.name());
        match news.answer.and_then(not_empty) {
            Ok(found) => {
                followed.state.answered(found.len(), Instant::now().into());
                if followed.found == found {
                    if failing.is_some() {
                        tracing::info!(kind, name, "endpoints are found again, the same ones");
                    }
                    return None;
                }
                let addresses: Vec<_> = found.iter().map(|found| found.address).collect();
                tracing::info!(kind, name, ?addresses, "endpoints are found");
                followed.found = found;
                Some(news.key)
            }
            Err(Failure(reason)) => {
                followed.state.failed(&reason, SystemTime::now());
                if failing.is_none_or(|before| *before.reason != *reason) {
                    let kept = followed.found.len();
                    if kept == 0 {
                        tracing::warn!(kind, name, error = %reason, "endpoints are not found, and none are known");
                    } else {
                        tracing::warn!(kind, name, error = %reason, kept, "endpoints are not found, the last good ones stay");
                    }
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

/// Nobody means to say by an empty set that an upstream shall have no endpoints, and often it is a fault.
fn not_empty(found: Vec<Found>) -> Result<Vec<Found>, Failure> {
    if found.is_empty() {
        return Err(Failure("the answer has no endpoint".to_owned()));
    }
    Ok(found)
}

/// Whether an upstream has endpoints from this source.
#[must_use]
pub fn uses(upstream: &Upstream, wanted: &SourceKey) -> bool {
    sources(upstream).any(|key| key == wanted)
}

/// Whether an upstream has endpoints that have to be found.
#[must_use]
pub fn has_sources(upstream: &Upstream) -> bool {
    sources(upstream).next().is_some()
}

fn sources(upstream: &Upstream) -> impl Iterator<Item = &SourceKey> {
    upstream
        .configured
        .iter()
        .filter_map(HostedEndpoint::source)
}

fn keys(snapshot: &Snapshot) -> HashSet<SourceKey> {
    let upstreams = snapshot.upstreams.iter();
    upstreams
        .flat_map(|upstream| sources(upstream).cloned())
        .collect()
}

/// Sources that speak while nobody listens wait.
const QUEUE: usize = 64;
