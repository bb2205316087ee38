//! What is asked of every field of a head, whatever the head is of.

use super::super::connection::is_connection_specific;
use super::super::error::HeadError;
use super::super::fields::{Fields, Known};
use super::super::hpack::{NameKind, Seen, ValueKind};
use super::super::limits::HeadLimits;
use super::BlockError;

/// The fields that have been seen so far: what they count for, and what is wrong with them.
pub(super) struct Lines<'a> {
    limits: &'a HeadLimits,
    size: usize,
    count: usize,
    /// No pseudo-field may follow any more.
    begun: bool,
    malformed: bool,
    /// The first reason why the gateway does not take the head. Nothing is kept of it from there on.
    refused: Option<HeadError>,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(limits: &'a HeadLimits) -> Self {
        Self {
            limits,
            size: 0,
            count: 0,
            begun: false,
            malformed: false,
            refused: None,
        }
    }

    /// Looks at a field that is no pseudo-field. The answer is its identity, if it is to be kept.
    pub(super) fn admit(&mut self, seen: &Seen<'_>) -> Option<Known> {
        self.begun = true;
        let NameKind::Field(known) = seen.name_kind else {
            match seen.name_kind {
                NameKind::NoToken => self.refuse(HeadError::BadFieldName),
                _ => self.malformed = true,
            }
            return None;
        };
        if is_connection_specific(known) || (known == Known::Te && seen.value != b"trailers") {
            self.malformed = true;
        }
        match seen.value_kind {
            ValueKind::Good => {}
            ValueKind::Padded | ValueKind::Bad => self.refuse(HeadError::BadFieldValue),
            ValueKind::Malformed => self.malformed = true,
        }
        self.add(seen.name.len() + seen.value.len() + 4);
        self.is_fine().then_some(known)
    }

    /// Looks at a pseudo-field; `before` tells whether there has been one of that name. The answer is whether to look at
    /// its value.
    pub(super) fn admit_pseudo(&mut self, seen: &Seen<'_>, before: &mut bool) -> bool {
        if self.begun || *before || seen.value_kind == ValueKind::Malformed {
            self.malformed = true;
        }
        *before = true;
        self.add(seen.value.len());
        self.is_fine()
    }

    /// Puts an admitted field into the list, if there may be one more.
    pub(super) fn keep(&mut self, known: Known, seen: &Seen<'_>, fields: &mut Fields) {
        self.count += 1;
        if self.count > self.limits.allowed_fields() {
            self.refuse(HeadError::TooManyFields);
        } else if seen.secret {
            fields.push_secret(known, seen.name, seen.value);
        } else {
            fields.push_parsed(known, seen.name, seen.value);
        }
    }

    pub(super) fn malformed(&mut self) {
        self.malformed = true;
    }

    pub(super) fn refuse(&mut self, error: HeadError) {
        self.refused.get_or_insert(error);
    }

    /// Notes what is wrong, if anything is.
    pub(super) fn check<T>(&mut self, result: Result<T, HeadError>) -> Option<T> {
        result.map_err(|error| self.refuse(error)).ok()
    }

    pub(super) fn is_fine(&self) -> bool {
        !self.malformed && self.refused.is_none()
    }

    /// What is wrong with HTTP/2 goes before what is wrong with the message.
    pub(super) fn verdict(&self) -> Result<(), BlockError> {
        match self.refused {
            _ if self.malformed => Err(BlockError::Malformed),
            Some(error) => Err(BlockError::Refused(error)),
            None => Ok(()),
        }
    }

    fn add(&mut self, size: usize) {
        self.size = self.size.saturating_add(size);
        if self.size > self.limits.bytes {
            self.refuse(HeadError::HeadTooLarge);
        }
    }
}
