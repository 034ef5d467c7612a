//! How the account grew.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::time::Time;
use super::figures::{Figure, Origin};
use crate::analytics::{self, Analysis, End, IS_GAP_HOURS};

/// What a number was at a time.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CountAt {
    /// When.
    at: Time,
    /// How many.
    #[schema(example = 103_736)]
    count: i64,
    #[serde(flatten)]
    origin: Origin,
}

impl From<End> for CountAt {
    fn from(end: End) -> Self {
        Self { at: end.at.into(), count: end.count, origin: end.origin.into() }
    }
}

/// How a number grew from the first to the last time at which it is known in the window.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Growth {
    /// In how many snapshots it was told.
    #[schema(example = 87)]
    n: i64,
    /// The first time; null where it was not told.
    #[schema(required = true)]
    from: Option<CountAt>,
    /// The last time.
    #[schema(required = true)]
    to: Option<CountAt>,
    /// How many more.
    absolute: Figure<i64>,
    /// The same in per cent of what there was first.
    percent: Figure<f64>,
    /// How many more in a week on average; over less than a day there is none.
    weekly: Figure<f64>,
}

impl From<&analytics::Growth> for Growth {
    fn from(growth: &analytics::Growth) -> Self {
        Self {
            n: growth.n,
            from: growth.from.map(CountAt::from),
            to: growth.to.map(CountAt::from),
            absolute: growth.absolute.into(),
            percent: growth.percent.into(),
            weekly: growth.weekly.into(),
        }
    }
}

/// A stretch of time.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Stretch {
    /// Its begin.
    from: Time,
    /// Its end.
    until: Time,
}

/// When the followers were not seen.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Gaps {
    /// What is shorter is none.
    #[schema(example = 24.0)]
    longer_than_hours: f64,
    /// How many there are.
    count: i64,
    /// The first hundred.
    first: Vec<Stretch>,
}

/// How the account grew.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct GrowthOfAll {
    followers: Growth,
    following: Growth,
    posts: Growth,
    gaps: Gaps,
}

impl From<&Analysis> for GrowthOfAll {
    fn from(analysis: &Analysis) -> Self {
        let stretch = |gap: &crate::db::analytics::Gap| Stretch { from: gap.from.into(), until: gap.until.into() };
        let gaps = &analysis.gaps;
        let first = gaps.first.iter().map(stretch).collect();
        Self {
            followers: (&analysis.followers).into(),
            following: (&analysis.following).into(),
            posts: (&analysis.posts_count).into(),
            gaps: Gaps { longer_than_hours: IS_GAP_HOURS, count: gaps.count, first },
        }
    }
}
