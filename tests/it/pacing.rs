//! The pace that all replicas share: no credential is asked with more often than it may be, whoever dies and whoever is
//! started again; a source that fails again and again is left alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::credentials::{File, unique};
use crate::harness::{Replica, World, assert_sound, event_types, eventually};

/// No window of so many milliseconds holds more than the budget.
fn assert_within(calls: &[u64], budget: usize, window_ms: u64) {
    for (place, first) in calls.iter().enumerate().skip(budget) {
        let before = calls[place - budget];
        assert!(first - before >= window_ms, "{} requests within {} ms: {calls:?}", budget + 1, first - before);
    }
}

#[tokio::test]
async fn the_budget_holds_over_replicas_kills_and_restarts() {
    let world = World::new().await;
    let id = unique("paced");
    let file = File::of_sessions(&[("paced", &id)], "budget = 12, window_seconds = 2");
    let settings =
        [("IGT_CREDENTIALS", file.path()), ("IGT_LEASE_SECONDS", "2"), ("IGT_POLL_MS", "50"), ("IGT_MAX_POSTS", "24")];
    let mut replicas = [world.replica(&settings).await, world.replica(&settings).await];
    for n in 0..10 {
        let (replica, task) = (&replicas[n % 2], format!("budget{n}"));
        replica.create("create_task", &task, &format!("budget.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    // The pace outlives who kept to it.
    for (place, after) in [(0, 8), (1, 20)] {
        eventually("some were asked", async || (world.instagram.calls(&id).await.len() >= after).then_some(())).await;
        let doomed = std::mem::replace(&mut replicas[place], world.replica(&settings).await);
        doomed.kill().await;
    }
    for n in 0..10 {
        let status = world.ended(&replicas[0], &format!("budget{n}")).await;
        assert_eq!(status["status"], "completed", "{status:#}");
    }
    let calls = world.instagram.calls(&id).await;
    assert!(calls.len() >= 24, "{calls:?}");
    assert_within(&calls, 12, 2_000);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn requests_keep_the_gap_between_them_however_many_ask() {
    let world = World::new().await;
    let id = unique("gap");
    let file = File::of_sessions(&[("gap", &id)], "gap_ms = 150");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_MAX_POSTS", "12")]).await;
    for n in 0..6 {
        let task = format!("gap{n}");
        replica.create("create_task", &task, &format!("gap.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    for n in 0..6 {
        assert_eq!(world.ended(&replica, &format!("gap{n}")).await["status"], "completed");
    }
    let calls = world.instagram.calls(&id).await;
    let took = calls.last().unwrap() - calls[0];
    let least = 150 * (calls.len() as u64 - 1);
    // A request may be late by as much as a slot is kept for it.
    assert!(took + 500 >= least, "{} requests in {took} ms", calls.len());
}

#[tokio::test]
async fn a_run_whose_turn_is_far_gives_its_hand_back_and_says_until_when() {
    let world = World::new().await;
    let id = unique("far");
    let file = File::of_sessions(&[("far", &id)], "budget = 1, window_seconds = 600");
    let replica = world.replica(&[("IGT_CREDENTIALS", file.path()), ("IGT_CONCURRENCY", "1")]).await;
    for task in ["first", "second"] {
        replica.create("create_task", task, &format!("far.{task}")).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    let mut waits = Vec::new();
    for task in ["first", "second"] {
        let status = eventually("the run waits", async || {
            let status = replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok()["response"].clone();
            (status["status"] == "rate_limited").then_some(status)
        })
        .await;
        let event = crate::harness::event(&status, "rate_limited");
        assert_eq!((&event["cause"], &event["credential"]), (&json!("busy"), &json!("far")), "{event}");
        waits.push(event["retry_after_s"].as_u64().unwrap());
    }
    assert_eq!(world.instagram.calls(&id).await.len(), 1);
    // In the order of asking, one window after the other.
    waits.sort_unstable();
    assert!(waits[0] > 500 && waits[1] > waits[0] + 500, "{waits:?}");
}

#[tokio::test]
async fn a_source_that_fails_again_and_again_is_left_alone_and_asked_again_when_it_answers() {
    let world = World::new().await;
    let id = unique("storm");
    let file = File::of_sessions(&[("storm", &id)], "");
    let settings = [
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_BREAKER_FAILURES", "6"),
        ("IGT_BREAKER_SECONDS", "2"),
        ("IGT_RETRY_BASE_MS", "1"),
        ("IGT_MAX_ATTEMPTS", "50"),
        ("IGT_CONCURRENCY", "4"),
        ("IGT_POLL_MS", "20"),
    ];
    let (replica, other) = (world.replica(&settings).await, world.replica(&settings).await);
    let names: Vec<String> = (0..8).map(|n| format!("storm.n{n}")).collect();
    for (n, username) in names.iter().enumerate() {
        world.instagram.fault(username, json!({"fault": "broken"})).await;
        let replica = if n % 2 == 0 { &replica } else { &other };
        replica.create("create_task", username, username).await;
        replica.post(&format!("/force_scrape/{username}")).await.ok();
    }
    let opened = async || -> i32 {
        let opened = "select opened from circuits where source = 'web'";
        sqlx::query_scalar(opened).fetch_one(&world.database.pool).await.unwrap()
    };
    eventually("one request found that nothing is well yet", async || (opened().await >= 2).then_some(())).await;
    // Six that opened it, those that were on their way, and one for each time that it was tried again.
    let asked = world.instagram.calls(&id).await.len();
    assert!(asked <= 6 + 8 + 4, "{asked} requests");
    let counted = async |replica: &Replica| {
        let text = replica.ask(reqwest::Method::GET, "/metrics", None).await.text;
        text.lines().filter(|line| line.starts_with("igt_circuit_opened_total{")).count()
    };
    assert!(counted(&replica).await + counted(&other).await > 0);
    for username in &names {
        world.instagram.mend(username).await;
    }
    for username in &names {
        let status = world.ended(&replica, username).await;
        assert_eq!(status["status"], "completed", "{status:#}");
    }
    assert_eq!(opened().await, 0, "closed by the first answer");
}

/// What accounts of a name's beginning end as.
const ENDS: [(&str, &[(&str, Option<&str>)]); 12] = [
    ("", &[("completed", None)]),
    ("flaky.1", &[("completed", None)]),
    ("throttledonce.1", &[("completed", None)]),
    ("ghosted", &[("completed", None)]),
    ("asset", &[("completed", None)]),
    ("hidden", &[("completed", None)]),
    ("repeating", &[("completed", None)]),
    ("missing", &[("failed", Some("not_found"))]),
    ("private", &[("partial", Some("private"))]),
    ("agegated", &[("failed", Some("age_restricted"))]),
    ("broken", &[("failed", Some("upstream_unavailable"))]),
    ("renamed", &[("partial", Some("upstream_changed"))]),
];

#[tokio::test]
async fn a_world_of_200_accounts_under_faults_ends_as_it_should_and_no_credential_is_overspent() {
    const BUDGET: usize = 40;
    let world = World::new().await;
    let ids: BTreeMap<String, String> =
        ["a", "b", "c", "d", "e"].into_iter().map(|name| (name.to_owned(), unique("world"))).collect();
    let (dead, challenged) = (unique("dead-"), unique("challenged-"));
    let mut sessions: Vec<(&str, &str)> = ids.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    sessions.extend([("gone", dead.as_str()), ("stopped", challenged.as_str())]);
    let file = File::of_sessions(&sessions, &format!("budget = {BUDGET}, window_seconds = 2"));
    let settings = [
        ("IGT_CREDENTIALS", file.path()),
        ("IGT_CONCURRENCY", "12"),
        ("IGT_LEASE_SECONDS", "5"),
        ("IGT_POLL_MS", "50"),
        ("IGT_RETRY_BASE_MS", "20"),
        ("IGT_THROTTLE_SECONDS", "1"),
        ("IGT_BREAKER_SECONDS", "1"),
        ("IGT_MAX_ATTEMPTS", "4"),
        ("IGT_MAX_POSTS", "24"),
    ];
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(world.replica(&settings).await);
    }
    // Half of them are well, the others meet what chance has for them.
    let accounts: Vec<(String, usize)> = (0..200)
        .map(|n| (n, if rand::random_bool(0.5) { 0 } else { rand::random_range(0..ENDS.len()) }))
        .map(|(n, fault)| (format!("{}.w{n}", ENDS[fault].0).trim_start_matches('.').to_owned(), fault))
        .collect();
    let start = async |(n, (username, _)): (usize, &(String, usize))| {
        let replica = &replicas[n % 3];
        replica.create("create_task", username, username).await;
        replica.post(&format!("/force_scrape/{username}")).await.ok();
    };
    futures_util::future::join_all(accounts.iter().enumerate().map(start)).await;
    // Two of three die in the middle of it, and are started again.
    for (place, share) in [(0, 40), (1, 90)] {
        let ended = "select count(*) from runs where finished_at is not null";
        eventually("some have ended", async || {
            let ended: i64 = sqlx::query_scalar(ended).fetch_one(&world.database.pool).await.unwrap();
            (ended >= share).then_some(())
        })
        .await;
        let doomed = std::mem::replace(&mut replicas[place], world.replica(&settings).await);
        doomed.kill().await;
    }
    for (username, fault) in &accounts {
        let status: Value = world.ended(&replicas[2], username).await;
        let end = (status["status"].as_str().unwrap(), status["reason"].as_str());
        assert!(ENDS[*fault].1.contains(&end), "{username}: {end:?}, {:?}\n{status:#}", event_types(&status));
    }
    for (name, id) in &ids {
        let calls = world.instagram.calls(id).await;
        assert!(!calls.is_empty(), "{name} was used");
        assert_within(&calls, BUDGET, 2_000);
    }
    for id in [&dead, &challenged] {
        // Whoever was on its way when the first was turned away may come after it.
        let calls = world.instagram.calls(id).await.len();
        assert!((1..=36).contains(&calls), "{calls} requests with a session that is no good");
    }
    let out: Vec<String> =
        sqlx::query_scalar("select name || ' ' || reason from credentials where state = 'disabled' order by name")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(out, ["gone login_required", "stopped challenge_required"]);
    assert_sound(&world.database.pool).await;
}
