//! What a post-mortem asks beside the run itself: its last requests, the last run of its task that went well, and what
//! else failed for the same reason at the time.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::exchanges::{Exchange, Told};
use super::runs::Reason;
use super::{RunId, TaskId};

/// The latest so many requests of an attempt of a run, oldest first.
pub async fn requests_of_attempt(
    db: impl PgExecutor<'_>,
    run_id: RunId,
    attempt: i32,
    limit: i64,
) -> sqlx::Result<Vec<Told>> {
    let rows = sqlx::query!(
        r#"
        select seq, at, attempt, source, credential, endpoint, method, url, status, duration_ms, bytes, failure,
               body is not null as "has_body!"
        from run_exchanges
        where run_id = $1 and attempt = $2
        order by seq desc
        limit $3
        "#,
        run_id.0,
        attempt,
        limit,
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().rev().map(|row| Told {
        source: row.source,
        exchange: Exchange {
            seq: row.seq,
            at: row.at,
            attempt: row.attempt,
            credential: row.credential,
            endpoint: row.endpoint,
            method: row.method,
            url: row.url,
            status: row.status,
            duration_ms: row.duration_ms,
            bytes: row.bytes,
            failure: row.failure,
            has_body: row.has_body,
        },
    });
    Ok(told.collect())
}

/// What all requests of a run come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many.
    pub count: i64,
    /// How many of them failed.
    pub failed: i64,
    /// How large their answers were together.
    pub bytes: i64,
    /// How long they took together, in milliseconds.
    pub duration_ms: f64,
}

/// The requests of a run, counted.
pub async fn tally(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Tally> {
    sqlx::query_as!(
        Tally,
        r#"
        select count(*) as "count!", count(failure) as "failed!", coalesce(sum(bytes), 0)::bigint as "bytes!",
               coalesce(sum(duration_ms), 0)::float8 as "duration_ms!"
        from run_exchanges
        where run_id = $1
        "#,
        run_id.0,
    )
    .fetch_one(db)
    .await
}

/// The latest run of a task before this one that succeeded.
pub async fn last_good(db: impl PgExecutor<'_>, task_id: &TaskId, before: RunId) -> sqlx::Result<Option<RunId>> {
    sqlx::query_scalar!(
        r#"
        select run_id as "run_id: RunId"
        from runs
        where task_id = $1 and run_id < $2 and state = 'succeeded'
        order by run_id desc
        limit 1
        "#,
        task_id.as_str(),
        before.0,
    )
    .fetch_optional(db)
    .await
}

/// Another run with the same reason.
#[derive(Clone, Debug)]
pub struct Other {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// The seq of its latest request; 0 where it made none.
    pub last_exchange: i64,
}

/// Runs that wait or did not succeed for a reason and were asked for between two times, up to so many a state.
pub async fn with_reason(
    db: impl PgExecutor<'_>,
    reason: Reason,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Other>> {
    sqlx::query_as!(
        Other,
        r#"
        select r.run_id as "run_id: RunId", r.task_id as "task_id: TaskId", r.last_exchange
        from unnest(array['failed', 'partial', 'waiting', 'cancelled']) as wanted (state)
        cross join lateral (
            select run_id, task_id, last_exchange
            from runs
            where state = wanted.state and reason = $1 and run_id >= $2 and run_id < $3
            order by run_id
            limit $4
        ) as r
        "#,
        reason.as_str(),
        RunId::floor(since).0,
        RunId::floor(until).0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// With what a request was asked.
#[derive(Clone, Debug)]
pub struct AskedWith {
    /// `web` or `graph`.
    pub source: String,
    /// The credential, where that is known.
    pub credential: Option<String>,
}

/// With what these requests were asked, each named by its run and its seq, in any order.
pub async fn asked_with(db: impl PgExecutor<'_>, requests: &[(RunId, i64)]) -> sqlx::Result<Vec<AskedWith>> {
    let run_ids: Vec<Uuid> = requests.iter().map(|(run_id, _)| run_id.0).collect();
    let seqs: Vec<i64> = requests.iter().map(|(_, seq)| *seq).collect();
    sqlx::query_as!(
        AskedWith,
        r#"
        select x.source, x.credential
        from unnest($1::uuid[], $2::bigint[]) as wanted (run_id, seq)
        cross join lateral (
            select source, credential from run_exchanges x where x.run_id = wanted.run_id and x.seq = wanted.seq
        ) as x
        "#,
        &run_ids,
        &seqs,
    )
    .fetch_all(db)
    .await
}
