//! What every request passes through: its id, its log line and metrics, who may, the form of its error, the headers that
//! protect, a net for panics, a time limit.
//!
//! It is one layer and not one for each: a layer is a service that is cloned and a future that is boxed, for each request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, NaiveTime};
use futures_util::FutureExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use super::auth::{self, Gate, RequestId};
use super::counts::Counts;
use super::error::{self, ApiError};
use super::problem::ProblemType;
use super::query::whole_number;
use super::{V1Dates, V2_PATH, protection};
use crate::postgres::Availability;

/// A request takes at most this long, beside the time that it asks to be kept waiting; beyond it the answer is 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The route of version 2 that keeps a request waiting (`?wait=`).
const KEEPS_WAITING: &str = "/runs/{run_id}";

/// Seconds for which a request may ask to be kept waiting there.
pub(super) const MAX_WAIT_SECONDS: u8 = 60;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request id that a client sends is taken over up to this length; a longer one, or none to speak of, is replaced.
const MAX_REQUEST_ID: usize = 128;

/// Bytes of a request's path and query; beyond them the answer is 414.
const MAX_TARGET_BYTES: usize = 8 * 1024;

/// What the layer needs.
struct Around {
    gate: Arc<Gate>,
    counts: Counts,
}

/// Puts the layer around all routes.
pub(super) fn wrap(routes: Router, gate: Arc<Gate>) -> Router {
    let around = Arc::new(Around { gate, counts: Counts::default() });
    routes.layer(middleware::from_fn_with_state(around, accompany))
}

/// Goes with a request to its answer, and leaves one log line and one count.
async fn accompany(
    State(around): State<Arc<Around>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let (began, gate) = (Instant::now(), &around.gate);
    let id = id_of(&request);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    // Of the highest level, so that errors have their request's id whatever the filter leaves out.
    let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
    if method != Method::GET {
        request.extensions_mut().insert(RequestId(id.clone()));
    }
    let by_tls = gate.is_by_tls(request.headers());
    let for_pages = gate.for_pages(request.headers());
    let route = matched.as_ref().map(MatchedPath::as_str);
    let response = answer(gate, route, request, next).instrument(span.clone()).await;
    let mut response = error::tell(response, uri.path(), id.to_str().unwrap_or_default()).await;
    protection::protect(uri.path(), by_tls, &mut response);
    response.headers_mut().extend(for_pages);
    response.headers_mut().insert(REQUEST_ID, id);

    let (took, status, path) = (began.elapsed(), response.status(), uri.path());
    span.in_scope(|| {
        tracing::info!(
            method = method.as_str(),
            path,
            status = status.as_u16(),
            duration_ms = took.as_micros() as f64 / 1000.0,
            "request answered"
        );
    });
    around.counts.count(&method, route, status, took);
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
async fn answer(gate: &Gate, route: Option<&str>, request: Request, next: Next) -> Response {
    let limit = time_limit(route, request.uri().query());
    let in_time = tokio::time::timeout(limit, admit(gate, route, request, next));
    match AssertUnwindSafe(in_time).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            ApiError::new(ProblemType::TimedOut, "The request took too long; try again in a moment").into_response()
        }
        // It was logged where it happened.
        Err(_) => ApiError::logged().into_response(),
    }
}

/// How long a request may take: where a route keeps it waiting when asked to, that comes on top.
fn time_limit(route: Option<&str>, query: Option<&str>) -> Duration {
    let keeps_waiting = route.and_then(|route| route.strip_prefix(V2_PATH)) == Some(KEEPS_WAITING);
    let wait = whole_number(query, "wait").filter(|_| keeps_waiting).unwrap_or(0);
    REQUEST_TIMEOUT + Duration::from_secs(wait.clamp(0, i64::from(MAX_WAIT_SECONDS)).unsigned_abs())
}

/// The answer of the routes, to whoever may have it.
async fn admit(gate: &Gate, route: Option<&str>, mut request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        let detail = format!("The path with its query has more than {MAX_TARGET_BYTES} bytes");
        return ApiError::new(ProblemType::UriTooLong, detail).into_response();
    }
    if let Some(answer) = gate.preflight(&request) {
        return answer;
    }
    let (allowance, let_in) = auth::who_may(gate, route, &mut request).await;
    let mut response = match let_in {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Some(allowance) = allowance {
        auth::tell_allowance(&allowance, response.headers_mut());
    }
    response
}

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
    routes.route_layer(middleware::from_fn(move |request: Request, next: Next| {
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
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::super::Origins;
    use super::*;
    use crate::keys::Keys;

    async fn asked(path: &str) -> (StatusCode, Value, String) {
        async fn panics() {
            panic!("words of the inside");
        }
        let plain = || async { (StatusCode::IM_A_TEAPOT, "short and stout") };
        let routes = Router::new().route("/panics", get(panics)).route("/plain", get(plain));
        let gate = Gate {
            keys: Keys::none(),
            attempts: None,
            allow_anonymous: true,
            is_loopback: true,
            origins: Origins::default(),
            behind_tls: false,
        };
        let router = wrap(Router::new().nest("/api/v2", routes.clone()).merge(routes), Arc::new(gate));
        let request = Request::builder().uri(path).header(REQUEST_ID, "mine").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()[REQUEST_ID], "mine");
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 64 * 1024).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap(), content_type)
    }

    #[test]
    fn only_where_a_request_can_be_kept_waiting_it_has_more_time() {
        let seconds = |route, query| time_limit(route, query).as_secs();
        let run = Some("/api/v2/runs/{run_id}");
        assert_eq!((seconds(run, None), seconds(run, Some("wait=5")), seconds(run, Some("wait=999"))), (10, 15, 70));
        for other in [Some("/api/v2/tasks"), Some("/codvid-ai/ig-tracking/tasks"), Some("/runs/{run_id}"), None] {
            assert_eq!(seconds(other, Some("wait=60")), 10, "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_500_without_its_words() {
        let (status, body, _) = asked("/panics").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["result"], false);
        assert!(!body.to_string().contains("inside"), "{body}");

        let (status, body, content_type) = asked("/api/v2/panics").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(content_type, "application/problem+json");
        assert_eq!((&body["type"], &body["request_id"]), (&json!("/api/v2/problems/internal-error"), &json!("mine")));
        assert!(!body.to_string().contains("inside"), "{body}");
    }

    #[tokio::test]
    async fn an_error_in_plain_text_is_said_in_the_form_of_its_version() {
        let (status, body, content_type) = asked("/plain").await;
        assert_eq!(status, StatusCode::IM_A_TEAPOT);
        assert_eq!(content_type, "application/json");
        assert_eq!(body, json!({"result": false, "message": "short and stout"}));

        let (status, body, content_type) = asked("/api/v2/plain").await;
        assert_eq!(status, StatusCode::IM_A_TEAPOT);
        assert_eq!(content_type, "application/problem+json");
        let problem = json!({"type": "about:blank", "title": "I'm a teapot", "status": 418, "detail": "short and stout",
                             "instance": "/api/v2/plain", "request_id": "mine"});
        assert_eq!(body, problem);
    }
}
