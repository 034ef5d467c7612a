//! `GET /profiles/{username}/analytics/posts`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::App;
use super::super::super::error::ApiError;
use super::super::handle::Handle;
use super::super::page::{Cursor, Limit, Page};
use super::super::query::Query;
use super::super::time::Time;
use super::super::{path, profiles};
use super::figures::{Figure, Origin, WhyMissing};
use super::window::{TimeZone, WantedWindow};
use crate::analytics::{self, AGES, AnalysedPost, AtAge, Missing, Performance, Standing as Stands};

/// Where a number stands to the middle half of the account's posts at the same age.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Standing {
    /// Above its third quartile.
    Above,
    /// Between both quartiles.
    Within,
    /// Below its first quartile.
    Below,
}

/// A post beside all posts of the window when they were as old.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Compared {
    /// How many posts these are, itself among them; 0 where it is not compared.
    #[schema(example = 39)]
    n: usize,
    /// The age at which they are compared: the greatest at which it and at least five are known.
    #[schema(required = true, example = 72.0)]
    age_hours: Option<f64>,
    /// What it had then.
    #[schema(required = true, example = 5210.0)]
    value: Option<f64>,
    /// What half of them had at most.
    #[schema(required = true, example = 2380.5)]
    median: Option<f64>,
    /// How many times the median it had.
    #[schema(required = true, example = 2.19)]
    ratio: Option<f64>,
    /// Where it stands.
    #[schema(required = true)]
    standing: Option<Standing>,
    /// Why it is not compared, or why there is no `ratio`.
    #[schema(required = true)]
    reason: Option<WhyMissing>,
}

impl From<&Result<Performance, Missing>> for Compared {
    fn from(performance: &Result<Performance, Missing>) -> Self {
        let standing = |standing| match standing {
            Stands::Above => Standing::Above,
            Stands::Within => Standing::Within,
            Stands::Below => Standing::Below,
        };
        let compared = performance.as_ref();
        let missing = compared.map_or_else(|missing| Some(*missing), |compared| compared.ratio.err());
        let compared = compared.ok();
        Self {
            n: compared.map_or(0, |compared| compared.n),
            age_hours: compared.map(|compared| compared.age_hours),
            value: compared.map(|compared| compared.value),
            median: compared.map(|compared| compared.median),
            ratio: compared.and_then(|compared| compared.ratio.ok()),
            standing: compared.map(|compared| standing(compared.standing)),
            reason: missing.map(WhyMissing::from),
        }
    }
}

/// A number at an age.
#[derive(Serialize, ToSchema)]
pub(super) struct FigureAtAge {
    /// The number.
    #[schema(required = true, example = 1843.5)]
    value: Option<f64>,
    /// Whether it was not seen at that age, but lies on the line between what was seen before and after.
    #[schema(required = true, example = true)]
    is_interpolated: Option<bool>,
    /// Why there is none.
    #[schema(required = true)]
    reason: Option<WhyMissing>,
}

impl From<Result<AtAge, Missing>> for FigureAtAge {
    fn from(figure: Result<AtAge, Missing>) -> Self {
        Self {
            value: figure.ok().map(|figure| figure.value),
            is_interpolated: figure.ok().map(|figure| figure.is_interpolated),
            reason: figure.err().map(WhyMissing::from),
        }
    }
}

/// The followers of the account when the post was published.
#[derive(Serialize, ToSchema)]
struct Followers {
    /// How many.
    #[schema(example = 103_736)]
    count: i64,
    /// How far from the time of publishing they were seen: 0 where they were true then, 48 hours at most.
    #[schema(example = 5130.25)]
    distance_seconds: f64,
    #[serde(flatten)]
    origin: Origin,
}

/// The latest likes and comments.
#[derive(Serialize, ToSchema)]
struct Latest {
    /// When they were last seen.
    seen_at: Time,
    /// How old the post was then.
    #[schema(example = 311.4)]
    age_hours: f64,
    /// Likes.
    #[schema(example = 6883)]
    likes_count: i64,
    /// Comments.
    #[schema(example = 77)]
    comments_count: i64,
    #[serde(flatten)]
    origin: Origin,
}

/// A post's numbers when it was as old.
#[derive(Serialize, ToSchema)]
struct Ages {
    /// The age.
    #[schema(example = 24.0)]
    age_hours: f64,
    likes_and_comments: FigureAtAge,
    /// Of a reel its plays.
    #[schema(required = true)]
    plays: Option<FigureAtAge>,
}

/// What is of a reel alone.
#[derive(Serialize, ToSchema)]
struct OfReel {
    /// Likes and comments in per cent of its plays (`plays_count`).
    percent_of_plays: Figure<f64>,
    /// Likes and comments in per cent of its views (`views_count`).
    percent_of_views: Figure<f64>,
    /// How its plays stand among those of the other reels.
    plays: Compared,
}

