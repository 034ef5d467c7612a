//! What is out of the ordinary: days on which followers came or went, posts that did far better or worse.

use chrono::NaiveDate;

use super::Missing;
use super::engagement::AnalysedPost;
use super::statistics::{Scale, THRESHOLD, modified_z_scores};
use crate::db::analytics::Day;

/// What is ordinary is known of so many days or posts.
const AT_LEAST: usize = 7;

/// So many anomalies are told, the farthest out first.
const AT_MOST: usize = 100;

/// What is ordinary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ordinary {
    /// The median.
    pub median: f64,
    /// The median, or the mean, of the absolute deviations from it.
    pub deviation: f64,
    /// Which of both.
    pub scale: Scale,
}

/// Something that is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly<T> {
    /// What it is.
    pub what: T,
    /// Its number.
    pub value: f64,
    /// Its modified z-score, beyond [`THRESHOLD`] in either direction.
    pub score: f64,
}

/// What is out of the ordinary.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomalies<T> {
    /// Of how many numbers.
    pub n: usize,
    /// What is ordinary among them.
    pub ordinary: Result<Ordinary, Missing>,
    /// How many anomalies there are.
    pub count: usize,
    /// The farthest out.
    pub farthest: Vec<Anomaly<T>>,
}

impl<T> Anomalies<T> {
    fn among(numbers: Vec<(T, f64)>) -> Self {
        let values: Vec<f64> = numbers.iter().map(|(_, value)| *value).collect();
        let n = values.len();
        let scored = match modified_z_scores(&values, AT_LEAST) {
            Ok(scored) => scored,
            Err(missing) => return Self { n, ordinary: Err(missing), count: 0, farthest: Vec::new() },
        };
        let all = numbers.into_iter().zip(scored.scores);
        let mut farthest: Vec<_> = all
            .filter(|(_, score)| score.abs() > THRESHOLD)
            .map(|((what, value), score)| Anomaly { what, value, score })
            .collect();
        let count = farthest.len();
        farthest.sort_by(|one, other| other.score.abs().total_cmp(&one.score.abs()));
        farthest.truncate(AT_MOST);
        let ordinary = Ordinary { median: scored.median, deviation: scored.deviation, scale: scored.scale };
        Self { n, ordinary: Ok(ordinary), count, farthest }
    }
}

/// The day on which a change was seen.
pub type Change = NaiveDate;

impl Anomalies<Change> {
    /// The changes of followers from one day to the next, of days that both are known.
    pub(super) fn of_days(days: &[Day]) -> Self {
        let changes = days.windows(2).filter_map(|pair| {
            let is_next = pair[0].day.succ_opt() == Some(pair[1].day);
            is_next.then(|| (pair[1].day, (pair[1].followers - pair[0].followers) as f64))
        });
        Self::among(changes.collect())
    }
}

impl Anomalies<usize> {
    /// The engagement of posts on followers; each anomaly names the place of its post.
    pub(super) fn of_posts(posts: &[AnalysedPost]) -> Self {
        let percents = posts.iter().enumerate().filter_map(|(place, post)| Some((place, post.settled().ok()?)));
        Self::among(percents.collect())
    }
}
