//! The ways in which the site says no, each as its own answer, and how an answer becomes a response.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::fault::{Fault, Rule};
use super::graph::refusals;
use super::legacy;
use super::page;
use super::raw;
use super::scene::Scene;

/// The answer for a request that meets one of the faults that leave nothing of the right answer.
pub(super) fn refusal(scene: &Scene, endpoint: Endpoint) -> Option<Response> {
    scene.rules.iter().find_map(|rule| refuse(scene, rule, endpoint))
}

fn refuse(scene: &Scene, rule: &Rule, endpoint: Endpoint) -> Option<Response> {
    let on_page = endpoint.is_page();
    let response = match rule.fault {
        Fault::NotFound => not_found(endpoint),
        Fault::NullUser if endpoint == Endpoint::WebProfileInfo => json_of(StatusCode::OK, &legacy::nobody()),
        Fault::NullUser => not_found(endpoint),
        Fault::Throttled => throttled(rule.number, on_page),
        Fault::PleaseWait if on_page => redirect(&login_address(scene.username())),
        Fault::PleaseWait => please_wait(),
        Fault::GuestWall if scene.is_guest && on_page => redirect(&login_address(scene.username())),
        Fault::GuestWall if scene.is_guest => please_wait(),
        Fault::LoggedOut => logged_out(on_page),
        Fault::Challenged => challenged(on_page),
        Fault::Feedback => fail(
            StatusCode::BAD_REQUEST,
            json!({ "message": "feedback_required", "spam": true,
            "feedback_title": "Try Again Later", "feedback_message": "We limit how often you can do certain things." }),
        ),
        Fault::GeoBlocked if on_page => html_of(StatusCode::OK, page::shell("Not available", "")),
        Fault::GeoBlocked => fail(StatusCode::BAD_REQUEST, json!({ "message": "geoblock_required" })),
        Fault::Consent if on_page => redirect("/consent/"),
        Fault::Consent => fail(StatusCode::BAD_REQUEST, json!({ "message": "consent_required" })),
        Fault::AssetDeleted => fail(
            StatusCode::BAD_REQUEST,
            json!({ "message": "Asset asset://laser.provider/ig_business_category_subvertical has been deleted. You cannot use this schema" }),
        ),
        Fault::ServerError if on_page => {
            html_of(StatusCode::INTERNAL_SERVER_ERROR, page::shell("Error", "5xx Server Error"))
        }
        Fault::ServerError => fail(StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": "Oops, an error occurred." })),
        Fault::Html => html_of(StatusCode::OK, page::login()),
        Fault::SentHome => redirect("/"),
        Fault::Forbidden => forbidden(),
        Fault::StaleDocument => stale_document(),
        Fault::StatusFail => {
            fail(StatusCode::OK, json!({ "message": "Sorry, there was a problem with your request." }))
        }
        Fault::Mismatch => user_agent_mismatch(),
        Fault::ProofWanted => fail(
            StatusCode::BAD_REQUEST,
            json!({ "message": "challenge_required", "challenge": { "url": "/challenge/" } }),
        ),
        Fault::SentToLogin => redirect(&login_address(scene.username())),
        Fault::SentToProof => redirect("/challenge/?next=%2F"),
        Fault::ToldLimit => fail(StatusCode::OK, json!({ "message": "Application request: rate limit exceeded" })),
        Fault::RestrictedPage if on_page => html_of(
            StatusCode::OK,
            page::shell("Restricted profile", "<p>You must be 18 years old or over to see this profile</p>"),
        ),
        Fault::RestrictedPage => not_found(endpoint),
        Fault::Verbose => fail(StatusCode::BAD_REQUEST, json!({ "message": "no ".repeat(rule.mebibytes() / 3) })),
        _ => return None,
    };
    Some(response)
}

/// JSON with a status.
pub(super) fn json_of(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], raw::bytes_of(value.to_string()))
        .into_response()
}

/// HTML with a status.
pub(super) fn html_of(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=\"utf-8\"")], raw::bytes_of(text)).into_response()
}

/// JSON of a failure: `status` is `fail` whatever the HTTP status is.
pub(super) fn fail(status: StatusCode, mut body: Value) -> Response {
    if let Value::Object(fields) = &mut body {
        fields.insert("status".to_owned(), json!("fail"));
    }
    json_of(status, &body)
}

