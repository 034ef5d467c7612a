//! The table `run_summaries`: which runs want a row, what it is made of, and the row.
//!
//! Runs that end are found in the order of the transactions that changed them, as in [`super::board`], and none is looked
//! at twice; those that had ended before are found once by their ids. One row says how far both came, and its lock who is
//! at it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::RunId;
use super::board::Position;

/// How far runs were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The cluster whose transactions these are.
    pub cluster: i64,
    /// Behind this place in the order of changes nothing was looked at.
    pub followed: Position,
    /// Of those that had ended before, all up to this one were; `None` once all were.
    pub older: Option<RunId>,
}

/// A run that was looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The run.
    pub run_id: RunId,
    /// The transaction that last changed its state.
    pub xid: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; `None` where it has not.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether it ended otherwise than succeeded, or waits.
    pub has_reason: bool,
    /// How many events it has.
    pub last_seq: i64,
    /// How many requests it made.
    pub last_exchange: i64,
}

/// Whether there is anything to look at, asked without a lock: the mark is behind, or of another cluster.
pub async fn is_behind(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select m.older is not null
            or m.cluster <> (select system_identifier from pg_control_system())
            or exists (
                select from runs r
                where r.state_xid >= m.xid and r.state_xid < pg_snapshot_xmin(pg_current_snapshot())
                    and (r.state_xid, r.run_id) > (m.xid, m.run_id)) as "behind!"
        from run_summary_mark m
        "#,
    )
    .fetch_one(db)
    .await
}

/// Takes the mark; `None` where another has it. The present cluster comes with it.
pub async fn take_mark(db: &mut PgConnection) -> sqlx::Result<Option<(Mark, i64)>> {
    let row = sqlx::query!(
        r#"
        select cluster, xid::text::bigint as "xid!", run_id as "run_id: RunId", older as "older: RunId",
               (select system_identifier from pg_control_system()) as "present!"
        from run_summary_mark
        for update skip locked
        "#,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let followed = Position { xid: row.xid, run_id: row.run_id };
        (Mark { cluster: row.cluster, followed, older: row.older }, row.present)
    }))
}

/// Waits until nobody is at it, and keeps others from it until the end of the transaction, where there is one: what they wrote
/// of logs is then written, and what they read from here on they read as it stands now.
pub async fn hold(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select single from run_summary_mark for update").fetch_one(db).await?;
    Ok(())
}

