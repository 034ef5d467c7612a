//! What an attempt said then beside what it says now.

use serde::Serialize;
use serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::db::journal::{Level, NewEvent};
use crate::db::status::Event as Told;

/// What belongs to the life of the run and not to its pipeline: no replay says it anew.
const LIFE: [&str; 4] = ["scrape_started", "run_resumed", "run_handed_over", "events_dropped"];

/// How an event then stands to one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It was said then and is said now, to the last letter.
    Same,
    /// It was said then and is not said now.
    Gone,
    /// It is said now and was not said then.
    New,
    /// It was said then of the run's life (it began, was taken up again), which is not played back.
    Life,
}

/// An event of then, of now, or of both.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Which.
    pub mark: Mark,
    /// Its number in the run's log, where it stands there.
    pub seq: Option<i64>,
    /// How much it matters.
    pub level: Level,
    /// A word of the vocabulary.
    pub event_type: String,
    /// A sentence for a person.
    pub message: String,
    /// The same in numbers and names.
    pub fields: Value,
}

/// What makes an event the same as another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    level: &'static str,
    event_type: String,
    message: String,
    fields: String,
}

/// All events of then and of now, in their order; those that are in both stand once.
pub(super) fn side_by_side(then: &[&Told], now: &[NewEvent]) -> Vec<Line> {
    let then: Vec<Line> = then.iter().map(|event| of_then(event)).collect();
    let now: Vec<Line> = now.iter().map(of_now).collect();
    let played: Vec<usize> = (0..then.len()).filter(|place| then[*place].mark != Mark::Life).collect();
    let before: Vec<Key> = played.iter().map(|place| key(&then[*place])).collect();
    let after: Vec<Key> = now.iter().map(key).collect();
    let mut lines = Vec::with_capacity(then.len().max(now.len()));
    let mut next = 0;
    // What is of the run's life stands where it stood.
    let mut up_to = |place: usize, lines: &mut Vec<Line>| {
        lines.extend(then[next..place].iter().filter(|line| line.mark == Mark::Life).cloned());
        next = place;
    };
    for change in capture_diff_slices(Algorithm::Myers, &before, &after) {
        let (tag, old, new) = change.as_tag_tuple();
        for place in old.map(|index| played[index]) {
            up_to(place, &mut lines);
            let mark = if tag == DiffTag::Equal { Mark::Same } else { Mark::Gone };
            lines.push(Line { mark, ..then[place].clone() });
        }
        if tag != DiffTag::Equal {
            lines.extend(new.map(|index| now[index].clone()));
        }
    }
    up_to(then.len(), &mut lines);
    lines
}

fn of_then(event: &Told) -> Line {
    let fields: Value = serde_json::from_str(&event.fields).unwrap_or_default();
    // Another credential for want of a turn: nothing was asked that could fail again.
    let had_no_turn = event.event_type == "credential_changed" && fields.get("failure").is_none();
    let is_life = LIFE.contains(&event.event_type.as_str()) || had_no_turn;
    Line {
        mark: if is_life { Mark::Life } else { Mark::Gone },
        seq: Some(event.seq),
        level: event.level,
        event_type: event.event_type.clone(),
        message: event.message.clone(),
        fields,
    }
}

fn of_now(event: &NewEvent) -> Line {
    Line {
        mark: Mark::New,
        seq: None,
        level: event.level,
        event_type: event.event_type.to_owned(),
        message: event.message.clone(),
        fields: event.fields.clone(),
    }
}

fn key(line: &Line) -> Key {
    Key {
        level: line.level.as_str(),
        event_type: line.event_type.clone(),
        message: line.message.clone(),
        fields: in_order(&line.fields).to_string(),
    }
}

/// The same with the names of every object in the order of the alphabet: `jsonb` has an order of its own.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().map(|(name, value)| (name.clone(), in_order(value))).collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(in_order).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(seq: i64, event_type: &str, fields: &str) -> Told {
        Told {
            seq,
            at: chrono::DateTime::UNIX_EPOCH,
            level: Level::Info,
            event_type: event_type.to_owned(),
            message: event_type.to_uppercase(),
            fields: fields.to_owned(),
        }
    }

    fn said(event_type: &'static str, fields: Value) -> NewEvent {
        NewEvent { level: Level::Info, event_type, message: event_type.to_uppercase(), fields }
    }

    fn marks(then: &[Told], now: &[NewEvent]) -> Vec<(Mark, String)> {
        let then: Vec<&Told> = then.iter().collect();
        side_by_side(&then, now).into_iter().map(|line| (line.mark, line.event_type)).collect()
    }

    #[test]
    fn what_is_in_both_stands_once_whatever_the_order_of_its_fields() {
        let then = [
            told(1, "scrape_started", "{}"),
            told(2, "account_fetched", r#"{"b":[{"y":1,"x":2}],"a":1}"#),
            told(3, "run_resumed", "{}"),
            told(4, "scrape_failed", "{}"),
        ];
        let fetched = said("account_fetched", json!({"a": 1, "b": [{"x": 2, "y": 1}]}));
        let now = [fetched.clone(), said("posts_fetched", json!({})), said("scrape_completed", json!({}))];
        let expected = [
            (Mark::Life, "scrape_started"),
            (Mark::Same, "account_fetched"),
            (Mark::Life, "run_resumed"),
            (Mark::Gone, "scrape_failed"),
            (Mark::New, "posts_fetched"),
            (Mark::New, "scrape_completed"),
        ];
        assert_eq!(marks(&then, &now), expected.map(|(mark, word)| (mark, word.to_owned())));
        let other = said("account_fetched", json!({"a": 2, "b": []}));
        assert_eq!(
            marks(&then[1..2], &[other]),
            [(Mark::Gone, "account_fetched".to_owned()), (Mark::New, "account_fetched".to_owned())]
        );
        assert_eq!(marks(&then[..1], &[]), [(Mark::Life, "scrape_started".to_owned())]);
    }
}
