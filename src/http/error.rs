//! Answers that are errors, and the one place where failures of other rooms become such.
//!
//! The policy: every error says what to do. Version 2 tells it as a problem (RFC 9457), everything else as
//! `{"result": false, "message": …}`; which of both is decided where the answer leaves. A database that is away is 503
//! with `Retry-After`, whatever it was that noticed. What only we can mend is 500, logged once, here or, for a panic, where it
//! happens, and told without its inner words.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::problem::{FieldError, Location, Problem, ProblemType};
use crate::db::{Failure, health};
use crate::runs::RequestError;

/// Seconds after which a client may try again when the database is away.
const RETRY_AFTER_SECONDS: u16 = 1;

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    problem: ProblemType,
    status: StatusCode,
    detail: String,
    fields: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// In which form an error is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As version 1 and the operations endpoints do.
    Message,
    /// As version 2 does.
    Problem,
}

impl Form {
    /// What clients of this path read.
    pub(super) fn of_path(path: &str) -> Self {
        let of_version_2 = path.strip_prefix("/api/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if of_version_2 { Self::Problem } else { Self::Message }
    }
}

impl ApiError {
    /// An error of this kind: say what is wrong and what to send instead.
    pub(super) fn new(problem: ProblemType, detail: impl Into<String>) -> Self {
        let (status, detail) = (problem.status(), detail.into());
        let mut headers = Vec::new();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.push((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)));
        }
        Self(Box::new(Parts { problem, status, detail, fields: Vec::new(), members: Map::new(), headers }))
    }

    /// What the framework has said in its own words.
    pub(super) fn unspecified(status: StatusCode, words: &str) -> Self {
        let problem = match status {
            StatusCode::BAD_REQUEST => ProblemType::InvalidRequest,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemType::PayloadTooLarge,
            _ => ProblemType::Unspecified,
        };
        let words = if words.is_empty() { status.canonical_reason().unwrap_or("Error") } else { words };
        let mut error = Self::new(problem, words);
        error.0.status = status;
        error
    }

    /// 400.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidRequest, detail)
    }

    /// 400 for one field: `detail` goes on from its name.
    pub(super) fn field(location: Location, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let mut error = Self::bad_request(format!("{field} {detail}"));
        error.0.fields.push(FieldError { location, field, detail });
        error
    }

    /// 404 for a task that is not there.
    pub(super) fn no_such_task() -> Self {
        Self::new(ProblemType::NotFound, "Task not found")
    }

    /// 500: logged with the cause, told without it.
    pub(super) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, "a request failed");
        Self::logged()
    }

    /// 500 whose cause is in the log already, as that of a panic.
    pub(super) fn logged() -> Self {
        Self::new(
            ProblemType::InternalError,
            "Internal error; the service's log has the cause under this answer's X-Request-Id",
        )
    }

    /// 503: the database is away, as a statement met it or the watch has noticed.
    pub(super) fn database_away(cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(error = %cause, "a request met no database");
        Self::new(ProblemType::DatabaseAway, "The database is not available; try again in a moment")
    }

    fn of_the_database(error: &sqlx::Error) -> Self {
        // Of work that is shared with others the panic has none of their ids: this line has.
        if matches!(error, sqlx::Error::WorkerCrashed) {
            tracing::error!(
                "work that this request shares with others broke off; a panic in the log before this says why"
            );
            return Self::logged();
        }
        // The pool is closed while the service shuts down.
        let away = health::is_away(error) || matches!(error, sqlx::Error::PoolClosed);
        if away { Self::database_away(error) } else { Self::internal(error) }
    }

    /// With a member beside the usual ones, for programs; version 1 does not tell it.
    pub(super) fn with(mut self, member: &str, value: impl Serialize) -> Self {
        // Ids, words and numbers have no form that is not JSON.
        self.0.members.insert(member.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// With a header.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The fields at fault.
    #[cfg(test)]
    pub(super) fn fields(&self) -> Value {
        json!(self.0.fields)
    }

    /// Writes the answer's body.
    fn told(&self, form: Form, path: &str, request_id: &str) -> (Vec<u8>, &'static str) {
        let Parts { problem, status, detail, fields, members, .. } = &*self.0;
        match form {
            Form::Message => (json!({"result": false, "message": detail}).to_string().into_bytes(), "application/json"),
            Form::Problem => {
                let title = match problem {
                    ProblemType::Unspecified => status.canonical_reason().unwrap_or("Error"),
                    known => known.title(),
                };
                let problem = Problem {
                    kind: problem.address(),
                    title,
                    status: status.as_u16(),
                    detail,
                    instance: path,
                    request_id,
                    errors: fields,
                    members,
                };
                // Texts and numbers have no form that is not JSON.
                (serde_json::to_vec(&problem).unwrap_or_default(), "application/problem+json")
            }
        }
    }
}

/// The error goes with its answer, and is told where the answer leaves ([`tell`]).
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.headers_mut().extend(self.0.headers.iter().cloned());
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Puts an error into words; one that the framework says in plain text or without words, too.
pub(super) async fn tell(response: Response, path: &str, request_id: &str) -> Response {
    /// Longer words of the framework there are none.
    const MAX_WORDS: usize = 64 * 1024;

    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let error = match parts.extensions.remove::<Arc<ApiError>>() {
        Some(error) => error,
        None => {
            let words = axum::body::to_bytes(body, MAX_WORDS).await.unwrap_or_default();
            Arc::new(ApiError::unspecified(status, &String::from_utf8_lossy(&words)))
        }
    };
    let (body, content_type) = error.told(Form::of_path(path), path, request_id);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Response::from_parts(parts, Body::from(body))
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
            // It was logged where it happened, under this request; the error has its words as they were.
            RequestError::Broken(error) if error.is_panic() => Self::logged(),
            RequestError::Broken(error) => Self::internal(&error),
        }
    }
}
