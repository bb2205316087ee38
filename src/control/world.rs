//! From files to a snapshot, for the start and for every reload.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::watch::files::Watched;
use crate::{
    compile::{Stores, compile},
    config::{self, Config, Diagnostics, Loaded},
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
    /// When reading began.
    pub read_at: SystemTime,
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
    /// The secrets, which the hash leaves out because everyone may see it. This number is never shown.
    secrets: u64,
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
    /// When they were read.
    pub read_at: SystemTime,
    /// The warnings.
    pub diagnostics: Diagnostics,
}

/// The world that a gateway starts with. Reads files.
///
/// # Errors
/// Everything that is wrong with the configuration, and the warnings.
pub fn first(path: &Path, stores: &Stores) -> Result<(Snapshot, Origin), Diagnostics> {
    let reading = read(path, stores, FIRST, None);
    let Read::New(world) = reading.outcome else {
        return Err(reading.diagnostics);
    };
    let origin = Origin {
        config: world.config,
        identity: world.identity,
        watched: reading.watched,
        read_at: reading.read_at,
        diagnostics: reading.diagnostics,
    };
    Ok((world.snapshot, origin))
}

/// Reads the configuration at `path` and, unless it is `current`, makes a snapshot of it. Reads files: not for a thread
/// that must not wait.
#[must_use]
pub(super) fn read(path: &Path, stores: &Stores, generation: u64, current: Option<&Identity>) -> Reading {
    let read_at = SystemTime::now();
    let Loaded {
        config,
        mut diagnostics,
        files,
        directories,
    } = config::load(path);
    let watched = Watched {
        certificates: config.as_ref().map(certificates).unwrap_or_default(),
        configuration: files,
        includes: directories,
    };
    let outcome = match config {
        None => Read::Refused,
        Some(config) => {
            let identity = Identity {
                hash: config::fingerprint(&config),
                secrets: secrets(&config, &watched.configuration),
            };
            if current == Some(&identity) && !diagnostics.has_errors() {
                Read::Unchanged
            } else {
                let (snapshot, found) = compile(&config, stores, generation);
                diagnostics.append(found);
                diagnostics.sort();
                match snapshot.filter(|_| !diagnostics.has_errors()) {
                    None => Read::Refused,
                    Some(snapshot) => Read::New(Box::new(World {
                        snapshot,
                        config: Arc::new(config),
                        identity,
                    })),
                }
            }
        }
    };
    Reading {
        outcome,
        diagnostics,
        watched,
        read_at,
    }
}

impl Identity {
    /// 16 hexadecimal digits that are equal for equal configurations, apart from what secrets say.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// A number for what the secrets say: for the content of every file that was read and is not a text of the
/// configuration. Secrets from the environment cannot change.
fn secrets(config: &Config, files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        if config.sources.paths().all(|source| source != file) {
            fs::read(file).ok().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The files that are read again without a reload when they change.
fn certificates(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for tls in config.listeners.iter().filter_map(|l| l.tls.as_ref()) {
        for pair in tls.certificates.iter() {
            files.extend([&pair.certificate, &pair.key].map(|f| f.as_path().to_owned()));
        }
        files.extend(tls.client_ca.iter().map(|f| f.as_path().to_owned()));
    }
    for (_, upstream) in config.upstreams.iter() {
        let Some(tls) = &upstream.tls else { continue };
        for file in [&tls.ca, &tls.certificate, &tls.key].into_iter().flatten() {
            files.push(file.as_path().to_owned());
        }
    }
    files
}

/// The generation of the first configuration.
const FIRST: u64 = 1;
