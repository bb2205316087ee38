//! The composition root: the only place where everything is built and wired.
//!
//! [`run`] is the life of the process, from a configuration file to an exit. Pingora's `Server` is the chassis: it owns
//! the runtimes of the control plane and asks `shutdown` when the process may end.

mod data_plane;
pub(crate) mod descriptors;
mod shutdown;

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use pingora_core::{
    server::{ListenFds, RunArgs, Server, ShutdownWatch, configuration::ServerConf},
    services::Service,
};

use crate::{
    admin::{Admin, Live, Operations},
    compile::{Stores, TlsStore},
    config::{self, Config, Diagnostics},
    control::{
        self, Cause, ControlHandle, Controller, DataPlane, OverloadWatch, Start, Status,
        signals::{ChangeSignal, ChangeSignals},
    },
    engine::Workers,
    gateway::RequestPlaces,
    listener::admission::Places,
    listener::bind::BindError,
    observe::{LogSink, Metrics, log, log::LogHandle},
    snapshot::{Pressure, SnapshotCell},
};
use data_plane::Plane;
use shutdown::Shutdown;

/// What a gateway is started with.
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Called once, when the gateway serves.
    pub started: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(Diagnostics),
    /// Listeners that cannot be opened.
    #[error("{}", list(.0))]
    Listeners(Vec<BindError>),
    /// The admin address cannot be opened.
    #[error("admin: cannot listen on {address}: {error}; choose another [admin] address")]
    Admin {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system had against it.
        error: io::Error,
    },
    /// The system refused something else.
    #[error("cannot start {what}: {error}")]
    System {
        /// What was to be started.
        what: &'static str,
        /// What the system had against it.
        error: io::Error,
    },
}

impl Options {
    /// The usual options for this configuration file.
    #[must_use]
    pub fn new(config: PathBuf) -> Self {
        Self {
            config,
            started: None,
        }
    }
}

/// Runs a gateway until somebody stops it.
///
/// # Errors
/// The gateway did not start; it has served nothing.
pub fn run(options: Options) -> Result<(), StartError> {
    // Pingora would install ring as the process's provider; whoever is first stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let gateway = Gateway::assemble(options.config)?;
    gateway.serve(options.started);
    Ok(())
}

/// How long the last lines of the access log may take.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that makes up a gateway, bound and ready to serve.
struct Gateway {
    stores: Arc<Stores>,
    plane: Arc<Plane>,
    places: Arc<Places>,
    requests: Arc<RequestPlaces>,
    overload: OverloadWatch,
    controller: Controller<Plane>,
    control: ControlHandle,
    admin: Option<std::net::TcpListener>,
    log: LogHandle,
    cell: Arc<SnapshotCell>,
    clock: Instant,
}

impl Gateway {
    fn assemble(path: PathBuf) -> Result<Self, StartError> {
        let clock = Instant::now();
        let open_files = descriptors::raise();
        // The number of workers is written in the configuration, and the stores have a place for each worker.
        let files = control::Files::read(&path);
        let workers = files.workers().map_or_else(cores, usize::from);
        let metrics = Arc::new(Metrics::new(workers));
        let access_logs =
            LogSink::start(metrics.gateway().access_log()).map_err(|error| StartError::System {
                what: "the access log",
                error,
            })?;
        let stores = Arc::new(Stores {
            metrics,
            endpoints: crate::balance::EndpointStates::default(),
            tls: TlsStore::default(),
            access_logs: Some(access_logs),
        });
        let (snapshot, origin) = control::first(files, &stores).map_err(StartError::Config)?;
        let log = start_log(&origin.config, &stores.metrics)?;
        descriptors::tell(open_files, &origin.config);
        let plans = snapshot.listeners.clone();
        let cell = SnapshotCell::new(snapshot);
        let pressure = Arc::new(Pressure::new(workers));
        let metrics = Arc::clone(&stores.metrics);
        let overload = OverloadWatch::new(Arc::clone(&pressure), metrics, &origin.config);
        let shared = (clock, &pressure);
        let workers = match &stores.access_logs {
            Some(sink) => Workers::start(workers, &cell, &stores.metrics, sink, shared),
            None => Err(io::ErrorKind::NotFound.into()),
        }
        .map_err(|error| StartError::System {
            what: "the workers",
            error,
        })?;
        let places = Arc::new(Places::new(origin.config.server.max_connections.get()));
        let most = origin.config.server.max_concurrent_requests.get();
        let requests = Arc::new(RequestPlaces::new(most));
        let plane = Arc::new(Plane::new(
            workers,
            Arc::clone(&places),
            Arc::clone(&requests),
        ));
        let sockets = plane.prepare(&plans).map_err(StartError::Listeners)?;
        let admin = bind_admin(&origin.config)?;
        let (controller, control) = Controller::new(Start {
            path,
            stores: Arc::clone(&stores),
            cell: Arc::clone(&cell),
            plane: Arc::clone(&plane),
            sockets,
            origin,
            clock,
        });
        Ok(Self {
            stores,
            plane,
            places,
            requests,
            overload,
            controller,
            control,
            admin,
            log,
            cell,
            clock,
        })
    }

