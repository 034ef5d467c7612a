//! What a page of the site carries inside its HTML: tokens, and the data that its scripts would render.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::instagram::lenient::parse;

/// The tokens that the GraphQL endpoint wants to see again.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) lsd: Option<String>,
    pub(super) fb_dtsg: Option<String>,
}

impl Tokens {
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        [&self.lsd, &self.fb_dtsg].into_iter().filter_map(|token| token.as_deref())
    }
}

/// The user of a profile page and the posts beside it, as far as the page has them.
#[derive(Debug, Default)]
pub(super) struct UserOnPage {
    /// All `xig_user_by_username` objects of the page in one: each part of the page brings other fields of it.
    pub(super) user: Option<Value>,
    /// `polaris_ordered_timeline_connection`.
    pub(super) timeline: Option<Value>,
    /// Why a script that speaks of the user could not be read.
    pub(super) unreadable: Option<String>,
    /// Whether the page says in its data that there is no such user.
    pub(super) is_nobody: bool,
}

/// A pattern of this file, which a test compiles.
fn regex(pattern: &str) -> Regex {
    #[expect(clippy::unwrap_used, reason = "the patterns are constants, and the tests use each of them")]
    Regex::new(pattern).unwrap()
}

static LSD: LazyLock<Regex> =
    LazyLock::new(|| regex(r#""LSD"\s*,\s*\[\]\s*,\s*\{\s*"token"\s*:\s*"([^"]+)"|name="lsd"\s+value="([^"]+)""#));

static FB_DTSG: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#""DTSGInit(?:ial)?Data"\s*,\s*\[\]\s*,\s*\{\s*"token"\s*:\s*"([^"]+)"|"dtsg"\s*:\s*\{\s*"token"\s*:\s*"([^"]+)"|name="fb_dtsg"\s+value="([^"]+)""#,
    )
});

