//! How long a run was at what, told from its log: the vocabulary of [`super::event`] read backwards.
//!
//! An event tells the end of the work that it names, so the time before it was spent on that; what names no work (a field
//! that could not be read, another credential) is of the phase that the run was in. While a run waits or has no worker,
//! nothing is worked on, whatever stage it stands at.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What a run's time goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the request to the first taking up.
    Queue,
    /// The account is read.
    Account,
    /// The posts are read, page by page.
    Posts,
    /// The reels are filtered from the posts, and their own numbers read.
    Reels,
    /// What the scan shows beside the posts is found out and stored, up to the end.
    Update,
    /// From `rate_limited` or `retry_scheduled` to the next taking up, or to the end of a run that ends meanwhile.
    Waiting,
    /// Without a worker: from the hand-over, or from the last word of a worker that was lost, to the next taking up.
    Interrupted,
}

impl Phase {
    /// Every phase, in the order in which a run first comes to them; waits and interruptions last.
    pub const ALL: [Self; 7] =
        [Self::Queue, Self::Account, Self::Posts, Self::Reels, Self::Update, Self::Waiting, Self::Interrupted];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Account => "account",
            Self::Posts => "posts",
            Self::Reels => "reels",
            Self::Update => "update",
            Self::Waiting => "waiting",
            Self::Interrupted => "interrupted",
        }
    }

    /// The phase of a stage as events and checkpoints name it.
    fn of_stage(stage: &str) -> Option<Self> {
        [Self::Account, Self::Posts, Self::Reels, Self::Update].into_iter().find(|phase| phase.as_str() == stage)
    }
}

/// What of an event tells phases apart.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its type.
    pub event_type: &'a str,
    /// Its field `stage`, or `list`, where it has one.
    pub stage: Option<&'a str>,
}

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; for one that is active, the time up to which its phases are asked for.
    pub until: DateTime<Utc>,
}

/// A stretch of a run's time in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What the time went to.
    pub phase: Phase,
    /// Since when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

impl Span {
    /// How long it is.
    pub fn duration(&self) -> TimeDelta {
        self.until - self.from
    }
}

/// The phases of a run in the order of time, from the whole of its log: one stretch behind the other without a gap, from the
/// request to the end. Where a run that was taken up has no log any more, only its time in the queue is known.
///
/// A log that was full tells no progress: what it does not tell is of the phase that it told last.
pub fn spans<'a>(times: Times, marks: impl IntoIterator<Item = Mark<'a>>) -> Vec<Span> {
    let mut told = Told { spans: Vec::new(), until: times.requested_at };
    let end = times.until.max(times.requested_at);
    let Some(started_at) = times.started_at else {
        told.reach(Phase::Queue, end);
        return told.spans;
    };
    told.reach(Phase::Queue, started_at.min(end));
    let (mut stage, mut idle) = (Phase::Account, None);
    let mut has_log = false;
    for mark in marks {
        has_log = true;
        let work = match mark.event_type {
            "account_fetched" | "account_renamed" | "username_reassigned" => Some(Phase::Account),
            "posts_fetched" => Some(Phase::Posts),
            "reels_filtered" | "processing_reels" | "reels_processed" => Some(Phase::Reels),
            "known_posts_reached" | "posts_found_again" | "posts_missing" | "profile_data_updated" => {
                Some(Phase::Update)
            }
            "list_restarted" => mark.stage.and_then(Phase::of_stage),
            _ => None,
        };
        let unattended = (mark.event_type == "run_resumed").then_some(Phase::Interrupted);
        let spent = idle.or(unattended).or(work).unwrap_or(stage);
        told.reach(spent, mark.at.min(end));
        idle = match mark.event_type {
            "rate_limited" | "retry_scheduled" => Some(Phase::Waiting),
            "run_handed_over" => Some(Phase::Interrupted),
            // Between the last word and the row's own time of the end lies the writing of both.
            "scrape_completed" | "scrape_partial" | "scrape_failed" | "scrape_cancelled" => Some(spent),
            _ => None,
        };
        stage = match mark.event_type {
            "account_fetched" => Phase::Posts,
            "reels_processed" => Phase::Update,
            "run_resumed" => mark.stage.and_then(Phase::of_stage).unwrap_or(stage),
            _ => work.unwrap_or(stage),
        };
    }
    if has_log {
        told.reach(idle.unwrap_or(stage), end);
    }
    told.spans
}

