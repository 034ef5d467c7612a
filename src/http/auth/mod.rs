//! Who may: what a request shows, what its route asks for, and what comes of it.
//!
//! All routes are closed but those named here, so that one that is added is closed until somebody says otherwise. Keys
//! and sessions are known to [`crate::keys`]; no request asks the database for its own.

mod origin;
mod shown;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;

use super::error::ApiError;
use super::problem::ProblemType;
use super::serve::Peer;
use super::{V2_PATH, protection};
use crate::db::audit::Author;
use crate::db::keys::Scope;
use crate::keys::{Allowance, Attempts, Hold, Key, KeyText, Keys, Refused, Sha256Hash, WINDOW_SECONDS, sha256};

use shown::Shown;

pub use origin::Origins;
pub(super) use shown::COOKIE;

/// What decides who may.
pub struct Gate {
    /// The keys and sessions.
    pub keys: Keys,
    /// How often an address may show what is wrong; `None` for as often as it likes.
    pub attempts: Option<Attempts>,
    /// Whether a request that shows no key may do everything, come what may.
    pub allow_anonymous: bool,
    /// Whether only this machine reaches the service.
    pub is_loopback: bool,
    /// Web pages of these origins may use it.
    pub origins: Origins,
    /// Whether requests come by TLS, whatever they say.
    pub behind_tls: bool,
}

/// What a route asks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Nothing,
    /// A key of this scope, or more.
    Key(Scope),
}

/// What this route asks for; `None` is what stands at no path.
fn need(method: &Method, route: Option<&str>) -> Need {
    let of_version_2 = route.and_then(|route| route.strip_prefix(V2_PATH));
    match (route, of_version_2) {
        (Some("/healthz" | "/readyz" | "/openapi.json" | "/docs" | "/docs/" | "/docs/{file}"), _) => Need::Nothing,
        (_, Some("/problems" | "/problems/{name}")) => Need::Nothing,
        // Here the key comes in the body; and whoever signs out gives up a right.
        (_, Some("/session")) if *method == Method::POST => Need::Nothing,
        (_, Some("/session")) => Need::Key(Scope::Read),
        (_, Some("/keys" | "/keys/{key_id}" | "/audit")) => Need::Key(Scope::Admin),
        _ if is_safe(method) => Need::Key(Scope::Read),
        _ => Need::Key(Scope::Run),
    }
}

/// The scope that a key needs for this route, for its document; `None` where no key is asked for.
pub(super) fn needed_scope(method: &Method, route: &str) -> Option<Scope> {
    match need(method, Some(route)) {
        Need::Nothing => None,
        Need::Key(scope) => Some(scope),
    }
}

/// Whether a request with this method changes nothing.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Who asks, as handlers see it: an extension of the request, where there is somebody.
#[derive(Clone)]
pub(super) struct Caller {
    /// The key that was shown, or whose session it is.
    pub(super) key: Arc<Key>,
    /// The session, where there is one.
    pub(super) session: Option<Sha256Hash>,
    /// For how long that holds.
    hold: Hold,
}

/// Lets a request in, or says why not; a key's allowance comes with either.
pub(super) async fn who_may(
    gate: &Gate,
    route: Option<&str>,
    request: &mut Request,
) -> (Option<Allowance>, Result<(), ApiError>) {
    let (method, headers) = (request.method(), request.headers());
    let shown = Shown::of(headers);
    let has_own_key = matches!(shown, Shown::Key(_));
    // A browser sends cookies, and finds its way to a service on this machine, also for pages of others.
    // A WebSocket can be read by whatever page has begun it.
    let is_of_interest = !is_safe(method) || headers.contains_key(header::UPGRADE);
    if !has_own_key && is_of_interest && origin::is_foreign(request) {
        let is_known = matches!(shown, Shown::Nothing) && gate.origins.allow(headers);
        if !is_known {
            return (None, Err(foreign()));
        }
    }
    let Need::Key(scope) = need(method, route) else { return (None, Ok(())) };
    let caller = match gate.caller(&shown, peer(request)).await {
        Ok(Some(caller)) => caller,
        Ok(None) if gate.is_open() => return (None, gate.names_this_machine(request)),
        Ok(None) => return (None, Err(no_key())),
        Err(error) => return (None, Err(error)),
    };
    let (allowance, counted) = gate.count(&caller.key);
    if let Err(error) = counted {
        return (allowance, Err(error));
    }
    if caller.key.scope < scope {
        return (allowance, Err(too_little(caller.key.scope, scope)));
    }
    request.extensions_mut().insert(caller);
    (allowance, Ok(()))
}

impl Gate {
    /// Whether a request that shows nothing may do everything.
    fn is_open(&self) -> bool {
        self.allow_anonymous || (self.is_loopback && !self.keys.any_made())
    }

    /// Where a service is open only because nobody else reaches it, a request has to name this machine: a web page whose name
    /// is made to lead here (DNS rebinding) is of one origin with what it asks, and names another.
    fn names_this_machine(&self, request: &Request) -> Result<(), ApiError> {
        if self.allow_anonymous || origin::names_this_machine(request) { Ok(()) } else { Err(named_otherwise()) }
    }

