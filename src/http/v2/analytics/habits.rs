//! When an account publishes, how often, and what it writes of.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::time::Time;
use super::figures::Figure;
use crate::analytics::{self, HeatMap};

/// Posts by the hour of the week, in the window's time zone: seven rows from Monday to Sunday, 24 columns from 0 to 23.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Week {
    /// How many posts were published.
    #[schema(value_type = Vec<Vec<usize>>)]
    posts: [[usize; 24]; 7],
    /// How many of them the engagement is known of.
    #[schema(value_type = Vec<Vec<usize>>)]
    n: [[usize; 24]; 7],
    /// The median of their engagement on followers, in per cent; null where `n` is 0.
    #[schema(value_type = Vec<Vec<Option<f64>>>)]
    median_percent: [[Option<f64>; 24]; 7],
}

impl From<HeatMap> for Week {
    fn from(map: HeatMap) -> Self {
        Self { posts: map.posts, n: map.n, median_percent: map.median_percent }
    }
}

/// Posts with a tag beside those without.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Lift {
    /// The hashtag or the handle, without its sign.
    #[schema(example = "sunrise")]
    tag: String,
    /// How many posts have it.
    #[schema(example = 12)]
    n_with: usize,
    /// How many do not.
    #[schema(example = 29)]
    n_without: usize,
    /// The median engagement of those that have it, in per cent.
    #[schema(required = true, example = 3.1)]
    median_percent_with: Option<f64>,
    /// That of the others; null where all have it.
    #[schema(required = true, example = 2.3)]
    median_percent_without: Option<f64>,
    /// The first by the second: above 1 the posts with it do better. Of fewer than three posts on a side there is none.
    lift: Figure<f64>,
}

/// What tags bring.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Lifts {
    /// How many posts are compared: those whose engagement on followers is known.
    #[schema(example = 41)]
    n: usize,
    /// How many more have captions that were not read for tags yet.
    unread: usize,
    /// How many tags they have.
    #[schema(example = 23)]
    count: usize,
    /// The fifty that most posts have.
    most_used: Vec<Lift>,
}

impl From<analytics::Lifts> for Lifts {
    fn from(lifts: analytics::Lifts) -> Self {
        let lift = |lift: analytics::Lift| Lift {
            tag: lift.tag,
            n_with: lift.n_with,
            n_without: lift.n_without,
            median_percent_with: lift.median_with,
            median_percent_without: lift.median_without,
            lift: lift.lift.into(),
        };
        let most_used = lifts.most_used.into_iter().map(lift).collect();
        Self { n: lifts.n, unread: lifts.unread, count: lifts.count, most_used }
    }
}

/// The part of the window in which posts are known without a hole.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Covered {
    /// The begin of the window, or the time of the oldest post that is known.
    from: Time,
    /// The end of the window, or the last time at which posts were read.
    until: Time,
    /// Whether it begins with a post, before which none is known: that one is not counted.
    begins_with_a_post: bool,
}

/// The longest time without a post.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Pause {
    /// When the post before it was published.
    #[schema(required = true)]
    from: Option<Time>,
    /// When the post after it was.
    #[schema(required = true)]
    until: Option<Time>,
    #[serde(flatten)]
    hours: Figure<f64>,
}

/// How often the account publishes.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Cadence {
    /// The time that is looked at; null where nothing is known of posts in the window.
    #[schema(required = true)]
    covered: Option<Covered>,
    /// How many posts were published in it.
    #[schema(example = 43)]
    n: usize,
    /// How many in a week; of less than a day there is none.
    posts_per_week: Figure<f64>,
    /// How many pauses between two posts there are.
    #[schema(example = 42)]
    pauses: usize,
    /// The median pause.
    median_pause_hours: Figure<f64>,
    /// The longest, `value` in hours.
    longest_pause: Pause,
}

impl From<&analytics::Cadence> for Cadence {
    fn from(cadence: &analytics::Cadence) -> Self {
        let covered = |covered: analytics::Covered| Covered {
            from: covered.from.into(),
            until: covered.until.into(),
            begins_with_a_post: covered.begins_with_a_post,
        };
        let longest = cadence.longest_pause;
        Self {
            covered: cadence.covered.map(covered),
            n: cadence.n,
            posts_per_week: cadence.posts_per_week.into(),
            pauses: cadence.pauses,
            median_pause_hours: cadence.median_pause_hours.into(),
            longest_pause: Pause {
                from: longest.ok().map(|pause| pause.from.into()),
                until: longest.ok().map(|pause| pause.until.into()),
                hours: longest.map(|pause| pause.hours).into(),
            },
        }
    }
}
