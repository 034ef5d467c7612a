//! The table `tasks`: what to track.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::audit::Author;
use super::states::{Reason, RunState};
use super::{RunId, TaskId};

/// What a task brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum TaskKind {
    /// An account and its latest posts.
    Profile,
    /// An account's reels with their own numbers.
    Reel,
}

impl TaskKind {
    /// The name in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Reel => "reel",
        }
    }
}

/// Which source a task asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Source {
    /// Whichever fits best.
    Auto,
    /// Instagram's web endpoints.
    Web,
    /// The official Graph API.
    Graph,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub task_id: TaskId,
    /// What it brings up to date.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// From where.
    pub source: Source,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What became of a request to create a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is new, or was deleted and lives again.
    Created,
    /// It was there with the same target.
    Existed,
    /// The name belongs to a task with another target.
    Taken,
}

impl Source {
    /// The name in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Web => "web",
            Self::Graph => "graph",
        }
    }
}

/// Creates a task, or finds the one of that name. A deleted task with the same target lives again with its history.
pub async fn create(
    db: impl PgExecutor<'_>,
    task_id: &TaskId,
    kind: TaskKind,
    username: &str,
) -> sqlx::Result<Creation> {
    create_from(db, task_id, kind, username, None).await
}

/// The same with the source that its runs ask; `None` leaves it as it is, and a new task `auto`.
pub async fn create_from(
    db: impl PgExecutor<'_>,
    task_id: &TaskId,
    kind: TaskKind,
    username: &str,
    source: Option<Source>,
) -> sqlx::Result<Creation> {
    let existed = sqlx::query_scalar!(
        r#"
        with before as (select state from tasks where task_id = $1)
        insert into tasks as t (task_id, kind, username, source)
        values ($1, $2, $3, coalesce($4::text, 'auto'))
        on conflict (task_id) do update
            set state = 'active',
                deleted_at = null,
                source = coalesce($4, t.source),
                updated_at = case
                    when t.state = 'deleted' or coalesce($4, t.source) <> t.source then now()
                    else t.updated_at
                end
            where t.kind = excluded.kind and t.username = excluded.username
        returning coalesce((select state = 'active' from before), false) as "existed!"
        "#,
        task_id.as_str(),
        kind.as_str(),
        username,
        source.map(Source::as_str),
    )
    .fetch_optional(db)
    .await?;
    Ok(match existed {
        Some(false) => Creation::Created,
        Some(true) => Creation::Existed,
        None => Creation::Taken,
    })
}