    /// Counts a request with this key: where the key stands, and whether it may.
    pub(super) fn count(&self, key: &Key) -> (Option<Allowance>, Result<(), ApiError>) {
        let allowance = self.keys.count(key);
        let over = allowance.and_then(|allowance| allowance.wait_seconds);
        let refused = over.map(|seconds| too_many(seconds, "This key has made more requests than it may"));
        (allowance, refused.map_or(Ok(()), Err))
    }

    /// Whether a request came by TLS.
    pub(super) fn is_by_tls(&self, headers: &HeaderMap) -> bool {
        self.behind_tls || protection::is_by_tls(headers)
    }

    /// The answer to a browser that asks whether a page of another origin may make a request, where it may.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        if self.origins.is_empty() { None } else { protection::preflight(&self.origins, request) }
    }

    /// What lets a page of another origin read the answer, where it may.
    pub(super) fn for_pages(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        if self.origins.is_empty() { Vec::new() } else { protection::readable_for(&self.origins, headers) }
    }

    async fn caller(&self, shown: &Shown<'_>, peer: Option<IpAddr>) -> Result<Option<Caller>, ApiError> {
        match shown {
            Shown::Nothing => Ok(None),
            Shown::Unreadable => Err(self.failed(peer, "The key in the request's header is no text").await),
            Shown::Key(text) => {
                let key = self.key(text, peer).await?;
                Ok(Some(Caller { hold: key.hold(), key, session: None }))
            }
            Shown::Session(token) => {
                let token = sha256(token);
                match self.session(&token).await {
                    Ok((key, hold)) => Ok(Some(Caller { key, session: Some(token), hold })),
                    // A browser keeps sending what it was once given, also to another service of the same machine.
                    Err(_) if self.is_open() => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// The key of this text. One that is not known may have been made a moment ago: then the database is asked, once for all
    /// who wait.
    pub(super) async fn key(&self, text: &str, peer: Option<IpAddr>) -> Result<Arc<Key>, ApiError> {
        let shown = match KeyText::parse(text) {
            Ok(shown) => shown,
            Err(error) => return Err(self.failed(peer, &format!("The key is not taken: {error}")).await),
        };
        if let Ok(key) = self.keys.find(&shown) {
            return Ok(key);
        }
        let is_new = !self.keys.knows(&shown);
        self.count_failure(peer)?;
        if is_new && !self.keys.renewed().await {
            return Err(unknowable());
        }
        self.keys.find(&shown).map_err(|refused| match refused {
            Refused::Unknown => unauthorized("The key is unknown or revoked; ask an operator for another"),
            Refused::Expired => unauthorized("The key has expired; ask an operator for another"),
        })
    }

    /// The session of this cookie. One that is wrong counts as no try: a browser keeps sending the one that has ended.
    async fn session(&self, token: &Sha256Hash) -> Result<(Arc<Key>, Hold), ApiError> {
        match self.keys.session(token) {
            Ok(found) => return Ok(found),
            Err(Refused::Expired) => return Err(unauthorized(SIGNED_OUT)),
            Err(Refused::Unknown) => {}
        }
        // It may have begun a moment ago, on another replica.
        if !self.keys.renewed().await {
            return Err(unknowable());
        }
        self.keys.session(token).map_err(|_| unauthorized(SIGNED_OUT))
    }

    async fn failed(&self, peer: Option<IpAddr>, detail: &str) -> ApiError {
        self.count_failure(peer).err().unwrap_or_else(|| unauthorized(detail))
    }

    /// Counts what was wrong. Beyond the limit it is not looked at any more, whereas what is right always is: the limit is no
    /// protection of the secrets, which cannot be guessed, but of those who would have to look.
    fn count_failure(&self, peer: Option<IpAddr>) -> Result<(), ApiError> {
        let counted = self.attempts.as_ref().zip(peer).map_or(Ok(()), |(attempts, peer)| attempts.failed(peer));
        counted.map_err(|seconds| {
            metrics::counter!("igt_sign_ins_refused_total", "why" => "too_many").increment(1);
            too_many(seconds, "Too many wrong keys came from this address")
        })
    }
}

const SIGNED_OUT: &str = "The session has ended; sign in again (POST /api/v2/session), or show a key";

/// Whose connection a request came on.
fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|Peer(address)| address.ip())
}

/// 401 for what was shown.
pub(super) fn unauthorized(detail: &str) -> ApiError {
    metrics::counter!("igt_sign_ins_refused_total", "why" => "wrong").increment(1);
    let challenge = HeaderValue::from_static(r#"Bearer realm="ig-tracking", error="invalid_token""#);
    ApiError::new(ProblemType::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn no_key() -> ApiError {
    let detail = "A key is needed: send it as Authorization: Bearer igt_… or as X-API-Key";
    let challenge = HeaderValue::from_static(r#"Bearer realm="ig-tracking""#);
    ApiError::new(ProblemType::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn unknowable() -> ApiError {
    ApiError::new(
        ProblemType::DatabaseAway,
        "The key is not known here, and the database does not say; try again in a moment",
    )
}

fn too_many(seconds: u32, detail: &str) -> ApiError {
    ApiError::new(ProblemType::TooManyRequests, format!("{detail}; try again in {seconds} s"))
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

fn too_little(has: Scope, needed: Scope) -> ApiError {
    let (has, needed) = (has.as_str(), needed.as_str());
    let detail = format!("This needs a key of scope {needed}; the one that was shown has {has}");
    ApiError::new(ProblemType::Forbidden, detail).with("needed_scope", needed)
}

fn foreign() -> ApiError {
    let detail = "A web page of another origin asks for this, and the request shows no key of its own; send one as \
                  Authorization: Bearer, or let the origin in with IGT_CORS_ORIGINS";
    ApiError::new(ProblemType::CrossOrigin, detail)
}

fn named_otherwise() -> ApiError {
    let detail = "Nobody needs a key here yet, and so a request has to name this machine in its Host: localhost or an IP \
                  address; make a key (ig-tracking keys create) and show it, or set IGT_ALLOW_ANONYMOUS";
    ApiError::new(ProblemType::CrossOrigin, detail)
}

/// Writes where a key stands with its requests (draft-ietf-httpapi-ratelimit-headers).
pub(super) fn tell_allowance(allowance: &Allowance, headers: &mut HeaderMap) {
    const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
    const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
    let Allowance { quota, remaining, reset_seconds, .. } = allowance;
    // Digits and plain characters.
    if let Ok(limit) = HeaderValue::try_from(format!(r#""key";r={remaining};t={reset_seconds}"#)) {
        headers.insert(LIMIT, limit);
    }
    if let Ok(policy) = HeaderValue::try_from(format!(r#""key";q={quota};w={WINDOW_SECONDS}"#)) {
        headers.insert(POLICY, policy);
    }
}

/// For how long a request is let in, for answers that go on.
pub(super) struct LetIn(Option<Hold>);

impl LetIn {
    /// Resolves when who asked may no more, to what is then to be answered.
    pub(super) async fn refused(self) -> ApiError {
        self.over().await;
        unauthorized("What was shown is not taken any more; ask an operator for another key, or sign in again")
    }

    /// Resolves when who asked may no more.
    pub(super) async fn over(self) {
        match self.0 {
            Some(hold) => hold.over().await,
            None => std::future::pending().await,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LetIn {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Caller>().map(|caller| caller.hold.clone())))
    }
}

/// Whose request it is: a key's id, or `anonymous`.
pub(super) fn who(parts: &Parts) -> String {
    let caller = parts.extensions.get::<Caller>();
    caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.key.key_id.to_string())
}

/// Who does what a request asks for, for the audit.
pub(super) struct By(pub(super) Author);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let request_id =
            parts.extensions.get::<RequestId>().and_then(|RequestId(id)| Some(id.to_str().ok()?.to_owned()));
        let address = parts.extensions.get::<Peer>().map(|Peer(address)| address.ip().to_string());
        Ok(Self(Author { who: who(parts), request_id, address }))
    }
}

/// The request's id, for handlers.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) HeaderValue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_nobody_has_named_needs_a_key() {
        for (method, route, expected) in [
            (Method::GET, Some("/healthz"), Need::Nothing),
            (Method::POST, Some("/api/v2/session"), Need::Nothing),
            (Method::GET, Some("/api/v2/problems/{name}"), Need::Nothing),
            (Method::GET, Some("/metrics"), Need::Key(Scope::Read)),
            (Method::GET, Some("/api/v2/newest"), Need::Key(Scope::Read)),
            (Method::HEAD, Some("/api/v2/newest"), Need::Key(Scope::Read)),
            (Method::PUT, Some("/api/v2/newest"), Need::Key(Scope::Run)),
            (Method::DELETE, Some("/codvid-ai/ig-tracking/task/{task_id}"), Need::Key(Scope::Run)),
            (Method::GET, Some("/api/v2/keys"), Need::Key(Scope::Admin)),
            (Method::DELETE, Some("/api/v2/keys/{key_id}"), Need::Key(Scope::Admin)),
            (Method::GET, None, Need::Key(Scope::Read)),
            (Method::POST, None, Need::Key(Scope::Run)),
        ] {
            assert_eq!(need(&method, route), expected, "{method} {route:?}");
        }
    }

    #[test]
    fn where_a_key_stands_is_told_in_structured_fields() {
        let mut headers = HeaderMap::new();
        let allowance = Allowance { wait_seconds: None, quota: 100, remaining: 99, reset_seconds: 1 };
        tell_allowance(&allowance, &mut headers);
        assert_eq!(headers["ratelimit"], r#""key";r=99;t=1"#);
        assert_eq!(headers["ratelimit-policy"], r#""key";q=100;w=10"#);
    }
}
