//! The examples of the document: each is an answer that the service gives, and all that has a body has one.
//!
//! With UPDATE_GOLDEN the answers are written to the file from which the service takes them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;

use super::fetched;
use crate::harness::machine::{project, python_with, run};
use crate::harness::{Answer, Proxy, Replica, Started, World, eventually, make_key};

/// Where they are kept.
const FILE: &str = "src/http/openapi/examples.json";

/// By operation, status and content type.
type Examples = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

#[tokio::test]
async fn every_answer_has_an_example_that_the_service_gives_and_its_schema_allows() {
    let scene = Scene::new().await;
    let document = fetched(&scene.replica, "/openapi.json").await.json();
    let mut given = shared(&scene).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let asked = Operation { method, path, said: operation };
            for (status, content_type) in bodies_of(operation) {
                let example = asked.example(&scene, &status, &content_type).await;
                let by_status = given.entry(asked.id().to_owned()).or_default();
                by_status.entry(status).or_default().insert(content_type, example);
            }
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty()) {
        std::fs::write(project(FILE), serde_json::to_string_pretty(&given).unwrap() + "\n").unwrap();
        return;
    }
    let kept: Examples = serde_json::from_str(&std::fs::read_to_string(project(FILE)).unwrap()).unwrap();
    alike(&json!(kept), &json!(given), "");
    // What is kept is what the document shows, and nothing in it is without.
    let mut validator = python_with("schemathesis");
    validator.arg(project("tests/document/examples.py"));
    let said = run(validator, &document.to_string()).await.ok();
    let shown: usize = said.trim().parse().unwrap_or_else(|_| panic!("{said}"));
    let known: usize = kept.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
    assert_eq!(shown, known, "examples that the document shows, and those that are kept");
}

/// The statuses of an operation whose answers have a body of their own, each with its content types.
fn bodies_of(operation: &Value) -> Vec<(String, String)> {
    let responses = operation["responses"].as_object().unwrap().iter();
    let bodies = responses.filter_map(|(status, response)| Some((status, response["content"].as_object()?)));
    bodies.flat_map(|(status, content)| content.keys().map(|kind| (status.clone(), kind.clone()))).collect()
}

/// A service that has something to tell of everything, and one whose database is away.
struct Scene {
    _world: World,
    replica: Replica,
    cut_off: Replica,
    proxy: Proxy,
    admin: String,
    /// May read, once a second.
    read: String,
    /// Runs by their tasks: `nasa-daily`, which went well, `failed`, `gone` (its log), and those that a worker has in hand: `busy`,
    /// `stopping`, `stopped`.
    runs: BTreeMap<&'static str, String>,
    /// A post whose caption was edited.
    edited: String,
}

/// The request that was done under a key.
const USED: (&str, &str) = ("idempotency-key", "used-before");

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let replica = world.replica(&[("IGT_SIGN_IN_FAILURES", "1"), ("IGT_MAX_POSTS", "6")]).await;
        let pool = &world.database.pool;
        let rows = std::fs::read_to_string(project("tests/analytics/history.sql")).unwrap();
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(pool).await.unwrap();
        let mut runs = BTreeMap::new();
        for (what, username) in [("nasa-daily", "nasa"), ("failed", "missing.examples"), ("gone", "gone.examples")] {
            world.scrape(&replica, what, username).await;
        }
        world.scrape(&replica, "edited", "edited.examples").await;
        let edited =
            "select shortcode from media join profiles using (profile_id) where username = 'edited.examples' limit 1";
        let edited: String = sqlx::query_scalar(edited).fetch_one(pool).await.unwrap();
        world.instagram.edit("edited.examples", json!({"captions": {(edited.as_str()): "Edited"}})).await;
        world.scrape(&replica, "edited", "edited.examples").await;
        for what in ["busy", "stopping", "stopped"] {
            let username = format!("{what}.examples");
            world.instagram.hold(&username, 0).await;
            replica.create("create_task", what, &username).await;
            replica.post(&format!("/force_scrape/{what}")).await.ok();
            world.instagram.holds_one(&username).await;
        }
        for what in ["nasa-daily", "failed", "gone", "busy", "stopping", "stopped"] {
            let run = "select run_id::text from runs where task_id = $1";
            runs.insert(what, sqlx::query_scalar(run).bind(what).fetch_one(pool).await.unwrap());
        }
        sqlx::query("delete from events where run_id = $1::uuid").bind(&runs["gone"]).execute(pool).await.unwrap();
        let admin = make_key(&world, "ops", "admin", &[]).await;
        let read = make_key(&world, "dashboard", "read", &["--rate", "1"]).await;
        let proxy = Proxy::before(&world.database.url).await;
        let cut_off = Started::new(&proxy.url(&world.database.url), &world.instagram.url, &[]).listening().await;
        let scene = Self { replica, cut_off, proxy, admin, read, runs, edited, _world: world };
        scene.get_ready().await;
        scene
    }

    async fn get_ready(&self) {
        let once = json!({"username": "nasa", "kind": "reel", "task_id": "once"});
        Asked::to("POST", "/api/v2/tasks").json(once).with(USED).answered(self, 201).await;
        let stopped = format!("/api/v2/runs/{}", self.runs["stopped"]);
        Asked::to("POST", &format!("{stopped}/cancel")).answered(self, 202).await;
        Asked::to("GET", &format!("{stopped}?wait=60")).answered(self, 200).await;
        self.proxy.refuse();
        self.proxy.cut();
        eventually("the database is away", async || {
            let answer = Asked::to("GET", "/api/v2/tasks").of_the_cut_off().answer(self).await;
            (answer.status == 503).then_some(())
        })
        .await;
    }
}

