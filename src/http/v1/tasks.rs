//! Tasks: create, list, delete.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::App;
use super::super::auth::By;
use super::super::body::read;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::super::query::whole_number;
use super::{KnownTaskId, status_word};
use crate::db::TaskId;
use crate::db::tasks::{self, Creation, Source, TaskKind};
use crate::instagram::Username;

/// `POST create_task` `{"username": …, "task_id"?: …, "source"?: …}`: a task for an account and its latest posts.
///
/// The same id with the same target again gives the same answer; with another target, 409. Another source is none: it is
/// taken over.
pub(in crate::http) async fn create_profile_task(State(app): State<App>, body: Body) -> Result<Response, ApiError> {
    create(&app, TaskKind::Profile, "Task created successfully", body).await
}

/// `POST create_reel_task`: the same for an account's reels.
pub(in crate::http) async fn create_reel_task(State(app): State<App>, body: Body) -> Result<Response, ApiError> {
    create(&app, TaskKind::Reel, "Reel tracking task created successfully", body).await
}

async fn create(app: &App, kind: TaskKind, message: &'static str, body: Body) -> Result<Response, ApiError> {
    let NewTask { username, task_id, source } = NewTask::read(&read(body).await?)?;
    match tasks::create_from(&app.database(), &task_id, kind, username.as_str(), source).await? {
        Creation::Created | Creation::Existed => {
            Ok(Json(json!({"result": true, "message": message, "task_id": task_id})).into_response())
        }
        Creation::Taken => Err(ApiError::new(
            ProblemType::TaskIdTaken,
            format!("task_id {task_id} belongs to a task with another target; choose another task_id or leave it out"),
        )),
    }
}

/// A request to create a task, whatever its content type says.
struct NewTask {
    username: Username,
    task_id: TaskId,
    source: Option<Source>,
}

impl NewTask {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        const EXAMPLE: &str = r#"send a JSON object such as {"username": "nasa"}"#;
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("The body is not JSON ({error}); {EXAMPLE}")))?;
        let Value::Object(body) = body else {
            return Err(ApiError::bad_request(format!("The body is not a JSON object; {EXAMPLE}")));
        };
        let username = match body.get("username") {
            Some(Value::String(text)) => {
                Username::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?
            }
            Some(Value::Null) | None => {
                return Err(ApiError::bad_request(format!("username is missing; {EXAMPLE}")));
            }
            Some(_) => return Err(ApiError::bad_request(format!("username must be a text; {EXAMPLE}"))),
        };
        let task_id = match body.get("task_id") {
            Some(Value::String(text)) => {
                TaskId::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?
            }
            Some(Value::Null) | None => TaskId::generate(),
            Some(_) => {
                return Err(ApiError::bad_request("task_id must be a text; leave it out to be given one"));
            }
        };
        let source = match body.get("source") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text == "auto" => Some(Source::Auto),
            Some(Value::String(text)) if text == "web" => Some(Source::Web),
            Some(Value::String(text)) if text == "graph" => Some(Source::Graph),
            Some(_) => {
                return Err(ApiError::bad_request("source must be auto, web or graph; leave it out for auto"));
            }
        };
        Ok(Self { username, task_id, source })
    }
}

/// A list has at most so many tasks a page.
const MAX_TASKS: i64 = 1000;

/// `GET tasks?limit=1..1000&offset=0..`: the tasks that live, oldest first, and how many there are in all.
pub(in crate::http) async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let limit = whole_number(query.as_deref(), "limit").unwrap_or(MAX_TASKS).clamp(1, MAX_TASKS);
    let offset = whole_number(query.as_deref(), "offset").unwrap_or(0).max(0);
    let database = app.database();
    let total = tasks::count(&database).await?;
    let listed: Vec<Value> = tasks::list(&database, limit, offset)
        .await?
        .into_iter()
        .map(|task| {
            json!({
                "task_id": task.task_id,
                "task_type": task.kind,
                "username": task.username,
                "created_at": task.created_at.timestamp(),
                "is_processing": task.latest.is_some_and(|run| run.state.is_active()),
                "status": task.latest.map(|run| status_word(run.state)),
                "updated_at": task.latest.map(|run| run.updated_at.timestamp()),
            })
        })
        .collect();
    Ok(Json(json!({"result": true, "response": listed, "total": total, "limit": limit, "offset": offset}))
        .into_response())
}

/// `DELETE task/<task_id>`: the task takes no more runs, an active one is cancelled, its history stays.
pub(in crate::http) async fn delete(
    State(app): State<App>,
    By(author): By,
    KnownTaskId(task_id): KnownTaskId,
) -> Result<Response, ApiError> {
    if !app.runs.delete_task(task_id.clone(), author).await? {
        return Err(ApiError::no_such_task());
    }
    Ok(Json(json!({"result": true, "message": "Task deleted successfully", "task_id": task_id})).into_response())
}
