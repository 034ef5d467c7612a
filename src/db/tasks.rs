//! The table `tasks`: what to track.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::states::RunState;
use super::{RunId, TaskId};

/// What a task brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, sqlx::Type)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
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
    /// It is new, was there with the same target, or was deleted and lives again.
    Created,
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
    let same = sqlx::query_scalar!(
        r#"
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
        returning true as "same!"
        "#,
        task_id.as_str(),
        kind.as_str(),
        username,
        source.map(Source::as_str),
    )
    .fetch_optional(db)
    .await?;
    Ok(if same.is_some() { Creation::Created } else { Creation::Taken })
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

/// A task in a list, with the state of its latest run.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The task's name.
    pub task_id: TaskId,
    /// What it brings up to date.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The state of its latest run; `None` where it never ran.
    pub latest_state: Option<RunState>,
    /// When its latest run last moved.
    pub latest_updated_at: Option<DateTime<Utc>>,
}

/// The tasks that live, oldest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64, offset: i64) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as!(
        Listed,
        r#"
        select t.task_id as "task_id: TaskId", t.kind as "kind: TaskKind", t.username, t.created_at,
               latest.state as "latest_state?: RunState", latest.updated_at as "latest_updated_at?"
        from tasks t
        left join lateral (
            select state, updated_at from runs r where r.task_id = t.task_id order by r.run_id desc limit 1
        ) as latest on true
        where t.state = 'active'
        order by t.created_at, t.task_id
        limit $1 offset $2
        "#,
        limit,
        offset,
    )
    .fetch_all(db)
    .await
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
pub async fn delete(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Deleted>> {
    sqlx::query_as!(
        Deleted,
        r#"
        with deleted as (
            update tasks set state = 'deleted', deleted_at = now(), updated_at = now()
            where task_id = $1 and state = 'active'
            returning task_id
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
    )
    .fetch_optional(db)
    .await
}
