//! `[server.overload]`: when the process is short of something, and what it does then.

use super::{
    or_off::OrOff,
    percent::Percent,
    settings::{choices, settings},
    units::{Size, Timeout},
};

settings! {
    /// What happens when the process runs short of memory or of descriptors, or when its workers do not keep up. First
    /// connections are not kept any more, then requests are refused by the `importance` of their routes, with 503 and
    /// `Retry-After`. The admin address keeps working.
    pub struct Overload = "[server.overload]" {
        /// The memory that the process may use. Without this key: the least of the memory of the machine, the limit of
        /// the control group, and the address space (`ulimit -v`).
        max_memory: Size = optional, example "2GiB";
        /// The share of memory, or of descriptors (`ulimit -n`), from which on connections end after their response and
        /// idle ones are closed.
        relieve_at: OrOff<Percent> = default("80%");
        /// The share from which on requests for routes of low importance are refused. Halfway from there to the whole,
        /// those for routes of normal importance are refused too.
        shed_at: OrOff<Percent> = default("90%");
        /// By how much a worker must be behind, on average of the last second, for its connections to end after their
        /// response.
        relieve_delay: OrOff<Timeout> = default("500ms");
        /// By how much it must be behind for requests of low importance to be refused; with twice that, those of normal
        /// importance are refused too.
        shed_delay: OrOff<Timeout> = default("2s");
    }
}

choices! {
    /// How much a route matters when the process is overloaded.
    pub enum Importance {
        /// Its requests are refused first.
        Low = "low",
        /// Its requests are refused when that was not enough.
        Normal = "normal",
        /// Its requests are not refused.
        High = "high",
    }
}
