//! From files to a snapshot, for the start and for every reload.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::watch::files::{Look, Watched, changed_after};
use crate::{
    compile::{Compiled, Stores, compile},
    config::{self, Code, Config, Diagnostics, Loaded},
    snapshot::Snapshot,
};

/// What came of reading the configuration.
#[derive(Debug)]
pub(super) struct Reading {
    /// The snapshot, or why there is none.
    pub outcome: Read,
    /// What was found: errors and warnings.
    pub diagnostics: Diagnostics,
    /// The files that were read or looked for.
    pub watched: Watched,
    /// How they were before they were read.
    pub look: Look,
}

/// What a configuration came to.
#[derive(Debug)]
pub(super) enum Read {
    /// It is good and another one than before.
    New(Box<World>),
    /// It says what it said before.
    Unchanged,
    /// It has errors.
    Refused,
}

/// A configuration that can be put into effect.
#[derive(Debug)]
pub(super) struct World {
    /// The frozen world made from it.
    pub snapshot: Snapshot,
    /// The configuration.
    pub config: Arc<Config>,
    /// What tells it apart from others.
    pub identity: Identity,
}

/// What tells two configurations apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    hash: String,
    /// What the hash leaves out: secrets, because everyone may see it, and authorities. Never shown.
    besides: u64,
}

/// Where a snapshot came from, for the controller that replaces it one day.
#[derive(Debug)]
pub struct Origin {
    /// The configuration.
    pub config: Arc<Config>,
    /// What tells it apart from others.
    pub identity: Identity,
    /// Its files.
    pub watched: Watched,
    /// How they were before they were read.
    pub look: Look,
    /// The warnings.
    pub diagnostics: Diagnostics,
}

/// The world that a gateway starts with. Reads files.
///
/// # Errors
/// Everything that is wrong with the configuration, and the warnings.
pub fn first(files: Files, stores: &Stores) -> Result<(Snapshot, Origin), Diagnostics> {
    let reading = read(files, stores, FIRST, None);
    let Read::New(world) = reading.outcome else {
        return Err(reading.diagnostics);
    };
    let origin = Origin {
        config: world.config,
        identity: world.identity,
        watched: reading.watched,
        look: reading.look,
        diagnostics: reading.diagnostics,
    };
    Ok((world.snapshot, origin))
}

/// Makes a snapshot of what was read, unless it is `current`. Reads files: not for a thread that must not wait.
#[must_use]
pub(super) fn read(
    files: Files,
    stores: &Stores,
    generation: u64,
    current: Option<&Identity>,
) -> Reading {
    let Files {
        path,
        mut loaded,
        mut look,
    } = files;
    let mut watched = Watched {
        configuration: loaded.files.clone(),
        includes: loaded.directories.clone(),
        certificates: Vec::new(),
    };
    let identity = loaded.config.as_ref().map(|config| {
        watched.configuration.append(&mut authorities(config));
        watched.certificates = certificates(config);
        // These are read below, so this is still before.
        look = std::mem::take(&mut look).or(&Look::at(&watched));
        Identity {
            hash: config::fingerprint(config),
            besides: besides(config, &watched.configuration),
        }
    });
    if current.is_some() && loaded.config.as_ref().is_some_and(is_empty) {
        let what = "there is nothing in it, so the configuration before stays";
        let findings = &mut loaded.diagnostics;
        findings.file_error(Code::NoListeners, &path, what);
    }
    let unchanged = current.is_some() && current == identity.as_ref();
    let (outcome, diagnostics) = if unchanged && !loaded.diagnostics.has_errors() {
        (Read::Unchanged, loaded.diagnostics)
    } else {
        let Compiled {
            snapshot,
            diagnostics,
        } = compile(&loaded, stores, generation, SystemTime::now());
        let outcome = match (snapshot, loaded.config, identity) {
            (Some(snapshot), Some(config), Some(identity)) => Read::New(Box::new(World {
                snapshot,
                config: Arc::new(config),
                identity,
            })),
            _ => Read::Refused,
        };
        (outcome, diagnostics)
    };
    Reading {
        outcome,
        diagnostics,
        watched,
        look,
    }
}

/// A configuration and the files that it was read from, at rest.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    loaded: Loaded,
    look: Look,
}

impl Files {
    /// Reads the configuration at `path`. When one of its files changed meanwhile, and says something else now, they are
    /// read again: half a file may be a good configuration, which lacks the other half of the listeners.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let began = SystemTime::now();
        let mut files = Self::read_once(path);
        for _ in 1..TRIES {
            if !files.changed_after(began) || files.loaded.reads_the_same() {
                break;
            }
            files = Self::read_once(path);
        }
        files
    }

    fn read_once(path: &Path) -> Self {
        let loaded = config::load(path);
        // Whatever changes from here on is seen by the comparison or reported by the watch.
        let look = Look::at(&Watched {
            configuration: loaded.files.clone(),
            includes: loaded.directories.clone(),
            certificates: Vec::new(),
        });
        Self {
            path: path.to_owned(),
            loaded,
            look,
        }
    }

    fn changed_after(&self, time: SystemTime) -> bool {
        let Loaded {
            files, directories, ..
        } = &self.loaded;
        changed_after(files, time) || changed_after(directories, time)
    }

    /// How many workers it asks for, if it says so.
    #[must_use]
    pub fn workers(&self) -> Option<u16> {
        let config = self.loaded.config.as_ref()?;
        Some(config.server.workers.as_ref()?.get())
    }
}

impl Identity {
    /// 16 hexadecimal digits that are equal for equal configurations, apart from what secrets say.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Whether this is a file that was emptied to be written again, or lost when the disk was full: nobody wants a running
/// gateway to take that for its configuration.
fn is_empty(config: &Config) -> bool {
    config.listeners.is_empty()
        && config.routes.is_empty()
        && config.upstreams.iter().next().is_none()
}

/// A number for what stands in the files that were read and are no texts of the configuration. Secrets from the
/// environment cannot change.
fn besides(config: &Config, files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        if config.sources.paths().all(|source| source != file) {
            fs::read(file).ok().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The files of certificates that are read again without a reload when they change.
fn certificates(config: &Config) -> Vec<PathBuf> {
    let listeners = config.listeners.iter();
    listeners
        .filter_map(|listener| listener.tls.as_ref())
        .flat_map(|tls| tls.certificates.iter())
        .flat_map(|pair| [&pair.certificate, &pair.key])
        .map(|file| file.as_path().to_owned())
        .collect()
}

/// The files that decide whom to believe and what to show to upstreams. A change needs a new snapshot, so that no
/// connection or session from before is used for a request after it.
fn authorities(config: &Config) -> Vec<PathBuf> {
    let listeners = config.listeners.iter();
    let clients = listeners.filter_map(|listener| listener.tls.as_ref()?.client_ca.as_ref());
    let upstreams = config.upstreams.iter().map(|(_, upstream)| upstream);
    let upstreams = upstreams
        .flat_map(|upstream| {
            let requests = upstream.tls.as_ref().map(|tls| &tls.value);
            let checks = upstream.health.as_ref().and_then(|health| health.own_tls());
            requests.into_iter().chain(checks)
        })
        .flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key])
        .flatten();
    clients
        .chain(upstreams)
        .map(|file| file.as_path().to_owned())
        .collect()
}

/// How often files that change all the time are read before they are taken as they are.
const TRIES: u32 = 3;
/// The generation of the first configuration.
const FIRST: u64 = 1;
