//! Version 1, frozen: a file under `golden/` for each answer in each case. Fields may be added to an answer, and then
//! to its file; nothing that is there may change.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it golden` writes the files anew. What differs from run to run stands there as a
//! placeholder of its type (`<unix seconds>`, `<count>`); what does not have that type stays as it is, and so differs.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::harness::{Answer, World, eventually, snapshot};

/// As many posts as fit one page, so that every run has the same events.
const ONE_PAGE: [(&str, &str); 1] = [("IGT_MAX_POSTS", "6")];

/// Polls fast, for runs that wait.
const BRISK: [(&str, &str); 3] = [("IGT_POLL_MS", "50"), ("IGT_RETRY_BASE_MS", "10"), ("IGT_MAX_ATTEMPTS", "2")];

#[tokio::test]
async fn create_task() {
    let (_world, replica) = World::with_replica().await;
    let create = async |body: Value| replica.post_json("/create_task", &body).await;
    golden("create_task", &create(json!({"username": "nasa", "task_id": "task_123"})).await);
    golden("create_task_again", &create(json!({"username": "nasa", "task_id": "task_123"})).await);
    golden("create_task_generated_id", &create(json!({"username": "nasa"})).await);
    golden("create_task_generated_id", &create(json!({"username": "nasa", "task_id": null})).await);
    golden("create_task_conflict", &create(json!({"username": "esa", "task_id": "task_123"})).await);
    for other_form in ["@NASA", " nasa ", "https://www.instagram.com/nasa/", "http://instagram.com/Nasa?hl=en"] {
        golden("create_task_again", &create(json!({"username": other_form, "task_id": "task_123"})).await);
    }
    // Fields of a later client are no error.
    golden("create_task_again", &create(json!({"username": "nasa", "task_id": "task_123", "colour": 1})).await);
}

#[tokio::test]
async fn create_reel_task() {
    let (_world, replica) = World::with_replica().await;
    let create = async |body: Value| replica.post_json("/create_reel_task", &body).await;
    golden("create_reel_task", &create(json!({"username": "@nasa", "task_id": "reel.1"})).await);
    golden("create_reel_task", &create(json!({"username": "nasa", "task_id": "reel.1"})).await);
    golden("create_reel_task_generated_id", &create(json!({"username": "nasa"})).await);
    // The same account as another kind of task is another target.
    let profile = replica.post_json("/create_task", &json!({"username": "nasa", "task_id": "reel.1"})).await;
    golden("create_task_conflict_of_kind", &profile);
}

#[tokio::test]
async fn a_task_without_an_id_is_given_a_version_7_uuid() {
    let (_world, replica) = World::with_replica().await;
    let answer = replica.post_json("/create_task", &json!({"username": "nasa"})).await.ok();
    let id: Uuid = answer["task_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let details = replica.get(&format!("/task_details/{id}")).await.ok();
    assert_eq!(details["response"]["task_id"], answer["task_id"]);
}

#[tokio::test]
async fn tasks() {
    let (world, replica) = World::with_replica().await;
    golden("tasks_empty", &replica.get("/tasks").await);
    world.instagram.hold("listed.now", 0).await;
    replica.create("create_task", "a", "listed.never").await;
    world.scrape(&replica, "b", "listed.done").await;
    replica.create("create_reel_task", "c", "listed.now").await;
    replica.post("/force_scrape_reel/c").await.ok();
    golden("tasks", &replica.get("/tasks").await);
    golden("tasks_page", &replica.get("/tasks?limit=1&offset=1").await);
    for (odd, limit, offset) in [
        ("limit=0&offset=-1", 1, 0),
        ("limit=5000&offset=x", 1000, 0),
        ("limit=&offset=", 1000, 0),
        ("offset=9", 1000, 9),
    ] {
        let page = replica.get(&format!("/tasks?{odd}")).await.ok();
        assert_eq!((&page["limit"], &page["offset"], &page["total"]), (&json!(limit), &json!(offset), &json!(3)));
    }
    world.instagram.let_go("listed.now").await;
}

#[tokio::test]
async fn task_details() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "profile", "detailed.anna").await;
    replica.create("create_reel_task", "reel", "detailed.bert").await;
    golden("task_details_never_scraped", &replica.get("/task_details/profile").await);
    golden("task_details_reel_never_scraped", &replica.get("/task_details/reel").await);
    world.scrape(&replica, "profile", "detailed.anna").await;
    golden("task_details_profile", &replica.get("/task_details/profile").await);
    replica.post("/force_scrape_reel/reel").await.ok();
    world.ended(&replica, "reel").await;
    golden("task_details_reel", &replica.get("/task_details/reel").await);
    golden("task_details_unknown", &replica.get("/task_details/nobody").await);

    world.scrape(&replica, "gone", "missing.detailed").await;
    golden("task_details_failed", &replica.get("/task_details/gone").await);
}

