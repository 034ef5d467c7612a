//! How a run lives: it starts at once, goes on after a crash, waits, is handed over, and is never two.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Replica, World, assert_sound, event, event_types, eventually};

/// A replica that polls and retries fast, so that tests about waiting are not long.
const BRISK: [(&str, &str); 3] = [("IGT_LEASE_SECONDS", "1"), ("IGT_POLL_MS", "50"), ("IGT_RETRY_BASE_MS", "10")];

/// A lease that a busy machine does not lose by itself.
const STEADY: [(&str, &str); 2] = [("IGT_LEASE_SECONDS", "4"), ("IGT_POLL_MS", "50")];

#[tokio::test]
async fn a_scrape_is_answered_while_it_goes_on_in_the_background() {
    let (world, replica) = World::with_replica().await;
    world.instagram.hold("answered.anna", 1).await;
    replica.create("create_task", "t", "answered.anna").await;
    let answer = replica.post("/force_scrape/t").await.ok();
    assert_eq!(answer["status"], "processing");
    world.instagram.holds_one("answered.anna").await;

    let status = replica.get("/task_status/t").await.ok();
    assert_eq!(status["response"]["is_processing"], true);
    assert_eq!(event_types(&status["response"])[..2], ["scrape_started", "account_fetched"]);

    world.instagram.let_go("answered.anna").await;
    let status = world.ended(&replica, "t").await;
    assert_eq!(status["status"], "completed");
}

#[tokio::test]
async fn a_run_that_finds_a_free_hand_is_never_queued() {
    let world = World::new().await;
    // No poll could help: the next one is a minute away.
    let replica = world.replica(&[("IGT_POLL_MS", "60000")]).await;
    let status = world.scrape(&replica, "t", "freehand.anna").await;
    assert_eq!(event(&status, "scrape_started")["queued"], false);
    let run = run_of(&world.database.pool, "t").await;
    assert_eq!((run.lease, run.attempt), (1, 1));
    assert_eq!(status["status"], "completed");
}

