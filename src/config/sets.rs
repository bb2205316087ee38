//! `[upstream.NAME.subset]`: parts of an upstream that requests can be kept to.

use super::settings::{choices, settings};

settings! {
    /// Subsets of the endpoints: one for each value of a label. Which one a request wants is said by `subset` of its
    /// route, else by a header field, else by `default`.
    pub struct Subset = "[upstream.NAME.subset]" {
        /// The label, from `labels` of the endpoints, whose values are the subsets.
        label: String = required, example "version";
        /// The header field whose value names the subset, as it is after the route's filters.
        header: String = optional, example "x-version";
        /// The subset of requests that name none. Without this key: any endpoint.
        default: String = optional, example "1";
        /// Who serves when no endpoint of the subset is available.
        fallback: SubsetFallback = default("none");
    }
}

choices! {
    /// Who serves in place of a subset.
    pub enum SubsetFallback {
        /// Nobody: the answer is 503, `no_subset`.
        None = "none",
        /// Any endpoint of the upstream.
        Any = "any",
        /// The subset that `default` names, and nobody if that has none available either.
        Default = "default",
    }
}
