//! The table `runs` in the order in which states changed: what a board of all runs is read from.
//!
//! The order is that of transactions (`runs.state_xid`). Transactions end in another order than they began, so only what
//! is below the oldest that is still under way is read: nothing can come in below it any more. A run that changes again
//! moves up, so that each stands once, where its latest change put it.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::{Reason, Run, RunState, Trigger};
use super::tasks::TaskKind;
use super::{RunId, TaskId};

/// A place in the order of changes: behind the change of this run by this transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The transaction.
    pub xid: i64,
    /// The run.
    pub run_id: RunId,
}

impl Position {
    /// Before all changes of this transaction, and behind those of all before it.
    pub fn before(xid: i64) -> Self {
        Self { xid, run_id: RunId(Uuid::nil()) }
    }
}

/// A run as it stands after its latest change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Where that change stands.
    pub position: Position,
    /// The run.
    pub run: Run,
    /// Whether the person was erased whose account it scraped: what was told of it before is not to be told any more.
    pub is_erased: bool,
}

/// What a look at the changes brought.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The runs, in the order of their changes.
    pub runs: Vec<Changed>,
    /// The oldest transaction that is still under way, or the next one: all below it was looked at.
    pub horizon: i64,
    /// For how many seconds the oldest change has been kept back that is not below the horizon; `None` where none is.
    pub kept_back_seconds: Option<f64>,
}

/// The cluster whose transactions these are, so that a position in another's is recognised.
pub async fn cluster(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select system_identifier as "id!" from pg_control_system()"#).fetch_one(db).await
}

/// The changes behind a position, so many at most.
pub async fn changes(db: impl PgExecutor<'_>, after: Position, limit: i64) -> sqlx::Result<Changes> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        with clock as materialized (
            select pg_snapshot_xmin(pg_current_snapshot()) as horizon
        ), oldest as materialized (
            select extract(epoch from clock_timestamp() - late.updated_at)::float8 as kept_back
            from clock cross join lateral (
                select updated_at from runs where state_xid >= clock.horizon order by state_xid limit 1
            ) as late
        )
        select clock.horizon::text::bigint as "horizon!", oldest.kept_back as "kept_back?",
               r.state_xid::text::bigint as "xid?", r.run_id as "run_id?: RunId", r.task_id as "task_id?: TaskId",
               r.kind as "kind?: TaskKind", r.username as "username?", r.state as "state?: RunState",
               r.reason as "reason?: Reason", r.trigger as "trigger?: Trigger", r.attempt as "attempt?",
               r.worker_id as "worker_id?", r.last_seq as "last_seq?", r.last_exchange as "last_exchange?",
               r.requested_at as "requested_at?", r.started_at as "started_at?", r.updated_at as "updated_at?",
               r.finished_at as "finished_at?", r.claimable_at as "claimable_at?",
               r.erased_at is not null as "is_erased!"
        from clock
        left join oldest on true
        left join lateral (
            select *
            from runs
            where state_xid >= $1::bigint::text::xid8
                and state_xid < clock.horizon
                and (state_xid, run_id) > ($1::bigint::text::xid8, $2)
            order by state_xid, run_id
            limit $3
        ) as r on true
        order by r.state_xid, r.run_id
        "#,
        after.xid,
        after.run_id.0,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(Row::together(rows))
}

/// The active runs behind a position and below a horizon, so many at most; without a horizon, below that of this moment.
///
/// They are looked for among those that are active, which the planner would not do by itself: it expects to find some
/// soon among all.
pub async fn active(
    db: impl PgExecutor<'_>,
    after: Position,
    horizon: Option<i64>,
    limit: i64,
) -> sqlx::Result<Changes> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        with clock as materialized (
            select coalesce($3::bigint::text::xid8, pg_snapshot_xmin(pg_current_snapshot())) as horizon
        ), active as materialized (
            select * from runs where state in ('queued', 'running', 'waiting')
        )
        select clock.horizon::text::bigint as "horizon!", null::float8 as "kept_back?",
               r.state_xid::text::bigint as "xid?", r.run_id as "run_id?: RunId", r.task_id as "task_id?: TaskId",
               r.kind as "kind?: TaskKind", r.username as "username?", r.state as "state?: RunState",
               r.reason as "reason?: Reason", r.trigger as "trigger?: Trigger", r.attempt as "attempt?",
               r.worker_id as "worker_id?", r.last_seq as "last_seq?", r.last_exchange as "last_exchange?",
               r.requested_at as "requested_at?", r.started_at as "started_at?", r.updated_at as "updated_at?",
               r.finished_at as "finished_at?", r.claimable_at as "claimable_at?",
               r.erased_at is not null as "is_erased!"
        from clock
        left join lateral (
            select *
            from active
            where state_xid < clock.horizon and (state_xid, run_id) > ($1::bigint::text::xid8, $2)
            order by state_xid, run_id
            limit $4
        ) as r on true
        order by r.state_xid, r.run_id
        "#,
        after.xid,
        after.run_id.0,
        horizon,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(Row::together(rows))
}