/// There is no such thing, as each endpoint says it.
pub(super) fn not_found(endpoint: Endpoint) -> Response {
    match endpoint {
        Endpoint::ProfilePage | Endpoint::PostPage => html_of(StatusCode::NOT_FOUND, page::missing()),
        Endpoint::ProfileById => json_of(StatusCode::OK, &legacy::nobody()),
        Endpoint::Timeline | Endpoint::ReelsTab => stale_document(),
        Endpoint::Post => json_of(
            StatusCode::OK,
            &json!({
                "data": { "xdt_api__v1__media__shortcode__web_info": null },
                "errors": [{ "message": "execution error", "severity": "CRITICAL" }],
                "status": "ok",
            }),
        ),
        Endpoint::MediaInfo => fail(StatusCode::NOT_FOUND, json!({ "message": "Media not found or unavailable" })),
        Endpoint::BusinessDiscovery | Endpoint::BusinessDiscoveryMedia => refusals::not_discoverable(),
        Endpoint::WebProfileInfo | Endpoint::Feed | Endpoint::ClipsUser => {
            fail(StatusCode::NOT_FOUND, json!({ "message": "User not found" }))
        }
    }
}

/// 429, with or without a word on how long.
pub(super) fn throttled(retry_after_seconds: u64, on_page: bool) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = if on_page {
        html_of(status, page::shell("Page couldn't load", "429"))
    } else {
        fail(status, json!({ "message": "Please wait a few minutes before you try again." }))
    };
    if retry_after_seconds > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
    }
    response
}

/// 401 that may mean a throttle, the guest gate or a revoked document.
pub(super) fn please_wait() -> Response {
    let body = json!({ "message": "Please wait a few minutes before you try again.", "require_login": true, "igweb_rollout": true });
    fail(StatusCode::UNAUTHORIZED, body)
}

/// The session is dead.
pub(super) fn logged_out(on_page: bool) -> Response {
    if on_page {
        return redirect("/accounts/login/");
    }
    let body = json!({ "message": "login_required", "error_title": "You've Been Logged Out",
                       "error_body": "Please log back in.", "logout_reason": 8 });
    fail(StatusCode::FORBIDDEN, body)
}

/// The session's person has to prove something.
pub(super) fn challenged(on_page: bool) -> Response {
    if on_page {
        return redirect("/challenge/");
    }
    let body =
        json!({ "message": "checkpoint_required", "checkpoint_url": "/challenge/624247/sandbox/", "lock": false });
    fail(StatusCode::BAD_REQUEST, body)
}

/// The tokens are missing or stale.
pub(super) fn forbidden() -> Response {
    html_of(StatusCode::FORBIDDEN, page::shell("Error", "This page could not be loaded."))
}

/// The document is gone.
pub(super) fn stale_document() -> Response {
    json_of(
        StatusCode::OK,
        &json!({
            "data": null,
            "errors": [{ "message": "The GraphQL document was not found.", "severity": "CRITICAL", "code": 1_675_030,
                         "api_error_code": -1, "summary": "Query error" }],
            "status": "ok",
        }),
    )
}

/// The browser and the app do not match: the common headers are missing.
pub(super) fn user_agent_mismatch() -> Response {
    fail(StatusCode::BAD_REQUEST, json!({ "message": "useragent mismatch" }))
}

/// The sandbox closes while an answer waits.
pub(super) fn closing() -> Response {
    fail(StatusCode::SERVICE_UNAVAILABLE, json!({ "message": "The sandbox is closing." }))
}

/// Half of a body: whole to the protocol, or cut off by a broken connection.
pub(super) fn half(response: Response, body: &Bytes, breaks: bool) -> Response {
    let (mut parts, _) = response.into_parts();
    let first = body.slice(..body.len() / 2);
    if !breaks {
        return Response::from_parts(parts, Body::from(first));
    }
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let broken = async {
        // The server sends what it has only while it waits for more.
        tokio::task::yield_now().await;
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the sandbox was asked to break off here"))
    };
    let pieces = stream::once(async { Ok(first) }).chain(stream::once(broken));
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// An answer that goes on until the client has enough, or the sandbox closes.
pub(super) fn endless(closing: CancellationToken) -> Response {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let begin = stream::once(async { Bytes::from_static(b"{\"status\":\"") });
    let pieces = begin.chain(stream::repeat(piece)).take_until(closing.cancelled_owned());
    let body = Body::from_stream(pieces.map(Ok::<_, std::io::Error>));
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

fn login_address(username: &str) -> String {
    format!("/accounts/login/?next=%2F{username}%2F")
}

fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}
