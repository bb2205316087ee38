//! The paths of one host as a tree of segments.
//!
//! Routes are known here by their ordinal: their place in the order of rank, 0 for the first. A walk keeps the best
//! ordinal found so far and skips every branch that has nothing better, so explicit priorities, overlapping hosts and
//! overlapping patterns need no merging: what is left over at the end is the winner.

use std::collections::HashMap;

use regex::Regex;
use smallvec::SmallVec;

use super::path::{Kind, PathPattern};
use super::segment::Segment;

/// The nodes of all trees of a router. They refer to each other by their place in this list.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    list: Vec<Node>,
}

/// The tree of one host.
#[derive(Debug)]
pub(super) struct Tree {
    root: u32,
    expressions: Vec<(u32, Regex)>,
}

/// A search for the best ordinal that `accept` says yes to.
pub(super) struct Walk<'a, F> {
    nodes: &'a Nodes,
    best: u32,
    accept: F,
}

#[derive(Debug)]
struct Node {
    /// The lowest ordinal here and below.
    best: u32,
    literals: Literals,
    capture: Option<u32>,
    /// The patterns that end here, lowest ordinal first.
    closed: SmallVec<[u32; 4]>,
    /// The patterns that continue with any tail, lowest ordinal first.
    open: SmallVec<[u32; 4]>,
}

/// The children by literal segment. Most nodes have few, which are found faster by comparing than by hashing.
#[derive(Debug)]
enum Literals {
    Few(SmallVec<[(Box<str>, u32); 1]>),
    Many(HashMap<Box<str>, u32>),
}

impl Nodes {
    /// A new and empty tree.
    pub(super) fn plant(&mut self) -> Tree {
        Tree {
            root: self.push(),
            expressions: Vec::new(),
        }
    }

    /// Puts a pattern into a tree. Ordinals come in ascending order.
    pub(super) fn insert(&mut self, tree: &mut Tree, pattern: &PathPattern, ordinal: u32) {
        match &pattern.kind {
            Kind::Regex { regex, .. } => tree.expressions.push((ordinal, regex.clone())),
            Kind::Any => self.end(tree.root, true, ordinal),
            Kind::Segments { segments, open } => {
                let mut id = tree.root;
                for segment in segments {
                    self.improve(id, ordinal);
                    id = self.child(id, segment);
                }
                self.end(id, *open, ordinal);
            }
        }
    }

    fn child(&mut self, id: u32, segment: &Segment) -> u32 {
        let present = self.get(id).and_then(|node| match segment {
            Segment::Literal(text) => node.literals.get(text),
            Segment::Capture => node.capture,
        });
        if let Some(child) = present {
            return child;
        }
        let child = self.push();
        if let Some(node) = self.list.get_mut(id as usize) {
            match segment {
                Segment::Literal(text) => node.literals.insert(text.clone(), child),
                Segment::Capture => node.capture = Some(child),
            }
        }
        child
    }

    fn end(&mut self, id: u32, open: bool, ordinal: u32) {
        self.improve(id, ordinal);
        if let Some(node) = self.list.get_mut(id as usize) {
            if open {
                node.open.push(ordinal);
            } else {
                node.closed.push(ordinal);
            }
        }
    }

    fn improve(&mut self, id: u32, ordinal: u32) {
        if let Some(node) = self.list.get_mut(id as usize) {
            node.best = node.best.min(ordinal);
        }
    }

    fn push(&mut self) -> u32 {
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Node {
            best: u32::MAX,
            literals: Literals::Few(SmallVec::new()),
            capture: None,
            closed: SmallVec::new(),
            open: SmallVec::new(),
        });
        id
    }

    fn get(&self, id: u32) -> Option<&Node> {
        self.list.get(id as usize)
    }

    /// Calls `found` with each list of ordinals whose patterns match every path that `pattern` matches.
    pub(super) fn covering(
        &self,
        tree: &Tree,
        pattern: &PathPattern,
        found: &mut impl FnMut(&[u32]),
    ) {
        let Some(root) = self.get(tree.root) else {
            return;
        };
        match &pattern.kind {
            Kind::Any => found(&root.open),
            Kind::Regex { regex, .. } => {
                found(&root.open);
                for (ordinal, other) in &tree.expressions {
                    if other.as_str() == regex.as_str() {
                        found(&[*ordinal]);
                    }
                }
            }
            Kind::Segments { segments, open } => self.covering_below(root, segments, *open, found),
        }
    }

    fn covering_below(
        &self,
        node: &Node,
        segments: &[Segment],
        open: bool,
        found: &mut impl FnMut(&[u32]),
    ) {
        found(&node.open);
        let Some((segment, rest)) = segments.split_first() else {
            if !open {
                found(&node.closed);
            }
            return;
        };
        if let Segment::Literal(text) = segment
            && let Some(child) = node.literals.get(text).and_then(|id| self.get(id))
        {
            self.covering_below(child, rest, open, found);
        }
        // A capture is never empty, so it does not cover the empty segment after a trailing slash.
        let coverable = !matches!(segment, Segment::Literal(text) if text.is_empty());
        if coverable && let Some(child) = node.capture.and_then(|id| self.get(id)) {
            self.covering_below(child, rest, open, found);
        }
    }
}

impl<'a, F: FnMut(u32) -> bool> Walk<'a, F> {
    /// A search that has found nothing yet.
    pub(super) const fn new(nodes: &'a Nodes, accept: F) -> Self {
        Self {
            nodes,
            best: u32::MAX,
            accept,
        }
    }

    /// Searches one tree for what is better than the best so far.
    pub(super) fn tree(&mut self, tree: &Tree, path: &str) {
        self.node(tree.root, path);
        for (ordinal, expression) in &tree.expressions {
            if *ordinal >= self.best {
                return;
            }
            if expression.is_match(path) && (self.accept)(*ordinal) {
                self.best = *ordinal;
                return;
            }
        }
    }

    /// The best ordinal found.
    pub(super) fn best(&self) -> Option<u32> {
        (self.best != u32::MAX).then_some(self.best)
    }

    /// `rest` is empty or begins with the slash before the next segment. The specific branches come first, so that the
    /// others are skipped where nothing but rank decides.
    fn node(&mut self, id: u32, rest: &str) {
        let Some(node) = self.nodes.get(id).filter(|node| node.best < self.best) else {
            return;
        };
        match rest.strip_prefix('/') {
            None => self.list(&node.closed),
            Some(rest) => {
                let end = memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len());
                let (segment, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
                if let Some(child) = node.literals.get(segment) {
                    self.node(child, rest);
                }
                if let Some(child) = node.capture.filter(|_| !segment.is_empty()) {
                    self.node(child, rest);
                }
            }
        }
        self.list(&node.open);
    }

    fn list(&mut self, ordinals: &[u32]) {
        for ordinal in ordinals {
            if *ordinal >= self.best {
                return;
            }
            if (self.accept)(*ordinal) {
                self.best = *ordinal;
                return;
            }
        }
    }
}

impl Literals {
    fn get(&self, segment: &str) -> Option<u32> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(text, _)| **text == *segment)
                .map(|(_, child)| *child),
            Self::Many(map) => map.get(segment).copied(),
        }
    }

    fn insert(&mut self, segment: Box<str>, child: u32) {
        match self {
            Self::Few(list) if list.len() < FEW => list.push((segment, child)),
            Self::Few(list) => {
                let mut map: HashMap<_, _> = list.drain(..).collect();
                map.insert(segment, child);
                *self = Self::Many(map);
            }
            Self::Many(map) => {
                map.insert(segment, child);
            }
        }
    }
}

const FEW: usize = 8;