/// A task that lives.
pub async fn find(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Task>> {
    sqlx::query_as!(
        Task,
        r#"
        select task_id as "task_id: TaskId", kind as "kind: TaskKind", username, source as "source: Source",
               created_at, updated_at
        from tasks
        where task_id = $1 and state = 'active'
        "#,
        task_id.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// A task that lives, with its latest run.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The task's name.
    pub task_id: TaskId,
    /// What it brings up to date.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// From where.
    pub source: Source,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Its latest run; `None` where it never ran.
    pub latest: Option<LatestRun>,
}

/// Where a task's latest run stands.
#[derive(Clone, Copy, Debug)]
pub struct LatestRun {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
}

/// A task and its latest run in one row.
struct Row {
    task_id: TaskId,
    kind: TaskKind,
    username: String,
    source: Source,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    run_id: Option<RunId>,
    run_state: Option<RunState>,
    run_reason: Option<Reason>,
    run_requested_at: Option<DateTime<Utc>>,
    run_updated_at: Option<DateTime<Utc>>,
}

impl From<Row> for Listed {
    fn from(row: Row) -> Self {
        let latest = || {
            Some(LatestRun {
                run_id: row.run_id?,
                state: row.run_state?,
                reason: row.run_reason,
                requested_at: row.run_requested_at?,
                updated_at: row.run_updated_at?,
            })
        };
        Self {
            latest: latest(),
            task_id: row.task_id,
            kind: row.kind,
            username: row.username,
            source: row.source,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The tasks that live and answer to a condition, each with its latest run.
macro_rules! listed {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
            select t.task_id as "task_id: TaskId", t.kind as "kind: TaskKind", t.username,
                   t.source as "source: Source", t.created_at, t.updated_at,
                   latest.run_id as "run_id?: RunId", latest.state as "run_state?: RunState",
                   latest.reason as "run_reason?: Reason", latest.requested_at as "run_requested_at?",
                   latest.updated_at as "run_updated_at?"
            from tasks t
            left join lateral (
                select r.run_id, r.state, r.reason, r.requested_at, r.updated_at
                from runs r where r.task_id = t.task_id order by r.run_id desc limit 1
            ) as latest on true
            where t.state = 'active'
            "# + $rest,
            $($argument),*
        )
    };
}

/// The tasks that live, oldest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64, offset: i64) -> sqlx::Result<Vec<Listed>> {
    let rows = listed!("order by t.created_at, t.task_id limit $1 offset $2", limit, offset).fetch_all(db).await?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// A task that lives, with its latest run.
pub async fn listed(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Listed>> {
    Ok(listed!("and t.task_id = $1", task_id.as_str()).fetch_optional(db).await?.map(Listed::from))
}

/// Which tasks are looked for; what is `None` is not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// What they bring up to date.
    pub kind: Option<TaskKind>,
    /// Whose they are.
    pub username: Option<&'a str>,
    /// Which source they ask.
    pub source: Option<Source>,
    /// Where their latest run stands.
    pub latest_state: Option<RunState>,
    /// Those that come after this one.
    pub after: Option<(DateTime<Utc>, &'a TaskId)>,
    /// In which order.
    pub newest_first: bool,
}

/// The first so many of the tasks that are looked for.
pub async fn page(db: impl PgExecutor<'_>, filter: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Listed>> {
    macro_rules! page {
        ($rest:literal) => {
            listed!(
                $rest,
                filter.kind.map(TaskKind::as_str),
                filter.username,
                filter.source.map(Source::as_str),
                filter.latest_state.map(RunState::as_str),
                filter.after.map(|(at, _)| at),
                filter.after.map_or("", |(_, id)| id.as_str()),
                limit,
            )
            .fetch_all(db)
            .await?
        };
    }
    let rows = if filter.newest_first {
        page!(
            "and ($1::text is null or t.kind = $1) and ($2::text is null or t.username = $2)
             and ($3::text is null or t.source = $3) and ($4::text is null or latest.state = $4)
             and (t.created_at, t.task_id) < (coalesce($5::timestamptz, 'infinity'), $6)
             order by t.created_at desc, t.task_id desc limit $7"
        )
    } else {
        page!(
            "and ($1::text is null or t.kind = $1) and ($2::text is null or t.username = $2)
             and ($3::text is null or t.source = $3) and ($4::text is null or latest.state = $4)
             and (t.created_at, t.task_id) > (coalesce($5::timestamptz, '-infinity'), $6)
             order by t.created_at, t.task_id limit $7"
        )
    };
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// Sets which source a task's next runs ask.
pub async fn set_source(db: impl PgExecutor<'_>, task_id: &TaskId, source: Source) -> sqlx::Result<()> {
    sqlx::query!(
        "update tasks set source = $2, updated_at = now() where task_id = $1 and state = 'active' and source <> $2",
        task_id.as_str(),
        source.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many tasks live.
pub async fn count(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from tasks where state = 'active'"#).fetch_one(db).await
}

/// What a deletion met.
#[derive(Clone, Copy, Debug)]
pub struct Deleted {
    /// Its active run, which is asked to stop.
    pub stopping: Option<RunId>,
}

/// Deletes a task and asks its active run to stop; its history stays. `None` where there is no such task.
pub async fn delete(db: impl PgExecutor<'_>, task_id: &TaskId, author: &Author) -> sqlx::Result<Option<Deleted>> {
    sqlx::query_as!(
        Deleted,
        r#"
        with deleted as (
            update tasks set state = 'deleted', deleted_at = now(), updated_at = now()
            where task_id = $1 and state = 'active'
            returning task_id, kind, username
        ), audited as (
            insert into audit (who, act, object, details, request_id, address)
            select $2, 'tasks.delete', task_id, jsonb_build_object('kind', kind, 'username', username), $3, $4
            from deleted
        ), stopping as (
            update runs r
            set cancel_requested_at = coalesce(r.cancel_requested_at, now()),
                claimable_at = case when r.state = 'waiting' then now() else r.claimable_at end
            from deleted
            where r.task_id = deleted.task_id and r.state in ('queued', 'running', 'waiting')
            returning r.run_id
        )
        select (select run_id from stopping) as "stopping: RunId" from deleted
        "#,
        task_id.as_str(),
        author.who,
        author.request_id,
        author.address,
    )
    .fetch_optional(db)
    .await
}
