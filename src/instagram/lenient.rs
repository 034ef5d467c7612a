//! JSON as JavaScript reads it.
//!
//! Two things pass there and not here: half a surrogate pair in a text, which Rust's text cannot hold, and a number
//! beyond all floating point. One of them in a caption would cost the whole page. So where the parser refuses an
//! answer, both are replaced and it is parsed once more; an ordinary answer is parsed once and copied never.

use std::borrow::Cow;

use serde_json::Value;

/// Parses JSON. In the place of half a surrogate pair comes U+FFFD, in that of a number beyond all bounds the largest
/// or the least that there is, which no count and no id is.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| match mended(text) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// The text with both replaced; `None` where there is nothing to replace.
fn mended(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut copied, mut at, mut quoted) = (0, 0, false);
    while let Some(byte) = bytes.get(at) {
        let (length, instead) = match byte {
            b'\\' if quoted => escape(&bytes[at..]),
            b'-' | b'0'..=b'9' if !quoted => number(&text[at..]),
            _ => (1, None),
        };
        quoted ^= *byte == b'"';
        if let Some(instead) = instead {
            // What is replaced begins and ends with ASCII.
            mended.push_str(&text[copied..at]);
            mended.push_str(&instead);
            copied = at + length;
        }
        at += length;
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// How long the escape is that stands at the beginning, and what has to stand there instead.
fn escape(bytes: &[u8]) -> (usize, Option<Cow<'static, str>>) {
    match (unit(bytes), bytes.get(6..).and_then(unit)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, None),
        (Some(0xD800..=0xDFFF), _) => (6, Some(Cow::Borrowed("\\ufffd"))),
        (Some(_), _) => (6, None),
        // A backslash and the character after it, which may be a backslash or a quotation mark.
        (None, _) => (2, None),
    }
}

/// The UTF-16 unit of an escape `\uXXXX`.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)? as u16))
}

/// The same for a number.
fn number(text: &str) -> (usize, Option<Cow<'static, str>>) {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let beyond = text[..length].parse::<f64>().is_ok_and(f64::is_infinite);
    let nearest = if text.starts_with('-') { f64::MIN } else { f64::MAX };
    (length, beyond.then(|| format!("{nearest:e}").into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_a_whole_one_is_a_character() {
        for (text, read) in [
            (r#""x\ud83dy""#, "x\u{fffd}y"),
            (r#""\uD83D""#, "\u{fffd}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\uDE00 \ud83d""#, "😀 \u{fffd}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\\ud83d \ud83d""#, "\\ud83d \u{fffd}"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\"\ud83d\"""#, "\"\u{fffd}\""),
            (r#""é\ud800é 1e999""#, "é\u{fffd}é 1e999"),
        ] {
            assert_eq!(parse(text).unwrap(), json!(read), "{text}");
        }
    }

    #[test]
    fn a_number_beyond_all_bounds_is_one_that_no_count_is_and_the_rest_stays() {
        let read = parse(r#"{"a":1e400,"b":[-1e400,2,3.5e1],"c":"1e400","d":18446744073709551616}"#).unwrap();
        assert_eq!(read, json!({"a": f64::MAX, "b": [f64::MIN, 2, 35.0], "c": "1e400", "d": 18446744073709551616_f64}));
        let digits = format!("[{}, 7]", "9".repeat(400));
        assert_eq!(parse(&digits).unwrap(), json!([f64::MAX, 7]));
    }

    /// Every text of a few characters out of those that matter, as the two halves of a page.
    #[test]
    fn whatever_the_parser_takes_is_read_as_it_takes_it_and_nothing_panics() {
        const PARTS: [&str; 10] = ["\\", "\"", "\\ud83d", "\\uDE00", "\\u", "\\u+12", "é", "1e400", "-", "d"];
        for number in 0..PARTS.len().pow(4) {
            let parts: String = (0..4).map(|place| PARTS[number / PARTS.len().pow(place) % PARTS.len()]).collect();
            for text in [format!("\"{parts}\""), parts] {
                match serde_json::from_str::<Value>(&text) {
                    Ok(strict) => assert_eq!(mended(&text).map(|text| parse(&text).unwrap()), None, "{text}: {strict}"),
                    Err(_) => drop(parse(&text)),
                }
            }
        }
    }

    #[test]
    fn what_is_no_json_stays_refused_and_nesting_without_end_does_no_harm() {
        for text in ["", "{", "\\ud83d", r#""\ud83d"#, "[1e400", r#"{"a":\ud83d}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = format!("{}1e400{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(parse(&deep).unwrap_err().to_string().contains("recursion limit"));
    }
}
