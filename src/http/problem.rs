//! The kinds of errors that the interface has, each with the status, the title and the words that document it.
//!
//! A kind is a problem type of RFC 9457: its address, `/api/v2/problems/<slug>`, leads to these words.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Where the problem types are described.
pub(super) const PROBLEMS_PATH: &str = "/api/v2/problems";

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProblemType {
    /// Said by the framework, and no more than its status says.
    Unspecified,
    InvalidRequest,
    Unauthorized,
    Forbidden,
    CrossOrigin,
    NotFound,
    LogGone,
    MethodNotAllowed,
    NotAcceptable,
    TaskIdTaken,
    TaskBusy,
    NotProcessing,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    TooManyRequests,
    InternalError,
    DatabaseAway,
    TimedOut,
    ShuttingDown,
    TooManyStreams,
}

impl ProblemType {
    /// Those that have an address.
    pub(super) const ALL: [Self; 21] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::CrossOrigin,
        Self::NotFound,
        Self::LogGone,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::TaskIdTaken,
        Self::TaskBusy,
        Self::NotProcessing,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::InternalError,
        Self::DatabaseAway,
        Self::TimedOut,
        Self::ShuttingDown,
        Self::TooManyStreams,
    ];

    /// All that there is to say of it: its name in addresses, its status, its title, and what it means for a client.
    const fn told(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::Unspecified => ("", StatusCode::INTERNAL_SERVER_ERROR, "Error", ""),
            Self::InvalidRequest => (
                "invalid-request",
                StatusCode::BAD_REQUEST,
                "The request cannot be read",
                "A parameter, a header or the body is not as documented. `errors` names each field at fault, where it \
                 stands and what to send instead. Sending the same again gives the same answer.",
            ),
            Self::Unauthorized => (
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "A key is needed",
                "The request shows no key, or one that is wrong, unknown, expired or revoked, or a session that has ended. \
                 Send a key as `Authorization: Bearer igt_…` or as `X-API-Key`. `detail` says which it was.",
            ),
            Self::Forbidden => (
                "forbidden",
                StatusCode::FORBIDDEN,
                "The key does not allow this",
                "`needed_scope` names the scope that is needed: `read` to look, `run` to change tasks and runs, too, \
                 `admin` for everything.",
            ),
            Self::CrossOrigin => (
                "cross-origin",
                StatusCode::FORBIDDEN,
                "A page of another origin may not do this",
                "A browser asks on behalf of a web page of another origin, and the request shows no key of its own. Show \
                 one in a header.",
            ),
            Self::NotFound => (
                "not-found",
                StatusCode::NOT_FOUND,
                "There is no such thing",
                "Nothing stands at this path, or not any more. An id that no task or run can have is one that is not \
                 there.",
            ),
            Self::LogGone => (
                "log-gone",
                StatusCode::GONE,
                "The log is there no more",
                "The run is there, and how it ended; what it said step by step was given up after \
                 `IGT_LOG_RETENTION_DAYS`. It does not come back.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not take this method",
                "The `Allow` header lists the methods that it takes.",
            ),
            Self::NotAcceptable => (
                "not-acceptable",
                StatusCode::NOT_ACCEPTABLE,
                "None of the accepted content types can be given",
                "The `Accept` header names no content type that this path gives. `detail` lists those that it gives.",
            ),
            Self::TaskIdTaken => (
                "task-id-taken",
                StatusCode::CONFLICT,
                "The task_id belongs to another target",
                "A task of this name is there, or was before it was deleted, for another account or of the other kind. \
                 Choose another task_id, or leave it out to be given one.",
            ),
            Self::TaskBusy => (
                "task-busy",
                StatusCode::CONFLICT,
                "The task has an active run",
                "A task has one active run at most. `run_id` names it, `state` and `step` say how far it is, \
                 `age_seconds` for how long it has been there. Wait for it (`GET /api/v2/runs/{run_id}?wait=60`) or \
                 cancel it.",
            ),
            Self::NotProcessing => (
                "not-processing",
                StatusCode::CONFLICT,
                "There is no active run",
                "The task has never run, or its latest run has ended.",
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large",
                "The request's body has more bytes than are taken. `detail` says how many are.",
            ),
            Self::UriTooLong => (
                "uri-too-long",
                StatusCode::URI_TOO_LONG,
                "The path or the query is too long",
                "The path with its query has more bytes than are taken. `detail` says how many are.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is of another content type",
                "The path takes a body of `application/json`, in UTF-8.",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key was used for another request",
                "A key stands for one request: method, path and body. Choose a new one for another; a UUID will do. A key \
                 is forgotten after a day.",
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                StatusCode::TOO_MANY_REQUESTS,
                "There were too many requests",
                "The key has made more requests than it may, or too many wrong keys came from this address. Try again after \
                 `Retry-After` seconds; `RateLimit` says how many are left.",
            ),
            Self::InternalError => (
                "internal-error",
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault of the service",
                "The service's log has the cause under `request_id`. Whether the request was done is not known; reading \
                 tells.",
            ),
            Self::DatabaseAway => (
                "database-away",
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer",
                "Nothing is lost that was answered before. Try again after `Retry-After` seconds.",
            ),
            Self::TimedOut => (
                "timed-out",
                StatusCode::SERVICE_UNAVAILABLE,
                "The request took too long",
                "It was given up after its time. Try again after `Retry-After` seconds, or ask for less.",
            ),
            Self::ShuttingDown => (
                "shutting-down",
                StatusCode::SERVICE_UNAVAILABLE,
                "This replica is shutting down",
                "Another replica takes requests; this one has stopped to. Try again after `Retry-After` seconds.",
            ),
            Self::TooManyStreams => (
                "too-many-streams",
                StatusCode::SERVICE_UNAVAILABLE,
                "This replica has as many streams as it takes",
                "Streams stay open, and a replica takes so many of them (IGT_MAX_STREAMS). Close those that nobody reads; \
                 try again after `Retry-After` seconds, or ask another replica.",
            ),
        }
    }

    /// Its name in its address.
    pub(super) const fn slug(self) -> &'static str {
        self.told().0
    }

    /// The status of an answer that is one.
    pub(super) const fn status(self) -> StatusCode {
        self.told().1
    }

    /// What it is, in a few words that are always the same.
    pub(super) const fn title(self) -> &'static str {
        self.told().2
    }

    /// What it means for a client.
    pub(super) const fn description(self) -> &'static str {
        self.told().3
    }

    /// Its address.
    pub(super) fn address(self) -> String {
        match self {
            Self::Unspecified => "about:blank".to_owned(),
            known => format!("{PROBLEMS_PATH}/{}", known.slug()),
        }
    }
}

