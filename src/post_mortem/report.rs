//! A post-mortem as it is told: what of it a program reads, and the text is made of.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::db::journal::Level;
use crate::db::runs::{Reason, RunState, Trigger};
use crate::db::tasks::{Source, TaskKind};
use crate::db::{RunId, TaskId};
use crate::scrape::phases::Phase;

/// A time: RFC 3339, in UTC, with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = PostMortemTime, value_type = String, format = DateTime, example = "2026-11-22T04:16:44.512093Z")]
pub struct At(pub DateTime<Utc>);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// Why a run ended as it did, or what keeps it, as far as all that it left tells.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PostMortem {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// What was to be scraped.
    pub kind: TaskKind,
    /// Whose.
    #[schema(example = "nasa")]
    pub username: String,
    /// Which source it was to ask.
    pub source: Source,
    /// What asked for it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed; null where it runs or succeeded.
    #[schema(required = true)]
    pub reason: Option<Reason>,
    /// How often it was taken up.
    #[schema(example = 1)]
    pub attempt: i32,
    /// When it was asked for.
    pub requested_at: At,
    /// When a worker first took it up; null before that.
    #[schema(required = true)]
    pub started_at: Option<At>,
    /// When it ended; null before that.
    #[schema(required = true)]
    pub finished_at: Option<At>,
    /// When it is ended if it has not ended before.
    pub deadline_at: At,
    /// What happened, in a sentence: its last word, or what it is at.
    #[schema(example = "Scrape failed: web_profile_info answered 400: checkpoint_required")]
    pub summary: String,
    /// At which stage of its work it was: `account`, `posts`, `reels`, `update`; null where it never got to any.
    #[schema(required = true, example = "account")]
    pub stage: Option<&'static str>,
    /// The request that failed and was not overcome; null where the run succeeded, or came on since.
    #[schema(required = true)]
    pub failure: Option<Failure>,
    /// What its reason means and what to do; null where it has none.
    #[schema(required = true)]
    pub advice: Option<Advice>,
    /// The last steps, oldest first, ten at most.
    pub last_steps: Vec<Step>,
    /// What it met on the way; null where its log is not kept from its beginning.
    #[schema(required = true)]
    pub way: Option<Way>,
    /// Where its time went, beside the last run of the task that succeeded before it.
    pub phases: Vec<PhaseTime>,
    /// What it has, beside what that run had.
    pub counts: Vec<Count>,
    /// That run; null where there is none.
    #[schema(required = true)]
    pub last_good: Option<LastGood>,
    /// What it asked.
    pub requests: Requests,
    /// What could not be read; null where there was nothing of that kind.
    #[schema(required = true)]
    pub unread: Option<Unread>,
    /// What else waits or did not succeed for the same reason; null where it has none.
    #[schema(required = true)]
    pub others: Option<Others>,
    /// Why some of this is not there: of which parts nothing is kept any more.
    pub missing: Vec<String>,
    /// Where more is.
    pub links: Links,
}

/// A request that failed, and the event that says so.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemFailure)]
pub struct Failure {
    /// The name of the failure.
    #[schema(example = "challenge_required")]
    pub name: String,
    /// The endpoint.
    #[schema(example = "web_profile_info")]
    pub endpoint: String,
    /// The HTTP status; null where no answer came.
    #[schema(required = true, example = 400)]
    pub http_status: Option<i64>,
    /// What the answer said.
    #[schema(required = true, example = "checkpoint_required")]
    pub upstream_message: Option<String>,
    /// The credential, where that is known.
    #[schema(required = true, example = "guest")]
    pub credential: Option<String>,
    /// The request's number in the run; null where it is not kept.
    #[schema(required = true, example = 1)]
    pub request: Option<i64>,
    /// The event's number in the run.
    #[schema(example = 2)]
    pub seq: i64,
}

/// What a reason means, and what to do.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemAdvice)]
pub struct Advice {
    /// What it means.
    #[schema(example = "a person has to prove or accept something")]
    pub meaning: &'static str,
    /// What to do.
    #[schema(example = "do it in the browser of that session; let the session rest until then")]
    pub action: &'static str,
}

/// An event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemStep)]
pub struct Step {
    /// Its number in the run.
    #[schema(minimum = 1, example = 2)]
    pub seq: i64,
    /// When it happened.
    pub at: At,
    /// How much it matters.
    pub level: Level,
    /// A word of the vocabulary.
    #[schema(example = "account_fetched")]
    pub event_type: String,
    /// A sentence for a person.
    #[schema(example = "Profile data retrieved: @nasa with 4500 posts")]
    pub message: String,
}

/// What a run met on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = PostMortemWay)]
pub struct Way {
    /// How often it waited.
    pub waits: usize,
    /// How long, in all.
    #[schema(example = 2.1)]
    pub waited_seconds: f64,
    /// How often its worker was lost.
    pub lost_workers: usize,
    /// How often it was handed over at a shutdown.
    pub hand_overs: usize,
    /// How often another credential went on.
    pub credential_changes: usize,
    /// How often a list was read anew.
    pub lists_restarted: usize,
    /// How many events its log had no room for.
    pub events_dropped: u64,
}

/// How long a run was at what.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemPhaseTime)]
pub struct PhaseTime {
    /// At what: `queue`, `account`, `posts`, `reels`, `update`, `waiting`, `interrupted`.
    #[schema(value_type = String, example = "posts")]
    pub phase: Phase,
    /// How long; null where it never was, or nobody knows any more.
    #[schema(required = true, example = 1.83)]
    pub seconds: Option<f64>,
    /// How long the last run was that succeeded; null where it never was, nobody knows any more, or there is none.
    #[schema(required = true, example = 2.4)]
    pub last_good_seconds: Option<f64>,
}

