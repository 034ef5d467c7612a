//! The vocabulary: everything that a run can say, with a message for a person and fields for a query.
//!
//! Numbers are plain, times RFC 3339, durations in milliseconds (`…_ms`) or seconds (`…_s`).

mod words;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

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
}
