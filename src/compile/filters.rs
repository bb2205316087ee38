//! The filters of a route, and the actions that are made like filters.

use super::{Compiler, help_with};
use crate::{
    config::{
        Code, Diagnostics, Map, Placed,
        filters::{Filter as Written, RequestId, Rewrite},
        place::Place,
        route::{Redirect, Respond},
        setting::TemplateText,
    },
    filters::{
        Chain, Filter, RouteShape, SettingError, redirect, request_headers, request_id, respond,
        response_headers, rewrite,
    },
};

/// The settings that the two filters of header fields have in common.
#[derive(Clone)]
struct HeaderEdits {
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
    remove: Vec<String>,
}

/// Where the keys of a filter stand, to say there what is wrong with their values.
struct Keys<'a> {
    whole: Place,
    /// Key, entry within the key, place, and the text as written if there is a secret in it.
    known: Vec<(&'static str, Option<&'a str>, Place, Option<&'a str>)>,
}

impl Compiler<'_> {
    pub(super) fn chain(&mut self, filters: &[Placed<Written>], shape: &RouteShape<'_>) -> Chain {
        let made = filters
            .iter()
            .filter_map(|filter| self.filter(filter, shape))
            .collect();
        Chain::new(made)
    }

    fn filter(&mut self, written: &Placed<Written>, shape: &RouteShape<'_>) -> Option<Filter> {
        // A filter with keys that could not be read would only lead to more errors about the same thing.
        if self.found.has_errors_in(written.place) {
            return None;
        }
        let mut keys = Keys::of(written.place);
        let made = match &written.value {
            Written::RequestHeaders(edits) => {
                keys.edits(&edits.set, &edits.add, &edits.remove);
                let settings = HeaderEdits::of(&edits.set, &edits.add, &edits.remove);
                self.edits(&keys, settings, |edits| {
                    request_headers::Settings {
                        set: edits.set,
                        add: edits.add,
                        remove: edits.remove,
                    }
                    .build()
                })
                .map(Filter::RequestHeaders)
            }
            Written::ResponseHeaders(edits) => {
                keys.edits(&edits.set, &edits.add, &edits.remove);
                let settings = HeaderEdits::of(&edits.set, &edits.add, &edits.remove);
                self.edits(&keys, settings, |edits| {
                    response_headers::Settings {
                        set: edits.set,
                        add: edits.add,
                        remove: edits.remove,
                    }
                    .build()
                })
                .map(Filter::ResponseHeaders)
            }
            Written::Rewrite(rewrite) => {
                keys.rewrite(rewrite);
                let settings = rewrite_settings(rewrite);
                self.build(&keys, || settings.build()).map(Filter::Rewrite)
            }
            Written::RequestId(id) => {
                keys.request_id(id);
                let settings = request_id::Settings {
                    header: Some(id.header.value.clone()),
                    trust: id.trust.value,
                };
                self.build(&keys, || settings.build())
                    .map(Filter::RequestId)
            }
        }?;
        if let Err(error) = made.check(shape) {
            keys.report(&error, &mut self.found);
        }
        Some(made)
    }

    pub(super) fn redirect(
        &mut self,
        written: &Placed<Box<Redirect>>,
        shape: &RouteShape<'_>,
    ) -> Option<redirect::Redirect> {
        let mut keys = Keys::of(written.place);
        keys.add("to", &written.to);
        keys.add("status", &written.status);
        let settings = redirect::Settings {
            to: written.to.value.clone(),
            status: Some(written.status.get()),
        };
        let made = self.build(&keys, || settings.build())?;
        if let Err(error) = made.check(shape) {
            keys.report(&error, &mut self.found);
        }
        Some(made)
    }

    pub(super) fn respond(
        &mut self,
        written: &Placed<Box<Respond>>,
        shape: &RouteShape<'_>,
    ) -> Option<respond::Respond> {
        let mut keys = Keys::of(written.place);
        keys.add("status", &written.status);
        keys.add("body", &written.body);
        keys.map("headers", &written.headers);
        let mut settings = respond::Settings {
            status: Some(written.status.get()),
            body: Some(written.body.value.clone()),
            headers: texts(&written.headers),
        };
        let made = self.build(&keys, || {
            let made = settings.build();
            if let Err(error) = &made {
                forget(error, "headers", &mut settings.headers);
            }
            made
        })?;
        if let Err(error) = made.check(shape) {
            keys.report(&error, &mut self.found);
        }
        Some(made)
    }

    fn edits<T>(
        &mut self,
        keys: &Keys<'_>,
        mut edits: HeaderEdits,
        build: impl Fn(HeaderEdits) -> Result<T, SettingError>,
    ) -> Option<T> {
        self.build(keys, || {
            let made = build(edits.clone());
            if let Err(error) = &made {
                edits.forget(error);
            }
            made
        })
    }

    /// Builds until there is no new error: `build` forgets the entry that the last one was about.
    fn build<T>(
        &mut self,
        keys: &Keys<'_>,
        mut build: impl FnMut() -> Result<T, SettingError>,
    ) -> Option<T> {
        let mut last = None;
        let mut right = true;
        loop {
            match build() {
                Ok(made) => return right.then_some(made),
                Err(error) if last.as_ref() == Some(&error) => return None,
                Err(error) => {
                    right = false;
                    keys.report(&error, &mut self.found);
                    last = Some(error);
                }
            }
        }
    }
}

