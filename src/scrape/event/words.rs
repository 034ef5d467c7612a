//! What each event says: the sentence for a person, and the fields for a query.

use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::{Before, Event};
use crate::db::runs::RunState;
use crate::instagram::Failure;

impl Event {
    /// What happened in a sentence, and in fields.
    pub(super) fn words(self) -> (String, Map<String, Value>) {
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
            Self::PostsMissing { codes } => {
                (format!("{} not there any more", posts(codes.len())), object(json!({"missing": codes})))
            }
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
