//! A run, an event and an upstream request as they are told.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::V2_PATH;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::time::Time;
use crate::db::exchanges::Told;
use crate::db::journal::Level;
use crate::db::runs::{Reason, RunState, Trigger};
use crate::db::tasks::{Source, TaskKind};
use crate::db::{self, RunId, TaskId};
use crate::runs::{ListRead, View};

/// One attempt to bring a task up to date, from the request to its end.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Run {
    /// Its name; sorts by the time of the request.
    pub(super) run_id: RunId,
    /// Its task.
    task_id: TaskId,
    /// The task's kind.
    kind: TaskKind,
    /// The account's handle, as the task has it.
    #[schema(example = "nasa")]
    username: String,
    /// Which source it asks.
    source: Source,
    /// What asked for it.
    trigger: Trigger,
    /// Where it stands.
    state: RunState,
    /// Why it waits or did not succeed; null where it runs or succeeded.
    #[schema(required = true)]
    reason: Option<Reason>,
    /// Whether it has not ended.
    is_active: bool,
    /// How many times a worker took it up.
    #[schema(minimum = 0, example = 1)]
    attempt: i32,
    /// When it was asked for.
    requested_at: Time,
    /// When a worker first took it up; null while it waits for its first.
    #[schema(required = true)]
    started_at: Option<Time>,
    /// When its latest event was written or its state last changed.
    updated_at: Time,
    /// When it goes on; null where it does not wait.
    #[schema(required = true)]
    resumes_at: Option<Time>,
    /// When it ended; null while it is active.
    #[schema(required = true)]
    finished_at: Option<Time>,
    /// When it is ended if it has not ended before.
    deadline_at: Time,
    /// When a client asked to cancel it; null where none did.
    #[schema(required = true)]
    cancel_requested_at: Option<Time>,
    /// How long it waited for a worker; null while it does.
    #[schema(required = true, example = 0.0021)]
    queue_seconds: Option<f64>,
    /// How long it took from then to its end, its waits included; null before that.
    #[schema(required = true, example = 3.214)]
    duration_seconds: Option<f64>,
    /// How many events it has; the greatest `seq` there is.
    #[schema(minimum = 0, example = 15)]
    events_count: i64,
    /// How many requests it made to its source.
    #[schema(minimum = 0, example = 9)]
    requests_count: i64,
    /// At what it is: `account`, `posts`, `reels` or `update`; null once it has ended.
    #[schema(required = true, example = "posts")]
    step: Option<&'static str>,
    /// How much of the posts or reels is done that it is at; null where that is not known, and once it has ended.
    #[schema(required = true)]
    progress: Option<Progress>,
    /// What it last said; null where its log is there no more.
    #[schema(required = true)]
    latest_event: Option<Event>,
    /// Where there is more of it.
    links: Links,
}

/// How much of a list was read.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Progress {
    /// `posts` or `reels`.
    #[schema(example = "posts")]
    of: &'static str,
    /// How many.
    #[schema(minimum = 0, example = 48)]
    done: usize,
    /// Of how many.
    #[schema(minimum = 0, example = 150)]
    total: usize,
}

/// Where there is more of a run.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Links {
    /// The run.
    #[serde(rename = "self")]
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805")]
    itself: String,
    /// Its task.
    #[schema(example = "/api/v2/tasks/nasa-daily")]
    task: String,
    /// Its log.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events")]
    events: String,
    /// Its requests to its source.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/requests")]
    requests: String,
    /// Why it ended as it did, or what keeps it.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/post-mortem")]
    post_mortem: String,
}

