//! `rewrite`: changes path, query and host of the request before it is sent upstream.

use super::chain::{Flow, Reply};
use super::context::Context;
use super::setting::{RouteShape, SettingError};
use super::target::{Target, TargetTemplate, parse_prefix};
use crate::http::{RequestHead, TargetForm, parse_authority};

/// The settings of `rewrite`: at least one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The new path: `{name}` stands for a capture of the route, a last `/*` for what the route's `/*` matched. The
    /// query stays as it is unless the path has one of its own, begun by `?`.
    pub path: Option<String>,
    /// A path that is taken away from the front, by whole segments, where the request has it.
    pub strip_prefix: Option<String>,
    /// A path that is put before the request's, after `strip_prefix`.
    pub add_prefix: Option<String>,
    /// The host, with a port if need be, that the upstream is told.
    pub host: Option<String>,
}

/// Changes the target of the request.
#[derive(Clone, Debug)]
pub struct Rewrite {
    path: PathChange,
    authority: Option<(Box<str>, Option<u16>)>,
}

#[derive(Clone, Debug)]
enum PathChange {
    None,
    Template(TargetTemplate),
    Prefix { strip: Box<str>, add: Box<str> },
}

impl Settings {
    /// Checks the settings and makes the filter.
    pub fn build(&self) -> Result<Rewrite, SettingError> {
        let prefix = |key, text: &Option<String>| match text {
            Some(text) => parse_prefix(key, text),
            None => Ok(Box::default()),
        };
        let strip = prefix("strip_prefix", &self.strip_prefix)?;
        let add = prefix("add_prefix", &self.add_prefix)?;
        let path = match &self.path {
            Some(_) if !(strip.is_empty() && add.is_empty()) => {
                return Err(SettingError::new(
                    "path",
                    "`path` names the whole new path: it goes without `strip_prefix` and `add_prefix`",
                ));
            }
            Some(path) => PathChange::Template(TargetTemplate::parse("path", path)?),
            None if strip.is_empty() && add.is_empty() => PathChange::None,
            None => PathChange::Prefix { strip, add },
        };
        let authority = self.host.as_deref().map(parse_host).transpose()?;
        if matches!(path, PathChange::None) && authority.is_none() {
            return Err(SettingError::new(
                "path",
                "a rewrite needs `path`, `strip_prefix`, `add_prefix` or `host`",
            ));
        }
        Ok(Rewrite { path, authority })
    }
}

impl Rewrite {
    pub(super) fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        match &self.path {
            PathChange::Template(template) => template.check("path", route),
            PathChange::None | PathChange::Prefix { .. } => Ok(()),
        }
    }

    pub(super) fn on_request(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Flow {
        // `*` and the authority of a CONNECT are no paths that could be changed.
        if head.form == TargetForm::Path {
            match &self.path {
                PathChange::None => {}
                PathChange::Template(template) => match template.render(head, cx) {
                    Some(target) => replace(target, head, cx),
                    None => return Flow::Answer(Reply::empty(400, "rewrite_refused")),
                },
                PathChange::Prefix { strip, add } => {
                    let query = None;
                    if let Some(path) = exchange_prefix(&head.path, strip, add) {
                        replace(Target { path, query }, head, cx);
                    }
                }
            }
        }
        if let Some((host, port)) = &self.authority {
            let old = std::mem::replace(&mut head.host, String::from(&**host));
            cx.original.authority.get_or_insert((old, head.port));
            head.port = *port;
        }
        Flow::Continue
    }
}

fn replace(target: Target, head: &mut RequestHead, cx: &mut Context<'_>) {
    let old = std::mem::replace(&mut head.path, target.path);
    cx.original.path.get_or_insert(old);
    if let Some(query) = target.query {
        let query = (!query.is_empty()).then_some(query);
        let old = std::mem::replace(&mut head.query, query);
        cx.original.query.get_or_insert(old);
    }
}

