//! Targets made from what a route matched: `/users/*`, `/u/{id}?tab={tab}`.

use super::context::Context;
use super::escape::{escaped, push_query_value};
use super::setting::{RouteShape, SettingError};
use crate::http::{RequestHead, normalise_path};

/// A path, perhaps with a query, in which `{name}` stands for a capture and a last `/*` for the tail of the route.
#[derive(Clone, Debug)]
pub(super) struct TargetTemplate {
    path: Box<[Part]>,
    has_tail: bool,
    query: Option<Box<[Part]>>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Capture(Box<str>),
}

/// A target that was made. The path is normalised.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: String,
    /// The template's own query; `None` when it leaves the client's.
    pub(super) query: Option<String>,
}

impl TargetTemplate {
    pub(super) fn parse(key: &'static str, text: &str) -> Result<Self, SettingError> {
        if text.contains('#') {
            return Err(SettingError::new(key, "a target has no fragment"));
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        if !path.starts_with('/') {
            return Err(
                SettingError::new(key, "a path begins with `/`").suggest(format!("/{text}"))
            );
        }
        let (path, has_tail) = match path.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (path, false),
        };
        if path.contains('*') {
            return Err(SettingError::new(
                key,
                "`*` may only be the last segment: it stands for what the route's `/*` matched",
            ));
        }
        let template = Self {
            path: parse_parts(key, path)?,
            has_tail,
            query: query.map(|query| parse_parts(key, query)).transpose()?,
        };
        template.check_literals(key)?;
        Ok(template)
    }

    /// Checks that the route has every capture and the tail that are named.
    pub(super) fn check(
        &self,
        key: &'static str,
        route: &RouteShape<'_>,
    ) -> Result<(), SettingError> {
        for part in self.path.iter().chain(self.query.iter().flatten()) {
            if let Part::Capture(name) = part {
                route.check_capture(key, name)?;
            }
        }
        if self.has_tail {
            route.check_tail(key)?;
        }
        Ok(())
    }

    /// The target for a request; `None` when what came out is no path of its own, or too long.
    pub(super) fn render(&self, request: &RequestHead, cx: &Context<'_>) -> Option<Target> {
        let matched = cx.original.path(request);
        let mut raw = String::with_capacity(matched.len() + 32);
        for part in &self.path {
            push_segment_text(part.text(matched, cx), &mut raw);
        }
        if self.has_tail {
            push_segment_text(cx.captures.tail(matched).unwrap_or_default(), &mut raw);
        }
        if raw.is_empty() {
            raw.push('/');
        }
        // The literals and the matched path are normal, so only captures that an expression cut in the middle of a
        // segment or an escape can have left something to normalise, and that would be a way around the route.
        let mut path = String::with_capacity(raw.len());
        normalise_path(raw.as_bytes(), &mut path).ok()?;
        if path != raw {
            return None;
        }
        let query = self.query.as_ref().map(|parts| {
            let mut query = String::new();
            for part in parts {
                match part {
                    Part::Literal(text) => query.push_str(text),
                    Part::Capture(_) => push_query_value(part.text(matched, cx), &mut query),
                }
            }
            query
        });
        let length = path.len() + query.as_ref().map_or(0, String::len);
        // What the client sent is within the limit for targets, which may be configured to be longer than ours.
        (length <= MAX_TARGET.max(matched.len() + self.literal_length()))
            .then_some(Target { path, query })
    }

    fn literal_length(&self) -> usize {
        let parts = self.path.iter().chain(self.query.iter().flatten());
        parts
            .map(|part| match part {
                Part::Literal(text) => text.len(),
                Part::Capture(_) => 0,
            })
            .sum()
    }

    /// The literals must be normal as they stand, with anything harmless in the place of the captures.
    fn check_literals(&self, key: &'static str) -> Result<(), SettingError> {
        let mut sample = String::new();
        for part in &self.path {
            match part {
                Part::Literal(text) => sample.push_str(text),
                Part::Capture(_) => sample.push('x'),
            }
        }
        if sample.is_empty() {
            return Ok(());
        }
        check_normal(key, &sample)
    }
}