/// How much of something a run has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = PostMortemCount)]
pub struct Count {
    /// Of what: `events`, `requests`, `posts`, `reels`, `followers`, `posts_of_account`.
    #[schema(example = "posts")]
    pub of: &'static str,
    /// How much; null where it is not known.
    #[schema(required = true, example = 24)]
    pub count: Option<i64>,
    /// How much the last run had that succeeded; null where it is not known, or there is none.
    #[schema(required = true, example = 60)]
    pub last_good_count: Option<i64>,
}

/// The last run of the task before this one that succeeded.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemLastGood)]
pub struct LastGood {
    /// The run.
    pub run_id: RunId,
    /// When it ended.
    pub finished_at: At,
}

/// What a run asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemRequests)]
pub struct Requests {
    /// How many in all attempts.
    #[schema(example = 4)]
    pub count: i64,
    /// How many of them failed; null where nobody knows any more.
    #[schema(required = true, example = 1)]
    pub failed: Option<i64>,
    /// How large the answers were together; null as `failed`.
    #[schema(required = true, example = 58210)]
    pub bytes: Option<i64>,
    /// How long they took together, in milliseconds; null as `failed`.
    #[schema(required = true, example = 1204.3)]
    pub duration_ms: Option<f64>,
    /// The latest of its last attempt, oldest first, twenty at most.
    pub latest: Vec<Request>,
}

/// A request and how it was answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemRequest)]
pub struct Request {
    /// Its number in the run.
    #[schema(minimum = 1, example = 1)]
    pub seq: i64,
    /// When the answer was complete or given up.
    pub at: At,
    /// The credential that it was asked with, where that is known.
    #[schema(required = true, example = "guest")]
    pub credential: Option<String>,
    /// The endpoint's short name.
    #[schema(example = "web_profile_info")]
    pub endpoint: String,
    /// The HTTP status; null where no answer came.
    #[schema(required = true, example = 400)]
    pub http_status: Option<i16>,
    /// From the request to the last byte of the answer.
    #[schema(example = 418.2)]
    pub duration_ms: f64,
    /// The size of the answer's body.
    #[schema(example = 108)]
    pub bytes: i64,
    /// The name of the failure; null where the answer could be used.
    #[schema(required = true, example = "challenge_required")]
    pub failure: Option<String>,
    /// Whether the answer's body is kept.
    pub has_body: bool,
}

/// What could not be read: fields, and the answer that shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemUnread)]
pub struct Unread {
    /// The fields, each with the event that told of it.
    pub fields: Vec<UnreadField>,
    /// The answer; null where it is not kept.
    #[schema(required = true)]
    pub answer: Option<Answer>,
}

/// A field that was not what it should be.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemUnreadField)]
pub struct UnreadField {
    /// The event that told of it.
    #[schema(example = 3)]
    pub seq: i64,
    /// Its path.
    #[schema(example = "data.user.edge_followed_by.count")]
    pub path: String,
    /// What this version can read there.
    #[schema(example = "a count of zero or more")]
    pub expected: String,
    /// What stood there.
    #[schema(example = "nothing")]
    pub found: String,
    /// Where the kept answer has that path no further: the last object of it that is there.
    #[schema(required = true, example = "data.user")]
    pub last_there: Option<String>,
    /// The names in that object that are most like the one that is missing, five at most.
    #[schema(example = json!(["edge_followed_by_v2", "edge_follow_v2"]))]
    pub names_there: Vec<String>,
}

/// The beginning of a kept answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemAnswer)]
pub struct Answer {
    /// The request's number in the run.
    #[schema(example = 1)]
    pub request: i64,
    /// The endpoint.
    #[schema(example = "web_profile_info")]
    pub endpoint: String,
    /// The size of the answer.
    #[schema(example = 108)]
    pub bytes: i64,
    /// How much of it is kept.
    #[schema(example = 108)]
    pub kept_bytes: usize,
    /// Its first lines, each cut where it is long.
    pub first_lines: Vec<String>,
    /// The command that prints all that is kept.
    #[schema(example = "ig-tracking runs show 01a20178-8408-732e-a18d-da46eb031805 --body 1")]
    pub command: String,
}

/// Runs with the same reason that ended or began to wait at the time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemOthers)]
pub struct Others {
    /// From when on: half an hour before this one ended or began to wait.
    pub since: At,
    /// Until when: half an hour after.
    pub until: At,
    /// How many, this one not among them.
    #[schema(example = 12)]
    pub count: usize,
    /// Whether these are all, or as many as are counted.
    pub is_exact: bool,
    /// By task, the most first, five at most.
    pub by_task: Vec<Share>,
    /// By the credential of their last request.
    pub by_credential: Vec<Share>,
    /// By the source of their last request.
    pub by_source: Vec<Share>,
}

/// How many of something are of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PostMortemShare)]
pub struct Share {
    /// The name.
    #[schema(example = "guest")]
    pub name: String,
    /// How many.
    #[schema(example = 7)]
    pub count: usize,
}

/// Where more is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PostMortemLinks)]
pub struct Links {
    /// The run.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805")]
    pub run: String,
    /// Its log.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events")]
    pub events: String,
    /// Its requests.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/requests")]
    pub requests: String,
    /// The event by which it failed; null where there is none.
    #[schema(required = true, example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/2")]
    pub event: Option<String>,
}
