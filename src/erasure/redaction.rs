//! The names of a person in a text, and the text without them.

use regex::{Captures, Regex, RegexBuilder};
use serde_json::Value;

use crate::db::mentions::Patterns;

/// What stands in the place of a name.
pub(super) const ERASED: &str = "[erased]";

/// A number that is shorter would be found in words where it means something else.
const SHORTEST_NUMBER: usize = 8;

/// What a person is called.
pub(super) struct Names {
    names: Vec<String>,
    patterns: Patterns,
    in_words: Regex,
    in_json: Regex,
}

impl Names {
    /// Of these handles, and these numbers as texts; `None` where there is neither.
    pub(super) fn new(handles: &[String], numbers: &[String]) -> Result<Option<Self>, regex::Error> {
        if handles.is_empty() && numbers.is_empty() {
            return Ok(None);
        }
        let (in_words, in_json) = (in_words(handles, numbers), in_json(handles, numbers));
        let compiled = |pattern: &str| RegexBuilder::new(pattern).case_insensitive(true).build();
        let unnamed = Regex::new("[(][?]<[a-z]+>")?.replace_all(&in_words, "(").into_owned();
        let patterns = Patterns { in_words: unnamed, in_json: in_json.clone() };
        let (in_words, in_json) = (compiled(&in_words)?, compiled(&in_json)?);
        let names = handles.iter().chain(numbers).cloned().collect();
        Ok(Some(Self { names, patterns, in_words, in_json }))
    }

    /// The same for the database.
    pub(super) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// The text without them; `None` where it names them nowhere.
    pub(super) fn out_of(&self, text: &str) -> Option<String> {
        let part = |found: &Captures<'_>, name: &str| found.name(name).map_or("", |part| part.as_str()).to_owned();
        let instead = |found: &Captures<'_>| {
            let (before, behind) =
                (part(found, "address") + &part(found, "before"), part(found, "behind") + &part(found, "after"));
            format!("{before}{ERASED}{behind}")
        };
        let mut text = self.in_words.is_match(text).then(|| text.to_owned())?;
        // Of two names with one character in between, which belongs to the first, the second is found by the next look.
        while self.in_words.is_match(&text) {
            text = self.in_words.replace_all(&text, instead).into_owned();
        }
        Some(text)
    }

    /// Takes them out of every text in a JSON value, and those texts away that are a name and nothing else. Whether there
    /// was any.
    pub(super) fn out_of_json(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let is_name = self.names.iter().any(|name| name.eq_ignore_ascii_case(text));
                let instead = if is_name { Some(ERASED.to_owned()) } else { self.out_of(text) };
                instead.map(|instead| *text = instead).is_some()
            }
            Value::Array(items) => items.iter_mut().fold(false, |found, item| self.out_of_json(item) | found),
            Value::Object(map) => map.values_mut().fold(false, |found, item| self.out_of_json(item) | found),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Whether an answer names them.
    pub(super) fn are_in(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        self.in_words.is_match(&text) || self.in_json.is_match(&text)
    }
}

/// `@handle`, the address of its page, and a long number by itself. A handle has to end where it is found to: a dot at the
/// end of a sentence is none of it. The groups have names here and none in the database, which does not know of them.
fn in_words(handles: &[String], numbers: &[String]) -> String {
    let handles: Vec<String> = handles.iter().map(|handle| regex::escape(handle)).collect();
    let numbers: Vec<&str> =
        numbers.iter().map(String::as_str).filter(|number| number.len() >= SHORTEST_NUMBER).collect();
    let mut parts = Vec::new();
    if !handles.is_empty() {
        let handles = handles.join("|");
        parts.push(format!("(@|(?<address>instagram[.]com/))({handles})(?<behind>[.]*($|[^a-z0-9._]))"));
    }
    if !numbers.is_empty() {
        parts.push(format!("(?<before>^|[^0-9])({})(?<after>$|[^0-9])", numbers.join("|")));
    }
    // No pattern at all would be found everywhere, and behind the end stands nothing.
    if parts.is_empty() { "$.".to_owned() } else { parts.join("|") }
}

/// A name that is all of a text in JSON.
fn in_json(handles: &[String], numbers: &[String]) -> String {
    let names: Vec<String> = handles.iter().chain(numbers).map(|name| regex::escape(name)).collect();
    format!("\"({})\"", names.join("|"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Names {
        let handles = ["anna".to_owned(), "an.na_1".to_owned()];
        Names::new(&handles, &["27350891545508".to_owned(), "4".to_owned()]).unwrap().unwrap()
    }

    #[test]
    fn a_handle_is_found_where_it_is_one_and_nowhere_else() {
        for (text, without) in [
            ("thanks to @anna.", "thanks to [erased]."),
            ("@Anna @anna,@AN.NA_1", "[erased] [erased],[erased]"),
            ("see instagram.com/anna/ today", "see instagram.com/[erased]/ today"),
            ("account 27350891545508 is gone", "account [erased] is gone"),
        ] {
            assert_eq!(names().out_of(text).as_deref(), Some(without), "{text}");
        }
        for text in [
            "anna is a name",
            "@anna.b",
            "@annabel",
            "@anna_",
            "@banna",
            "4 posts",
            "127350891545508",
            "anna@example.com",
        ] {
            assert_eq!(names().out_of(text), None, "{text}");
        }
    }

    #[test]
    fn in_json_a_text_that_is_a_name_is_one() {
        let mut value = json!({"from": "anna", "id": "4", "n": 4, "more": ["Anna", "annabel", {"said": "no @anna"}]});
        assert!(names().out_of_json(&mut value));
        let expected =
            json!({"from": ERASED, "id": ERASED, "n": 4, "more": [ERASED, "annabel", {"said": "no [erased]"}]});
        assert_eq!(value, expected);
        assert!(!names().out_of_json(&mut value), "all is gone");
        assert!(names().are_in(br#"{"username":"anna"}"#) && names().are_in(br#"{"pk":27350891545508}"#));
        assert!(!names().are_in(br#"{"username":"annabel","count":4}"#));
        assert!(Names::new(&[], &[]).unwrap().is_none());
        let short = Names::new(&[], &["77".to_owned()]).unwrap().unwrap();
        assert_eq!(short.out_of("77 posts of @anna"), None);
        assert!(short.are_in(br#"{"id":"77"}"#) && !short.are_in(br#"{"count":77}"#));
        let patterns = names().patterns().clone();
        assert!(!patterns.in_words.contains("?<"), "{patterns:?}");
    }
}