/// A request.
#[derive(Clone)]
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// Whose key it shows: `admin`, `read`, or none.
    key: Option<&'static str>,
    of_the_cut_off: bool,
}

impl Asked {
    fn to(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_uppercase(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: None, key: Some("admin"), of_the_cut_off: false }
    }

    fn with(mut self, (name, value): (&str, &str)) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn body(mut self, content_type: &str, body: String) -> Self {
        self.body = Some(body);
        self.with(("content-type", content_type))
    }

    fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    fn under(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    fn key(mut self, key: Option<&'static str>) -> Self {
        self.key = key;
        self
    }

    /// As a WebSocket begins.
    fn upgrading(self) -> Self {
        let asked = self.with(("connection", "upgrade")).with(("upgrade", "websocket"));
        asked.with(("sec-websocket-version", "13")).with(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
    }

    fn of_the_cut_off(mut self) -> Self {
        self.of_the_cut_off = true;
        self
    }

    async fn answer(&self, scene: &Scene) -> Answer {
        let replica = if self.of_the_cut_off { &scene.cut_off } else { &scene.replica };
        let method: Method = self.method.parse().unwrap();
        let mut request = replica.http.request(method, format!("{}{}", replica.address, self.path));
        if let Some(key) = self.key {
            request = request.header("x-api-key", if key == "read" { &scene.read } else { &scene.admin });
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    async fn answered(&self, scene: &Scene, status: u16) -> Answer {
        let answer = self.answer(scene).await;
        assert_eq!(answer.status.as_u16(), status, "{} {}: {}", self.method, self.path, answer.text);
        answer
    }

    /// The answer once more requests were made than the key may make.
    async fn answered_too_many(&self, scene: &Scene) -> Answer {
        eventually("there are too many requests", async || {
            let answer = self.answer(scene).await;
            (answer.status == 429).then_some(answer)
        })
        .await
    }
}

/// An answer's body as an example shows it; `None` where it is not there yet.
fn shown(content_type: &str, text: &str) -> Option<Value> {
    match content_type {
        "application/json" | "application/problem+json" => Some(serde_json::from_str(text).unwrap()),
        // As an EventSource hands it over.
        "text/event-stream" => {
            let frame = text.split("\n\n").find(|frame| frame.contains("data: "))?;
            let of = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
            Some(json!({"event": of("event: ").unwrap_or("message"), "id": of("id: "), "data": of("data: ")}))
        }
        // Of the metrics, which are many, those of the database.
        "text/plain" if text.starts_with('#') => {
            let lines: Vec<_> = text.lines().filter(|line| line.contains("igt_database_")).collect();
            Some(lines.join("\n").into())
        }
        _ => Some(text.into()),
    }
}

/// What nothing that a client does brings about.
fn fault(content_type: &str, path: &str, status: &str) -> Value {
    let words = match status {
        "503" => "The request took too long; try again in a moment",
        _ => "Internal error; the service's log has the cause under this answer's X-Request-Id",
    };
    match content_type {
        "application/json" => json!({"result": false, "message": words}),
        _ => json!({"type": "/api/v2/problems/internal-error", "title": "A fault of the service", "status": 500,
            "detail": words, "instance": path, "request_id": "2630020e-b4f5-4d08-af29-fff110ef81ca"}),
    }
}

/// The errors to which operations refer.
async fn shared(scene: &Scene) -> Examples {
    let tasks = || Asked::to("GET", "/api/v2/tasks");
    let new = || Asked::to("POST", "/api/v2/tasks").json(json!({"username": "nasa", "kind": "profile"}));
    let mut given = BTreeMap::new();
    for (name, answer) in [
        ("InvalidRequest", Asked::to("GET", "/api/v2/problems").under("colour=red").answered(scene, 400).await),
        ("Unauthorized", tasks().key(None).answered(scene, 401).await),
        ("Forbidden", new().key(Some("read")).answered(scene, 403).await),
        ("MethodNotAllowed", Asked::to("PUT", "/api/v2/tasks").answered(scene, 405).await),
        ("UriTooLong", tasks().under(&"a".repeat(9000)).answered(scene, 414).await),
        ("TooManyRequests", tasks().key(Some("read")).answered_too_many(scene).await),
        ("Unavailable", tasks().of_the_cut_off().answered(scene, 503).await),
    ] {
        given.insert(name.to_owned(), problem(shown(PROBLEM, &answer.text).unwrap()));
    }
    given.insert("InternalError".to_owned(), problem(fault(PROBLEM, "/api/v2/tasks", "500")));
    BTreeMap::from([("*".to_owned(), given)])
}

const MARCH: &str = "since=2025-03-01T00:00:00Z&until=2025-04-01T00:00:00Z";

const PROBLEM: &str = "application/problem+json";

fn problem(example: Value) -> BTreeMap<String, Value> {
    BTreeMap::from([(PROBLEM.to_owned(), example)])
}

/// An operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    said: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.said["operationId"].as_str().unwrap()
    }

    fn takes(&self, name: &str) -> bool {
        let parameters = self.said["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|one| one["in"] == "query" && one["name"] == name))
    }

    /// The path with what is there, or with what is not.
    fn address(&self, scene: &Scene, status: &str) -> String {
        let run = match (self.id(), status) {
            (_, "410") => "gone",
            ("runs.post_mortem", _) => "failed",
            ("runs.cancel", "200") => "stopped",
            ("runs.cancel", "202") => "stopping",
            ("runs.retry", "409") => "busy",
            _ => "nasa-daily",
        };
        let task = match (self.id(), status) {
            ("runs.start", "202") => "edited",
            ("runs.start", "409") => "busy",
            _ => "nasa-daily",
        };
        let of_history = |there| if self.path.contains("/analytics") { "account1" } else { there };
        let shortcode = if self.path.starts_with("/api/v2/posts") { &scene.edited } else { "a1p36" };
        let key_id = scene.read.split('_').nth(1).unwrap();
        let mut address = self.path.replace("{seq}", "2");
        for (name, there, nothing) in [
            ("{task_id}", task, "nobody"),
            ("{run_id}", &scene.runs[run], "01a20178-8408-732e-a18d-da46eb031805"),
            ("{shortcode}", shortcode, "nothing"),
            ("{username}", of_history("nasa"), "nobody.at.all"),
            ("{name}", "task-busy", "nothing"),
            ("{key_id}", key_id, "nobody"),
        ] {
            address = address.replace(name, if status == "404" { nothing } else { there });
        }
        address
    }

    /// What the service answers with this status.
    async fn example(&self, scene: &Scene, status: &str, content_type: &str) -> Value {
        let address = self.address(scene, status);
        let has_no_database = ["/healthz", "/metrics"].contains(&self.path);
        if status == "500" || (status == "503" && has_no_database) {
            return fault(content_type, &address, status);
        }
        let accepted = if content_type == PROBLEM { "application/json" } else { content_type };
        let asked = Asked::to(self.method, &address).with(("accept", accepted));
        let asked = self.asked(scene, status, asked);
        let wanted = status.parse().unwrap();
        // The board is told once older transactions of the cluster have ended.
        eventually("the answer is there", async || {
            let answer = match asked.key {
                Some("read") => asked.answered_too_many(scene).await,
                _ => asked.answered(scene, wanted).await,
            };
            let given = answer.header("content-type").unwrap_or_default();
            assert!(given.starts_with(content_type), "{} {}: {given}", asked.method, asked.path);
            shown(content_type, &answer.text)
        })
        .await
    }

    /// The request that is answered with this status.
    fn asked(&self, scene: &Scene, status: &str, asked: Asked) -> Asked {
        let wrong_key = || json!({"key": "igt_wrong"});
        let key = || json!({"key": scene.admin});
        match (self.id(), status) {
            ("access.sign_in", "200") => asked.json(key()).key(None),
            ("access.sign_in", "400") => asked.json(json!({})).key(None),
            // Of two wrong keys in a minute the second is not looked at.
            ("access.sign_in", "401" | "429") => asked.json(wrong_key()).key(None),
            ("access.sign_in", "403") => asked.json(key()).key(None).with(("origin", "https://elsewhere.example")),
            ("tasks.create", "200") => {
                asked.json(json!({"username": "nasa", "kind": "profile", "task_id": "nasa-daily"}))
            }
            ("tasks.create", "201") => {
                asked.json(json!({"username": "@nasa", "kind": "reel", "task_id": "nasa-reels"}))
            }
            ("tasks.create", "400") => asked.json(json!({"kind": "profile"})),
            ("tasks.create", "409") => {
                asked.json(json!({"username": "esa", "kind": "profile", "task_id": "nasa-daily"}))
            }
            ("tasks.create", "422") => asked.json(json!({"username": "esa", "kind": "profile"})).with(USED),
            ("tasks.change", "200" | "404") => asked.json(json!({"source": "web"})),
            ("tasks.change", "400") => asked.json(json!({"source": "rss"})),
            ("streams.log", "200") => asked.under("follow=false"),
            ("streams.board", "200") => asked.under("follow=false&history=1"),
            ("runs.start" | "runs.cancel" | "runs.retry", "400") => asked.json(json!({"now": true})),
            // A window in which something happened.
            ("profiles.analytics", "200") => asked.under(MARCH),
            ("profiles.analytics_posts", "200") => asked.under(&format!("{MARCH}&limit=1")),
            (_, "200") if self.takes("limit") => asked.under("limit=1"),
            (_, "400") => asked.under(if self.takes("limit") { "limit=0" } else { "colour=red" }),
            (_, "401") => asked.key(None),
            // A socket, which any page could open.
            (_, "403") => asked.key(None).with(("origin", "https://elsewhere.example")).upgrading(),
            ("streams.socket", "404") => asked.upgrading(),
            (_, "405") => Asked { method: "PUT".to_owned(), ..asked },
            (_, "406") => Asked { headers: Vec::new(), ..asked }.with(("accept", "image/png")),
            (_, "413") => asked.json(json!("a".repeat(70_000))),
            (_, "414") => asked.under(&"a".repeat(9000)),
            (_, "415") => asked.body("text/csv", "nasa,profile".to_owned()),
            (_, "422") => asked.with(USED),
            (_, "429") => asked.key(Some("read")),
            (_, "503") => asked.of_the_cut_off(),
            _ => asked,
        }
    }
}

/// Both have the same members of the same types. What may be null is so at times, and what a run tells depends on the run.
fn alike(one: &Value, other: &Value, path: &str) {
    match (one, other) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(one), Value::Object(other)) => {
            let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            let is_free = path.ends_with(".fields") || path.ends_with(".details");
            assert!(is_free || names(one) == names(other), "{path}: {:?} and {:?}; {HOW}", names(one), names(other));
            for (name, value) in one.iter().filter(|_| !is_free) {
                alike(value, &other[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for (one, other) in one.iter().zip(other).take(1) {
                alike(one, other, &format!("{path}[]"));
            }
        }
        _ => {
            let same = std::mem::discriminant(one) == std::mem::discriminant(other);
            assert!(same, "{path}: {one} and {other}; {HOW}");
        }
    }
}

const HOW: &str =
    "UPDATE_GOLDEN=1 takes over how it is answered now, and is asked twice: the service is built with the examples";
