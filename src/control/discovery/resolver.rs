//! Who is asked for names: the hosts file, and the name servers of `/etc/resolv.conf` or of the configuration.

use std::{
    collections::HashMap,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};

use super::{
    dns::Dns,
    source::{Source, SourceKey, Sources},
};
use crate::snapshot::DnsPlan;

/// Opens the sources that name servers are. Those that ask the same servers in the same way share a resolver.
#[derive(Debug, Default)]
pub struct Resolvers {
    known: Mutex<HashMap<Asking, Weak<Resolver>>>,
}

/// How questions are put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Asking {
    /// Those of the system if there is none.
    servers: Box<[SocketAddr]>,
    timeout: Option<Duration>,
    retries: Option<u32>,
}

/// What host names share: the hosts file and the way to the name servers. Both follow their files.
#[derive(Debug)]
pub struct Resolver {
    /// Replaced when a file has changed; a lookup under way ends with the one it began with.
    current: ArcSwap<System>,
    files: Option<SystemFiles>,
}

/// What the system's files say at one time.
#[derive(Debug)]
pub struct System {
    hosts: Hosts,
    /// The name servers; without a usable `/etc/resolv.conf` there is none, and this is the reason.
    pub names: Result<TokioResolver, String>,
    stamps: [Option<SystemTime>; 2],
}

/// What the hosts file says of a name.
#[derive(Debug)]
pub struct Listed {
    /// The IPv4 addresses.
    pub v4: Vec<IpAddr>,
    /// The IPv6 addresses.
    pub v6: Vec<IpAddr>,
}

#[derive(Debug)]
struct SystemFiles {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    asking: Asking,
}

impl Resolvers {
    fn resolver(&self, plan: &DnsPlan) -> Arc<Resolver> {
        let asking = Asking {
            servers: plan.servers.clone(),
            timeout: plan.timeout,
            retries: plan.retries,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = known.get(&asking).and_then(Weak::upgrade) {
            return resolver;
        }
        known.retain(|_, resolver| resolver.strong_count() > 0);
        let resolver = Resolver::following(SystemFiles {
            hosts: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            asking: asking.clone(),
        });
        known.insert(asking, Arc::downgrade(&resolver));
        resolver
    }
}

impl Sources for Resolvers {
    fn open(&self, key: &SourceKey) -> Box<dyn Source> {
        match key {
            SourceKey::Dns(key) => Box::new(Dns::new(key, self.resolver(&key.plan))),
        }
    }
}

impl Resolver {
    /// A resolver with these name servers and this hosts file, for ever.
    ///
    /// # Errors
    /// When the settings make no resolver.
    pub fn with(
        config: ResolverConfig,
        options: ResolverOpts,
        hosts: Hosts,
    ) -> Result<Arc<Self>, NetError> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(System {
                hosts,
                names: Ok(resolver(config, options)?),
                stamps: [None, None],
            }),
            files: None,
        }))
    }

    fn following(files: SystemFiles) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(files.read()),
            files: Some(files),
        })
    }

    /// What the system's files say now.
    #[must_use]
    pub fn current(&self) -> Arc<System> {
        let current = self.current.load_full();
        let Some(files) = &self.files else {
            return current;
        };
        if files.stamps() == current.stamps {
            return current;
        }
        let fresh = Arc::new(files.read());
        self.current.store(Arc::clone(&fresh));
        fresh
    }
}

impl System {
    /// What the hosts file says of a name; `None` when it does not know it.
    #[must_use]
    pub fn listed(&self, name: &Name) -> Option<Listed> {
        let mut name = name.to_lowercase();
        name.set_fqdn(true);
        let v4 = self.addresses(&name, RecordType::A);
        let v6 = self.addresses(&name, RecordType::AAAA);
        (!v4.is_empty() || !v6.is_empty()).then_some(Listed { v4, v6 })
    }

    fn addresses(&self, name: &Name, kind: RecordType) -> Vec<IpAddr> {
        let query = Query::query(name.clone(), kind);
        let Some(found) = self.hosts.lookup_static_host(&query) else {
            return Vec::new();
        };
        let records = found.answers().iter();
        records.filter_map(|record| record.data.ip_addr()).collect()
    }
}

impl SystemFiles {
    fn read(&self) -> System {
        // The stamps are taken first: what changes while the files are read is then read once more.
        let stamps = self.stamps();
        let mut hosts = Hosts::default();
        let listed = fs::File::open(&self.hosts).and_then(|file| hosts.read_hosts_conf(file));
        if let Err(error) = listed {
            tracing::warn!(file = %self.hosts.display(), %error, "hosts file cannot be read");
        }
        System {
            hosts,
            names: self.names(),
            stamps,
        }
    }