impl Part {
    fn text<'a>(&'a self, matched: &'a str, cx: &Context<'_>) -> &'a str {
        match self {
            Self::Literal(text) => text,
            Self::Capture(name) => cx.captures.get(name, matched).unwrap_or_default(),
        }
    }
}

/// Reads a fixed path that is put before others, or taken away from them: `/v1`, without a slash at its end.
pub(super) fn parse_prefix(key: &'static str, text: &str) -> Result<Box<str>, SettingError> {
    let prefix = text.strip_suffix("/*").unwrap_or(text);
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return Err(SettingError::new(key, "an empty prefix changes nothing"));
    }
    if !prefix.starts_with('/') {
        let error = SettingError::new(key, "a path begins with `/`");
        return Err(error.suggest(format!("/{prefix}")));
    }
    if prefix.contains(['*', '{', '}', '?', '#']) {
        return Err(SettingError::new(
            key,
            "a prefix is a plain path: for captures and the tail use `path`",
        ));
    }
    let prefix = escaped(prefix);
    check_normal(key, &prefix)?;
    Ok(prefix.into())
}

fn check_normal(key: &'static str, path: &str) -> Result<(), SettingError> {
    let mut normal = String::new();
    if normalise_path(path.as_bytes(), &mut normal).is_err() {
        return Err(SettingError::new(key, format!("{path:?} is not a path")));
    }
    if normal == path {
        return Ok(());
    }
    Err(SettingError::new(
        key,
        format!("the normal form of this path is another one: {normal}"),
    ))
}

fn parse_parts(key: &'static str, text: &str) -> Result<Box<[Part]>, SettingError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
        if literal.contains('}') {
            return Err(SettingError::new(key, "there is a `}` without its `{`"));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(escaped(literal).into()));
        }
        if literal.len() == rest.len() {
            return Ok(parts.into());
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err(SettingError::new(key, "there is a `{` without its `}`"));
        };
        parts.push(Part::Capture(name.into()));
        rest = after;
    }
}

/// Appends text, taking the slashes at its beginning and the one at the end of `path` for a single one.
fn push_segment_text(text: &str, path: &mut String) {
    let rest = text.trim_start_matches('/');
    if rest.len() < text.len() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(rest);
}

