//! Tasks: what to track.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::auth::By;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::handle::Handle;
use super::idempotency::{Act, Done, IdempotencyKey, Once};
use super::page::{Cursor, Limit, Order, Page};
use super::path;
use super::query::{Body, NoQuery, Query};
use super::time::Time;
use crate::db::runs::{Reason, RunState};
use crate::db::tasks::{self, Creation, Filter, Listed, Source, TaskKind};
use crate::db::{RunId, TaskId, Transaction};

/// What to track: one account, as a profile or for its reels.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Task {
    /// The name that a client gave it, or a version 7 UUID.
    task_id: TaskId,
    /// `profile`: the account and its latest posts; `reel`: its reels with their own numbers.
    kind: TaskKind,
    /// The account's handle in lower case, as it was asked for.
    #[schema(example = "nasa")]
    username: String,
    /// Which source its runs ask.
    source: Source,
    /// When it was created.
    created_at: Time,
    /// When the task itself last changed; a run does not change it.
    updated_at: Time,
    /// Its latest run; null where it never ran.
    #[schema(required = true)]
    latest_run: Option<LatestRun>,
}

/// Where a task's latest run stands.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LatestRun {
    /// The run.
    run_id: RunId,
    /// Where it stands.
    state: RunState,
    /// Why it waits or did not succeed; null where it runs or succeeded.
    #[schema(required = true)]
    reason: Option<Reason>,
    /// When it was asked for.
    requested_at: Time,
    /// When it last moved.
    updated_at: Time,
}

impl From<Listed> for Task {
    fn from(task: Listed) -> Self {
        Self {
            task_id: task.task_id,
            kind: task.kind,
            username: task.username,
            source: task.source,
            created_at: task.created_at.into(),
            updated_at: task.updated_at.into(),
            latest_run: task.latest.map(|run| LatestRun {
                run_id: run.run_id,
                state: run.state,
                reason: run.reason,
                requested_at: run.requested_at.into(),
                updated_at: run.updated_at.into(),
            }),
        }
    }
}

/// A task to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewTask {
    /// The account: its handle, such as `nasa` or `@nasa`.
    username: Handle,
    /// What to bring up to date.
    kind: TaskKind,
    /// A name of your own; left out, the task is given one.
    #[serde(default)]
    task_id: Option<TaskId>,
    /// Which source to ask; left out, `auto`.
    #[serde(default)]
    source: Option<Source>,
}

/// Create a task
///
/// With a `task_id` the request can be sent again: a task that is there with the same target is answered with 200. A deleted
/// task of the same target lives again, with its history.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = NewTask, params(IdempotencyKey),
    responses(
        (status = 201, description = "The new task", body = Task,
         headers(("Location" = String, description = "Where it is"))),
        (status = 200, description = "The task was there already, with this target", body = Task),
        (status = 400, description = "A field or the key is not as documented"),
        (status = 409, description = "`task-id-taken`: the name belongs to another target"),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type"),
        (status = 422, description = "`idempotency-key-reused`: the key was used for another request")))]
pub(in crate::http) async fn create(
    State(app): State<App>,
    once: Once,
    Body { read: new, bytes }: Body<NewTask>,
) -> Result<Response, ApiError> {
    once.run(&app, &bytes, |transaction| make(new, transaction).boxed()).await
}

async fn make(new: NewTask, transaction: &mut Transaction) -> sqlx::Result<Act> {
    let task_id = new.task_id.unwrap_or_else(TaskId::generate);
    let username = new.username.as_str();
    let status = match tasks::create_from(&mut **transaction, &task_id, new.kind, username, new.source).await? {
        Creation::Created => StatusCode::CREATED,
        Creation::Existed => StatusCode::OK,
        Creation::Taken => {
            let detail =
                format!("task_id {task_id} belongs to a task with another target; choose another, or leave it out");
            return Ok(Err(ApiError::new(ProblemType::TaskIdTaken, detail)));
        }
    };
    let Some(task) = tasks::listed(&mut **transaction, &task_id).await? else { return Ok(Err(no_such_task())) };
    let done = Done::new(status, &Task::from(task), Some(format!("/api/v2/tasks/{task_id}")));
    Ok(Ok((done, Box::new(|| {}))))
}