#[tokio::test]
async fn delete_task() {
    let (world, replica) = World::with_replica().await;
    let before = world.scrape(&replica, "t", "erased.anna").await;
    golden("delete_task", &replica.delete("/task/t").await);
    golden("delete_task_unknown", &replica.delete("/task/t").await);
    golden("delete_task_unknown", &replica.delete("/task/never-there").await);
    replica.get("/task_details/t").await.error(404);
    assert_eq!(replica.get("/tasks").await.ok()["total"], 0);
    // Its history stays, and it lives again where it is created with the same target.
    let status = async || replica.get("/task_status/t?logs_count=100").await.ok()["response"].clone();
    assert_eq!(status().await, before);
    golden(
        "create_task_deleted_with_other_target",
        &replica.post_json("/create_task", &json!({"username": "esa", "task_id": "t"})).await,
    );
    replica.create("create_task", "t", "erased.anna").await;
    assert_eq!(status().await, before);
    assert_eq!(replica.get("/task_details/t").await.ok()["response"]["status"], "completed");
    replica.post("/force_scrape/t").await.ok();
    assert_eq!(world.ended(&replica, "t").await["status"], "completed");
}

#[tokio::test]
async fn force_scrape() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "profile", "forced.anna").await;
    replica.create("create_reel_task", "reel", "forced.anna").await;
    world.instagram.hold("forced.anna", 0).await;
    golden("force_scrape", &replica.post("/force_scrape/profile").await);
    golden("force_scrape_busy", &replica.post("/force_scrape/profile").await);
    golden("force_scrape_unknown", &replica.post("/force_scrape/nobody").await);
    golden("force_scrape_of_a_reel_task", &replica.post("/force_scrape/reel").await);
    golden("force_scrape_reel", &replica.post("/force_scrape_reel/reel").await);
    golden("force_scrape_busy", &replica.post("/force_scrape_reel/reel").await);
    golden("force_scrape_unknown", &replica.post("/force_scrape_reel/nobody").await);
    golden("force_scrape_reel_of_a_profile_task", &replica.post("/force_scrape_reel/profile").await);
    world.instagram.let_go("forced.anna").await;
    world.ended(&replica, "profile").await;
    world.ended(&replica, "reel").await;
    // A body, as some clients always send one, is not looked at.
    golden("force_scrape", &replica.post_json("/force_scrape/profile", &json!({})).await);
}

#[tokio::test]
async fn cancel() {
    let world = World::new().await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    golden("cancel_unknown", &clerk.post("/cancel/task_123").await);
    clerk.create("create_task", "task_123", "cancelled.anna").await;
    golden("cancel_not_processing", &clerk.post("/cancel/task_123").await);
    clerk.post("/force_scrape/task_123").await.ok();
    golden("cancel", &clerk.post("/cancel/task_123").await);
    golden("cancel", &clerk.post("/cancel/task_123").await);
    golden("task_status_cancelled_in_the_queue", &clerk.get("/task_status/task_123").await);

    world.instagram.hold("cancelled.anna", 1).await;
    clerk.post("/force_scrape/task_123").await.ok();
    let worker = world.replica(&[]).await;
    world.instagram.holds_one("cancelled.anna").await;
    golden("cancel_running", &worker.post("/cancel/task_123").await);
    world.ended(&clerk, "task_123").await;
    // A body, as some clients always send one, is not looked at.
    golden("cancel", &clerk.post_json("/cancel/task_123", &json!({})).await);
    world.instagram.let_go("cancelled.anna").await;
    world.scrape(&worker, "task_123", "cancelled.anna").await;
    golden("cancel_not_processing", &clerk.post("/cancel/task_123").await);
}

