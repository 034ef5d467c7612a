//! What those who run the service see of it: alive, ready, which version, metrics, logs without secrets.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::harness::{Answer, Replica, Started, World, eventually};

async fn ask(replica: &Replica, path: &str) -> Answer {
    replica.ask(Method::GET, path, None).await
}

#[tokio::test]
async fn it_tells_that_it_is_alive_and_ready_and_what_it_is() {
    let (_world, replica) = World::with_replica().await;
    assert_eq!(ask(&replica, "/healthz").await.ok(), json!({"status": "ok"}));
    assert_eq!(ask(&replica, "/readyz").await.ok(), json!({"status": "ready"}));
    let version = ask(&replica, "/version").await.ok();
    assert_eq!((&version["name"], &version["version"]), (&json!("ig-tracking"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(version["schema"].as_str().unwrap().parse::<u64>().unwrap() > 20_000_000_000_000);
    assert!(version["worker_id"].as_str().unwrap().parse::<Uuid>().is_ok());
}

#[tokio::test]
async fn it_is_not_ready_while_it_shuts_down() {
    let (_world, replica) = World::with_replica().await;
    // A request that is under way when the signal comes, and is finished after it.
    let mut stream = replica.connect().await;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    let address = replica.address.strip_prefix("http://").unwrap().to_owned();
    ask(&replica, "/healthz").await.ok();
    replica.signal(Signal::SIGTERM);
    eventually("it takes no more connections", async || TcpStream::connect(&address).await.is_err().then_some(()))
        .await;
    stream.write_all(b"Connection: close\r\n\r\n").await.unwrap();
    let answer = Answer::read(stream).await;
    assert_eq!(answer.error(503), "This replica is shutting down");
    assert_eq!(replica.ended().await, Some(0));
}

#[tokio::test]
async fn metrics_move_with_what_happens() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_MAX_ATTEMPTS", "2"), ("IGT_RETRY_BASE_MS", "10")]).await;
    let before = metrics(&replica).await;
    assert_eq!(before.value("igt_database_up", &[]), Some(1.0));
    assert_eq!(before.value("igt_runs_active", &[("state", "running")]), Some(0.0));
    assert_eq!(before.value("igt_queue_age_seconds", &[]), Some(0.0));
    assert_eq!(before.value("igt_runs_finished_total", &[("state", "succeeded"), ("reason", "none")]), None);

    world.instagram.hold("measured.anna", 1).await;
    replica.create("create_task", "t", "measured.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("measured.anna").await;
    assert_eq!(metrics(&replica).await.value("igt_runs_active", &[("state", "running")]), Some(1.0));
    world.instagram.let_go("measured.anna").await;
    world.ended(&replica, "t").await;
    world.scrape(&replica, "missing", "missing.measured").await;
    world.scrape(&replica, "broken", "broken.measured").await;
    replica.post("/force_scrape/nobody").await.error(404);

    // A run's end is counted a moment after it is committed.
    let failed = [("state", "failed"), ("reason", "upstream_unavailable")];
    let after = eventually("the last run is counted", async || {
        let metrics = metrics(&replica).await;
        metrics.value("igt_runs_finished_total", &failed).map(|_| metrics)
    })
    .await;
    for (name, labels, value) in [
        ("igt_runs_finished_total", &[("state", "succeeded"), ("reason", "none")][..], 1.0),
        ("igt_runs_finished_total", &[("state", "failed"), ("reason", "not_found")], 1.0),
        ("igt_runs_finished_total", &failed, 1.0),
        ("igt_runs_taken_up_total", &[("from", "queued")], 3.0),
        ("igt_runs_taken_up_total", &[("from", "waiting")], 1.0),
        ("igt_run_waits_total", &[("reason", "upstream_unavailable")], 1.0),
        ("igt_run_duration_seconds_count", &[], 3.0),
        ("igt_runs_active", &[("state", "queued")], 0.0),
        ("igt_runs_active", &[("state", "running")], 0.0),
        ("igt_runs_active", &[("state", "waiting")], 0.0),
        ("igt_queue_age_seconds", &[], 0.0),
    ] {
        assert_eq!(after.value(name, labels), Some(value), "{name} {labels:?}");
    }
    let route = "/codvid-ai/ig-tracking/force_scrape/{task_id}";
    let asked = |status| [("method", "POST"), ("route", route), ("status", status)];
    assert_eq!(after.value("igt_http_requests_total", &asked("200")), Some(3.0));
    assert_eq!(after.value("igt_http_requests_total", &asked("404")), Some(1.0));
    assert_eq!(after.value("igt_http_request_seconds_count", &asked("200")[..2]), Some(4.0));

    for work in ["status", "log", "start", "journal", "notify"] {
        let of = [("work", work)];
        let batches = after.value("igt_batch_requests_count", &of).unwrap();
        assert!(batches >= 1.0 && after.value("igt_batch_requests_sum", &of).unwrap() >= batches, "{work}");
        assert!(after.value("igt_batch_seconds_count", &of).unwrap() >= 1.0, "{work}");
    }
    let upstream = after.sum("igt_upstream_requests_total");
    assert_eq!(upstream, after.sum("igt_upstream_request_seconds_count"));
    let requests = world.instagram.requests("measured.anna").await.len()
        + world.instagram.requests("missing.measured").await.len()
        + world.instagram.requests("broken.measured").await.len();
    assert_eq!(upstream, requests as f64);
    for sample in after.0.iter().filter(|sample| sample.name == "igt_upstream_requests_total") {
        assert_eq!(sample.labels.keys().collect::<Vec<_>>(), ["endpoint", "outcome", "source"]);
    }
}

#[tokio::test]
async fn a_queue_that_nobody_works_grows_old() {
    let world = World::new().await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    clerk.create("create_task", "t", "old.queue.anna").await;
    clerk.post("/force_scrape/t").await.ok();
    let metrics = eventually("the queue has an age", async || {
        let metrics = metrics(&clerk).await;
        (metrics.value("igt_queue_age_seconds", &[])? > 0.0).then_some(metrics)
    })
    .await;
    assert_eq!(metrics.value("igt_runs_active", &[("state", "queued")]), Some(1.0));
}

#[tokio::test]
async fn paths_that_strangers_invent_do_not_make_new_series() {
    let (_world, replica) = World::with_replica().await;
    for n in 0..20 {
        ask(&replica, &format!("/wp-login-{n}.php")).await.error(404);
    }
    let metrics = metrics(&replica).await;
    let unknown = [("method", "GET"), ("route", "none"), ("status", "404")];
    assert_eq!(metrics.value("igt_http_requests_total", &unknown), Some(20.0));
    assert!(metrics.0.iter().all(|sample| !sample.labels.values().any(|value| value.contains("wp-login"))));
}

#[tokio::test]
async fn a_request_is_one_line_of_json() {
    let (_world, replica) = World::with_replica().await;
    let request = replica.http.get(format!("{}/codvid-ai/ig-tracking/task_details/nobody", replica.address));
    request.header("x-request-id", "told-once").send().await.unwrap();
    let of_request = || -> Vec<Value> {
        replica.log().into_iter().filter(|line| line["span"]["request_id"] == "told-once").collect()
    };
    eventually("the request is logged", async || (!of_request().is_empty()).then_some(())).await;
    ask(&replica, "/healthz").await.ok();
    eventually("the next one is", async || replica.log().iter().any(|line| line["path"] == "/healthz").then_some(()))
        .await;
    let lines = of_request();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((&line["level"], &line["method"], &line["status"]), (&json!("INFO"), &json!("GET"), &json!(404)));
    assert_eq!(line["path"], "/codvid-ai/ig-tracking/task_details/nobody");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).is_ok());
    // Every line is JSON.
    assert_eq!(replica.log().len(), replica.lines().len());
}

#[tokio::test]
async fn a_request_is_one_line_of_text() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_LOG_FORMAT", "text")]).await;
    let request = replica.http.get(format!("{}/codvid-ai/ig-tracking/tasks", replica.address));
    request.header("x-request-id", "told-once").send().await.unwrap();
    let line = eventually("the request is logged", async || {
        replica.lines().into_iter().find(|line| line.contains("told-once"))
    })
    .await;
    for part in [
        "INFO",
        "request_id=\"told-once\"",
        "method=\"GET\"",
        "path=\"/codvid-ai/ig-tracking/tasks\"",
        "status=200",
        "duration_ms=",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(!line.contains('\u{1b}'), "no colours where nobody looks: {line:?}");
}

#[tokio::test]
async fn a_path_cannot_forge_a_line_of_the_log() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_LOG_FORMAT", "text")]).await;
    let request = replica.http.get(format!("{}/a%0aWARN%20forged", replica.address));
    request.header("x-request-id", "forger").send().await.unwrap();
    eventually("the request is logged", async || {
        replica.lines().iter().any(|line| line.contains("forger")).then_some(())
    })
    .await;
    assert!(!replica.lines().iter().any(|line| line.starts_with("WARN")), "{:?}", replica.lines());
}

