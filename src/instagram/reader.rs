//! Reads fields of an answer by hand, so that a changed answer costs one field and not the whole page.
//!
//! A field that is absent or null reads as `None`. One that stands there and cannot be read is `None`, too, and leaves
//! a note with its path.

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Unread;

/// What could not be read so far. Kept behind a cell, so that fields can share it while they are walked.
#[derive(Default)]
pub(crate) struct Notes(RefCell<Vec<Unread>>);

impl Notes {
    pub(crate) fn add(&self, path: impl Into<String>, expected: &'static str, found: impl Into<String>) {
        self.0.borrow_mut().push(Unread { path: path.into(), expected, found: found.into(), is_loss: true });
    }

    pub(crate) fn extend(&self, unread: Vec<Unread>) {
        self.0.borrow_mut().extend(unread);
    }

    pub(crate) fn into_unread(self) -> Vec<Unread> {
        self.0.into_inner()
    }
}

/// One place of an answer: the value that stands there, if any, and the path that leads to it.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    value: Option<&'a Value>,
    path: String,
    notes: &'a Notes,
}

impl<'a> Field<'a> {
    pub(crate) fn root(value: &'a Value, notes: &'a Notes) -> Self {
        Self { value: Some(value), path: String::new(), notes }
    }

    /// The same as [`Field::root`] for a part of an answer: `path` is where the part stands.
    pub(crate) fn part(value: &'a Value, path: &str, notes: &'a Notes) -> Self {
        Self { value: Some(value), path: path.to_owned(), notes }
    }

    pub(crate) fn value(&self) -> Option<&'a Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// The field below, by the keys to it joined with periods.
    pub(crate) fn at(&self, keys: &str) -> Self {
        keys.split('.').fold(self.clone(), |field, key| field.child(key))
    }

    fn child(&self, key: &str) -> Self {
        let value = match self.value {
            Some(Value::Object(map)) => map.get(key),
            None | Some(Value::Null) => None,
            Some(_) => self.unreadable("an object"),
        };
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { value, path, notes: self.notes }
    }

    /// Whether the answer has this field at all, be it null.
    pub(crate) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// The same field, with a note where an answer does not have it that always has it, be it null.
    pub(crate) fn always_told(self, expected: &'static str) -> Self {
        if !self.is_there() {
            self.unreadable::<()>(expected);
        }
        self
    }

    /// Whether something other than null stands here.
    pub(crate) fn is_some(&self) -> bool {
        self.value().is_some()
    }

    /// Text, as it came.
    pub(crate) fn text(&self) -> Option<String> {
        match self.value()? {
            Value::String(text) => Some(text.clone()),
            _ => self.unreadable("text"),
        }
    }

    /// Text that says something: an empty one counts as none.
    pub(crate) fn some_text(&self) -> Option<String> {
        self.text().filter(|text| !text.trim().is_empty())
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match self.value()? {
            Value::Bool(flag) => Some(*flag),
            _ => self.unreadable("true or false"),
        }
    }

    /// An id as text; the wire sends ids as text and as numbers.
    pub(crate) fn id_text(&self) -> Option<String> {
        match self.value()? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            _ => self.unreadable("an id"),
        }
    }

    /// An id as a positive number of 63 bits.
    pub(crate) fn id(&self) -> Option<i64> {
        let id = match self.value()? {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        id.filter(|id| *id > 0).or_else(|| self.unreadable("an id"))
    }

    /// A whole number, whatever its sign.
    pub(crate) fn whole(&self) -> Option<i64> {
        self.value()?.as_i64().or_else(|| self.unreadable("a whole number"))
    }

    /// A count: zero or more.
    pub(crate) fn count(&self) -> Option<i64> {
        self.value()?.as_i64().filter(|count| *count >= 0).or_else(|| self.unreadable("a count of zero or more"))
    }

    /// A length in seconds. Beyond a year it is no length but another unit or a mistake.
    pub(crate) fn seconds(&self) -> Option<f64> {
        const YEAR: f64 = 366.0 * 24.0 * 3600.0;
        let seconds = self.value()?.as_f64().filter(|seconds| (0.0..YEAR).contains(seconds));
        seconds.or_else(|| self.unreadable("a length in seconds"))
    }

    /// A time in seconds since 1970. Beyond 2100 it is no time but another unit or a mistake.
    pub(crate) fn time(&self) -> Option<DateTime<Utc>> {
        const YEAR_2100: i64 = 4_102_444_800;
        let seconds = match self.value()? {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        seconds
            .filter(|seconds| (1..YEAR_2100).contains(seconds))
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .or_else(|| self.unreadable("a time in seconds since 1970"))
    }

    /// The items of a list; null and absent are empty.
    pub(crate) fn items(&self) -> Vec<Self> {
        match self.value() {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let field = |(place, value)| Self {
                    value: Some(value),
                    path: format!("{}[{place}]", self.path),
                    notes: self.notes,
                };
                items.iter().enumerate().map(field).collect()
            }
            Some(_) => {
                self.unreadable::<()>("a list");
                Vec::new()
            }
        }
    }

    /// A list without which the answer says nothing: `None`, with a note, where it is missing or no list. A null
    /// one is empty.
    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        match self.value {
            Some(Value::Array(_) | Value::Null) => Some(self.items()),
            _ => self.unreadable("a list"),
        }
    }

    /// Leaves a note that this field cannot be read; always `None`.
    pub(crate) fn unreadable<T>(&self, expected: &'static str) -> Option<T> {
        let found = self.value.map_or_else(|| "nothing".to_owned(), describe);
        self.notes.add(self.path.clone(), expected, found);
        None
    }
}