/// How long the stretches of a phase are together; `None` where the run never was in it.
pub fn total(spans: &[Span], phase: Phase) -> Option<TimeDelta> {
    spans.iter().filter(|span| span.phase == phase).map(Span::duration).reduce(|sum, more| sum + more)
}

/// Stretches so far, and up to when they reach.
struct Told {
    spans: Vec<Span>,
    until: DateTime<Utc>,
}

impl Told {
    /// The time up to this one went to a phase. What happened late, on a clock that was set or in a step that had to wait
    /// for the database, takes no time away from what was told before.
    fn reach(&mut self, phase: Phase, at: DateTime<Utc>) {
        let (from, until) = (self.until, at.max(self.until));
        self.until = until;
        match self.spans.last_mut() {
            Some(last) if last.phase == phase => last.until = until,
            _ if from == until => {}
            _ => self.spans.push(Span { phase, from, until }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_320_000_000 + millis).unwrap()
    }

    fn times(requested: i64, started: Option<i64>, until: i64) -> Times {
        Times { requested_at: at(requested), started_at: started.map(at), until: at(until) }
    }

    /// A log as `time type` or `time type stage`, told in milliseconds.
    fn told(times: Times, log: &[&str]) -> Vec<(&'static str, i64)> {
        let marks = log.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Mark { at: at(words[0].parse().unwrap()), event_type: words[1], stage: words.get(2).copied() }
        });
        spans(times, marks).iter().map(|span| (span.phase.as_str(), span.duration().num_milliseconds())).collect()
    }

    #[test]
    fn each_event_ends_the_work_that_it_names() {
        let log = [
            "0 scrape_started",
            "400 account_fetched",
            "420 posts_fetched",
            "900 upstream_changed",
            "1000 posts_fetched",
            "1010 reels_filtered",
            "2000 processing_reels",
            "2010 reels_processed",
            "2040 profile_data_updated",
            "2050 scrape_completed",
        ];
        let expected = [("queue", 100), ("account", 300), ("posts", 600), ("reels", 1010), ("update", 45)];
        assert_eq!(told(times(0, Some(100), 2055), &log), expected);
        assert_eq!(told(times(0, Some(0), 2055), &log)[0], ("account", 400), "taken up at once");
    }

    #[test]
    fn a_wait_is_nobodys_work_whatever_ends_it() {
        let log = ["0 scrape_started", "300 rate_limited", "9000 run_resumed account", "9500 account_fetched"];
        let begun = [("account", 300), ("waiting", 8700), ("account", 500)];
        assert_eq!(told(times(0, Some(0), 9500), &log), begun);
        let log = ["0 scrape_started", "300 retry_scheduled", "2000 scrape_cancelled"];
        assert_eq!(told(times(0, Some(0), 2001), &log), [("account", 300), ("waiting", 1701)]);
        let log = ["0 scrape_started", "300 account_fetched", "700 rate_limited"];
        let still = [("account", 300), ("posts", 400), ("waiting", 300)];
        assert_eq!(told(times(0, Some(0), 1000), &log), still, "it waits still");
    }

    #[test]
    fn without_a_worker_a_run_is_interrupted_and_goes_on_where_it_was() {
        let log = [
            "0 scrape_started",
            "300 account_fetched",
            "500 run_handed_over posts",
            "600 run_resumed posts",
            "900 posts_fetched",
            "31000 run_resumed posts",
            "31400 posts_fetched",
            "31500 scrape_failed",
        ];
        let expected = [
            ("account", 300),
            ("posts", 200),
            ("interrupted", 100),
            ("posts", 300),
            ("interrupted", 30_100),
            ("posts", 500),
        ];
        assert_eq!(told(times(0, Some(0), 31_500), &log), expected);
        let lost_at_once = ["0 scrape_started", "30000 run_resumed account", "30400 scrape_failed"];
        let expected = [("interrupted", 30_000), ("account", 400)];
        assert_eq!(told(times(0, Some(0), 30_400), &lost_at_once), expected);
    }

    #[test]
    fn a_run_that_nobody_took_up_was_in_the_queue_and_one_without_its_log_tells_no_more() {
        let log = ["0 scrape_started", "700 scrape_cancelled"];
        assert_eq!(told(times(0, None, 700), &log), [("queue", 700)]);
        assert_eq!(told(times(0, Some(50), 700), &[]), [("queue", 50)]);
        assert_eq!(told(times(0, Some(0), 700), &[]), []);
    }

    #[test]
    fn what_a_full_log_does_not_tell_is_of_the_phase_that_it_told_last() {
        let log = [
            "0 scrape_started",
            "300 account_fetched",
            "400 posts_fetched",
            "5000 events_dropped",
            "5000 scrape_completed",
        ];
        assert_eq!(told(times(0, Some(0), 5000), &log), [("account", 300), ("posts", 4700)]);
    }

    #[test]
    fn a_list_that_is_read_anew_is_of_its_phase() {
        let log = ["0 scrape_started", "100 account_fetched", "200 reels_filtered", "900 list_restarted reels"];
        let expected = [("account", 100), ("reels", 800)];
        assert_eq!(told(times(0, Some(0), 900), &log), expected);
    }

    const TYPES: [&str; 21] = [
        "scrape_started",
        "account_fetched",
        "account_renamed",
        "posts_fetched",
        "reels_filtered",
        "processing_reels",
        "reels_processed",
        "list_restarted",
        "known_posts_reached",
        "posts_missing",
        "profile_data_updated",
        "scrape_completed",
        "scrape_partial",
        "scrape_failed",
        "scrape_cancelled",
        "rate_limited",
        "retry_scheduled",
        "run_resumed",
        "run_handed_over",
        "upstream_changed",
        "a word of another version",
    ];

    proptest! {
        /// Whatever a log says, in whatever order, and whatever its clocks did.
        #[test]
        fn stretches_follow_each_other_within_the_run_and_are_never_more_than_it(
            started in proptest::option::of(-50..3000_i64),
            until in -50..3000_i64,
            log in proptest::collection::vec((-100..4000_i64, 0..TYPES.len(), proptest::option::of(0..6_usize)), 0..40),
        ) {
            let stages = ["account", "posts", "reels", "update", "waiting", "somewhere"];
            let marks = log.iter().map(|(millis, which, stage)| Mark {
                at: at(*millis),
                event_type: TYPES[*which],
                stage: stage.map(|stage| stages[stage]),
            });
            let times = times(0, started, until);
            let spans = spans(times, marks);
            let whole = times.until.max(times.requested_at) - times.requested_at;
            for span in &spans {
                prop_assert!(span.from < span.until);
                prop_assert!(times.requested_at <= span.from && span.until <= times.requested_at + whole);
            }
            for (one, next) in spans.iter().zip(spans.iter().skip(1)) {
                prop_assert_eq!(one.until, next.from);
                prop_assert_ne!(one.phase, next.phase);
            }
            let sum = Phase::ALL.iter().filter_map(|phase| total(&spans, *phase)).sum::<TimeDelta>();
            prop_assert!(sum <= whole);
            if !log.is_empty() || started.is_none() {
                prop_assert_eq!(sum, whole, "with a log, all of the time went somewhere");
            }
            let queued = total(&spans, Phase::Queue).unwrap_or_default();
            prop_assert_eq!(queued, started.map_or(whole, |started| (at(started.max(0)) - at(0)).min(whole)));
        }
    }
}
