//! One file, and how several files become one configuration.

use std::{collections::HashMap, fmt::Display, hash::Hash, ptr, sync::OnceLock};

use super::{
    Config,
    access_log::AccessLog,
    address::Name,
    code::Code,
    decode::{Decoder, Node, Setting, Variables},
    diagnostics::Diagnostics,
    dns::Dns,
    listener::Listener,
    place::{FileId, Placed},
    route::Route,
    server::{Admin, Log, Server},
    setting::Map,
    settings::settings,
    upstream::Upstream,
};

settings! {
    /// The tables of a file. `listener`, `route` and `upstream` may stand in several files and are put together; the
    /// others once in all files.
    pub struct Document = "the file" {
        /// Other files that belong to this one. `*` and `?` stand for parts of a name. Files are read in the order of
        /// this list, those of a pattern in the order of their names.
        include: Vec<Placed<String>> = default([]), example ["routes/*.toml"];
        /// The process.
        server: Server = optional;
        /// The admin address.
        admin: Admin = optional;
        /// The log of the requests.
        access_log: AccessLog = optional;
        /// The log of the program.
        log: Log = optional;
        /// How the names of endpoints are looked up.
        dns: Dns = optional;
        /// The addresses to accept connections on.
        listener: Vec<Placed<Listener>> = default([]);
        /// Which requests, and what happens to them.
        route: Vec<Placed<Route>> = default([]);
        /// The named pools of endpoints.
        upstream: Map<Upstream> = default({});
    }
}

/// The files that have been read so far.
#[derive(Default)]
pub(crate) struct Merged {
    server: Option<Placed<Server>>,
    admin: Option<Placed<Admin>>,
    access_log: Option<Placed<AccessLog>>,
    log: Option<Placed<Log>>,
    dns: Option<Placed<Dns>>,
    listeners: Vec<Placed<Listener>>,
    routes: Vec<Placed<Route>>,
    upstreams: Map<Upstream>,
}

impl Merged {
    /// Adds a file; what it says a second time is an error.
    pub(crate) fn add(&mut self, document: Document, diagnostics: &mut Diagnostics) {
        once("[server]", &mut self.server, document.server, diagnostics);
        once("[admin]", &mut self.admin, document.admin, diagnostics);
        once(
            "[access_log]",
            &mut self.access_log,
            document.access_log,
            diagnostics,
        );
        once("[log]", &mut self.log, document.log, diagnostics);
        once("[dns]", &mut self.dns, document.dns, diagnostics);
        append(&mut self.listeners, document.listener.value);
        append(&mut self.routes, document.route.value);
        self.upstreams
            .entries
            .extend(document.upstream.value.entries);
        self.upstreams.broken.extend(document.upstream.value.broken);
    }

    /// The whole configuration, with the defaults of tables that no file has.
    pub(crate) fn finish(
        self,
        diagnostics: &mut Diagnostics,
        variables: Variables<'_>,
    ) -> Option<Config> {
        unique(
            "listener",
            self.listeners.iter().map(|l| &l.name),
            diagnostics,
        );
        unique("route", self.routes.iter().map(|r| &r.name), diagnostics);
        unique("upstream", self.upstreams.names(), diagnostics);
        for name in self.upstreams.names() {
            if let Err(reason) = Name::parse(name) {
                diagnostics
                    .error(
                        Code::BadName,
                        name.place,
                        format!("an upstream cannot be called \"{name}\": {reason}"),
                    )
                    .help("for example: [upstream.users]");
            }
        }
        Some(Config {
            server: self.server.or_else(|| unwritten(variables))?,
            admin: self.admin.or_else(|| unwritten(variables))?,
            access_log: self.access_log.or_else(|| unwritten(variables))?,
            log: self.log.or_else(|| unwritten(variables))?,
            dns: self.dns.or_else(|| unwritten(variables))?,
            listeners: self.listeners,
            routes: self.routes,
            upstreams: self.upstreams,
            sources: diagnostics.sources().clone(),
            known_fingerprint: OnceLock::new(),
        })
    }
}

/// Adds to a list; the first file's is taken as it is.
fn append<T>(list: &mut Vec<T>, more: Vec<T>) {
    if list.is_empty() {
        *list = more;
    } else {
        list.extend(more);
    }
}

fn once<T>(
    title: &str,
    kept: &mut Option<Placed<T>>,
    next: Option<Placed<T>>,
    diagnostics: &mut Diagnostics,
) {
    match (&kept, next) {
        (_, None) => {}
        (None, next) => *kept = next,
        (Some(first), Some(second)) => {
            let see = format!("{}: the first {title}", diagnostics.locate(first.place));
            diagnostics
                .error(
                    Code::DuplicateTable,
                    second.place,
                    format!("{title} stands in two files"),
                )
                .see(see)
                .help("write it in one of them");
        }
    }
}

fn unique<'a, T: Display + Eq + Hash + 'a>(
    what: &str,
    names: impl Iterator<Item = &'a Placed<T>>,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: HashMap<&T, &Placed<T>> = HashMap::new();
    for name in names {
        let first = *seen.entry(&name.value).or_insert(name);
        if ptr::eq(first, name) {
            continue;
        }
        let see = format!(
            "{}: the first {what} with this name",
            diagnostics.locate(first.place)
        );
        diagnostics
            .error(
                Code::DuplicateName,
                name.place,
                format!("there are two {what}s with the name `{name}`"),
            )
            .see(see)
            .help("give each a name of its own");
    }
}

/// A table that no file has: all its defaults.
fn unwritten<T: Setting>(variables: Variables<'_>) -> Option<Placed<T>> {
    let value = toml::de::DeValue::Table(toml::de::DeTable::new());
    let mut ignored = Diagnostics::default();
    let mut decoder = Decoder::new(&mut ignored, "".as_ref(), variables);
    Placed::decode(Node::root(&value, FileId::default()), &mut decoder)
}
