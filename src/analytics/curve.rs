//! A post's numbers at an age, so that posts of different days can be laid side by side.

use chrono::{DateTime, TimeDelta, Utc};

use super::growth::hours_between;
use super::{Missing, POSTS_AT_LEAST, Spread};
use crate::db::analytics::{Around, Segment};

/// The ages at which posts are compared, in hours: an hour, six, a day, three, a week, four weeks.
pub const AGES: [f64; 6] = [1.0, 6.0, 24.0, 72.0, 168.0, 672.0];

/// What was seen before an age and after it may lie this far apart, as a multiple of the age …
const APART_OF_AGE: f64 = 1.5;

/// … and so many hours apart at any age.
const APART_HOURS: f64 = 8.0;

/// A number at an age.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtAge {
    /// The number.
    pub value: f64,
    /// Whether it was not seen then, but lies on the line between what was seen before and after.
    pub is_interpolated: bool,
}

/// The number of a post at an age in hours, from what was seen around it. What was true then is taken as it is; else it
/// lies on the line between both sides. With one side alone there is none: nothing is drawn beyond what was seen. Nor is
/// there one beyond the end of what is looked at.
pub fn at_age(
    taken_at: DateTime<Utc>,
    hours: f64,
    around: Option<&Around>,
    until: DateTime<Utc>,
) -> Result<AtAge, Missing> {
    let due = taken_at + TimeDelta::milliseconds((hours * 3_600_000.0) as i64);
    if due > until {
        return Err(Missing::TooYoung);
    }
    let Around { before, after } = around.ok_or(Missing::NotSeenAround)?;
    if before.at >= due {
        return Ok(AtAge { value: before.count, is_interpolated: false });
    }
    let after = after.ok_or(Missing::NotSeenAround)?;
    let apart = hours_between(before.at, after.at);
    if apart > (APART_OF_AGE * hours).max(APART_HOURS) {
        return Err(Missing::TooFarApart);
    }
    let share = hours_between(before.at, due) / apart;
    Ok(AtAge { value: before.count + (after.count - before.count) * share, is_interpolated: true })
}

/// The numbers of a post at each of [`AGES`].
pub type Ages = [Result<AtAge, Missing>; AGES.len()];

/// How much was gained in an hour of a segment.
pub fn per_hour(segment: &Segment) -> f64 {
    (segment.until_count as f64 - segment.from_count as f64) / hours_between(segment.from, segment.until)
}

/// How fast posts gain between two ages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Velocity {
    /// The earlier age in hours.
    pub from_hours: f64,
    /// The later one.
    pub until_hours: f64,
    /// What they gain in an hour.
    pub per_hour: Spread,
}

/// The curves of many posts laid on each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// How their numbers are spread at each of [`AGES`].
    pub ages: Vec<Spread>,
    /// How fast they gain from each age to the next, of those that are known at both.
    pub velocities: Vec<Velocity>,
}

impl Curve {
    /// Lays curves on each other.
    pub fn of<'a>(curves: impl Iterator<Item = &'a Ages> + Clone) -> Self {
        let known = |age: usize| curves.clone().filter_map(move |ages| Some(ages[age].ok()?.value));
        let ages = (0..AGES.len()).map(|age| Spread::of(known(age), POSTS_AT_LEAST)).collect();
        let velocity = |age: usize| {
            let (from_hours, until_hours) = (AGES[age], AGES[age + 1]);
            let gained = curves.clone().filter_map(|ages| {
                let (from, until) = (ages[age].ok()?.value, ages[age + 1].ok()?.value);
                Some((until - from) / (until_hours - from_hours))
            });
            Velocity { from_hours, until_hours, per_hour: Spread::of(gained, POSTS_AT_LEAST) }
        };
        Self { ages, velocities: (0..AGES.len() - 1).map(velocity).collect() }
    }
}
