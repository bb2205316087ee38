//! The one writer: everything that changes what requests see happens here, one thing after the other.

use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf, sync::Arc, time::SystemTime};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    certificates,
    data_plane::DataPlane,
    discovery::{resolver::Resolvers, source::Sources},
    endpoints::EndpointKeeper,
    handle::{Command, ControlHandle},
    outliers,
    retired::Retired,
    status::{Cause, Outcome, Phase, ReloadReport, Status},
    task::Task,
    tell,
    watch::{
        FileWatch,
        files::{Changed, Look, Watched},
    },
    world::{Files, Identity, Origin, Read, Reading, World, read},
};
use crate::{
    compile::Stores,
    config::{Config, Diagnostics},
    snapshot::SnapshotCell,
};

/// What a controller writes to, and what the gateway starts with.
pub struct Start<D: DataPlane> {
    /// The configuration file.
    pub path: PathBuf,
    /// What outlives snapshots.
    pub stores: Arc<Stores>,
    /// Where snapshots are published; holds the first one.
    pub cell: Arc<SnapshotCell>,
    /// The workers.
    pub plane: Arc<D>,
    /// The sockets of the first snapshot.
    pub sockets: D::Prepared,
    /// Where the first snapshot came from.
    pub origin: Origin,
    /// The start of the gateway's clock.
    pub clock: std::time::Instant,
}

/// The one writer.
pub struct Controller<D: DataPlane> {
    path: PathBuf,
    stores: Arc<Stores>,
    cell: Arc<SnapshotCell>,
    plane: Arc<D>,
    clock: std::time::Instant,
    /// Taken by `run`, which opens them once the host names have had their chance.
    sockets: Option<D::Prepared>,
    /// What the process was started with, of the settings that hold until the next start.
    started: Fixed,
    identity: Identity,
    /// The files of the configuration that serves.
    watched: Watched,
    look: Look,
    /// The warnings of the first configuration.
    diagnostics: Diagnostics,
    /// Whether the files say something else than what serves, because it was refused.
    behind: bool,
    status: watch::Sender<Arc<Status>>,
    commands: mpsc::Receiver<Command>,
}

/// What a running controller has besides: it needs a runtime.
struct Running {
    endpoints: EndpointKeeper,
    files: FileWatch,
    retired: Retired,
}

impl<D: DataPlane> Controller<D> {
    /// A controller that does nothing before it runs, and the way to ask it.
    #[must_use]
    pub fn new(start: Start<D>) -> (Self, ControlHandle) {
        let snapshot = start.cell.load();
        let Origin {
            config,
            identity,
            watched,
            look,
            diagnostics,
        } = start.origin;
        let (status, following) = watch::channel(Arc::new(Status {
            generation: snapshot.generation,
            hash: snapshot.hash.clone(),
            config: Arc::clone(&config),
            since: SystemTime::now(),
            phase: Phase::Starting,
            last_reload: None,
        }));
        let (handle, commands) = ControlHandle::new(following);
        let controller = Self {
            path: start.path,
            stores: start.stores,
            cell: start.cell,
            plane: start.plane,
            clock: start.clock,
            sockets: Some(start.sockets),
            started: Fixed::of(&config),
            identity,
            watched,
            look,
            diagnostics,
            behind: false,
            status,
            commands,
        };
        (controller, handle)
    }

    /// Runs until every handle is gone.
    pub async fn run(self) {
        self.run_with(Resolvers::default()).await;
    }