#[tokio::test]
async fn a_thousand_starts_at_once_over_two_replicas_are_one_run() {
    let world = World::new().await;
    let (one, other) = (world.replica(&[]).await, world.replica(&[]).await);
    world.instagram.hold("crowd.anna", 0).await;
    one.create("create_task", "crowd", "crowd.anna").await;

    let starts =
        (0..1000).map(|n| if n % 2 == 0 { &one } else { &other }).map(|replica| replica.post("/force_scrape/crowd"));
    let answers = futures_util::future::join_all(starts).await;
    let started = answers.iter().filter(|answer| answer.status == 200).count();
    let busy = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((started, busy), (1, 999));
    let message = answers.iter().find(|answer| answer.status == 409).unwrap().error(409);
    assert_eq!(message, "Task is already being processed");

    world.instagram.let_go("crowd.anna").await;
    world.ended(&other, "crowd").await;
    assert_eq!(count(&world.database.pool, "select count(*) from runs").await, 1);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_run_is_taken_up_after_a_kill_and_goes_on_where_it_stopped() {
    let world = World::new().await;
    let doomed = world.replica(&BRISK).await;
    // The account and three pages are through when the fourth is held.
    world.instagram.hold("killed.anna", 4).await;
    doomed.create("create_task", "t", "killed.anna").await;
    doomed.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("killed.anna").await;
    let before = doomed.get("/task_status/t?logs_count=100").await.ok()["response"].clone();
    doomed.kill().await;
    world.instagram.let_go("killed.anna").await;

    let replica = world.replica(&BRISK).await;
    let status = world.ended(&replica, "t").await;
    assert_eq!(status["status"], "completed");
    // The whole story stands in one log: what was there before the kill, and what came after.
    let (told, earlier) = (status["logs"].as_array().unwrap(), before["logs"].as_array().unwrap());
    assert_eq!(told[..earlier.len()], earlier[..]);
    assert_eq!(told[earlier.len()]["event_type"], "run_resumed");
    assert_eq!(told[earlier.len()]["after"], "lost_worker");
    assert_eq!(status["started_at"], before["started_at"]);

    // No page was read twice, no post is there twice.
    let pages: Vec<_> =
        told.iter().filter(|event| event["event_type"] == "posts_fetched").map(|event| &event["page"]).collect();
    assert_eq!(pages, [1, 2, 3, 4, 5]);
    let cursors: Vec<_> =
        answered(&world, "killed.anna").await.into_iter().map(|request| request["cursor"].clone()).collect();
    assert_eq!(cursors.len(), cursors.iter().map(Value::to_string).collect::<HashSet<_>>().len(), "{cursors:?}");
    assert_eq!(count(&world.database.pool, "select count(*) from media").await, 60);
    assert_eq!(count(&world.database.pool, "select count(*) from media_snapshots").await, 60);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_reel_run_survives_a_kill_at_every_one_of_its_requests() {
    let world = World::new().await;
    let username = "everywhere.anna";
    // How many requests an undisturbed run makes, and what it finds.
    let replica = world.replica(&BRISK).await;
    let undisturbed = world.scrape_reels(&replica, "calm", username).await;
    let requests = world.instagram.requests(username).await.len() as u64;
    replica.kill().await;

    let mut replica = world.replica(&BRISK).await;
    replica.create("create_reel_task", "t", username).await;
    for step in 0..requests {
        world.instagram.hold(username, step).await;
        replica.post("/force_scrape_reel/t").await.ok();
        world.instagram.holds_one(username).await;
        replica.kill().await;
        world.instagram.let_go(username).await;
        replica = world.replica(&BRISK).await;
        let status = world.ended(&replica, "t").await;
        assert_eq!(status["status"], "completed", "killed at request {step}: {status:#}");
        assert_eq!(event(&status, "reels_processed")["total"], event(&undisturbed, "reels_processed")["total"]);
        assert_sound(&world.database.pool).await;
    }
}

#[tokio::test]
async fn a_zombie_that_lost_its_lease_writes_nothing_more() {
    let world = World::new().await;
    let zombie = world.replica(&BRISK).await;
    world.instagram.hold("zombie.anna", 2).await;
    zombie.create("create_task", "t", "zombie.anna").await;
    zombie.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("zombie.anna").await;
    zombie.signal(Signal::SIGSTOP);

    // Another replica takes the run up, and is held at the same gate under the next lease.
    let heir = world.replica(&BRISK).await;
    let pool = &world.database.pool;
    eventually("the run has a new lease", async || (run_of(pool, "t").await.lease == 2).then_some(())).await;
    zombie.signal(Signal::SIGCONT);
    world.instagram.let_go("zombie.anna").await;

    let status = world.ended(&heir, "t").await;
    assert_eq!(status["status"], "completed");
    let types = event_types(&status);
    for once in ["scrape_started", "run_resumed", "account_fetched", "profile_data_updated", "scrape_completed"] {
        assert_eq!(types.iter().filter(|event_type| **event_type == once).count(), 1, "{once} in {types:?}");
    }
    // The zombie itself has noticed, and works on.
    eventually("the zombie lets go", async || {
        zombie
            .log()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("let go of the run")))
            .then_some(())
    })
    .await;
    let counted = zombie.ask(Method::GET, "/metrics", None).await.text;
    assert!(counted.lines().any(|line| line == "igt_leases_lost_total 1"), "{counted}");
    assert_sound(pool).await;
    assert_eq!(world.scrape(&zombie, "t2", "after.zombie.anna").await["status"], "completed");
}

#[tokio::test]
async fn a_run_queued_on_a_replica_without_hands_is_worked_by_another() {
    let world = World::new().await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    clerk.create("create_task", "t", "queued.anna").await;
    clerk.post("/force_scrape/t").await.ok();
    let waiting = clerk.get("/task_status/t").await.ok()["response"].clone();
    assert_eq!(waiting["is_processing"], true);
    assert_eq!(waiting["latest_event"]["queued"], true);

    let worker = world.replica(&[]).await;
    assert_eq!(world.ended(&clerk, "t").await["status"], "completed");
    drop(worker);
}

#[tokio::test]
async fn a_full_replica_queues_and_goes_on_in_the_order_of_the_requests() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_CONCURRENCY", "1")]).await;
    world.instagram.hold("order.0", 0).await;
    for n in 0..4 {
        replica.create("create_task", &format!("order-{n}"), &format!("order.{n}")).await;
        replica.post(&format!("/force_scrape/order-{n}")).await.ok();
    }
    world.instagram.holds_one("order.0").await;
    world.instagram.let_go("order.0").await;
    for n in 0..4 {
        assert_eq!(world.ended(&replica, &format!("order-{n}")).await["status"], "completed");
    }
    let order: Vec<String> = sqlx::query_scalar("select task_id from runs order by finished_at")
        .fetch_all(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(order, ["order-0", "order-1", "order-2", "order-3"]);
}

