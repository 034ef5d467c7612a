//! When an account publishes, and what it brings.

use super::engagement::AnalysedPost;
use super::statistics::median;

/// A number for each hour of the week: a row a day from Monday on, a column an hour.
pub type Week<T> = [[T; 24]; 7];

/// Posts by weekday and hour.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// How many were published.
    pub posts: Week<usize>,
    /// How many of them the engagement is known of.
    pub n: Week<usize>,
    /// The median of their engagement on followers; `None` where it is known of none.
    pub median_percent: Week<Option<f64>>,
}

impl HeatMap {
    pub(super) fn of(posts: &[AnalysedPost]) -> Self {
        let mut map = Self { posts: [[0; 24]; 7], n: [[0; 24]; 7], median_percent: [[None; 24]; 7] };
        let mut percents: Week<Vec<f64>> = Default::default();
        for post in posts {
            // The database counts weekdays from 1 and hours from 0 on.
            let (Ok(day), Ok(hour)) = (usize::try_from(post.post.weekday - 1), usize::try_from(post.post.hour)) else {
                continue;
            };
            map.posts[day][hour] += 1;
            percents[day][hour].extend(post.settled().ok());
        }
        for day in 0..7 {
            for hour in 0..24 {
                let percents = std::mem::take(&mut percents[day][hour]);
                map.n[day][hour] = percents.len();
                map.median_percent[day][hour] = median(percents);
            }
        }
        map
    }
}
