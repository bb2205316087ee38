//! The dynamic table of a decoder (RFC 7541 sections 2.3.2 and 4): one piece of memory for the bytes of all entries.

use std::collections::VecDeque;

use super::field::{NameKind, Seen, ValueKind};

/// The size that we allow, which is the one that every peer may use without asking (RFC 9113 section 6.5.2).
pub(super) const MOST: usize = 4096;

/// What an entry counts for besides its bytes (RFC 7541 section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// The bytes are moved together when there would be more of them, half of which at least nobody needs any more.
const ROOM: usize = 2 * MOST;

/// The entries, the oldest in front. Each lies behind the one before it in `bytes`, its value behind its name.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    /// Never above `limit`.
    size: usize,
    /// What the peer has told, at most [`MOST`].
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u16,
    name: u16,
    value: u16,
    name_kind: NameKind,
    value_kind: ValueKind,
}

/// Where the name of a new entry comes from.
#[derive(Clone, Copy)]
pub(super) enum NameFrom<'a> {
    Bytes(&'a [u8]),
    /// An entry, the newest being 0.
    Entry(usize),
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            size: 0,
            limit: MOST,
        }
    }

    /// The entry of that age; the newest is 0.
    pub(super) fn get(&self, age: usize) -> Option<Seen<'_>> {
        let entry = self.entry(age)?;
        let start = usize::from(entry.start);
        let both = self.bytes.get(start..start + entry.len())?;
        let (name, value) = both.split_at_checked(usize::from(entry.name))?;
        Some(Seen {
            name_kind: entry.name_kind,
            value_kind: entry.value_kind,
            name,
            value,
            secret: false,
        })
    }

    /// The peer's size of the table. `None` when it is more than we allow.
    pub(super) fn resize(&mut self, limit: usize) -> Option<()> {
        if limit > MOST {
            return None;
        }
        self.limit = limit;
        self.evict(limit);
        Some(())
    }

    /// Adds an entry as the newest, for which the oldest go. One that is larger than the table empties it.
    pub(super) fn insert(
        &mut self,
        name: NameFrom<'_>,
        name_kind: NameKind,
        value: &[u8],
        value_kind: ValueKind,
    ) {
        let name_size = match name {
            NameFrom::Bytes(bytes) => bytes.len(),
            NameFrom::Entry(age) => self.entry(age).map_or(0, |entry| usize::from(entry.name)),
        };
        let size = name_size + value.len() + OVERHEAD;
        if size > self.limit {
            self.evict(0);
            return;
        }
        if self.entries.is_empty() || self.bytes.len() + size > ROOM {
            self.compact();
        }
        // The name may be that of an entry that goes, so its bytes are taken first. They are still there: an entry that
        // goes leaves its bytes behind.
        let start = self.bytes.len();
        match name {
            NameFrom::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
            NameFrom::Entry(age) => {
                if let Some(entry) = self.entry(age) {
                    let from = usize::from(entry.start);
                    self.bytes.extend_from_within(from..from + name_size);
                }
            }
        }
        self.bytes.extend_from_slice(value);
        self.evict(self.limit - size);
        self.entries.push_back(Entry {
            start: short(start),
            name: short(name_size),
            value: short(value.len()),
            name_kind,
            value_kind,
        });
        self.size += size;
    }

    /// The size of all entries, as RFC 7541 section 4.1 counts it.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn entry(&self, age: usize) -> Option<Entry> {
        let position = self.entries.len().checked_sub(age + 1)?;
        self.entries.get(position).copied()
    }

    /// Lets the oldest go until the rest is no larger than this.
    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.size -= oldest.len() + OVERHEAD;
        }
    }

    /// Moves the bytes of the entries to the beginning.
    fn compact(&mut self) {
        let Some(first) = self.entries.front().map(|entry| entry.start) else {
            self.bytes.clear();
            return;
        };
        self.bytes.drain(..usize::from(first).min(self.bytes.len()));
        for entry in &mut self.entries {
            entry.start -= first;
        }
    }
}

impl Entry {
    fn len(&self) -> usize {
        usize::from(self.name) + usize::from(self.value)
    }
}

/// Nothing here is beyond [`ROOM`].
fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
