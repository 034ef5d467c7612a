//! What is told as it happens: each event once and in order, whatever happens to replicas, connections and clients.

mod board;
mod faults;
mod logs;
mod slow;
mod sockets;

use serde_json::{Value, json};

use crate::harness::{Message, Replica, World};

/// Brisk leases and polls, and no grace: what is told to stop hands its runs over.
const BRISK: [(&str, &str); 5] = [
    ("IGT_LEASE_SECONDS", "1"),
    ("IGT_POLL_MS", "50"),
    ("IGT_RETRY_BASE_MS", "10"),
    ("IGT_GRACE_SECONDS", "0"),
    ("IGT_MAX_ATTEMPTS", "100"),
];

/// The task's latest run.
async fn run_of(world: &World, task: &str) -> String {
    let query = "select run_id::text from runs where task_id = $1 order by run_id desc limit 1";
    sqlx::query_scalar(query).bind(task).fetch_one(&world.database.pool).await.unwrap()
}

/// A run whose first page is read and whose second is held.
pub(crate) async fn held(world: &World, replica: &Replica, task: &str, username: &str) -> String {
    world.instagram.hold(username, 2).await;
    replica.create("create_task", task, username).await;
    replica.post(&format!("/force_scrape/{task}")).await.ok();
    world.instagram.holds_one(username).await;
    run_of(world, task).await
}

/// A run's events as they stand in the database.
async fn events_of(world: &World, run_id: &str) -> Vec<Value> {
    sqlx::query_scalar(
        r#"select jsonb_build_object('seq', seq, 'at', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'level', level, 'event_type', event_type, 'message', message, 'fields', fields)
           from events where run_id = $1::uuid order by seq"#,
    )
    .bind(run_id)
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

/// All events of the run, each once and in order, and then its end.
async fn assert_whole(world: &World, run_id: &str, told: &[Message]) {
    let events = events_of(world, run_id).await;
    let (end, messages) = told.split_last().unwrap();
    let messages: Vec<_> = messages.iter().filter(|message| !["reconnect"].contains(&message.event.as_str())).collect();
    let seqs: Vec<_> = messages.iter().map(|message| message.data["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=events.len() as i64).collect::<Vec<_>>());
    for (message, event) in messages.iter().zip(&events) {
        assert_eq!((message.event.as_str(), &message.data), ("message", event));
        assert_eq!(message.id, Some(event["seq"].to_string()));
    }
    let (state, reason): (String, Option<String>) =
        sqlx::query_as("select state, reason from runs where run_id = $1::uuid")
            .bind(run_id)
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(end.event, "end");
    let said = (&end.data["run_id"], &end.data["state"], &end.data["reason"], &end.data["last_seq"]);
    assert_eq!(said, (&json!(run_id), &json!(state), &json!(reason), &json!(events.len())));
}
