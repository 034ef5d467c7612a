//! From what the database tells to what is told of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::advice;
use super::facts::{Facts, Good, KeptAnswer, OtherRuns};
use super::report::{
    Advice, Answer, At, Count, Failure, LastGood, Links, Others, PhaseTime, PostMortem, Request, Requests, Share, Step,
    Unread, UnreadField, Way,
};
use crate::db::evidence::Run;
use crate::db::exchanges::Told;
use crate::db::runs::RunState;
use crate::db::status::Event;
use crate::scrape::Checkpoint;
use crate::scrape::phases::{self, Mark, Phase, Span, Times};

/// How many of the last steps are told, how many fields that could not be read, how many tasks of other runs.
const STEPS: usize = 10;
const FIELDS: usize = 10;
const TASKS: usize = 5;

/// Of an answer so many lines are shown, and so many characters of each.
const LINES: usize = 5;
const WIDTH: usize = 200;

impl From<Facts> for PostMortem {
    fn from(facts: Facts) -> Self {
        let Facts { run, events, tally, requests, answer, last_good, others } = facts;
        let failure = failure(&events, &requests);
        let checkpoint = Checkpoint::from_row(run.checkpoint.clone());
        // One that read all it was to read, and could not read all of it, stopped nowhere.
        let went_through = failure.is_none() && run.finished_at.is_some() && checkpoint.stage() == "update";
        let stopped = run.started_at.is_some() && run.state != RunState::Succeeded && !went_through;
        let stage = stopped.then(|| checkpoint.stage());
        let address = format!("/api/v2/runs/{}", run.run_id);
        Self {
            summary: summary(&run, &checkpoint, &events),
            stage,
            advice: run.reason.map(|reason| {
                let advice::Advice { meaning, action } = advice::of(reason);
                Advice { meaning, action }
            }),
            last_steps: events[events.len().saturating_sub(STEPS)..].iter().map(Step::from).collect(),
            way: way(&run, &events),
            phases: phase_times(&run, &events, last_good.as_ref()),
            counts: counts(&run, &events, last_good.as_ref()),
            last_good: last_good.as_ref().map(|good| LastGood {
                run_id: good.run.run_id,
                finished_at: At(good.run.finished_at.unwrap_or(good.run.updated_at)),
            }),
            requests: Requests {
                count: run.last_exchange,
                failed: tally.failed,
                bytes: tally.bytes,
                duration_ms: tally.duration_ms,
                latest: requests.into_iter().map(Request::from).collect(),
            },
            unread: unread(&run, &events, answer),
            others: others.map(Others::from),
            missing: missing(&run, &events, tally.count),
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

fn fields(event: &Event) -> Value {
    serde_json::from_str(&event.fields).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What happened, in a sentence.
fn summary(run: &Run, checkpoint: &Checkpoint, events: &[Event]) -> String {
    let since = |at: DateTime<Utc>| format!("for {}", in_words(run.now - at));
    let last_word = events.last().map(|event| event.message.clone());
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

/// The request that showed why: as the last event tells that names a failure.
fn failure(events: &[Event], requests: &[Told]) -> Option<Failure> {
    let (event, fields) = events.iter().rev().find_map(|event| {
        let fields = fields(event);
        fields.get("failure").and_then(Value::as_str)?;
        Some((event, fields))
    })?;
    let endpoint = text(&fields["endpoint"]).unwrap_or_default();
    let made = requests.iter().map(|told| &told.exchange);
    let request = made.rev().find(|exchange| exchange.endpoint == endpoint && exchange.failure.is_some());
    Some(Failure {
        name: text(&fields["failure"]).unwrap_or_default(),
        http_status: fields["http_status"].as_i64(),
        upstream_message: text(&fields["upstream_message"]),
        credential: request.and_then(|request| request.credential.clone()),
        request: request.map(|request| request.seq),
        seq: event.seq,
        endpoint,
    })
}

/// What a run met on the way.
fn way(run: &Run, events: &[Event]) -> Way {
    let mut way = Way::default();
    for event in events {
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
    let waited = phases::total(&spans(run, events), Phase::Waiting);
    Way { waited_seconds: waited.map_or(0.0, seconds), ..way }
}

fn seconds(time: TimeDelta) -> f64 {
    time.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6
}

/// The phases of a run; of one whose log is not here from its beginning, none.
fn spans(run: &Run, events: &[Event]) -> Vec<Span> {
    let told: Vec<(&Event, Value)> = events.iter().map(|event| (event, fields(event))).collect();
    let marks = told.iter().map(|(event, fields)| Mark {
        at: event.at,
        event_type: &event.event_type,
        stage: fields.get("stage").or_else(|| fields.get("list")).and_then(Value::as_str),
    });
    let (requested_at, started_at) = (run.requested_at, run.started_at);
    phases::spans(Times { requested_at, started_at, until: run.finished_at.unwrap_or(run.now) }, marks)
}

fn phase_times(run: &Run, events: &[Event], good: Option<&Good>) -> Vec<PhaseTime> {
    let (here, there) = (spans(run, events), good.map(|good| spans(&good.run, &good.events)).unwrap_or_default());
    let times = Phase::ALL.map(|phase| PhaseTime {
        phase,
        seconds: phases::total(&here, phase).map(seconds),
        last_good_seconds: phases::total(&there, phase).map(seconds),
    });
    times.into_iter().filter(|time| time.seconds.is_some() || time.last_good_seconds.is_some()).collect()
}

fn counts(run: &Run, events: &[Event], good: Option<&Good>) -> Vec<Count> {
    let here = counted(run, events);
    let there = good.map(|good| counted(&good.run, &good.events));
    let count = |(place, (of, count)): (usize, (&'static str, Option<i64>))| Count {
        of,
        count,
        last_good_count: there.as_ref().and_then(|there| there.get(place)?.1),
    };
    let counts = here.into_iter().enumerate().map(count);
    counts.filter(|count| count.count.is_some() || count.last_good_count.is_some()).collect()
}

/// What a run has, as its row and its log tell it.
fn counted(run: &Run, events: &[Event]) -> [(&'static str, Option<i64>); 6] {
    let latest = |name: &str| events.iter().rev().find_map(|event| fields(event)[name].as_i64());
    [
        ("events", Some(run.last_seq)),
        ("requests", Some(run.last_exchange)),
        ("posts", latest("scraped_posts_count")),
        ("reels", latest("scraped_reels_count")),
        ("followers", latest("followers_count")),
        ("posts_of_account", latest("posts_count")),
    ]
}

fn unread(run: &Run, events: &[Event], answer: Option<KeptAnswer>) -> Option<Unread> {
    let noted = events.iter().filter(|event| event.event_type == "upstream_changed");
    let shown: Option<Value> = answer.as_ref().and_then(|kept| serde_json::from_slice(&kept.body).ok());
    let field = |event: &Event| {
        let fields = fields(event);
        let word = |name: &str| text(&fields[name]).unwrap_or_default();
        let (path, expected, found) = (word("path"), word("expected"), word("found"));
        let (last_there, names_there) = shown.as_ref().and_then(|shown| beside(shown, &path)).unzip();
        UnreadField { seq: event.seq, path, expected, found, last_there, names_there: names_there.unwrap_or_default() }
    };
    let fields: Vec<UnreadField> = noted.take(FIELDS).map(field).collect();
    let answer = answer.map(|kept| Answer {
        request: kept.request,
        endpoint: kept.endpoint,
        bytes: kept.bytes,
        kept_bytes: kept.body.len(),
        first_lines: first_lines(&kept.body),
        command: format!("ig-tracking runs show {} --body {}", run.run_id, kept.request),
    });
    (!fields.is_empty() || answer.is_some()).then_some(Unread { fields, answer })
}

/// How far a path leads in an answer, and which names there are most like the next one on it: a field that bears another
/// name by now is among them. `None` where the whole path is there, or nothing of it.
fn beside(answer: &Value, path: &str) -> Option<(String, Vec<String>)> {
    const NAMES: usize = 5;
    let (mut there, mut place) = (answer, Vec::new());
    for part in path.split('.') {
        let (name, index) = part.split_once('[').map_or((part, None), |(name, rest)| (name, rest.strip_suffix(']')));
        let Value::Object(map) = there else { return None };
        let Some(next) = map.get(name).filter(|next| !next.is_null()) else {
            if place.is_empty() {
                return None;
            }
            let alike = |other: &str| name.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
            let mut names: Vec<&String> = map.keys().filter(|other| other.as_str() != name).collect();
            names.sort_by_key(|other| std::cmp::Reverse(alike(other)));
            return Some((place.join("."), names.into_iter().take(NAMES).cloned().collect()));
        };
        there = match index.and_then(|index| index.parse::<usize>().ok()) {
            Some(index) => next.get(index)?,
            None => next,
        };
        place.push(part.to_owned());
    }
    None
}

/// The first lines of a body, fit to be shown.
fn first_lines(body: &[u8]) -> Vec<String> {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(LINES * WIDTH * 4)]).into_owned();
    let lines = beginning.lines().filter(|line| !line.trim().is_empty()).take(LINES);
    let shown = lines.map(|line| {
        let line = line.replace(char::is_control, " ");
        let mut cut: String = line.chars().take(WIDTH).collect();
        if cut.len() < line.len() {
            cut.push('…');
        }
        cut
    });
    shown.collect()
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

/// What is not there any more, and why.
fn missing(run: &Run, events: &[Event], requests: i64) -> Vec<String> {
    let mut missing = Vec::new();
    let told = i64::try_from(events.len()).unwrap_or(i64::MAX);
    if told < run.last_seq && told == 0 {
        missing.push(format!("its log, which had {} events, is not kept any more", run.last_seq));
    } else if told < run.last_seq {
        missing.push(format!("of its {} events the latest {told} were looked at", run.last_seq));
    }
    if requests < run.last_exchange {
        missing.push(format!("of its {} requests {requests} are kept", run.last_exchange));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_shown_by_its_beginning_and_nothing_in_it_moves_the_terminal() {
        let body = format!("\n  \u{1b}[31mfirst\r\n{}\nthird\n4\n5\n6\n", "é".repeat(1000));
        let lines = first_lines(body.as_bytes());
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0], "   [31mfirst");
        assert_eq!(lines[1].chars().count(), WIDTH + 1);
        assert!(lines[1].ends_with('…'));
        assert_eq!(first_lines(&[0xff, 0xfe]), ["\u{FFFD}\u{FFFD}"]);
        assert!(first_lines(b"").is_empty());
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
    fn a_path_is_followed_as_far_as_it_leads_and_the_likest_names_are_told() {
        let answer = serde_json::json!({"data": {"user": {"id": "1", "edge_follow": {}, "edge_followed_by_v2": {"count": 3}},
                                        "items": [{"pk": 1, "code": null}]}});
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (place, there) = beside(&answer, "data.user.edge_followed_by.count").unwrap();
        assert_eq!((place.as_str(), there), ("data.user", names(&["edge_followed_by_v2", "edge_follow", "id"])));
        let (place, there) = beside(&answer, "data.items[0].code").unwrap();
        assert_eq!((place.as_str(), there), ("data.items[0]", names(&["pk"])));
        for elsewhere in ["data.items[7].code", "data.user.id", "data.user.id.more", "user.id", "doc_id 123", ""] {
            assert_eq!(beside(&answer, elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn the_most_come_first_and_of_equals_the_name_decides() {
        let share = |name: &str, count| Share { name: name.to_owned(), count };
        assert_eq!(shares(["b", "a", "c", "c"].into_iter()), [share("c", 2), share("a", 1), share("b", 1)]);
    }
}
