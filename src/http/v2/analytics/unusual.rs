//! What is out of the ordinary.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::time::Time;
use super::figures::WhyMissing;
use crate::analytics::{self, Analysis, Scale, THRESHOLD};

/// What deviations are measured by.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Measure {
    /// The median of the absolute deviations from the median (MAD).
    Median,
    /// Their mean, where the MAD is 0.
    Mean,
}

impl From<Scale> for Measure {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Median => Self::Median,
            Scale::Mean => Self::Mean,
        }
    }
}

/// What numbers are measured against.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Ordinary {
    /// How many numbers there are.
    #[schema(example = 29)]
    n: usize,
    /// Their median.
    #[schema(required = true, example = 118.0)]
    median: Option<f64>,
    /// The median, or the mean, of the absolute deviations from it.
    #[schema(required = true, example = 41.0)]
    deviation: Option<f64>,
    /// Which of both.
    #[schema(required = true)]
    measure: Option<Measure>,
    /// Why nothing can be out of the ordinary: fewer than 7 numbers are `too_few`.
    #[schema(required = true)]
    reason: Option<WhyMissing>,
    /// How many are out of the ordinary.
    #[schema(example = 1)]
    count: usize,
}

impl<T> From<&analytics::Anomalies<T>> for Ordinary {
    fn from(anomalies: &analytics::Anomalies<T>) -> Self {
        let (ordinary, missing) = (anomalies.ordinary.ok(), anomalies.ordinary.err());
        Self {
            n: anomalies.n,
            median: ordinary.map(|ordinary| ordinary.median),
            deviation: ordinary.map(|ordinary| ordinary.deviation),
            measure: ordinary.map(|ordinary| ordinary.scale.into()),
            reason: missing.map(WhyMissing::from),
            count: anomalies.count,
        }
    }
}

/// A day on which followers came or went as on few others.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UnusualDay {
    /// The day, in the window's time zone.
    #[schema(value_type = String, format = Date, example = "2026-11-14")]
    day: NaiveDate,
    /// How many more followers there were at its end than at the end of the day before.
    #[schema(example = 2140.0)]
    change: f64,
    /// The modified z-score.
    #[schema(example = 33.26)]
    score: f64,
}

/// A post with far more or less engagement than most.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UnusualPost {
    /// The code in its address.
    #[schema(example = "DAbc123xyz_")]
    shortcode: String,
    /// When it was published.
    taken_at: Time,
    /// Its engagement on followers.
    #[schema(example = 11.8)]
    percent: f64,
    /// The modified z-score.
    #[schema(example = 6.02)]
    score: f64,
}

/// Changes of followers from one day to the next, where both were seen.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UnusualDays {
    #[serde(flatten)]
    ordinary: Ordinary,
    /// The hundred farthest out.
    farthest: Vec<UnusualDay>,
}

/// Engagement of posts on followers.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UnusualPosts {
    #[serde(flatten)]
    ordinary: Ordinary,
    /// The hundred farthest out.
    farthest: Vec<UnusualPost>,
}

/// What is out of the ordinary.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Anomalies {
    /// A modified z-score beyond this, in either direction, is.
    #[schema(example = 3.5)]
    threshold: f64,
    follower_changes: UnusualDays,
    engagement: UnusualPosts,
}

impl From<&Analysis> for Anomalies {
    fn from(analysis: &Analysis) -> Self {
        let days = &analysis.change_anomalies;
        let day =
            |day: &analytics::Anomaly<NaiveDate>| UnusualDay { day: day.what, change: day.value, score: day.score };
        let posts = analysis.posts.anomalies();
        let post = |unusual: &analytics::Anomaly<usize>| {
            let post = &analysis.posts.posts.get(unusual.what)?.post;
            let (shortcode, taken_at) = (post.shortcode.clone(), post.taken_at.into());
            Some(UnusualPost { shortcode, taken_at, percent: unusual.value, score: unusual.score })
        };
        Self {
            threshold: THRESHOLD,
            follower_changes: UnusualDays { ordinary: days.into(), farthest: days.farthest.iter().map(day).collect() },
            engagement: UnusualPosts {
                ordinary: (&posts).into(),
                farthest: posts.farthest.iter().filter_map(post).collect(),
            },
        }
    }
}