    /// Runs until every handle is gone, with these sources of addresses.
    pub async fn run_with(mut self, sources: impl Sources + 'static) {
        let mut running = Running {
            endpoints: EndpointKeeper::new(sources, Arc::clone(&self.stores)),
            files: FileWatch::new(),
            retired: Retired::default(),
        };
        self.open(&mut running).await;
        let _outliers = Task::start(outliers::watch(Arc::clone(&self.cell), self.clock));
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return,
                    Some(command) => self.obey(command, &mut running).await,
                },
                changed = running.files.changed() => {
                    self.files_changed(changed, &mut running).await;
                }
                name = running.endpoints.changed() => {
                    running.endpoints.update(&name, &self.cell.load());
                }
                () = running.retired.due() => {
                    running.retired.look();
                    self.stores.retain_used();
                }
            }
        }
    }

    /// Opens the listeners on the first snapshot.
    async fn open(&mut self, running: &mut Running) {
        tell::diagnostics(&std::mem::take(&mut self.diagnostics));
        let snapshot = self.cell.load();
        running.endpoints.prepare(&snapshot).await;
        running.endpoints.adopt(&snapshot);
        if let Some(sockets) = self.sockets.take() {
            self.plane.apply(sockets);
        }
        running
            .files
            .set(self.watched.clone(), std::mem::take(&mut self.look));
        certificates::publish(&self.stores, &self.config());
        tell::started(&snapshot, &self.stores.metrics);
        self.change_status(|status| status.phase = Phase::Ready);
    }

    async fn obey(&mut self, command: Command, running: &mut Running) {
        match command {
            Command::Drain(answer) => {
                self.drain();
                // Who asked may have gone.
                let _ = answer.send(());
            }
            Command::Reload(cause, answer) => {
                let mut answers = vec![answer];
                let drain = self.join_waiting(&mut answers);
                let report = self.reload(cause, running).await;
                for answer in answers {
                    let _ = answer.send(Arc::clone(&report));
                }
                for answer in drain {
                    self.drain();
                    let _ = answer.send(());
                }
            }
        }
    }

    /// Those who ask for a reload while one is about to begin get the same one.
    fn join_waiting(
        &mut self,
        answers: &mut Vec<oneshot::Sender<Arc<ReloadReport>>>,
    ) -> Vec<oneshot::Sender<()>> {
        let mut drain = Vec::new();
        while let Ok(waiting) = self.commands.try_recv() {
            match waiting {
                Command::Reload(_, answer) => answers.push(answer),
                Command::Drain(answer) => drain.push(answer),
            }
        }
        drain
    }

    fn drain(&self) {
        if self.phase() == Phase::Draining {
            return;
        }
        tracing::info!("draining: no new connections, running exchanges end");
        self.stores.metrics.gateway().set_draining(true);
        // Whoever asks whether to send requests here must hear it before the listeners are closed.
        self.change_status(|status| status.phase = Phase::Draining);
        self.plane.drain();
    }

    async fn files_changed(&mut self, changed: Changed, running: &mut Running) {
        // A certificate that was missing may be all that the refused configuration lacked.
        if changed.configuration || self.behind {
            self.reload(Cause::File, running).await;
        } else {
            certificates::reload(&self.stores, &self.config()).await;
        }
    }

    async fn reload(&mut self, cause: Cause, running: &mut Running) -> Arc<ReloadReport> {
        let at = SystemTime::now();
        let began = Instant::now();
        let (outcome, diagnostics, remarks) = if self.phase() == Phase::Draining {
            let remark = "the gateway is draining".to_owned();
            (Outcome::Refused, Diagnostics::default(), vec![remark])
        } else {
            self.read_again(running).await
        };
        let report = Arc::new(ReloadReport {
            cause,
            outcome,
            generation: self.cell.load().generation,
            at,
            took: began.elapsed(),
            diagnostics,
            remarks,
        });
        self.change_status(|status| status.last_reload = Some(Arc::clone(&report)));
        tell::ended(&report, &self.cell.load(), &self.stores.metrics);
        report
    }

    /// Everything that a reload does, up to the point where it is told.
    async fn read_again(&mut self, running: &mut Running) -> (Outcome, Diagnostics, Vec<String>) {
        let reading = match self.read().await {
            Ok(reading) => reading,
            Err(error) => {
                let remark = format!("reading the configuration failed: {error}");
                return (Outcome::Refused, Diagnostics::default(), vec![remark]);
            }
        };
        let Reading {
            outcome,
            diagnostics,
            watched,
            look,
        } = reading;
        let (outcome, remarks) = match outcome {
            Read::New(world) => match self.put_into_effect(*world, running).await {
                Ok(remarks) => (Outcome::Applied, remarks),
                Err(remarks) => (Outcome::Refused, remarks),
            },
            Read::Unchanged => {
                certificates::reload(&self.stores, &self.config()).await;
                (Outcome::Unchanged, Vec::new())
            }
            Read::Refused => (Outcome::Refused, Vec::new()),
        };
        self.behind = outcome == Outcome::Refused;
        let mut files = watched;
        if self.behind {
            // What was refused may lack files of what serves, and the other way round.
            files.extend(&self.watched);
        } else {
            self.watched = files.clone();
        }
        running.files.set(files, look);
        (outcome, diagnostics, remarks)
    }

    async fn read(&self) -> Result<Reading, tokio::task::JoinError> {
        let path = self.path.clone();
        let stores = Arc::clone(&self.stores);
        let generation = self.cell.load().generation + 1;
        let identity = self.identity.clone();
        tokio::task::spawn_blocking(move || {
            read(Files::read(&path), &stores, generation, Some(&identity))
        })
        .await
    }

    /// Makes a new world the one that requests see, or leaves everything as it is and says why. The remarks of a
    /// success name the settings that wait for the next start.
    async fn put_into_effect(
        &mut self,
        world: World,
        running: &mut Running,
    ) -> Result<Vec<String>, Vec<String>> {
        let World {
            snapshot,
            config,
            identity,
        } = world;
        // New names are resolved before they are used: requests must not fail for a name that only has to be asked for.
        running.endpoints.prepare(&snapshot).await;
        let sockets = match self.plane.prepare(&snapshot.listeners) {
            Ok(sockets) => sockets,
            Err(errors) => {
                running.endpoints.adopt(&self.cell.load());
                return Err(errors.iter().map(ToString::to_string).collect());
            }
        };
        running.endpoints.fill(&snapshot);
        let (generation, hash) = (snapshot.generation, snapshot.hash.clone());
        running.retired.add(self.cell.publish(snapshot));
        self.plane.apply(sockets);
        running.endpoints.adopt(&self.cell.load());
        self.stores.retain_used();
        certificates::publish(&self.stores, &config);
        self.identity = identity;
        let waiting = self.started.waiting(&config);
        self.change_status(|status| {
            status.generation = generation;
            status.hash = hash;
            status.config = config;
            status.since = SystemTime::now();
        });
        Ok(waiting)
    }

    /// The configuration that serves.
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.status.borrow().config)
    }

    fn phase(&self) -> Phase {
        self.status.borrow().phase
    }

    fn change_status(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            let mut next = Status::clone(status);
            change(&mut next);
            *status = Arc::new(next);
        });
    }
}

/// The settings that are fixed when the process starts.
#[derive(Debug)]
struct Fixed {
    workers: Option<NonZeroU16>,
    admin_enabled: bool,
    admin_address: SocketAddr,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            workers: config.server.workers.as_deref().copied(),
            admin_enabled: *config.admin.enabled,
            admin_address: *config.admin.address,
        }
    }

    /// What has changed and waits for the next start.
    fn waiting(&self, now: &Config) -> Vec<String> {
        let now = Self::of(now);
        let fixed = [
            ("server.workers", self.workers != now.workers),
            ("admin.enabled", self.admin_enabled != now.admin_enabled),
            ("admin.address", self.admin_address != now.admin_address),
        ];
        let changed = fixed.into_iter().filter(|(_, changed)| *changed);
        changed
            .map(|(key, _)| format!("`{key}` has changed and takes effect at the next start"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
