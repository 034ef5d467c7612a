//! `GET /reels/{shortcode}/curve` and `/velocity`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::App;
use super::super::super::error::ApiError;
use super::super::page::{Cursor, Limit, Page};
use super::super::path;
use super::super::posts::{self, Shortcode};
use super::super::query::Query;
use super::super::time::Time;
use super::figures::Origin;
use super::post::FigureAtAge;
use crate::analytics::{self, AGES, Missing};
use crate::db;

/// A number of a reel.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Number {
    /// How often it was started to play.
    #[default]
    Plays,
    /// How many views it has. Not the same number as plays.
    Views,
    /// Likes, where they are not hidden.
    Likes,
    /// Comments.
    Comments,
}

impl From<Number> for db::analytics::Number {
    fn from(number: Number) -> Self {
        match number {
            Number::Plays => Self::Plays,
            Number::Views => Self::Views,
            Number::Likes => Self::Likes,
            Number::Comments => Self::Comments,
        }
    }
}

/// What was seen, and when.
#[derive(Serialize, ToSchema)]
struct Point {
    /// When.
    at: Time,
    /// How many.
    #[schema(example = 457_207.0)]
    count: f64,
    #[serde(flatten)]
    origin: Origin,
}

/// A number at an age, with what it is made of.
#[derive(Serialize, ToSchema)]
struct CurvePoint {
    /// The age.
    #[schema(example = 24.0)]
    age_hours: f64,
    #[serde(flatten)]
    figure: FigureAtAge,
    /// What was last seen until then; at that very time where it was true then.
    #[schema(required = true)]
    before: Option<Point>,
    /// What was first seen after it; null where `before` says all.
    #[schema(required = true)]
    after: Option<Point>,
}

/// A reel's number when it was so old.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReelCurve {
    /// The code in its address.
    #[schema(example = "DAbc123xyz_")]
    shortcode: String,
    /// When it was published.
    #[schema(required = true)]
    taken_at: Option<Time>,
    /// Which number.
    of: Number,
    ages: Vec<CurvePoint>,
}

/// Which number.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedCurve {
    /// Which number; `plays` where nothing is said.
    #[param(nullable = false, inline)]
    of: Option<Number>,
}

/// Show a reel's numbers at the age of an hour, six, a day, three, a week and four weeks
///
/// What was true at an age is told as it is. Else it lies on the line between what was seen before and after, where these
/// are no farther apart than one and a half times the age, or 8 hours where that is more. Nothing is told beyond what was seen.
#[utoipa::path(get, path = "/reels/{shortcode}/curve", tag = "reels",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address"), WantedCurve),
    responses(
        (status = 200, description = "Its numbers at these ages", body = ReelCurve),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read a reel of this code")))]
pub(in crate::http) async fn curve(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    Query(wanted): Query<WantedCurve>,
) -> Result<Json<ReelCurve>, ApiError> {
    let of = wanted.of.unwrap_or_default();
    let reel = posts::post(&app, &shortcode, true).await?;
    let key = (reel.profile_id, reel.shortcode.as_str());
    let around = db::analytics::around(&app.database(), key, of.into(), &AGES).await?;
    let point = |(point, origin): (db::analytics::Point, db::analytics::Origin)| Point {
        at: point.at.into(),
        count: point.count,
        origin: origin.into(),
    };
    let at_age = |(place, age_hours): (usize, f64)| {
        // Those that it has not reached are not there.
        let around = around.get(place).copied();
        let seen = around.flatten();
        let figure = match (reel.taken_at, around) {
            (None, _) => Err(Missing::NotTold),
            (Some(_), None) => Err(Missing::TooYoung),
            (Some(taken_at), Some(_)) => {
                let seen = seen.as_ref().map(|seen| &seen.around);
                analytics::at_age(taken_at, age_hours, seen, DateTime::<Utc>::MAX_UTC)
            }
        };
        CurvePoint {
            age_hours,
            figure: figure.into(),
            before: seen.map(|seen| point((seen.around.before, seen.before))),
            after: seen.and_then(|seen| seen.around.after.zip(seen.after)).map(point),
        }
    };
    let ages = AGES.into_iter().enumerate().map(at_age).collect();
    Ok(Json(ReelCurve { shortcode: reel.shortcode, taken_at: reel.taken_at.map(Time::from), of, ages }))
}

/// What became of a number from one time at which it was seen to the next.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Segment {
    /// The earlier time.
    from: Time,
    /// The later one.
    until: Time,
    /// How old the reel was at the earlier one.
    #[schema(required = true, example = 6.2)]
    from_age_hours: Option<f64>,
    /// How old at the later one.
    #[schema(required = true, example = 12.2)]
    until_age_hours: Option<f64>,
    /// The number at the earlier time.
    #[schema(example = 120_345)]
    from_count: i64,
    /// The number at the later one.
    #[schema(example = 180_111)]
    until_count: i64,
    /// What was gained in an hour; below 0 where the number went down.
    #[schema(example = 9961.0)]
    per_hour: f64,
}

/// Which segments of which number.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WantedSegments {
    /// Which number; `plays` where nothing is said.
    #[param(nullable = false, inline)]
    of: Option<Number>,
    /// How many at most.
    #[param(inline)]
    #[serde(default)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(nullable = false, min_length = 1)]
    cursor: Option<String>,
}

/// Show how fast a reel is played
///
/// What it gained in an hour from each time at which the number was seen to the next, the oldest first. A number that was seen
/// unchanged is a segment, too.
#[utoipa::path(get, path = "/reels/{shortcode}/velocity", tag = "reels",
    params(("shortcode" = inline(Shortcode), Path, description = "The code in its address"), WantedSegments),
    responses(
        (status = 200, description = "A page of segments", body = Page<Segment>),
        (status = 400, description = "A parameter is not as documented"),
        (status = 404, description = "No run has read a reel of this code")))]
pub(in crate::http) async fn velocity(
    State(app): State<App>,
    path::Of(shortcode): path::Of<Shortcode>,
    Query(wanted): Query<WantedSegments>,
) -> Result<Json<Page<Segment>>, ApiError> {
    let after: Option<(DateTime<Utc>,)> = Cursor::read(wanted.cursor.as_deref())?;
    let of = wanted.of.unwrap_or_default();
    let reel = posts::post(&app, &shortcode, true).await?;
    let key = (reel.profile_id, reel.shortcode.as_str());
    let after = after.map(|(at,)| at);
    let found = db::analytics::segments(&app.database(), key, of.into(), after, wanted.limit.and_one()).await?;
    let age = |at| reel.taken_at.map(|taken_at| analytics::hours_between(taken_at, at));
    let segment = |segment: db::analytics::Segment| Segment {
        from_age_hours: age(segment.from),
        until_age_hours: age(segment.until),
        per_hour: analytics::per_hour(&segment),
        from: segment.from.into(),
        until: segment.until.into(),
        from_count: segment.from_count,
        until_count: segment.until_count,
    };
    Ok(Json(Page::of(found, wanted.limit, |last| (last.from,)).map(segment)))
}