/// Moves the mark that this transaction has taken.
pub async fn move_mark(db: &mut PgConnection, mark: Mark) -> sqlx::Result<()> {
    sqlx::query!(
        "update run_summary_mark set cluster = $1, xid = $2::bigint::text::xid8, run_id = $3, older = $4",
        mark.cluster,
        mark.followed.xid,
        mark.followed.run_id.0,
        mark.older.map(|run_id| run_id.0),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The oldest transaction that is under way.
pub async fn horizon(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!""#)
        .fetch_one(db)
        .await
}

/// Up to so many runs in the order of their changes, from behind a place up to the oldest transaction under way.
pub async fn changed(db: impl PgExecutor<'_>, after: Position, limit: i64) -> sqlx::Result<Vec<Looked>> {
    sqlx::query_as!(
        Looked,
        r#"
        select r.run_id as "run_id: RunId", r.state_xid::text::bigint as "xid!", r.requested_at, r.started_at,
               r.finished_at, r.reason is not null as "has_reason!", r.last_seq, r.last_exchange
        from runs r
        where r.state_xid >= $1::bigint::text::xid8
            and r.state_xid < pg_snapshot_xmin(pg_current_snapshot())
            and (r.state_xid, r.run_id) > ($1::bigint::text::xid8, $2)
        order by r.state_xid, r.run_id
        limit $3
        "#,
        after.xid,
        after.run_id.0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Up to so many runs in the order of their ids, from behind this one.
pub async fn older(db: impl PgExecutor<'_>, after: RunId, limit: i64) -> sqlx::Result<Vec<Looked>> {
    sqlx::query_as!(
        Looked,
        r#"
        select r.run_id as "run_id: RunId", r.state_xid::text::bigint as "xid!", r.requested_at, r.started_at,
               r.finished_at, r.reason is not null as "has_reason!", r.last_seq, r.last_exchange
        from runs r
        where r.run_id > $1
        order by r.run_id
        limit $2
        "#,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Those of these runs that have no summary. Each is looked up by its key: a join might read all summaries for a few runs,
/// where it was planned when there were few.
pub async fn without(db: impl PgExecutor<'_>, runs: &[Uuid]) -> sqlx::Result<Vec<RunId>> {
    sqlx::query_scalar!(
        r#"
        select wanted.run_id as "run_id!: RunId"
        from unnest($1::uuid[]) as wanted (run_id)
        where (select true from run_summaries s where s.run_id = wanted.run_id) is null
        "#,
        runs,
    )
    .fetch_all(db)
    .await
}

/// An event as its run's phases are told from it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its run.
    pub run_id: RunId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its type.
    pub event_type: String,
    /// Its field `stage`, or `list`.
    pub stage: Option<String>,
    /// How many posts were obtained by then.
    pub posts: Option<i64>,
    /// How many reels.
    pub reels: Option<i64>,
}

/// The logs of runs, in order; of pages and reels that follow each other the last of each row of them, which tells the
/// phases as well.
pub async fn logs(db: impl PgExecutor<'_>, runs: &[Uuid]) -> sqlx::Result<Vec<Told>> {
    sqlx::query_as!(
        Told,
        r#"
        select wanted.run_id as "run_id!: RunId", e.at as "at!", e.event_type as "event_type!",
               coalesce(e.fields ->> 'stage', e.fields ->> 'list') as stage,
               case jsonb_typeof(e.fields -> 'scraped_posts_count')
                   when 'number' then (e.fields -> 'scraped_posts_count')::bigint
               end as posts,
               case jsonb_typeof(e.fields -> 'scraped_reels_count')
                   when 'number' then (e.fields -> 'scraped_reels_count')::bigint
               end as reels
        from unnest($1::uuid[]) with ordinality as wanted (run_id, n)
        cross join lateral (
            select e.seq, e.at, e.event_type, e.fields, lead(e.event_type) over (order by e.seq) as next_type
            from events e
            where e.run_id = wanted.run_id
        ) as e
        where not (e.event_type in ('posts_fetched', 'processing_reels')
                   and e.next_type is not distinct from e.event_type)
        order by wanted.n, e.seq
        "#,
        runs,
    )
    .fetch_all(db)
    .await
}

/// How many events of a run are of a type and level.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The run.
    pub run_id: RunId,
    /// The type.
    pub event_type: String,
    /// The level.
    pub level: String,
    /// How many.
    pub events: i64,
}

/// The events of runs, counted.
pub async fn counts(db: impl PgExecutor<'_>, runs: &[Uuid]) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
        select wanted.run_id as "run_id!: RunId", e.event_type as "event_type!", e.level as "level!",
               e.events as "events!"
        from unnest($1::uuid[]) as wanted (run_id)
        cross join lateral (
            select event_type, level, count(*) as events from events where run_id = wanted.run_id group by 1, 2
        ) as e
        "#,
        runs,
    )
    .fetch_all(db)
    .await
}

/// What a run asked, in sum.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The run.
    pub run_id: RunId,
    /// How many requests are there.
    pub requests: i64,
    /// How many brought nothing usable.
    pub failed: i64,
    /// The size of all answers.
    pub bytes: i64,
    /// How long they took, in milliseconds.
    pub ms: f64,
}

/// The requests of runs, summed up.
pub async fn asked(db: impl PgExecutor<'_>, runs: &[Uuid]) -> sqlx::Result<Vec<Asked>> {
    sqlx::query_as!(
        Asked,
        r#"
        select wanted.run_id as "run_id!: RunId", x.requests as "requests!", x.failed as "failed!",
               x.bytes as "bytes!", x.ms as "ms!"
        from unnest($1::uuid[]) as wanted (run_id)
        cross join lateral (
            select count(*) as requests, count(failure) as failed, coalesce(sum(bytes), 0)::bigint as bytes,
                   coalesce(sum(duration_ms), 0)::float8 as ms
            from run_exchanges where run_id = wanted.run_id
        ) as x
        "#,
        runs,
    )
    .fetch_all(db)
    .await
}

/// A run's summary. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run.
    pub run_id: RunId,
    /// How many events of each type, and of each level; `None` where its log is gone.
    pub events: Option<(Value, Value)>,
    /// How many requests it made.
    pub requests: i32,
    /// What these came to; `None` where they are gone.
    pub asked: Option<Requests>,
    /// How many posts it obtained, where it told.
    pub posts: Option<i32>,
    /// How many reels.
    pub reels: Option<i32>,
    /// How long it was in each phase.
    pub phases: Phases,
    /// Its last word, where it ended otherwise than succeeded and its log is there.
    pub last_word: Option<LastWord>,
}

/// What the last event of a run says, and what it names of the request that showed a failure.
#[derive(Clone, Debug)]
pub struct LastWord {
    /// The sentence.
    pub message: String,
    /// The endpoint.
    pub endpoint: Option<String>,
    /// The HTTP status of the answer.
    pub http_status: Option<i32>,
    /// The name of the failure.
    pub failure: Option<String>,
    /// What the source said.
    pub upstream_message: Option<String>,
}

/// What requests came to.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// How many brought nothing usable.
    pub failed: i32,
    /// The size of all answers.
    pub bytes: i64,
    /// How long they took.
    pub ms: i32,
}

/// How long a run was in each phase; `None` where it never was, or nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Until it was taken up.
    pub queue: Option<i32>,
    /// The account.
    pub account: Option<i32>,
    /// Its posts.
    pub posts: Option<i32>,
    /// Its reels.
    pub reels: Option<i32>,
    /// The rest.
    pub update: Option<i32>,
    /// It waited.
    pub waiting: Option<i32>,
    /// Nobody had it.
    pub interrupted: Option<i32>,
}

