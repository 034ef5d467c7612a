//! An account's posts: the timeline's connection with a session, the feed without one, and one post by its code.

use std::collections::HashSet;

use serde_json::json;

use super::cursor::{Place, after_last, is_media_id};
use super::endpoints::{Document, FEED, MEDIA_INFO, PAGE_SIZE, POST, POST_PAGE, PROFILE_PAGE, TIMELINE};
use super::graphql::{Question, note_errors};
use super::profile::page_path;
use super::request::{Ask, Reply};
use super::{Owner, Visit, fell_back};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::{Cursor, Failure, FailureKind, Page, Post, Reading, Shortcode, node};

pub(super) use super::cursor::Onward;

/// Where the connection lies in the document's data.
const CONNECTION: &str = "xdt_api__v1__feed__user_timeline_graphql_connection";

/// Where the document of one post has it.
const WEB_INFO: &str = "xdt_api__v1__media__shortcode__web_info";

/// A longer cursor cannot be sent back in an address, and is none.
const MAX_CURSOR: usize = 4096;

impl Visit {
    pub(super) async fn list_posts(&mut self, account: &Owner, after: Option<&Cursor>) -> Result<Page<Post>, Failure> {
        match self.timeline_or_feed(account, after).await {
            Err(failure) if failure.kind == FailureKind::NotFound => {
                Err(self.gone_or_broken(&account.username, failure).await)
            }
            Err(failure) => Err(refused(after, failure)),
            other => other,
        }
    }

    async fn timeline_or_feed(&mut self, account: &Owner, after: Option<&Cursor>) -> Result<Page<Post>, Failure> {
        let asked = Place::of(after);
        let at = match &asked {
            Place::Feed(at) => return self.feed(account, at.as_deref()).await,
            Place::Timeline(at) => at.clone(),
            Place::Start | Place::Clips(_) | Place::Reels(_) => None,
        };
        // The feed goes on behind any post; a cursor that is no post's id belongs to the connection alone.
        let feed_can = at.as_deref().is_none_or(is_media_id);
        if !self.has_session() || (self.asked_to_wait.contains(TIMELINE) && feed_can) {
            return self.feed(account, at.as_deref().filter(|at| is_media_id(at))).await;
        }
        match self.timeline(account, at.as_deref()).await {
            Err(failure) if feed_can && self.turns_to_another(failure.kind) => {
                let mut page = self.feed(account, at.as_deref()).await?;
                page.unread.push(fell_back(&failure));
                Ok(page)
            }
            other => other,
        }
    }

    async fn timeline(&mut self, account: &Owner, after: Option<&str>) -> Result<Page<Post>, Failure> {
        let path = page_path(&account.username);
        let question = Question {
            document: Document::Posts,
            variables: json!({
                "after": after,
                "before": null,
                "data": {
                    "count": PAGE_SIZE,
                    "include_reel_media_seen_timestamp": true,
                    "include_relationship_info": true,
                    "latest_besties_reel_media": true,
                    "latest_reel_media": true,
                },
                "first": PAGE_SIZE,
                "last": null,
                "username": account.username.as_str(),
            }),
            page: (PROFILE_PAGE, &path),
        };
        let Reading { value: (items, next), unread } =
            self.document(&question, |data| read_timeline(data, account.pk)).await?;
        let asked = Place::Timeline(after.map(str::to_owned));
        let next = next.and_then(|at| Place::Timeline(Some(at)).unless(&asked));
        Ok(Page { items, next, unread })
    }

    /// `/api/v1/feed/user/{pk}/`, for guests and sessions.
    async fn feed(&mut self, account: &Owner, max_id: Option<&str>) -> Result<Page<Post>, Failure> {
        let path = format!("/api/v1/feed/user/{}/", account.pk);
        let mut ask = Ask::get(FEED, path, &page_path(&account.username)).query("count", PAGE_SIZE.to_string());
        if let Some(max_id) = max_id {
            ask = ask.query("max_id", max_id);
        }
        let reading = self.ask(&ask, |reply, notes| read_feed(reply, notes, account.pk)).await?;
        let (items, next) = reading.value;
        let asked = Place::Feed(max_id.map(str::to_owned));
        let next = next.and_then(|at| Place::Feed(Some(at)).unless(&asked));
        Ok(Page { items, next, unread: reading.unread })
    }

    pub(super) async fn find_post(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        let waits = self.asked_to_wait.contains(POST) && !self.asked_to_wait.contains(MEDIA_INFO);
        let first = if self.has_session() && waits {
            self.media_info(code).await
        } else {
            match self.post_by_code(code).await {
                Err(failure) if self.has_session() && self.turns_to_another(failure.kind) => {
                    return self.media_info_instead(code, failure).await;
                }
                other => other,
            }
        };
        match first {
            Err(failure) if matches!(failure.kind, FailureKind::NotFound | FailureKind::UnexpectedShape) => {
                Err(self.post_gone_or_broken(code, failure).await)
            }
            other => other,
        }
    }

    async fn media_info_instead(&mut self, code: &Shortcode, first: Failure) -> Result<Reading<Post>, Failure> {
        match self.media_info(code).await {
            Ok(mut reading) => {
                if first.kind == FailureKind::UnexpectedShape {
                    self.give_up(Document::Post);
                }
                reading.unread.push(fell_back(&first));
                Ok(reading)
            }
            // Only one of them has said that it is gone.
            Err(second) if second.kind == FailureKind::NotFound && first.kind != FailureKind::NotFound => {
                Err(self.post_gone_or_broken(code, second).await)
            }
            Err(second) => Err(second),
        }
    }

