//! An event as version 1 tells it: its own three names first, then its fields beside them.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::db::status::Event;

/// The names that an event has of its own, as they stand in JSON; fields of these names are not told.
const OWN: [&str; 3] = [r#""timestamp""#, r#""event_type""#, r#""message""#];

/// Writes an event as one flat JSON object. Its fields are taken over as the database wrote them.
pub(in crate::http) fn write(event: &Event, line: &mut Vec<u8>) {
    let fields = &*event.fields;
    let fields = if OWN.iter().any(|own| fields.contains(own)) { &without_own(fields) } else { fields };
    let inner = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}')).unwrap_or_default();
    // Writing into memory cannot fail, and neither can a text be no JSON.
    let _ = write!(line, r#"{{"timestamp":{},"event_type":"#, event.at.timestamp());
    let _ = serde_json::to_writer(&mut *line, &event.event_type);
    line.extend_from_slice(br#","message":"#);
    let _ = serde_json::to_writer(&mut *line, &event.message);
    if !inner.is_empty() {
        line.push(b',');
        line.extend_from_slice(inner.as_bytes());
    }
    line.push(b'}');
}

/// The fields without those that are called like something of the event's own. The word may also stand elsewhere in
/// them, which only a reading tells.
fn without_own(fields: &str) -> String {
    let mut fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
    fields.retain(|name, _| !OWN.iter().any(|own| own.trim_matches('"') == name));
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::db::journal::Level;

    fn line(message: &str, fields: &str) -> Value {
        let event = Event {
            seq: 1,
            at: DateTime::from_timestamp(1_754_654_979, 999_999_000).unwrap(),
            level: Level::Info,
            event_type: "posts_fetched".to_owned(),
            message: message.to_owned(),
            fields: fields.to_owned(),
        };
        let mut line = Vec::new();
        write(&event, &mut line);
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn fields_stand_beside_the_events_own_three_whatever_is_in_them() {
        let own =
            |message: &str| json!({"timestamp": 1_754_654_979, "event_type": "posts_fetched", "message": message});
        assert_eq!(line("Page 1 \"read\"\u{1}", "{}"), own("Page 1 \"read\"\u{1}"));
        for fields in [
            json!({"page": 3}),
            json!({"deep": {"er": {}}}),
            json!({"brace": "}", "list": [{"message": 1}], "told": "\"timestamp\": 3"}),
        ] {
            let mut expected = own("m");
            expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            assert_eq!(line("m", &fields.to_string()), expected);
        }
    }

    #[test]
    fn fields_of_the_events_own_names_are_not_told() {
        let told = line("m", r#"{"message": "other", "timestamp": 1, "event_type": null, "page": 3}"#);
        let expected = json!({"timestamp": 1_754_654_979, "event_type": "posts_fetched", "message": "m", "page": 3});
        assert_eq!(told, expected);
        let line = line("m", r#"{"timestamp": 1}"#);
        assert_eq!(line, json!({"timestamp": 1_754_654_979, "event_type": "posts_fetched", "message": "m"}));
    }
}