/// Writes summaries, one a run, and says which runs had none before. One that is there stays, but where the new one knows of
/// a log: of a run that was ended anew by hand.
pub async fn write(db: &mut PgConnection, summaries: &[Summary]) -> sqlx::Result<Vec<Uuid>> {
    let by_type = column(summaries, |s| s.events.as_ref().map(|(by_type, _)| by_type.clone()));
    let by_level = column(summaries, |s| s.events.as_ref().map(|(_, by_level)| by_level.clone()));
    sqlx::query!(
        r#"
        insert into event_tallies (by_type, by_level)
        select distinct w.by_type, w.by_level
        from unnest($1::jsonb[], $2::jsonb[]) as w (by_type, by_level)
        where w.by_type is not null
            and not exists (select from event_tallies t where t.by_type = w.by_type and t.by_level = w.by_level)
        order by 1, 2
        on conflict do nothing
        "#,
        &by_type as &[Option<Value>],
        &by_level as &[Option<Value>],
    )
    .execute(&mut *db)
    .await?;
    let written = sqlx::query!(
        r#"
        insert into run_summaries (run_id, bytes, tally_id, requests, requests_failed, requests_ms, posts, reels, queue_ms,
                                   account_ms, posts_ms, reels_ms, update_ms, waiting_ms, interrupted_ms, message,
                                   endpoint, http_status, failure, upstream_message)
        select w.run_id, w.bytes, t.tally_id, w.requests, w.failed, w.ms, w.posts, w.reels, w.queue_ms, w.account_ms,
               w.posts_ms, w.reels_ms, w.update_ms, w.waiting_ms, w.interrupted_ms, w.message, w.endpoint,
               w.http_status, w.failure, w.upstream_message
        from unnest($1::uuid[], $2::jsonb[], $3::jsonb[], $4::int[], $5::int[], $6::bigint[], $7::int[], $8::int[],
                    $9::int[], $10::int[], $11::int[], $12::int[], $13::int[], $14::int[], $15::int[], $16::int[],
                    $17::text[], $18::text[], $19::int[], $20::text[], $21::text[])
            as w (run_id, by_type, by_level, requests, failed, bytes, ms, posts, reels, queue_ms, account_ms, posts_ms,
                  reels_ms, update_ms, waiting_ms, interrupted_ms, message, endpoint, http_status, failure,
                  upstream_message)
        left join event_tallies t on t.by_type = w.by_type and t.by_level = w.by_level
        on conflict (run_id) do update
            set (bytes, tally_id, requests, requests_failed, requests_ms, posts, reels, queue_ms, account_ms, posts_ms,
                 reels_ms, update_ms, waiting_ms, interrupted_ms, message, endpoint, http_status, failure,
                 upstream_message) =
                (excluded.bytes, excluded.tally_id, excluded.requests, excluded.requests_failed, excluded.requests_ms,
                 excluded.posts, excluded.reels, excluded.queue_ms, excluded.account_ms, excluded.posts_ms,
                 excluded.reels_ms, excluded.update_ms, excluded.waiting_ms, excluded.interrupted_ms,
                 excluded.message, excluded.endpoint, excluded.http_status, excluded.failure, excluded.upstream_message)
            where excluded.tally_id is not null
        returning run_id, xmax = 0 as "is_new!"
        "#,
        &column(summaries, |s| s.run_id.0),
        &by_type as &[Option<Value>],
        &by_level as &[Option<Value>],
        &column(summaries, |s| s.requests),
        &column(summaries, |s| s.asked.map(|asked| asked.failed)) as &[Option<i32>],
        &column(summaries, |s| s.asked.map(|asked| asked.bytes)) as &[Option<i64>],
        &column(summaries, |s| s.asked.map(|asked| asked.ms)) as &[Option<i32>],
        &column(summaries, |s| s.posts) as &[Option<i32>],
        &column(summaries, |s| s.reels) as &[Option<i32>],
        &column(summaries, |s| s.phases.queue) as &[Option<i32>],
        &column(summaries, |s| s.phases.account) as &[Option<i32>],
        &column(summaries, |s| s.phases.posts) as &[Option<i32>],
        &column(summaries, |s| s.phases.reels) as &[Option<i32>],
        &column(summaries, |s| s.phases.update) as &[Option<i32>],
        &column(summaries, |s| s.phases.waiting) as &[Option<i32>],
        &column(summaries, |s| s.phases.interrupted) as &[Option<i32>],
        &said(summaries, |word| Some(word.message.clone())) as &[Option<String>],
        &said(summaries, |word| word.endpoint.clone()) as &[Option<String>],
        &said(summaries, |word| word.http_status) as &[Option<i32>],
        &said(summaries, |word| word.failure.clone()) as &[Option<String>],
        &said(summaries, |word| word.upstream_message.clone()) as &[Option<String>],
    )
    .fetch_all(db)
    .await?;
    Ok(written.into_iter().filter(|row| row.is_new).map(|row| row.run_id).collect())
}

fn column<T, C>(rows: &[T], value: impl Fn(&T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

fn said<C>(summaries: &[Summary], value: impl Fn(&LastWord) -> Option<C>) -> Vec<Option<C>> {
    column(summaries, |summary| summary.last_word.as_ref().and_then(&value))
}
