//! What a caption names: hashtags and the accounts that it mentions.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Username;

/// A hashtag: up to 150 word characters of any script.
static HASHTAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"#(\w{1,150})"));

/// What may be a mention: a username behind an at sign. What stands before it says whether it is one.
static MENTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"@([A-Za-z0-9._]+)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant and tested")
}

/// So many of each are taken from a caption. Instagram takes 30 hashtags and 20 mentions; what it sends may be anything.
const MOST: usize = 100;

/// The hashtags of a caption, without their sign, each once and in their order. Instagram takes tags that differ in case
/// alone for one, so they are in lower case.
pub fn hashtags(caption: &str) -> Vec<String> {
    let mut known = HashSet::new();
    let tags = HASHTAG.captures_iter(caption).map(|found| found[1].to_lowercase());
    tags.filter(|tag| known.insert(tag.clone())).take(MOST).collect()
}

/// The accounts that a caption mentions, each once and in their order. A period behind a name ends the sentence, and an
/// at sign within an e-mail address mentions nobody.
pub fn mentions(caption: &str) -> Vec<Username> {
    let mut known = HashSet::new();
    let names = MENTION.captures_iter(caption).filter_map(|found| {
        let (whole, name) = (found.get(0)?, found.get(1)?);
        // Followed by one sign more, or by a letter that no username has, it is no name, whatever it is.
        let goes_on = |after: char| after == '@' || after.is_alphanumeric();
        let is_no_name =
            caption[..whole.start()].ends_with(is_of_an_address) || caption[whole.end()..].starts_with(goes_on);
        Username::parse(name.as_str().trim_end_matches('.')).ok().filter(|_| !is_no_name)
    });
    names.filter(|name| known.insert(name.clone())).take(MOST).collect()
}

/// Whether what stands before an at sign makes it one of an e-mail address.
fn is_of_an_address(before: char) -> bool {
    before.is_alphanumeric() || matches!(before, '.' | '_' | '%' | '+' | '-' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_are_of_any_script_and_end_where_a_word_does() {
        let cases: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("no tag", &[]),
            ("#one #two,#three.#four", &["one", "two", "three", "four"]),
            ("#one#two", &["one", "two"]),
            ("#", &[]),
            ("# one", &[]),
            ("##one", &["one"]),
            ("#İstanbul #straße #写真 #ночь #नमस्ते", &["i̇stanbul", "straße", "写真", "ночь", "नमस्ते"]),
            ("#under_score #2026 #a-b", &["under_score", "2026", "a"]),
            ("#Sun #sun #SUN", &["sun"]),
            ("#sun☀️ ok", &["sun"]),
            ("line\n#end", &["end"]),
        ];
        for (caption, tags) in cases {
            assert_eq!(hashtags(caption), tags, "{caption}");
        }
        let long = format!("#{}", "ä".repeat(200));
        assert_eq!(hashtags(&long), ["ä".repeat(150)]);
    }

    #[test]
    fn a_caption_of_nothing_but_tags_gives_the_first_hundred() {
        let flood: String = (0..30_000).map(|n| format!("#t{n} @u{n} ")).collect();
        let (tags, names) = (hashtags(&flood), mentions(&flood));
        assert_eq!((tags.len(), tags[99].as_str()), (100, "t99"));
        assert_eq!((names.len(), names[99].as_str()), (100, "u99"));
    }

    #[test]
    fn mentions_are_usernames_and_no_e_mail_addresses() {
        let cases: [(&str, &[&str]); 14] = [
            ("", &[]),
            ("with @anna", &["anna"]),
            ("@Anna and @anna, (@b_1)", &["anna", "b_1"]),
            ("thanks @anna.", &["anna"]),
            ("thanks @an.na.berg...", &["an.na.berg"]),
            ("press@example.org", &[]),
            ("press+x@example.org or first.last@example.org", &[]),
            ("grüße@example.org", &[]),
            ("📷@anna", &["anna"]),
            ("写真:@anna", &["anna"]),
            ("@anna@berg", &[]),
            ("@@anna", &[]),
            ("@ anna @. @...", &[]),
            ("@anna's @böhm", &["anna"]),
        ];
        for (caption, names) in cases {
            assert_eq!(mentions(caption).iter().map(Username::as_str).collect::<Vec<_>>(), names, "{caption}");
        }
        assert_eq!(mentions(&format!("@{}", "x".repeat(31))), [], "no name is that long");
        assert_eq!(mentions(&format!("@{}", "x".repeat(30))).len(), 1);
    }
}
