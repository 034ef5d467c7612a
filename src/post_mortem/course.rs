//! How a run went: from its log where that is here from its beginning, else from what its summary has kept of it.

use chrono::TimeDelta;
use serde_json::Value;

use super::facts::Record;
use super::fields;
use super::report::{Count, PhaseTime, Way};
use crate::db::status::Event;
use crate::scrape::phases::{self, Mark, Phase, Span, Times};

impl Record {
    /// Whether its log is here from its beginning on.
    fn has_whole_log(&self) -> bool {
        self.events.first().is_some_and(|event| event.seq == 1)
    }

    /// What it met on the way; `None` where its log is not here from its beginning.
    pub(super) fn way(&self) -> Option<Way> {
        if !self.has_whole_log() {
            return None;
        }
        let mut way = Way::default();
        for event in &self.events {
            match event.event_type.as_str() {
                "rate_limited" | "retry_scheduled" => way.waits += 1,
                "run_handed_over" => way.hand_overs += 1,
                "credential_changed" => way.credential_changes += 1,
                "list_restarted" => way.lists_restarted += 1,
                "run_resumed" if fields(event)["after"] == "lost_worker" => way.lost_workers += 1,
                "events_dropped" => way.events_dropped += fields(event)["dropped"].as_u64().unwrap_or_default(),
                _ => {}
            }
        }
        let waited = phases::total(&self.spans(), Phase::Waiting);
        Some(Way { waited_seconds: waited.map_or(0.0, seconds), ..way })
    }

    /// Its phases; of one whose log is not here from its beginning, the time in the queue alone.
    fn spans(&self) -> Vec<Span> {
        let events = if self.has_whole_log() { &self.events[..] } else { &[] };
        let told: Vec<(&Event, Value)> = events.iter().map(|event| (event, fields(event))).collect();
        let marks = told.iter().map(|(event, fields)| Mark {
            at: event.at,
            event_type: &event.event_type,
            stage: fields.get("stage").or_else(|| fields.get("list")).and_then(Value::as_str),
        });
        let (requested_at, started_at) = (self.run.requested_at, self.run.started_at);
        let until = self.run.finished_at.unwrap_or(self.run.now);
        phases::spans(Times { requested_at, started_at, until }, marks)
    }

    /// How many seconds it was in each phase, in the order of all; `None` where it never was, or nobody knows.
    fn seconds_of_phases(&self) -> [Option<f64>; Phase::ALL.len()] {
        match &self.summary {
            Some(summary) if !self.has_whole_log() => {
                let kept = summary.phases;
                let millis =
                    [kept.queue, kept.account, kept.posts, kept.reels, kept.update, kept.waiting, kept.interrupted];
                millis.map(|millis| millis.map(|millis| f64::from(millis) / 1000.0))
            }
            _ => {
                let spans = self.spans();
                Phase::ALL.map(|phase| phases::total(&spans, phase).map(seconds))
            }
        }
    }

    /// What it has, as its row and its log tell it; where the log does not, as its summary does.
    fn counted(&self) -> [(&'static str, Option<i64>); 6] {
        let latest = |name: &str| self.events.iter().rev().find_map(|event| fields(event)[name].as_i64());
        let kept = self.summary.as_ref();
        let (posts, reels) = (kept.and_then(|kept| kept.posts), kept.and_then(|kept| kept.reels));
        [
            ("events", Some(self.run.last_seq)),
            ("requests", Some(self.run.last_exchange)),
            ("posts", latest("scraped_posts_count").or(posts.map(i64::from))),
            ("reels", latest("scraped_reels_count").or(reels.map(i64::from))),
            ("followers", latest("followers_count")),
            ("posts_of_account", latest("posts_count")),
        ]
    }
}

fn seconds(time: TimeDelta) -> f64 {
    time.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6
}

/// Where the time of a run went, beside that of the last that succeeded before it.
pub(super) fn phase_times(here: &Record, good: Option<&Record>) -> Vec<PhaseTime> {
    let there = good.map(Record::seconds_of_phases).unwrap_or_default();
    let here = here.seconds_of_phases();
    let times = Phase::ALL.into_iter().zip(here.into_iter().zip(there));
    let times = times.map(|(phase, (seconds, last_good_seconds))| PhaseTime { phase, seconds, last_good_seconds });
    times.filter(|time| time.seconds.is_some() || time.last_good_seconds.is_some()).collect()
}

/// What a run has, beside what that one had.
pub(super) fn counts(here: &Record, good: Option<&Record>) -> Vec<Count> {
    let there = good.map(Record::counted);
    let count = |(place, (of, count)): (usize, (&'static str, Option<i64>))| Count {
        of,
        count,
        last_good_count: there.as_ref().and_then(|there| there.get(place)?.1),
    };
    let counts = here.counted().into_iter().enumerate().map(count);
    counts.filter(|count| count.count.is_some() || count.last_good_count.is_some()).collect()
}

/// What is not there any more.
pub(super) fn missing(here: &Record, good: Option<&Record>, requests: i64) -> Vec<String> {
    let mut missing = Vec::new();
    let Record { run, events, .. } = here;
    let told = i64::try_from(events.len()).unwrap_or(i64::MAX);
    if told < run.last_seq && told == 0 {
        missing.push(format!("its log, which had {} events, is not kept any more", run.last_seq));
    } else if told < run.last_seq {
        missing.push(format!("of its {} events the latest {told} were looked at", run.last_seq));
    }
    if requests < run.last_exchange {
        let sums = match &here.summary {
            Some(summary) if summary.asked.is_some() => "their sums are those of its summary",
            _ => "what all of them came to is not known",
        };
        missing.push(format!("of its {} requests {requests} are kept; {sums}", run.last_exchange));
    }
    if let Some(Record { run, .. }) = good.filter(|good| good.events.is_empty() && good.run.last_seq > 0) {
        missing.push(format!("the log of the last good run, which had {} events, is not kept any more", run.last_seq));
    }
    missing
}
