//! The table `runs`: claiming, looking one up, the load.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

pub use super::states::{Reason, RunState, Trigger};
use super::tasks::{Source, TaskKind};
use super::{Lease, RunId, TaskId, WorkerId};

/// A run that a worker has just taken up: all it must know to go on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// What is to be scraped.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// From where.
    pub source: Source,
    /// The right to write.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// The seq of its latest event.
    pub last_seq: i64,
    /// The seq of its latest upstream request.
    pub last_exchange: i64,
    /// The account, once found.
    pub profile_id: Option<i64>,
    /// How far it came.
    pub checkpoint: Option<Value>,
    /// The state in which the claim found it.
    pub previous: RunState,
    /// Whether a client has asked to cancel it.
    pub cancel_requested: bool,
    /// The database's time at the claim.
    pub claimed_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: DateTime<Utc>,
    /// When it must have ended.
    pub deadline_at: DateTime<Utc>,
}

/// Takes up to `limit` runs that are due, the longest due first: queued ones, those whose wait is over, and those
/// whose worker has let its lease pass. Claiming is thereby the rescue of a dead replica's runs.
pub async fn claim(
    db: impl PgExecutor<'_>,
    worker: WorkerId,
    lease_seconds: f64,
    limit: i64,
) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as!(
        Claimed,
        r#"
        with due as (
            select run_id, state
            from runs
            where state in ('queued', 'running', 'waiting') and claimable_at <= now()
            order by claimable_at
            limit $3
            for update skip locked
        ), claimed as (
            update runs r
            set state = 'running',
                reason = null,
                lease = r.lease + 1,
                attempt = r.attempt + 1,
                worker_id = $1,
                claimable_at = now() + make_interval(secs => $2),
                started_at = coalesce(r.started_at, now()),
                updated_at = now(),
                state_xid = pg_current_xact_id()
            from due
            where r.run_id = due.run_id
            returning r.*, due.state as previous
        )
        select
            run_id as "run_id!: RunId",
            task_id as "task_id!: TaskId",
            kind as "kind!: TaskKind",
            username as "username!",
            source as "source!: Source",
            lease as "lease!: Lease",
            attempt as "attempt!",
            last_seq as "last_seq!",
            last_exchange as "last_exchange!",
            profile_id,
            checkpoint,
            previous as "previous!: RunState",
            cancel_requested_at is not null as "cancel_requested!",
            now() as "claimed_at!",
            started_at as "started_at!",
            deadline_at as "deadline_at!"
        from claimed
        "#,
        worker.0,
        lease_seconds,
        limit,
    )
    .fetch_all(db)
    .await
}

/// A run as the command line shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// What is scraped.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// What asked for it.
    pub trigger: Trigger,
    /// Which attempt.
    pub attempt: i32,
    /// The replica's boot that took it up last.
    pub worker_id: Option<Uuid>,
    /// How many events it has.
    pub last_seq: i64,
    /// How many upstream requests it made.
    pub last_exchange: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it may be claimed.
    pub claimable_at: Option<DateTime<Utc>>,
}

/// One run.
pub async fn find(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        r#"
        select run_id as "run_id: RunId", task_id as "task_id: TaskId", kind as "kind: TaskKind", username,
               state as "state: RunState", reason as "reason: Reason", trigger as "trigger: Trigger", attempt,
               worker_id, last_seq, last_exchange, requested_at, started_at, updated_at, finished_at, claimable_at
        from runs
        where run_id = $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// The latest run of a task.
pub async fn latest(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        r#"
        select run_id as "run_id: RunId", task_id as "task_id: TaskId", kind as "kind: TaskKind", username,
               state as "state: RunState", reason as "reason: Reason", trigger as "trigger: Trigger", attempt,
               worker_id, last_seq, last_exchange, requested_at, started_at, updated_at, finished_at, claimable_at
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

/// Keeps how far a run was when its last attempt began, a JSON object. Runs in the transaction whose first statement was
/// the run's fenced write.
pub async fn keep_beginning(db: impl PgExecutor<'_>, run_id: RunId, began_at: &Value) -> sqlx::Result<()> {
    sqlx::query!("update runs set began_at = $2 where run_id = $1", run_id.0, began_at).execute(db).await?;
    Ok(())
}

/// How many runs stand in each active state, and how long the oldest due one has been waiting for a hand, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Accepted; no worker has them yet.
    pub queued: i64,
    /// In hand.
    pub running: i64,
    /// Backing off.
    pub waiting: i64,
    /// Seconds since the oldest run became due that nobody has taken up; 0 where none is due.
    pub queue_age_seconds: f64,
}

/// The load of the whole service, over all replicas.
pub async fn load(db: impl PgExecutor<'_>) -> sqlx::Result<Load> {
    sqlx::query_as!(
        Load,
        r#"
        select
            count(*) filter (where state = 'queued') as "queued!",
            count(*) filter (where state = 'running') as "running!",
            count(*) filter (where state = 'waiting') as "waiting!",
            coalesce(extract(epoch from now() - min(claimable_at) filter (where claimable_at <= now())), 0)::float8
                as "queue_age_seconds!"
        from runs
        where state in ('queued', 'running', 'waiting')
        "#,
    )
    .fetch_one(db)
    .await
}

/// How long until the next active run becomes due, in seconds (negative: it is due); `None` where none is active.
pub async fn next_due_in(db: impl PgExecutor<'_>) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar!(
        r#"
        select extract(epoch from min(claimable_at) - now())::float8
        from runs
        where state in ('queued', 'running', 'waiting')
        "#,
    )
    .fetch_one(db)
    .await
}
