//! Accounts: what they are and were, and their posts.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::problem::ProblemType;
use super::handle::Handle;
use super::page::{Cursor, Limit, Order, Page, Paging};
use super::path;
use super::posts::Post;
use super::query::{NoQuery, Query};
use super::run::event_address;
use super::time::Time;
use crate::db::RunId;
use crate::db::history::{self, Account, AccountNumbers, PostFilter, Stretch};

/// An account as it was last seen.
///
/// What was not told is null, never 0.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Profile {
    /// Its handle when last seen, in lower case.
    #[schema(example = "nasa")]
    username: String,
    /// Instagram's own number of it, which stays when it is renamed; a text, since it does not fit every language's numbers.
    #[schema(required = true, example = "528817151")]
    instagram_id: Option<String>,
    /// The display name.
    #[schema(required = true)]
    full_name: Option<String>,
    /// The text under the name.
    #[schema(required = true)]
    biography: Option<String>,
    /// The category that it shows.
    #[schema(required = true, example = "Science")]
    category: Option<String>,
    /// The link in its profile.
    #[schema(required = true)]
    external_url: Option<String>,
    /// The address of its picture; it expires at Instagram's pleasure.
    #[schema(required = true)]
    profile_pic_url: Option<String>,
    /// Whether its posts are for approved followers only.
    #[schema(required = true)]
    is_private: Option<bool>,
    /// Whether it wears the blue badge.
    #[schema(required = true)]
    is_verified: Option<bool>,
    /// When a run first read it.
    first_seen_at: Time,
    /// When a run last read it.
    last_seen_at: Time,
    /// The run that read it last.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 2)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/2")]
    event: String,
    /// Its latest numbers; null where none was ever told.
    #[schema(required = true)]
    numbers: Option<ProfileNumbers>,
}

/// An account's numbers, and from when until when they were seen.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ProfileNumbers {
    /// When they were first seen.
    observed_from: Time,
    /// When they were last seen unchanged.
    observed_until: Time,
    /// How many accounts follow it.
    #[schema(required = true, minimum = 0, example = 97_000_000)]
    followers_count: Option<i64>,
    /// How many accounts it follows.
    #[schema(required = true, minimum = 0, example = 90)]
    following_count: Option<i64>,
    /// How many posts it has.
    #[schema(required = true, minimum = 0, example = 4500)]
    posts_count: Option<i64>,
    /// The run that first saw them.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 2)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/2")]
    event: String,
}

impl From<AccountNumbers> for ProfileNumbers {
    fn from(numbers: AccountNumbers) -> Self {
        Self {
            observed_from: numbers.observed_from.into(),
            observed_until: numbers.observed_until.into(),
            followers_count: numbers.followers_count,
            following_count: numbers.following_count,
            posts_count: numbers.posts_count,
            run_id: numbers.run_id,
            seq: numbers.seq,
            event: event_address(numbers.run_id, numbers.seq),
        }
    }
}

impl From<Account> for Profile {
    fn from(account: Account) -> Self {
        Self {
            username: account.username,
            instagram_id: account.instagram_pk.map(|pk| pk.to_string()),
            full_name: account.full_name,
            biography: account.biography,
            category: account.category,
            external_url: account.external_url,
            profile_pic_url: account.profile_pic_url,
            is_private: account.is_private,
            is_verified: account.is_verified,
            first_seen_at: account.first_seen_at.into(),
            last_seen_at: account.last_seen_at.into(),
            run_id: account.run_id,
            seq: account.seq,
            event: event_address(account.run_id, account.seq),
            numbers: account.numbers.map(|numbers| numbers.0.into()),
        }
    }
}

/// List the profiles
///
/// All accounts that a run has read, by handle.
#[utoipa::path(get, path = "/profiles", tag = "profiles", params(Paging),
    responses(
        (status = 200, description = "A page of profiles", body = Page<Profile>),
        (status = 400, description = "A parameter is not as documented")))]
pub(in crate::http) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Paging>,
) -> Result<Json<Page<Profile>>, ApiError> {
    let after: Option<(String, i64)> = Cursor::read(wanted.cursor.as_deref())?;
    let after = after.as_ref().map(|(username, id)| (username.as_str(), *id));
    let found = history::accounts(&app.database(), after, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.username.clone(), last.profile_id)).map(Profile::from)))
}

/// A handle that an account bears or bore.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Name {
    /// The handle, in lower case.
    #[schema(example = "nasa")]
    username: String,
    /// When the account was first seen under it.
    observed_from: Time,
    /// When it was last seen under it; null while it has it.
    #[schema(required = true)]
    observed_until: Option<Time>,
    /// The run that first saw it under it.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 2)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/2")]
    event: String,
}

/// An account with its handles over time.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NamedProfile {
    #[serde(flatten)]
    profile: Profile,
    /// Its handles, the latest first; at most a hundred.
    names: Vec<Name>,
}

/// Show a profile
///
/// The account that bears the handle, or else the one that bore it last: then `username` says how it is called now.
#[utoipa::path(get, path = "/profiles/{username}", tag = "profiles",
    params(("username" = inline(Handle), Path, description = "The account's handle")),
    responses(
        (status = 200, description = "The account as it was last seen", body = NamedProfile),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    NoQuery: NoQuery,
) -> Result<Json<NamedProfile>, ApiError> {
    let account = account(&app, &username).await?;
    let names = history::names(&app.database(), account.profile_id).await?;
    let name = |name: history::Name| Name {
        username: name.username,
        observed_from: name.observed_from.into(),
        observed_until: name.observed_until.map(Time::from),
        run_id: name.run_id,
        seq: name.seq,
        event: event_address(name.run_id, name.seq),
    };
    Ok(Json(NamedProfile { names: names.into_iter().map(name).collect(), profile: account.into() }))
}

