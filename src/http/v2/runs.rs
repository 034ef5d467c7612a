//! Runs: start, list, show and wait for, cancel, do anew.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::App;
use super::super::auth::LetIn;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::events::narrow;
use super::filter::Many;
use super::handle::Handle;
use super::idempotency::{Done, IdempotencyKey, Once, Then};
use super::page::{Cursor, Limit, Order, Page};
use super::query::{NoBody, Query};
use super::run::{Run, address, no_such_run};
use super::time::Time;
use super::{path, wait};
use crate::db::run_lists::{self, Filter};
use crate::db::runs::{Reason, RunState, Trigger};
use crate::db::tasks::{self, Source, Task, TaskKind};
use crate::db::{self, RunId, TaskId, status};
use crate::runs::{Cancellation, StartOutcome, View};

/// Start a run of a task
///
/// Answered at once; the run is worked in the background. A task has one active run at most: where it has one, the answer
/// is 409 and tells of it.
#[utoipa::path(post, path = "/tasks/{task_id}/runs", tag = "runs",
    params(("task_id" = TaskId, Path), IdempotencyKey),
    responses(
        (status = 202, description = "The new run", body = Run,
         headers(("Location" = String, description = "Where it is"))),
        (status = 400, description = "The body is neither empty nor `{}`, or the key is not as documented"),
        (status = 404, description = "There is no such task"),
        (status = 409, description = "`task-busy`: the task has an active run, which `run_id`, `state`, `step`, \
         `age_seconds` and `Location` tell of", headers(("Location" = String, description = "Where the active run is"))),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type"),
        (status = 422, description = "`idempotency-key-reused`: the key was used for another request")))]
pub(in crate::http) async fn start(
    State(app): State<App>,
    path::Of(task_id): path::Of<TaskId>,
    once: Once,
    NoBody: NoBody,
) -> Result<Response, ApiError> {
    if once.has_key() {
        return begun_once(&app, once, task_id, None).await;
    }
    let task = tasks::find(&app.database(), &task_id).await?.ok_or_else(super::tasks::no_such_task)?;
    let wanted = Start::OfTask(&task_id, task.kind);
    begun(&app, wanted).await?.ok_or_else(super::tasks::no_such_task)
}

/// Starts a run under a key, in the transaction that keeps the key and the answer. What was answered is answered again, also
/// where the task has gone since.
async fn begun_once(app: &App, once: Once, task_id: TaskId, retry_of: Option<RunId>) -> Result<Response, ApiError> {
    let runs = app.runs.clone();
    once.run(app, b"", move |transaction| {
        async move {
            let Some(Task { kind, .. }) = tasks::find(&mut **transaction, &task_id).await? else {
                return Ok(Err(super::tasks::no_such_task()));
            };
            let pending = runs.start_in(transaction, task_id.clone(), kind, retry_of).await?;
            match pending.outcome() {
                StartOutcome::Started(run_id) => {
                    let view = runs.view_in(transaction, run_id).await?.ok_or(sqlx::Error::RowNotFound)?;
                    let done = Done::new(StatusCode::ACCEPTED, &Run::from(&view), Some(address(run_id)));
                    let then: Then = Box::new(move || pending.begin());
                    Ok(Ok((done, then)))
                }
                StartOutcome::Busy => {
                    let latest = status::of_task(&mut **transaction, &task_id).await?;
                    let view = match latest {
                        Some(latest) => runs.view_in(transaction, latest.run_id).await?,
                        None => None,
                    };
                    // It may have ended since.
                    Ok(Err(busy(view.as_ref().filter(|view| view.run.state.is_active()))))
                }
                // The kind is the task's own, which never changes.
                StartOutcome::NoSuchTask | StartOutcome::OtherKind => Ok(Err(super::tasks::no_such_task())),
            }
        }
        .boxed()
    })
    .await
}

