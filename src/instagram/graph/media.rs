//! The media of an account, page by page, and the reels among them.
//!
//! The source has no list of reels and no look-up of one post. What it tells of a reel, it tells in the list of media;
//! so a visit keeps the reels that it has read and asks for them again only where it has not.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Visit;
use super::account::{BUSINESS_DISCOVERY, BUSINESS_DISCOVERY_MEDIA};
use super::cursor::{Place, can_be_sent};
use super::fields::{Fields, Wanted};
use super::request::Reply;
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{
    AccountRef, Cursor, Failure, FailureKind, MediaKind, Page, Post, Reading, ReelNumbers, Shortcode, Username,
};

/// How many reels a page of them has at least, unless the list ends.
const REELS_A_PAGE: usize = 12;

/// How many pages of media are read for one page of reels at most: among many pictures there may be none.
const PAGES_A_PAGE: usize = 8;

/// The media of one answer, and the cursor behind them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) posts: Vec<Post>,
    pub(super) after: Option<String>,
}

impl Visit {
    /// A page of media. [`FailureKind::CursorRefused`]: cursors do not live for ever.
    pub(super) async fn list_posts(
        &mut self,
        username: &Username,
        after: Option<&Cursor>,
    ) -> Result<Page<Post>, Failure> {
        let asked = Place::of(after);
        self.page_behind(username, asked.after()).await
    }

    async fn page_behind(&mut self, username: &Username, after: Option<&str>) -> Result<Page<Post>, Failure> {
        let read = |reply: &Reply, notes: &Notes, fields: &Fields| {
            let edge = Field::root(&reply.json, notes).at("business_discovery.media");
            let found = page(&edge, fields).ok_or_else(|| reply.lacks("business_discovery.media"))?;
            if found.after.is_some() && found.after.as_deref() == after {
                edge.at("paging.cursors.after").unreadable::<()>("another cursor than the one before");
            }
            Ok(found)
        };
        let Reading { value: found, unread } = self.discover(username, Wanted::Media(after), read).await?;
        self.keep_reels(username, &found.posts);
        let next = found.after.filter(|next| Some(next.as_str()) != after);
        Ok(Page { items: found.posts, next: next.and_then(|after| Place::After(after).cursor()), unread })
    }

    /// First the reels that this visit has read already, at no request; then those of the list from its beginning.
    pub(super) async fn list_reels(
        &mut self,
        account: &AccountRef,
        after: Option<&Cursor>,
    ) -> Result<Page<ReelNumbers>, Failure> {
        let place = Place::of(after);
        if place == Place::Start {
            let read = self.reels.iter().filter(|(owner, _)| *owner == account.username);
            let items: Vec<_> = read.map(|(_, post)| numbers(post)).collect();
            if !items.is_empty() {
                return Ok(Page { items, next: Place::Beginning.cursor(), unread: Vec::new() });
            }
        }
        let mut reels = Page { items: Vec::new(), next: place.cursor(), unread: Vec::new() };
        let mut codes = HashSet::new();
        for _ in 0..PAGES_A_PAGE {
            let page = self.list_posts(&account.username, reels.next.as_ref()).await?;
            let found = page.items.iter().filter(|post| post.is_reel == Some(true) && codes.insert(post.code.clone()));
            reels.items.extend(found.map(numbers));
            reels.unread.extend(page.unread);
            reels.next = page.next;
            if reels.next.is_none() || reels.items.len() >= REELS_A_PAGE {
                break;
            }
        }
        Ok(reels)
    }

    /// No account can be asked for by its number.
    pub(super) fn number_is_unknown(&self) -> Failure {
        not_offered(BUSINESS_DISCOVERY, "an account by its number")
    }

    /// A reel that this visit has read; anything else is not offered.
    pub(super) fn find_post(&self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        let read = self.reels.iter().find(|(_, post)| post.code == *code);
        let post = read.map(|(_, post)| Reading { value: post.clone(), unread: Vec::new() });
        post.ok_or_else(|| not_offered(BUSINESS_DISCOVERY_MEDIA, "one post"))
    }

    /// Keeps the reels of a page, each once and as it was read last.
    pub(super) fn keep_reels(&mut self, owner: &Username, posts: &[Post]) {
        for reel in posts.iter().filter(|post| post.is_reel == Some(true)) {
            match self.reels.iter_mut().find(|(_, known)| known.code == reel.code) {
                Some((_, known)) => known.clone_from(reel),
                None => self.reels.push((owner.clone(), reel.clone())),
            }
        }
    }
}

/// The failure of a question that the source has no way to ask.
fn not_offered(endpoint: &'static str, what: &str) -> Failure {
    let message = format!("the official source cannot be asked for {what}");
    Failure { kind: FailureKind::NotOffered, endpoint, status: None, message, retry_after: None }
}

