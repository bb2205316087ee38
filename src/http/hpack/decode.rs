//! Reads header blocks (RFC 7541 section 3).

use super::field::{NameKind, Seen, ValueKind};
use super::table::{NameFrom, OVERHEAD, Table};
use super::{huffman, integer, statics};

/// One for each connection and direction: what comes in one block may be meant in the next.
#[derive(Debug)]
pub(in crate::http) struct Decoder {
    pub(super) table: Table,
    /// Strings that came in Huffman's code.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// What takes the fields of a block.
pub(in crate::http) trait Sink {
    fn field(&mut self, field: &Seen<'_>);
}

/// Why a block cannot be read to its end. Nothing on the connection can be read after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Broken {
    /// The block is no HPACK, or means entries that are not there.
    Compression,
    /// There is more in the block than anybody wants.
    Bomb,
}

/// What is kept for strings between blocks.
const KEPT: usize = 4096;

impl Decoder {
    pub(in crate::http) const fn new() -> Self {
        Self {
            table: Table::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Reads a whole block. `most` is how large the list may be, as RFC 9113 section 6.5.2 counts it.
    pub(in crate::http) fn read(
        &mut self,
        block: &[u8],
        most: usize,
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let done = self.read_fields(block, most, sink);
        for spare in [&mut self.name, &mut self.value] {
            if spare.capacity() > KEPT {
                spare.clear();
                spare.shrink_to(KEPT);
            }
        }
        done
    }

    fn read_fields(
        &mut self,
        block: &[u8],
        most: usize,
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        let mut left = most;
        let mut rest = block;
        self.read_sizes(&mut rest).ok_or(Broken::Compression)?;
        while let Some(first) = rest.first() {
            let size = match first {
                0x80.. => self.read_indexed(&mut rest, sink),
                0x40.. => self.read_literal(&mut rest, 6, sink),
                // A table size in the middle of a block.
                0x20.. => None,
                _ => self.read_literal(&mut rest, 4, sink),
            };
            let size = size.ok_or(Broken::Compression)?;
            left = left.checked_sub(size).ok_or(Broken::Bomb)?;
        }
        Ok(())
    }

    /// Reads the sizes of the table in front of the fields: the smallest and the last one since the block before
    /// (RFC 7541 section 4.2).
    fn read_sizes(&mut self, rest: &mut &[u8]) -> Option<()> {
        for _ in 0..2 {
            if !matches!(rest.first(), Some(0x20..=0x3f)) {
                return Some(());
            }
            let limit = integer::read(rest, 5)?;
            self.table.resize(limit)?;
        }
        Some(())
    }

    /// A field of a table. The answer is its size.
    fn read_indexed(&self, rest: &mut &[u8], sink: &mut impl Sink) -> Option<usize> {
        let index = integer::read(rest, 7)?;
        if let Some(age) = index.checked_sub(statics::COUNT + 1) {
            let seen = self.table.get(age)?;
            sink.field(&seen);
            Some(seen.size())
        } else {
            let seen = statics::get(index)?;
            sink.field(seen);
            Some(seen.size())
        }
    }

    /// A field that is spelled out, at least in part. It becomes an entry if its index has six bits.
    fn read_literal(
        &mut self,
        rest: &mut &[u8],
        prefix: u32,
        sink: &mut impl Sink,
    ) -> Option<usize> {
        let Self { table, name, value } = self;
        let secret = prefix == 4 && rest.first()? & 0x10 != 0;
        let index = integer::read(rest, prefix)?;
        let (name_kind, name, from) = if index == 0 {
            let name = read_string(rest, name)?;
            (NameKind::of(name), name, NameFrom::Bytes(name))
        } else if let Some(age) = index.checked_sub(statics::COUNT + 1) {
            let seen = table.get(age)?;
            (seen.name_kind, seen.name, NameFrom::Entry(age))
        } else {
            let seen = statics::get(index)?;
            (seen.name_kind, seen.name, NameFrom::Bytes(seen.name))
        };
        let value = read_string(rest, value)?;
        let seen = Seen {
            name_kind,
            value_kind: ValueKind::of(value),
            name,
            value,
            secret,
        };
        sink.field(&seen);
        let size = seen.size();
        if prefix == 6 {
            table.insert(from, name_kind, value, seen.value_kind);
        }
        Some(size)
    }
}

impl Seen<'_> {
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + OVERHEAD
    }
}

/// Reads a string (RFC 7541 section 5.2); `spare` is the memory for one in Huffman's code.
fn read_string<'a, 'b: 'a>(rest: &mut &'b [u8], spare: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let in_code = *rest.first()? & 0x80 != 0;
    let length = integer::read(rest, 7)?;
    let (raw, after) = rest.split_at_checked(length)?;
    *rest = after;
    if !in_code {
        return Some(raw);
    }
    spare.clear();
    huffman::decode(raw, spare)?;
    Some(spare)
}
