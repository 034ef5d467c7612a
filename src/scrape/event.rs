//! The vocabulary: everything that a run can say, with a message for a person and fields for a query.
//!
//! Numbers are plain, times RFC 3339, durations in milliseconds (`…_ms`) or seconds (`…_s`).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::db::journal::{Level, NewEvent};
use crate::db::runs::{Reason, RunState};
use crate::instagram::{Account, Failure, Shortcode, Unread, Username};

/// The first event of every run; the database puts the username in the place of `%`.
pub mod started {
    /// The event's type.
    pub const EVENT_TYPE: &str = "scrape_started";
    /// What a run says that begins at once.
    pub const AT_ONCE: &str = "Started scraping @%";
    /// What a run says that has to wait for a hand.
    pub const QUEUED: &str = "Scrape of @% accepted; it begins when a worker is free";
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The account was read.
    AccountFetched {
        /// As it was read.
        account: Account,
        /// How long its requests took.
        duration: Duration,
    },
    /// A page of posts was read and stored.
    PostsFetched {
        /// Which page, from 1.
        page: u32,
        /// New posts on it.
        page_posts: usize,
        /// What the run has so far.
        totals: Map<String, Value>,
        /// How long its requests took.
        duration: Duration,
    },
    /// The reels were filtered from the posts.
    ReelsFiltered {
        /// How many are reels.
        reels: usize,
        /// Of how many posts.
        posts: usize,
    },
    /// Some reels have their own numbers now.
    ProcessingReels {
        /// How many.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// Every reel was dealt with.
    ReelsProcessed {
        /// How many have their own numbers.
        done: usize,
        /// Of how many.
        total: usize,
        /// Those that could not be found any more.
        missing: Vec<Shortcode>,
    },
    /// All that was read is in the database.
    ProfileDataUpdated {
        /// Whose.
        username: String,
        /// What the run has.
        totals: Map<String, Value>,
    },
    /// The run obtained all that was asked for.
    ScrapeCompleted {
        /// Whose.
        username: String,
        /// Since a worker first took it up.
        elapsed_seconds: f64,
        /// What it has.
        totals: Map<String, Value>,
    },
    /// The run obtained some of what was asked for, or nothing.
    ScrapeEnded {
        /// `Partial` or `Failed`.
        state: RunState,
        /// Why.
        reason: Reason,
        /// The same in a sentence.
        message: String,
        /// The request that showed it, where one did.
        failure: Option<Failure>,
        /// Since a worker first took it up.
        elapsed_seconds: f64,
        /// Which attempt it was.
        attempt: i32,
        /// What it has.
        totals: Map<String, Value>,
    },
    /// A client stopped the run.
    ScrapeCancelled {
        /// Whose.
        username: String,
        /// What it has; it stays.
        totals: Map<String, Value>,
    },
    /// The run backs off: because the upstream said so, or to try again.
    BackingOff {
        /// The request that showed it.
        failure: Failure,
        /// Why it waits.
        reason: Reason,
        /// For how long.
        delay: Duration,
        /// Until when, on the database's clock.
        resume_at: DateTime<Utc>,
        /// Which attempt it was.
        attempt: i32,
        /// How many attempts in a row, this one included, have not brought the run on.
        tries: i32,
        /// How many of those there may be.
        max_attempts: i32,
    },
    /// The run has no turn for its next request, and waits for it.
    AwaitsTurn {
        /// Why, in words.
        message: String,
        /// The same as a name.
        cause: &'static str,
        /// The credential, where it is one's.
        credential: Option<Arc<str>>,
        /// What was to be asked.
        source: &'static str,
        /// Why it waits, as the run's reason.
        reason: Reason,
        /// For how long.
        delay: Duration,
        /// Until when, on the database's clock.
        resume_at: DateTime<Utc>,
        /// Which attempt it was.
        attempt: i32,
    },
    /// The run's credential cannot go on, and another one does.
    CredentialChanged {
        /// Why, in words.
        message: String,
        /// The request that showed it, where one did.
        failure: Option<Failure>,
        /// The credential that it had.
        from: Arc<str>,
        /// The one that goes on.
        to: Arc<str>,
        /// Which attempt it is.
        attempt: i32,
    },
    /// A worker took the run up again.
    RunResumed {
        /// Which attempt this is.
        attempt: i32,
        /// What happened before.
        after: Before,
        /// The stage at which it goes on.
        stage: &'static str,
        /// What it has.
        totals: Map<String, Value>,
    },
    /// A worker gave the run back because its replica shuts down.
    RunHandedOver {
        /// The stage at which it stands.
        stage: &'static str,
    },
    /// A field was not what it should be.
    UpstreamChanged {
        /// Which, and what stood there.
        unread: Unread,
    },
    /// The account bears another handle than before.
    AccountRenamed {
        /// Instagram's own number of it.
        pk: i64,
        /// The handle when it was last read.
        from: Username,
        /// The handle now.
        to: Username,
    },
    /// The handle is another account's now, and the account that bore it is gone.
    UsernameReassigned {
        /// The handle.
        username: Username,
        /// Instagram's number of the account that bore it.
        before: i64,
        /// That of the one that bears it now.
        now: Option<i64>,
    },
    /// The scan came to what an earlier one has read.
    KnownPostsReached {
        /// How many posts were read.
        read: usize,
        /// How many older ones are known.
        kept: i64,
    },
    /// Posts are not there any more.
    PostsMissing {
        /// Their codes.
        codes: Vec<String>,
    },
    /// Posts that were missing are there again.
    PostsFoundAgain {
        /// Their codes.
        codes: Vec<Shortcode>,
    },
    /// Instagram did not go on where the list had been left, so that it is read from its beginning.
    ListRestarted {
        /// `posts` or `reels`.
        list: &'static str,
        /// How many of its items are known by then, and are not stored twice.
        known: usize,
        /// The request that was refused.
        failure: Failure,
    },
    /// The run's log was full, and its progress was no longer told.
    EventsDropped {
        /// How many events are missing.
        dropped: u64,
    },
}

/// Why a run had to be taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Its worker died or lost its lease.
    LostWorker,
    /// It was backing off.
    Wait,
    /// Its replica shut down and handed it over.
    HandOver,
}

