//! `kill -9` at the very statements that write: each of both pipelines, right before it and right after it.

use std::time::Duration;

use serde_json::Value;

use super::dice::setting;
use crate::harness::{Moment, Proxy, Replica, Started, World, assert_no_transaction_open, assert_sound, event};

/// The replica that dies: it works one run, and looks for no other.
const DOOMED: [(&str, &str); 4] =
    [("IGT_LEASE_SECONDS", "1"), ("IGT_POLL_MS", "60000"), ("IGT_CONCURRENCY", "1"), ("IGT_DB_CONNECTIONS", "4")];

/// The one that takes up what it left.
const HEIR: [(&str, &str); 4] =
    [("IGT_LEASE_SECONDS", "1"), ("IGT_POLL_MS", "50"), ("IGT_RETRY_BASE_MS", "10"), ("IGT_MAX_ATTEMPTS", "100")];

/// What is written beside the runs, when its time has come: the claim of another, the heartbeat, and what keeps the tables in
/// order.
const IN_ITS_OWN_TIME: [&str; 12] = [
    "skip locked",
    "as held (run_id, lease)",
    "run_summar",
    "run_hours",
    "request_hours",
    "event_days",
    "profile_days",
    "event_tallies",
    "account_rollups",
    "engagement_weeks",
    "reel_days",
    "run_archives",
];

/// A statement by which a run is written, or the end of a transaction that holds some.
fn writes_a_run(statement: &str, before: &[String]) -> bool {
    is_of_a_run(statement) || commits_a_run(statement, before)
}

/// The end of a transaction by which a run is written.
pub(super) fn commits_a_run(statement: &str, before: &[String]) -> bool {
    statement == "commit" && before.iter().any(|before| is_of_a_run(before))
}

fn is_of_a_run(statement: &str) -> bool {
    let has = |words: &&str| statement.contains(*words);
    ["insert into", "update runs", "update media_snapshots"].iter().any(has) && !IN_ITS_OWN_TIME.iter().any(has)
}

#[tokio::test]
async fn a_profile_run_survives_a_kill_at_every_write() {
    survives_a_kill_at_every_write("profile", "").await;
}

#[tokio::test]
async fn a_reel_run_survives_a_kill_at_every_write() {
    survives_a_kill_at_every_write("reel", "_reel").await;
}

/// In the ordinary suite at some of them: so many of the writes are passed over between two.
const EVERY_DAY_STRIDE: u64 = 5;

async fn survives_a_kill_at_every_write(kind: &str, infix: &str) {
    let stride = setting("IGT_FAULT_STRIDE", EVERY_DAY_STRIDE);
    let mut deaths = 0;
    // Both moments of a write where all are met; in turn where some are.
    let moments: &[&[Moment]] = match stride {
        1 => &[&[Moment::Before, Moment::After]],
        _ => &[&[Moment::Before], &[Moment::After]],
    };
    'writes: for (turn, nth) in (0..).step_by(stride as usize).enumerate() {
        for moment in moments[turn % moments.len()] {
            if !survives_a_kill(kind, infix, nth, *moment).await {
                break 'writes;
            }
            deaths += 1;
        }
    }
    assert!(deaths * stride > 20, "only {deaths} writes were seen");
    eprintln!("fault: kill -9 at {deaths} writes of a {kind} run: all completed");
}

/// Kills the replica that works a run at this write of it, and has another bring the run to its end; false where the run
/// has no such write. It happens in a database of its own: nobody takes the run from the first before it dies, and the
/// first finds no run of somebody else.
async fn survives_a_kill(kind: &str, infix: &str, nth: u64, moment: Moment) -> bool {
    let world = World::new().await;
    // Its posts fill all pages that a run reads: where there are few, there are few writes.
    let username = world.instagram.with_posts(&format!("w.{kind}.{nth}.{moment:?}").to_lowercase(), 60).await;
    let proxy = Proxy::before(&world.database.url).await;
    let url = proxy.url(&world.database.url);
    let doomed: Replica = Started::new(&url, &world.instagram.url, &DOOMED).listening().await;
    doomed.create(&format!("create{infix}_task"), "t", &username).await;
    let caught = proxy.trap(writes_a_run, nth, moment);
    let route = format!("/force_scrape{infix}/t");
    let start = doomed.http.post(format!("{}{}{route}", doomed.address, crate::harness::V1)).send();
    let start = tokio::spawn(start);
    let caught = tokio::select! {
        caught = caught => Some(caught.unwrap()),
        _ = world.ended(&doomed, "t") => None,
    };
    doomed.kill().await;
    // The connections of a process that died are closed by its machine.
    proxy.cut();
    start.abort();
    if caught.is_none() {
        return false;
    }
    let heir = world.replica(&HEIR).await;
    if nth == 0 && moment == Moment::Before {
        // The run never began.
        heir.post(&route).await.ok();
    }
    assert_whole(&world.ended(&heir, "t").await);
    assert_no_transaction_open(&world.database.pool, Duration::from_secs(60)).await;
    assert_sound(&world.database.pool).await;
    true
}

/// That all that there is was found: the posts that are asked for, and each reel among them.
fn assert_whole(status: &Value) {
    assert_eq!(status["status"], "completed", "{status:#}");
    let last = event(status, "scrape_completed");
    let there = last["posts_count"].as_u64().unwrap().min(60);
    assert_eq!(last["scraped_posts_count"], there, "{status:#}");
    assert_eq!(last["scraped_reels_count"], last["reels_count"], "{status:#}");
}
