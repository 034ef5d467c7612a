//! Posts and reels: what they are and were.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::App;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::page::{Cursor, Page, Paging};
use super::path;
use super::profiles::WantedHistory;
use super::query::{NoQuery, Query};
use super::run::event_address;
use super::time::Time;
use crate::db::RunId;
use crate::db::history::{self, PostNumbers as Numbers};

/// A post as it was last seen.
///
/// What was not told is null, never 0.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Post {
    /// The code in its address, the same in every source.
    #[schema(example = "DAbc123xyz_")]
    shortcode: String,
    /// Instagram's own number of it; a text, since it does not fit every language's numbers.
    #[schema(example = "3467821001122334455")]
    instagram_id: String,
    /// Its address.
    #[schema(example = "https://www.instagram.com/reel/DAbc123xyz_/")]
    url: String,
    /// The handle, when last seen, of the account in whose timeline it stands.
    #[schema(example = "nasa")]
    username: String,
    /// `image`, `video` or `carousel`; null for a kind that was not known.
    #[schema(required = true, example = "video")]
    kind: Option<String>,
    /// Whether it is a reel.
    is_reel: bool,
    /// Whether the account pinned it to the top.
    is_pinned: bool,
    /// When it was published.
    #[schema(required = true)]
    taken_at: Option<Time>,
    /// Its text; null where it has none.
    #[schema(required = true)]
    caption: Option<String>,
    /// When this caption was first seen in place of another; null where it is the first one.
    #[schema(required = true)]
    caption_since: Option<Time>,
    /// A video's length.
    #[schema(required = true, example = 14.2)]
    duration_seconds: Option<f64>,
    /// The address of its picture or cover; it expires at Instagram's pleasure.
    #[schema(required = true)]
    display_url: Option<String>,
    /// When a run first read it.
    first_seen_at: Time,
    /// When a run last read it.
    last_seen_at: Time,
    /// When a scan first did not meet it any more: deleted or archived; null while it is there.
    #[schema(required = true)]
    missing_since: Option<Time>,
    /// The run that read it last.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 3)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/3")]
    event: String,
    /// Its latest numbers; null where none was ever told.
    #[schema(required = true)]
    numbers: Option<PostNumbers>,
}

/// A post's numbers, and from when until when they were seen.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PostNumbers {
    /// When they were first seen.
    observed_from: Time,
    /// When they were last seen unchanged.
    observed_until: Time,
    /// Likes; null where hidden or not told.
    #[schema(required = true, minimum = 0, example = 120_345)]
    likes_count: Option<i64>,
    /// Whether the owner hides the likes.
    likes_hidden: bool,
    /// Comments.
    #[schema(required = true, minimum = 0, example = 812)]
    comments_count: Option<i64>,
    /// How often it was started to play. Not the same number as views.
    #[schema(required = true, minimum = 0, example = 2_400_000)]
    plays_count: Option<i64>,
    /// How many views it has. Not the same number as plays.
    #[schema(required = true, minimum = 0)]
    views_count: Option<i64>,
    /// The run that first saw them.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 3)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/3")]
    event: String,
}

impl From<Numbers> for PostNumbers {
    fn from(numbers: Numbers) -> Self {
        Self {
            observed_from: numbers.observed_from.into(),
            observed_until: numbers.observed_until.into(),
            likes_count: numbers.likes_count,
            likes_hidden: numbers.likes_hidden,
            comments_count: numbers.comments_count,
            plays_count: numbers.plays_count,
            views_count: numbers.views_count,
            run_id: numbers.run_id,
            seq: numbers.seq,
            event: event_address(numbers.run_id, numbers.seq),
        }
    }
}

impl From<history::Post> for Post {
    fn from(post: history::Post) -> Self {
        let page = if post.is_reel { "reel" } else { "p" };
        Self {
            url: format!("https://www.instagram.com/{page}/{}/", post.shortcode),
            shortcode: post.shortcode,
            instagram_id: post.instagram_pk.to_string(),
            username: post.username,
            kind: post.kind,
            is_reel: post.is_reel,
            is_pinned: post.is_pinned,
            taken_at: post.taken_at.map(Time::from),
            caption: post.caption,
            caption_since: post.caption_since.map(Time::from),
            duration_seconds: post.duration_seconds,
            display_url: post.display_url,
            first_seen_at: post.first_seen_at.into(),
            last_seen_at: post.last_seen_at.into(),
            missing_since: post.missing_since.map(Time::from),
            run_id: post.run_id,
            seq: post.seq,
            event: event_address(post.run_id, post.seq),
            numbers: post.numbers.map(|numbers| numbers.0.into()),
        }
    }
}

/// The code in a post's address.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "DAbc123xyz_")]
pub(in crate::http) struct Shortcode(String);

