//! `[upstream.NAME.outlier]`: which endpoints get no requests for a while because of how they serve.

use std::num::NonZeroU32;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
    percent::{Percent, hundredths, shown},
    place::Placed,
    settings::settings,
    units::Timeout,
    upstream::StatusRange,
};

settings! {
    /// Ejects endpoints that serve badly, by what becomes of requests: for `ejection_time`, and longer each time. An
    /// endpoint fails when no connection comes about, when it breaks one off, does not answer in time or answers with
    /// what is no HTTP, and with each answer of `failure_status`. One that is ejected gets requests only when no other can
    /// have them, counts as unhealthy for `panic_threshold`, and comes back with `slow_start`.
    pub struct Outlier = "[upstream.NAME.outlier]" {
        /// So many failures in a row eject an endpoint at once. `"off"`: none do.
        consecutive_failures: Row = default(5);
        /// The share of an endpoint's requests in one `interval` that must fail to eject it, if it is twice the share of
        /// the others together. `"off"`: none does.
        failure_share: Share = default("50%");
        /// How slow an endpoint must be on the average of one `interval` to be ejected, in relation to the median of the
        /// others: the time until the response head, at least 10 ms longer. `"off"`: slowness is no reason.
        latency: Excess = default("off"), example "300%";
        /// The requests that an endpoint must have had in one `interval` before its share of failures or its latency
        /// counts.
        minimum_requests: NonZeroU32 = default(20);
        /// The statuses that are failures: numbers, or whole classes. Of a gRPC call it is the status that stands for its
        /// code: 500 for INTERNAL, UNKNOWN and DATA_LOSS, 501 for UNIMPLEMENTED, 503 for UNAVAILABLE, 504 for
        /// DEADLINE_EXCEEDED.
        failure_status: Vec<Placed<StatusRange>> = default(["5xx"]), example [500, 502, 503];
        /// How often shares and latencies are looked at.
        interval: Timeout = default("10s");
        /// How long an endpoint is ejected for the first time; the second time twice as long, and so on. Each `interval`
        /// that it serves takes one time off.
        ejection_time: Timeout = default("30s");
        /// The longest that an endpoint is ejected.
        max_ejection_time: Timeout = default("5m");
        /// The largest share of the endpoints that are ejected at one time. One always may be, the last one in use never.
        max_ejected: Percent = default("50%");
    }
}

/// A number of failures, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(pub Option<NonZeroU32>);

/// A share of failures above zero, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub Option<u8>);

/// A latency in hundredths of the others', above 100, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess(pub Option<u32>);

impl Setting for Row {
    fn kind() -> String {
        "whole number from 1, or \"off\"".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(_) if node.secret().is_none() => decoder.parse(
                node,
                "a whole number such as 5, or \"off\"",
                Code::OutOfRange,
                |text| match text {
                    OFF => Ok(Self(None)),
                    _ => Err("it is neither"),
                },
            ),
            _ => NonZeroU32::decode(node, decoder).map(|number| Self(Some(number))),
        }
    }

    fn show(&self) -> Json {
        self.0
            .map_or_else(|| OFF.into(), |number| number.get().into())
    }
}

impl Setting for Share {
    fn kind() -> String {
        "percentage, or \"off\"".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a percentage such as \"50%\", or \"off\"";
        decoder.parse(node, EXPECTED, Code::OutOfRange, |text| match text {
            OFF => Ok(Self(None)),
            _ => match u8::try_from(hundredths(text)?) {
                Ok(0) => Err("at 0% everyone would be ejected"),
                Ok(share @ 1..=100) => Ok(Self(Some(share))),
                Ok(_) | Err(_) => Err("it is more than 100%"),
            },
        })
    }

    fn show(&self) -> Json {
        self.0
            .map_or_else(|| OFF.into(), |share| shown(u32::from(share)))
    }
}

impl Setting for Excess {
    fn kind() -> String {
        "percentage from 110% to 10000%, or \"off\"".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a percentage such as \"300%\", or \"off\"";
        decoder.parse(node, EXPECTED, Code::OutOfRange, |text| match text {
            OFF => Ok(Self(None)),
            _ => match hundredths(text)? {
                0..110 => Err("below 110% half of the endpoints would be too slow"),
                excess @ 110..=10_000 => Ok(Self(Some(excess))),
                _ => Err("it is more than 10000%"),
            },
        })
    }

    fn show(&self) -> Json {
        self.0.map_or_else(|| OFF.into(), shown)
    }
}

const OFF: &str = "off";