    fn names(&self) -> Result<TokioResolver, String> {
        let (config, mut options) = if self.asking.servers.is_empty() {
            self.system_servers()?
        } else {
            let servers = self.asking.servers.iter().copied().map(name_server);
            let config = ResolverConfig::from_name_servers(servers.collect());
            (config, ResolverOpts::default())
        };
        if let Some(timeout) = self.asking.timeout {
            options.timeout = timeout;
        }
        if let Some(retries) = self.asking.retries {
            options.attempts = usize::try_from(retries).unwrap_or(usize::MAX);
        }
        resolver(config, options).map_err(|error| format!("no name server: {error}"))
    }

    fn system_servers(&self) -> Result<(ResolverConfig, ResolverOpts), String> {
        let unusable = |error: &dyn fmt::Display| {
            format!("no name server: {}: {error}", self.resolv_conf.display())
        };
        let text = fs::read(&self.resolv_conf).map_err(|error| unusable(&error))?;
        parse_resolv_conf(text).map_err(|error| unusable(&error))
    }

    fn stamps(&self) -> [Option<SystemTime>; 2] {
        let stamp = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
        [stamp(&self.hosts), stamp(&self.resolv_conf)]
    }
}

/// A name server that is asked over UDP, and over TCP for answers that do not fit.
pub(super) fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn resolver(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    // When to ask again is decided by the source, so a cache would only keep stale answers.
    options.cache_size = 0;
    // The resolver would look into the hosts file only for the first name of a search list.
    options.use_hosts_file = ResolveHosts::Never;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> SystemFiles {
        SystemFiles {
            hosts: folder.join("hosts"),
            resolv_conf: folder.join("resolv.conf"),
            asking: Asking::default(),
        }
    }

    fn listed(resolver: &Resolver, name: &str) -> Vec<String> {
        let name = Name::from_str_relaxed(name).unwrap();
        resolver
            .current()
            .listed(&name)
            .map_or_else(Vec::new, |listed| {
                let all = listed.v4.iter().chain(&listed.v6);
                all.map(ToString::to_string).collect()
            })
    }

    fn set_age(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn the_hosts_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let hosts = files.hosts.clone();
        fs::write(&hosts, "192.0.2.1 db db.internal # the first\n").unwrap();
        set_age(&hosts, 1);
        let resolver = Resolver::following(files);
        assert_eq!(listed(&resolver, "DB.internal"), ["192.0.2.1"]);
        assert_eq!(listed(&resolver, "other"), [""; 0]);
        fs::write(&hosts, "192.0.2.2 db\n2001:db8::2 db\n").unwrap();
        set_age(&hosts, 2);
        assert_eq!(listed(&resolver, "db"), ["192.0.2.2", "2001:db8::2"]);
    }

    #[test]
    fn missing_system_files_leave_a_resolver_that_says_why_it_has_no_name_server() {
        let folder = tempfile::tempdir().unwrap();
        let resolver = Resolver::following(files(folder.path()));
        let reason = resolver.current().names.as_ref().unwrap_err().clone();
        assert!(reason.contains("resolv.conf"), "{reason}");
    }

    #[test]
    fn name_servers_that_appear_later_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let resolv_conf = files.resolv_conf.clone();
        let resolver = Resolver::following(files);
        assert!(resolver.current().names.is_err());
        fs::write(resolv_conf, "nameserver 127.0.0.1\n").unwrap();
        assert!(resolver.current().names.is_ok());
    }

    #[test]
    fn configured_name_servers_need_no_resolv_conf() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.asking = Asking {
            servers: ["127.0.0.1:5353".parse().unwrap()].into(),
            timeout: Some(Duration::from_secs(7)),
            retries: Some(4),
        };
        let resolver = Resolver::following(files);
        let system = resolver.current();
        let options = system.names.as_ref().unwrap().options();
        assert_eq!(options.timeout, Duration::from_secs(7));
        assert_eq!(options.attempts, 4);
    }

    #[test]
    fn those_who_ask_alike_share_a_resolver() {
        let resolvers = Resolvers::default();
        let plan = |port: u16| DnsPlan {
            servers: [SocketAddr::from(([127, 0, 0, 1], port))].into(),
            ..DnsPlan::default()
        };
        let one = resolvers.resolver(&plan(1));
        assert!(Arc::ptr_eq(&one, &resolvers.resolver(&plan(1))));
        let other = resolvers.resolver(&plan(2));
        assert!(!Arc::ptr_eq(&one, &other));
        drop((one, other));
        resolvers.resolver(&plan(3));
        assert_eq!(resolvers.known.lock().unwrap().len(), 1);
    }
}
