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
    survives_a_kill_at_every_write("profile", "create_task", "force_scrape").await;
}

#[tokio::test]
async fn a_reel_run_survives_a_kill_at_every_write() {
    survives_a_kill_at_every_write("reel", "create_reel_task", "force_scrape_reel").await;
}

/// In the ordinary suite at some of them: so many of the writes are passed over between two.
const EVERY_DAY_STRIDE: u64 = 5;

async fn survives_a_kill_at_every_write(kind: &str, create: &str, route: &str) {
    let world = World::new().await;
    let heir = world.replica(&HEIR).await;
    let stride = setting("IGT_FAULT_STRIDE", EVERY_DAY_STRIDE);
    let mut tasks = Vec::new();
    let mut deaths = 0;
    // Both moments of a write where all are met; in turn where some are.
    let moments: &[&[Moment]] = match stride {
        1 => &[&[Moment::Before, Moment::After]],
        _ => &[&[Moment::Before], &[Moment::After]],
    };
    'writes: for (turn, nth) in (0..).step_by(stride as usize).enumerate() {
        for moment in moments[turn % moments.len()] {
            let task = format!("{kind}-{nth}-{moment:?}").to_lowercase();
            let username = with_many_posts(&world, &format!("w.{kind}.{nth}.{moment:?}").to_lowercase()).await;
            heir.create(create, &task, &username).await;
            tasks.push((task.clone(), *moment == Moment::Before && nth == 0));
            if !dies_at(&world, &task, route, nth, *moment).await {
                break 'writes;
            }
            deaths += 1;
        }
    }
    assert!(deaths * stride > 20, "only {deaths} writes were seen");
    for (task, never_began) in tasks {
        if never_began {
            heir.post(&format!("/{route}/{task}")).await.ok();
        }
        assert_whole(&world.ended(&heir, &task).await);
    }
    eprintln!("fault: kill -9 at {deaths} writes of a {kind} run: all completed");
    assert_no_transaction_open(&world.database.pool, Duration::from_secs(60)).await;
    assert_sound(&world.database.pool).await;
}

/// An account of this name or one like it whose posts fill all pages that a run reads: how many an account has changes
/// with the days, and one with few has few writes.
async fn with_many_posts(world: &World, name: &str) -> String {
    for n in 0.. {
        let username = format!("{name}.{n}");
        let posts = world.instagram.user(&username).await["edge_owner_to_timeline_media"]["count"].as_u64();
        if posts.is_some_and(|posts| posts >= 60) {
            return username;
        }
    }
    unreachable!("there is an account for every name")
}

/// Starts a run and kills its replica at this write of it; false where the run has no such write.
async fn dies_at(world: &World, task: &str, route: &str, nth: u64, moment: Moment) -> bool {
    let proxy = Proxy::before(&world.database.url).await;
    let url = proxy.url(&world.database.url);
    let doomed: Replica = Started::new(&url, &world.instagram.url, &DOOMED).listening().await;
    let caught = proxy.trap(writes_a_run, nth, moment);
    let start = doomed.http.post(format!("{}{}/{route}/{task}", doomed.address, crate::harness::V1)).send();
    let start = tokio::spawn(start);
    let caught = tokio::select! {
        caught = caught => Some(caught.unwrap()),
        _ = world.ended(&doomed, task) => None,
    };
    doomed.kill().await;
    // The connections of a process that died are closed by its machine.
    proxy.cut();
    start.abort();
    caught.is_some()
}

/// That all that there is was found: the posts that are asked for, and each reel among them.
fn assert_whole(status: &Value) {
    assert_eq!(status["status"], "completed", "{status:#}");
    let last = event(status, "scrape_completed");
    let there = last["posts_count"].as_u64().unwrap().min(60);
    assert_eq!(last["scraped_posts_count"], there, "{status:#}");
    assert_eq!(last["scraped_reels_count"], last["reels_count"], "{status:#}");
}