#[tokio::test]
async fn a_throttled_run_waits_as_long_as_it_was_told_and_goes_on() {
    let world = World::new().await;
    let replica = world.replica(&BRISK).await;
    let fault = json!({"fault": "throttled", "endpoint": "feed", "after": 1, "times": 1, "retry_after_seconds": 1});
    world.instagram.fault("patient.anna", fault).await;
    let status = world.scrape(&replica, "t", "patient.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let waited = event(&status, "rate_limited");
    assert_eq!(waited["http_status"], 429);
    assert_eq!(waited["endpoint"], "feed");
    assert_eq!(waited["reason"], "rate_limited");
    assert!(waited["resume_at"].is_string());
    assert_eq!(event(&status, "run_resumed")["after"], "wait");
    let gap: f64 = sqlx::query_scalar(
        "select extract(epoch from r.at - w.at)::float8 from events w join events r using (run_id)
         where w.event_type = 'rate_limited' and r.event_type = 'run_resumed'",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert!(gap >= 1.0, "it waited only {gap} s");
}

#[tokio::test]
async fn a_failing_upstream_is_tried_again_so_often_and_no_more() {
    let world = World::new().await;
    let replica = world.replica(&[&BRISK[..], &[("IGT_MAX_ATTEMPTS", "3")]].concat()).await;
    let status = world.scrape(&replica, "t", "broken.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("upstream_unavailable")));
    let retries = event_types(&status).iter().filter(|event_type| **event_type == "retry_scheduled").count();
    assert_eq!(retries, 2);
    let failed = event(&status, "scrape_failed");
    assert_eq!((&failed["http_status"], &failed["attempt"]), (&json!(500), &json!(3)));
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_RUN_DEADLINE_SECONDS", "1")]).await;
    world.instagram.hold("hung.anna", 2).await;
    let status = world.scrape(&replica, "t", "hung.anna").await;
    world.instagram.let_go("hung.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("partial"), &json!("deadline_exceeded")));
}

#[tokio::test]
async fn a_worker_that_dies_again_and_again_does_not_take_the_run_for_ever() {
    let world = World::new().await;
    let settings = [&BRISK[..], &[("IGT_MAX_ATTEMPTS", "2")]].concat();
    world.instagram.hold("poison.anna", 0).await;
    let mut replica = world.replica(&settings).await;
    replica.create("create_task", "t", "poison.anna").await;
    replica.post("/force_scrape/t").await.ok();
    for attempt in 1..=2 {
        let pool = &world.database.pool;
        eventually("the run is in hand", async || (run_of(pool, "t").await.attempt == attempt).then_some(())).await;
        replica.kill().await;
        replica = world.replica(&settings).await;
    }
    let status = world.ended(&replica, "t").await;
    world.instagram.let_go("poison.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("lease_lost")));
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn shutdown_lets_runs_finish_within_the_grace_time() {
    let (world, replica) = World::with_replica().await;
    let other = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    world.instagram.hold("graceful.anna", 2).await;
    replica.create("create_task", "t", "graceful.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("graceful.anna").await;
    replica.signal(Signal::SIGTERM);
    eventually("it is shutting down", async || said(&replica, "waiting for runs in hand").then_some(())).await;
    world.instagram.let_go("graceful.anna").await;
    assert_eq!(replica.ended().await, Some(0));
    let status = world.ended(&other, "t").await;
    assert_eq!(status["status"], "completed");
    assert!(!event_types(&status).contains(&"run_resumed"));
}

#[tokio::test]
async fn a_drain_that_lasts_longer_than_the_lease_keeps_its_runs() {
    let world = World::new().await;
    let replica = world.replica(&[&STEADY[..], &[("IGT_GRACE_SECONDS", "60")]].concat()).await;
    world.instagram.hold("drained.anna", 2).await;
    replica.create("create_task", "t", "drained.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("drained.anna").await;
    replica.signal(Signal::SIGTERM);
    eventually("it is shutting down", async || said(&replica, "waiting for runs in hand").then_some(())).await;
    // Another one would take the run up as soon as its lease passes.
    let other = world.replica(&STEADY).await;
    two_leases_pass(&world.database.pool).await;
    world.instagram.let_go("drained.anna").await;
    assert_eq!(replica.ended().await, Some(0));
    assert_eq!(world.ended(&other, "t").await["status"], "completed");
    assert_eq!(run_of(&world.database.pool, "t").await.lease, 1);
}

#[tokio::test]
async fn requests_that_take_all_connections_cost_no_run_its_lease() {
    let world = World::new().await;
    let replica = world.replica(&[&STEADY[..], &[("IGT_DB_CONNECTIONS", "2")]].concat()).await;
    world.instagram.hold("crowded.anna", 2).await;
    replica.create("create_task", "t", "crowded.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("crowded.anna").await;
    let other = world.replica(&STEADY).await;
    // Whoever creates a task waits for this lock, with a connection in hand.
    let mut lock = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table tasks in exclusive mode").execute(&mut *lock).await.unwrap();
    let crowd = async {
        loop {
            let body = json!({"username": "late.anna"});
            futures_util::future::join_all((0..8).map(|_| replica.post_json("/create_task", &body))).await;
        }
    };
    tokio::select! {
        () = crowd => {}
        () = two_leases_pass(&world.database.pool) => {}
    }
    lock.rollback().await.unwrap();
    world.instagram.let_go("crowded.anna").await;
    assert_eq!(world.ended(&other, "t").await["status"], "completed");
    assert_eq!(run_of(&world.database.pool, "t").await.lease, 1);
}

/// Waits until the leases of [`STEADY`] would have passed twice over, if nobody kept them.
async fn two_leases_pass(pool: &PgPool) {
    let began: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(pool).await.unwrap();
    eventually("two leases have passed", async || {
        let passed = "select now() > $1 + interval '8 s'";
        sqlx::query_scalar::<_, bool>(passed).bind(began).fetch_one(pool).await.unwrap().then_some(())
    })
    .await;
}

#[tokio::test]
async fn shutdown_hands_over_what_does_not_finish_and_spends_no_attempt() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_GRACE_SECONDS", "0")]).await;
    world.instagram.hold("handed.anna", 2).await;
    replica.create("create_task", "t", "handed.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("handed.anna").await;
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.ended().await, Some(0));
    let run = run_of(&world.database.pool, "t").await;
    assert_eq!((run.state.as_str(), run.attempt), ("queued", 0));
    world.instagram.let_go("handed.anna").await;

    let heir = world.replica(&[]).await;
    let status = world.ended(&heir, "t").await;
    assert_eq!(status["status"], "completed");
    let types = event_types(&status);
    let at = types.iter().position(|event_type| *event_type == "run_handed_over").unwrap();
    assert_eq!(types[at + 1], "run_resumed");
    assert_eq!(run_of(&world.database.pool, "t").await.attempt, 1);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn deleting_a_task_stops_its_run_and_keeps_what_was_found() {
    let (world, replica) = World::with_replica().await;
    world.instagram.hold("dismissed.anna", 2).await;
    replica.create("create_task", "t", "dismissed.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("dismissed.anna").await;
    replica.delete("/task/t").await.ok();
    // The request to Instagram is still held: the run does not wait for it.
    let status = world.ended(&replica, "t").await;
    world.instagram.let_go("dismissed.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert_eq!(status["latest_event"]["event_type"], "scrape_cancelled");
    assert!(count(&world.database.pool, "select count(*) from media").await > 0);
    replica.get("/task_details/t").await.error(404);
    replica.post("/force_scrape/t").await.error(404);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_status_asked_of_any_replica_is_right_at_once() {
    let world = World::new().await;
    let (one, other) = (world.replica(&[]).await, world.replica(&[]).await);
    for n in 0..20 {
        let task = format!("t{n}");
        one.create("create_task", &task, "anywhere.anna").await;
        one.post(&format!("/force_scrape/{task}")).await.ok();
        let status = other.get(&format!("/task_status/{task}")).await.ok();
        assert!(status["response"]["logs_count"].as_i64().unwrap() >= 1);
        assert_eq!(status["response"]["logs"][0]["event_type"], "scrape_started");
    }
}

struct Run {
    state: String,
    lease: i64,
    attempt: i32,
}

async fn run_of(pool: &PgPool, task: &str) -> Run {
    let (state, lease, attempt) =
        sqlx::query_as("select state, lease, attempt from runs where task_id = $1 order by run_id desc limit 1")
            .bind(task)
            .fetch_one(pool)
            .await
            .unwrap();
    Run { state, lease, attempt }
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// The requests that Instagram answered.
async fn answered(world: &World, username: &str) -> Vec<Value> {
    world.instagram.requests(username).await.into_iter().filter(|request| request["status"] == 200).collect()
}

fn said(replica: &Replica, words: &str) -> bool {
    replica.log().iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(words)))
}
