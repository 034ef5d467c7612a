//! Headers that protect whoever reads an answer, and those that let pages of other origins read it.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::V1_PATH;
use super::auth::Origins;

/// Beside version 1's own answers nothing is to be embedded, run or guessed at; a page says for itself what it needs.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Two years, as is usual.
const ONLY_BY_TLS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// What a page may read beside the few headers that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Link, Location, Retry-After, X-Request-Id, X-Total-Count, X-Next-Cursor, RateLimit, RateLimit-Policy, \
     Idempotency-Replayed, Deprecation, Sunset, Content-Disposition",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-API-Key, X-Request-Id",
);
/// Seconds for which a browser need not ask again.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Whether a request came by TLS, as the proxy says that took it off.
pub(super) fn is_by_tls(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

/// Adds what protects. An answer of version 1 that is no error stays as it is.
pub(super) fn protect(path: &str, by_tls: bool, response: &mut Response) {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let of_version_1 = path.starts_with(V1_PATH);
    if of_version_1 && !is_error {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if by_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, ONLY_BY_TLS);
    }
    // What can be asked for again by its tag may be kept by whoever asks, and nobody else.
    let kept = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(kept));
}

/// The answer to a browser that asks whether a page of another origin may make a request; it shows no key. `None` where it is
/// no such question, or the answer is no.
pub(super) fn preflight(origins: &Origins, request: &Request) -> Option<Response> {
    let headers = request.headers();
    if request.method() != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    origins.of(headers)?;
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    Some((StatusCode::NO_CONTENT, allowed).into_response())
}

/// What lets the page of the request's origin read the answer. Never with cookies: pages of others show a key.
pub(super) fn readable_for(origins: &Origins, request_headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let vary = (header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origins.of(request_headers) else { return vec![vary] };
    let origin = if origins.any() { HeaderValue::from_static("*") } else { origin.clone() };
    vec![vary, (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin), (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)]
}