/// The longest path with query that a template makes, in bytes: what servers commonly accept.
const MAX_TARGET: usize = 8192;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filters::trial::Trial;

    fn render(template: &str, trial: &mut Trial) -> Option<(String, Option<String>)> {
        let template = TargetTemplate::parse("path", template).unwrap();
        let (request, _, cx) = trial.parts();
        let target = template.render(request, &cx)?;
        Some((target.path, target.query))
    }

    fn path(template: &str, trial: &mut Trial) -> String {
        render(template, trial).unwrap().0
    }

    #[test]
    fn the_asterisk_stands_for_the_tail() {
        for (matched, tail, template, expected) in [
            ("/v1/users/7/x", 9, "/users/*", "/users/7/x"),
            ("/v1/users", 9, "/users/*", "/users"),
            ("/v1/users/", 9, "/users/*", "/users/"),
            ("/v1/users", 9, "/*", "/"),
            ("/v1/users/7", 9, "/*", "/7"),
            ("/x", 0, "/new/*", "/new/x"),
            ("", 0, "/*", "/"),
        ] {
            let mut trial = Trial::new(matched, "");
            trial.tail = Some(tail);
            assert_eq!(path(template, &mut trial), expected);
        }
    }

    #[test]
    fn captures_stand_anywhere() {
        let mut trial = Trial::new("/u/7/o/9", "");
        trial.capture("user", 3..4);
        trial.capture("order", 7..8);
        assert_eq!(path("/o-{order}/{user}.json", &mut trial), "/o-9/7.json");
    }

    #[test]
    fn doubled_slashes_are_one() {
        let mut trial = Trial::new("/a/b", "");
        trial.capture("rest", 2..4);
        assert_eq!(path("/n/{rest}", &mut trial), "/n/b");
        trial.capture("none", 0..0);
        assert_eq!(path("/n/{none}/x", &mut trial), "/n/x");
        assert_eq!(path("/{none}", &mut trial), "/");
    }

    #[test]
    fn case_044_a_capture_cannot_become_a_dot_segment() {
        let mut trial = Trial::new("/a.b", "");
        trial.capture("dot", 2..3);
        assert_eq!(render("/safe/{dot}{dot}/admin", &mut trial), None);
        assert_eq!(render("/safe/.{dot}", &mut trial), None);
        assert_eq!(path("/safe/{dot}x", &mut trial), "/safe/.x");
    }

    #[test]
    fn case_044_a_capture_cannot_add_parameters() {
        let mut trial = Trial::new("/a&admin=1+2;x", "");
        trial.capture("name", 1..14);
        assert_eq!(
            render("/u?name={name}&b=é", &mut trial),
            Some((
                "/u".into(),
                Some("name=a%26admin%3D1%2B2%3Bx&b=%C3%A9".into())
            ))
        );
        assert_eq!(render("/u?", &mut trial).unwrap().1.as_deref(), Some(""));
    }

    #[test]
    fn case_044_the_length_is_bounded() {
        let mut trial = Trial::new(&format!("/{}", "a".repeat(5000)), "");
        trial.capture("long", 1..5001);
        assert!(render("/{long}", &mut trial).is_some());
        assert_eq!(render("/{long}/{long}", &mut trial), None);
        assert_eq!(render("/{long}?a={long}", &mut trial), None);
    }

    #[test]
    fn literals_are_checked_when_they_are_read() {
        for text in [
            "users", "/a*", "/*/b", "/a/{x", "/a/x}", "/a#b", "/a/../b", "/a//b", "/a\\b", "",
        ] {
            assert!(TargetTemplate::parse("path", text).is_err(), "{text}");
        }
        let mut trial = Trial::new("/", "");
        assert_eq!(path("/caf é", &mut trial), "/caf%20%C3%A9");
    }

    #[test]
    fn what_the_route_lacks_is_a_mistake() {
        let check = |text: &str, route: RouteShape<'_>| {
            TargetTemplate::parse("path", text)
                .unwrap()
                .check("path", &route)
        };
        let captures = ["id".into()];
        let route = RouteShape {
            captures: &captures,
            has_tail: true,
            names_hosts: false,
        };
        assert!(check("/{id}/*", route).is_ok());
        assert!(check("/{key}", route).is_err());
        assert!(check("/?a={key}", route).is_err());
        assert!(check("/*", RouteShape::default()).is_err());
    }

    #[test]
    fn a_prefix_is_plain() {
        assert_eq!(&*parse_prefix("add_prefix", "/v1/").unwrap(), "/v1");
        for text in ["", "/", "v1", "/a/{x}", "/a?b", "/a/../b", "/*"] {
            assert!(parse_prefix("add_prefix", text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn case_044_whatever_is_captured_the_target_is_a_target(
            matched in "/([a-c./;&=+~@]|%[0-9A-F]{2}){0,24}",
            cuts in prop::collection::vec((0_usize..40, 0_usize..40), 2),
            tail in 0_usize..40,
            template in prop::sample::select(vec![
                "/{a}", "/.{a}{b}/x", "/%{a}", "/{a}/{b}/*", "/*", "/x{a}?q={b}&{a}=1", "/{b}{a}/*?",
            ]),
        ) {
            let mut path = String::new();
            prop_assume!(normalise_path(matched.as_bytes(), &mut path).is_ok());
            let at = |position: usize| u32::try_from(position.min(path.len())).unwrap();
            let mut trial = Trial::new(&path, "");
            for (name, (a, b)) in ["a", "b"].iter().zip(cuts) {
                trial.capture(name, at(a.min(b))..at(a.max(b)));
            }
            trial.tail = Some(at(tail));
            let Ok(template) = TargetTemplate::parse("path", template) else {
                return Ok(());
            };
            let (request, _, cx) = trial.parts();
            if let Some(target) = template.render(request, &cx) {
                let mut again = String::new();
                prop_assert!(normalise_path(target.path.as_bytes(), &mut again).is_ok());
                prop_assert_eq!(&again, &target.path);
                prop_assert!(!target.path.starts_with("//"));
                let query = target.query.unwrap_or_default();
                prop_assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(query.matches(['&', '=']).count() <= 3);
            }
        }
    }
}
