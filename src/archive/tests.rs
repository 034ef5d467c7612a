use proptest::prelude::*;

use super::*;

/// A text as a row can have it: without a zero byte.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[^\\x00]{0,80}").unwrap()
}

fn line() -> impl Strategy<Value = Line<String>> {
    (1..1_000_000i64, any::<i64>(), 0..4u8, text(), text(), text())
        .prop_map(|(seq, at, level, event_type, message, fields)| Line { seq, at, level, event_type, message, fields })
}

fn borrowed(lines: &[Line<String>]) -> Vec<Line<&str>> {
    lines.iter().map(Line::borrowed).collect()
}

fn packed(lines: &[Line<String>]) -> Vec<u8> {
    pack(&borrowed(lines)).unwrap()
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked_byte_for_byte(lines in prop::collection::vec(line(), 0..40)) {
        prop_assert_eq!(unpack(&packed(&lines)).unwrap(), lines);
    }

    #[test]
    fn a_pack_that_was_damaged_is_refused_and_never_read_as_another(
        lines in prop::collection::vec(line(), 1..10),
        place in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut packed = packed(&lines);
        let place = place.index(packed.len());
        packed[place] ^= 1 << bit;
        // A bit that means nothing may be another; then it reads as it was.
        if let Ok(read) = unpack(&packed) {
            prop_assert_eq!(read, lines);
        }
        let cut = &packed[..place];
        prop_assert!(unpack(cut).is_err());
    }

    #[test]
    fn no_bytes_at_all_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = content::read(&bytes);
        let _ = unpack(&bytes);
        let version_1: Vec<u8> = std::iter::once(VERSION).chain(bytes).collect();
        let _ = unpack(&version_1);
    }

    #[test]
    fn a_log_is_packed_in_parts_that_are_small_and_lose_nothing(sizes in prop::collection::vec(0..100_000usize, 0..60)) {
        let line = |(n, size): (usize, &usize)| Line {
            seq: n as i64 + 1, at: 0, level: 1, event_type: String::new(), message: "m".repeat(*size), fields: String::new(),
        };
        let lines: Vec<_> = sizes.iter().enumerate().map(line).collect();
        let parts: Vec<_> = parts(&lines).collect();
        prop_assert_eq!(parts.concat(), lines.clone());
        for part in parts {
            let text: usize = part.iter().map(|line| line.message.len()).sum();
            prop_assert!(!part.is_empty() && part.len() <= MAX_EVENTS && (text <= MAX_TEXT || part.len() == 1));
        }
    }
}

#[test]
fn a_long_log_is_packed_in_parts_of_so_many_events() {
    let line = |seq| Line { seq, at: seq, level: 1, event_type: "t", message: "m", fields: "{}" };
    let lines: Vec<_> = (1..=1000).map(line).collect();
    assert_eq!(parts(&lines).map(<[_]>::len).collect::<Vec<_>>(), [256, 256, 256, 232]);
}

/// The log of `pack_1`, which was written when version 1 was made.
fn of_old() -> Vec<Line<String>> {
    let line = |seq, at, level, event_type: &str, message: &str, fields: &str| Line {
        seq,
        at,
        level,
        event_type: event_type.to_owned(),
        message: message.to_owned(),
        fields: fields.to_owned(),
    };
    vec![
        line(
            1,
            1_795_000_000_000_001,
            1,
            "scrape_started",
            "Started scraping @old.hand",
            r#"{"kind": "profile", "queued": false, "trigger": "api", "username": "old.hand"}"#,
        ),
        line(
            2,
            1_795_000_000_731_402,
            2,
            "rate_limited",
            "feed answered 429: Please wait a few minutes 🎈; try 1 of 5, the next in 660 s at 12:00:00 UTC",
            r#"{"tries": 1, "reason": "rate_limited", "attempt": 1, "failure": "throttled", "endpoint": "feed"}"#,
        ),
        line(4, 1_794_999_999_999_999, 3, "scrape_failed", "", "{}"),
        line(5, -1, 0, "", "debug\n", "{}"),
    ]
}

#[test]
fn what_version_1_wrote_is_read_for_ever() {
    assert_eq!(unpack(include_bytes!("pack_1")).unwrap(), of_old());
}

#[test]
fn a_pack_of_a_version_to_come_says_so() {
    let mut packed = packed(&of_old());
    packed[0] = 250;
    assert!(unpack(&packed).unwrap_err().to_string().contains("version"));
}

#[test]
fn a_smooth_log_takes_few_bytes_an_event() {
    let mut lines = of_old()[..1].to_vec();
    for page in 1..=8 {
        lines.push(Line {
            seq: page + 1,
            at: lines[0].at + page * 731_513,
            level: 1,
            event_type: "posts_fetched".to_owned(),
            message: format!("Page {page} read: 12 posts, {} so far", 12 * page),
            fields: format!(
                r#"{{"page": {page}, "page_posts": 12, "duration_ms": {}, "posts_count": 314, "followers_count": 15926, "scraped_posts_count": {}}}"#,
                page * 53,
                12 * page
            ),
        });
    }
    let bytes = packed(&lines).len();
    assert!(bytes < 30 * lines.len(), "{bytes} bytes for {} events", lines.len());
}
