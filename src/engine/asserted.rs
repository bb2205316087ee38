//! What a request's head says cannot be said again in its trailers: there it would come past the routes and the filters.

use smallvec::SmallVec;

use crate::http::{Fields, RequestHead};

/// The names of the fields that went out in a request's head; empty when no trailers can follow.
#[derive(Debug, Default)]
pub(crate) struct Asserted {
    names: Vec<SmallVec<[u8; 24]>>,
}

impl Asserted {
    /// The names in this head.
    pub(crate) fn by(head: &RequestHead) -> Self {
        let names = head.fields.iter();
        Self {
            names: names
                .map(|field| SmallVec::from_slice(field.name))
                .collect(),
        }
    }

    /// The trailers without those that repeat a field of the head, in any spelling that an application may take for it.
    pub(crate) fn keep(&self, trailers: Option<&Fields>) -> Option<Fields> {
        let mut kept = trailers?.clone();
        kept.remove_where(|field| self.names.iter().any(|name| alike(name, field.name)));
        Some(kept)
    }
}

/// Many applications read `X_User` and `X-User` as one.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_050_a_trailer_cannot_repeat_a_field_of_the_head() {
        let mut head = RequestHead::default();
        head.fields.push(b"x-user", b"gateway");
        let mut trailers = Fields::new();
        trailers.push(b"X_User", b"evil");
        trailers.push(b"x-checksum", b"1");
        let kept = Asserted::by(&head).keep(Some(&trailers));
        let names: Vec<_> = kept
            .as_ref()
            .unwrap()
            .iter()
            .map(|field| field.name)
            .collect();
        assert_eq!(names, [b"x-checksum"]);
    }
}