/// The runs that ended last below a horizon, so many at most, in the order of their ends. Those that ended before
/// changes were noted are not among them.
pub async fn ended(db: impl PgExecutor<'_>, horizon: i64, limit: i64) -> sqlx::Result<Changes> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select $1::bigint as "horizon!", null::float8 as "kept_back?",
               r.state_xid::text::bigint as "xid?", r.run_id as "run_id?: RunId", r.task_id as "task_id?: TaskId",
               r.kind as "kind?: TaskKind", r.username as "username?", r.state as "state?: RunState",
               r.reason as "reason?: Reason", r.trigger as "trigger?: Trigger", r.attempt as "attempt?",
               r.worker_id as "worker_id?", r.last_seq as "last_seq?", r.last_exchange as "last_exchange?",
               r.requested_at as "requested_at?", r.started_at as "started_at?", r.updated_at as "updated_at?",
               r.finished_at as "finished_at?", r.claimable_at as "claimable_at?",
               r.erased_at is not null as "is_erased!"
        from (
            select *
            from runs
            where finished_at is not null and state_xid > '0' and state_xid < $1::bigint::text::xid8
            order by state_xid desc, run_id desc
            limit $2
        ) as r
        order by r.state_xid, r.run_id
        "#,
        horizon,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(Changes { horizon, ..Row::together(rows) })
}

/// Lets changes that transactions to come are said to have made count as made before everything else, so many at most;
/// says how many there were. Such rows came with a dump from another cluster, and would be told once this one has got
/// so far.
pub async fn forget_changes_to_come(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<u64> {
    // One that changes at this moment is left alone: its number is then another.
    let forgotten = sqlx::query!(
        r#"
        update runs r set state_xid = '0'
        from (
            select run_id, state_xid from runs where state_xid >= pg_snapshot_xmax(pg_current_snapshot()) limit $1
        ) as far
        where r.run_id = far.run_id and r.state_xid = far.state_xid
        "#,
        limit,
    )
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}

/// The horizon, and a run where there is one.
struct Row {
    horizon: i64,
    kept_back: Option<f64>,
    xid: Option<i64>,
    run_id: Option<RunId>,
    task_id: Option<TaskId>,
    kind: Option<TaskKind>,
    username: Option<String>,
    state: Option<RunState>,
    reason: Option<Reason>,
    trigger: Option<Trigger>,
    attempt: Option<i32>,
    worker_id: Option<Uuid>,
    last_seq: Option<i64>,
    last_exchange: Option<i64>,
    requested_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    claimable_at: Option<DateTime<Utc>>,
    is_erased: bool,
}

impl Row {
    fn together(rows: Vec<Self>) -> Changes {
        let (horizon, kept_back_seconds) = rows.first().map_or((0, None), |row| (row.horizon, row.kept_back));
        Changes { runs: rows.into_iter().filter_map(Self::run).collect(), horizon, kept_back_seconds }
    }

    fn run(self) -> Option<Changed> {
        let run_id = self.run_id?;
        let run = Run {
            run_id,
            task_id: self.task_id?,
            kind: self.kind?,
            username: self.username?,
            state: self.state?,
            reason: self.reason,
            trigger: self.trigger?,
            attempt: self.attempt?,
            worker_id: self.worker_id,
            last_seq: self.last_seq?,
            last_exchange: self.last_exchange?,
            requested_at: self.requested_at?,
            started_at: self.started_at,
            updated_at: self.updated_at?,
            finished_at: self.finished_at,
            claimable_at: self.claimable_at,
        };
        Some(Changed { position: Position { xid: self.xid?, run_id }, run, is_erased: self.is_erased })
    }
}
