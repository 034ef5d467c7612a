//! What could not be read: which fields, what stands in their place, and the beginning of the answer.

use serde_json::Value;

use super::facts::KeptAnswer;
use super::report::{Answer, Unread, UnreadField};
use super::{fields, text};
use crate::db::evidence::Run;
use crate::db::status::Event;

/// How many fields that could not be read are told.
const FIELDS: usize = 10;

/// Of an answer so many lines are shown, and so many characters of each.
const LINES: usize = 5;
const WIDTH: usize = 200;

/// What could not be read, by the events that tell of it, and the answer that shows it.
pub(super) fn unread(run: &Run, events: &[Event], answer: Option<KeptAnswer>) -> Option<Unread> {
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
}
