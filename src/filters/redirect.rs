//! `redirect`: answers with another place to ask.

use super::chain::Reply;
use super::context::Context;
use super::escape::escaped;
use super::setting::{RouteShape, SettingError};
use super::target::TargetTemplate;
use crate::http::{RequestHead, parse_authority};

/// The settings of the action `redirect`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The new place: `/v1/*`, or with scheme and host `https://www.example.com/*`. `{name}` stands for a capture of the
    /// route, a last `/*` for what the route's `/*` matched; `https://{host}/*` keeps the host of a route that names its
    /// hosts. The query is kept unless there is one here.
    pub to: String,
    /// 301, 302, 303, 307 or 308; 308 when absent.
    pub status: Option<u16>,
}

/// Answers with another place to ask.
#[derive(Clone, Debug)]
pub struct Redirect {
    status: u16,
    origin: Option<Origin>,
    target: TargetTemplate,
}

/// The scheme and host before the path.
#[derive(Clone, Debug)]
enum Origin {
    /// As it was written: `https://www.example.com`.
    Fixed(Box<str>),
    /// The host of the request between these: `https://` and perhaps `:8443`.
    RequestHost {
        scheme: &'static str,
        port: Option<u16>,
    },
}

impl Settings {
    /// Checks the settings and makes the action.
    pub fn build(&self) -> Result<Redirect, SettingError> {
        let status = self.status.unwrap_or(308);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(SettingError::new(
                "status",
                format!("{status} does not redirect: 301, 302, 303, 307 or 308 do"),
            ));
        }
        let (origin, target) = split_origin(&self.to)?;
        Ok(Redirect {
            status,
            origin,
            target: TargetTemplate::parse("to", target)?,
        })
    }
}

impl Redirect {
    /// Checks that the route has whatever the action refers to.
    pub fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        if matches!(self.origin, Some(Origin::RequestHost { .. })) && !route.names_hosts {
            return Err(SettingError::new(
                "to",
                "`{host}` would send clients to any host that they name: list the route's `hosts`",
            ));
        }
        self.target.check("to", route)
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &RequestHead, cx: &Context<'_>) -> Reply {
        let Some(target) = self.target.render(request, cx) else {
            return Reply::empty(400, "redirect_refused");
        };
        let mut place = match &self.origin {
            None => String::new(),
            Some(Origin::Fixed(origin)) => String::from(&**origin),
            Some(Origin::RequestHost { scheme, port }) => {
                let host = cx.original.host(request);
                match port {
                    Some(port) => format!("{scheme}{host}:{port}"),
                    None => format!("{scheme}{host}"),
                }
            }
        };
        place.push_str(&target.path);
        let own = target.query.as_deref();
        let query = own
            .or_else(|| cx.original.query(request))
            .unwrap_or_default();
        if !query.is_empty() {
            place.push('?');
            place.push_str(&escaped(query));
        }
        let mut reply = Reply::empty(self.status, "redirect");
        reply.fields.push(b"location", place.as_bytes());
        reply
    }
}

/// Splits `https://host/path` before the path; a bare path has no origin.
fn split_origin(to: &str) -> Result<(Option<Origin>, &str), SettingError> {
    if to.starts_with("//") {
        return Err(
            SettingError::new("to", "a place with a host begins with its scheme")
                .suggest(format!("https:{to}")),
        );
    }
    if to.starts_with('/') {
        return Ok((None, to));
    }
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| to.starts_with(scheme));
    let (Some(scheme), Some((_, rest))) = (scheme, to.split_once("://")) else {
        let error = SettingError::new("to", "a place begins with `/`, `https://` or `http://`");
        return Err(error.suggest(format!("/{to}")));
    };
    let (authority, target) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at_checked(end).unwrap_or((rest, "")),
        None => (rest, "/"),
    };
    if let Some(port) = authority.strip_prefix("{host}") {
        let port = match port.strip_prefix(':').map(str::parse) {
            None if port.is_empty() => None,
            Some(Ok(port)) => Some(port),
            _ => return Err(wrong_host(authority)),
        };
        return Ok((Some(Origin::RequestHost { scheme, port }), target));
    }
    let mut host = String::new();
    let port =
        parse_authority(authority.as_bytes(), &mut host).map_err(|_| wrong_host(authority))?;
    let origin = match port {
        Some(port) => format!("{scheme}{host}:{port}"),
        None => format!("{scheme}{host}"),
    };
    Ok((Some(Origin::Fixed(origin.into())), target))
}