    fn serve(self, started: Option<Box<dyn FnOnce() + Send + Sync>>) {
        let conf = ServerConf {
            // How long running exchanges may take is for the drain to say, before Pingora is told anything.
            grace_period_seconds: Some(0),
            graceful_shutdown_timeout_seconds: Some(1),
            threads: 1,
            ..ServerConf::default()
        };
        let log = Arc::new(self.log);
        let mut chassis = Server::new_with_opt_and_conf(None, conf);
        let shutdown = Shutdown::new(self.control.clone(), Arc::clone(&self.plane));
        let operator = Live {
            control: self.control.clone(),
            snapshots: self.cell,
            metrics: Arc::clone(&self.stores.metrics),
            log: Some(Arc::clone(&log)),
            clock: self.clock,
        };
        chassis.add_service(ControlPlane {
            controller: Some(self.controller),
            control: self.control,
            admin: self.admin,
            operator: Arc::new(operator),
            stores: Arc::clone(&self.stores),
            places: self.places,
            requests: self.requests,
            overload: Some(self.overload),
            started,
        });
        chassis.bootstrap();
        chassis.run(RunArgs {
            shutdown_signal: Box::new(shutdown),
        });
        // What the deadline cut off is dropped here, and recorded.
        self.plane.stop();
        if let Some(sink) = &self.stores.access_logs
            && !sink.finish(LOG_PATIENCE)
        {
            tracing::warn!("the output of the access log stalls; its last lines are lost");
        }
        log.flush();
    }
}

/// The control plane as a service of the chassis: one task is the writer, the others ask it.
struct ControlPlane {
    controller: Option<Controller<Plane>>,
    control: ControlHandle,
    admin: Option<std::net::TcpListener>,
    operator: Arc<Live>,
    stores: Arc<Stores>,
    places: Arc<Places>,
    requests: Arc<RequestPlaces>,
    overload: Option<OverloadWatch>,
    started: Option<Box<dyn FnOnce() + Send + Sync>>,
}

#[async_trait]
impl Service for ControlPlane {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, _: usize) {
        // Signals are caught before anything is open, so that none of them ends the process by default.
        match ChangeSignals::new() {
            Ok(change) => {
                tokio::spawn(follow(
                    change,
                    self.control.clone(),
                    Arc::clone(&self.stores),
                ));
            }
            Err(error) => tracing::error!(%error, "cannot catch signals"),
        }
        if let Some(admin) = self.admin.take() {
            match Admin::from_listener(admin) {
                Ok(admin) => {
                    tracing::info!(listener = "admin", address = %admin.local_address(), "listening");
                    tokio::spawn(admin.serve(Arc::clone(&self.operator)));
                }
                Err(error) => tracing::error!(%error, "cannot serve the admin address"),
            }
        }
        let operator = Arc::clone(&self.operator);
        if let Some(overload) = self.overload.take() {
            tokio::spawn(overload.run(self.control.subscribe()));
        }
        let (places, requests) = (Arc::clone(&self.places), Arc::clone(&self.requests));
        tokio::spawn(apply_settings(operator, places, requests));
        if let Some(controller) = self.controller.take() {
            let running = tokio::spawn(controller.run());
            self.control.started().await;
            tracing::info!("ready");
            if let Some(started) = self.started.take() {
                started();
            }
            if running.await.is_err() {
                tracing::error!("the control plane has failed; the gateway serves on as it is");
            }
        }
    }

    fn name(&self) -> &str {
        "control"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

async fn follow(mut signals: ChangeSignals, control: ControlHandle, stores: Arc<Stores>) {
    loop {
        match signals.next().await {
            ChangeSignal::Reload => {
                if control.reload(Cause::Signal).await.is_err() {
                    return;
                }
            }
            ChangeSignal::ReopenLogs => {
                if let Some(sink) = &stores.access_logs {
                    sink.reopen();
                }
            }
        }
    }
}

/// Puts into effect what a reload changed of the process itself.
async fn apply_settings(operator: Arc<Live>, places: Arc<Places>, requests: Arc<RequestPlaces>) {
    let mut following = operator.control.subscribe();
    let level = |status: &Status| status.config.log.level.to_string();
    let mut known = level(&following.borrow());
    while following.changed().await.is_ok() {
        let status = Arc::clone(&following.borrow_and_update());
        places.set_cap(status.config.server.max_connections.get());
        requests.set_most(status.config.server.max_concurrent_requests.get());
        let wanted = level(&status);
        // A level that was set at the admin address stays until the file says something else.
        if wanted != known {
            if let Err(reason) = operator.set_log_level(&wanted) {
                tracing::error!(reason, "the level of the program log stays as it was");
            }
            known = wanted;
        }
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

fn start_log(config: &Config, metrics: &Metrics) -> Result<LogHandle, StartError> {
    let format = match *config.log.format {
        config::server::LogFormat::Text => log::LogFormat::Text,
        config::server::LogFormat::Json => log::LogFormat::Json,
    };
    let dropped = metrics.gateway().program_log_dropped();
    log::start(format, &config.log.level, dropped).map_err(|reason| StartError::System {
        what: "the program log",
        error: io::Error::other(reason),
    })
}

fn bind_admin(config: &Config) -> Result<Option<std::net::TcpListener>, StartError> {
    if !*config.admin.enabled {
        return Ok(None);
    }
    let address = *config.admin.address;
    std::net::TcpListener::bind(address)
        .map(Some)
        .map_err(|error| StartError::Admin { address, error })
}

fn list(errors: &[BindError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