/// A post with what is made of it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PostAnalytics {
    /// The code in its address.
    #[schema(example = "DAbc123xyz_")]
    shortcode: String,
    /// When it was published.
    taken_at: Time,
    /// Whether it is a reel.
    is_reel: bool,
    /// Its hashtags in lower case; null where its caption was not read for them yet.
    #[schema(required = true)]
    hashtags: Option<Vec<String>>,
    /// Whom it mentions; null as `hashtags`.
    #[schema(required = true)]
    mentions: Option<Vec<String>>,
    /// The followers at publish; null where none were seen within 48 hours of it.
    #[schema(required = true)]
    followers_at_publish: Option<Followers>,
    /// Whether the owner hides its likes; null where no number was ever seen.
    #[schema(required = true)]
    likes_hidden: Option<bool>,
    /// The latest likes and comments that were told together; null where they never were.
    #[schema(required = true)]
    latest: Option<Latest>,
    /// Likes and comments in per cent of the followers at publish.
    percent_of_followers: Figure<f64>,
    /// How its likes and comments stand among those of the other posts.
    likes_and_comments: Compared,
    /// Null where it is no reel.
    #[schema(required = true)]
    reel: Option<OfReel>,
    ages: Vec<Ages>,
}

impl From<AnalysedPost> for PostAnalytics {
    fn from(analysed: AnalysedPost) -> Self {
        let age_hours = analysed.age_hours();
        let is_reel = analysed.post.is_reel;
        let ages = (0..AGES.len()).map(|age| Ages {
            age_hours: AGES[age],
            likes_and_comments: analysed.engagement[age].into(),
            plays: is_reel.then(|| analysed.plays[age].into()),
        });
        let latest = analysed.post.engagement.zip(age_hours).map(|(seen, age_hours)| Latest {
            seen_at: seen.at.into(),
            age_hours,
            likes_count: seen.likes,
            comments_count: seen.comments,
            origin: seen.origin.into(),
        });
        let followers = analysed.post.followers;
        Self {
            taken_at: analysed.post.taken_at.into(),
            is_reel,
            followers_at_publish: followers.map(|near| Followers {
                count: near.followers,
                distance_seconds: near.seconds,
                origin: near.origin.into(),
            }),
            likes_hidden: analysed.post.likes_hidden,
            latest,
            percent_of_followers: analysed.on_followers.into(),
            likes_and_comments: (&analysed.performance).into(),
            reel: is_reel.then(|| OfReel {
                percent_of_plays: analysed.on_plays.into(),
                percent_of_views: analysed.on_views.into(),
                plays: (&analysed.plays_performance).into(),
            }),
            ages: ages.collect(),
            shortcode: analysed.post.shortcode,
            hashtags: analysed.post.hashtags,
            mentions: analysed.post.mentions,
        }
    }
}

/// Which posts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedPosts {
    /// Only posts that were published at this time or later; 30 days before `until` where nothing is said.
    #[param(nullable = false, inline)]
    since: Option<Time>,
    /// Only posts that were published before this time, and nothing that was seen first after it; now where nothing is
    /// said or it is in the future. A cursor keeps the one of its first page.
    #[param(nullable = false, inline)]
    until: Option<Time>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// Analyse a profile's posts one by one
///
/// The newest first. Each is held against all that were published in the window.
#[utoipa::path(get, path = "/profiles/{username}/analytics/posts", tag = "profiles", operation_id = "analytics_posts",
    params(("username" = inline(Handle), Path, description = "The account's handle"), WantedPosts),
    responses(
        (status = 200, description = "A page of its posts", body = Page<PostAnalytics>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read an account of this handle")))]
pub(in crate::http) async fn analytics_posts(
    State(app): State<App>,
    path::Of(username): path::Of<Handle>,
    Query(wanted): Query<WantedPosts>,
) -> Result<Json<Page<PostAnalytics>>, ApiError> {
    /// The end of the window, and the last post told.
    type Place = (DateTime<Utc>, DateTime<Utc>, String);
    let after: Option<Place> = Cursor::read(wanted.cursor.as_deref())?;
    let until = after.as_ref().map(|(until, ..)| *until);
    let account = profiles::account(&app, &username).await?;
    let window = WantedWindow { since: wanted.since, until: wanted.until, timezone: TimeZone::default() };
    let window = window.settle(&app, until).await?;
    let analysed = analytics::posts_of_account(&app.database(), account.profile_id, &window).await?;
    // Newest first, and by code where two were published at once.
    let is_behind = |post: &AnalysedPost| match &after {
        Some((_, at, shortcode)) => {
            post.post.taken_at < *at || (post.post.taken_at == *at && post.post.shortcode > *shortcode)
        }
        None => true,
    };
    let one_more = wanted.limit.rows() + 1;
    let found: Vec<_> = analysed.posts.into_iter().filter(is_behind).take(one_more).collect();
    let place = |last: &AnalysedPost| (window.until, last.post.taken_at, last.post.shortcode.clone());
    Ok(Json(Page::of(found, wanted.limit, place).map(PostAnalytics::from)))
}
