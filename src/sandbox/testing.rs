//! What the tests of this room share: a sandbox at a fixed time, and requests as a browser sends them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Options, router};

/// The time of most tests.
pub(super) const NOW: &str = "2026-11-22T02:30:00Z";

/// Options without a delay, at a fixed time.
pub(super) fn options(now: &str) -> Options {
    let now = now.parse().unwrap();
    Options { delay: Duration::ZERO, seed: 11, clock: Arc::new(move || now) }
}

/// A sandbox at a fixed time.
pub(super) fn sandbox(now: &str) -> Router {
    router(&options(now), CancellationToken::new())
}

/// An answer, read whole.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn is_html(&self) -> bool {
        self.headers["content-type"].to_str().unwrap().starts_with("text/html")
    }
}

/// Sends a request as it stands.
pub(super) async fn send(router: &Router, request: Request<Body>) -> Got {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    // There are faults whose body is no text.
    let text = String::from_utf8_lossy(&to_bytes(body, usize::MAX).await.unwrap()).into_owned();
    Got { status: parts.status, headers: parts.headers, text }
}

fn browser(method: &str, path: &str, session: Option<&str>) -> axum::http::request::Builder {
    let cookies = format!("csrftoken=token; {}", session.map(|id| format!("sessionid={id}")).unwrap_or_default());
    Request::builder()
        .method(method)
        .uri(path)
        .header("x-ig-app-id", "936619743392459")
        .header("x-csrftoken", "token")
        .header("cookie", cookies)
}

/// A browser's GET.
pub(super) async fn get(router: &Router, path: &str, session: Option<&str>) -> Got {
    send(router, browser("GET", path, session).body(Body::empty()).unwrap()).await
}

/// A browser's form.
pub(super) async fn form(router: &Router, path: &str, fields: &[(&str, &str)], session: Option<&str>) -> Got {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let request = browser("POST", path, session).header("content-type", "application/x-www-form-urlencoded");
    send(router, request.body(Body::from(body.join("&"))).unwrap()).await
}

/// A browser's GraphQL request.
pub(super) async fn graphql(router: &Router, name: &str, doc_id: &str, variables: Value, session: Option<&str>) -> Got {
    let variables = variables.to_string();
    let fields =
        [("lsd", "token"), ("fb_api_req_friendly_name", name), ("doc_id", doc_id), ("variables", variables.as_str())];
    form(router, "/graphql/query", &fields, session).await
}

/// A page of the timeline, as a session asks for it.
pub(super) async fn timeline(router: &Router, username: &str, after: Option<&str>) -> Got {
    let variables = json!({ "after": after, "before": null, "first": 12, "last": null, "username": username,
                            "data": { "count": 12 } });
    let name = "PolarisProfilePostsTabContentQuery_connection";
    graphql(router, name, "29104886249145907", variables, Some("live")).await
}

/// The old profile endpoint.
pub(super) async fn profile(router: &Router, username: &str) -> Got {
    get(router, &format!("/api/v1/users/web_profile_info/?username={username}"), None).await
}

/// An account's number.
pub(super) async fn pk(router: &Router, username: &str) -> i64 {
    profile(router, username).await.json()["data"]["user"]["id"].as_str().unwrap().parse().unwrap()
}

/// A control request.
pub(super) async fn control(router: &Router, method: &str, path: &str, body: Value) -> Got {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    send(router, Request::builder().method(method).uri(path).body(body).unwrap()).await
}

/// A GET over a real connection, with all that came before it ended.
pub(super) async fn raw_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    // A connection that breaks off is an error here, and what came before it is what we want.
    stream.read_to_end(&mut text).await.ok();
    String::from_utf8_lossy(&text).into_owned()
}
