//! Who may: keys and their scopes on every route, revoked and expired ones, sessions of browsers, pages of other
//! origins, limits, and what is kept of what was done.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request as Handshake;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{Answer, Proxy, Replica, Started, V1, World, call, eventually, make_key as key};
use crate::v2_streams::held;

/// Wrong keys are looked at however many there are.
const PATIENT: (&str, &str) = ("IGT_SIGN_IN_FAILURES", "0");

pub(crate) fn id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

/// Revokes a key as an operator does.
pub(crate) async fn revoke(world: &World, of: &str) {
    let done = call(&["keys", "revoke", of], &[("DATABASE_URL", &world.database.url)]).finished().await;
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// Asks with these headers.
pub(crate) async fn ask_with(replica: &Replica, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask_with_body(replica, method, path, headers, None).await
}

async fn ask_with_body(
    replica: &Replica,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Answer {
    let mut request = replica.http.request(method, format!("{}{path}", replica.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Asks with a key.
pub(crate) async fn ask(replica: &Replica, method: Method, path: &str, key: &str) -> Answer {
    ask_with(replica, method, path, &[("authorization", &format!("Bearer {key}"))]).await
}

/// Asks for the tasks with a key.
pub(crate) async fn tasks(replica: &Replica, key: &str) -> Answer {
    ask(replica, Method::GET, "/api/v2/tasks", key).await
}

/// The problem of an answer with this status.
pub(crate) fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    serde_json::from_str(&answer.text).unwrap()
}

/// What every route asks for. A route of the OpenAPI document that is not here fails the test.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/healthz", "nothing"),
    ("GET", "/readyz", "nothing"),
    ("GET", "/openapi.json", "nothing"),
    ("GET", "/docs", "nothing"),
    ("GET", "/docs/", "nothing"),
    ("GET", "/docs/swagger-ui.css", "nothing"),
    ("GET", "/version", "read"),
    ("GET", "/metrics", "read"),
    ("GET", "/nothing/is/here", "read"),
    ("POST", "/nothing/is/here", "run"),
    ("POST", "/codvid-ai/ig-tracking/create_task", "run"),
    ("POST", "/codvid-ai/ig-tracking/create_reel_task", "run"),
    ("GET", "/codvid-ai/ig-tracking/tasks", "read"),
    ("DELETE", "/codvid-ai/ig-tracking/task/{task_id}", "run"),
    ("GET", "/codvid-ai/ig-tracking/task_details/{task_id}", "read"),
    ("POST", "/codvid-ai/ig-tracking/force_scrape/{task_id}", "run"),
    ("POST", "/codvid-ai/ig-tracking/force_scrape_reel/{task_id}", "run"),
    ("POST", "/codvid-ai/ig-tracking/cancel/{task_id}", "run"),
    ("GET", "/codvid-ai/ig-tracking/task_status/{task_id}", "read"),
    ("GET", "/api/v2", "read"),
    ("GET", "/api/v2/problems", "nothing"),
    ("GET", "/api/v2/problems/{name}", "nothing"),
    ("GET", "/api/v2/events", "read"),
    ("GET", "/api/v2/posts/{shortcode}", "read"),
    ("GET", "/api/v2/posts/{shortcode}/captions", "read"),
    ("GET", "/api/v2/posts/{shortcode}/history", "read"),
    ("GET", "/api/v2/profiles", "read"),
    ("GET", "/api/v2/profiles/{username}", "read"),
    ("GET", "/api/v2/profiles/{username}/analytics", "read"),
    ("GET", "/api/v2/profiles/{username}/analytics/posts", "read"),
    ("GET", "/api/v2/profiles/{username}/history", "read"),
    ("GET", "/api/v2/profiles/{username}/posts", "read"),
    ("GET", "/api/v2/profiles/{username}/reels", "read"),
    ("GET", "/api/v2/reels/{shortcode}", "read"),
    ("GET", "/api/v2/reels/{shortcode}/curve", "read"),
    ("GET", "/api/v2/reels/{shortcode}/history", "read"),
    ("GET", "/api/v2/reels/{shortcode}/velocity", "read"),
    ("GET", "/api/v2/runs", "read"),
    ("GET", "/api/v2/runs/stream", "read"),
    ("GET", "/api/v2/runs/{run_id}", "read"),
    ("POST", "/api/v2/runs/{run_id}/cancel", "run"),
    ("POST", "/api/v2/runs/{run_id}/retry", "run"),
    ("GET", "/api/v2/runs/{run_id}/events", "read"),
    ("GET", "/api/v2/runs/{run_id}/events/stream", "read"),
    ("GET", "/api/v2/runs/{run_id}/events/ws", "read"),
    ("GET", "/api/v2/runs/{run_id}/events/{seq}", "read"),
    ("GET", "/api/v2/runs/{run_id}/post-mortem", "read"),
    ("GET", "/api/v2/runs/{run_id}/requests", "read"),
    ("POST", "/api/v2/tasks/{task_id}/runs", "run"),
    ("GET", "/api/v2/tasks", "read"),
    ("POST", "/api/v2/tasks", "run"),
    ("GET", "/api/v2/tasks/{task_id}", "read"),
    ("PATCH", "/api/v2/tasks/{task_id}", "run"),
    ("DELETE", "/api/v2/tasks/{task_id}", "run"),
    // The key is in the body.
    ("POST", "/api/v2/session", "nothing"),
    ("GET", "/api/v2/session", "read"),
    ("DELETE", "/api/v2/session", "read"),
    ("GET", "/api/v2/keys", "admin"),
    ("DELETE", "/api/v2/keys/{key_id}", "admin"),
    ("GET", "/api/v2/audit", "admin"),
];

#[tokio::test]
async fn every_route_asks_for_its_scope_and_none_is_forgotten() {
    let world = World::new().await;
    let expired = key(&world, "expired", "admin", &["--expires-in", "1s"]).await;
    let revoked = key(&world, "revoked", "admin", &[]).await;
    revoke(&world, "revoked").await;
    let mut keys = vec![("nothing", None)];
    for scope in ["read", "run", "admin"] {
        keys.push((scope, Some(key(&world, scope, scope, &[]).await)));
    }
    let replica = world.replica(&[PATIENT]).await;
    eventually("the key expires", async || {
        let answer = tasks(&replica, &expired).await;
        (answer.status == 401 && answer.text.contains("expired")).then_some(())
    })
    .await;

    let document: Value =
        serde_json::from_str(&ask_with(&replica, Method::GET, "/openapi.json", &[]).await.text).unwrap();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| !item[method].is_null());
        for method in methods {
            documented.insert((method.to_uppercase(), path.clone()));
            // Whoever reads the document is told the same.
            let needs = ROUTES.iter().find(|route| (route.0, route.1) == (&*method.to_uppercase(), path));
            let (.., needs) = needs.unwrap_or_else(|| panic!("{method} {path} is in no row of ROUTES"));
            let is_open = item[method]["security"] == json!([{}]);
            assert_eq!(is_open, *needs == "nothing", "{method} {path}: {}", item[method]["security"]);
        }
    }
    assert!(documented.len() > 10, "{documented:?}");
    assert_eq!(document["security"], json!([{"bearer": []}, {"api_key": []}, {"session": []}]));

    let scopes = ["nothing", "read", "run", "admin"];
    let rank = |scope: &str| scopes.iter().position(|other| *other == scope).unwrap();
    for (method, template, needs) in ROUTES {
        let (method, path) = (Method::from_bytes(method.as_bytes()).unwrap(), template.replace(['{', '}'], "-"));
        for (has, key) in &keys {
            let status = status(&replica, &method, &path, key.as_deref()).await;
            let expected = match (rank(has) >= rank(needs), key) {
                (true, _) => None,
                (false, None) => Some(401),
                (false, Some(_)) => Some(403),
            };
            match expected {
                None => assert!(![401, 403].contains(&status), "{method} {path} with {has}: {status}"),
                Some(expected) => assert_eq!(status, expected, "{method} {path} with {has}"),
            }
        }
        // Where no key is asked for none is looked at.
        let expected = if *needs == "nothing" { status(&replica, &method, &path, None).await } else { 401 };
        for (what, key) in [("a revoked key", &revoked), ("an expired key", &expired)] {
            assert_eq!(status(&replica, &method, &path, Some(key)).await, expected, "{method} {path} with {what}");
        }
    }
}

/// The status of an answer whose body may have no end; what refuses is told in the form of its version.
async fn status(replica: &Replica, method: &Method, path: &str, key: Option<&str>) -> u16 {
    let mut request = replica.http.request(method.clone(), format!("{}{path}", replica.address));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    if [401, 403].contains(&status.as_u16()) {
        let answer = Answer { status, headers, text: response.text().await.unwrap() };
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{method} {path}");
        match path.starts_with("/api/v2") {
            true => assert!(problem(&answer, status.as_u16())["type"].is_string()),
            false => assert!(!answer.error(status.as_u16()).is_empty()),
        }
    }
    status.as_u16()
}

#[tokio::test]
async fn on_a_loopback_address_the_service_is_open_until_the_first_key_is_made_and_closed_from_then_on() {
    let world = World::new().await;
    let (one, two) = (world.replica(&[]).await, world.replica(&[]).await);
    for replica in [&one, &two] {
        replica.get("/tasks").await.ok();
        let nobody = ask_with(replica, Method::GET, "/api/v2/session", &[]).await.ok();
        assert_eq!(nobody, json!({"signed_in": false, "key_id": null, "name": null, "scope": "admin"}));
    }
    // A key that is wrong is wrong, also where none is needed.
    assert_eq!(tasks(&one, "igt_nonsense").await.status, 401);
    let made = key(&world, "first", "read", &[]).await;
    for replica in [&one, &two] {
        eventually("a key is needed", async || (replica.get("/tasks").await.status == 401).then_some(())).await;
        tasks(replica, &made).await.ok();
        // What says whether it lives, does not ask who wants to know.
        replica.ask(Method::GET, "/readyz", None).await.ok();
    }
    revoke(&world, "first").await;
    for replica in [&one, &two] {
        eventually("the key is refused", async || (tasks(replica, &made).await.status == 401).then_some(())).await;
        replica.get("/tasks").await.error(401);
    }
    drop((one, two));
    let after = world.replica(&[]).await;
    after.get("/tasks").await.error(401);
    assert!(after.lines().iter().any(|line| line.contains("nobody may do anything")), "{:?}", after.lines());
}

#[tokio::test]
async fn an_address_that_others_reach_is_listened_on_once_a_key_is_made_and_stays_closed_without_one() {
    let world = World::new().await;
    let everywhere = [("DATABASE_URL", world.database.url.as_str()), ("IGT_BIND", "0.0.0.0:0")];
    let refused = call(&["serve"], &everywhere).finished().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in ["IGT_BIND", "ig-tracking keys create", "--allow-anonymous"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(!refused.stderr.contains("listening"), "{refused:?}");
    let made = key(&world, "only", "admin", &[]).await;
    let replica = world.replica(&[("IGT_BIND", "0.0.0.0:0"), PATIENT]).await;
    replica.get("/tasks").await.error(401);
    tasks(&replica, &made).await.ok();
    revoke(&world, id(&made)).await;
    eventually("the key is refused", async || (tasks(&replica, &made).await.status == 401).then_some(())).await;
    replica.get("/tasks").await.error(401);
}

#[tokio::test]
async fn where_anonymous_requests_are_allowed_a_wrong_key_is_wrong_all_the_same() {
    let world = World::new().await;
    let revoked = key(&world, "k", "admin", &[]).await;
    revoke(&world, "k").await;
    let replica = world.replica(&[("IGT_ALLOW_ANONYMOUS", "true")]).await;
    replica.get("/tasks").await.ok();
    ask_with(&replica, Method::GET, "/api/v2/keys", &[]).await.ok();
    assert_eq!(tasks(&replica, &revoked).await.status, 401);
    // What is meant for something in front of the service, or is left of another one, is passed over.
    for header in [("authorization", "Basic YTpi"), ("cookie", "igt_session=old; other=1")] {
        ask_with(&replica, Method::GET, "/api/v2/tasks", &[header]).await.ok();
    }
}

#[tokio::test]
async fn a_key_is_taken_the_moment_it_is_made_and_refused_everywhere_within_two_seconds_of_its_revocation() {
    let world = World::new().await;
    let first = key(&world, "first", "admin", &[]).await;
    let (one, two) = (world.replica(&[PATIENT]).await, world.replica(&[PATIENT]).await);
    for round in 0..3 {
        let name = format!("round {round}");
        let made = key(&world, &name, "read", &[]).await;
        for replica in [&two, &one] {
            tasks(replica, &made).await.ok();
        }
        let (began, path) = (Instant::now(), format!("/api/v2/keys/{}", id(&made)));
        assert_eq!(ask(&one, Method::DELETE, &path, &first).await.status, 204);
        // The replica that was asked knows when it answers.
        assert_eq!(tasks(&one, &made).await.status, 401);
        refused_in_time(&two, &made, began).await;
        assert_eq!(ask(&one, Method::DELETE, &path, &first).await.status, 204, "again");
    }
    problem(&ask(&one, Method::DELETE, "/api/v2/keys/nobody", &first).await, 404);
    problem(&ask(&one, Method::DELETE, "/api/v2/keys/first", &first).await, 404);
    // Whatever happens to a replica, the key stays refused.
    let again = key(&world, "again", "read", &[]).await;
    revoke(&world, "again").await;
    let three = world.replica(&[]).await;
    assert_eq!(tasks(&three, &again).await.status, 401);
    tasks(&three, &first).await.ok();
}

/// Asks until the key is refused, which may take no more than two seconds from then on.
async fn refused_in_time(replica: &Replica, key: &str, began: Instant) {
    eventually("the key is refused", async || (tasks(replica, key).await.status == 401).then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_key_that_was_revoked_by_hand_or_while_no_hint_is_heard_is_refused_in_time() {
    let world = World::new().await;
    key(&world, "other", "admin", &[]).await;
    let proxy = Proxy::before(&world.database.url).await;
    let deaf = Started::new(&proxy.url(&world.database.url), &world.instagram.url, &[PATIENT]).listening().await;
    eventually("it listens", async || (proxy.listeners() > 0).then_some(())).await;
    proxy.deafen_listeners();
    let told = key(&world, "told", "read", &[]).await;
    let by_hand = key(&world, "by hand", "read", &[]).await;
    for made in [&told, &by_hand] {
        tasks(&deaf, made).await.ok();
    }
    let began = Instant::now();
    revoke(&world, "told").await;
    refused_in_time(&deaf, &told, began).await;
    let began = Instant::now();
    sqlx::query("update api_keys set revoked_at = now() where name = 'by hand'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    refused_in_time(&deaf, &by_hand, began).await;
}

#[tokio::test]
async fn a_stream_ends_when_the_key_or_the_session_is_taken_no_more() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "overlooked.anna").await;
    let staying = key(&world, "staying", "read", &[]).await;
    let watching = key(&world, "watching", "read", &[]).await;
    let (log, board) = (format!("/api/v2/runs/{run}/events/stream"), "/api/v2/runs/stream");
    let other = world.replica(&[]).await;
    let signed_in = cookie(&session_of(&sign_in(&replica, &staying).await));

    let mut of_key = vec![open(&other, &log, ("x-api-key", &watching)).await];
    of_key.push(open(&other, board, ("x-api-key", &watching)).await);
    let mut of_session = open(&other, board, ("cookie", &signed_in)).await;
    let mut of_others = open(&other, board, ("x-api-key", &staying)).await;
    let mut socket = socket(&other, &format!("/api/v2/runs/{run}/events/ws"), &watching).await;

    let began = Instant::now();
    revoke(&world, "watching").await;
    for mut stream in of_key {
        while stream.chunk().await.unwrap().is_some() {}
    }
    let closed = loop {
        if let Frame::Close(frame) = socket.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(closed.code, CloseCode::Policy);

    let shown = [("cookie", signed_in.as_str())];
    assert_eq!(ask_with(&replica, Method::DELETE, "/api/v2/session", &shown).await.status, 204);
    while of_session.chunk().await.unwrap().is_some() {}
    // Nobody else is sent away: the run's end is told.
    world.instagram.let_go("overlooked.anna").await;
    let mut told = String::new();
    while !told.contains("succeeded") {
        told.push_str(std::str::from_utf8(&of_others.chunk().await.unwrap().unwrap()).unwrap());
    }
}

/// An answer that goes on.
async fn open(replica: &Replica, path: &str, (name, value): (&str, &str)) -> reqwest::Response {
    let request = replica.http.get(format!("{}{path}", replica.address)).header(name, value);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

async fn socket(replica: &Replica, path: &str, key: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    connect_async(handshake(replica, path, ("x-api-key", key))).await.unwrap().0
}

fn handshake(replica: &Replica, path: &str, (name, value): (&'static str, &str)) -> Handshake {
    let url = format!("{}{path}", replica.address.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_key_that_was_not_copied_whole_is_told_from_one_that_is_unknown() {
    let world = World::new().await;
    let made = key(&world, "k", "read", &[]).await;
    let other = World::new().await;
    let foreign = key(&other, "k", "read", &[]).await;
    let replica = world.replica(&[PATIENT]).await;
    let detail = async |key: &str| problem(&tasks(&replica, key).await, 401)["detail"].as_str().unwrap().to_owned();
    assert!(detail(&made[..made.len() - 1]).await.contains("not a whole key"));
    let mut swapped = made.clone().into_bytes();
    swapped.swap(20, 21);
    let swapped = String::from_utf8(swapped).unwrap();
    if swapped != made {
        assert!(detail(&swapped).await.contains("checksum"));
    }
    assert!(detail("sk_live_1234").await.contains("begin with igt_"));
    assert!(detail(&foreign).await.contains("unknown or revoked"));
    // Another secret under the same id, with its checksum right.
    let forged = ig_tracking::keys::FreshKey::generate();
    let sum = |whole: &str| forged.text.replace(&forged.key_id, id(whole));
    assert!(detail(&sum(&made)).await.contains("not a whole key"));
    tasks(&replica, &made).await.ok();
    ask_with(&replica, Method::GET, "/api/v2/tasks", &[("X-API-Key", &made)]).await.ok();
}

#[tokio::test]
async fn no_key_and_no_session_is_in_the_log_or_in_a_row() {
    let world = World::new().await;
    let made = key(&world, "k", "admin", &[]).await;
    let replica = Started::new(&world.database.url, &world.instagram.url, &[("IGT_LOG", "trace"), PATIENT]);
    let replica = replica.listening().await;
    tasks(&replica, &made).await.ok();
    ask_with(&replica, Method::GET, "/api/v2/tasks", &[("x-api-key", &made)]).await.ok();
    let signed_in = sign_in(&replica, &made).await;
    let session = session_of(&signed_in);
    ask_with(&replica, Method::GET, "/api/v2/tasks", &[("cookie", &cookie(&session))]).await.ok();
    assert_eq!(tasks(&replica, &format!("{made}x")).await.status, 401);
    revoke(&world, "k").await;
    eventually("it is refused", async || (tasks(&replica, &made).await.status == 401).then_some(())).await;
    // A run, so that there are rows of every kind.
    let secret = &made.rsplit_once('_').unwrap().1[..43];
    let rows = rows(&world).await;
    assert!(rows.iter().any(|row| row.contains(id(&made))));
    for text in replica.lines().iter().chain(&rows) {
        assert!(!text.contains(secret) && !text.contains(&session), "{text}");
    }
}

/// Every row of the tables of this subject.
async fn rows(world: &World) -> Vec<String> {
    let query =
        "select t::text from api_keys t union all select t::text from sessions t union all select t::text from audit t";
    sqlx::query_scalar(query).fetch_all(&world.database.pool).await.unwrap()
}

pub(crate) async fn sign_in(replica: &Replica, key: &str) -> Answer {
    ask_with_body(replica, Method::POST, "/api/v2/session", &[], Some(json!({"key": key}))).await
}

pub(crate) fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    cookie.strip_prefix("igt_session=").unwrap().split(';').next().unwrap().to_owned()
}

pub(crate) fn cookie(session: &str) -> String {
    format!("theme=dark; igt_session={session}")
}

#[tokio::test]
async fn a_browser_signs_in_with_a_key_and_holds_its_session_until_it_signs_out() {
    let world = World::new().await;
    let made = key(&world, "dashboard", "run", &[]).await;
    let (one, two) = (world.replica(&[PATIENT]).await, world.replica(&[PATIENT]).await);
    let answer = sign_in(&one, &made).await;
    let who = json!({"signed_in": true, "key_id": id(&made), "name": "dashboard", "scope": "run"});
    assert_eq!(answer.ok(), who);
    let set = answer.header("set-cookie").unwrap();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let session = cookie(&session_of(&answer));
    let shown = [("cookie", session.as_str())];
    for replica in [&two, &one] {
        assert_eq!(ask_with(replica, Method::GET, "/api/v2/session", &shown).await.ok(), who);
        problem(&ask_with(replica, Method::GET, "/api/v2/keys", &shown).await, 403);
    }

    assert_eq!(ask_with(&one, Method::DELETE, "/api/v2/session", &shown).await.status, 204);
    for replica in [&one, &two] {
        eventually("the session has ended", async || {
            (ask_with(replica, Method::GET, "/api/v2/session", &shown).await.status == 401).then_some(())
        })
        .await;
    }

    // A session dies with its key, and does not outlive it otherwise.
    let session = cookie(&session_of(&sign_in(&one, &made).await));
    let shown = [("cookie", session.as_str())];
    ask_with(&two, Method::GET, "/api/v2/session", &shown).await.ok();
    revoke(&world, "dashboard").await;
    eventually("the session has ended", async || {
        (ask_with(&two, Method::GET, "/api/v2/session", &shown).await.status == 401).then_some(())
    })
    .await;
    problem(&sign_in(&one, &made).await, 401);
    let brief = key(&world, "brief", "read", &["--expires-in", "1h"]).await;
    sign_in(&one, &brief).await.ok();
    let longest: f64 = sqlx::query_scalar(
        "select max(extract(epoch from s.expires_at - k.expires_at))::float8 from sessions s join api_keys k using (key_id)
         where k.name = 'brief'",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert!(longest <= 0.0, "{longest}");

    for tls in [&[("x-forwarded-proto", "https")][..], &[]] {
        let answer = ask_with_body(&one, Method::POST, "/api/v2/session", tls, Some(json!({"key": brief}))).await;
        let (is_secure, is_strict) = (
            answer.header("set-cookie").unwrap().contains("; Secure"),
            answer.header("strict-transport-security").is_some(),
        );
        assert_eq!((is_secure, is_strict), (!tls.is_empty(), !tls.is_empty()));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_can_do_nothing_with_a_browsers_session() {
    let world = World::new().await;
    let made = key(&world, "k", "admin", &[]).await;
    let replica = world.replica(&[]).await;
    let session = cookie(&session_of(&sign_in(&replica, &made).await));
    let host = replica.address.clone();
    let create = async |headers: &[(&str, &str)]| {
        let headers = [&[("cookie", session.as_str())], headers].concat();
        let body = json!({"username": "nasa", "kind": "profile"});
        ask_with_body(&replica, Method::POST, "/api/v2/tasks", &headers, Some(body)).await
    };
    for foreign in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        let told = problem(&create(foreign).await, 403);
        assert_eq!(told["type"], "/api/v2/problems/cross-origin", "{foreign:?}");
        // Nor can it sign anybody in.
        let answer =
            ask_with_body(&replica, Method::POST, "/api/v2/session", foreign, Some(json!({"key": made}))).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (403, None));
        // A key of its own is no cookie.
        let with_key = [foreign, &[("x-api-key", made.as_str())]].concat();
        assert_eq!(create(&with_key).await.status, 201);
    }
    for own in [&[][..], &[("sec-fetch-site", "same-origin")], &[("origin", host.as_str())]] {
        assert_eq!(create(own).await.status, 201, "{own:?}");
    }
    let tasks: i64 = sqlx::query_scalar("select count(*) from tasks").fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(tasks, 7);
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_a_service_that_is_open_on_this_machine() {
    let (world, replica) = World::with_replica().await;
    let foreign = [("origin", "https://evil.example")];
    let body = json!({"username": "nasa"});
    let answer = ask_with_body(&replica, Method::POST, &format!("{V1}/create_task"), &foreign, Some(body)).await;
    assert!(answer.error(403).contains("another origin"));
    // What a page may not read otherwise, it may not read by a WebSocket.
    let path = "/api/v2/runs/01990000-0000-7000-8000-000000000000/events/ws";
    let refused = connect_async(handshake(&replica, path, foreign[0])).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 403);
    let tasks: i64 = sqlx::query_scalar("select count(*) from tasks").fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(tasks, 0);
}

#[tokio::test]
async fn wrong_keys_are_looked_at_ten_times_a_minute_and_right_ones_always() {
    let world = World::new().await;
    let made = key(&world, "k", "read", &[]).await;
    let replica = world.replica(&[]).await;
    for n in 0..10 {
        let wrong = ig_tracking::keys::FreshKey::generate().text;
        let answer = match n % 2 {
            0 => tasks(&replica, &wrong).await,
            _ => sign_in(&replica, &wrong).await,
        };
        assert_eq!(problem(&answer, 401)["type"], "/api/v2/problems/unauthorized");
    }
    let answer = tasks(&replica, "igt_nonsense").await;
    assert_eq!(problem(&answer, 429)["type"], "/api/v2/problems/too-many-requests");
    assert!((1..=6).contains(&answer.header("retry-after").unwrap().parse::<u32>().unwrap()));
    tasks(&replica, &made).await.ok();
    sign_in(&replica, &made).await.ok();
    // Whoever shows nothing guesses nothing.
    for _ in 0..12 {
        replica.get("/tasks").await.error(401);
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let world = World::new().await;
    let made = key(&world, "limited", "read", &["--rate", "1"]).await;
    let other = key(&world, "other", "read", &[]).await;
    let replica = world.replica(&[("IGT_RATE_LIMIT", "100000")]).await;
    let first = tasks(&replica, &made).await;
    first.ok();
    assert_eq!(first.header("ratelimit"), Some(r#""key";r=9;t=1"#));
    assert_eq!(first.header("ratelimit-policy"), Some(r#""key";q=10;w=10"#));
    let mut taken = 1;
    let refused = eventually("the key has used its allowance", async || {
        let answer = tasks(&replica, &made).await;
        taken += u32::from(answer.status == StatusCode::OK);
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(taken >= 10, "{taken}");
    problem(&refused, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.header("ratelimit").unwrap().starts_with(r#""key";r=0;t="#));
    // In version 1's own words, too; and nobody else's key is kept waiting.
    let of_version_1 = eventually("version 1 refuses", async || {
        let answer = ask(&replica, Method::GET, &format!("{V1}/tasks"), &made).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(of_version_1.error(429).contains("try again in 1 s"));
    let other = tasks(&replica, &other).await;
    other.ok();
    assert_eq!(other.header("ratelimit-policy"), Some(r#""key";q=1000000;w=10"#));
}

#[tokio::test]
async fn the_last_use_of_a_key_is_noted() {
    let world = World::new().await;
    let made = key(&world, "k", "read", &[]).await;
    let replica = world.replica(&[]).await;
    let used = async || -> Option<f64> {
        sqlx::query_scalar("select extract(epoch from now() - last_used_at)::float8 from api_keys")
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    assert_eq!(used().await, None);
    tasks(&replica, &made).await.ok();
    let age = eventually("its use is noted", used).await;
    assert!((0.0..60.0).contains(&age), "{age}");
}

#[tokio::test]
async fn keys_that_are_known_hold_while_the_database_is_away_and_no_other_is_let_in() {
    let world = World::new().await;
    let made = key(&world, "k", "read", &[]).await;
    let proxy = Proxy::before(&world.database.url).await;
    let url = proxy.url(&world.database.url);
    let replica = Started::new(&url, &world.instagram.url, &[PATIENT]).listening().await;
    assert_eq!(ask(&replica, Method::GET, "/metrics", &made).await.status, 200);
    proxy.refuse();
    proxy.cut();
    eventually("the database is away", async || (tasks(&replica, &made).await.status == 503).then_some(())).await;
    assert_eq!(ask(&replica, Method::GET, "/metrics", &made).await.status, 200);
    assert_eq!(ask_with(&replica, Method::GET, "/metrics", &[]).await.status, 401);
    // One that may have been made a moment ago is neither known nor unknown.
    let unknown = ig_tracking::keys::FreshKey::generate().text;
    assert_eq!(ask(&replica, Method::GET, "/metrics", &unknown).await.status, 503);
}

#[tokio::test]
async fn what_takes_something_away_or_gives_a_right_is_kept_with_its_author() {
    let world = World::new().await;
    let admin = key(&world, "admin", "admin", &[]).await;
    let run = key(&world, "run", "run", &["--expires-in", "90d"]).await;
    let replica = world.replica(&[]).await;
    for task in ["one", "two"] {
        let body = json!({"task_id": task, "username": "nasa", "kind": "reel"});
        let headers = [("x-api-key", run.as_str())];
        let created = ask_with_body(&replica, Method::POST, "/api/v2/tasks", &headers, Some(body)).await;
        assert_eq!(created.status, 201);
    }
    let headers = [("x-api-key", run.as_str()), ("x-request-id", "told-once")];
    assert_eq!(ask_with(&replica, Method::DELETE, "/api/v2/tasks/one", &headers).await.status, 204);
    ask_with(&replica, Method::DELETE, &format!("{V1}/task/two"), &headers).await.ok();
    problem(&ask_with(&replica, Method::DELETE, "/api/v2/tasks/two", &headers).await, 404);
    let path = format!("/api/v2/keys/{}", id(&run));
    assert_eq!(ask(&replica, Method::DELETE, &path, &admin).await.status, 204);
    let database = [("DATABASE_URL", world.database.url.as_str())];
    for act in ["disable", "enable"] {
        let done = call(&["credentials", act, "guest", "--reason", "a test"], &database).finished().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    let list = async |query: &str| ask(&replica, Method::GET, &format!("/api/v2/audit{query}"), &admin).await.ok();
    let all = list("").await;
    let told: Vec<(&str, &str)> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| (act["act"].as_str().unwrap(), act["object"].as_str().unwrap()))
        .collect();
    let expected = [
        ("credentials.enable", "guest"),
        ("credentials.disable", "guest"),
        ("keys.revoke", id(&run)),
        ("tasks.delete", "two"),
        ("tasks.delete", "one"),
        ("keys.create", id(&run)),
        ("keys.create", id(&admin)),
    ];
    assert_eq!(told, expected);
    let items = all["items"].as_array().unwrap();
    assert!(items[0]["who"].as_str().unwrap().starts_with("cli:"), "{all}");
    assert_eq!((&items[2]["who"], &items[2]["address"]), (&json!(id(&admin)), &json!("127.0.0.1")));
    for deleted in &items[3..5] {
        assert_eq!((&deleted["who"], &deleted["request_id"]), (&json!(id(&run)), &json!("told-once")));
        assert_eq!(deleted["details"], json!({"kind": "reel", "username": "nasa"}));
    }
    assert_eq!(items[6]["details"]["scope"], "admin");

    let objects = |page: &Value| page["items"].as_array().unwrap().iter().map(|act| act["audit_id"].clone()).collect();
    let ids: Vec<Value> = objects(&all);
    let mut paged: Vec<Value> = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page = list(&query).await;
        paged.extend(objects(&page) as Vec<Value>);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=3&cursor={cursor}");
    }
    assert_eq!(paged, ids);
    let count = async |query: &str| list(query).await["items"].as_array().unwrap().len();
    assert_eq!(count("?act=tasks.delete").await, 2);
    assert_eq!(count(&format!("?who={}", id(&run))).await, 2);
    let at = items[3]["at"].as_str().unwrap();
    assert_eq!((count(&format!("?since={at}")).await, count(&format!("?until={at}")).await), (4, 3));
    for bad in ["?act=", "?since=today", "?cursor=x", "?colour=red", "?limit=0"] {
        problem(&ask(&replica, Method::GET, &format!("/api/v2/audit{bad}"), &admin).await, 400);
    }
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_at_the_command_line() {
    let world = World::new().await;
    let database = [("DATABASE_URL", world.database.url.as_str())];
    let keys = async |arguments: &[&str]| call(&[&["keys"], arguments].concat(), &database).finished().await;
    assert!(keys(&["list"]).await.stdout.contains("no key was made yet"));
    assert_eq!(keys(&["list", "--json"]).await.stdout, "[]\n");
    let made = key(&world, "ci runner", "run", &["--expires-in", "90d", "--rate", "5"]).await;
    let taken = keys(&["create", "--name", "ci runner", "--scope", "read"]).await;
    assert_eq!((taken.code, taken.stdout.as_str()), (Some(1), ""));
    assert!(taken.stderr.contains("choose another name"), "{taken:?}");
    let table = keys(&["list"]).await.stdout;
    for part in [id(&made), "ci runner", "run", "live", "5/s"] {
        assert!(table.contains(part), "{table}");
    }
    let listed: Value = serde_json::from_str(&keys(&["list", "--json"]).await.stdout).unwrap();
    assert_eq!(listed[0]["key_id"], id(&made));
    assert!(!listed.to_string().contains("secret"), "{listed}");
    let again = [keys(&["revoke", "ci runner"]).await, keys(&["revoke", id(&made)]).await];
    assert!(again[0].stdout.contains("is revoked") && again[1].stdout.contains("revoked before"), "{again:?}");
    let unknown = keys(&["revoke", "ci runner"]).await;
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("keys list"), "{unknown:?}");
    // Its name is free again.
    key(&world, "ci runner", "read", &[]).await;
    for (bad, words) in [
        (&["--name", "", "--scope", "read"][..], "1 to 63"),
        (&["--name", "a/b", "--scope", "read"], "1 to 63"),
        (&["--name", "a", "--scope", "root"], "admin"),
        (&["--name", "a", "--scope", "read", "--expires-in", "soon"], "12h"),
        (&["--name", "a", "--scope", "read", "--rate", "0"], "--rate"),
        (&["--name", "a"], "--scope"),
    ] {
        let refused = keys(&[&["create"], bad].concat()).await;
        assert_eq!(refused.code, Some(2), "{bad:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_ask_with_a_key_where_the_setting_names_them() {
    let world = World::new().await;
    let made = key(&world, "k", "read", &[]).await;
    let replica = world.replica(&[("IGT_CORS_ORIGINS", "https://app.example,http://localhost:3000")]).await;
    let preflight = async |replica: &Replica, origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "DELETE")];
        ask_with(replica, Method::OPTIONS, "/api/v2/tasks/t", &headers).await
    };
    let allowed = preflight(&replica, "https://app.example").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("DELETE"));
    assert_eq!(preflight(&replica, "https://evil.example").await.header("access-control-allow-origin"), None);
    for path in ["/api/v2/tasks", "/codvid-ai/ig-tracking/tasks"] {
        let headers = [("origin", "https://app.example"), ("x-api-key", made.as_str())];
        let answer = ask_with(&replica, Method::GET, path, &headers).await;
        answer.ok();
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for header in ["RateLimit", "ETag", "Location", "Link", "X-Request-Id", "Retry-After"] {
            assert!(exposed.contains(header), "{exposed}");
        }
    }
    // What is refused can be read as well.
    let refused = ask_with(&replica, Method::GET, "/api/v2/tasks", &[("origin", "https://app.example")]).await;
    problem(&refused, 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://app.example"));

    let any = world.replica(&[("IGT_CORS_ORIGINS", "*")]).await;
    assert_eq!(preflight(&any, "https://whoever.example").await.header("access-control-allow-origin"), Some("*"));
    let closed = world.replica(&[]).await;
    let answer = preflight(&closed, "https://app.example").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (401, None));
    assert_eq!(answer.header("vary"), None);
}

#[tokio::test]
async fn answers_say_what_browsers_must_not_do_with_them() {
    let (_world, replica) = World::with_replica().await;
    for path in ["/api/v2/tasks", "/api/v2/nothing", "/docs/", "/openapi.json", "/metrics", "/codvid-ai/ig-tracking/no"]
    {
        let answer = replica.ask(Method::GET, path, None).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
    }
    let by_tls = ask_with(&replica, Method::GET, "/api/v2/tasks", &[("x-forwarded-proto", "https")]).await;
    assert_eq!(by_tls.header("strict-transport-security"), Some("max-age=63072000"));
    // Version 1's own answers stay as they are.
    assert_eq!(replica.get("/tasks").await.header("content-security-policy"), None);
}

#[tokio::test]
async fn a_request_whose_address_or_head_is_too_long_is_refused() {
    let (_world, replica) = World::with_replica().await;
    let path = |bytes: usize| format!("/api/v2/tasks?username={}", "x".repeat(bytes - "/api/v2/tasks?username=".len()));
    problem(&replica.ask(Method::GET, &path(8192), None).await, 400);
    let told = problem(&replica.ask(Method::GET, &path(8193), None).await, 414);
    assert_eq!(told["type"], "/api/v2/problems/uri-too-long");
    assert!(replica.get(&format!("/task_status/{}", "x".repeat(8192))).await.error(414).contains("8192"));
    for head in [format!("X-Long: {}\r\n", "x".repeat(70_000)), "X-Many: 1\r\n".repeat(101)] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n");
        let mut stream = replica.connect().await;
        // It need not read to the end of what it refuses.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer[..read]));
    }
    replica.ask(Method::GET, "/healthz", None).await.ok();
}

#[tokio::test]
async fn a_client_that_takes_too_long_over_the_head_of_a_request_is_cut_off() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_HEAD_SECONDS", "1")]).await;
    for begun in [
        &b""[..],
        b"P",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut stream = replica.connect().await;
        stream.write_all(begun).await.unwrap();
        let mut answer = Vec::new();
        // To its end: a connection that stays open would keep this waiting.
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "still open after {:?}", String::from_utf8_lossy(begun));
        assert_eq!(answer.starts_with(b"HTTP/1.1 200 "), begun.ends_with(b"\r\n\r\n"), "{begun:?}");
    }
}
