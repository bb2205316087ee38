//! What the operator wrote: the language of the configuration files, read into plain data with places.
//!
//! Nothing here knows what a setting does. [`load`] reads the files and reports every problem in one go; `compile` turns
//! the result into the world that serves requests and reports the rest. A table of the language is declared once, with
//! `settings!`, which gives its struct, its decoder and its part of the reference.

// The language, table by table.
pub mod access_log;
pub mod breaker;
pub mod dns;
pub mod document;
pub mod filters;
pub mod health;
pub mod http2;
pub mod limits;
pub mod listener;
pub mod outlier;
pub mod overload;
pub mod per_client;
pub mod retry;
pub mod route;
pub mod server;
pub mod sets;
pub mod sticky;
pub mod upstream;

// The types that values have.
pub mod address;
pub mod number;
pub mod or_off;
pub mod percent;
pub mod rate;
pub mod setting;
pub mod units;

// How it is read, and what is said about it.
pub mod code;
pub mod decode;
pub mod diagnostics;
mod include;
mod load;
mod mask;
pub mod place;
pub mod reference;
mod secret;
mod settings;
pub mod suggest;
mod syntax;
pub mod table;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use serde_json::{Value as Json, json};

pub use access_log::AccessLog;
pub use breaker::Breaker;
pub use code::Code;
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use dns::Dns;
pub use limits::{Adaptive, Limits};
pub use listener::Listener;
pub use load::{Loaded, load, parse_str, parse_with};
pub use or_off::OrOff;
pub use place::{Place, Placed, Sources};
pub use reference::reference;
pub use route::Route;
pub use server::{Admin, Log, LogFormat, Server};
pub use setting::Map;
pub use upstream::Upstream;

use decode::Setting;

/// A whole configuration, put together from all its files.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process.
    pub server: Placed<Server>,
    /// The admin address.
    pub admin: Placed<Admin>,
    /// The log of the requests.
    pub access_log: Placed<AccessLog>,
    /// The log of the program.
    pub log: Placed<Log>,
    /// How names are looked up.
    pub dns: Placed<Dns>,
    /// The listeners, in the order of the files.
    pub listeners: Vec<Placed<Listener>>,
    /// The routes, in the order of the files.
    pub routes: Vec<Placed<Route>>,
    /// The upstreams, in the order of the files.
    pub upstreams: Map<Upstream>,
    /// The texts it was read from, for messages.
    pub sources: Sources,
    /// What [`fingerprint`] has come to.
    known_fingerprint: OnceLock<String>,
}

/// The configuration with all its defaults, as JSON in the shape of the files. A value that a secret was put into
/// shows the reference as written.
#[must_use]
pub fn redacted(config: &Config) -> Json {
    json!({
        "server": config.server.show(),
        "admin": config.admin.show(),
        "access_log": config.access_log.show(),
        "log": config.log.show(),
        "dns": config.dns.show(),
        "listener": config.listeners.show(),
        "route": config.routes.show(),
        "upstream": config.upstreams.show(),
    })
}

/// 16 hexadecimal digits that are equal for equal configurations, whatever their files look like. The content of
/// secrets has no part in it, so that the number can be shown to anyone.
#[must_use]
pub fn fingerprint(config: &Config) -> String {
    let known = &config.known_fingerprint;
    known.get_or_init(|| fingerprint_of(config)).clone()
}

/// Of the text of [`redacted`], piece by piece: thousands of routes as one tree of JSON would be most of what a reload
/// needs.
fn fingerprint_of(config: &Config) -> String {
    let mut hash = Fnv::default();
    hash.table("{", "access_log", &config.access_log);
    hash.table(",", "admin", &config.admin);
    hash.table(",", "dns", &config.dns);
    hash.list("listener", &config.listeners);
    hash.table(",", "log", &config.log);
    hash.list("route", &config.routes);
    hash.table(",", "server", &config.server);
    hash.table(",", "upstream", &config.upstreams);
    hash.text(b"}");
    format!("{:016x}", hash.number)
}

/// FNV-1a: the number only tells configurations apart, and must be the same in every version of the program.
struct Fnv {
    number: u64,
    /// The text of one part after the other.
    text: Vec<u8>,
}

impl Default for Fnv {
    fn default() -> Self {
        Self {
            number: 0xcbf2_9ce4_8422_2325,
            text: Vec::new(),
        }
    }
}

impl Fnv {
    fn text(&mut self, text: &[u8]) {
        self.number = text.iter().fold(self.number, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    }

    fn item(&mut self, item: &impl Setting) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Nothing fails that is written to memory.
        let _ = item.write(&mut text);
        self.text(&text);
        self.text = text;
    }

    fn table(&mut self, before: &str, key: &str, table: &impl Setting) {
        self.text(format!("{before}\"{key}\":").as_bytes());
        self.item(table);
    }

    fn list<T: Setting>(&mut self, key: &str, items: &[T]) {
        self.text(format!(",\"{key}\":[").as_bytes());
        for (at, item) in items.iter().enumerate() {
            self.text(if at == 0 { b"" } else { b"," });
            self.item(item);
        }
        self.text(b"]");
    }
}
