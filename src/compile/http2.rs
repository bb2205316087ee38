//! `[listener.http2]`: what one HTTP/2 connection may use.

use std::num::NonZeroU32;

use super::Compiler;
use crate::{
    config::{Code, OrOff, Placed, http2::Http2, units::Size},
    snapshot::{FrameLimits, Http2Limits},
};

/// Less would make every piece small.
const LEAST: usize = 1024;
/// The largest window there is (RFC 9113 section 6.9.1).
const LARGEST: usize = 0x7fff_ffff;
/// The window that every connection begins with; it cannot be made smaller (RFC 9113 section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;
/// Streams whose windows may be full at the same time without holding up the others: uploads to upstreams that stall.
const FULL_STREAMS: u32 = 32;

impl Compiler<'_> {
    pub(super) fn http2(&mut self, written: &Http2, streams: u32) -> Option<Http2Limits> {
        let stream_window = self.http2_size("stream_window", &written.stream_window);
        let connection_window = match &written.connection_window {
            None => stream_window.map(|window| {
                let all = window.saturating_mul(streams.min(FULL_STREAMS));
                all.clamp(FIRST_WINDOW, LARGEST as u32)
            }),
            Some(window) => self
                .http2_size("connection_window", window)
                .and_then(|all| self.connection_window(all, stream_window?, window)),
        };
        let send_buffer = self.http2_size("send_buffer", &written.send_buffer);
        Some(Http2Limits {
            stream_window: stream_window?,
            connection_window: connection_window?,
            send_buffer: send_buffer? as usize,
            cancelled: written
                .max_cancelled
                .limit()
                .map_or(u64::MAX, |most| u64::from(most.get())),
            error_resets: frames(*written.max_error_resets) as usize,
            frames: FrameLimits {
                period: written.frames_period.get(),
                settings: frames(*written.max_settings),
                pings: frames(*written.max_pings),
                priorities: frames(*written.max_priorities),
                window_updates: frames(*written.max_window_updates),
                unknown: frames(*written.max_unknown_frames),
                small_pieces: frames(*written.max_small_pieces),
            },
        })
    }

    fn http2_size(&mut self, key: &str, written: &Placed<Size>) -> Option<u32> {
        let bytes = written.bytes();
        if (LEAST..=LARGEST).contains(&bytes) {
            return u32::try_from(bytes).ok();
        }
        self.found
            .error(
                Code::OutOfRange,
                written.place,
                format!("`{key}` must be at least 1KiB and less than 2GiB"),
            )
            .help(format!("for example: {key} = \"256KiB\""));
        None
    }

    fn connection_window(&mut self, all: u32, one: u32, written: &Placed<Size>) -> Option<u32> {
        let least = one.max(FIRST_WINDOW);
        if all >= least {
            return Some(all);
        }
        let why = if one > all {
            "`connection_window` is less than `stream_window`, so that no stream could use its own"
        } else {
            "`connection_window` must be at least 64KiB: every HTTP/2 connection begins with that"
        };
        self.found
            .error(Code::OutOfRange, written.place, why)
            .help("without this key it is 32 times `stream_window`");
        None
    }
}

/// The most frames that there may be; all there can be without a limit.
fn frames(most: OrOff<NonZeroU32>) -> u32 {
    most.limit().map_or(u32::MAX, NonZeroU32::get)
}
