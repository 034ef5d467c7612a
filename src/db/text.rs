//! Text that Postgres can hold, and that a reader can bear: the one place that cleans and cuts what comes from outside.
//!
//! Each function of this room that writes such a text passes it through here, whoever made it.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sqlx::types::Json;

/// An event's message, in bytes.
pub(super) const MESSAGE: usize = 8 * 1024;

/// An event's fields as JSON, in bytes.
pub(super) const FIELDS: usize = 64 * 1024;

/// The address of an exchange, in bytes.
pub(super) const ADDRESS: usize = 8 * 1024;

/// A text of an account or a post (a biography, a caption, an address), in bytes.
pub(super) const TEXT: usize = 64 * 1024;

/// A text fit to be kept: without NUL, the one character that Postgres does not hold and in whose place U+FFFD shows
/// where it was; and no longer than so many bytes, the mark included that shows what was cut.
pub(super) fn fit(text: &str, limit: usize) -> Cow<'_, str> {
    let cleaned = if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) };
    if cleaned.len() <= limit {
        return cleaned;
    }
    let mark = mark(text.len());
    let end = cleaned.floor_char_boundary(limit.saturating_sub(mark.len()));
    Cow::Owned(format!("{}{mark}", &cleaned[..end]))
}

/// The same for a text that may be absent, of an account or a post.
pub(super) fn fit_if_any(text: Option<&str>) -> Option<String> {
    text.map(|text| fit(text, TEXT).into_owned())
}

/// An event's fields as JSON text.
pub(super) type Fields = Json<Box<RawValue>>;

/// An event's fields fit to be kept: no text in them is longer than a message may be, and what has no room beside the
/// fields before it is no more than its mark.
pub(super) fn fit_fields(fields: &Value) -> Fields {
    let text = if fields.is_object() { fields.to_string() } else { "{}".to_owned() };
    // All together no longer than one text in them may be, and without a NUL: the rule, and nothing to be done.
    let fits = text.len() <= MESSAGE && !text.contains(r"\u0000");
    let text = if fits { text } else { cut_fields(fields).to_string() };
    // What was just written as JSON is JSON.
    Json(RawValue::from_string(text).unwrap_or_default())
}

fn cut_fields(fields: &Value) -> Value {
    let Value::Object(fields) = fields else { return Value::Object(Map::new()) };
    let mut left = FIELDS;
    let fitted = fields.iter().map(|(name, value)| {
        let mut value = value.clone();
        clean_json(&mut value, MESSAGE);
        let size = name.len() + value.to_string().len();
        if size > left {
            return (fit(name, MESSAGE).into_owned(), mark(size).into());
        }
        left -= size;
        (fit(name, MESSAGE).into_owned(), value)
    });
    Value::Object(fitted.collect())
}

/// Every text in a JSON value, keys too, fit to be kept.
pub(super) fn clean_json(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(fitted) = fit(text, limit) {
                *text = fitted;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean_json(item, limit)),
        Value::Object(map) => {
            if map.keys().any(|key| matches!(fit(key, limit), Cow::Owned(_))) {
                let fitted = std::mem::take(map).into_iter();
                *map = fitted.map(|(key, value)| (fit(&key, limit).into_owned(), value)).collect();
            }
            map.values_mut().for_each(|value| clean_json(value, limit));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What stands in the place of what was cut: how long it all was.
fn mark(bytes: usize) -> String {
    format!("… [cut: {bytes} bytes]")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_nul_is_replaced_wherever_it_stands_and_nothing_else_changes() {
        assert_eq!(fit("a\0b", 10), "a\u{FFFD}b");
        assert!(matches!(fit("plain é 🎈", TEXT), Cow::Borrowed(_)));
        let mut value = json!({"k\0": ["a\0", {"b": "\0"}], "n": 1});
        clean_json(&mut value, TEXT);
        assert_eq!(value, json!({"k\u{FFFD}": ["a\u{FFFD}", {"b": "\u{FFFD}"}], "n": 1}));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_how_long_it_was() {
        assert_eq!(fit(&"x".repeat(30), 30).len(), 30);
        assert_eq!(fit(&"x".repeat(31), 30), "xxxxxxxxxxx… [cut: 31 bytes]");
        for text in ["é", "🎈", "a", "\0", "e\u{301}"] {
            for limit in 30..60 {
                for length in [limit / text.len(), limit, limit + 1, 3 * limit] {
                    let whole = text.repeat(length);
                    let fitted = fit(&whole, limit);
                    assert!(fitted.len() <= limit, "{limit}: {fitted}");
                    let (kept, mark) = fitted.split_once('…').unwrap_or((&fitted, ""));
                    assert!(whole.replace('\0', "\u{FFFD}").starts_with(kept), "{limit}: {fitted}");
                    let expected =
                        if mark.is_empty() { String::new() } else { format!(" [cut: {} bytes]", whole.len()) };
                    assert_eq!(mark, expected);
                    // No more is cut than has to be.
                    assert!(mark.is_empty() || fitted.len() + 4 > limit, "{limit}: {fitted}");
                }
            }
        }
    }

    #[test]
    fn fields_beyond_the_limit_keep_their_names_and_say_how_long_they_were() {
        let long: Vec<String> = (0..10_000).map(|n| format!("code{n}")).collect();
        let fields = json!({"reason": "x", "said": "y".repeat(1_000_000), "missing": long, "attempt": 3});
        let fitted: Value = serde_json::from_str(fit_fields(&fields).get()).unwrap();
        assert!(fitted.to_string().len() <= FIELDS + 1024);
        assert_eq!((&fitted["reason"], &fitted["attempt"]), (&json!("x"), &json!(3)));
        let said = fitted["said"].as_str().unwrap();
        assert!(said.len() <= MESSAGE && said.ends_with("… [cut: 1000000 bytes]"), "{said}");
        assert!(fitted["missing"].as_str().unwrap().starts_with("… [cut: "), "{fitted}");
        assert_eq!(fit_fields(&json!({"a": [1, "b"]})).get(), r#"{"a":[1,"b"]}"#);
        assert_eq!(fit_fields(&json!({"a\0": "b\0"})).get(), "{\"a\u{FFFD}\":\"b\u{FFFD}\"}");
        assert_eq!(fit_fields(&json!({"a": "\\u0000"})).get(), r#"{"a":"\\u0000"}"#);
        assert_eq!(fit_fields(&json!([1])).get(), "{}");
    }
}