impl TryFrom<String> for Shortcode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match text.len() {
            1..=64 if text.bytes().all(allowed) => Ok(Self(text)),
            _ => Err("is none: a shortcode is 1 to 64 of A-Z a-z 0-9 _ -"),
        }
    }
}

/// The post of a code, or the error that says that there is none.
pub(super) async fn post(app: &App, shortcode: &Shortcode, only_reel: bool) -> Result<history::Post, ApiError> {
    let found = history::post(&app.database(), &shortcode.0).await?;
    found.filter(|post| post.is_reel || !only_reel).ok_or_else(|| {
        let what = if only_reel { "reel" } else { "post" };
        let detail = format!("No run has read a {what} of the code {}", shortcode.0);
        ApiError::new(ProblemType::NotFound, detail)
    })
}

/// Show a post
///
/// A post in the timelines of several accounts is told as it stands in the one that was read last.
#[utoipa::path(get, path = "/posts/{shortcode}", tag = "posts",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address")),
    responses(
        (status = 200, description = "The post as it was last seen", body = Post),
        (status = 404, description = "No run has read a post of this code")))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    NoQuery: NoQuery,
) -> Result<Json<Post>, ApiError> {
    Ok(Json(post(&app, &shortcode, false).await?.into()))
}

/// Show a post's numbers over time
///
/// An item a change: its numbers stood from `observed_from` to `observed_until`.
#[utoipa::path(get, path = "/posts/{shortcode}/history", tag = "posts",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address"), WantedHistory),
    responses(
        (status = 200, description = "A page of its numbers", body = Page<PostNumbers>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read a post of this code")))]
pub(in crate::http) async fn history(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    Query(wanted): Query<WantedHistory>,
) -> Result<Json<Page<PostNumbers>>, ApiError> {
    page_of_history(&app, &shortcode, &wanted, false).await
}

/// Show a reel
#[utoipa::path(get, path = "/reels/{shortcode}", tag = "reels", operation_id = "get",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address")),
    responses(
        (status = 200, description = "The reel as it was last seen", body = Post),
        (status = 404, description = "No run has read a reel of this code")))]
pub(in crate::http) async fn reel(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    NoQuery: NoQuery,
) -> Result<Json<Post>, ApiError> {
    Ok(Json(post(&app, &shortcode, true).await?.into()))
}

/// Show a reel's numbers over time
///
/// An item a change: its numbers stood from `observed_from` to `observed_until`.
#[utoipa::path(get, path = "/reels/{shortcode}/history", tag = "reels", operation_id = "history",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address"), WantedHistory),
    responses(
        (status = 200, description = "A page of its numbers", body = Page<PostNumbers>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read a reel of this code")))]
pub(in crate::http) async fn reel_history(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    Query(wanted): Query<WantedHistory>,
) -> Result<Json<Page<PostNumbers>>, ApiError> {
    page_of_history(&app, &shortcode, &wanted, true).await
}

async fn page_of_history(
    app: &App,
    shortcode: &Shortcode,
    wanted: &WantedHistory,
    only_reel: bool,
) -> Result<Json<Page<PostNumbers>>, ApiError> {
    let stretch = wanted.stretch()?;
    let post = post(app, shortcode, only_reel).await?;
    let key = (post.profile_id, post.shortcode.as_str());
    let found = history::of_post(&app.database(), key, stretch, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.observed_from,)).map(PostNumbers::from)))
}

/// A caption that a post had before it was edited.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Caption {
    /// When it was first seen.
    observed_from: Time,
    /// When it was last seen.
    observed_until: Time,
    /// The text; null where the post had none.
    #[schema(required = true)]
    caption: Option<String>,
    /// The run that found another one in its place.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 3)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/3")]
    event: String,
}

/// List a post's former captions
///
/// The latest first; the present one is the post's own.
#[utoipa::path(get, path = "/posts/{shortcode}/captions", tag = "posts",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address"), Paging),
    responses(
        (status = 200, description = "A page of its former captions", body = Page<Caption>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read a post of this code")))]
pub(in crate::http) async fn captions(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    Query(wanted): Query<Paging>,
) -> Result<Json<Page<Caption>>, ApiError> {
    let before: Option<(DateTime<Utc>,)> = Cursor::read(wanted.cursor.as_deref())?;
    let post = post(&app, &shortcode, false).await?;
    let key = (post.profile_id, post.shortcode.as_str());
    let before = before.map(|(at,)| at);
    let found = history::captions(&app.database(), key, before, wanted.limit.and_one()).await?;
    let caption = |caption: history::Caption| Caption {
        observed_from: caption.observed_from.into(),
        observed_until: caption.observed_until.into(),
        caption: caption.caption,
        run_id: caption.run_id,
        seq: caption.seq,
        event: event_address(caption.run_id, caption.seq),
    };
    Ok(Json(Page::of(found, wanted.limit, |last| (last.observed_from,)).map(caption)))
}