static CSRF: LazyLock<Regex> = LazyLock::new(|| regex(r#"\\?"csrf_token\\?"\s*:\s*\\?"([^"\\]+)"#));

static SCRIPT: LazyLock<Regex> = LazyLock::new(|| regex(r"(?is)<script\b([^>]*)>(.*?)</script\s*>"));

static TITLE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?is)<title\b[^>]*>(.*?)</title>"));

/// The key under which a page has its user.
const USER: &str = "xig_user_by_username";

/// Whether a page ends before it is whole: nothing came, or a script has no end.
pub(super) fn is_cut(html: &str) -> bool {
    let lower = html.to_ascii_lowercase();
    lower.trim().is_empty() || lower.rfind("<script").is_some_and(|open| !lower[open..].contains("</script"))
}

/// The tokens of a page; `None` where it has none of them.
pub(super) fn tokens(html: &str) -> Option<Tokens> {
    let find = |regex: &Regex| {
        let found = regex.captures(html)?;
        found.iter().skip(1).flatten().next().map(|token| token.as_str().to_owned())
    };
    let tokens = Tokens { lsd: find(&LSD), fb_dtsg: find(&FB_DTSG) };
    (tokens != Tokens::default()).then_some(tokens)
}

/// The csrf tokens of a page: it may tell a new one before the cookie does.
pub(super) fn csrf_tokens(html: &str) -> impl Iterator<Item = &str> {
    CSRF.captures_iter(html).filter_map(|found| Some(found.get(1)?.as_str()))
}

/// The page's title.
pub(super) fn title(html: &str) -> Option<String> {
    let title = TITLE.captures(html)?.get(1)?.as_str();
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}

/// Whether a page tells a person that it is not there; one that merely shows nothing does not.
pub(super) fn says_that_it_is_not_there(html: &str) -> bool {
    const WORDS: [&str; 3] = ["page not found", "this page isn't available", "profile isn't available"];
    // What scripts hold is shown to nobody. The apostrophe comes in several forms.
    let text = SCRIPT.replace_all(html, " ").to_lowercase();
    let text = ["\u{2019}", "&#39;", "&#039;", "&rsquo;"].iter().fold(text, |text, sign| text.replace(sign, "'"));
    WORDS.iter().any(|words| text.contains(words))
}

/// Gathers the user of a profile page from all its scripts.
pub(super) fn user(html: &str, username: &str) -> UserOnPage {
    let mut users = Vec::new();
    let mut timeline = None;
    let mut unreadable = None;
    let mut is_nobody = false;
    for script in SCRIPT.captures_iter(html) {
        if !script[1].to_ascii_lowercase().contains("application/json") {
            continue;
        }
        let block = match parse(&script[2]) {
            Ok(block) => block,
            Err(error) => {
                if script[2].contains(USER) {
                    unreadable = Some(error.to_string());
                }
                continue;
            }
        };
        each_result(&block, &mut |data| {
            is_nobody |= data.get(USER).is_some_and(Value::is_null);
            find(data, USER, &mut |user| users.push(user.clone()));
            find(data, "polaris_ordered_timeline_connection", &mut |connection| match &mut timeline {
                Some(whole) => merge(whole, connection),
                None => timeline = Some(connection.clone()),
            });
        });
    }
    UserOnPage { user: one_user(users, username), timeline, unreadable, is_nobody }
}

/// Calls `visit` with every `__bbox.result.data`, at any depth.
fn each_result(value: &Value, visit: &mut impl FnMut(&Value)) {
    if let Some(data) = value.pointer("/__bbox/result/data") {
        visit(data);
    }
    children(value).for_each(|child| each_result(child, visit));
}

/// Calls `visit` with every object that stands under `key`, at any depth.
fn find(value: &Value, key: &str, visit: &mut impl FnMut(&Value)) {
    if let Some(found) = value.get(key).filter(|found| found.is_object()) {
        visit(found);
    }
    children(value).for_each(|child| find(child, key, visit));
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Merges the objects into one. Where some of them bear the name that was asked, those of other names are left out.
fn one_user(users: Vec<Value>, username: &str) -> Option<Value> {
    let name = |user: &Value| user["username"].as_str().map(str::to_ascii_lowercase);
    let asked = users.iter().any(|user| name(user).as_deref() == Some(username));
    let ours = users.into_iter().filter(|user| !asked || name(user).is_none_or(|name| name == username));
    ours.reduce(|mut whole, part| {
        merge(&mut whole, &part);
        whole
    })
}

/// Takes from `part` what `whole` does not have.
fn merge(whole: &mut Value, part: &Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                merge(whole.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (whole @ Value::Null, part) => *whole = part.clone(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_merged_from_every_script_at_any_depth() {
        let bbox = |data: Value| json!({"require": [[{"__bbox": {"require": [["x", {"__bbox": {"result": {"data": data}}}]]}}]]});
        let first = bbox(json!({"xig_user_by_username": {"id": "9", "username": "mill", "all_media_count": null}}));
        let second = bbox(json!({"viewer": {"xig_user_by_username": {"pk": "41", "all_media_count": 7}},
            "polaris_ordered_timeline_connection": {"edges": []}}));
        let other = bbox(json!({"xig_user_by_username": {"pk": "5", "username": "somebody.else"}}));
        let html = format!(
            "<html><script>var a = '<';</script><script type=\"application/json\" data-sjs>{other}</script>\
             <script type=\"application/json\">{first}</script><script type=\"application/json\">broken</script>\
             <script data-x type='application/json'>{second}</script></html>"
        );
        let page = user(&html, "mill");
        let expected = json!({"id": "9", "pk": "41", "username": "mill", "all_media_count": 7});
        assert_eq!(page.user, Some(expected));
        assert_eq!(page.timeline, Some(json!({"edges": []})));
    }

    #[test]
    fn tokens_are_found_in_each_of_their_forms() {
        let scripts = r#"["LSD",[],{"token":"lsd-1"},323],["DTSGInitialData",[],{"token":"dtsg-1"},258]"#;
        let inputs = r#"<input type="hidden" name="lsd" value="lsd-2"><input name="fb_dtsg" value="dtsg-2">"#;
        for (html, number) in [(scripts, 1), (inputs, 2)] {
            let tokens = tokens(html).unwrap();
            assert_eq!(tokens.lsd, Some(format!("lsd-{number}")));
            assert_eq!(tokens.fb_dtsg, Some(format!("dtsg-{number}")));
        }
        assert!(tokens("<html></html>").is_none());
        let config = r#"{"csrf_token":"csrf-1"} "{\"csrf_token\":\"csrf-2\"}""#;
        assert_eq!(csrf_tokens(config).collect::<Vec<_>>(), ["csrf-1", "csrf-2"]);
    }

    #[test]
    fn a_page_is_not_there_where_it_says_so() {
        for (html, said) in [
            ("<title>Page not found • Instagram</title>", true),
            ("<h2>Sorry, this page isn't available.</h2>", true),
            ("<h2>Sorry, this page isn\u{2019}t available.</h2>", true),
            ("<p>Profile isn&#39;t available</p>", true),
            ("<title>Instagram</title>", false),
            ("<title>Not available</title>", false),
            ("<script>{\"biography\": \"Page not found\"}</script>", false),
            ("", false),
        ] {
            assert_eq!(says_that_it_is_not_there(html), said, "{html}");
        }
        let data = |user: Value| json!({"__bbox": {"result": {"data": {"xig_user_by_username": user}}}});
        let page = |user: Value| format!("<script type=\"application/json\">{}</script>", data(user));
        assert!(user(&page(Value::Null), "mill").is_nobody);
        let somebody = user(&page(json!({"pk": "41"})), "mill");
        assert!(!somebody.is_nobody && somebody.user.is_some());
        assert!(!user("<html></html>", "mill").is_nobody);
    }

    #[test]
    fn a_page_without_data_has_a_title_at_most() {
        let html = "<html><title>\n Page not\n found </title><body/></html>";
        assert_eq!(title(html).as_deref(), Some("Page not found"));
        assert!(user(html, "mill").user.is_none());
    }
}
