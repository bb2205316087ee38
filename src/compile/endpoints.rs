//! The endpoints of an upstream: addresses, and names that have to be resolved.

use std::{net::SocketAddr, sync::Arc};

use super::balance::metadata;
use crate::{
    config,
    snapshot::{DnsKey, DnsPlan, DnsRecords, HostedEndpoint, Place, SourceKey},
};

/// The endpoints of an upstream as its snapshot has them.
pub(super) fn configured(upstream: &config::Upstream) -> Vec<HostedEndpoint> {
    let plan = Arc::new(DnsPlan::default());
    let endpoints = upstream.endpoints.iter();
    endpoints
        .map(|endpoint| HostedEndpoint {
            name: endpoint.address.to_string().into(),
            place: place(&endpoint.address, &plan),
            weight: endpoint.weight.get(),
            metadata: metadata(endpoint),
        })
        .collect()
}

fn place(address: &config::address::HostPort, plan: &Arc<DnsPlan>) -> Place {
    match address.ip() {
        Some(ip) => Place::Address(SocketAddr::new(ip, address.port)),
        None => Place::Source {
            key: SourceKey::Dns(DnsKey {
                name: address.host.to_ascii_lowercase().into(),
                records: DnsRecords::Addresses,
                plan: Arc::clone(plan),
            }),
            port: Some(address.port),
            host: address.host.clone(),
        },
    }
}
