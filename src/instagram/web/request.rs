//! One request: its headers, its limits, its exchange. Whatever happens to it, one [`Exchange`] tells of it.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{
    ACCEPT, ACCEPT_LANGUAGE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN, REFERER, SET_COOKIE,
};
use serde_json::Value;

use super::{Visit, classify, page};
use crate::instagram::reader::Notes;
use crate::instagram::recording::telling;
use crate::instagram::transport::{KEPT_LIMIT, Received, no_answer};
use crate::instagram::wire::{Outcome, Outgoing};
use crate::instagram::{Class, Exchange, Failure, FailureKind, Heard, Reading, Unread};

/// The application id of Instagram's own web site.
const APP_ID: &str = "936619743392459";

/// What the site's own requests send beside it.
const ASBD_ID: &str = "359341";

const X_IG_APP_ID: HeaderName = HeaderName::from_static("x-ig-app-id");
const X_ASBD_ID: HeaderName = HeaderName::from_static("x-asbd-id");
const X_IG_WWW_CLAIM: HeaderName = HeaderName::from_static("x-ig-www-claim");
const X_IG_SET_WWW_CLAIM: HeaderName = HeaderName::from_static("x-ig-set-www-claim");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const X_CSRFTOKEN: HeaderName = HeaderName::from_static("x-csrftoken");
const X_FB_FRIENDLY_NAME: HeaderName = HeaderName::from_static("x-fb-friendly-name");
const X_FB_LSD: HeaderName = HeaderName::from_static("x-fb-lsd");

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Json,
    Page,
}

/// A request to be made.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) endpoint: &'static str,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    /// A form makes it a POST.
    pub(super) form: Option<Vec<(&'static str, String)>>,
    pub(super) wants: Wants,
    /// The path of the page from which a browser would ask this.
    pub(super) referer: String,
    /// The name of the document, for the GraphQL endpoint.
    pub(super) friendly_name: Option<&'static str>,
    /// Whether nothing is read of the page but its tokens, and that it is there.
    pub(super) for_its_tokens: bool,
}

impl Ask {
    pub(super) fn get(endpoint: &'static str, path: impl Into<String>, referer: &str) -> Self {
        let referer = referer.to_owned();
        let (query, form, friendly_name, for_its_tokens) = (Vec::new(), None, None, false);
        Self { endpoint, path: path.into(), query, form, wants: Wants::Json, referer, friendly_name, for_its_tokens }
    }

    pub(super) fn page(endpoint: &'static str, path: &str) -> Self {
        Self { wants: Wants::Page, ..Self::get(endpoint, path, "/") }
    }

    pub(super) fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(super) fn form(mut self, fields: Vec<(&'static str, String)>) -> Self {
        self.form = Some(fields);
        self
    }

    fn method(&self) -> &'static str {
        if self.form.is_some() { "POST" } else { "GET" }
    }
}

/// An answer that succeeded: JSON, or a page's HTML.
pub(super) struct Reply {
    pub(super) endpoint: &'static str,
    pub(super) status: u16,
    pub(super) json: Value,
    pub(super) html: String,
}

impl Reply {
    pub(super) fn fail(&self, kind: FailureKind, message: impl Into<String>) -> Failure {
        let (endpoint, status) = (self.endpoint, Some(self.status));
        Failure { kind, endpoint, status, message: message.into(), retry_after: None }
    }

    /// The failure of an answer without the part that was asked for.
    pub(super) fn lacks(&self, part: &str) -> Failure {
        let said = classify::what_was_said(&self.json);
        self.fail(FailureKind::UnexpectedShape, format!("the answer has no readable {part}; it says: {said}"))
    }
}

impl Visit {
    /// Makes a request when its turn has come, and reads its answer. The exchange is complete when this returns: it knows of failures
    /// of the reading, too.
    pub(super) async fn ask<T>(
        &mut self,
        ask: &Ask,
        read: impl FnOnce(&Reply, &Notes) -> Result<T, Failure> + Send,
    ) -> Result<Reading<T>, Failure> {
        let mut ask = ask.clone();
        let mut url = self.url(&ask);
        self.gate.pass(ask.endpoint).await?;
        let Outcome { mut received, mut broken, mut duration } = self.send(&ask, &url).await;
        if let Some(moved) = received.as_ref().and_then(|received| slash_only(&ask, &url, received)) {
            self.remember(&ask, &url, duration, received.as_ref(), None, &[]);
            ask.path = moved.path().to_owned();
            url = moved;
            self.tell_gate(ask.endpoint, None).await;
            self.gate.pass(ask.endpoint).await?;
            Outcome { received, broken, duration } = self.send(&ask, &url).await;
        }
        let notes = Notes::default();
        let classify = |received| classify::classify(ask.endpoint, ask.wants, received);
        let result = match (&received, broken) {
            // A status that is no success says more than that the rest of the answer is missing.
            (Some(received), Some(broken)) if received.status >= 300 => Err(classify(received).err().unwrap_or(broken)),
            (_, Some(failure)) => Err(failure),
            (Some(received), None) => classify(received).and_then(|reply| {
                self.keep_tokens(&reply);
                read(&reply, &notes)
            }),
            (None, None) => Err(no_answer(ask.endpoint, FailureKind::ConnectionFailed, "no answer came".to_owned())),
        };
        let result = result.map_err(|failure| self.as_long_as_it_takes(self.without_secrets(failure)));
        let unread: Vec<_> = notes.into_unread().into_iter().map(|unread| self.scrub_unread(unread)).collect();
        let failure = result.as_ref().err();
        self.remember(&ask, &url, duration, received.as_ref(), failure, &unread);
        if failure.is_some_and(|failure| failure.kind == FailureKind::PleaseWait) {
            self.asked_to_wait.insert(ask.endpoint.to_owned());
        }
        self.tell_gate(ask.endpoint, failure).await;
        result.map(|value| Reading { value, unread })
    }

