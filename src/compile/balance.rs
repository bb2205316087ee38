//! How an upstream chooses among its endpoints.

use super::{Compiler, help_with};
use crate::{
    balance::{LoadBound, Percent, Policy, Settings},
    config::{self, Code, percent, upstream::Balance},
    filters::{Phase, Template},
};

impl Compiler<'_> {
    /// Everything that decides which endpoint is chosen.
    pub(super) fn balance(&mut self, upstream: &config::Upstream) -> Settings {
        Settings {
            load_bound: load_bound(upstream),
            panic_threshold: self.panic_threshold(upstream),
            slow_start: upstream.slow_start.value,
            zone: self.zone(upstream),
            ..policy(upstream).into()
        }
    }

    fn panic_threshold(&mut self, upstream: &config::Upstream) -> Percent {
        let threshold = &upstream.panic_threshold;
        if threshold.hundredths() > 0 && upstream.health.is_none() && upstream.is_whole("health") {
            self.without_effect(
                threshold,
                "`panic_threshold` has no effect: nobody checks the endpoints",
            )
            .help("add a check, for example: health = { path = \"/healthz\" }");
        }
        Percent::new(threshold.hundredths()).unwrap_or_default()
    }

    /// What `balance = "hash"` goes by.
    pub(super) fn hash(&mut self, upstream: &config::Upstream) -> Option<Template> {
        if upstream.balance.value != Balance::Hash {
            self.refuse_keys_of_hash(upstream);
            return None;
        }
        let Some(written) = &upstream.hash else {
            if upstream.is_whole("hash") {
                self.found
                    .error(
                        Code::MissingKey,
                        upstream.balance.place,
                        "`balance = \"hash\"` needs the key `hash`",
                    )
                    .help("for example: hash = \"${client_ip}\"");
            }
            return None;
        };
        let template = match Template::parse(written.as_str(), Phase::Request) {
            Ok(template) => template,
            Err(error) => {
                let suggestion = error
                    .suggestion
                    .clone()
                    .filter(|_| written.secret().is_none());
                let finding = self.refused(Code::BadHash, written, "hash", error);
                help_with(finding, suggestion);
                return None;
            }
        };
        if let Some(name) = template.capture() {
            let reason = format_args!("a capture such as `{name}` belongs to a route");
            self.refused(Code::BadHash, written, "hash", reason)
                .help("let a filter of the route write it into a field, and name that: ${request_header.NAME}");
            return None;
        }
        if template.as_literal().is_some() {
            let reason = "it is the same for every request, so one endpoint would get all";
            self.refused(Code::BadHash, written, "hash", reason)
                .help("for example: hash = \"${client_ip}\"");
            return None;
        }
        Some(template)
    }

    fn refuse_keys_of_hash(&mut self, upstream: &config::Upstream) {
        // A policy that could not be read may have been meant to be this one.
        if !upstream.is_whole("balance") {
            return;
        }
        let keys = [
            ("hash", upstream.hash.as_ref().map(|hash| hash.place)),
            (
                "hash_load_bound",
                upstream.hash_load_bound.as_ref().map(|bound| bound.place),
            ),
        ];
        for (key, place) in keys {
            if let Some(place) = place {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        place,
                        format!("`{key}` is only used with `balance = \"hash\"`"),
                    )
                    .help(format!("write `balance = \"hash\"`, or take `{key}` away"));
            }
        }
    }
}

fn policy(upstream: &config::Upstream) -> Policy {
    match upstream.balance.value {
        Balance::RoundRobin => Policy::RoundRobin,
        Balance::Random => Policy::Random,
        Balance::LeastConnections => Policy::LeastConnections,
        Balance::P2c => Policy::P2c,
        Balance::PeakEwma => Policy::PeakEwma,
        Balance::Hash => Policy::Hash,
    }
}

fn load_bound(upstream: &config::Upstream) -> LoadBound {
    match upstream.hash_load_bound.as_ref().map(|bound| bound.value) {
        None => LoadBound::default(),
        Some(percent::LoadBound::Off) => LoadBound::NONE,
        Some(percent::LoadBound::At(hundredths)) => LoadBound::new(hundredths).unwrap_or_default(),
    }
}