/// What to start.
#[derive(Clone, Copy)]
enum Start<'a> {
    OfTask(&'a TaskId, TaskKind),
    Again(&'a db::run_lists::Run),
}

/// The answer to a start; `None` where the task is there no more.
async fn begun(app: &App, wanted: Start<'_>) -> Result<Option<Response>, ApiError> {
    /// How often a start is tried where the run in its way has ended by the time that it is looked at.
    const TRIES: usize = 3;
    let mut in_the_way = None;
    for _ in 0..TRIES {
        let (task_id, outcome) = match wanted {
            Start::OfTask(task_id, kind) => (task_id, app.runs.start(task_id.clone(), kind, Trigger::Api).await?),
            Start::Again(ended) => (&ended.task_id, app.runs.retry(ended).await?),
        };
        match outcome {
            StartOutcome::Started(run_id) => {
                let view = app.runs.view(run_id).await?.ok_or_else(no_such_run)?;
                return Ok(Some(told(StatusCode::ACCEPTED, &view)));
            }
            StartOutcome::Busy => {}
            // The kind is the task's own, which never changes.
            StartOutcome::NoSuchTask | StartOutcome::OtherKind => return Ok(None),
        }
        let Some(latest) = status::of_task(&app.database(), task_id).await? else { continue };
        in_the_way = app.runs.view(latest.run_id).await?;
        if in_the_way.as_ref().is_some_and(|view| view.run.state.is_active()) {
            break;
        }
    }
    Err(busy(in_the_way.as_deref()))
}

/// 409, with the run that is in the way.
fn busy(view: Option<&View>) -> ApiError {
    let Some(view) = view else {
        return ApiError::new(ProblemType::TaskBusy, "The task was busy a moment ago; try again");
    };
    let run = &view.run;
    let latest = view.latest_event.as_ref().map(|event| event.event_type.as_str());
    let step = view.stage.or(latest);
    let (state, age) = (run.state.as_str(), run.age_seconds);
    let at = step.map_or_else(String::new, |step| format!(" at {step}"));
    let detail = format!(
        "Run {} of this task is {state}{at}, asked for {age:.0} s ago; wait for its end or cancel it",
        run.run_id
    );
    let error = ApiError::new(ProblemType::TaskBusy, detail)
        .with("run_id", run.run_id)
        .with("state", run.state)
        .with("step", step)
        .with("age_seconds", age);
    match HeaderValue::try_from(address(run.run_id)) {
        Ok(location) => error.with_header(header::LOCATION, location),
        Err(_) => error,
    }
}

/// An answer that is a run. One that was accepted says where it will be seen.
fn told(status: StatusCode, view: &View) -> Response {
    let run = Run::from(view);
    let location = HeaderValue::try_from(address(run.run_id)).ok();
    let mut answer = (status, Json(run)).into_response();
    if let Some(location) = location.filter(|_| status == StatusCode::ACCEPTED) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// Which runs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// Only runs of this task; may be repeated.
    #[param(value_type = Vec<TaskId>, required = false, max_items = 50)]
    #[serde(default)]
    task: Many<TaskId>,
    /// Only runs for this account.
    #[param(nullable = false)]
    username: Option<Handle>,
    /// Only runs of this kind.
    #[param(nullable = false)]
    kind: Option<TaskKind>,
    /// Only runs that ask this source.
    #[param(nullable = false)]
    source: Option<Source>,
    /// Only runs that this has asked for.
    #[param(nullable = false)]
    trigger: Option<Trigger>,
    /// Only runs in this state; may be repeated.
    #[param(value_type = Vec<RunState>, required = false, max_items = 50)]
    #[serde(default)]
    state: Many<RunState>,
    /// Only runs that wait or did not succeed for this reason; may be repeated.
    #[param(value_type = Vec<Reason>, required = false, max_items = 50)]
    #[serde(default)]
    reason: Many<Reason>,
    /// Only runs that were asked for then or later.
    #[param(nullable = false)]
    since: Option<Time>,
    /// Only runs that were asked for earlier.
    #[param(nullable = false)]
    until: Option<Time>,
    /// The newest first (`desc`, as it is without) or the oldest.
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

/// List runs
///
/// In the order in which they were asked for, the newest first unless asked otherwise.
#[utoipa::path(get, path = "/runs", tag = "runs", params(Wanted),
    responses(
        (status = 200, description = "A page of runs", body = Page<Run>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 503, description = "The database is away, or the search took too long: narrow it")))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Run>>, ApiError> {
    let after: Option<(RunId,)> = Cursor::read(wanted.cursor.as_deref())?;
    let filter = Filter {
        tasks: wanted.task.wanted(),
        username: wanted.username.map(|handle| handle.as_str().to_owned()),
        kind: wanted.kind,
        source: wanted.source,
        trigger: wanted.trigger,
        states: wanted.state.wanted(),
        reasons: wanted.reason.wanted(),
        since: wanted.since.map(|since| since.0),
        until: wanted.until.map(|until| until.0),
        after: after.map(|(run_id,)| run_id),
        newest_first: wanted.order != Some(Order::Asc),
    };
    let database = app.database();
    let found = run_lists::page(&database, &filter, wanted.limit.and_one()).await.map_err(narrow)?;
    let views = app.runs.views(&database, found).await?;
    let runs: Vec<Run> = views.iter().map(Run::from).collect();
    Ok(Json(Page::of(runs, wanted.limit, |run| (run.run_id,))))
}

/// How to show a run.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Waiting {
    /// Seconds to wait until there is something new to tell.
    #[param(value_type = u8, required = false, minimum = 0, maximum = 60)]
    #[serde(default)]
    wait: wait::Seconds,
}

