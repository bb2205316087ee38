//! Zones, tiers and subsets: which endpoints go first, and which ones a request is kept to.

use super::Compiler;
use crate::{
    balance::{Metadata, Percent, SubsetFallback, SubsetSettings, ZoneSettings},
    config::{self, Code, Map, Placed, sets::SubsetFallback as Fallback, upstream::Endpoint},
    filters::is_field_name,
    http::Known,
    snapshot::SubsetChoice,
};

/// Where an endpoint stands among the others.
pub(super) fn metadata(endpoint: &Endpoint) -> Metadata {
    let labels = endpoint.labels.iter();
    Metadata {
        tier: tier(endpoint),
        zone: endpoint.zone.as_ref().map(|zone| zone.as_str().into()),
        labels: labels
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
    }
}

fn tier(endpoint: &Endpoint) -> u8 {
    endpoint
        .tier
        .as_ref()
        .map_or_else(|| u8::from(endpoint.backup.value), |tier| tier.value)
}

impl Compiler<'_> {
    /// Which endpoints are near; `None` if all are alike.
    pub(super) fn zone(&mut self, upstream: &config::Upstream) -> Option<ZoneSettings> {
        let written = upstream.zone_spill_below.as_ref();
        if let Some(own) = &self.config.server.zone {
            let spill_below = written.map_or(SPILL_BELOW, |share| share.hundredths());
            return Some(ZoneSettings {
                own: own.as_str().into(),
                spill_below: Percent::new(spill_below).unwrap_or_default(),
            });
        }
        if let Some(written) = written
            && self.config.server.is_whole("zone")
        {
            self.without_effect(
                written,
                "`zone_spill_below` has no effect: the gateway does not know its own zone",
            )
            .help("add `zone` to [server], for example: zone = \"a\"");
        }
        None
    }

    /// What is odd about the tiers of an upstream.
    pub(super) fn check_tiers(&mut self, name: &str, upstream: &config::Upstream) {
        let endpoints = &upstream.endpoints;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.backup.value) {
            if let Some(tier) = &endpoint.tier {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        tier.place,
                        "an endpoint has either `tier` or `backup`, which stands for `tier = 1`",
                    )
                    .help("take one of them away");
            }
        }
        let is_whole = !self.found.has_errors_in(endpoints.place);
        if is_whole && !endpoints.is_empty() && endpoints.iter().all(|one| tier(one) > 0) {
            let what = format!("the upstream `{name}` has only backups, so they serve everything");
            self.without_effect(endpoints, what)
                .help("take `backup` or `tier` away from the endpoints that go first");
        }
    }

    /// The subsets of an upstream, and how requests say which one they want.
    pub(super) fn subsets(
        &mut self,
        name: &str,
        upstream: &config::Upstream,
    ) -> Option<(SubsetSettings, SubsetChoice)> {
        let subset = upstream.subset.as_ref()?;
        if let Some(header) = &subset.header {
            self.check_subset_header(header);
        }
        let label = &subset.label;
        let is_labelled = |endpoint: &Placed<Endpoint>| endpoint.labels.get(label).is_some();
        if !upstream.endpoints.is_empty() && !upstream.endpoints.iter().any(is_labelled) {
            let what = format!("no endpoint of `{name}` has the label `{label}`");
            let help = format!("add it, for example: labels = {{ {label} = \"1\" }}");
            self.found
                .warning(Code::EmptySubset, label.place, what)
                .help(help);
        } else if let Some(default) = &subset.default {
            self.warn_of_empty_subset(name, upstream, default);
        }
        let fallback = match (subset.fallback.value, &subset.default) {
            (Fallback::None, _) => SubsetFallback::Refuse,
            (Fallback::Any, _) => SubsetFallback::Any,
            (Fallback::Default, Some(default)) => SubsetFallback::Subset(default.as_str().into()),
            (Fallback::Default, None) => {
                if subset.is_whole("default") {
                    self.found
                        .error(
                            Code::MissingKey,
                            subset.fallback.place,
                            "`fallback = \"default\"` needs the key `default`",
                        )
                        .help("for example: default = \"1\"");
                }
                return None;
            }
        };
        let settings = SubsetSettings {
            label: label.as_str().into(),
            fallback,
        };
        let choice = SubsetChoice {
            header: subset.header.as_ref().map(|name| name.as_str().into()),
            default: subset.default.as_ref().map(|value| value.as_str().into()),
        };
        Some((settings, choice))
    }

    /// The subset that a route with an upstream keeps its requests to.
    pub(super) fn subset_of_route(&mut self, route: &config::Route) -> Option<Box<str>> {
        let subset = route.subset.as_ref()?;
        if let Some(upstream) = &route.upstream {
            return self.routed_subset(subset, upstream);
        }
        if route.is_whole("upstream") {
            let finding = self.found.error(
                Code::ConflictingKeys,
                subset.place,
                "`subset` of a route is only used with `upstream`",
            );
            finding.help(if route.split.is_some() {
                "write it into the entries of `split`"
            } else {
                "add `upstream`, or take `subset` away"
            });
        }
        None
    }

    /// The subset that requests for an upstream are kept to.
    pub(super) fn routed_subset(
        &mut self,
        written: &Placed<Box<Map<String>>>,
        to: &Placed<String>,
    ) -> Option<Box<str>> {
        // A name that is unknown has been reported.
        let upstream = self.config.upstreams.get(to)?;
        let Some(subset) = &upstream.subset else {
            if upstream.is_whole("subset") {
                let reason = format_args!("the upstream `{to}` has no subsets");
                self.refused(Code::BadSubset, written, "subset", reason)
                    .help(format!(
                        "add to [upstream.{to}], for example: subset = {{ label = \"version\" }}"
                    ));
            }
            return None;
        };
        let label = &subset.label;
        let mut entries = written.iter();
        let (Some((name, value)), None) = (entries.next(), entries.next()) else {
            if written.broken.is_empty() {
                let reason = format_args!("the subsets of `{to}` go by one label, `{label}`");
                self.refused(Code::BadSubset, written, "subset", reason)
                    .help(format!("for example: subset = {{ {label} = \"1\" }}"));
            }
            return None;
        };
        if name.as_str() != label.as_str() {
            let reason = format_args!("the subsets of `{to}` go by the label `{label}`");
            self.refused(Code::BadSubset, name, "subset", reason)
                .help(format!("for example: subset = {{ {label} = \"1\" }}"));
            return None;
        }
        self.warn_of_empty_subset(to, upstream, value);
        Some(value.as_str().into())
    }

    fn check_subset_header(&mut self, header: &Placed<String>) {
        if !is_field_name(header) {
            let reason = format!("\"{header}\" is not the name of a header field");
            self.refused(Code::BadSubset, header, "header", reason)
                .help("for example: header = \"x-version\"");
        } else if Known::of(header.as_bytes()) == Known::Host {
            let reason = "the host is part of the request's target";
            self.refused(Code::BadSubset, header, "header", reason)
                .help("choose by routes with `hosts` and `subset`");
        }
    }

    fn warn_of_empty_subset(
        &mut self,
        name: &str,
        upstream: &config::Upstream,
        value: &Placed<String>,
    ) {
        let Some(subset) = &upstream.subset else {
            return;
        };
        let label = &subset.label;
        let is_in = |endpoint: &Placed<Endpoint>| {
            endpoint.labels.get(label).map(|own| &own.value) == Some(&value.value)
        };
        if !upstream.endpoints.iter().any(is_in) {
            self.found
                .warning(
                    Code::EmptySubset,
                    value.place,
                    format!("no endpoint of `{name}` has the label {label} = \"{value}\""),
                )
                .help(format!(
                    "give it to one, for example: labels = {{ {label} = \"{value}\" }}"
                ));
        }
    }
}

/// As Envoy does it: with 1.4 times its usual share, an endpoint has as much as it may get.
const SPILL_BELOW: u8 = 70;