impl From<&View> for Run {
    fn from(view: &View) -> Self {
        let run = &view.run;
        // Nothing in it depends on when it is told: what it is told as, it has as a tag.
        let seconds = |from: chrono::DateTime<chrono::Utc>, to| {
            let micros = chrono::DateTime::signed_duration_since(to, from).num_microseconds().unwrap_or(i64::MAX);
            micros as f64 / 1e6
        };
        let itself = address(run.run_id);
        Self {
            run_id: run.run_id,
            task_id: run.task_id.clone(),
            kind: run.kind,
            username: run.username.clone(),
            source: run.source,
            trigger: run.trigger,
            state: run.state,
            reason: run.reason,
            is_active: run.state.is_active(),
            attempt: run.attempt,
            requested_at: run.requested_at.into(),
            started_at: run.started_at.map(Time),
            updated_at: run.updated_at.into(),
            resumes_at: run.resumes_at.map(Time),
            finished_at: run.finished_at.map(Time),
            deadline_at: run.deadline_at.into(),
            cancel_requested_at: run.cancel_requested_at.map(Time),
            queue_seconds: run.started_at.map(|started| seconds(run.requested_at, started)),
            duration_seconds: run.started_at.zip(run.finished_at).map(|(started, finished)| seconds(started, finished)),
            events_count: run.last_seq,
            requests_count: run.last_exchange,
            step: view.stage,
            progress: view.progress.map(|ListRead { of, done, total }| Progress { of, done, total }),
            latest_event: view.latest_event.clone().map(Event::from),
            links: Links {
                task: format!("{V2_PATH}/tasks/{}", run.task_id),
                events: format!("{itself}/events"),
                requests: format!("{itself}/requests"),
                post_mortem: format!("{itself}/post-mortem"),
                itself,
            },
        }
    }
}

/// Something that a run said.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Event {
    /// Its number in the run: 1, 2, 3 … without a gap.
    #[schema(minimum = 1, example = 7)]
    pub(super) seq: i64,
    /// When it happened.
    pub(super) at: Time,
    /// How much it matters.
    pub(super) level: Level,
    /// What happened, one word of the vocabulary.
    #[schema(example = "posts_fetched")]
    pub(super) event_type: String,
    /// What happened, in a sentence for a person.
    #[schema(example = "Page 4 of posts read: 12 new posts, 48 so far")]
    pub(super) message: String,
    /// What happened, in numbers and names.
    #[schema(value_type = Object, example = json!({"page": 4, "page_posts_count": 12, "scraped_posts_count": 48}))]
    #[serde(serialize_with = "as_json")]
    fields: String,
}

/// A text that is JSON, as what it says.
fn as_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

impl From<db::status::Event> for Event {
    fn from(event: db::status::Event) -> Self {
        let db::status::Event { seq, at, level, event_type, message, fields } = event;
        Self { seq, at: at.into(), level, event_type, message, fields }
    }
}

/// A request that a run made to its source, and how it was answered.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Request {
    /// Its number in the run: 1, 2, 3 … without a gap.
    #[schema(minimum = 1, example = 3)]
    pub(super) seq: i64,
    /// When the answer was complete or given up.
    at: Time,
    /// The attempt of the run that made it.
    #[schema(example = 1)]
    attempt: i32,
    /// `web` or `graph`.
    #[schema(example = "web")]
    source: String,
    /// The credential that it was made with, `guest` without one; null where that was not noted.
    #[schema(required = true, example = "alpha")]
    credential: Option<String>,
    /// The endpoint's short name.
    #[schema(example = "timeline")]
    endpoint: String,
    /// `GET` or `POST`.
    #[schema(example = "GET")]
    method: String,
    /// The address, without any secret.
    url: String,
    /// The HTTP status; null where no answer came.
    #[schema(required = true, example = 200)]
    status: Option<i16>,
    /// From the request to the last byte of the answer.
    #[schema(example = 183.2)]
    duration_ms: f64,
    /// The size of the answer's body, decoded.
    #[schema(example = 58210)]
    bytes: i64,
    /// The name of the failure; null where the answer could be used.
    #[schema(required = true, example = "rate_limited")]
    failure: Option<String>,
    /// Whether the answer's body is kept; `ig-tracking runs show RUN --body SEQ` prints it.
    has_body: bool,
}

impl From<Told> for Request {
    fn from(told: Told) -> Self {
        let Told { exchange, source } = told;
        Self {
            seq: exchange.seq,
            at: exchange.at.into(),
            attempt: exchange.attempt,
            source,
            credential: exchange.credential,
            endpoint: exchange.endpoint,
            method: exchange.method,
            url: exchange.url,
            status: exchange.status,
            duration_ms: exchange.duration_ms,
            bytes: exchange.bytes,
            failure: exchange.failure,
            has_body: exchange.has_body,
        }
    }
}

/// Where a run is.
pub(super) fn address(run_id: RunId) -> String {
    format!("{V2_PATH}/runs/{run_id}")
}

/// Where an event of a run is.
pub(super) fn event_address(run_id: RunId, seq: i64) -> String {
    format!("{}/events/{seq}", address(run_id))
}

/// 404.
pub(super) fn no_such_run() -> ApiError {
    ApiError::new(ProblemType::NotFound, "There is no such run; GET /api/v2/runs lists those there are")
}