/// Show a run, or wait for it
///
/// With `wait` and an `If-None-Match` the answer comes as soon as the run is no longer as that tag says, or is 304 when the
/// time is over. With `wait` alone it comes as soon as the run has ended, or tells how it stands when the time is over. A
/// replica that shuts down answers at once.
#[utoipa::path(get, path = "/runs/{run_id}", tag = "runs",
    params(("run_id" = RunId, Path), Waiting,
           ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer")),
    responses(
        (status = 200, description = "The run", body = Run,
         headers(("ETag" = String, description = "Another one as soon as the run has moved"))),
        (status = 304, description = "It is as the tag says"),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "There is no such run")))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    Query(waiting): Query<Waiting>,
    let_in: LetIn,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let known = wait::Known::of(&headers);
    let view = tokio::select! {
        biased;
        view = wait::until_told(&app, run_id, waiting.wait, &known) => view?.ok_or_else(no_such_run)?,
        error = let_in.refused() => return Err(error),
    };
    let tag = wait::tag(&view);
    let mut answer = match known.has(&tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(Run::from(&*view)).into_response(),
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// Cancel a run
///
/// What it stored stays. Asked again, the answer is the same.
#[utoipa::path(post, path = "/runs/{run_id}/cancel", tag = "runs", params(("run_id" = RunId, Path)),
    responses(
        (status = 202, description = "A worker has it and was told to stop", body = Run,
         headers(("Location" = String, description = "Where its end will be seen"))),
        (status = 200, description = "It has ended as cancelled, now or before", body = Run),
        (status = 400, description = "The body is neither empty nor `{}`"),
        (status = 404, description = "There is no such run"),
        (status = 409, description = "`not-processing`: it has ended otherwise; `run_id` and `state` tell how"),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type")))]
pub(in crate::http) async fn cancel(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    NoBody: NoBody,
) -> Result<Response, ApiError> {
    let status = match app.runs.cancel_run(run_id).await?.ok_or_else(no_such_run)? {
        Cancellation::Stopping => StatusCode::ACCEPTED,
        Cancellation::Ended(RunState::Cancelled) => StatusCode::OK,
        Cancellation::Ended(state) => {
            let detail = format!("The run has ended as {} and cannot be cancelled any more", state.as_str());
            let error = ApiError::new(ProblemType::NotProcessing, detail);
            return Err(error.with("run_id", run_id).with("state", state));
        }
    };
    let view = app.runs.view(run_id).await?.ok_or_else(no_such_run)?;
    Ok(told(status, &view))
}

/// Do a run anew
///
/// Starts a new run of the same task. Its trigger is `retry`, and its first event names the run that it does anew
/// (`retry_of`).
#[utoipa::path(post, path = "/runs/{run_id}/retry", tag = "runs",
    params(("run_id" = RunId, Path), IdempotencyKey),
    responses(
        (status = 202, description = "The new run", body = Run,
         headers(("Location" = String, description = "Where it is"))),
        (status = 400, description = "The body is neither empty nor `{}`"),
        (status = 404, description = "There is no such run, or its task was deleted"),
        (status = 409, description = "`task-busy`: this run or another one of its task is active",
         headers(("Location" = String, description = "Where the active run is"))),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 415, description = "The body is not JSON by its Content-Type"),
        (status = 422, description = "`idempotency-key-reused`: the key was used for another request")))]
pub(in crate::http) async fn retry(
    State(app): State<App>,
    path::Of(run_id): path::Of<RunId>,
    once: Once,
    NoBody: NoBody,
) -> Result<Response, ApiError> {
    let view = app.runs.view(run_id).await?.ok_or_else(no_such_run)?;
    if view.run.state.is_active() {
        return Err(busy(Some(&view)));
    }
    if once.has_key() {
        return begun_once(&app, once, view.run.task_id.clone(), Some(run_id)).await;
    }
    begun(&app, Start::Again(&view.run)).await?.ok_or_else(|| {
        let task_id = &view.run.task_id;
        ApiError::new(ProblemType::NotFound, format!("Its task {task_id} was deleted; create it again first"))
    })
}