impl<'a> Keys<'a> {
    fn of(whole: Place) -> Self {
        Self {
            whole,
            known: Vec::new(),
        }
    }

    fn add<T>(&mut self, key: &'static str, value: &'a Placed<T>) {
        self.known.push((key, None, value.place, value.secret()));
    }

    fn map<T>(&mut self, key: &'static str, map: &'a Placed<Map<T>>) {
        for (name, value) in map.iter() {
            // What is wrong may be the name or the value; the entry begins with its name.
            let place = name.place;
            self.known
                .push((key, Some(name.as_str()), place, value.secret()));
        }
        self.add(key, map);
    }

    fn edits(
        &mut self,
        set: &'a Placed<Map<TemplateText>>,
        add: &'a Placed<Map<TemplateText>>,
        remove: &'a Placed<Vec<Placed<String>>>,
    ) {
        self.map("set", set);
        self.map("add", add);
        for name in &remove.value {
            let entry = ("remove", Some(name.as_str()), name.place, name.secret());
            self.known.push(entry);
        }
        self.add("remove", remove);
    }

    fn rewrite(&mut self, rewrite: &'a Rewrite) {
        let keys = [
            ("path", &rewrite.path),
            ("strip_prefix", &rewrite.strip_prefix),
            ("add_prefix", &rewrite.add_prefix),
            ("host", &rewrite.host),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                self.add(key, value);
            }
        }
    }

    fn request_id(&mut self, id: &'a RequestId) {
        self.add("header", &id.header);
        self.add("trust", &id.trust);
    }

    fn report(&self, error: &SettingError, found: &mut Diagnostics) {
        let of_key = || self.known.iter().filter(|(key, ..)| *key == error.key);
        let exact = of_key().find(|(_, item, ..)| *item == error.item.as_deref());
        let entry = exact.or_else(|| of_key().find(|(_, item, ..)| item.is_none()));
        let Some(&(.., place, secret)) = entry else {
            let finding = found.error(Code::BadFilter, self.whole, &error.message);
            help_with(finding, error.suggestion.clone());
            return;
        };
        let message = match secret {
            None => format!("`{}`: {}", error.key, error.message),
            Some(written) => {
                format!(
                    "`{}`: what \"{written}\" stands for cannot be used here",
                    error.key
                )
            }
        };
        let finding = found.error(Code::BadFilter, place, message);
        if secret.is_none() {
            help_with(finding, error.suggestion.clone());
        }
    }
}

impl HeaderEdits {
    fn of(set: &Map<TemplateText>, add: &Map<TemplateText>, remove: &[Placed<String>]) -> Self {
        Self {
            set: texts(set),
            add: texts(add),
            remove: remove.iter().map(|name| name.value.clone()).collect(),
        }
    }

    fn forget(&mut self, error: &SettingError) {
        forget(error, "set", &mut self.set);
        forget(error, "add", &mut self.add);
        if error.key == "remove" {
            self.remove.retain(|name| Some(name) != error.item.as_ref());
        }
    }
}

/// Takes out the entry that the error is about, so that the next build finds the next error.
fn forget(error: &SettingError, key: &str, entries: &mut Vec<(String, String)>) {
    if error.key == key {
        entries.retain(|(name, _)| Some(name) != error.item.as_ref());
    }
}

fn texts(map: &Map<TemplateText>) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| (name.value.clone(), value.value.0.clone()))
        .collect()
}

fn rewrite_settings(written: &Rewrite) -> rewrite::Settings {
    let text = |value: &Option<Placed<String>>| value.as_ref().map(|text| text.value.clone());
    rewrite::Settings {
        path: text(&written.path),
        strip_prefix: text(&written.strip_prefix),
        add_prefix: text(&written.add_prefix),
        host: text(&written.host),
    }
}
