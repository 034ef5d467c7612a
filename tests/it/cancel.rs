//! Cancelling a run: from any replica and from the command line, wherever the run stands, and once.

use std::time::Duration;

use ig_tracking::db::journal::{self, Entry, Transition};
use ig_tracking::db::runs::Reason;
use ig_tracking::db::{Lease, RunId, cancel};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::errors::hang_up;
use crate::harness::{Database, Finished, Replica, World, assert_sound, call, event_types, eventually};
use crate::schema::{claimed, entry};

/// A replica that only answers.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

/// A replica that finds nothing out by itself within a test: neither by a look nor by a heartbeat.
const BLIND: [(&str, &str); 2] = [("IGT_POLL_MS", "60000"), ("IGT_LEASE_SECONDS", "3600")];

#[tokio::test]
async fn a_run_of_another_replica_is_cancelled_and_does_not_wait_for_the_request_that_is_under_way() {
    let world = World::new().await;
    // Only a hint can tell this one in time.
    let worker = world.replica(&BLIND).await;
    let clerk = world.replica(&CLERK).await;
    start_held(&world, &worker, "t", "elsewhere.anna", 2).await;
    let answers = cancel_until_it_is(&clerk, "t").await;
    assert_eq!(answers[0], "cancelling");

    let status = status_of(&worker, "t").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert_eq!(status["latest_event"]["event_type"], "scrape_cancelled");
    assert_eq!(status["latest_event"]["scraped_posts_count"], 24);
    assert_eq!(count(&world.database.pool, "select count(*) from media").await, 24, "what was stored stays");
    assert_eq!(cancel_by(&worker, "t").await, "cancelled");

    // The task is free again, and so is the hand.
    clerk.post("/force_scrape/t").await.ok();
    world.instagram.let_go("elsewhere.anna").await;
    assert_eq!(world.ended(&clerk, "t").await["status"], "completed");
    clerk.post("/cancel/t").await.error(409);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_cancellation_of_which_no_hint_came_is_found_by_looking() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_POLL_MS", "50"), ("IGT_LEASE_SECONDS", "3600")]).await;
    start_held(&world, &replica, "t", "unhinted.anna", 2).await;
    mark_cancelled(&world.database.pool).await;
    assert_eq!(world.ended(&replica, "t").await["reason"], "cancelled_by_client");
    world.instagram.let_go("unhinted.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_run_that_no_hand_has_begun_is_cancelled_at_once_and_its_task_starts_again_at_once() {
    let world = World::new().await;
    let clerk = world.replica(&CLERK).await;
    clerk.create("create_task", "t", "unbegun.anna").await;
    clerk.post("/cancel/t").await.error(409);
    clerk.post("/force_scrape/t").await.ok();
    assert_eq!(cancel_by(&clerk, "t").await, "cancelled");
    let status = status_of(&clerk, "t").await;
    assert_eq!(event_types(&status), ["scrape_started", "scrape_cancelled"]);
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert_eq!(cancel_by(&clerk, "t").await, "cancelled");

    clerk.post("/force_scrape/t").await.ok();
    let _worker = world.replica(&[]).await;
    assert_eq!(world.ended(&clerk, "t").await["status"], "completed");
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_throttled_run_is_cancelled_or_deleted_at_once_while_all_hands_are_busy() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_CONCURRENCY", "1")]).await;
    for (task, username) in [("cancelled", "throttled.3600.cancelled"), ("deleted", "throttled.3600.deleted")] {
        replica.create("create_task", task, username).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
        eventually("the run waits", async || {
            (status_of(&replica, task).await["latest_event"]["event_type"] == "rate_limited").then_some(())
        })
        .await;
    }
    // They wait each for itself; what all ask with may be used again.
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    assert_eq!(call(&["credentials", "enable", "guest"], &settings).finished().await.code, Some(0));
    start_held(&world, &replica, "busy", "busy.with.another", 1).await;

    replica.delete("/task/deleted").await.ok();
    assert_eq!(cancel_by(&replica, "cancelled").await, "cancelled");
    for task in ["cancelled", "deleted"] {
        let status = status_of(&replica, task).await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
        assert_eq!(event_types(&status), ["scrape_started", "rate_limited", "scrape_cancelled"]);
    }
    replica.post("/cancel/deleted").await.error(404);
    let metrics = replica.ask(reqwest::Method::GET, "/metrics", None).await.text;
    let counted = "igt_runs_finished_total{state=\"cancelled\",reason=\"cancelled_by_client\"} 2";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    replica.post("/force_scrape/cancelled").await.ok();
    assert_eq!(status_of(&replica, "busy").await["is_processing"], true);
    assert_eq!(cancel_by(&replica, "cancelled").await, "cancelled");
    world.instagram.let_go("busy.with.another").await;
    world.ended(&replica, "busy").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn fifty_cancellations_at_once_over_two_replicas_are_one_end() {
    let world = World::new().await;
    let (one, other) = (world.replica(&CLERK).await, world.replica(&CLERK).await);
    let fifty = async |task: &str| -> Vec<String> {
        let replicas = (0..50).map(|n| if n % 2 == 0 { &one } else { &other });
        futures_util::future::join_all(replicas.map(|replica| cancel_by(replica, task))).await
    };
    one.create("create_task", "queued", "many.queued").await;
    one.post("/force_scrape/queued").await.ok();
    assert_eq!(fifty("queued").await, ["cancelled"; 50]);

    let worker = world.replica(&[]).await;
    start_held(&world, &worker, "running", "many.running", 1).await;
    let answers = fifty("running").await;
    assert!(answers.iter().all(|answer| ["cancelling", "cancelled"].contains(&answer.as_str())), "{answers:?}");
    assert_eq!(world.ended(&one, "running").await["status"], "cancelled");
    world.instagram.let_go("many.running").await;
    let ends = "select count(*) from events where event_type = 'scrape_cancelled'";
    assert_eq!(count(&world.database.pool, ends).await, 2);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_cancellation_that_races_with_the_end_is_the_end_or_comes_too_late() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_MAX_POSTS", "6")]).await;
    let clerk = world.replica(&CLERK).await;
    for n in 0..20 {
        let (task, username) = (format!("t{n}"), format!("racing.{n}"));
        start_held(&world, &replica, &task, &username, 0).await;
        let cancel = async {
            // Later each time: now before the end, now beside it, now after it.
            tokio::time::sleep(Duration::from_millis(n)).await;
            clerk.post(&format!("/cancel/{task}")).await
        };
        let (answer, ()) = futures_util::future::join(cancel, world.instagram.let_go(&username)).await;
        let ended = world.ended(&clerk, &task).await["status"].clone();
        match answer.status.as_u16() {
            409 => assert_eq!(ended, "completed", "{}", answer.text),
            _ if answer.ok()["status"] == "cancelled" => assert_eq!(ended, "cancelled"),
            _ => assert!(["cancelled", "completed"].contains(&ended.as_str().unwrap()), "{ended}"),
        }
        replica.post(&format!("/force_scrape/{task}")).await.ok();
        world.ended(&clerk, &task).await;
    }
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_cancelled_run_whose_replica_was_killed_is_ended_by_whoever_claims_it() {
    let world = World::new().await;
    let doomed = world.replica(&BLIND).await;
    start_held(&world, &doomed, "t", "bereaved.anna", 2).await;
    doomed.kill().await;
    // By a canceller that died itself.
    mark_cancelled(&world.database.pool).await;
    pass_the_lease(&world.database.pool).await;
    let heir = world.replica(&[]).await;
    let status = world.ended(&heir, "t").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert!(!event_types(&status).contains(&"run_resumed"), "{status:#}");
    world.instagram.let_go("bereaved.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_run_whose_replica_was_killed_is_cancelled_without_any_hand_once_its_lease_has_passed() {
    let world = World::new().await;
    let doomed = world.replica(&BLIND).await;
    let clerk = world.replica(&CLERK).await;
    start_held(&world, &doomed, "t", "orphaned.anna", 2).await;
    doomed.kill().await;
    assert_eq!(cancel_by(&clerk, "t").await, "cancelling");
    pass_the_lease(&world.database.pool).await;
    assert_eq!(cancel_by(&clerk, "t").await, "cancelled");
    let status = status_of(&clerk, "t").await;
    assert_eq!(status["latest_event"]["event_type"], "scrape_cancelled");
    assert_eq!(status["latest_event"]["scraped_posts_count"], 24);
    world.instagram.let_go("orphaned.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_canceller_that_dies_half_way_leaves_the_end_to_a_free_hand() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    replica.create("create_task", "t", "throttled.3600.half").await;
    replica.post("/force_scrape/t").await.ok();
    eventually("the run waits", async || {
        (status_of(&replica, "t").await["latest_event"]["event_type"] == "rate_limited").then_some(())
    })
    .await;
    let pool = &world.database.pool;
    let asked = cancel::ask(pool, only_run(pool).await).await.unwrap().unwrap();
    assert!(!asked.in_hand);
    assert_eq!(world.ended(&replica, "t").await["reason"], "cancelled_by_client");
    assert_sound(pool).await;
}

#[tokio::test]
async fn a_hand_that_backs_off_from_a_run_that_was_cancelled_meanwhile_ends_it() {
    let world = World::new().await;
    let replica = world.replica(&BLIND).await;
    let fault = json!({"fault": "throttled", "endpoint": "feed", "after": 1, "retry_after_seconds": 3600});
    world.instagram.fault("backing.anna", fault).await;
    start_held(&world, &replica, "t", "backing.anna", 2).await;
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
    let clerk = world.replica(&CLERK).await;
    let replica = world.replica(&[&BLIND[..], &[("IGT_GRACE_SECONDS", "0")]].concat()).await;
    start_held(&world, &replica, "t", "giving.anna", 2).await;
    mark_cancelled(&world.database.pool).await;
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.ended().await, Some(0));

    let status = status_of(&clerk, "t").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert!(event_types(&status).ends_with(&["run_handed_over", "scrape_cancelled"]), "{status:#}");
    world.instagram.let_go("giving.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_hand_that_dies_as_it_backs_off_from_a_cancelled_run_leaves_it_due() {
    let pool = Database::fresh().await.pool;
    let (run, other) = (claimed(&pool, "cancelled").await, claimed(&pool, "other").await);
    assert!(cancel::ask(&pool, run.run_id).await.unwrap().unwrap().in_hand);
    let backs_off = |run| Entry { transition: Transition::Wait(3600.0, Reason::RateLimited), ..entry(run, 1) };
    let written = journal::write(&pool, &[backs_off(&run), backs_off(&other)]).await.unwrap();
    assert_eq!(written.iter().filter(|written| written.cancel_requested).count(), 1);
    let due: Vec<String> =
        sqlx::query_scalar("select task_id from runs where claimable_at <= now()").fetch_all(&pool).await.unwrap();
    assert_eq!(due, ["cancelled"]);
}

#[tokio::test]
async fn a_canceller_ends_no_run_that_a_hand_has_and_a_hand_takes_no_end_for_its_own_word() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let mut asked = cancel::ask(&pool, run.run_id).await.unwrap().unwrap();
    let last_word = || vec![entry(&run, 1).events.remove(0)];
    assert!(asked.in_hand);
    assert!(cancel::end(&pool, &asked, &last_word()).await.unwrap().is_none(), "it is in a hand");
    pass_the_lease(&pool).await;
    asked = cancel::ask(&pool, run.run_id).await.unwrap().unwrap();
    for stale in [cancel::Asked { last_seq: 2, ..asked.clone() }, cancel::Asked { lease: Lease(7), ..asked.clone() }] {
        assert!(cancel::end(&pool, &stale, &last_word()).await.unwrap().is_none(), "{stale:?}");
    }
    assert_eq!(count(&pool, "select count(*) from events").await, 1);
    assert!(cancel::end(&pool, &asked, &last_word()).await.unwrap().unwrap().worked_seconds.is_some());
    assert!(cancel::end(&pool, &asked, &last_word()).await.unwrap().is_none(), "it has ended");
    assert!(cancel::ask(&pool, run.run_id).await.unwrap().is_none(), "it has ended");
    // The hand that had it comes back with an entry of the same place and length.
    let late = entry(&run, 1);
    assert!(journal::write(&pool, std::slice::from_ref(&late)).await.unwrap().is_empty());
    assert!(!journal::standing(&pool, run.run_id).await.unwrap().unwrap().holds(&late));
    assert_eq!(count(&pool, "select count(*) from events").await, 2);
}

#[tokio::test]
async fn clients_that_hang_up_leave_no_run_half_cancelled() {
    const TASKS: usize = 100;
    let world = World::new().await;
    let clerk = world.replica(&CLERK).await;
    for n in 0..TASKS {
        clerk.create("create_task", &format!("t{n}"), "impatient.anna").await;
        clerk.post(&format!("/force_scrape/t{n}")).await.ok();
    }
    for n in 0..TASKS {
        match n % 2 {
            0 => hang_up(&clerk, "POST", &format!("cancel/t{n}"), "", n).await,
            _ => hang_up(&clerk, "DELETE", &format!("task/t{n}"), "", n).await,
        }
    }
    let pool = &world.database.pool;
    let last = format!("t{}", TASKS - 2);
    eventually("the last request came through", async || (cancel_by(&clerk, &last).await == "cancelled").then_some(()))
        .await;
    eventually("no run is marked and goes on", async || {
        let halves = "select count(*) from runs where cancel_requested_at is not null and claimable_at is not null";
        (count(pool, halves).await == 0).then_some(())
    })
    .await;
    let cancelled = count(pool, "select count(*) from runs where state = 'cancelled'").await;
    assert!(cancelled > 1, "no cancellation came through; the test proves nothing");
    assert_sound(pool).await;
}

#[tokio::test]
async fn runs_cancel_ends_a_run_that_no_hand_has_with_no_replica_up() {
    let world = World::new().await;
    let clerk = world.replica(&CLERK).await;
    clerk.create("create_task", "t", "commanded.anna").await;
    clerk.post("/force_scrape/t").await.ok();
    clerk.kill().await;
    let run_id = only_run(&world.database.pool).await.to_string();
    let cancelled = runs_cancel(&world, "t").await;
    assert_eq!(
        (cancelled.code, cancelled.stdout),
        (Some(0), format!("run {run_id} of task t cancelled; what was stored stays\n"))
    );
    for name in ["t", &run_id] {
        let again = runs_cancel(&world, name).await;
        assert_eq!((again.code, again.stdout), (Some(0), format!("run {run_id} of task t was cancelled before\n")));
    }
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn runs_cancel_tells_the_worker_and_waits_until_it_has_stopped() {
    let world = World::new().await;
    let worker = world.replica(&BLIND).await;
    start_held(&world, &worker, "t", "told.anna", 1).await;
    let cancelled = runs_cancel(&world, "t").await;
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    assert!(cancelled.stdout.ends_with("cancelled; what was stored stays\n"), "{cancelled:?}");
    let status = status_of(&worker, "t").await;
    assert_eq!(status["status"], "cancelled");
    world.instagram.let_go("told.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn runs_cancel_says_who_has_not_answered_and_until_when() {
    let world = World::new().await;
    let doomed = world.replica(&BLIND).await;
    start_held(&world, &doomed, "t", "wordless.anna", 1).await;
    doomed.kill().await;
    let asked = runs_cancel(&world, "t").await;
    let (worker, lease_end): (String, String) = sqlx::query_as(
        "select worker_id::text, to_char(claimable_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') from runs",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(asked.code, Some(7), "{asked:?}");
    assert!(asked.stdout.contains("was asked to stop") && asked.stdout.contains(&worker), "{asked:?}");
    assert!(asked.stdout.contains(&lease_end), "{asked:?}");
    pass_the_lease(&world.database.pool).await;
    assert_eq!(runs_cancel(&world, "t").await.code, Some(0));
    world.instagram.let_go("wordless.anna").await;
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn runs_cancel_of_what_cannot_be_cancelled_says_why() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "idle", "idle.anna").await;
    world.scrape(&replica, "done", "done.anna").await;
    for (name, why) in [("idle", "has not run yet"), ("done", "has ended as succeeded")] {
        let refused = runs_cancel(&world, name).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stdout.is_empty() && refused.stderr.contains(why), "{refused:?}");
    }
    assert_sound(&world.database.pool).await;
}

/// Starts a run whose requests are held after the first so many, and waits until one is.
async fn start_held(world: &World, replica: &Replica, task: &str, username: &str, after: u64) {
    world.instagram.hold(username, after).await;
    replica.create("create_task", task, username).await;
    replica.post(&format!("/force_scrape/{task}")).await.ok();
    world.instagram.holds_one(username).await;
}

/// Cancels and gives the status that the answer tells.
async fn cancel_by(replica: &Replica, task: &str) -> String {
    let answer = replica.post(&format!("/cancel/{task}")).await.ok();
    assert_eq!((&answer["result"], &answer["task_id"]), (&json!(true), &json!(task)));
    answer["status"].as_str().unwrap().to_owned()
}

/// Cancels again and again until the answer is that it is done, and gives all answers.
async fn cancel_until_it_is(replica: &Replica, task: &str) -> Vec<String> {
    let mut answers = Vec::new();
    eventually("the run is cancelled", async || {
        answers.push(cancel_by(replica, task).await);
        (answers.last().unwrap() == "cancelled").then_some(())
    })
    .await;
    answers
}

async fn status_of(replica: &Replica, task: &str) -> Value {
    replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok()["response"].clone()
}

async fn runs_cancel(world: &World, name: &str) -> Finished {
    call(&["runs", "cancel", name], &[("DATABASE_URL", &world.database.url)]).finished().await
}

/// Marks the only run as a canceller does whose hint is lost.
async fn mark_cancelled(pool: &PgPool) {
    let marked = sqlx::query("update runs set cancel_requested_at = now()").execute(pool).await.unwrap();
    assert_eq!(marked.rows_affected(), 1);
}

/// Moves the end of the only run's lease to now.
async fn pass_the_lease(pool: &PgPool) {
    sqlx::query("update runs set claimable_at = now()").execute(pool).await.unwrap();
}

async fn only_run(pool: &PgPool) -> RunId {
    sqlx::query_scalar("select run_id from runs").fetch_one(pool).await.unwrap()
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