/// Whether a refusal is of the cursor and not of the fields.
pub(super) fn means_the_cursor(failure: &Failure) -> bool {
    failure.kind == FailureKind::FieldsRefused && failure.message.to_lowercase().contains("cursor")
}

/// A page of the media edge; `None` where there is no list.
pub(super) fn page(edge: &Field<'_>, fields: &Fields) -> Option<Found> {
    let items = edge.at("data").list()?;
    if items.is_empty() {
        // The end, whatever cursor stands beside it.
        return Some(Found::default());
    }
    let mut seen = HashSet::new();
    let posts = items.iter().filter_map(|item| post(item, fields)).filter(|post| seen.insert(post.code.clone()));
    let posts = posts.collect();
    let cursor = edge.at("paging.cursors.after");
    let after = cursor.value().filter(|value| value.as_str() != Some("")).and_then(|_| cursor.id_text());
    let after = after.and_then(|after| if can_be_sent(&after) { Some(after) } else { cursor.unreadable("a cursor") });
    Some(Found { posts, after })
}

/// A medium; `None`, with a note, where it has no shortcode. Its id is not the number that other sources know, so the
/// number is made of the shortcode.
fn post(item: &Field<'_>, fields: &Fields) -> Option<Post> {
    let permalink = item.at("permalink");
    let address = permalink.text();
    let code = code(&item.at("shortcode"), address.as_deref());
    let Some(code) = code else { return item.unreadable("a medium with a shortcode") };
    told(item, "timestamp", "a time", fields);
    let kind = kind(item, fields);
    let product = item.at("media_product_type").text();
    if product.is_none() && address.is_none() {
        told(item, "media_product_type", "FEED or REELS", fields);
    }
    let is_reel = match product.as_deref() {
        Some(product) => Some(product == "REELS"),
        None => address.map(|address| address.contains("/reel/")),
    };
    let caption = item.at("caption");
    let likes = item.at("like_count");
    let picture = match kind {
        // Its own address is that of the video.
        Some(MediaKind::Video) => None,
        _ => item.at("media_url").some_text(),
    };
    Some(Post {
        pk: code.pk(),
        code,
        kind,
        is_reel,
        is_pinned: false,
        taken_at: time(&item.at("timestamp")),
        caption: caption.some_text(),
        // Where a medium has none it is left out.
        caption_told: fields.has("caption") && caption.value().is_none_or(Value::is_string),
        likes: likes.count(),
        // The owner's wish to hide it is told by leaving it out, and by nothing else.
        likes_hidden: fields.has("like_count") && !likes.is_there(),
        comments: item.at("comments_count").count(),
        plays: None,
        views: item.at("view_count").count(),
        duration_seconds: None,
        display_url: picture.or_else(|| item.at("thumbnail_url").some_text()),
    })
}

fn kind(item: &Field<'_>, fields: &Fields) -> Option<MediaKind> {
    let field = item.at("media_type");
    told(item, "media_type", "IMAGE, VIDEO or CAROUSEL_ALBUM", fields);
    match field.text()?.as_str() {
        "IMAGE" => Some(MediaKind::Image),
        "VIDEO" => Some(MediaKind::Video),
        "CAROUSEL_ALBUM" => Some(MediaKind::Carousel),
        _ => field.unreadable("IMAGE, VIDEO or CAROUSEL_ALBUM"),
    }
}

/// Leaves a note where a field is missing that the source tells of every medium.
fn told(item: &Field<'_>, name: &str, expected: &'static str, fields: &Fields) {
    let field = item.at(name);
    if fields.has(name) && !field.is_there() {
        field.unreadable::<()>(expected);
    }
}

/// The shortcode, or where there is none the one in the address.
fn code(field: &Field<'_>, address: Option<&str>) -> Option<Shortcode> {
    let told = field.text().and_then(|text| Shortcode::parse(&text).ok().or_else(|| field.unreadable("a shortcode")));
    told.or_else(|| {
        let mut parts = address?.split('/').skip_while(|part| !matches!(*part, "p" | "reel" | "reels" | "tv"));
        Shortcode::parse(parts.nth(1)?).ok()
    })
}

/// A time such as `2026-05-06T12:34:56+0000`, or as RFC 3339 has it. Before 1970 or after 2100 it is none.
fn time(field: &Field<'_>) -> Option<DateTime<Utc>> {
    const YEAR_2100: i64 = 4_102_444_800;
    let text = field.text()?;
    let read = DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%z").or_else(|_| DateTime::parse_from_rfc3339(&text));
    let time = read.ok().map(|time| time.to_utc()).filter(|time| (1..YEAR_2100).contains(&time.timestamp()));
    time.or_else(|| field.unreadable("a time such as 2026-05-06T12:34:56+0000"))
}

fn numbers(post: &Post) -> ReelNumbers {
    ReelNumbers {
        code: post.code.clone(),
        plays: post.plays,
        views: post.views,
        likes: post.likes,
        likes_hidden: post.likes_hidden,
        comments: post.comments,
    }
}