#[tokio::test]
async fn no_secret_is_in_the_log_however_much_is_logged() {
    let world = World::new().await;
    let options: PgConnectOptions = world.database.url.parse().unwrap();
    let url = options.password("hidden-password").to_url_lossy().to_string();
    let settings = [
        ("IGT_WEB_COOKIE", "sessionid=hidden-session; csrftoken=hidden-token"),
        ("IGT_LOG", "trace"),
        ("IGT_MAX_ATTEMPTS", "1"),
    ];
    let replica = Started::new(&url, &world.instagram.url, &settings).listening().await;
    assert_eq!(world.scrape(&replica, "t", "secretive.anna").await["status"], "completed");
    for trouble in ["broken.secretive", "truncated.secretive", "loggedout.secretive"] {
        world.scrape(&replica, trouble, trouble).await;
    }
    for line in replica.lines() {
        assert!(!line.contains("hidden-"), "{line}");
    }
}

/// One sample of the Prometheus text format.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

pub(crate) struct Metrics(Vec<Sample>);

impl Metrics {
    /// The value of the one sample with this name and just these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut found = self.0.iter().filter(|sample| sample.name == name && sample.labels == labels);
        let value = found.next().map(|sample| sample.value);
        assert!(found.next().is_none(), "{name} {labels:?} is there twice");
        value
    }

    /// The sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

pub(crate) async fn metrics(replica: &Replica) -> Metrics {
    let answer = ask(replica, "/metrics").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let typed: Vec<&str> =
        answer.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let samples: Vec<Sample> =
        answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
    for Sample { name, .. } in &samples {
        let family = |suffix| name.strip_suffix(suffix).is_some_and(|family| typed.contains(&family));
        assert!(
            typed.contains(&name.as_str()) || ["_bucket", "_sum", "_count"].into_iter().any(family),
            "{name} has no type"
        );
    }
    Metrics(samples)
}

/// `name{label="value",…} 1.5`; values of labels may hold commas, braces and escaped quotes.
fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = head.split_once('{').map_or((head, ""), |(name, rest)| (name, rest));
    let mut labels = BTreeMap::new();
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{line}")) {
                (_, '\\') => text.push(match chars.next().unwrap_or_else(|| panic!("{line}")).1 {
                    'n' => '\n',
                    other => other,
                }),
                (at, '"') => break at,
                (_, other) => text.push(other),
            }
        };
        assert!(labels.insert(label.trim_start_matches(',').to_owned(), text).is_none(), "{line}");
        rest = &after[end + 1..];
    }
    assert!(rest.is_empty() || rest == "}", "{line}");
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("{line}")) }
}
