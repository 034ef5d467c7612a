//! The server of the tests: a function from what was asked to what is answered, and a record of the asking.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, header};
use serde_json::{Value, json};

use super::super::{Visit, Web, WebConfig};
use crate::instagram::{AccountRef, Open, Shortcode, Username};

pub(super) const COOKIE: &str = "sessionid=very-secret-session; csrftoken=very-secret-csrf; mid=very-secret-mid";

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The account of most tests.
pub(super) const OWNER: i64 = 77;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A field of the form.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let pairs = reqwest::Url::parse(&format!("http://form/?{}", self.body)).unwrap();
        pairs.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The variables of a document.
    pub(super) fn variables(&self) -> Value {
        serde_json::from_str(&self.field("variables").unwrap()).unwrap()
    }
}

/// What the server does with a request.
pub(super) enum Answer {
    With(Response<Body>),
    Never,
}

pub(super) struct Site {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Site {
    /// Serves what `answer` makes of each request.
    pub(super) async fn answering(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, record) = (answer.clone(), Arc::clone(&record));
            async move {
                let request = look_at(request).await;
                record.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                match answer(&request) {
                    Answer::With(response) => response,
                    Answer::Never => std::future::pending().await,
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    pub(super) fn guest(&self) -> Visit {
        self.web(None, PATIENCE).visit(Arc::new(Open))
    }

    /// A guest who waits for a second and no longer.
    pub(super) fn hurried_guest(&self) -> Visit {
        self.web(None, Duration::from_secs(1)).visit(Arc::new(Open))
    }

    pub(super) fn session(&self) -> Visit {
        self.web(Some(COOKIE), PATIENCE).visit(Arc::new(Open))
    }

    /// A session of a run that has waited because these endpoints asked it to.
    pub(super) fn session_that_waited(&self, asked: &[&str]) -> Visit {
        self.web(Some(COOKIE), PATIENCE).visit_avoiding(Arc::new(Open), asked.iter().copied())
    }

    fn web(&self, cookie: Option<&str>, timeout: Duration) -> Web {
        let config =
            WebConfig { base_url: self.url.clone(), cookie: cookie.map(Into::into), timeout, ..WebConfig::default() };
        Web::new(config).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.path).collect()
    }
}

async fn look_at(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    Answer::With(response.body(body.into()).unwrap())
}

pub(super) fn json_of(status: u16, body: &Value) -> Answer {
    answer(status, &[(header::CONTENT_TYPE.as_str(), "application/json")], body.to_string())
}

pub(super) fn html(status: u16, body: &str) -> Answer {
    let page = format!("<!DOCTYPE html><html><head><title>Instagram</title></head><body>{body}</body></html>");
    answer(status, &[(header::CONTENT_TYPE.as_str(), "text/html; charset=utf-8")], page)
}

pub(super) fn redirect(to: &str) -> Answer {
    answer(302, &[("location", to)], "")
}

/// A profile's page with tokens and this user.
pub(super) fn profile_page(user: &Value, token: &str) -> Answer {
    let data = json!({"__bbox": {"result": {"data": {"xig_user_by_username": user}}}});
    html(
        200,
        &format!(
            r#"<script>["LSD",[],{{"token":"lsd-{token}"}},1],["DTSGInitialData",[],{{"token":"dtsg-{token}"}},2]</script>
            <script type="application/json">{data}</script>"#
        ),
    )
}

/// A user of `web_profile_info` with these posts.
pub(super) fn user(count: i64, edges: &Value, more: bool) -> Value {
    json!({"data": {"user": {
        "id": OWNER.to_string(), "fbid": "178", "username": "mill", "full_name": "The Mill", "biography": "",
        "edge_followed_by": {"count": 1200}, "edge_follow": {"count": 3},
        "edge_owner_to_timeline_media": {
            "count": count, "edges": edges, "page_info": {"has_next_page": more, "end_cursor": "QVFE"}
        },
        "is_private": false, "is_verified": true, "profile_pic_url_hd": "https://cdn.test/hd.jpg",
        "category_name": "Museum", "external_url": null, "bio_links": [{"url": "https://mill.test"}]
    }}, "status": "ok"})
}

/// A v1 node.
pub(super) fn node(pk: i64) -> Value {
    json!({"pk": pk.to_string(), "media_type": 1, "product_type": "feed", "taken_at": 1_700_000_000, "caption": null,
        "like_count": pk, "comment_count": 1})
}

/// An edge with a legacy node.
pub(super) fn legacy_edge(pk: i64) -> Value {
    json!({"node": {"__typename": "GraphImage", "id": pk.to_string(), "shortcode": Shortcode::from_pk(pk).unwrap(),
        "taken_at_timestamp": 1_700_000_000, "edge_media_to_caption": {"edges": []}}})
}

pub(super) fn mill() -> Username {
    Username::parse("mill").unwrap()
}

pub(super) fn account() -> AccountRef {
    AccountRef { pk: Some(OWNER), username: mill() }
}
