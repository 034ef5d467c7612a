//! What a run says of itself: two look-ups by key, `runs` for where the task stands, `events` for the words.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgExecutor;
use sqlx::types::Json;

use super::journal::Level;
use super::runs::{Reason, RunState};
use super::{RunId, TaskId};

/// Where a task's latest run stands.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// How many events it has.
    pub last_seq: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The status of a task's latest run; `None` where it never ran, or was never heard of.
pub async fn of_task(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Status>> {
    sqlx::query_as!(
        Status,
        r#"
        select run_id as "run_id: RunId", state as "state: RunState", reason as "reason: Reason", last_seq,
               requested_at, started_at, updated_at, finished_at
        from runs
        where task_id = $1
        order by run_id desc
        limit 1
        "#,
        task_id.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// One event as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Its number in the run.
    pub seq: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// A word of the vocabulary.
    pub event_type: String,
    /// A sentence for a person.
    pub message: String,
    /// Numbers and names.
    pub fields: Json<Map<String, Value>>,
}

/// The events of a run with `after < seq <= until`, in order.
pub async fn events(db: impl PgExecutor<'_>, run_id: RunId, after: i64, until: i64) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as!(
        Event,
        r#"
        select seq, at, level as "level: Level", event_type, message, fields as "fields: Json<Map<String, Value>>"
        from events
        where run_id = $1 and seq > $2 and seq <= $3
        order by seq
        "#,
        run_id.0,
        after,
        until,
    )
    .fetch_all(db)
    .await
}
