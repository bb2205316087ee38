//! Why a message was refused: the reason word for logs and metrics, and the status a client is told.

use thiserror::Error;

/// Why a message was refused, at whatever stage of reading it.
///
/// The same error can meet a request or a response. A refused response is always a 502 for the client; `status` is
/// what is answered to a refused request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum HeadError {
    /// The request line is not `method SP target SP version`, or the method is no token.
    #[error("malformed request line")]
    BadRequestLine,
    /// The request target has no known form, bytes outside visible ASCII, a fragment or a bad percent escape.
    #[error("malformed request target")]
    BadTarget,
    /// The path means different things to different readers (encoded slashes, dot segments above the root, …).
    #[error("ambiguous path")]
    AmbiguousPath,
    /// A host or a port outside the grammar, or with user information.
    #[error("malformed host")]
    BadHost,
    /// A request that must name its host does not.
    #[error("no host")]
    MissingHost,
    /// More than one `Host` field.
    #[error("more than one host field")]
    DuplicateHost,
    /// The request target and the `Host` field name different hosts.
    #[error("target and host field differ")]
    HostMismatch,
    /// A field line without a colon, or with a name that is no token.
    #[error("malformed field name")]
    BadFieldName,
    /// A field value with a control byte.
    #[error("malformed field value")]
    BadFieldValue,
    /// A line that ends in LF alone.
    #[error("line ended by a bare line feed")]
    BareLineFeed,
    /// A field line that begins with white space (RFC 9112 section 5.2).
    #[error("obsolete line folding")]
    ObsoleteFolding,
    /// A `Content-Length` that is not one decimal number, or more than one of them.
    #[error("malformed content length")]
    BadContentLength,
    /// A `Transfer-Encoding` that is malformed, repeated or does not end in a single `chunked`.
    #[error("malformed transfer encoding")]
    BadTransferEncoding,
    /// A well-formed `Transfer-Encoding` with a coding other than `chunked`.
    #[error("unknown transfer encoding")]
    UnknownTransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both content length and transfer encoding")]
    LengthAndTransferEncoding,
    /// A `Transfer-Encoding` in an HTTP/1.0 message.
    #[error("transfer encoding in HTTP/1.0")]
    TransferEncodingInHttp10,
    /// A request target longer than its limit.
    #[error("target too long")]
    TargetTooLong,
    /// A head longer than its limit.
    #[error("head too large")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// A protocol version other than 1.0, 1.1 and 2.
    #[error("unsupported protocol version")]
    UnsupportedVersion,
    /// An `Expect` other than `100-continue`.
    #[error("unknown expectation")]
    BadExpect,
    /// A `Connection` field with something else than options, or with too many of them.
    #[error("malformed connection field")]
    BadConnection,
    /// A field in an HTTP/2 message that only has a meaning in HTTP/1 (RFC 9113 section 8.2.2).
    #[error("connection-specific field in HTTP/2")]
    ConnectionSpecificField,
    /// A status line outside the grammar, or a status that cannot stand where it does.
    #[error("malformed status line")]
    BadStatusLine,
    /// A chunk header, chunk extension or chunk end outside the grammar.
    #[error("malformed chunk")]
    BadChunk,
    /// More bytes in chunk extensions than the limit.
    #[error("chunk extensions too large")]
    ChunkExtensionsTooLarge,
    /// A trailer field outside the grammar.
    #[error("malformed trailer")]
    BadTrailer,
    /// Trailers beyond their limits.
    #[error("trailers too large")]
    TrailersTooLarge,
    /// A body longer than its limit.
    #[error("body too large")]
    BodyTooLarge,
    /// A body that does not have the length its head declared.
    #[error("body length differs from the declared one")]
    LengthMismatch,
    /// The sender ended in the middle of a message.
    #[error("unexpected end of message")]
    UnexpectedEnd,
}

impl HeadError {
    /// The stable word for logs and metrics; one for each variant.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::BadTarget => "bad_target",
            Self::AmbiguousPath => "ambiguous_path",
            Self::BadHost => "bad_host",
            Self::MissingHost => "missing_host",
            Self::DuplicateHost => "duplicate_host",
            Self::HostMismatch => "host_mismatch",
            Self::BadFieldName => "bad_field_name",
            Self::BadFieldValue => "bad_field_value",
            Self::BareLineFeed => "bare_line_feed",
            Self::ObsoleteFolding => "obsolete_folding",
            Self::BadContentLength => "bad_content_length",
            Self::BadTransferEncoding => "bad_transfer_encoding",
            Self::UnknownTransferEncoding => "unknown_transfer_encoding",
            Self::LengthAndTransferEncoding => "length_and_transfer_encoding",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http_1_0",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::UnsupportedVersion => "unsupported_version",
            Self::BadExpect => "bad_expect",
            Self::BadConnection => "bad_connection",
            Self::ConnectionSpecificField => "connection_specific_field",
            Self::BadStatusLine => "bad_status_line",
            Self::BadChunk => "bad_chunk",
            Self::ChunkExtensionsTooLarge => "chunk_extensions_too_large",
            Self::BadTrailer => "bad_trailer",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::LengthMismatch => "length_mismatch",
            Self::UnexpectedEnd => "unexpected_end",
        }
    }

    /// The status for a client whose request was refused.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::BadExpect => 417,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::UnknownTransferEncoding => 501,
            Self::BadStatusLine => 502,
            Self::UnsupportedVersion => 505,
            Self::BadRequestLine
            | Self::BadTarget
            | Self::AmbiguousPath
            | Self::BadHost
            | Self::MissingHost
            | Self::DuplicateHost
            | Self::HostMismatch
            | Self::BadFieldName
            | Self::BadFieldValue
            | Self::BareLineFeed
            | Self::ObsoleteFolding
            | Self::BadContentLength
            | Self::BadTransferEncoding
            | Self::LengthAndTransferEncoding
            | Self::TransferEncodingInHttp10
            | Self::BadConnection
            | Self::ConnectionSpecificField
            | Self::BadChunk
            | Self::ChunkExtensionsTooLarge
            | Self::BadTrailer
            | Self::LengthMismatch
            | Self::UnexpectedEnd => 400,
        }
    }
}
