//! Text that Postgres can hold.

use std::borrow::Cow;

use serde_json::Value;

/// Postgres holds every Unicode character but NUL. It is replaced by U+FFFD, so that its place can still be seen.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// The same for a text that may be absent.
pub(super) fn clean_if_any(text: Option<&str>) -> Option<String> {
    text.map(|text| clean(text).into_owned())
}

/// The same for every text in a JSON value, keys too.
pub(super) fn clean_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cleaned) = clean(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean_json),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map = std::mem::take(map).into_iter().map(|(key, value)| (clean(&key).into_owned(), value)).collect();
            }
            map.values_mut().for_each(clean_json);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_nul_is_replaced_wherever_it_stands_and_nothing_else_changes() {
        assert_eq!(clean("a\0b"), "a\u{FFFD}b");
        assert!(matches!(clean("plain é 🎈"), Cow::Borrowed(_)));
        let mut value = json!({"k\0": ["a\0", {"b": "\0"}], "n": 1});
        clean_json(&mut value);
        assert_eq!(value, json!({"k\u{FFFD}": ["a\u{FFFD}", {"b": "\u{FFFD}"}], "n": 1}));
    }
}