    /// Where it throttles, the wait is no shorter than any throttle is.
    fn as_long_as_it_takes(&self, failure: Failure) -> Failure {
        let least = if failure.kind.class() == Class::Throttled { self.web.least_throttle } else { Duration::ZERO };
        Failure { retry_after: failure.retry_after.map(|wait| wait.max(least)), ..failure }
    }

    /// Tells how a request ended. What may be a wall rests its credential for no shorter than a throttle does, also where
    /// the run itself may try once more sooner.
    async fn tell_gate(&self, endpoint: &'static str, failure: Option<&Failure>) {
        let kind = failure.map(|failure| failure.kind);
        let least = if kind.is_some_and(FailureKind::may_be_a_wall) { self.web.least_throttle } else { Duration::ZERO };
        let retry_after = failure.and_then(|failure| failure.retry_after).map(|wait| wait.max(least));
        self.gate.heard(Heard { endpoint, failure: kind, retry_after, usage: None }).await;
    }

    /// Sends the request and reads the answer's body, as far as either goes.
    async fn send(&mut self, ask: &Ask, url: &Url) -> Outcome {
        let outgoing = Outgoing {
            endpoint: ask.endpoint,
            url,
            headers: self.headers(ask),
            form: ask.form.as_deref(),
            wants_beginning: ask.for_its_tokens,
        };
        let outcome = self.web.wire.send(outgoing).await;
        if let Some(received) = &outcome.received {
            self.keep_what_the_site_set(&received.headers);
        }
        outcome
    }

    fn url(&self, ask: &Ask) -> Url {
        let mut url = self.web.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", ask.path));
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        url
    }

    fn headers(&self, ask: &Ask) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str, secret: bool| {
            // A value that no header can hold is left out; the settings were checked when they were read.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(secret);
                headers.insert(name, value);
            }
        };
        let base = self.web.base.as_str().trim_end_matches('/');
        put(ACCEPT_LANGUAGE, "en-US,en;q=0.9", false);
        put(REFERER, &format!("{base}{}", ask.referer), false);
        if let Some(cookie) = self.cookies.header() {
            put(COOKIE, &cookie, true);
        }
        put(X_IG_APP_ID, APP_ID, false);
        if ask.wants == Wants::Page {
            put(ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false);
            return headers;
        }
        put(ACCEPT, "*/*", false);
        put(X_ASBD_ID, ASBD_ID, false);
        put(X_IG_WWW_CLAIM, self.claim.as_deref().unwrap_or("0"), true);
        put(X_REQUESTED_WITH, "XMLHttpRequest", false);
        if let Some(token) = self.cookies.get("csrftoken") {
            put(X_CSRFTOKEN, token, true);
        }
        if ask.form.is_some() {
            put(ORIGIN, &self.web.base.origin().ascii_serialization(), false);
        }
        if let Some(name) = ask.friendly_name {
            put(X_FB_FRIENDLY_NAME, name, false);
            if let Some(lsd) = self.tokens.as_ref().and_then(|tokens| tokens.lsd.as_deref()) {
                put(X_FB_LSD, lsd, true);
            }
        }
        headers
    }

    /// Of all that the site sets, only what its own next request must carry: the csrf token and the claim.
    fn keep_what_the_site_set(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some(("csrftoken", token)) = pair.trim().split_once('=')
                && !token.is_empty()
            {
                self.cookies.set("csrftoken", token);
            }
        }
        if let Some(claim) = headers.get(X_IG_SET_WWW_CLAIM).and_then(|claim| claim.to_str().ok()) {
            self.claim = Some(claim.to_owned());
        }
    }

    fn keep_tokens(&mut self, reply: &Reply) {
        if let Some(tokens) = page::tokens(&reply.html) {
            self.tokens = Some(tokens);
        }
    }

    fn remember(
        &mut self,
        ask: &Ask,
        url: &Url,
        duration: Duration,
        received: Option<&Received>,
        failure: Option<&Failure>,
        unread: &[Unread],
    ) {
        let body = received.filter(|received| !received.body.is_empty());
        let body = body.map(|received| self.scrub_bytes(&received.body, KEPT_LIMIT));
        self.exchanges.push(Exchange {
            endpoint: ask.endpoint,
            method: ask.method(),
            url: url.to_string(),
            status: received.map(|received| received.status),
            duration,
            bytes: received.map_or(0, |received| received.body.len() as u64),
            failure: failure.map(|failure| failure.kind.as_str()),
            has_unread: !unread.is_empty(),
            headers: received
                .map(|received| self.scrub_headers(telling(&received.headers, failure.is_some())))
                .unwrap_or_default(),
            body,
        });
    }
}

/// Where the site only wants a slash more or less at the end of a path, on itself.
fn slash_only(ask: &Ask, url: &Url, received: &Received) -> Option<Url> {
    if ask.form.is_some() || !matches!(received.status, 301 | 302 | 307 | 308) {
        return None;
    }
    let target = url.join(received.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let same_place = target.origin() == url.origin() && target.path() != "/";
    let same_path = target.path().trim_end_matches('/') == url.path().trim_end_matches('/');
    let other_text = target.path() != url.path();
    (same_place && same_path && other_text).then(|| {
        let mut moved = url.clone();
        moved.set_path(target.path());
        moved
    })
}
