//! How a client can break HTTP/2 itself: each way knows its word and its status.

use crate::http::HeadError;

/// How a client broke HTTP/2. It has been told by RST_STREAM or GOAWAY (RFC 9113 section 5.4); the status is for the
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A request head that HTTP/2 forbids (RFC 9113 section 8.1.1).
    MalformedHead,
    /// A body of another length than was announced.
    Length,
    /// Frames that make no sense, or not there.
    Protocol,
    /// More data than the windows allow, or windows that grow too large.
    FlowControl,
    /// A frame of a size that its kind cannot have.
    FrameSize,
    /// A field block that cannot be decompressed.
    Compression,
    /// A frame on a stream that has ended.
    StreamClosed,
    /// A stream beyond those that may be open at once.
    TooManyStreams,
    /// A stream long after the client was told to go away.
    AfterGoaway,
    /// More of something than any client needs.
    Excess,
}

impl Violation {
    /// What a connection was ended for with this error code (RFC 9113 section 7); `None` when nobody broke anything.
    #[must_use]
    pub const fn of_connection(code: u32) -> Option<Self> {
        match code {
            0 => None,
            3 => Some(Self::FlowControl),
            5 => Some(Self::StreamClosed),
            6 => Some(Self::FrameSize),
            9 => Some(Self::Compression),
            11 => Some(Self::Excess),
            _ => Some(Self::Protocol),
        }
    }

    /// What a stream was refused for with this error code before it became a request.
    #[must_use]
    pub const fn of_opening(code: u32) -> Self {
        match code {
            3 => Self::FlowControl,
            5 => Self::StreamClosed,
            6 => Self::FrameSize,
            7 => Self::TooManyStreams,
            11 => Self::Excess,
            _ => Self::MalformedHead,
        }
    }

    /// The status in the record.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MalformedHead
            | Self::Length
            | Self::Protocol
            | Self::FlowControl
            | Self::FrameSize
            | Self::Compression
            | Self::StreamClosed => 400,
            Self::Excess => 429,
            // The client may send it again, as after a 503.
            Self::TooManyStreams | Self::AfterGoaway => 503,
        }
    }

    /// The word for logs and metrics, from a closed set.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MalformedHead => "h2_malformed_head",
            Self::Length => HeadError::LengthMismatch.reason(),
            Self::Protocol => "h2_protocol_error",
            Self::FlowControl => "h2_flow_control",
            Self::FrameSize => "h2_frame_size",
            Self::Compression => "h2_compression",
            Self::StreamClosed => "h2_stream_closed",
            Self::TooManyStreams => "h2_too_many_streams",
            Self::AfterGoaway => "h2_after_goaway",
            Self::Excess => "h2_excess",
        }
    }
}
