//! What a post-mortem asks beside the run itself: its last requests, its summary, the last run of its task that went well, and
//! what else failed for the same reason at the time.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::exchanges::{Exchange, Told};
use super::runs::Reason;
use super::summaries::{Phases, Requests};
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

/// What the requests of a run that are kept come to.
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

/// The requests of a run that are kept, counted.
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

/// What is kept of a run that has ended when its log and its requests are given up.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its last word, where it ended otherwise than succeeded.
    pub last_word: Option<String>,
    /// What its requests came to; `None` where they were gone before it was written.
    pub asked: Option<Requests>,
    /// How many posts it obtained, where it told.
    pub posts: Option<i32>,
    /// How many reels.
    pub reels: Option<i32>,
    /// How long it was in each phase, in milliseconds.
    pub phases: Phases,
}

/// The summary of a run; `None` before it is written.
pub async fn summary(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Summary>> {
    let row = sqlx::query!(
        r#"
        select message, requests_failed, bytes, requests_ms, posts, reels, queue_ms, account_ms, posts_ms, reels_ms,
               update_ms, waiting_ms, interrupted_ms
        from run_summaries
        where run_id = $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Summary {
        last_word: row.message,
        asked: asked(row.requests_failed, row.bytes, row.requests_ms),
        posts: row.posts,
        reels: row.reels,
        phases: Phases {
            queue: row.queue_ms,
            account: row.account_ms,
            posts: row.posts_ms,
            reels: row.reels_ms,
            update: row.update_ms,
            waiting: row.waiting_ms,
            interrupted: row.interrupted_ms,
        },
    }))
}

fn asked(failed: Option<i32>, bytes: Option<i64>, ms: Option<i32>) -> Option<Requests> {
    Some(Requests { failed: failed?, bytes: bytes?, ms: ms? })
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

/// Runs that wait or did not succeed for a reason, and began to wait or ended between two times, up to so many a state. None
/// is looked at that was asked for before `asked_since`.
pub async fn with_reason(
    db: impl PgExecutor<'_>,
    reason: Reason,
    asked_since: DateTime<Utc>,
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
                and coalesce(finished_at, updated_at) between $4 and $5
            order by run_id
            limit $6
        ) as r
        "#,
        reason.as_str(),
        RunId::floor(asked_since).0,
        RunId::floor(until).0,
        since,
        until,
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
