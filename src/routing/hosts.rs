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
    /// The lengths of the shortest and the longest suffix. They bound the look-ups for a host that is nothing but dots.
    shortest: usize,
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
                let length = suffix.len();
                self.longest = self.longest.max(length);
                self.shortest = if self.wildcards.is_empty() {
                    length
                } else {
                    self.shortest.min(length)
                };
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
            if suffix.len() < self.shortest {
                return;
            }
            if let Some(tree) = self.wildcards.get(suffix) {
                visit(tree);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::PathPattern;
    use crate::routing::tree::Walk;

    /// The patterns whose trees are visited, told apart by the order in which they were planted.
    fn visited(patterns: &[&str], host: &str) -> Vec<String> {
        let mut nodes = Nodes::default();
        let mut hosts = Hosts::default();
        for (ordinal, text) in (0..).zip(patterns) {
            let tree = hosts.tree_mut(&HostPattern::parse(text).unwrap(), &mut nodes);
            nodes.insert(tree, &PathPattern::any(), ordinal);
        }
        let mut found = Vec::new();
        hosts.matching(host, |tree| {
            let mut walk = Walk::new(&nodes, |_| true);
            walk.tree(tree, "/");
            found.push(patterns[walk.best().unwrap() as usize].to_owned());
        });
        found
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let patterns = [
            "*",
            "*.test",
            "*.a.test",
            "x.a.test",
            "*.x.a.test",
            "*.other.test",
        ];
        assert_eq!(
            visited(&patterns, "x.a.test"),
            ["x.a.test", "*.a.test", "*.test", "*"]
        );
        assert_eq!(visited(&patterns, "test"), ["*"]);
        assert_eq!(visited(&patterns, ""), ["*"]);
        assert_eq!(visited(&patterns, ".test"), ["*"]);
    }

    #[test]
    fn case_041_five_hosts_and_five_hundred_give_one_answer() {
        let many: Vec<_> = (0..500).map(|n| format!("h{n}.test")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for host in ["h3.test", "h4.test", "h600.test", "test"] {
            let few = visited(many.get(..5).unwrap(), host);
            assert_eq!(few, visited(&many, host), "{host}");
        }
    }
}
