//! Version 1, frozen: the interface of the service that this one replaced. Fields are only ever added.
//!
//! Times are whole Unix seconds.

pub(super) mod details;
pub(super) mod line;
pub(super) mod scrape;
pub(super) mod status;
pub(super) mod tasks;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::error::ApiError;
use crate::db::TaskId;
use crate::db::runs::RunState;

/// The task id of a path. One that no task can have is a task that is not there.
pub(in crate::http) struct KnownTaskId(TaskId);

impl<S: Send + Sync> FromRequestParts<S> for KnownTaskId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
        TaskId::parse(&text).map(Self).map_err(|_| ApiError::no_such_task())
    }
}

/// A run's state in version 1's words.
fn status_word(state: RunState) -> &'static str {
    match state {
        RunState::Queued | RunState::Running | RunState::Waiting => "processing",
        RunState::Succeeded => "completed",
        RunState::Partial => "partial",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    }
}
