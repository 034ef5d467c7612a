//! What is asked for: the fields of an account and of its media, and the expression that asks for them.
//!
//! One field that the source does not know makes it refuse the whole request. So what can be done without is left out
//! once it was refused, and not asked for again in the same visit.

use crate::instagram::{Unread, Username};

/// How many media a page has.
pub(super) const PAGE_SIZE: u32 = 25;

/// A field, and whether the answer is of use without it.
struct Known {
    name: &'static str,
    /// It may go where the source refuses the request and does not say which field it means.
    is_optional: bool,
}

const fn asked(name: &'static str) -> Known {
    Known { name, is_optional: false }
}

const fn optional(name: &'static str) -> Known {
    Known { name, is_optional: true }
}

/// The fields of an account.
const ACCOUNT: [Known; 9] = [
    asked("id"),
    asked("username"),
    optional("name"),
    asked("biography"),
    asked("website"),
    optional("profile_picture_url"),
    asked("followers_count"),
    optional("follows_count"),
    asked("media_count"),
];

/// The fields of a medium. Its permalink has its shortcode, too.
const MEDIA: [Known; 12] = [
    asked("id"),
    asked("shortcode"),
    asked("permalink"),
    asked("timestamp"),
    asked("caption"),
    asked("media_type"),
    asked("media_product_type"),
    optional("media_url"),
    optional("thumbnail_url"),
    asked("like_count"),
    asked("comments_count"),
    optional("view_count"),
];

/// Without these no answer can be told from another's.
const INDISPENSABLE: [&str; 3] = ["id", "username", "shortcode"];

/// What a request wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The account and its first page of media.
    Account,
    /// The page of media behind this cursor, or the first.
    Media(Option<&'a str>),
}

/// The fields that are still asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    /// Those that the source has refused.
    refused: Vec<&'static str>,
}

impl Fields {
    /// Whether this field is asked for.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.refused.contains(&name)
    }

    /// The value of `fields` for a request. Neither a username nor a cursor that came through `cursor::Place` has a
    /// character in it that means something here.
    pub(super) fn expression(&self, username: &Username, wanted: Wanted<'_>) -> String {
        let list = |known: &[Known]| {
            let names: Vec<&str> = known.iter().map(|field| field.name).filter(|name| self.has(name)).collect();
            names.join(",")
        };
        let after = match wanted {
            Wanted::Media(Some(after)) => format!(".after({after})"),
            Wanted::Account | Wanted::Media(None) => String::new(),
        };
        let media = format!("media.limit({PAGE_SIZE}){after}{{{}}}", list(&MEDIA));
        let of_account = match wanted {
            Wanted::Account => format!("{},", list(&ACCOUNT)),
            Wanted::Media(_) => String::new(),
        };
        format!("business_discovery.username({username}){{{of_account}{media}}}")
    }

    /// The same without what the source may have meant when it refused: the field that it names, else all that can be
    /// done without. `None` where nothing can be left out.
    pub(super) fn fewer(&self, said: &str, wanted: Wanted<'_>) -> Option<(Self, Vec<Unread>)> {
        let of_account: &[Known] = if matches!(wanted, Wanted::Account) { &ACCOUNT } else { &[] };
        let asked = || of_account.iter().chain(&MEDIA).filter(|field| self.has(field.name));
        let named = asked().find(|field| names(said, field.name) && !INDISPENSABLE.contains(&field.name));
        let dropped: Vec<&'static str> = match named {
            Some(field) => vec![field.name],
            None => asked().filter(|field| field.is_optional).map(|field| field.name).collect(),
        };
        if dropped.is_empty() {
            return None;
        }
        let unread = dropped.iter().map(|name| Unread {
            path: path_of(name),
            expected: "a field that the official source can be asked for",
            found: said.to_owned(),
            is_loss: true,
        });
        let unread = unread.collect();
        Some((Self { refused: [self.refused.clone(), dropped].concat() }, unread))
    }
}

/// Whether a message names this field, as in `Tried accessing nonexisting field (view_count) on node type (…)`.
fn names(said: &str, field: &str) -> bool {
    // Some of the names are also words of any sentence.
    ['(', '\'', '"', '`'].into_iter().any(|quote| {
        said.match_indices(&format!("{quote}{field}"))
            .any(|(at, found)| said[at + found.len()..].starts_with([')', '\'', '"', '`']))
    })
}

/// Where the field would stand in an answer.
fn path_of(name: &str) -> String {
    let is_of_account = ACCOUNT.iter().any(|field| field.name == name);
    if is_of_account { format!("business_discovery.{name}") } else { format!("business_discovery.media.data[].{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mill() -> Username {
        Username::parse("the.mill_1").unwrap()
    }

    #[test]
    fn an_account_is_asked_for_with_its_first_page_and_a_later_page_alone() {
        let fields = Fields::default();
        assert_eq!(
            fields.expression(&mill(), Wanted::Account),
            "business_discovery.username(the.mill_1){id,username,name,biography,website,profile_picture_url,\
             followers_count,follows_count,media_count,media.limit(25){id,shortcode,permalink,timestamp,caption,\
             media_type,media_product_type,media_url,thumbnail_url,like_count,comments_count,view_count}}"
        );
        let page = fields.expression(&mill(), Wanted::Media(Some("QVFI")));
        assert!(page.starts_with("business_discovery.username(the.mill_1){media.limit(25).after(QVFI){id,"), "{page}");
    }

    #[test]
    fn the_field_that_is_named_goes_and_without_a_name_all_that_can_be_missed() {
        let fields = Fields::default();
        let said = "(#100) Tried accessing nonexisting field (view_count) on node type (IGMedia)";
        let (fewer, unread) = fields.fewer(said, Wanted::Media(None)).unwrap();
        assert!(!fewer.has("view_count") && fewer.has("media_url"));
        assert_eq!(unread[0].path, "business_discovery.media.data[].view_count");
        let (fewer, unread) = fewer.fewer("(#100) Invalid parameter", Wanted::Account).unwrap();
        let gone = ["name", "profile_picture_url", "follows_count", "media_url", "thumbnail_url"];
        assert!(gone.iter().all(|name| !fewer.has(name)) && fewer.has("followers_count"));
        assert_eq!(unread.iter().map(|unread| unread.path.rsplit('.').next().unwrap()).collect::<Vec<_>>(), gone);
        assert!(fewer.fewer("(#100) Invalid parameter", Wanted::Account).is_none(), "nothing is left to leave out");
        let page = fewer.expression(&mill(), Wanted::Account);
        assert!(!page.contains("view_count") && !page.contains("{id,username,name,"), "{page}");
        let (fewer, _) = fields.fewer("the field (shortcode) is gone", Wanted::Account).unwrap();
        assert!(fewer.has("shortcode"), "without it no post is known");
    }
}