/// Which tasks to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// Only tasks of this kind.
    #[param(nullable = false)]
    kind: Option<TaskKind>,
    /// Only tasks for this account.
    #[param(nullable = false, inline)]
    username: Option<Handle>,
    /// Only tasks that ask this source.
    #[param(nullable = false)]
    source: Option<Source>,
    /// Only tasks whose latest run stands in this state.
    #[param(nullable = false)]
    state: Option<RunState>,
    /// The oldest first (`asc`) or the newest.
    #[param(nullable = false, inline)]
    order: Option<Order>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// List the tasks
///
/// Those that live, the oldest first unless asked otherwise.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(Wanted),
    responses(
        (status = 200, description = "A page of tasks", body = Page<Task>),
        (status = 400, description = "A parameter is not as documented")))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Task>>, ApiError> {
    let after: Option<(DateTime<Utc>, TaskId)> = Cursor::read(wanted.cursor.as_deref())?;
    let filter = Filter {
        kind: wanted.kind,
        username: wanted.username.as_ref().map(Handle::as_str),
        source: wanted.source,
        latest_state: wanted.state,
        after: after.as_ref().map(|(at, id)| (*at, id)),
        newest_first: wanted.order == Some(Order::Desc),
    };
    let found = tasks::page(&app.database(), &filter, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.created_at, last.task_id.clone())).map(Task::from)))
}

/// Show a task
#[utoipa::path(get, path = "/tasks/{task_id}", tag = "tasks", params(("task_id" = inline(TaskId), Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 404, description = "There is no such task")))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    path::Of(task_id): path::Of<TaskId>,
    NoQuery: NoQuery,
) -> Result<Json<Task>, ApiError> {
    let task = tasks::listed(&app.database(), &task_id).await?.ok_or_else(no_such_task)?;
    Ok(Json(task.into()))
}

/// What of a task to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Change {
    /// Which source its next runs ask.
    #[serde(default)]
    source: Option<Source>,
}

/// Change a task
///
/// What is left out stays. A run that is under way goes on as it began.
#[utoipa::path(patch, path = "/tasks/{task_id}", tag = "tasks", request_body = Change,
    params(("task_id" = inline(TaskId), Path, description = "The task")),
    responses(
        (status = 200, description = "The task as it is now", body = Task),
        (status = 400, description = "A field is not as documented"),
        (status = 404, description = "There is no such task"),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type")))]
pub(in crate::http) async fn change(
    State(app): State<App>,
    path::Of(task_id): path::Of<TaskId>,
    Body { read: change, .. }: Body<Change>,
) -> Result<Json<Task>, ApiError> {
    let database = app.database();
    if let Some(source) = change.source {
        tasks::set_source(&database, &task_id, source).await?;
    }
    let task = tasks::listed(&database, &task_id).await?.ok_or_else(no_such_task)?;
    Ok(Json(task.into()))
}

/// Delete a task
///
/// It takes no more runs, an active one is cancelled, its history stays.
#[utoipa::path(delete, path = "/tasks/{task_id}", tag = "tasks", params(("task_id" = inline(TaskId), Path, description = "The task")),
    responses(
        (status = 204, description = "The task is deleted"),
        (status = 404, description = "There is no such task")))]
pub(in crate::http) async fn delete(
    State(app): State<App>,
    By(author): By,
    path::Of(task_id): path::Of<TaskId>,
    NoQuery: NoQuery,
) -> Result<StatusCode, ApiError> {
    if app.runs.delete_task(task_id, author).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_task()) }
}

/// 404.
pub(super) fn no_such_task() -> ApiError {
    ApiError::new(ProblemType::NotFound, "There is no such task; GET /api/v2/tasks lists those that live")
}
