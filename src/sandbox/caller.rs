//! Who asks: the headers and cookies by which the site tells browsers, guests and sessions apart.

use axum::http::{HeaderMap, header};

use axum::response::Response;

use crate::instagram::Username;

use super::answers;
use super::endpoint::Endpoint;
use super::graph::token::Asker;

/// The value of `X-IG-App-ID` that the web client sends.
const APP_ID: &str = "936619743392459";

/// The beginnings of session ids that are not simply alive, and what such a session meets.
pub(super) const SESSIONS: [(&str, &str); 3] = [
    ("dead-", "403 login_required; the page redirects to /accounts/login/"),
    ("challenged-", "400 checkpoint_required; the page redirects to /challenge/"),
    ("throttled-", "429 with Retry-After: 60"),
];

/// What a request says of its sender.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    app_id: Option<String>,
    csrf_header: Option<String>,
    csrf_cookie: Option<String>,
    lsd: Option<String>,
    referer: Option<String>,
    session: Option<Session>,
    name: Option<String>,
    official: Option<Asker>,
}

/// A session id, by what the sandbox makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// Any other id.
    Live,
    /// `dead-…`
    Dead,
    /// `challenged-…`
    Challenged,
    /// `throttled-…`
    Throttled,
}

impl Caller {
    /// Reads a request's headers; `lsd` is the token of the form, where there is one.
    pub(super) fn read(headers: &HeaderMap, lsd: Option<&str>) -> Self {
        let name = cookie(headers, "sessionid").filter(|id| !id.is_empty());
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            app_id: header("x-ig-app-id"),
            csrf_header: header("x-csrftoken").filter(|token| !token.is_empty()),
            csrf_cookie: cookie(headers, "csrftoken"),
            lsd: lsd.map(str::to_owned).or_else(|| header("x-fb-lsd")).filter(|token| !token.is_empty()),
            referer: header("referer"),
            session: name.as_deref().map(|id| match () {
                () if id.starts_with("dead-") => Session::Dead,
                () if id.starts_with("challenged-") => Session::Challenged,
                () if id.starts_with("throttled-") => Session::Throttled,
                () => Session::Live,
            }),
            name,
            official: None,
        }
    }

    /// One that asks the official source, with the token that it shows.
    pub(super) fn official(asker: Asker, token: Option<&str>) -> Self {
        Self { official: Some(asker), name: token.map(str::to_owned), ..Self::default() }
    }

    /// Who asks the official source, where that is asked.
    pub(super) fn asker(&self) -> Option<&Asker> {
        self.official.as_ref()
    }

    /// Its session's id or its token, or `guest`; `None` for one that asks the official source without a token.
    pub(super) fn name(&self) -> Option<&str> {
        let guest = self.official.is_none().then_some("guest");
        self.name.as_deref().or(guest)
    }

    /// Whether it came without a session.
    pub(super) fn is_guest(&self) -> bool {
        self.session.is_none() && self.official.is_none()
    }

    /// Whether it brought a `csrftoken` cookie.
    pub(super) fn has_csrf_cookie(&self) -> bool {
        self.csrf_cookie.is_some()
    }

    /// The account whose page it says to come from.
    pub(super) fn referring_account(&self) -> Option<Username> {
        let (_, path) = self.referer.as_deref()?.split_once("://")?.1.split_once('/')?;
        Username::parse(path.split(['/', '?']).next()?).ok()
    }

    /// The answer for a request that the site would not even look at.
    pub(super) fn turned_away(&self, endpoint: Endpoint) -> Option<Response> {
        if let Some(asker) = &self.official {
            return asker.turned_away();
        }
        let on_page = endpoint.is_page();
        if !on_page && self.app_id.as_deref() != Some(APP_ID) {
            return Some(answers::user_agent_mismatch());
        }
        match self.session {
            Some(Session::Dead) => return Some(answers::logged_out(on_page)),
            Some(Session::Challenged) => return Some(answers::challenged(on_page)),
            Some(Session::Throttled) => return Some(answers::throttled(60, on_page)),
            Some(Session::Live) | None => {}
        }
        // The cookie alone is not enough, and a header that differs from it is worth nothing.
        let csrf = self.csrf_header.is_some() && (self.csrf_cookie.is_none() || self.csrf_cookie == self.csrf_header);
        if endpoint.method() == "POST" && (!csrf || (endpoint.is_graphql() && self.lsd.is_none())) {
            return Some(answers::forbidden());
        }
        let for_sessions = matches!(endpoint, Endpoint::Timeline | Endpoint::MediaInfo);
        (for_sessions && self.is_guest()).then(answers::please_wait)
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
