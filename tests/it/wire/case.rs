//! One case of the wire rules as data: bytes in, and everything that may be seen of them.

/// Bytes from a client and what must become of them.
pub(super) struct Case {
    /// The rule that this case belongs to.
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) answers: &'static [Answer],
    pub(super) upstream: Upstream,
    pub(super) end: End,
}

/// One response to the client, and the record about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) method: &'static str,
    pub(super) status: u16,
    /// The word in the access log; several with `|` between them are all right, and `""` is none.
    pub(super) reason: &'static str,
}

/// What may have reached the upstream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upstream {
    /// Not one byte.
    Nothing,
    /// No whole request.
    NothingWhole,
    /// These requests and no other bytes.
    Exactly(&'static [Sent]),
}

/// How the client's connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The gateway closes it.
    Closed,
    /// The next request on it is served.
    Open,
    /// Either, but never anything else.
    Either,
    /// The client ends its side after the bytes; then the gateway closes, whatever it says before.
    ClientLeaves,
}

/// One request as the upstream must see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) body: &'static [u8],
    pub(super) has: &'static [(&'static str, &'static str)],
    pub(super) lacks: &'static [&'static str],
    pub(super) trailers: &'static [(&'static str, &'static str)],
}

/// A head or body that is refused before anything goes upstream.
pub(super) const fn refused(
    number: u8,
    name: &'static str,
    bytes: &'static [u8],
    answers: &'static [Answer],
) -> Case {
    Case {
        number,
        name,
        bytes,
        answers,
        upstream: Upstream::Nothing,
        end: End::Closed,
    }
}

/// A body that turns out to be malformed when its beginning may have gone upstream already.
pub(super) const fn cut(
    number: u8,
    name: &'static str,
    bytes: &'static [u8],
    answers: &'static [Answer],
) -> Case {
    Case {
        number,
        name,
        bytes,
        answers,
        upstream: Upstream::NothingWhole,
        end: End::Closed,
    }
}

/// Requests that are all served, on a connection that stays open.
pub(super) const fn served(
    number: u8,
    name: &'static str,
    bytes: &'static [u8],
    answers: &'static [Answer],
    sent: &'static [Sent],
) -> Case {
    Case {
        number,
        name,
        bytes,
        answers,
        upstream: Upstream::Exactly(sent),
        end: End::Open,
    }
}

impl Case {
    pub(super) const fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// The answer of the origin.
pub(super) const OK: Answer = Answer {
    method: "GET",
    status: 200,
    reason: "",
};

/// A refusal with this status and reason.
pub(super) const fn refusal(status: u16, reason: &'static str) -> Answer {
    Answer {
        method: "GET",
        status,
        reason,
    }
}

pub(super) const fn sent(method: &'static str, target: &'static str) -> Sent {
    Sent {
        method,
        target,
        body: b"",
        has: &[],
        lacks: &[],
        trailers: &[],
    }
}

impl Sent {
    pub(super) const fn body(mut self, body: &'static [u8]) -> Self {
        self.body = body;
        self
    }

    pub(super) const fn has(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.has = fields;
        self
    }

    pub(super) const fn lacks(mut self, names: &'static [&'static str]) -> Self {
        self.lacks = names;
        self
    }

    pub(super) const fn trailers(
        mut self,
        trailers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.trailers = trailers;
        self
    }
}