#[tokio::test]
async fn task_status_without_a_run() {
    let (_world, replica) = World::with_replica().await;
    golden("task_status_unknown", &replica.get("/task_status/task_123").await);
    replica.create("create_task", "task_123", "nasa").await;
    golden("task_status_unknown", &replica.get("/task_status/task_123").await);
}

#[tokio::test]
async fn task_status_of_a_run_that_waits_for_a_hand_or_is_in_one() {
    let world = World::new().await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    world.instagram.hold("watched.anna", 1).await;
    clerk.create("create_task", "t", "watched.anna").await;
    clerk.post("/force_scrape/t").await.ok();
    golden("task_status_queued", &clerk.get("/task_status/t").await);
    let worker = world.replica(&[]).await;
    world.instagram.holds_one("watched.anna").await;
    golden("task_status_active", &worker.get("/task_status/t").await);
    world.instagram.let_go("watched.anna").await;
}

#[tokio::test]
async fn task_status_of_a_run_that_is_throttled() {
    let (world, replica) = World::with_replica().await;
    let fault = json!({"fault": "throttled", "endpoint": "feed", "after": 1, "retry_after_seconds": 3600});
    world.instagram.fault("waiting.anna", fault).await;
    replica.create("create_task", "t", "waiting.anna").await;
    replica.post("/force_scrape/t").await.ok();
    let waiting = eventually("the run waits", async || {
        let status = replica.get("/task_status/t").await;
        (status.ok()["response"]["latest_event"]["event_type"] == "rate_limited").then_some(status)
    });
    golden("task_status_waiting", &waiting.await);
    replica.post("/force_scrape/t").await.error(409);
    // A run that waits is stopped at once.
    replica.delete("/task/t").await.ok();
    world.ended(&replica, "t").await;
    golden("task_status_cancelled", &replica.get("/task_status/t").await);
}

#[tokio::test]
async fn task_status_of_a_run_that_has_ended() {
    let world = World::new().await;
    let replica = world.replica(&[&ONE_PAGE[..], &BRISK[..]].concat()).await;
    world.scrape(&replica, "completed", "ended.anna").await;
    golden("task_status_completed", &replica.get("/task_status/completed").await);
    world.scrape_reels(&replica, "reels", "ended.anna").await;
    golden("task_status_completed_reel", &replica.get("/task_status/reels").await);

    world.scrape(&replica, "partial", "private.ended").await;
    golden("task_status_partial", &replica.get("/task_status/partial").await);
    world.scrape(&replica, "failed", "missing.ended").await;
    golden("task_status_failed", &replica.get("/task_status/failed").await);
    world.scrape(&replica, "broken", "broken.ended").await;
    golden("task_status_failed_after_retries", &replica.get("/task_status/broken").await);
}

#[tokio::test]
async fn logs_are_the_latest_so_many_oldest_first() {
    let (world, replica) = World::with_replica().await;
    let whole = world.scrape(&replica, "t", "counted.anna").await;
    let all = whole["logs"].as_array().unwrap();
    assert!(all.len() > 5, "{whole:#}");
    for (query, wanted) in [
        ("", 10),
        ("?logs_count=5", 5),
        ("?logs_count=0", 1),
        ("?logs_count=-5", 1),
        ("?logs_count=999", 100),
        ("?logs_count=100", 100),
        ("?logs_count=abc", 10),
        ("?logs_count=", 10),
        ("?logs_count=1&logs_count=7", 1),
    ] {
        let status = replica.get(&format!("/task_status/t{query}")).await.ok()["response"].clone();
        let logs = status["logs"].as_array().unwrap();
        assert_eq!(logs[..], all[all.len() - wanted.min(all.len())..], "{query}");
        assert_eq!(status["requested_logs_count"], logs.len(), "{query}");
        assert_eq!(status["logs_count"], all.len(), "{query}");
        assert_eq!(&status["latest_event"], logs.last().unwrap(), "{query}");
    }
}

