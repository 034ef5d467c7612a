//! What every request passes through: its id, its log line and metrics, the rule that every error is JSON, a net for
//! panics, a time limit.
//!
//! It is one layer and not one for each: a layer is a service that is cloned and a future that is boxed, for each request.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, NaiveTime};
use futures_util::FutureExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use super::V1Dates;
use super::body::MAX_BODY_BYTES;
use super::error::ApiError;
use crate::postgres::Availability;

/// A request takes at most this long; beyond it the answer is 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request id that a client sends is taken over up to this length; a longer one, or none to speak of, is replaced.
const MAX_REQUEST_ID: usize = 128;

/// Puts the layer around all routes.
pub(super) fn wrap(routes: Router) -> Router {
    routes.layer(middleware::from_fn(accompany))
}

/// Goes with a request to its answer, and leaves one log line and one count.
async fn accompany(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = id_of(&request);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    // Of the highest level, so that errors have their request's id whatever the filter leaves out.
    let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
    let mut response = answer(request, next).instrument(span.clone()).await;
    response.headers_mut().insert(REQUEST_ID, id);

    let (took, status, path) = (began.elapsed(), response.status(), uri.path());
    span.in_scope(|| {
        tracing::info!(
            method = method.as_str(),
            path,
            status = status.as_u16(),
            duration_ms = took.as_secs_f64() * 1000.0,
            "{method} {path} {}",
            status.as_u16()
        );
    });
    let route = matched.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let labels = [("method", method.to_string()), ("route", route), ("status", status.as_str().to_owned())];
    metrics::counter!("igt_http_requests_total", &labels).increment(1);
    metrics::histogram!("igt_http_request_seconds", &labels[..2]).record(took.as_secs_f64());
    response
}

/// The id that a client has given its request, if it can be used, else a new one.
fn id_of(request: &Request) -> HeaderValue {
    let is_usable = |id: &&HeaderValue| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.to_str().is_ok();
    let given = request.headers().get(&REQUEST_ID).filter(is_usable).cloned();
    given.unwrap_or_else(|| {
        // Told apart, not kept secret: the thread's generator will do, and costs no call of the system.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let mut text = Uuid::encode_buffer();
        // A UUID is plain ASCII.
        HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// The answer of the routes, or the one in its place where they panic or take too long.
async fn answer(request: Request, next: Next) -> Response {
    let in_time = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request));
    match AssertUnwindSafe(in_time).catch_unwind().await {
        Ok(Ok(response)) => in_json(response).await,
        Ok(Err(_)) => {
            let message = "The request took too long; try again in a moment";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
        Err(panic) => panicked(&*panic),
    }
}

/// An error that the framework says in plain text or without words is said in JSON.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !is_error || content_type.is_some_and(|value| value.starts_with(b"application/json")) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let message = match said.is_empty() {
        true => status.canonical_reason().unwrap_or("Error").to_owned(),
        false => String::from_utf8_lossy(&said).into_owned(),
    };
    let answer = ApiError::new(status, message).into_response();
    parts.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in answer.headers() {
        parts.headers.insert(name, value.clone());
    }
    Response::from_parts(parts, answer.into_body())
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    ApiError::internal(&Panicked(words)).into_response()
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
struct Panicked(String);

/// Answers 503 for these routes as soon as the database is known to be away, also to those who wait for it already.
pub(super) fn need_database<S>(routes: Router<S>, availability: Availability) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes.route_layer(middleware::from_fn(move |request: Request, next: Next| {
        let availability = availability.clone();
        async move { unless_away(&availability, next.run(request)).await }
    }))
}

/// The same for version 1, whose clients are told where its successor is, and its dates once they are set (RFC 9745, RFC
/// 8594). One layer for both.
pub(super) fn version_1<S>(routes: Router<S>, availability: Availability, dates: V1Dates) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let announced: Arc<[_]> = announcements(dates).into();
    routes.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (availability, announced) = (availability.clone(), Arc::clone(&announced));
        async move {
            let mut response = unless_away(&availability, next.run(request)).await;
            response.headers_mut().extend(announced.iter().cloned());
            response
        }
    }))
}

/// The answer of the routes, or 503 from the moment on in which the database is known to be away.
async fn unless_away(availability: &Availability, answer: impl Future<Output = Response>) -> Response {
    tokio::select! {
        biased;
        () = availability.away() => ApiError::database_away(&"it does not answer").into_response(),
        response = answer => response,
    }
}

fn announcements(dates: V1Dates) -> Vec<(HeaderName, HeaderValue)> {
    let mut announced = vec![(header::LINK, HeaderValue::from_static("</api/v2>; rel=\"successor-version\""))];
    let text = |text: String| HeaderValue::try_from(text).ok();
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
    if let Some(value) = dates.deprecation.and_then(|date| text(format!("@{}", midnight(date).timestamp()))) {
        announced.push((HeaderName::from_static("deprecation"), value));
    }
    let http_date = |date| midnight(date).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Some(value) = dates.sunset.and_then(|date| text(http_date(date))) {
        announced.push((HeaderName::from_static("sunset"), value));
    }
    announced
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(path: &str) -> (StatusCode, serde_json::Value, Option<String>) {
        async fn panics() {
            panic!("words of the inside");
        }
        let router = wrap(
            Router::new()
                .route("/panics", get(panics))
                .route("/plain", get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") })),
        );
        let request = Request::builder().uri(path).header(REQUEST_ID, "mine").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let id = response.headers().get(REQUEST_ID).map(|id| id.to_str().unwrap().to_owned());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap(), id)
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_500_in_json_without_its_words() {
        let (status, body, id) = asked("/panics").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["result"], false);
        assert!(!body.to_string().contains("inside"), "{body}");
        assert_eq!(id.as_deref(), Some("mine"));
    }

    #[tokio::test]
    async fn an_error_in_plain_text_is_said_in_json() {
        let (status, body, _) = asked("/plain").await;
        assert_eq!(status, StatusCode::IM_A_TEAPOT);
        assert_eq!(body, serde_json::json!({"result": false, "message": "short and stout"}));
    }
}
