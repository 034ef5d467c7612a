//! The start of a run: one statement, whatever happens to the client that asked for it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::runs::{Claimed, RunState, Trigger};
use super::tasks::{Source, TaskKind};
use super::text::fit_fields;
use super::{Lease, RunId, TaskId, WorkerId};

/// What a start asks for.
#[derive(Debug)]
pub struct Start<'a> {
    /// The task.
    pub task_id: &'a TaskId,
    /// The kind that the task must be of.
    pub kind: TaskKind,
    /// What asks for it.
    pub trigger: Trigger,
    /// Seconds after which the run is ended, come what may.
    pub deadline_seconds: f64,
    /// The hand that takes it up in the same statement and for how many seconds; `None` leaves it to the queue.
    pub claim: Option<(WorkerId, f64)>,
    /// The first event's type.
    pub event_type: &'static str,
    /// The first event's message; `%` stands for the username.
    pub message: &'static str,
    /// The first event's fields, to which the database adds the username.
    pub fields: Value,
}

/// What came of it.
#[derive(Debug)]
pub enum Started {
    /// A run was inserted and is the hand's already.
    Claimed(Box<Claimed>),
    /// A run was inserted and waits for a hand.
    Queued(RunId),
    /// The task has an active run; nothing was written.
    Busy,
    /// The task is of another kind; nothing was written.
    OtherKind,
    /// There is no such task; nothing was written.
    NoSuchTask,
}

struct Row {
    task_kind: TaskKind,
    username: String,
    source: Source,
    run_id: Option<RunId>,
    now: DateTime<Utc>,
    deadline_at: Option<DateTime<Utc>>,
}

/// Inserts a run with its first event, already claimed where the caller has a free hand. That a task has one active
/// run at most is the unique index's doing: where it refuses, no row comes back and that is the answer.
pub async fn start(db: impl PgExecutor<'_>, start: Start<'_>) -> sqlx::Result<Started> {
    let row = sqlx::query_as!(
        Row,
        r#"
        with task as (
            select task_id, kind, username, source from tasks where task_id = $1 and state = 'active'
        ), run as (
            insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, worker_id, claimable_at,
                              last_seq, started_at, deadline_at)
            select task_id, kind, username, source, $3,
                   case when $5::uuid is null then 'queued' else 'running' end,
                   case when $5::uuid is null then 0 else 1 end,
                   case when $5::uuid is null then 0 else 1 end,
                   $5,
                   now() + make_interval(secs => coalesce($6::float8, 0)),
                   1,
                   case when $5::uuid is null then null else now() end,
                   now() + make_interval(secs => $4)
            from task
            where kind = $2
            on conflict do nothing
            returning run_id, deadline_at
        ), first_event as (
            insert into events (run_id, seq, at, level, event_type, message, fields)
            select run.run_id, 1, now(), 'info', $7, replace($8, '%', task.username),
                   jsonb_build_object('username', task.username) || $9::jsonb
            from run, task
        )
        select task.kind as "task_kind!: TaskKind", task.username as "username!", task.source as "source!: Source",
               run.run_id as "run_id?: RunId", now() as "now!", run.deadline_at as "deadline_at?"
        from task left join run on true
        "#,
        start.task_id.as_str(),
        start.kind.as_str(),
        start.trigger.as_str(),
        start.deadline_seconds,
        start.claim.map(|(worker, _)| worker.0),
        start.claim.map(|(_, seconds)| seconds),
        start.event_type,
        start.message,
        fit_fields(&start.fields),
    )
    .fetch_optional(db)
    .await?;

    Ok(match row {
        None => Started::NoSuchTask,
        Some(row) if row.task_kind != start.kind => Started::OtherKind,
        Some(Row { run_id: Some(run_id), username, source, now, deadline_at: Some(deadline_at), .. }) => {
            match start.claim {
                None => Started::Queued(run_id),
                Some(_) => Started::Claimed(Box::new(Claimed {
                    run_id,
                    task_id: start.task_id.clone(),
                    kind: start.kind,
                    username,
                    source,
                    lease: Lease(1),
                    attempt: 1,
                    last_seq: 1,
                    last_exchange: 0,
                    profile_id: None,
                    checkpoint: None,
                    previous: RunState::Queued,
                    cancel_requested: false,
                    claimed_at: now,
                    started_at: now,
                    deadline_at,
                })),
            }
        }
        Some(_) => Started::Busy,
    })
}