/// Where in a request a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Location {
    Query,
    Header,
    Body,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// Where it stands.
    pub(super) location: Location,
    /// Its name; in a body the path to it, such as `targets[2].username`.
    #[schema(example = "limit")]
    pub(super) field: String,
    /// What is wrong with it and what to send instead.
    #[schema(example = "is 0; it must be from 1 to 1000")]
    pub(super) detail: String,
}

/// An error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem")]
pub(super) struct Problem<'a> {
    /// The address of the problem type; `about:blank` where the status says all.
    #[serde(rename = "type")]
    #[schema(example = "/api/v2/problems/invalid-request")]
    pub(super) kind: String,
    /// The problem type in a few words.
    #[schema(example = "The request cannot be read")]
    pub(super) title: &'a str,
    /// The HTTP status.
    #[schema(example = 400, minimum = 400, maximum = 599)]
    pub(super) status: u16,
    /// What went wrong this time, and what to do.
    #[schema(example = "limit is 0; it must be from 1 to 1000")]
    pub(super) detail: &'a str,
    /// The path that was asked.
    #[schema(example = "/api/v2/tasks")]
    pub(super) instance: &'a str,
    /// The request's id, under which the service's log tells more.
    #[schema(example = "2630020e-b4f5-4d08-af29-fff110ef81ca")]
    pub(super) request_id: &'a str,
    /// The fields at fault, where there are any.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>)]
    pub(super) errors: &'a [FieldError],
    /// What this problem type has beside these.
    #[serde(flatten)]
    #[schema(ignore)]
    pub(super) members: &'a Map<String, Value>,
}