/// The account of a handle, or the error that says that there is none.
pub(super) async fn account(app: &App, username: &Handle) -> Result<Account, ApiError> {
    let found = history::account(&app.database(), username.as_str()).await?;
    found.ok_or_else(|| {
        let detail = format!(
            "No run has read an account called {}; POST /api/v2/tasks makes a task for one, POST \
             /api/v2/tasks/{{task_id}}/runs has it read",
            username.as_str()
        );
        ApiError::new(ProblemType::NotFound, detail)
    })
}

/// Which stretch of a history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedHistory {
    /// Only what was still seen at this time or later.
    #[param(nullable = false, inline)]
    since: Option<Time>,
    /// Only what was first seen before this time.
    #[param(nullable = false, inline)]
    until: Option<Time>,
    /// The oldest first (`asc`, where nothing is said) or the newest.
    #[param(nullable = false, inline)]
    order: Option<Order>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    pub(super) limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

impl WantedHistory {
    /// The same for the database.
    pub(super) fn stretch(&self) -> Result<Stretch, ApiError> {
        let after: Option<(DateTime<Utc>,)> = Cursor::read(self.cursor.as_deref())?;
        Ok(Stretch {
            since: self.since.map(|since| since.0),
            until: self.until.map(|until| until.0),
            after: after.map(|(at,)| at),
            newest_first: self.order == Some(Order::Desc),
        })
    }
}

/// Show a profile's numbers over time
///
/// An item a change: its numbers stood from `observed_from` to `observed_until`.
#[utoipa::path(get, path = "/profiles/{username}/history", tag = "profiles", operation_id = "history",
    params(("username" = inline(Handle), Path, description = "The account's handle"), WantedHistory),
    responses(
        (status = 200, description = "A page of its numbers", body = Page<ProfileNumbers>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn history(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    Query(wanted): Query<WantedHistory>,
) -> Result<Json<Page<ProfileNumbers>>, ApiError> {
    let stretch = wanted.stretch()?;
    let account = account(&app, &username).await?;
    let found = history::of_account(&app.database(), account.profile_id, stretch, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.observed_from,)).map(ProfileNumbers::from)))
}

/// What a post is made of.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum MediaKind {
    /// One picture.
    Image,
    /// One video.
    Video,
    /// Several of both.
    Carousel,
}

impl MediaKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Carousel => "carousel",
        }
    }
}

/// Which posts of an account.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedPosts {
    /// Only posts of this kind.
    #[param(nullable = false, inline)]
    kind: Option<MediaKind>,
    /// Only posts that are not there any more (`true`), or only those that are (`false`).
    #[param(nullable = false)]
    missing: Option<bool>,
    /// Only posts that were published at this time or later.
    #[param(nullable = false, inline)]
    since: Option<Time>,
    /// Only posts that were published before this time.
    #[param(nullable = false, inline)]
    until: Option<Time>,
    /// The newest first (`desc`, where nothing is said) or the oldest; one whose time is not known counts as the oldest.
    #[param(nullable = false, inline)]
    order: Option<Order>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// List a profile's posts
///
/// Reels among them.
#[utoipa::path(get, path = "/profiles/{username}/posts", tag = "profiles",
    params(("username" = inline(Handle), Path, description = "The account's handle"), WantedPosts),
    responses(
        (status = 200, description = "A page of its posts", body = Page<Post>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn posts(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    Query(wanted): Query<WantedPosts>,
) -> Result<Json<Page<Post>>, ApiError> {
    page_of_posts(&app, &username, &wanted, None).await
}

/// List a profile's reels
#[utoipa::path(get, path = "/profiles/{username}/reels", tag = "profiles",
    params(("username" = inline(Handle), Path, description = "The account's handle"), WantedPosts),
    responses(
        (status = 200, description = "A page of its reels", body = Page<Post>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn reels(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    Query(wanted): Query<WantedPosts>,
) -> Result<Json<Page<Post>>, ApiError> {
    page_of_posts(&app, &username, &wanted, Some(true)).await
}

async fn page_of_posts(
    app: &App,
    username: &Handle,
    wanted: &WantedPosts,
    is_reel: Option<bool>,
) -> Result<Json<Page<Post>>, ApiError> {
    let after: Option<(Option<DateTime<Utc>>, String)> = Cursor::read(wanted.cursor.as_deref())?;
    let account = account(app, username).await?;
    let filter = PostFilter {
        is_reel,
        kind: wanted.kind.map(MediaKind::as_str),
        is_missing: wanted.missing,
        since: wanted.since.map(|since| since.0),
        until: wanted.until.map(|until| until.0),
        after: after.as_ref().map(|(at, shortcode)| (*at, shortcode.as_str())),
        newest_first: wanted.order != Some(Order::Asc),
    };
    let found = history::posts_of(&app.database(), account.profile_id, &filter, wanted.limit.and_one()).await?;
    Ok(Json(Page::of(found, wanted.limit, |last| (last.taken_at, last.shortcode.clone())).map(Post::from)))
}
