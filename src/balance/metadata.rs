//! Where an endpoint stands among the others of its upstream.

use super::endpoint::Endpoint;

/// What a source of endpoints tells of one of them beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// 0 for those that are used first. A higher tier is used only when no lower one has an endpoint available.
    pub tier: u8,
    /// The zone that the endpoint is in, such as a data centre.
    pub zone: Option<Box<str>>,
    /// Names and values to tell subsets by; of a name that comes twice the first counts.
    pub labels: Vec<(Box<str>, Box<str>)>,
}

impl Metadata {
    /// The value of the label of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| **label == *name)
            .map(|(_, value)| &**value)
    }
}

/// An endpoint and where it stands: what a pool is built of.
#[derive(Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Where it stands.
    pub metadata: Metadata,
}

impl From<Endpoint> for Member {
    /// An endpoint of the first tier, in no zone, without labels.
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            metadata: Metadata::default(),
        }
    }
}
