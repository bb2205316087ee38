//! `[listener.http2]`: what a client may use of one HTTP/2 connection, besides its streams.

use std::num::NonZeroU32;

use super::{
    or_off::OrOff,
    settings::settings,
    units::{Size, Timeout},
};

settings! {
    /// What a client may use of one HTTP/2 connection. Who exceeds one of the numbers is told to be calm: the connection
    /// ends with `ENHANCE_YOUR_CALM`, its requests are recorded with the reason `h2_excess`, and
    /// `portcullis_defences_total` counts what it did. Heads that do not end, and heads that are small on the wire and
    /// large in memory, are measured by `max_head_size`.
    pub struct Http2 = "[listener.http2]" {
        /// What a client may send of one request body before the upstream has taken any of it.
        stream_window: Size = default("256KiB");
        /// The same over all streams of a connection. Without this key: 32 times `stream_window`, or `max_streams` times
        /// if that is less.
        connection_window: Size = optional, example "8MiB";
        /// What is held of the responses on one connection for a client that reads more slowly than the upstreams answer.
        send_buffer: Size = default("64KiB");
        /// Requests that a client may give up before they are answered, even if they are most of those that it made.
        /// Requests that break HTTP/2 count, too.
        max_cancelled: OrOff<NonZeroU32> = default(500);
        /// Requests that the client's errors made the gateway reset.
        max_error_resets: OrOff<NonZeroU32> = default(256);
        /// The time that the numbers of frames below are for.
        frames_period: Timeout = default("10s");
        /// SETTINGS frames in that time.
        max_settings: OrOff<NonZeroU32> = default(100);
        /// PING frames in that time, and two more for each request and each frame of data.
        max_pings: OrOff<NonZeroU32> = default(1000);
        /// PRIORITY frames in that time, and ten more for each request and each frame of data.
        max_priorities: OrOff<NonZeroU32> = default(1000);
        /// WINDOW_UPDATE frames in that time, and ten more for each request and each frame of data.
        max_window_updates: OrOff<NonZeroU32> = default(1000);
        /// Frames of kinds that nobody knows in that time, and ten more for each request and each frame of data.
        max_unknown_frames: OrOff<NonZeroU32> = default(1000);
        /// Pieces of less than 256 bytes in that time into which a client's windows cut responses that had more to send,
        /// and one more for every 4 KiB that it takes.
        max_small_pieces: OrOff<NonZeroU32> = default(1000);
    }
}
