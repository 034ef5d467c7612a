//! Cancelling a run: from any replica and from the command line, wherever the run stands, and once.

use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{World, event_types};
use crate::lives::assert_sound;

/// A replica that finds nothing out by itself within a test: neither by a look nor by a heartbeat.
const BLIND: [(&str, &str); 2] = [("IGT_POLL_MS", "60000"), ("IGT_LEASE_SECONDS", "3600")];

#[tokio::test]
async fn a_hand_that_backs_off_from_a_run_that_was_cancelled_meanwhile_ends_it() {
    let world = World::new().await;
    let replica = world.replica(&BLIND).await;
    let fault = json!({"fault": "throttled", "endpoint": "feed", "after": 1, "retry_after_seconds": 3600});
    world.instagram.fault("backing.anna", fault).await;
    world.instagram.hold("backing.anna", 2).await;
    replica.create("create_task", "t", "backing.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("backing.anna").await;
    // The hint is lost; the hand meets the flag only as it writes that it waits.
    mark_cancelled(&world.database.pool).await;
    world.instagram.let_go("backing.anna").await;

    let status = world.ended(&replica, "t").await;
    assert_eq!(status["reason"], "cancelled_by_client");
    assert!(event_types(&status).ends_with(&["rate_limited", "scrape_cancelled"]), "{status:#}");
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_hand_that_gives_back_a_run_that_was_cancelled_meanwhile_ends_it() {
    let world = World::new().await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    let replica = world.replica(&[&BLIND[..], &[("IGT_GRACE_SECONDS", "0")]].concat()).await;
    world.instagram.hold("giving.anna", 2).await;
    replica.create("create_task", "t", "giving.anna").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("giving.anna").await;
    mark_cancelled(&world.database.pool).await;
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.ended().await, Some(0));

    let status = clerk.get("/task_status/t").await.ok()["response"].clone();
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert!(event_types(&status).ends_with(&["run_handed_over", "scrape_cancelled"]), "{status:#}");
    world.instagram.let_go("giving.anna").await;
    assert_sound(&world.database.pool).await;
}

/// Marks the only run as a canceller does whose hint is lost.
async fn mark_cancelled(pool: &PgPool) {
    let marked = sqlx::query("update runs set cancel_requested_at = now()").execute(pool).await.unwrap();
    assert_eq!(marked.rows_affected(), 1);
}
