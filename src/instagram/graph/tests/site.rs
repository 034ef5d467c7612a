//! The server of the tests: a function from what was asked to what is answered, a record of the asking, and a gate
//! that remembers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Graph, GraphConfig, Visit};
use crate::instagram::{AccountRef, Failure, FailureKind, Gate, Heard, Username};

/// A character of it changes when it stands in an address.
pub(super) const TOKEN: &str = "very-secret|token";

/// The account that asks.
pub(super) const ASKER: &str = "17841400000000001";

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    /// The value of `fields`.
    pub(super) fields: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

/// What the server does with a request.
pub(super) enum Answer {
    With(Response<Body>),
    Never,
}

pub(super) struct Site {
    pub(super) url: String,
    pub(super) gate: Arc<Doorkeeper>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Site {
    /// Serves what `answer` makes of each request.
    pub(super) async fn answering(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let seen = look_at(&request);
            record.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
            let answer = answer(&seen);
            async move {
                match answer {
                    Answer::With(response) => response,
                    Answer::Never => std::future::pending().await,
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, gate: Arc::default(), seen }
    }

    pub(super) fn visit(&self) -> Visit {
        self.within(PATIENCE)
    }

    pub(super) fn within(&self, timeout: Duration) -> Visit {
        graph(&self.url, timeout).visit(Arc::<Doorkeeper>::clone(&self.gate))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn graph(url: &str, timeout: Duration) -> Graph {
    let config = GraphConfig { base_url: url.to_owned(), timeout, ..GraphConfig::new(ASKER, TOKEN.into()) };
    Graph::new(config).unwrap()
}

fn look_at(request: &Request) -> Seen {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let address = reqwest::Url::parse(&format!("http://site/?{query}")).unwrap();
    let fields = address.query_pairs().find(|(key, _)| key == "fields").map(|(_, value)| value.into_owned());
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    Seen { path, fields: fields.unwrap_or_default(), query, headers }
}

/// A gate that lets everybody through, until it is told not to, and remembers.
#[derive(Debug, Default)]
pub(super) struct Doorkeeper {
    pub(super) is_closed: Mutex<bool>,
    passed: Mutex<Vec<&'static str>>,
    heard: Mutex<Vec<Heard>>,
}

impl Doorkeeper {
    pub(super) fn passed(&self) -> Vec<&'static str> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gate for Doorkeeper {
    fn pass(&self, endpoint: &'static str) -> BoxFuture<'_, Result<(), Failure>> {
        let is_closed = *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_closed {
            self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(endpoint);
        }
        let closed = Failure {
            kind: FailureKind::Throttled,
            endpoint,
            status: None,
            message: "the credential rests".to_owned(),
            retry_after: Some(Duration::from_secs(5)),
        };
        std::future::ready(if is_closed { Err(closed) } else { Ok(()) }).boxed()
    }

    fn heard(&self, heard: Heard) -> BoxFuture<'_, ()> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        std::future::ready(()).boxed()
    }
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    Answer::With(response.body(body.into()).unwrap())
}

pub(super) fn json_of(status: u16, body: &Value) -> Answer {
    answer(status, &[("content-type", "application/json")], body.to_string())
}

/// An error of the source.
pub(super) fn error(code: i64, message: &str) -> Answer {
    json_of(400, &json!({"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbC"}}))
}

/// An account with these media, as the source tells of it.
pub(super) fn discovered(media: &[Value], after: Option<&str>) -> Value {
    json!({
        "business_discovery": {
            "id": "17841401234567890", "username": "mill", "name": "The Mill", "biography": "Flour",
            "website": "https://mill.test", "profile_picture_url": "https://cdn.test/mill.jpg",
            "followers_count": 1200, "follows_count": 3, "media_count": 40,
            "media": edge(media, after),
        },
        "id": ASKER,
    })
}

/// A page of media alone.
pub(super) fn page(media: &[Value], after: Option<&str>) -> Value {
    json!({"business_discovery": {"media": edge(media, after), "id": "17841401234567890"}, "id": ASKER})
}

fn edge(media: &[Value], after: Option<&str>) -> Value {
    match after {
        Some(after) => json!({"data": media, "paging": {"cursors": {"before": "QVFIbefore", "after": after}}}),
        None => json!({"data": media}),
    }
}

/// A picture with this code.
pub(super) fn picture(code: &str) -> Value {
    json!({
        "id": "17900000000000001", "shortcode": code, "permalink": format!("https://www.instagram.com/p/{code}/"),
        "timestamp": "2026-05-06T12:34:56+0000", "caption": "Grain", "media_type": "IMAGE",
        "media_product_type": "FEED", "media_url": "https://cdn.test/p.jpg", "like_count": 12, "comments_count": 0
    })
}

/// A reel with this code.
pub(super) fn reel(code: &str) -> Value {
    json!({
        "id": "17900000000000002", "shortcode": code, "permalink": format!("https://www.instagram.com/reel/{code}/"),
        "timestamp": "2026-05-07T12:34:56+0000", "media_type": "VIDEO", "media_product_type": "REELS",
        "media_url": "https://cdn.test/r.mp4", "thumbnail_url": "https://cdn.test/r.jpg", "like_count": 7,
        "comments_count": 2, "view_count": 100_856
    })
}

pub(super) fn mill() -> Username {
    Username::parse("mill").unwrap()
}

/// The account as this source leaves it: without its number.
pub(super) fn account() -> AccountRef {
    AccountRef { pk: None, username: mill() }
}
