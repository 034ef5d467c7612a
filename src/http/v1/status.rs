//! What a task's latest run is doing, or did.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

use super::super::App;
use super::super::error::ApiError;
use super::super::query::whole_number;
use super::status_word;
use crate::db::TaskId;
use crate::db::runs::Reason;
use crate::reading::{MAX_LINES, Standing};

/// How many events are told where a client does not say; at most [`MAX_LINES`].
const DEFAULT_LOGS: i64 = 10;

/// `GET task_status/<task_id>?logs_count=N`: where the task's latest run stands and its latest N events, oldest
/// first. An id that never ran or was never heard of is not an error.
pub(in crate::http) async fn task_status(
    State(app): State<App>,
    Path(task_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let lines = logs_count(query.as_deref());
    let found = match TaskId::parse(&task_id) {
        Ok(known) => app.reading.status(known, lines).await?,
        Err(_) => None,
    };
    let answer = match &found {
        Some(standing) => standing.told(|standing| answer(&task_id, standing)),
        None => answer_of_none(&task_id).into(),
    };
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The answer where a task has run. The log's lines are JSON already; the rest is put around them.
fn answer(task_id: &str, Standing { status, logs, .. }: &Standing) -> Vec<u8> {
    let head = Head {
        task_id,
        is_processing: status.state.is_active(),
        status: status_word(status.state),
        started_at: status.started_at.unwrap_or(status.requested_at).timestamp(),
        updated_at: status.updated_at.timestamp(),
        ended: status.finished_at.map(|at| Ended { finished_at: at.timestamp(), reason: status.reason }),
        logs_count: status.last_seq,
        requested_logs_count: logs.len(),
    };
    let last = logs.last().unwrap_or(b"null");
    let mut answer = Vec::with_capacity(512 + logs.joined().len() + last.len());
    answer.extend_from_slice(br#"{"result":true,"response":"#);
    // Writing plain fields into memory cannot fail.
    let _ = serde_json::to_writer(&mut answer, &head);
    // The lines go in before its closing brace.
    answer.pop();
    for part in [&br#","logs":["#[..], logs.joined(), br#"],"latest_event":"#, last, b"}}"] {
        answer.extend_from_slice(part);
    }
    answer
}

/// The answer where it never ran, or was never heard of.
fn answer_of_none(task_id: &str) -> Vec<u8> {
    let never_ran = serde_json::json!({
        "task_id": task_id, "is_processing": false, "logs": [], "logs_count": 0, "latest_event": null
    });
    serde_json::json!({"result": true, "response": never_ran}).to_string().into_bytes()
}

/// `logs_count` as the first service read it: absent or no whole number is 10, below 1 is 1, above 100 is 100.
fn logs_count(query: Option<&str>) -> usize {
    let wanted = whole_number(query, "logs_count").unwrap_or(DEFAULT_LOGS);
    wanted.clamp(1, MAX_LINES as i64) as usize
}

/// All but the log.
#[derive(Serialize)]
struct Head<'a> {
    task_id: &'a str,
    is_processing: bool,
    status: &'static str,
    started_at: i64,
    updated_at: i64,
    #[serde(flatten)]
    ended: Option<Ended>,
    logs_count: i64,
    requested_logs_count: usize,
}

#[derive(Serialize)]
struct Ended {
    finished_at: i64,
    reason: Option<Reason>,
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
