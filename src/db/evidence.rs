//! All that a run left, for whoever looks into it later: its row, its requests with the bodies that are kept, and what was
//! known before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::{Reason, RunState, Trigger};
use super::tasks::{Source, TaskKind};
use super::{RunId, TaskId};

/// A run's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// What was to be scraped.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// From where.
    pub source: Source,
    /// What asked for it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// How often it was taken up.
    pub attempt: i32,
    /// The replica's boot that took it up last.
    pub worker_id: Option<Uuid>,
    /// How many events it has.
    pub last_seq: i64,
    /// How many requests it made.
    pub last_exchange: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it has to have ended.
    pub deadline_at: DateTime<Utc>,
    /// When a client asked to stop it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When it may be claimed, where it is active.
    pub claimable_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How far it came.
    pub checkpoint: Option<Value>,
    /// How far it was when its last attempt began, where that is kept.
    pub began_at: Option<Value>,
    /// The database's time at this look.
    pub now: DateTime<Utc>,
}

/// A run, as it stands.
pub async fn run(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        r#"
        select run_id as "run_id: RunId", task_id as "task_id: TaskId", kind as "kind: TaskKind", username,
               source as "source: Source", trigger as "trigger: Trigger", state as "state: RunState",
               reason as "reason: Reason", attempt, worker_id, last_seq, last_exchange, requested_at, started_at, updated_at,
               deadline_at, cancel_requested_at, claimable_at, finished_at, checkpoint, began_at, now() as "now!"
        from runs
        where run_id = $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// A request and its answer, as far as they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its number in the run.
    pub seq: i64,
    /// When it was complete.
    pub at: DateTime<Utc>,
    /// The attempt that made it.
    pub attempt: i32,
    /// `web` or `graph`.
    pub source: String,
    /// The credential that it was asked with, where that is known.
    pub credential: Option<String>,
    /// The endpoint's short name.
    pub endpoint: String,
    /// `GET` or `POST`.
    pub method: String,
    /// The address asked.
    pub url: String,
    /// The HTTP status, where an answer came.
    pub status: Option<i16>,
    /// In milliseconds.
    pub duration_ms: f64,
    /// The size of the answer's body.
    pub bytes: i64,
    /// The failure's name, where it failed.
    pub failure: Option<String>,
    /// The headers of the answer on which its reading depends: pairs of a name and a value.
    pub headers: Option<Value>,
    /// The answer's body (zstd), where it is kept.
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
}

/// Up to `limit` requests of a run behind this seq, oldest first, with the bodies that are kept.
pub async fn requests(db: impl PgExecutor<'_>, run_id: RunId, after: i64, limit: i64) -> sqlx::Result<Vec<Request>> {
    sqlx::query_as!(
        Request,
        r#"
        select seq, at, attempt, source, credential, endpoint, method, url, status, duration_ms, bytes, failure, headers,
               body
        from run_exchanges
        where run_id = $1 and seq > $2
        order by seq
        limit $3
        "#,
        run_id.0,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// How the task's account was known before the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Instagram's own number of the account.
    pub instagram_pk: Option<i64>,
    /// Its handle at the time.
    pub username: String,
}

/// The last whole scan before the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scan {
    /// When the newest post was published that it read.
    pub newest_taken_at: DateTime<Utc>,
    /// How many of the latest posts are known without a gap.
    pub depth: i32,
    /// Whether it came to the end of the list.
    pub reached_end: bool,
    /// How many scans in a row stopped at what was known.
    pub since_full: i32,
}

/// A post that was known before the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Post {
    /// The code in its address.
    pub shortcode: String,
    /// When it was published.
    pub taken_at: Option<DateTime<Utc>>,
    /// Whether it is a reel.
    pub is_reel: bool,
    /// Whether an earlier scan had missed it.
    pub is_missing: bool,
}

/// What was known before a run, as far as the tables tell it still.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Known {
    /// The account that the task's earlier runs had read.
    pub account: Option<Account>,
    /// The last whole scan of its kind, where no later one has taken its place.
    pub scan: Option<Scan>,
    /// The account's posts, the latest first.
    pub posts: Vec<Post>,
}

/// The account that the task's runs before this one had read, under the handle that it had then.
pub async fn account_before(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"
        select p.instagram_pk,
               coalesce(
                   (select n.username from profile_names n
                    where n.profile_id = p.profile_id and n.observed_from <= coalesce(r.started_at, r.requested_at)
                    order by n.observed_from desc limit 1),
                   p.username) as "username!"
        from runs r
        cross join lateral (
            select before.profile_id
            from runs before
            where before.task_id = r.task_id and before.username = r.username and before.run_id < r.run_id
                and before.profile_id is not null
            order by before.run_id desc
            limit 1
        ) as read
        join profiles p on p.profile_id = read.profile_id
        where r.run_id = $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// The last whole scan before a run of the account that it read.
pub async fn scan_before(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Scan>> {
    sqlx::query_as!(
        Scan,
        r#"
        select s.newest_taken_at, s.depth, s.reached_end, s.since_full
        from runs r
        join scans s on s.profile_id = r.profile_id and s.kind = r.kind
        where r.run_id = $1 and s.run_id < $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// The latest posts that were known before a run of the account that it read, or that its task's earlier runs did.
pub async fn posts_before(db: impl PgExecutor<'_>, run_id: RunId, limit: i64) -> sqlx::Result<Vec<Post>> {
    sqlx::query_as!(
        Post,
        r#"
        select m.shortcode, m.taken_at, m.is_reel,
               coalesce(m.missing_since < coalesce(r.started_at, r.requested_at), false) as "is_missing!"
        from runs r
        join media m on m.profile_id = coalesce(
            r.profile_id,
            (select before.profile_id from runs before
             where before.task_id = r.task_id and before.username = r.username and before.run_id < r.run_id
                 and before.profile_id is not null
             order by before.run_id desc limit 1))
        where r.run_id = $1 and m.first_seen_at < coalesce(r.started_at, r.requested_at)
        order by m.taken_at desc nulls last, m.shortcode
        limit $2
        "#,
        run_id.0,
        limit,
    )
    .fetch_all(db)
    .await
}