/// The path with another prefix; `None` when nothing changes.
fn exchange_prefix(path: &str, strip: &str, add: &str) -> Option<String> {
    let below = path
        .strip_prefix(strip)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let rest = match below {
        Some(rest) => rest,
        None if add.is_empty() => return None,
        None => path,
    };
    let mut out = String::with_capacity(add.len() + rest.len() + 1);
    out.push_str(add);
    out.push_str(rest);
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

fn parse_host(text: &str) -> Result<(Box<str>, Option<u16>), SettingError> {
    let mut host = String::new();
    match parse_authority(text.as_bytes(), &mut host) {
        Ok(port) => Ok((host.into(), port)),
        Err(_) => {
            let message = format!("{text:?} is not a host");
            let error = SettingError::new("host", message);
            Err(match text.split_once("://") {
                Some((_, rest)) => error.suggest(rest.split('/').next().unwrap_or_default()),
                None => error,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    fn path(path: &str) -> Settings {
        Settings {
            path: Some(path.into()),
            ..Settings::default()
        }
    }

    fn prefix(strip: &str, add: &str) -> Settings {
        let option = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Settings {
            strip_prefix: option(strip),
            add_prefix: option(add),
            ..Settings::default()
        }
    }

    fn run(settings: &Settings, trial: &mut Trial) -> Flow {
        let filter = settings.build().unwrap();
        let (request, _, mut cx) = trial.parts();
        filter.on_request(request, &mut cx)
    }

    #[test]
    fn the_query_stays_unless_the_path_has_its_own() {
        let mut trial = Trial::new("/v1/users/7", "a=1");
        trial.tail = Some(9);
        run(&path("/users/*"), &mut trial);
        assert_eq!(trial.request.path, "/users/7");
        assert_eq!(trial.request.query.as_deref(), Some("a=1"));

        run(&path("/users?b=2"), &mut trial);
        assert_eq!(trial.request.query.as_deref(), Some("b=2"));
        run(&path("/users?"), &mut trial);
        assert_eq!(trial.request.query, None);
    }

    #[test]
    fn what_the_client_asked_for_is_kept_through_several_rewrites() {
        let mut trial = Trial::new("/v1/users/7", "a=1");
        trial.tail = Some(9);
        run(&path("/first/*?x"), &mut trial);
        run(&path("/second/*?y"), &mut trial);
        let host = Settings {
            host: Some("Users.internal:81".into()),
            ..Settings::default()
        };
        run(&host, &mut trial);
        let (head, original) = (&trial.request, &trial.original);
        assert_eq!(head.path, "/second/7");
        assert_eq!(
            (head.host.as_str(), head.port),
            ("users.internal", Some(81))
        );
        assert_eq!(original.path(head), "/v1/users/7");
        assert_eq!(original.query(head), Some("a=1"));
        assert_eq!(original.host(head), "api.test");
        assert_eq!(original.port(head), Some(8443));
    }

    #[test]
    fn prefixes_are_exchanged_by_whole_segments() {
        for (from, strip, add, to) in [
            ("/v1/users", "/v1", "", "/users"),
            ("/v1", "/v1", "", "/"),
            ("/v1/", "/v1/", "", "/"),
            ("/v10/users", "/v1", "", "/v10/users"),
            ("/users", "", "/api", "/api/users"),
            ("/v1/users", "/v1", "/v2", "/v2/users"),
            ("/v1", "/v1", "/v2", "/v2"),
            ("/other", "/v1", "/v2", "/v2/other"),
        ] {
            let mut trial = Trial::new(from, "");
            run(&prefix(strip, add), &mut trial);
            assert_eq!(trial.request.path, to, "{from}");
        }
    }

    #[test]
    fn case_044_a_target_that_is_no_path_is_refused() {
        let mut trial = Trial::new("/a.b", "");
        trial.capture("dot", 2..3);
        let flow = run(&path("/{dot}{dot}/x"), &mut trial);
        assert!(matches!(flow, Flow::Answer(Reply { status: 400, .. })));
        assert_eq!(trial.request.path, "/a.b");
    }

    #[test]
    fn case_045_the_asterisk_form_stays() {
        let mut trial = Trial::new("", "");
        trial.request.form = TargetForm::Asterisk;
        run(&path("/users"), &mut trial);
        run(&prefix("", "/api"), &mut trial);
        assert_eq!(trial.request.path, "");
    }

    #[test]
    fn settings_that_cannot_be_meant_are_mistakes() {
        assert!(Settings::default().build().is_err());
        let both = Settings {
            path: Some("/a".into()),
            ..prefix("/b", "")
        };
        assert_eq!(both.build().unwrap_err().key, "path");
        let host = Settings {
            host: Some("https://a.test/x".into()),
            ..Settings::default()
        };
        let error = host.build().unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("a.test"));
    }
}