#[tokio::test]
async fn more_than_a_hundred_logs_are_counted_and_a_hundred_are_told() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "talkative.anna").await;
    // As a run leaves them that met a lot.
    let more = "with run as (update runs set last_seq = last_seq + 150 where task_id = 't' returning run_id, last_seq)
                insert into events (run_id, seq, at, level, event_type, message, fields)
                select run_id, n, now(), 'info', 'posts_fetched', 'Page ' || n, '{\"message\": \"not this\"}'
                from run, generate_series(last_seq - 149, last_seq) n";
    sqlx::query(more).execute(&world.database.pool).await.unwrap();
    let status = replica.get("/task_status/t?logs_count=100").await.ok()["response"].clone();
    let total = status["logs_count"].as_i64().unwrap();
    assert!(total > 150);
    assert_eq!(status["requested_logs_count"], 100);
    let messages: Vec<&str> =
        status["logs"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect();
    let expected: Vec<String> = (total - 99..=total).map(|n| format!("Page {n}")).collect();
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn times_are_whole_seconds_of_the_databases_clock() {
    let (world, replica) = World::with_replica().await;
    let now = async || -> i64 {
        let now = "select floor(extract(epoch from now()))::bigint";
        sqlx::query_scalar(now).fetch_one(&world.database.pool).await.unwrap()
    };
    let before = now().await;
    let status = world.scrape(&replica, "t", "timely.anna").await;
    let details = replica.get("/task_details/t").await.ok()["response"].clone();
    let after = now().await;
    let listed = replica.get("/tasks").await.ok()["response"][0].clone();

    let mut times = vec![&status["started_at"], &status["updated_at"], &status["finished_at"]];
    times.extend([&details["created_at"], &details["target_profile_data"]["last_scraped_at"]]);
    times.extend([&listed["created_at"], &listed["updated_at"]]);
    times.extend(status["logs"].as_array().unwrap().iter().map(|event| &event["timestamp"]));
    for time in times {
        assert!((before..=after).contains(&time.as_i64().unwrap()), "{time} is not in {before}..={after}");
    }
    let stamps: Vec<i64> =
        status["logs"].as_array().unwrap().iter().map(|event| event["timestamp"].as_i64().unwrap()).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert!(status["started_at"].as_i64() <= status["finished_at"].as_i64());
}

#[test]
fn every_golden_file_belongs_to_a_test() {
    let this_file = include_str!("golden.rs");
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(this_file.contains(&format!("\"{name}\"")), "no test asks for {}", path.display());
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden")
}

/// Compares an answer's status and normalised body with the file of this name, or writes the file anew.
fn golden(name: &str, answer: &Answer) {
    let found = json!({"status": answer.status.as_u16(), "body": normalised(&answer.json())});
    let found = format!("{found:#}\n");
    let path = folder().join(format!("{name}.json"));
    snapshot("version 1 is frozen, and this answer has changed", &path, &found);
}

/// What a field holds that differs from run to run.
#[derive(Clone, Copy)]
enum Varies {
    UnixSeconds,
    Rfc3339,
    Uuid,
    Count,
    Milliseconds,
    Seconds,
    Digits,
    Text,
    Flag,
}

impl Varies {
    /// The placeholder, where the value is of this type.
    fn placeholder(self, value: &Value) -> Option<&'static str> {
        let is_count = value.as_u64().is_some();
        let is_number = value.as_f64().is_some_and(|number| number >= 0.0);
        let text = value.as_str();
        match self {
            Self::UnixSeconds => (value.as_i64()? > 1_000_000_000).then_some("<unix seconds>"),
            Self::Rfc3339 => chrono::DateTime::parse_from_rfc3339(text?).is_ok().then_some("<RFC 3339 time>"),
            Self::Uuid => text?.parse::<Uuid>().is_ok().then_some("<uuid>"),
            Self::Count => is_count.then_some("<count>"),
            Self::Milliseconds => is_number.then_some("<milliseconds>"),
            Self::Seconds => is_number.then_some("<seconds>"),
            Self::Digits => text?.bytes().all(|byte| byte.is_ascii_digit()).then_some("<digits>"),
            Self::Text => text.is_some().then_some("<text>"),
            Self::Flag => value.is_boolean().then_some("<true or false>"),
        }
    }
}