fn wrong_host(authority: &str) -> SettingError {
    SettingError::new("to", format!("{authority:?} is not a host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    fn redirect(to: &str) -> Result<Redirect, SettingError> {
        let settings = Settings {
            to: to.into(),
            status: None,
        };
        settings.build()
    }

    fn place(to: &str, trial: &mut Trial) -> String {
        let redirect = redirect(to).unwrap();
        let (request, _, cx) = trial.parts();
        let reply = redirect.answer(request, &cx);
        let place = reply.fields.first_named(b"location").unwrap();
        String::from_utf8(place.to_vec()).unwrap()
    }

    fn old(path: &str, query: &str) -> Trial {
        let mut trial = Trial::new(path, query);
        trial.tail = Some(4);
        trial
    }

    #[test]
    fn the_place_is_made_from_tail_and_query() {
        let mut trial = old("/old/a/b", "x=1");
        assert_eq!(place("/v1/*", &mut trial), "/v1/a/b?x=1");
        assert_eq!(place("/v1/*?y=2", &mut trial), "/v1/a/b?y=2");
        assert_eq!(place("/v1/*?", &mut trial), "/v1/a/b");
        assert_eq!(
            place("https://WWW.example.com:8443/*", &mut trial),
            "https://www.example.com:8443/a/b?x=1"
        );
        assert_eq!(
            place("http://www.example.com", &mut trial),
            "http://www.example.com/?x=1"
        );
    }

    #[test]
    fn the_status_is_one_that_redirects() {
        let settings = |status| Settings {
            to: "/".into(),
            status,
        };
        let mut trial = Trial::new("/", "");
        let (request, _, cx) = trial.parts();
        for (status, answered) in [(None, 308), (Some(301), 301), (Some(308), 308)] {
            let reply = settings(status).build().unwrap().answer(request, &cx);
            assert_eq!((reply.status, reply.reason), (answered, "redirect"));
        }
        assert_eq!(settings(Some(304)).build().unwrap_err().key, "status");
    }

    #[test]
    fn case_046_the_host_is_the_configured_one_only() {
        let mut trial = old("/old/a", "");
        assert_eq!(
            place("https://{host}:8443/*", &mut trial),
            "https://api.test:8443/a"
        );
        let keeps_host = redirect("https://{host}/*").unwrap();
        let mut route = RouteShape {
            has_tail: true,
            ..RouteShape::default()
        };
        assert!(keeps_host.check(&route).is_err());
        route.names_hosts = true;
        assert!(keeps_host.check(&route).is_ok());
    }

    #[test]
    fn case_046_a_path_never_becomes_a_host() {
        let mut trial = Trial::new("/old//evil.test", "");
        trial.tail = Some(4);
        assert_eq!(place("/*", &mut trial), "/evil.test");
    }

    #[test]
    fn case_044_the_query_cannot_break_the_field() {
        let mut trial = old("/old/a", "x=\r\n\"é<");
        assert_eq!(place("/v1/*", &mut trial), "/v1/a?x=%0D%0A%22%C3%A9%3C");
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (to, suggestion) in [
            ("v1", Some("/v1")),
            ("//a.test/x", Some("https://a.test/x")),
            ("https://a b/x", None),
            ("https:///x", None),
            ("https://{host}x/", None),
            ("https://{name}/", None),
            ("/a/../b", None),
            ("/a#b", None),
        ] {
            let error = redirect(to).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{to}: {error}");
        }
    }
}
