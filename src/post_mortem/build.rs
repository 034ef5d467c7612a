//! From what the database tells to what is told of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Facts, OtherRuns, Record};
use super::report::{Advice, At, Failure, LastGood, Links, Others, PostMortem, Request, Requests, Share, Step};
use super::unread::unread;
use super::{advice, course, failure};
use crate::db::evidence::Run;
use crate::db::exchanges::Told;
use crate::db::post_mortem::Tally;
use crate::db::runs::RunState;
use crate::db::status::Event;
use crate::db::summaries;
use crate::scrape::Checkpoint;

/// How many of the last steps are told, how many tasks of other runs.
const STEPS: usize = 10;
const TASKS: usize = 5;

impl From<Facts> for PostMortem {
    fn from(facts: Facts) -> Self {
        let Facts { record, tally, requests, answer, last_good, others } = facts;
        let good = last_good.as_ref();
        let (way, phases) = (record.way(), course::phase_times(&record, good));
        let (counts, missing) = (course::counts(&record, good), course::missing(&record, good, tally.count));
        let Record { run, events, summary: kept } = record;
        let failure = failure::shown_by(run.state, &events).map(|shown| Failure::of(shown, &requests));
        let checkpoint = Checkpoint::from_row(run.checkpoint.clone());
        // One that read all it was to read, and could not read all of it, stopped nowhere.
        let went_through = failure.is_none() && run.finished_at.is_some() && checkpoint.stage() == "update";
        let stopped = run.started_at.is_some() && run.state != RunState::Succeeded && !went_through;
        let stage = stopped.then(|| checkpoint.stage());
        let address = format!("/api/v2/runs/{}", run.run_id);
        let asked = asked(run.last_exchange, &tally, kept.as_ref().and_then(|kept| kept.asked));
        let last_word = events.last().map(|event| event.message.clone()).or(kept.and_then(|kept| kept.last_word));
        Self {
            summary: summary(&run, &checkpoint, last_word),
            stage,
            advice: run.reason.map(|reason| {
                let advice::Advice { meaning, action } = advice::of(reason);
                Advice { meaning, action }
            }),
            last_steps: events[events.len().saturating_sub(STEPS)..].iter().map(Step::from).collect(),
            way,
            phases,
            counts,
            last_good: good.map(|Record { run, .. }| LastGood {
                run_id: run.run_id,
                finished_at: At(run.finished_at.unwrap_or(run.updated_at)),
            }),
            requests: Requests {
                count: run.last_exchange,
                failed: asked.map(|asked| asked.failed),
                bytes: asked.map(|asked| asked.bytes),
                duration_ms: asked.map(|asked| asked.duration_ms),
                latest: requests.into_iter().map(Request::from).collect(),
            },
            unread: unread(&run, &events, answer),
            others: others.map(Others::from),
            missing,
            links: Links {
                event: failure.as_ref().map(|failure| format!("{address}/events/{}", failure.seq)),
                events: format!("{address}/events"),
                requests: format!("{address}/requests"),
                run: address,
            },
            failure,
            run_id: run.run_id,
            task_id: run.task_id,
            kind: run.kind,
            username: run.username,
            source: run.source,
            trigger: run.trigger,
            state: run.state,
            reason: run.reason,
            attempt: run.attempt,
            requested_at: At(run.requested_at),
            started_at: run.started_at.map(At),
            finished_at: run.finished_at.map(At),
            deadline_at: At(run.deadline_at),
        }
    }
}

/// What all of so many requests came to: by themselves where all are here, else by the summary of their run.
fn asked(made: i64, tally: &Tally, kept: Option<summaries::Requests>) -> Option<Tally> {
    if tally.count >= made {
        return Some(*tally);
    }
    let of_summary = |kept: summaries::Requests| Tally {
        count: made,
        failed: kept.failed.into(),
        bytes: kept.bytes,
        duration_ms: kept.ms.into(),
    };
    kept.map(of_summary)
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            at: At(event.at),
            level: event.level,
            event_type: event.event_type.clone(),
            message: event.message.clone(),
        }
    }
}