/// A value in a few characters for a person.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().map(String::as_str).take(8).collect();
            shorten(&format!("an object of {}", keys.join(", ")), 120)
        }
        value => shorten(&value.to_string(), 120),
    }
}

/// At most `limit` characters, with a mark where more stood.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(notes: Notes) -> Vec<String> {
        notes.into_unread().into_iter().map(|unread| unread.path).collect()
    }

    #[test]
    fn absent_and_null_are_nothing_and_no_news() {
        let value = json!({"a": null, "list": null});
        let notes = Notes::default();
        let root = Field::root(&value, &notes);
        assert_eq!(root.at("a").count(), None);
        assert_eq!(root.at("a.b.c").text(), None);
        assert_eq!(root.at("missing").flag(), None);
        assert!(root.at("list").items().is_empty());
        assert!(root.at("a").is_there() && !root.at("a").is_some());
        assert!(paths(notes).is_empty());
    }

    #[test]
    fn what_stands_there_and_cannot_be_read_is_noted_by_its_path() {
        let value = json!({"data": {"count": "many", "ids": [{"pk": -4}], "flag": 1, "wide": 1e300, "user": "x"}});
        let notes = Notes::default();
        let data = Field::root(&value, &notes).at("data");
        assert_eq!(data.at("count").count(), None);
        assert_eq!(data.at("ids").items()[0].at("pk").id(), None);
        assert_eq!(data.at("flag").flag(), None);
        assert_eq!(data.at("wide").count(), None);
        assert_eq!(data.at("user.pk").id(), None);
        let unread = notes.into_unread();
        let expected = ["data.count", "data.ids[0].pk", "data.flag", "data.wide", "data.user"];
        assert_eq!(unread.iter().map(|unread| unread.path.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(unread[0].found, "\"many\"");
    }

    #[test]
    fn of_a_field_that_is_always_told_its_absence_is_news_and_null_is_none() {
        let value = json!({"a": null, "b": 7});
        let notes = Notes::default();
        let root = Field::root(&value, &notes);
        assert_eq!(root.at("a").always_told("a count").count(), None);
        assert_eq!(root.at("b").always_told("a count").count(), Some(7));
        assert_eq!(root.at("c").always_told("a count").count(), None);
        let unread = notes.into_unread();
        let told: Vec<_> = unread.iter().map(|unread| (unread.path.as_str(), unread.found.as_str())).collect();
        assert_eq!(told, [("c", "nothing")]);
    }

    #[test]
    fn ids_are_read_from_text_and_from_numbers() {
        let value = json!(["12", 12, 9_223_372_036_854_775_807_i64, "9223372036854775808", ""]);
        let notes = Notes::default();
        let ids: Vec<_> = Field::root(&value, &notes).items().iter().map(Field::id).collect();
        assert_eq!(ids, [Some(12), Some(12), Some(i64::MAX), None, None]);
        assert_eq!(paths(notes), ["[3]", "[4]"]);
    }

    #[test]
    fn what_was_found_is_told_in_short() {
        let value = json!({"count": "9".repeat(10_000_000), "user": {"k".repeat(1_000_000): 1}, "seconds": 1e300});
        let notes = Notes::default();
        let root = Field::root(&value, &notes);
        assert_eq!(
            (root.at("count").count(), root.at("user").text(), root.at("seconds").seconds()),
            (None, None, None)
        );
        for unread in notes.into_unread() {
            assert!(unread.found.chars().count() <= 121, "{}", unread.found);
        }
    }

    #[test]
    fn a_time_in_another_unit_is_no_time() {
        let value = json!([1_700_000_000, 1_700_000_000_000_i64, 0, -1]);
        let notes = Notes::default();
        let times: Vec<_> = Field::root(&value, &notes).items().iter().map(Field::time).collect();
        assert_eq!(times[0].map(|time| time.timestamp()), Some(1_700_000_000));
        assert_eq!(times[1..], [None, None, None]);
        assert_eq!(paths(notes).len(), 3);
    }
}
