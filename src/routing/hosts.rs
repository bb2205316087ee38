//! The trees of all hosts, found by the host of a request.

use std::collections::HashMap;

use super::host::HostPattern;
use super::tree::{Nodes, Tree};

/// One tree for each host pattern.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Tree>,
    /// By suffix, without the `*.`.
    wildcards: HashMap<Box<str>, Tree>,
    /// The length of the longest suffix. It bounds the look-ups for a host that is nothing but dots.
    longest: usize,
    any: Option<Tree>,
}

impl Hosts {
    /// The tree of a pattern, planted where there is none yet.
    pub(super) fn tree_mut(&mut self, host: &HostPattern, nodes: &mut Nodes) -> &mut Tree {
        match host {
            HostPattern::Any => self.any.get_or_insert_with(|| nodes.plant()),
            HostPattern::Exact(name) => self
                .exact
                .entry(name.clone())
                .or_insert_with(|| nodes.plant()),
            HostPattern::Wildcard(suffix) => {
                self.longest = self.longest.max(suffix.len());
                self.wildcards
                    .entry(suffix.clone())
                    .or_insert_with(|| nodes.plant())
            }
        }
    }

    /// Calls `visit` with the tree of every pattern that matches the host, the most specific first.
    pub(super) fn matching<'a>(&'a self, host: &str, mut visit: impl FnMut(&'a Tree)) {
        if let Some(tree) = self.exact.get(host) {
            visit(tree);
        }
        if !self.wildcards.is_empty() {
            self.suffixes(host, &mut visit);
        }
        if let Some(tree) = &self.any {
            visit(tree);
        }
    }

    /// Calls `visit` with the tree of every pattern that matches each host that `host` matches.
    pub(super) fn covering<'a>(&'a self, host: &HostPattern, mut visit: impl FnMut(&'a Tree)) {
        match host {
            HostPattern::Exact(name) => return self.matching(name, visit),
            HostPattern::Wildcard(suffix) => {
                if let Some(tree) = self.wildcards.get(suffix) {
                    visit(tree);
                }
                self.suffixes(suffix, &mut visit);
            }
            HostPattern::Any => {}
        }
        if let Some(tree) = &self.any {
            visit(tree);
        }
    }

    /// Visits the wildcards below which `host` is, the longest first.
    fn suffixes<'a>(&'a self, host: &str, visit: &mut impl FnMut(&'a Tree)) {
        // The dot before the suffix is not the first character: something stands for the asterisk.
        let first = host.len().saturating_sub(self.longest + 1).max(1);
        let window = host.as_bytes().get(first..).unwrap_or_default();
        for dot in memchr::memchr_iter(b'.', window) {
            let suffix = host.get(first + dot + 1..).unwrap_or_default();
            if let Some(tree) = self.wildcards.get(suffix) {
                visit(tree);
            }
        }
    }
}
