//! How one of an account's numbers grew.

use chrono::{DateTime, Utc};

use super::Missing;
use crate::db::analytics::{Counted, Origin};

/// A week, in seconds.
const WEEK: f64 = 7.0 * 86_400.0;

/// A rate is told where what is known spans so many seconds: a day.
pub(super) const SPAN_AT_LEAST: f64 = 86_400.0;

/// A stretch without followers is told as a gap where it is longer than this.
pub const IS_GAP_HOURS: f64 = 24.0;

/// So many gaps are told one by one.
pub const GAPS_AT_MOST: i64 = 100;

/// What a number was at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: DateTime<Utc>,
    /// How many.
    pub count: i64,
    /// What brought that.
    pub origin: Origin,
}

/// How a number grew between the first and the last time at which it is known in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// In how many snapshots of the window it was told.
    pub n: i64,
    /// The first time; `None` where it was not told.
    pub from: Option<End>,
    /// The last.
    pub to: Option<End>,
    /// How many more there were.
    pub absolute: Result<i64, Missing>,
    /// The same in per cent of what there was.
    pub percent: Result<f64, Missing>,
    /// How many more there were in a week, on average.
    pub weekly: Result<f64, Missing>,
}

impl Growth {
    /// Of what was counted; `None` is nothing.
    pub fn of(counted: Option<&Counted>) -> Self {
        let Some(counted) = counted else {
            let none = Missing::NotTold;
            return Self { n: 0, from: None, to: None, absolute: Err(none), percent: Err(none), weekly: Err(none) };
        };
        let origin = Origin { run_id: counted.from_run_id, seq: counted.from_seq };
        let from = End { at: counted.from_at, count: counted.from_count, origin };
        let origin = Origin { run_id: counted.to_run_id, seq: counted.to_seq };
        let to = End { at: counted.to_at, count: counted.to_count, origin };
        let seconds = seconds_between(from.at, to.at);
        // Seen at one moment only, it can have grown by anything.
        let absolute = if seconds > 0.0 { Ok(to.count - from.count) } else { Err(Missing::TooFew) };
        let percent = absolute.and_then(|grown| percent(grown as f64, from.count as f64));
        let weekly = absolute.and_then(|grown| match seconds {
            long if long >= SPAN_AT_LEAST => Ok(grown as f64 * WEEK / long),
            _ => Err(Missing::TooShort),
        });
        Self { n: counted.snapshots, from: Some(from), to: Some(to), absolute, percent, weekly }
    }
}

/// A part in per cent of its base.
pub(super) fn percent(part: f64, base: f64) -> Result<f64, Missing> {
    if base > 0.0 { Ok(100.0 * part / base) } else { Err(Missing::ZeroBase) }
}

/// Hours from one time to another.
pub fn hours_between(from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    seconds_between(from, until) / 3600.0
}

/// Seconds from one time to another.
pub(super) fn seconds_between(from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    let microseconds = (until - from).num_microseconds();
    microseconds.map_or_else(|| (until - from).num_seconds() as f64, |microseconds| microseconds as f64 / 1e6)
}
