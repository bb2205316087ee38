//! The fields (headers or trailers) of one message: one byte buffer and a small vector of ranges into it.
//!
//! Order and spelling are kept. Removing marks an entry, setting appends bytes; nothing is hashed and no field has an
//! allocation of its own. `clear` keeps the capacity, so a connection recycles its heads.

/// The fields of one message, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// One field as seen by a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name's identity when it is one the gateway itself looks at.
    pub known: Known,
    /// The name as it was spelled.
    pub name: &'a [u8],
    /// The value without surrounding white space.
    pub value: &'a [u8],
}

/// The identity of a field name the gateway treats specially; everything else is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the field name it spells")]
pub enum Known {
    Other,
    Accept,
    AcceptEncoding,
    Age,
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    GrpcStatus,
    GrpcTimeout,
    Host,
    Http2Settings,
    KeepAlive,
    Location,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Referer,
    RetryAfter,
    Server,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
}

impl Fields {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Appends a field at the end. What is outside the grammar is repaired when the message is written: a field whose
    /// name is no token is left out, control bytes in a value become spaces.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.append(Known::of(name), name, value, Origin::Composed);
    }

    /// Appends a field whose name and value have passed the grammar; `known` is the name's identity.
    pub(super) fn push_parsed(&mut self, known: Known, name: &[u8], value: &[u8]) {
        self.append(known, name, value, Origin::Parsed);
    }

    /// Appends a field like [`push_parsed`](Self::push_parsed) that no table of HPACK may take in, here or further on.
    pub(super) fn push_secret(&mut self, known: Known, name: &[u8], value: &[u8]) {
        self.append(known, name, value, Origin::Secret);
    }

    fn append(&mut self, known: Known, name: &[u8], value: &[u8], origin: Origin) {
        let name_start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry {
            known,
            live: true,
            origin,
            name_start: offset(name_start),
            value_start: offset(value_start),
            value_end: offset(self.bytes.len()),
        });
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries
            .iter()
            .filter(|entry| entry.live)
            .map(|entry| self.view(entry))
    }

    /// All fields in order, each with where it came from: what the writers walk over.
    pub(super) fn iter_with_origin(&self) -> impl Iterator<Item = (Field<'_>, Origin)> {
        self.entries
            .iter()
            .filter(|entry| entry.live)
            .map(|entry| (self.view(entry), entry.origin))
    }

    /// The bytes that the fields may need when they are written.
    pub(super) fn written_size(&self) -> usize {
        self.bytes.len() + 4 * self.entries.len()
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.iter().filter(|entry| entry.live).count()
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.entries.iter().any(|entry| entry.live)
    }

    /// The value of the first field of that known name.
    #[must_use]
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The values of every field of that known name, in order. `known` is never `Other`.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.entries
            .iter()
            .filter(move |entry| entry.live && entry.known == known)
            .map(|entry| self.view(entry).value)
    }

    /// Whether a field of that known name is present.
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.live && entry.known == known)
    }

    /// The values of every field of that name, whatever its case, in order.
    pub fn all_named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let known = Known::of(name);
        self.entries
            .iter()
            .filter(move |entry| entry.live && entry.known == known)
            .map(|entry| self.view(entry))
            .filter(move |field| {
                field.known != Known::Other || field.name.eq_ignore_ascii_case(name)
            })
            .map(|field| field.value)
    }

    /// The value of the first field of that name, whatever its case.
    #[must_use]
    pub fn first_named<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.all_named(name).next()
    }

    /// Removes every field of that known name.
    pub fn remove(&mut self, known: Known) {
        for entry in &mut self.entries {
            if entry.known == known {
                entry.live = false;
            }
        }
    }

    /// Removes every field of that name, whatever its case.
    pub fn remove_named(&mut self, name: &[u8]) {
        self.remove_where(|field| field.name.eq_ignore_ascii_case(name));
    }

    /// Removes every field for which `unwanted` says so.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(Field<'_>) -> bool) {
        let Self { bytes, entries } = self;
        for entry in entries {
            if entry.live && unwanted(entry.view(bytes)) {
                entry.live = false;
            }
        }
    }

    /// Puts this value in the place of all fields of that name, at the end of the list.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove_named(name);
        self.push(name, value);
    }

    fn view(&self, entry: &Entry) -> Field<'_> {
        entry.view(&self.bytes)
    }
}

