//! Resolvers and sources that ask the name server of a test.

use std::sync::Arc;

use hickory_resolver::{
    Hosts,
    config::{ResolverConfig, ResolverOpts},
};

use super::Dns;
use crate::{
    control::discovery::resolver::{Resolver, name_server},
    snapshot::{DnsKey, DnsPlan, DnsRecords},
};

#[path = "../../../../tests/it/harness/name_server.rs"]
mod served;

pub(crate) use served::NameServer;

impl NameServer {
    /// The source of a host's addresses.
    pub(crate) fn source(&self, host: &str) -> Dns {
        let key = DnsKey {
            name: host.into(),
            records: DnsRecords::Addresses,
            plan: Arc::new(DnsPlan::default()),
        };
        Dns::new(&key, self.resolver(Hosts::default()))
    }

    /// A resolver that asks this server alone.
    pub(crate) fn resolver(&self, hosts: Hosts) -> Arc<Resolver> {
        let server = name_server(self.to_string().parse().unwrap());
        let config = ResolverConfig::from_name_servers(vec![server]);
        Resolver::with(config, ResolverOpts::default(), hosts).unwrap()
    }
}