impl Event {
    /// The row to be written, for an event that happened just now.
    pub fn into_row(self) -> NewEvent {
        let level = self.level();
        let event_type = self.event_type();
        let (message, fields) = self.words();
        NewEvent { level, event_type, message, fields: Value::Object(fields) }
    }

    /// Whether it tells how far the run is and nothing else: what a full log can do without.
    pub fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::AccountFetched { .. }
                | Self::PostsFetched { .. }
                | Self::ReelsFiltered { .. }
                | Self::ProcessingReels { .. }
                | Self::ReelsProcessed { .. }
                | Self::KnownPostsReached { .. }
                | Self::ProfileDataUpdated { .. }
        )
    }

    fn level(&self) -> Level {
        match self {
            Self::BackingOff { .. } | Self::UpstreamChanged { .. } | Self::ScrapeCancelled { .. } => Level::Warning,
            Self::AwaitsTurn { .. } | Self::CredentialChanged { .. } => Level::Warning,
            Self::EventsDropped { .. } | Self::ListRestarted { .. } | Self::UsernameReassigned { .. } => Level::Warning,
            Self::RunResumed { after: Before::LostWorker, .. } => Level::Warning,
            Self::ScrapeEnded { state: RunState::Partial, .. } => Level::Warning,
            Self::ScrapeEnded { .. } => Level::Error,
            _ => Level::Info,
        }
    }

    fn event_type(&self) -> &'static str {
        match self {
            Self::AccountFetched { .. } => "account_fetched",
            Self::PostsFetched { .. } => "posts_fetched",
            Self::ReelsFiltered { .. } => "reels_filtered",
            Self::ProcessingReels { .. } => "processing_reels",
            Self::ReelsProcessed { .. } => "reels_processed",
            Self::ProfileDataUpdated { .. } => "profile_data_updated",
            Self::ScrapeCompleted { .. } => "scrape_completed",
            Self::ScrapeEnded { state: RunState::Partial, .. } => "scrape_partial",
            Self::ScrapeEnded { .. } => "scrape_failed",
            Self::ScrapeCancelled { .. } => "scrape_cancelled",
            Self::BackingOff { reason: Reason::RateLimited, .. } => "rate_limited",
            Self::BackingOff { .. } => "retry_scheduled",
            Self::AwaitsTurn { reason: Reason::RateLimited, .. } => "rate_limited",
            Self::AwaitsTurn { .. } => "retry_scheduled",
            Self::CredentialChanged { .. } => "credential_changed",
            Self::RunResumed { .. } => "run_resumed",
            Self::RunHandedOver { .. } => "run_handed_over",
            Self::UpstreamChanged { .. } => "upstream_changed",
            Self::AccountRenamed { .. } => "account_renamed",
            Self::UsernameReassigned { .. } => "username_reassigned",
            Self::KnownPostsReached { .. } => "known_posts_reached",
            Self::PostsMissing { .. } => "posts_missing",
            Self::PostsFoundAgain { .. } => "posts_found_again",
            Self::ListRestarted { .. } => "list_restarted",
            Self::EventsDropped { .. } => "events_dropped",
        }
    }

    fn words(self) -> (String, Map<String, Value>) {
        match self {
            Self::AccountFetched { account, duration } => {
                let posts = account.posts.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
                (
                    format!("Profile data retrieved: @{} with {posts} posts", account.username),
                    object(json!({
                        "username": account.username,
                        "followers_count": account.followers,
                        "following_count": account.following,
                        "posts_count": account.posts,
                        "is_private": account.is_private,
                        "is_verified": account.is_verified,
                        "duration_ms": millis(duration),
                    })),
                )
            }
            Self::PostsFetched { page, page_posts, totals, duration } => (
                format!("Page {page} read: {page_posts} posts, {} so far", total(&totals, "scraped_posts_count")),
                with(totals, json!({"page": page, "page_posts": page_posts, "duration_ms": millis(duration)})),
            ),
            Self::ReelsFiltered { reels, posts } => (
                format!("{reels} of {posts} posts are reels"),
                object(json!({"reels_count": reels, "scraped_posts_count": posts})),
            ),
            Self::ProcessingReels { done, total } => {
                (format!("Reels processed: {done} of {total}"), object(json!({"done": done, "total": total})))
            }
            Self::ReelsProcessed { done, total, missing } => (
                match missing.len() {
                    0 => format!("All {total} reels processed"),
                    gone => format!("{done} of {total} reels processed; {gone} could not be found any more"),
                },
                object(json!({"done": done, "total": total, "missing": missing})),
            ),
            Self::ProfileDataUpdated { username, totals } => {
                (format!("Profile data of @{username} updated in the database"), totals)
            }
            Self::ScrapeCompleted { username, elapsed_seconds, totals } => (
                format!(
                    "Scrape of @{username} completed in {elapsed_seconds:.1} s: {} posts",
                    total(&totals, "scraped_posts_count")
                ),
                with(totals, json!({"duration_ms": whole(elapsed_seconds * 1000.0)})),
            ),
            Self::ScrapeEnded { state, reason, message, failure, elapsed_seconds, attempt, totals } => (
                match state {
                    RunState::Partial => format!("Scrape ended with a part of what was asked for: {message}"),
                    _ => format!("Scrape failed: {message}"),
                },
                with(
                    with(totals, request(failure.as_ref())),
                    json!({
                        "reason": reason,
                        "attempt": attempt,
                        "duration_ms": whole(elapsed_seconds * 1000.0),
                    }),
                ),
            ),
            Self::ScrapeCancelled { username, totals } => {
                (format!("Scrape of @{username} cancelled; what was stored stays"), totals)
            }
            Self::BackingOff { failure, reason, delay, resume_at, attempt, tries, max_attempts } => (
                format!(
                    "{failure}; try {tries} of {max_attempts}, the next in {} at {}",
                    seconds(delay),
                    resume_at.format("%H:%M:%S UTC")
                ),
                with(
                    object(request(Some(&failure))),
                    json!({
                        "reason": reason,
                        "retry_after_s": whole(delay.as_secs_f64().ceil()),
                        "resume_at": resume_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                        "attempt": attempt,
                        "tries": tries,
                        "max_attempts": max_attempts,
                    }),
                ),
            ),
            Self::AwaitsTurn { message, cause, credential, source, reason, delay, resume_at, attempt } => (
                format!("{message}; the run goes on in {} at {}", seconds(delay), resume_at.format("%H:%M:%S UTC")),
                object(json!({
                    "reason": reason,
                    "cause": cause,
                    "credential": credential,
                    "source": source,
                    "retry_after_s": whole(delay.as_secs_f64().ceil()),
                    "resume_at": resume_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                    "attempt": attempt,
                })),
            ),
            Self::CredentialChanged { message, failure, from, to, attempt } => (
                format!("{message}; the run goes on with credential {to}"),
                with(object(request(failure.as_ref())), json!({"from": from, "to": to, "attempt": attempt})),
            ),
            Self::RunResumed { attempt, after, stage, totals } => {
                let (after, why) = match after {
                    Before::LostWorker => ("lost_worker", "its worker was lost"),
                    Before::Wait => ("wait", "the wait is over"),
                    Before::HandOver => ("hand_over", "it was handed over"),
                };
                (
                    format!("Run taken up again, {why}; it goes on at stage {stage}"),
                    with(totals, json!({"attempt": attempt, "after": after, "stage": stage})),
                )
            }
            Self::RunHandedOver { stage } => {
                (format!("Run handed over at stage {stage}: this replica shuts down"), object(json!({"stage": stage})))
            }
            Self::UpstreamChanged { unread } => (
                format!(
                    "Instagram's answer has changed{}: {} should be {}, found {}",
                    if unread.is_loss { "" } else { ", and another one served" },
                    unread.path,
                    unread.expected,
                    unread.found
                ),
                object(json!({"path": unread.path, "expected": unread.expected, "found": unread.found})),
            ),
            Self::AccountRenamed { pk, from, to } => (
                format!("@{from} is called @{to} now; the task goes on with the same account"),
                // Beyond what a JavaScript number holds exactly: a text.
                object(json!({"from": from, "to": to, "instagram_id": pk.to_string()})),
            ),
            Self::UsernameReassigned { username, before, now } => (
                format!("@{username} is another account now, and the one before is gone; its history is kept apart"),
                object(json!({
                    "username": username,
                    "instagram_id_before": before.to_string(),
                    "instagram_id": now.map(|pk| pk.to_string()),
                })),
            ),
            Self::KnownPostsReached { read, kept } => (
                format!("{read} posts read; {kept} older ones are known and are not read again"),
                object(json!({"read": read, "kept": kept})),
            ),
            Self::PostsMissing { codes } => (
                format!("{} not there any more", posts(codes.len())),
                object(json!({"missing": codes})),
            ),
            Self::PostsFoundAgain { codes } => {
                (format!("{} there again", posts(codes.len())), object(json!({"found": codes})))
            }
            Self::ListRestarted { list, known, failure } => (
                format!("{failure}; the list of {list} is read from its beginning, {known} of it are known"),
                with(object(request(Some(&failure))), json!({"list": list, "known": known})),
            ),
            Self::EventsDropped { dropped } => (
                format!("{dropped} events on the run's progress are not told: its log was full (IGT_MAX_EVENTS)"),
                object(json!({"dropped": dropped})),
            ),
        }
    }
}

/// The request that showed a failure, as fields.
fn request(failure: Option<&Failure>) -> Value {
    failure.map_or_else(
        || json!({}),
        |failure| {
            json!({
                "endpoint": failure.endpoint,
                "http_status": failure.status,
                "failure": failure.kind.as_str(),
                "upstream_message": failure.message,
            })
        },
    )
}

/// So many posts, with the verb.
fn posts(number: usize) -> String {
    if number == 1 { "1 post is".to_owned() } else { format!("{number} posts are") }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn with(mut map: Map<String, Value>, more: Value) -> Map<String, Value> {
    map.extend(object(more));
    map
}

fn total(totals: &Map<String, Value>, name: &str) -> u64 {
    totals.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// To the next whole number, written without a fraction.
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// A wait in words: tenths of a second below ten seconds, whole seconds above.
fn seconds(delay: Duration) -> String {
    if delay.as_secs() < 10 { format!("{:.1} s", delay.as_secs_f64()) } else { format!("{} s", delay.as_secs()) }
}
