//! Numbers as they are told: each with of how many it was made, or with why there is none.

use serde::Serialize;
use utoipa::openapi::schema::{OneOf, Type};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::run::event_address;
use crate::analytics::{self, Missing, Quartiles};
use crate::db;
use crate::db::RunId;

/// Why there is no number.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum WhyMissing {
    /// It was not told at any time in the window.
    NotTold,
    /// The owner hides the likes.
    LikesHidden,
    /// There are too few to make it of.
    TooFew,
    /// It was seen over less than a day.
    TooShort,
    /// It would be divided by 0.
    ZeroBase,
    /// No followers were seen within 48 hours of the time of publishing.
    FollowersUnknown,
    /// The post was younger than 24 hours when its numbers were last seen, or has not reached the age yet.
    TooYoung,
    /// Nothing was seen before the age, or nothing after it.
    NotSeenAround,
    /// What was seen before the age and after it lies too far apart.
    TooFarApart,
    /// All are equal: nothing is out of the ordinary.
    AllEqual,
}

impl From<Missing> for WhyMissing {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::NotTold => Self::NotTold,
            Missing::LikesHidden => Self::LikesHidden,
            Missing::TooFew => Self::TooFew,
            Missing::TooShort => Self::TooShort,
            Missing::ZeroBase => Self::ZeroBase,
            Missing::FollowersUnknown => Self::FollowersUnknown,
            Missing::TooYoung => Self::TooYoung,
            Missing::NotSeenAround => Self::NotSeenAround,
            Missing::TooFarApart => Self::TooFarApart,
            Missing::AllEqual => Self::AllEqual,
        }
    }
}

/// Where a number that was stored is from.
#[derive(Serialize, ToSchema)]
#[schema(as = NumberOrigin)]
pub(in crate::http) struct Origin {
    /// The run that first saw it.
    run_id: RunId,
    /// The event of that run that says so.
    #[schema(example = 2)]
    seq: i64,
    /// Where that event is.
    #[schema(example = "/api/v2/runs/01a20178-8408-732e-a18d-da46eb031805/events/2")]
    event: String,
}

impl From<db::analytics::Origin> for Origin {
    fn from(origin: db::analytics::Origin) -> Self {
        let db::analytics::Origin { run_id, seq } = origin;
        Self { run_id, seq, event: event_address(run_id, seq) }
    }
}

/// A number, or why there is none.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Figure<T> {
    /// The number.
    #[schema(required = true, schema_with = nullable::<T>)]
    value: Option<T>,
    /// Why there is none; null where there is one.
    #[schema(required = true)]
    reason: Option<WhyMissing>,
}

/// What the derivation forgets of an `Option` of what is generic: that it may be null.
fn nullable<T: PartialSchema>() -> RefOr<Schema> {
    OneOf::builder().item(T::schema()).item(Object::with_type(Type::Null)).into()
}

impl<T> From<Result<T, Missing>> for Figure<T> {
    fn from(figure: Result<T, Missing>) -> Self {
        let reason = figure.as_ref().err().map(|missing| (*missing).into());
        Self { value: figure.ok(), reason }
    }
}

/// How numbers are spread: a quarter of them is at most `q1`, half at most `median`, three quarters at most `q3`; between
/// two numbers these are interpolated.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Spread {
    /// How many numbers.
    #[schema(example = 41)]
    n: usize,
    /// The first quartile.
    #[schema(required = true, example = 1.92)]
    q1: Option<f64>,
    /// The median.
    #[schema(required = true, example = 2.47)]
    median: Option<f64>,
    /// The third quartile.
    #[schema(required = true, example = 3.3)]
    q3: Option<f64>,
    /// Why there are none: fewer than 5 numbers are `too_few`.
    #[schema(required = true)]
    reason: Option<WhyMissing>,
}

impl From<&analytics::Spread> for Spread {
    fn from(spread: &analytics::Spread) -> Self {
        let (quartiles, missing) = (spread.quartiles.ok(), spread.quartiles.err());
        let told = |quartile: fn(Quartiles) -> f64| quartiles.map(quartile);
        let (q1, median, q3) = (told(|told| told.q1), told(|told| told.median), told(|told| told.q3));
        Self { n: spread.n, q1, median, q3, reason: missing.map(WhyMissing::from) }
    }
}

/// Posts that have no part in a number.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LeftOut {
    /// Why.
    reason: WhyMissing,
    /// How many.
    #[schema(example = 2)]
    posts: usize,
}

/// The engagement of many posts, in per cent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Engagement {
    /// How it is spread.
    percent: Spread,
    /// The posts that have no part in it.
    left_out: Vec<LeftOut>,
}

impl From<&analytics::Engagement> for Engagement {
    fn from(engagement: &analytics::Engagement) -> Self {
        let left_out = engagement.left_out.iter();
        let left_out = left_out.map(|(missing, posts)| LeftOut { reason: (*missing).into(), posts: *posts }).collect();
        Self { percent: (&engagement.percent).into(), left_out }
    }
}
