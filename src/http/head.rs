//! Message heads, independent of the protocol version they came in.

use super::fields::Fields;

/// The head of a request. Everything here has passed the grammar of its protocol.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The version the client spoke.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The form of the target: an ordinary path, `*` or the authority of a CONNECT.
    pub form: TargetForm,
    /// The host in lower case, without port and trailing dot, an IPv6 address with its brackets; empty when none was given (HTTP/1.0).
    pub host: String,
    /// The port that the client named beside the host.
    pub port: Option<u16>,
    /// The normalised path: what routes match and what is sent upstream. Begins with `/`; empty for `*` and CONNECT.
    pub path: String,
    /// What follows `?`, as it came; `None` without a `?`.
    pub query: Option<String>,
    /// The fields. `Host` is not among them: it is `host` and `port`.
    pub fields: Fields,
}

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The version the upstream spoke.
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as it came; empty when there was none (HTTP/2).
    pub reason: Vec<u8>,
    /// The fields.
    pub fields: Fields,
}

/// A protocol version that the gateway speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the version it spells")]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// The form of a request target (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// A path, whether it came alone or inside an absolute URI.
    #[default]
    Path,
    /// `*`, for OPTIONS alone.
    Asterisk,
    /// `host:port`, for CONNECT alone.
    Authority,
}

/// A request method: the registered ones, or another token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the method it spells")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other(Box<str>),
}

impl RequestHead {
    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        self.version = Version::Http11;
        self.method = Method::Get;
        self.form = TargetForm::Path;
        self.host.clear();
        self.port = None;
        self.path.clear();
        self.query = None;
        self.fields.clear();
    }
}

impl ResponseHead {
    /// Forgets the response and keeps the memory.
    pub fn clear(&mut self) {
        self.version = Version::Http11;
        self.status = 0;
        self.reason.clear();
        self.fields.clear();
    }
}

impl Version {
    /// The name that logs and metrics use: `HTTP/1.1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

impl Method {
    /// The method of that token; tokens are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn of(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.into()),
        }
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(token) => token,
            known => known.label(),
        }
    }

    /// The token, or `OTHER` for one outside the registered set, so that a client cannot make label values.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(_) => "OTHER",
        }
    }

    /// Whether a request may be sent twice without harm (RFC 9110 section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}
