//! How often an account publishes, over the time whose posts are known.

use chrono::{DateTime, Utc};

use super::Missing;
use super::growth::{SPAN_AT_LEAST, hours_between, seconds_between};
use super::statistics::median;
use crate::db::analytics::{Reach, Window};

/// The part of a window in which posts are known without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The begin of the window, or the oldest post that is known.
    pub from: DateTime<Utc>,
    /// The end of the window, or the last time at which posts were read.
    pub until: DateTime<Utc>,
    /// Whether it begins with a post only because none before is known.
    pub begins_with_a_post: bool,
}

impl Covered {
    /// What is known of a window; `None` where nothing is. `cut_at` is the oldest post where more were in the window than
    /// are looked at.
    pub(super) fn of(window: &Window, reach: &Reach, cut_at: Option<DateTime<Utc>>) -> Option<Self> {
        let is_all = reach.told == Some(reach.known);
        let oldest = if is_all { cut_at } else { reach.oldest.max(cut_at) };
        let begins_with_a_post = oldest.is_some_and(|oldest| oldest >= window.since);
        let from = oldest.filter(|_| begins_with_a_post).unwrap_or(window.since);
        let until = window.until.min(reach.read_at?);
        // With no post that is not pinned nothing says how far back they are known.
        let is_known = is_all || reach.oldest.is_some();
        (is_known && from < until).then_some(Self { from, until, begins_with_a_post })
    }
}

/// The time between two posts that follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// When the earlier one was published.
    pub from: DateTime<Utc>,
    /// When the later one was.
    pub until: DateTime<Utc>,
    /// The hours between them.
    pub hours: f64,
}

/// How often an account publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cadence {
    /// The time that is looked at.
    pub covered: Option<Covered>,
    /// The posts in it, but for one that it only begins with.
    pub n: usize,
    /// How many of them in a week.
    pub posts_per_week: Result<f64, Missing>,
    /// How many pauses between two posts there are in it.
    pub pauses: usize,
    /// The median pause in hours.
    pub median_pause_hours: Result<f64, Missing>,
    /// The longest.
    pub longest_pause: Result<Pause, Missing>,
}

impl Cadence {
    /// Of the times at which posts were published, in any order.
    pub(super) fn of(times: impl IntoIterator<Item = DateTime<Utc>>, covered: Option<Covered>) -> Self {
        let Some(within) = covered else {
            let none = Missing::NotTold;
            let (posts_per_week, median_pause_hours) = (Err(none), Err(none));
            return Self { covered, n: 0, posts_per_week, pauses: 0, median_pause_hours, longest_pause: Err(none) };
        };
        let mut times: Vec<_> = times.into_iter().filter(|at| (within.from..=within.until).contains(at)).collect();
        times.sort();
        let pauses: Vec<Pause> = times
            .windows(2)
            .map(|pair| Pause { from: pair[0], until: pair[1], hours: hours_between(pair[0], pair[1]) })
            .collect();
        let n = times.len() - usize::from(within.begins_with_a_post && times.first() == Some(&within.from));
        let seconds = seconds_between(within.from, within.until);
        let is_long = seconds >= SPAN_AT_LEAST;
        let longest =
            pauses.iter().copied().reduce(|longest, pause| if pause.hours > longest.hours { pause } else { longest });
        Self {
            covered,
            n,
            posts_per_week: if is_long { Ok(n as f64 * 7.0 * 86_400.0 / seconds) } else { Err(Missing::TooShort) },
            pauses: pauses.len(),
            median_pause_hours: median(pauses.iter().map(|pause| pause.hours)).ok_or(Missing::TooFew),
            longest_pause: longest.ok_or(Missing::TooFew),
        }
    }
}
