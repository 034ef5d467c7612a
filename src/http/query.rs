//! Whole numbers in a query string, read as forgivingly as the first service read them: what is none counts as left
//! out, and of a name that comes twice the first counts.

/// The whole number of this name; one beyond 64 bits is the nearest that fits, for only its sign matters.
pub(super) fn whole_number(query: Option<&str>, name: &str) -> Option<i64> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, text) = pairs.find(|(key, _)| *key == name)?;
    let text = text.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&text).decode_utf8_lossy();
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    #[test]
    fn a_number_is_read_wherever_it_stands_and_anything_else_is_left_out() {
        for (query, expected) in [
            ("", None),
            ("m=3", None),
            ("n", None),
            ("n=", None),
            ("n=abc", None),
            ("n=5.0", None),
            ("n=1e2", None),
            ("n=--5", None),
            ("n=5", Some(5)),
            ("n=+7", Some(7)),
            ("n=%2B7", Some(7)),
            ("n=%37", Some(7)),
            ("n=-5", Some(-5)),
            ("n=99999999999999999999999999", Some(i64::MAX)),
            ("n=-99999999999999999999999999", Some(i64::MIN)),
            ("a=b&n=3&n=9", Some(3)),
        ] {
            assert_eq!(whole_number(Some(query), "n"), expected, "{query}");
        }
        assert_eq!(whole_number(None, "n"), None);
    }
}
