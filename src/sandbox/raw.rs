//! What no JSON value can hold, and yet a server can send: half a surrogate pair, bytes that are no text, numbers and
//! nesting beyond all bounds. A placeholder stands for it in the value; it is replaced where the answer becomes bytes.

use serde_json::Value;

/// Stands in a text for the first half of a surrogate pair, escaped, without the second.
pub(super) const HALF_PAIR: char = '\u{F0001}';
/// Stands in a text for bytes that are not UTF-8.
pub(super) const NO_TEXT: char = '\u{F0002}';
/// Begins a text that is written without its quotation marks.
const UNQUOTED: char = '\u{F0003}';

const PLACEHOLDERS: [char; 3] = [HALF_PAIR, NO_TEXT, UNQUOTED];

/// A value that is written as it stands here. It has no quotation mark in it.
pub(super) fn value(text: &str) -> Value {
    format!("{UNQUOTED}{text}").into()
}

/// The bytes of an answer, whatever stands for them replaced.
pub(super) fn bytes_of(answer: String) -> Vec<u8> {
    if !answer.contains(PLACEHOLDERS) {
        return answer.into_bytes();
    }
    let mut bytes = Vec::with_capacity(answer.len());
    let mut rest = answer.as_str();
    while let Some(at) = rest.find(PLACEHOLDERS) {
        let (before, found) = rest.split_at(at);
        // All placeholders are of the same length.
        let (placeholder, after) = found.split_at(UNQUOTED.len_utf8());
        rest = after;
        if placeholder.starts_with(UNQUOTED) {
            let (text, after) = after.split_once('"').unwrap_or((after, ""));
            bytes.extend_from_slice(before.strip_suffix('"').unwrap_or(before).as_bytes());
            bytes.extend_from_slice(text.as_bytes());
            rest = after;
        } else {
            bytes.extend_from_slice(before.as_bytes());
            bytes.extend_from_slice(if placeholder.starts_with(HALF_PAIR) { b"\\ud83d" } else { b"\xff\xfe" });
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_become_what_they_stand_for_and_nothing_else_changes() {
        let answer =
            json!({"a": format!("x{HALF_PAIR}{NO_TEXT}y"), "b": value("1e400"), "c": [value("[[]]")], "d": "é"});
        let expected = b"{\"a\":\"x\\ud83d\xff\xfey\",\"b\":1e400,\"c\":[[[]]],\"d\":\"\xc3\xa9\"}";
        assert_eq!(bytes_of(answer.to_string()), expected);
        assert_eq!(bytes_of(json!({"a": 1}).to_string()), b"{\"a\":1}");
    }
}