impl From<Told> for Request {
    fn from(told: Told) -> Self {
        let exchange = told.exchange;
        Self {
            seq: exchange.seq,
            at: At(exchange.at),
            credential: exchange.credential,
            endpoint: exchange.endpoint,
            http_status: exchange.status,
            duration_ms: exchange.duration_ms,
            bytes: exchange.bytes,
            failure: exchange.failure,
            has_body: exchange.has_body,
        }
    }
}

/// What happened, in a sentence.
fn summary(run: &Run, checkpoint: &Checkpoint, last_word: Option<String>) -> String {
    let since = |at: DateTime<Utc>| format!("for {}", in_words(run.now - at));
    match run.state {
        RunState::Queued => format!("It waits for a free worker, {}", since(run.requested_at)),
        RunState::Running => {
            let read = checkpoint.progress(usize::MAX);
            let read = read.map_or_else(String::new, |read| format!(", {} of {} {}", read.done, read.total, read.of));
            let (taken_up, stage) = (run.started_at.unwrap_or(run.requested_at), checkpoint.stage());
            format!(
                "It is at stage {stage}{read}, {}; it last moved {} ago",
                since(taken_up),
                in_words(run.now - run.updated_at)
            )
        }
        RunState::Waiting => {
            let until = run.claimable_at.map_or_else(String::new, |at| format!(" until {}", at.format("%H:%M:%S UTC")));
            format!("It waits{until}: {}", last_word.unwrap_or_else(|| "its log is not kept any more".to_owned()))
        }
        RunState::Succeeded | RunState::Partial | RunState::Failed | RunState::Cancelled => {
            last_word.unwrap_or_else(|| format!("It ended as {}; its log is not kept any more", run.state.as_str()))
        }
    }
}

/// A time in words: tenths of a second below a minute.
pub(super) fn in_words(time: TimeDelta) -> String {
    let seconds = time.num_milliseconds() as f64 / 1000.0;
    match time.num_seconds() {
        ..60 => format!("{seconds:.1} s"),
        whole @ 60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        whole @ 3600.. => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

impl From<OtherRuns> for Others {
    fn from(others: OtherRuns) -> Self {
        let OtherRuns { since, until, runs, is_exact, asked_with } = others;
        let mut by_task = shares(runs.iter().map(|run| run.task_id.as_str()));
        by_task.truncate(TASKS);
        Self {
            since: At(since),
            until: At(until),
            count: runs.len(),
            is_exact,
            by_task,
            by_credential: shares(asked_with.iter().filter_map(|with| with.credential.as_deref())),
            by_source: shares(asked_with.iter().map(|with| with.source.as_str())),
        }
    }
}

/// How many there are of each, the most first.
fn shares<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Share> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut shares: Vec<Share> =
        counts.into_iter().map(|(name, count)| Share { name: name.to_owned(), count }).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.count));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_gone_are_counted_by_the_summary_or_not_at_all() {
        let (all, gone) = (
            Tally { count: 3, failed: 1, bytes: 70, duration_ms: 5.5 },
            Tally { count: 1, failed: 0, bytes: 7, duration_ms: 0.5 },
        );
        let kept = summaries::Requests { failed: 2, bytes: 90, ms: 8 };
        let told = |tally, kept| asked(3, &tally, kept).map(|asked| (asked.failed, asked.bytes, asked.duration_ms));
        assert_eq!(told(all, Some(kept)), Some((1, 70, 5.5)));
        assert_eq!(told(gone, Some(kept)), Some((2, 90, 8.0)));
        assert_eq!(told(gone, None), None);
    }

    #[test]
    fn times_are_told_as_a_person_would() {
        for (millis, words) in [
            (0, "0.0 s"),
            (59_940, "59.9 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_060_000, "25 h 1 min"),
        ] {
            assert_eq!(in_words(TimeDelta::milliseconds(millis)), words);
        }
    }

    #[test]
    fn the_most_come_first_and_of_equals_the_name_decides() {
        let share = |name: &str, count| Share { name: name.to_owned(), count };
        assert_eq!(shares(["b", "a", "c", "c"].into_iter()), [share("c", 2), share("a", 1), share("b", 1)]);
    }
}