/// Fields that differ from run to run, wherever they stand.
const VARYING: &[(&str, Varies)] = &[
    ("task_id", Varies::Uuid),
    ("run_id", Varies::Uuid),
    ("timestamp", Varies::UnixSeconds),
    ("created_at", Varies::UnixSeconds),
    ("updated_at", Varies::UnixSeconds),
    ("started_at", Varies::UnixSeconds),
    ("finished_at", Varies::UnixSeconds),
    ("last_scraped_at", Varies::UnixSeconds),
    ("taken_at", Varies::UnixSeconds),
    ("resume_at", Varies::Rfc3339),
    ("duration_ms", Varies::Milliseconds),
    ("duration_seconds", Varies::Seconds),
    ("retry_after_s", Varies::Count),
    ("followers_count", Varies::Count),
    ("following_count", Varies::Count),
    ("posts_count", Varies::Count),
    ("likes_count", Varies::Count),
    ("comments_count", Varies::Count),
    ("plays_count", Varies::Count),
    ("views_count", Varies::Count),
    ("reels_count", Varies::Count),
    ("scraped_reels_count", Varies::Count),
    ("instagram_id", Varies::Digits),
    ("full_name", Varies::Text),
    ("biography", Varies::Text),
    ("category", Varies::Text),
    ("external_url", Varies::Text),
    ("profile_pic_url", Varies::Text),
    ("is_verified", Varies::Flag),
];

/// Fields of a post, and which of them may be null from one post to the next.
const VARYING_IN_POSTS: &[(&str, Varies)] = &[
    ("shortcode", Varies::Text),
    ("seq", Varies::Count),
    ("url", Varies::Text),
    ("media_type", Varies::Text),
    ("is_reel", Varies::Flag),
    ("is_pinned", Varies::Flag),
    ("likes_hidden", Varies::Flag),
    ("caption", Varies::Text),
    ("display_url", Varies::Text),
];
const NULLABLE_IN_POSTS: [&str; 6] =
    ["caption", "duration_seconds", "display_url", "likes_count", "plays_count", "views_count"];

/// Fields of an event that tell the world's numbers.
const VARYING_IN_EVENTS: &[(&str, Varies)] = &[("done", Varies::Count), ("total", Varies::Count)];

/// The same with placeholders for all that differs from run to run.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normalised).collect();
            // Posts are alike, and how many there are of them is the world's doing: one stands for all.
            items.dedup_by(|item, before| item == before && item.get("shortcode").is_some());
            items.into()
        }
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.clone(), normalised_field(object, name, value))).collect()
        }
        other => other.clone(),
    }
}

fn normalised_field(object: &Map<String, Value>, name: &str, value: &Value) -> Value {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+(\.\d+)?").unwrap());
    let (is_event, is_post) = (object.contains_key("event_type"), object.contains_key("shortcode"));
    if is_event && name == "message" {
        return json!(NUMBER.replace_all(value.as_str().unwrap_or_default(), "<n>"));
    }
    let mut tables = vec![VARYING];
    tables.extend(is_post.then_some(VARYING_IN_POSTS));
    tables.extend(is_event.then_some(VARYING_IN_EVENTS));
    let varies = tables.into_iter().flatten().find(|(known, _)| *known == name).map(|(_, varies)| *varies);
    if is_post && NULLABLE_IN_POSTS.contains(&name) {
        let known = value.is_null() || varies.is_some_and(|varies| varies.placeholder(value).is_some());
        return if known { json!(format!("<{name} or null>")) } else { value.clone() };
    }
    match varies.and_then(|varies| varies.placeholder(value)) {
        Some(placeholder) => json!(placeholder),
        None => normalised(value),
    }
}
