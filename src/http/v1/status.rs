//! What a task's latest run is doing, or did.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::App;
use super::super::error::ApiError;
use super::super::query::whole_number;
use super::status_word;
use crate::db::TaskId;
use crate::db::status::{self, Event, Status};

/// How many events are told where a client does not say.
const DEFAULT_LOGS: i64 = 10;

/// How many events are told at most.
const MAX_LOGS: i64 = 100;

/// `GET task_status/<task_id>?logs_count=N`: where the task's latest run stands and its latest N events, oldest
/// first. An id that never ran or was never heard of is not an error.
pub(in crate::http) async fn task_status(
    State(app): State<App>,
    Path(task_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let wanted = logs_count(query.as_deref());
    let found = match TaskId::parse(&task_id) {
        Ok(known) => look_up(&app, &known, wanted).await?,
        Err(_) => None,
    };
    let Some((status, logs)) = found else {
        let never_ran = json!({
            "task_id": task_id, "is_processing": false, "logs": [], "logs_count": 0, "latest_event": null
        });
        return Ok(Json(json!({"result": true, "response": never_ran})).into_response());
    };
    let is_processing = status.state.is_active();
    let response = StatusResponse {
        task_id,
        is_processing,
        status: status_word(status.state),
        started_at: status.started_at.unwrap_or(status.requested_at).timestamp(),
        updated_at: status.updated_at.timestamp(),
        ended: status.finished_at.map(|at| Ended { finished_at: at.timestamp(), reason: status.reason }),
        logs_count: status.last_seq,
        requested_logs_count: logs.len(),
        latest_event: logs.last(),
        logs: &logs,
    };
    Ok(Json(json!({"result": true, "response": response})).into_response())
}

/// The latest run and its latest events.
async fn look_up(app: &App, task_id: &TaskId, wanted: i64) -> Result<Option<(Status, Vec<FlatEvent>)>, ApiError> {
    let database = app.database();
    let Some(status) = status::of_task(&database, task_id).await? else { return Ok(None) };
    let events = status::events(&database, status.run_id, status.last_seq - wanted, status.last_seq).await?;
    Ok(Some((status, events.into_iter().map(FlatEvent::from).collect())))
}

/// `logs_count` as the first service read it: absent or no whole number is 10, below 1 is 1, above 100 is 100.
fn logs_count(query: Option<&str>) -> i64 {
    whole_number(query, "logs_count").unwrap_or(DEFAULT_LOGS).clamp(1, MAX_LOGS)
}

#[derive(Serialize)]
struct StatusResponse<'a> {
    task_id: String,
    is_processing: bool,
    status: &'static str,
    started_at: i64,
    updated_at: i64,
    #[serde(flatten)]
    ended: Option<Ended>,
    logs_count: i64,
    requested_logs_count: usize,
    logs: &'a [FlatEvent],
    latest_event: Option<&'a FlatEvent>,
}

#[derive(Serialize)]
struct Ended {
    finished_at: i64,
    reason: Option<crate::db::runs::Reason>,
}

/// An event with its fields beside its own three.
#[derive(Serialize)]
struct FlatEvent {
    timestamp: i64,
    event_type: String,
    message: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl From<Event> for FlatEvent {
    fn from(event: Event) -> Self {
        let mut fields = event.fields.0;
        fields.retain(|name, _| !matches!(name.as_str(), "timestamp" | "event_type" | "message"));
        Self { timestamp: event.at.timestamp(), event_type: event.event_type, message: event.message, fields }
    }
}

#[cfg(test)]
mod tests {
    use super::logs_count;

    #[test]
    fn logs_count_is_ten_by_default_and_from_1_to_100() {
        for (query, expected) in [
            (None, 10),
            (Some("other=3"), 10),
            (Some("logs_count=abc"), 10),
            (Some("logs_count=5"), 5),
            (Some("logs_count=0"), 1),
            (Some("logs_count=-5"), 1),
            (Some("logs_count=100"), 100),
            (Some("logs_count=101"), 100),
            (Some("logs_count=999"), 100),
        ] {
            assert_eq!(logs_count(query), expected, "{query:?}");
        }
    }
}
