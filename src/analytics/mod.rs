//! What an account's history says: growth, engagement, curves, habits, and what is out of the ordinary.
//!
//! The database finds what was seen (`db::analytics`); what is made of it is here, in functions that know no database
//! and no clock. docs/ANALYTICS.md has each formula with its source and its denominator.
//!
//! What was hidden, not told or not seen takes part in nothing and is never 0: where a number cannot be had, [`Missing`] says
//! why, and beside each stands of how many it was made.

mod account;
mod anomalies;
mod cadence;
mod curve;
mod engagement;
mod growth;
mod heat_map;
mod lift;
mod performance;
mod statistics;
#[cfg(test)]
mod tests;

pub use account::{Analysis, POSTS_AT_MOST, Posts, of_account, posts_of_account};
pub use anomalies::{Anomalies, Anomaly, Change, Ordinary};
pub use cadence::{Cadence, Covered, Pause};
pub use curve::{AGES, Ages, AtAge, Curve, Velocity, at_age, per_hour};
pub use engagement::{AnalysedPost, Engagement, LeftOut, Reels};
pub use growth::{End, GAPS_AT_MOST, Growth, IS_GAP_HOURS, hours_between};
pub use heat_map::{HeatMap, Week};
pub use lift::{Lift, Lifts, TAGS_AT_MOST};
pub use performance::{Performance, Standing};
pub use statistics::{Quartiles, Scale, Spread, THRESHOLD};

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// It was not told at any time in the window.
    NotTold,
    /// The owner hides the likes.
    LikesHidden,
    /// There are too few to make it of.
    TooFew,
    /// It was seen over too short a time.
    TooShort,
    /// It would be divided by 0.
    ZeroBase,
    /// No followers were seen near enough to the time of publishing.
    FollowersUnknown,
    /// The post was younger than a day when its numbers were last seen, or has not reached the age yet.
    TooYoung,
    /// Nothing was seen before the age, or nothing after it.
    NotSeenAround,
    /// What was seen before the age and after it lies too far apart.
    TooFarApart,
    /// All are equal.
    AllEqual,
}

/// Quartiles and medians of posts are told from so many on.
const POSTS_AT_LEAST: usize = 5;
