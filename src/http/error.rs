//! Errors of version 1, and the one place where failures of other rooms become answers.
//!
//! The policy: every error is JSON `{"result": false, "message": …}` whose message says what to do. A database that
//! is away is 503 with `Retry-After`, whatever it was that noticed. What only we can mend is 500, logged once, here,
//! and told without its inner words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::db::{Failure, health};
use crate::runs::RequestError;

/// Seconds after which a client may try again when the database is away.
const RETRY_AFTER_SECONDS: u16 = 1;

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// An error of the request: say what is wrong and what to send instead.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 for a task that is not there.
    pub(super) fn no_such_task() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Task not found")
    }

    /// 500: logged with the cause, told without it.
    pub(super) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error; the service's log has the cause under this answer's X-Request-Id",
        )
    }

    /// 503: the database is away, as a statement met it or the watch has noticed.
    pub(super) fn database_away(cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(error = %cause, "a request met no database");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The database is not available; try again in a moment")
    }

    fn of_the_database(error: &sqlx::Error) -> Self {
        // The pool is closed while the service shuts down.
        let away = health::is_away(error) || matches!(error, sqlx::Error::PoolClosed);
        if away { Self::database_away(error) } else { Self::internal(error) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({"result": false, "message": self.message}));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::of_the_database(&error)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self::of_the_database(&failure)
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Database(error) => error.into(),
            RequestError::Broken(error) => Self::internal(&error),
        }
    }
}
