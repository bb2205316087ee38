//! A controller with real files and stores, and with workers and name servers that do what a test tells them.

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use super::{
    BoundListener, Cause, ControlHandle, Controller, DataPlane, Files, Phase, ReloadReport, Start,
    Status,
    discovery::source::{Failure, Found, Source, SourceKey, Sources},
    first,
    task::Task,
};
use crate::{
    balance::EndpointStates,
    compile::{Stores, TlsStore},
    listener::bind::{BindCause, BindError},
    observe::Metrics,
    snapshot::{ListenerPlan, Snapshot, SnapshotCell},
};

/// A running controller.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) stores: Arc<Stores>,
    pub(super) cell: Arc<SnapshotCell>,
    pub(super) plane: Arc<Plane>,
    pub(super) names: Names,
    pub(super) control: ControlHandle,
    _task: Task,
}

impl Bench {
    /// Starts with this configuration and waits until it serves.
    pub(super) async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, text, Names::default()).await
    }

    pub(super) async fn start_in(folder: TempDir, text: &str, names: Names) -> Self {
        let path = folder.path().join("gateway.toml");
        fs::write(&path, text).unwrap();
        let stores = Arc::new(stores());
        let (snapshot, origin) = match first(Files::read(&path), &stores) {
            Ok(first) => first,
            Err(diagnostics) => panic!("{diagnostics}"),
        };
        let cell = SnapshotCell::new(snapshot);
        let plane = Arc::new(Plane::default());
        let sockets = plane.prepare(&cell.load().listeners).unwrap();
        let (controller, control) = Controller::new(Start {
            path,
            stores: Arc::clone(&stores),
            cell: Arc::clone(&cell),
            plane: Arc::clone(&plane),
            sockets,
            origin,
            clock: std::time::Instant::now(),
        });
        let task = Task::start(controller.run_with(names.clone()));
        let bench = Self {
            folder,
            stores,
            cell,
            plane,
            names,
            control,
            _task: task,
        };
        bench.until(|status| status.phase == Phase::Ready).await;
        bench
    }

    /// Writes a file beside the configuration; returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Replaces the configuration and asks for a reload.
    pub(super) async fn reload(&self, text: &str) -> Arc<ReloadReport> {
        self.write("gateway.toml", text);
        self.control.reload(Cause::Admin).await.unwrap()
    }

    pub(super) async fn until(&self, reached: impl FnMut(&Arc<Status>) -> bool) -> Arc<Status> {
        let mut status = self.control.subscribe();
        let waiting = status.wait_for(reached);
        let status = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        Arc::clone(&status.expect("the controller never came there").unwrap())
    }

    /// The addresses in the pool of an upstream.
    pub(super) fn pool(&self, upstream: &str) -> Vec<String> {
        let snapshot = self.cell.load();
        let pool = upstream_of(&snapshot, upstream).pool.load_full();
        let endpoints = pool.endpoints().iter();
        endpoints.map(|e| e.address.to_string()).collect()
    }

    /// Waits until the pool of an upstream has these addresses.
    pub(super) async fn until_pool(&self, upstream: &str, addresses: &[&str]) {
        let same = async {
            while self.pool(upstream) != addresses {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), same).await;
        assert!(waited.is_ok(), "{:?} {addresses:?}", self.pool(upstream));
    }
}

/// The snapshot of a configuration.
pub(super) fn snapshot(text: &str, stores: &Stores) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    fs::write(&path, text).unwrap();
    match first(Files::read(&path), stores) {
        Ok((snapshot, _)) => snapshot,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

pub(super) fn upstream_of(snapshot: &Snapshot, name: &str) -> Arc<crate::snapshot::Upstream> {
    let mut upstreams = snapshot.upstreams.iter();
    Arc::clone(upstreams.find(|u| &*u.name == name).unwrap())
}

pub(super) fn stores() -> Stores {
    let metrics = Arc::new(Metrics::new(1));
    Stores {
        access_logs: None,
        endpoints: EndpointStates::default(),
        tls: TlsStore::default(),
        metrics,
    }
}

/// Workers that only remember what they were told.
#[derive(Default)]
pub(super) struct Plane {
    /// The port that is in use by somebody else.
    pub(super) taken: Mutex<Option<u16>>,
    applied: Mutex<Vec<Vec<String>>>,
    drains: AtomicUsize,
    pub(super) ended: Notify,
}

impl Plane {
    /// The names of the listeners, for each time they were applied.
    pub(super) fn applied(&self) -> Vec<Vec<String>> {
        self.applied.lock().unwrap().clone()
    }

    pub(super) fn drains(&self) -> usize {
        self.drains.load(Ordering::SeqCst)
    }
}

impl DataPlane for Plane {
    type Prepared = Vec<String>;

    fn listeners(&self) -> Vec<BoundListener> {
        Vec::new()
    }

    fn prepare(&self, plans: &[Arc<ListenerPlan>]) -> Result<Vec<String>, Vec<BindError>> {
        let taken = *self.taken.lock().unwrap();
        let refused: Vec<BindError> = plans
            .iter()
            .filter(|plan| Some(plan.address.port()) == taken)
            .map(|plan| BindError {
                listener: plan.name.to_string(),
                address: plan.address,
                cause: BindCause::InUse,
            })
            .collect();
        if refused.is_empty() {
            Ok(plans.iter().map(|plan| plan.name.to_string()).collect())
        } else {
            Err(refused)
        }
    }

    fn apply(&self, prepared: Vec<String>) {
        self.applied.lock().unwrap().push(prepared);
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }

    async fn idle(&self) {
        self.ended.notified().await;
    }
}

/// What stands behind host names, as a test says. A name of which nothing was said yet has no answer yet.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<Box<str>, watch::Sender<Answer>>>>);

#[derive(Clone, Debug, Default)]
struct Answer(Option<Result<Vec<Found>, Failure>>);

struct Name(watch::Receiver<Answer>);

impl Names {
    pub(super) fn set(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let found = addresses.map(|address: IpAddr| Found::at(address));
        self.say(host, Ok(found.collect()));
    }

    pub(super) fn fail(&self, host: &str) {
        self.say(host, Err(Failure("no".to_owned())));
    }

    /// How many sources are open for a name.
    pub(super) fn followers(&self, host: &str) -> usize {
        self.sender(host).receiver_count()
    }

    fn say(&self, host: &str, answer: Result<Vec<Found>, Failure>) {
        self.sender(host).send_replace(Answer(Some(answer)));
    }

    fn sender(&self, host: &str) -> watch::Sender<Answer> {
        let mut names = self.0.lock().unwrap();
        names.entry(host.into()).or_default().clone()
    }
}

impl Sources for Names {
    fn open(&self, key: &SourceKey) -> Box<dyn Source> {
        let mut answers = self.sender(key.name()).subscribe();
        answers.mark_changed();
        Box::new(Name(answers))
    }
}

impl Source for Name {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Vec<Found>, Failure>> + Send + '_>> {
        Box::pin(async move {
            loop {
                if self.0.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let answer = self.0.borrow_and_update().clone();
                if let Answer(Some(answer)) = answer {
                    return answer;
                }
            }
        })
    }
}
