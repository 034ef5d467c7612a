//! A scrape is started, answered at once and worked in the background, or cancelled.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::App;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::KnownTaskId;
use crate::db::TaskId;
use crate::db::runs::Trigger;
use crate::db::tasks::TaskKind;
use crate::runs::{CancelOutcome, StartOutcome};

/// `POST force_scrape/<task_id>`: starts a run of a profile task.
///
/// 409 while one is active, 404 for an unknown task, 400 for a reel task.
pub(in crate::http) async fn force_scrape(
    State(app): State<App>,
    KnownTaskId(task_id): KnownTaskId,
) -> Result<Response, ApiError> {
    start(&app, task_id, TaskKind::Profile, "Task scraping initiated successfully").await
}

/// `POST force_scrape_reel/<task_id>`: starts a run of a reel task; 400 for a profile task.
pub(in crate::http) async fn force_scrape_reel(
    State(app): State<App>,
    KnownTaskId(task_id): KnownTaskId,
) -> Result<Response, ApiError> {
    start(&app, task_id, TaskKind::Reel, "Reel tracking task scraping initiated successfully").await
}

async fn start(app: &App, task_id: TaskId, kind: TaskKind, message: &'static str) -> Result<Response, ApiError> {
    match app.runs.start(task_id.clone(), kind, Trigger::Api).await? {
        StartOutcome::Started(_) => {
            let answer = json!({"result": true, "message": message, "task_id": task_id, "status": "processing"});
            Ok(Json(answer).into_response())
        }
        StartOutcome::Busy => Err(ApiError::new(ProblemType::TaskBusy, "Task is already being processed")),
        StartOutcome::OtherKind => Err(ApiError::bad_request(match kind {
            TaskKind::Profile => "Task is a reel tracking task; use force_scrape_reel",
            TaskKind::Reel => "Task is not a reel tracking task; use force_scrape",
        })),
        StartOutcome::NoSuchTask => Err(ApiError::no_such_task()),
    }
}

/// `POST cancel/<task_id>`: stops the task's active run, wherever it stands; what was stored stays.
///
/// `cancelled` where the run has ended as such, now or before; `cancelling` where a worker has it and was told to stop.
/// 404 for an unknown task, 409 where it has never run or its latest run ended otherwise.
pub(in crate::http) async fn cancel(
    State(app): State<App>,
    KnownTaskId(task_id): KnownTaskId,
) -> Result<Response, ApiError> {
    let (message, status) = match app.runs.cancel(task_id.clone()).await? {
        CancelOutcome::Cancelled => ("Task scraping cancelled", "cancelled"),
        CancelOutcome::Stopping => ("Task scraping is being cancelled", "cancelling"),
        CancelOutcome::NotProcessing => {
            return Err(ApiError::new(ProblemType::NotProcessing, "Task is not being processed"));
        }
        CancelOutcome::NoSuchTask => return Err(ApiError::no_such_task()),
    };
    Ok(Json(json!({"result": true, "message": message, "task_id": task_id, "status": status})).into_response())
}