/// Where a field came from: a writer checks only those that no parser has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A message on the wire; name and value have passed the grammar.
    Parsed,
    /// The same, and its sender wants it in no table (RFC 7541 section 6.2.3).
    Secret,
    /// A filter or the gateway; nobody has looked at the bytes.
    Composed,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Known,
    live: bool,
    origin: Origin,
    name_start: u32,
    value_start: u32,
    value_end: u32,
}

impl Entry {
    fn view<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        let part = |from: u32, to: u32| bytes.get(from as usize..to as usize).unwrap_or_default();
        Field {
            known: self.known,
            name: part(self.name_start, self.value_start),
            value: part(self.value_start, self.value_end),
        }
    }
}

/// Heads are limited to far below 4 GiB before they get here.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl Known {
    /// The identity of a name, whatever its case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        // The length splits the table into groups of at most a handful, so most names cost one or two comparisons.
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            3 => &[(b"age", Self::Age), (b"via", Self::Via)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date)],
            6 => &[
                (b"accept", Self::Accept),
                (b"cookie", Self::Cookie),
                (b"server", Self::Server),
                (b"expect", Self::Expect),
            ],
            7 => &[
                (b"referer", Self::Referer),
                (b"upgrade", Self::Upgrade),
                (b"trailer", Self::Trailer),
            ],
            8 => &[(b"location", Self::Location)],
            9 => &[(b"forwarded", Self::Forwarded)],
            10 => &[
                (b"connection", Self::Connection),
                (b"user-agent", Self::UserAgent),
                (b"set-cookie", Self::SetCookie),
                (b"keep-alive", Self::KeepAlive),
            ],
            11 => &[
                (b"grpc-status", Self::GrpcStatus),
                (b"retry-after", Self::RetryAfter),
            ],
            12 => &[
                (b"content-type", Self::ContentType),
                (b"x-request-id", Self::XRequestId),
                (b"grpc-timeout", Self::GrpcTimeout),
            ],
            13 => &[
                (b"cache-control", Self::CacheControl),
                (b"authorization", Self::Authorization),
            ],
            14 => &[
                (b"content-length", Self::ContentLength),
                (b"http2-settings", Self::Http2Settings),
            ],
            15 => &[
                (b"accept-encoding", Self::AcceptEncoding),
                (b"x-forwarded-for", Self::XForwardedFor),
            ],
            16 => &[
                (b"content-encoding", Self::ContentEncoding),
                (b"x-forwarded-host", Self::XForwardedHost),
                (b"proxy-connection", Self::ProxyConnection),
            ],
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            18 => &[(b"proxy-authenticate", Self::ProxyAuthenticate)],
            19 => &[(b"proxy-authorization", Self::ProxyAuthorization)],
            _ => &[],
        };
        candidates
            .iter()
            .find(|(spelling, _)| name.eq_ignore_ascii_case(spelling))
            .map_or(Self::Other, |(_, known)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_every_spelling() {
        let mut fields = Fields::new();
        fields.push(b"X-User", b"a");
        fields.push(b"x-user", b"b");
        fields.push(b"Host", b"h");
        fields.set(b"x-USER", b"c");
        let all: Vec<_> = fields.all_named(b"x-user").collect();
        assert_eq!(all, [b"c"]);
        assert_eq!(fields.first(Known::Host), Some(&b"h"[..]));
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn known_names_are_found_in_any_case() {
        assert_eq!(Known::of(b"Transfer-ENCODING"), Known::TransferEncoding);
        assert_eq!(Known::of(b"x-other"), Known::Other);
        let mut fields = Fields::new();
        fields.push(b"CONTENT-Length", b"5");
        assert!(fields.has(Known::ContentLength));
    }
}
