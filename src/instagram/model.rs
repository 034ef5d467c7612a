//! The one model that every source fills: accounts, posts, reels and their numbers.
//!
//! A number that was hidden, absent or unreadable is `None`, never 0.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Shortcode, Username};

/// An account as a source describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Instagram's own number of the account (`pk`), which stays when the account is renamed. The official source does
    /// not tell it.
    pub pk: Option<i64>,
    /// The id on the Facebook side, which the official source calls `id`.
    pub fbid: Option<String>,
    /// The handle at the time of reading.
    pub username: Username,
    /// The display name.
    pub full_name: Option<String>,
    /// The text under the name.
    pub biography: Option<String>,
    /// How many accounts follow it.
    pub followers: Option<i64>,
    /// How many accounts it follows.
    pub following: Option<i64>,
    /// How many posts it has.
    pub posts: Option<i64>,
    /// Whether its posts are for approved followers only.
    pub is_private: Option<bool>,
    /// Whether it wears the blue badge.
    pub is_verified: Option<bool>,
    /// The category it shows, such as `Artist`.
    pub category: Option<String>,
    /// The link in its profile.
    pub external_url: Option<String>,
    /// Whether the answer told its link, or that it has none.
    pub external_url_told: bool,
    /// Its picture, the largest that was offered.
    pub profile_pic_url: Option<String>,
}

/// What it takes to ask for an account's posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRef {
    /// Instagram's own number of the account, where it is known.
    pub pk: Option<i64>,
    /// Its handle.
    pub username: Username,
}

impl Account {
    /// The two names by which its posts are asked for.
    pub fn reference(&self) -> AccountRef {
        AccountRef { pk: self.pk, username: self.username.clone() }
    }
}

/// An account, as one visit found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The account. A private one is returned, too: its numbers are public.
    pub account: Account,
    /// The first posts where the answer carried them; `None` says nothing about how many there are.
    pub first_posts: Option<Page<Post>>,
    /// What could not be read, of the account and of its first posts.
    pub unread: Vec<Unread>,
}

/// What a post shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// One picture.
    Image,
    /// One video; a reel is a video, too.
    Video,
    /// Several pictures or videos.
    Carousel,
}

impl MediaKind {
    /// The name that the database keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Carousel => "carousel",
        }
    }
}

/// A post of an account's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Instagram's own number of the post.
    pub pk: i64,
    /// The code in its address.
    pub code: Shortcode,
    /// What it shows; `None` for a kind that this version does not know.
    pub kind: Option<MediaKind>,
    /// Whether it is a reel (`product_type` is `clips`); `None` where the answer does not tell.
    pub is_reel: Option<bool>,
    /// Whether the account pinned it: pinned posts come first, out of order.
    pub is_pinned: bool,
    /// When it was published.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its text; `None` where it has none.
    pub caption: Option<String>,
    /// Whether the answer told its text, or that it has none.
    pub caption_told: bool,
    /// Likes; `None` where hidden or not told.
    pub likes: Option<i64>,
    /// Whether the owner hides the likes.
    pub likes_hidden: bool,
    /// Comments.
    pub comments: Option<i64>,
    /// How often it was started to play. Not the same number as `views`.
    pub plays: Option<i64>,
    /// How many views it has. Not the same number as `plays`.
    pub views: Option<i64>,
    /// A video's length in seconds.
    pub duration_seconds: Option<f64>,
    /// Its picture or cover, the largest that was offered.
    pub display_url: Option<String>,
}

/// A reel's own numbers, joined to its post on the code.
#[derive(Clone, Debug, PartialEq)]
pub struct ReelNumbers {
    /// The code in its address.
    pub code: Shortcode,
    /// Plays.
    pub plays: Option<i64>,
    /// Views.
    pub views: Option<i64>,
    /// Likes; `None` where hidden or not told.
    pub likes: Option<i64>,
    /// Whether the owner hides the likes.
    pub likes_hidden: bool,
    /// Comments.
    pub comments: Option<i64>,
}

/// Where the next page begins. Opaque: it also names the endpoint that it belongs to, so that a run resumed
/// after a restart goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Its items in the order of the answer, each at most once.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// What stood there and could not be read.
    pub unread: Vec<Unread>,
}

/// One answer of a single thing, with what could not be read of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// What stood there and could not be read.
    pub unread: Vec<Unread>,
}

/// A field that was not what it should be: the sign that the upstream has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The field's path, such as `data.user.edge_followed_by.count` or `items[3].pk`.
    pub path: String,
    /// What this version can read there.
    pub expected: &'static str,
    /// What stood there, shortened; never a secret.
    pub found: String,
    /// Whether something that was asked for is missing because of it. Where another endpoint had it, nothing is.
    pub is_loss: bool,
}

impl Unread {
    /// The path of the errors that an answer tells of beside its data.
    pub const ERRORS: &str = "errors";
}

/// One request to the upstream and how it ended.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The short name of the endpoint, such as `web_profile_info`; the label of metrics and events.
    pub endpoint: &'static str,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The address asked, without any secret.
    pub url: String,
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// From the request's start to the last byte of the answer.
    pub duration: Duration,
    /// The size of the answer's body in bytes, as it was read.
    pub bytes: u64,
    /// The name of the failure, where there was one: `FailureKind::as_str`.
    pub failure: Option<&'static str>,
    /// Whether something in the answer could not be read, though the rest of it was.
    pub has_unread: bool,
    /// The headers of the answer on which its reading depends, without secrets.
    pub headers: Vec<(String, String)>,
    /// The answer's body without secrets, cut at 256 KiB; `None` where no answer came or it had none.
    pub body: Option<Vec<u8>>,
}

impl Exchange {
    /// Whether the answer is worth keeping whatever becomes of the run: it failed, or could not be read whole.
    pub fn is_evidence(&self) -> bool {
        self.failure.is_some() || self.has_unread
    }
}