    /// That an endpoint knows no post, or brings none, is one word for its being gone; the post's own page has the other.
    async fn post_gone_or_broken(&mut self, code: &Shortcode, first: Failure) -> Failure {
        match (self.load_page((POST_PAGE, &post_path(code))).await, first.kind) {
            (Err(second), _) if second.kind == FailureKind::NotFound => second,
            (_, FailureKind::UnexpectedShape) => first,
            (Err(second), _) => second,
            (Ok(()), _) => {
                let message = format!("{}; but the post's page is there", first.message);
                Failure { kind: FailureKind::EndpointBroken, message, ..first }
            }
        }
    }

    async fn post_by_code(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        let path = post_path(code);
        let question = Question {
            document: Document::Post,
            variables: json!({"shortcode": code.as_str()}),
            page: (POST_PAGE, &path),
        };
        let Reading { value, unread } = self.document(&question, read_post).await?;
        let post = value.ok_or_else(|| Failure {
            kind: FailureKind::NotFound,
            endpoint: Document::Post.endpoint(),
            status: Some(200),
            message: "the answer has no item".to_owned(),
            retry_after: None,
        })?;
        Ok(Reading { value: post, unread })
    }

    async fn media_info(&mut self, code: &Shortcode) -> Result<Reading<Post>, Failure> {
        let path = format!("/api/v1/media/{}/info/", code.pk());
        let ask = Ask::get(MEDIA_INFO, path, &post_path(code));
        self.ask(&ask, read_media_info).await
    }
}

/// A list that was asked to go on and calls the request a bad one does not take the cursor; from its beginning it may be
/// read all the same.
pub(super) fn refused(after: Option<&Cursor>, failure: Failure) -> Failure {
    match (failure.kind, failure.status) {
        (FailureKind::UnexpectedShape, Some(400)) if after.is_some() => {
            Failure { kind: FailureKind::CursorRefused, ..failure }
        }
        _ => failure,
    }
}

fn post_path(code: &Shortcode) -> String {
    format!("/p/{code}/")
}

/// The posts of the timeline's document, and where the next begin.
pub(super) fn read_timeline(data: &Field<'_>, owner: i64) -> Option<(Vec<Post>, Option<String>)> {
    let connection = data.at(CONNECTION);
    connection.value()?;
    let edges = connection.at("edges").list()?;
    let items = posts_of(edges.iter().map(|edge| edge.at("node")), owner);
    let next = page_info_next(&connection, || after_last(&items, owner));
    Some((items, next))
}

/// The post of its document; `Some(None)` where the answer has none.
pub(super) fn read_post(data: &Field<'_>) -> Option<Option<Post>> {
    let info = data.at(WEB_INFO);
    info.value()?;
    let items = info.at("items").list()?;
    match items.first() {
        Some(item) => node::post(item, None).map(Some),
        None => Some(None),
    }
}

pub(super) fn read_media_info(reply: &Reply, notes: &Notes) -> Result<Post, Failure> {
    let items = Field::root(&reply.json, notes).at("items").list();
    let items = items.ok_or_else(|| reply.lacks("items"))?;
    let item = items.first().ok_or_else(|| reply.fail(FailureKind::NotFound, "the answer has no item"))?;
    node::post(item, None).ok_or_else(|| reply.fail(FailureKind::UnexpectedShape, "the item is no post"))
}

pub(super) fn read_feed(reply: &Reply, notes: &Notes, owner: i64) -> Result<(Vec<Post>, Option<String>), Failure> {
    let root = Field::root(&reply.json, notes);
    let items = root.at("items").list();
    let items = items.ok_or_else(|| reply.lacks("items"))?;
    if items.is_empty() && root.at("user.is_private").flag() == Some(true) {
        return Err(reply.fail(FailureKind::Private, "the account's posts are for its followers only"));
    }
    note_errors(reply, notes);
    let posts = posts_of(items.into_iter(), owner);
    let next = onward(&root.at("more_available"), &root.at("next_max_id"), || after_last(&posts, owner));
    Ok((posts, next))
}

/// The posts of a list, each once; pages repeat items. A post is its code, by which it is kept.
pub(super) fn posts_of<'a>(nodes: impl Iterator<Item = Field<'a>>, owner: i64) -> Vec<Post> {
    let mut seen = HashSet::new();
    nodes.filter_map(|item| node::post(&item, Some(owner))).filter(|post| seen.insert(post.code.clone())).collect()
}

/// The next page of a connection.
pub(super) fn page_info_next(connection: &Field<'_>, last: impl FnOnce() -> Option<String>) -> Option<String> {
    let info = connection.at("page_info");
    onward(&info.at("has_next_page"), &info.at("end_cursor"), last)
}

/// Where to go on. Where there is more and no word where, the last post's id is the way, and the gap is noted.
pub(super) fn onward(more: &Field<'_>, cursor: &Field<'_>, last: impl FnOnce() -> Option<String>) -> Option<String> {
    let told = cursor.value().filter(|value| value.as_str() != Some("")).and_then(|_| cursor.id_text());
    let told = told.filter(|told| told.len() <= MAX_CURSOR);
    match more.flag() {
        Some(false) => None,
        Some(true) if told.is_none() => cursor.unreadable::<String>("a cursor, for there is more").or_else(last),
        _ => told,
    }
}
