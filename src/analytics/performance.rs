//! How a post does beside the account's other posts when they were as old.

use super::curve::{AGES, Ages};
use super::{Missing, Spread};

/// Where a number stands to the middle half of an account's posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Above its third quartile.
    Above,
    /// Between both quartiles, themselves included.
    Within,
    /// Below its first quartile.
    Below,
}

/// A post beside all of the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Performance {
    /// The age at which they are compared, in hours: the greatest at which both are known.
    pub age_hours: f64,
    /// What the post had then.
    pub value: f64,
    /// What half of the posts had at most.
    pub median: f64,
    /// How many posts these are, itself among them.
    pub n: usize,
    /// How many times the median it had.
    pub ratio: Result<f64, Missing>,
    /// Where it stands.
    pub standing: Standing,
}

/// Compares a post's numbers with how those of all are spread at each age.
pub(super) fn compare(post: &Ages, all: &[Spread]) -> Result<Performance, Missing> {
    let known = || (0..AGES.len()).rev().filter_map(|age| Some((age, post[age].ok()?.value)));
    let compared = known().find_map(|(age, value)| Some((age, value, all.get(age)?.quartiles.ok()?)));
    let Some((age, value, quartiles)) = compared else {
        return Err(if known().next().is_some() { Missing::TooFew } else { Missing::NotSeenAround });
    };
    let standing = match value {
        value if value > quartiles.q3 => Standing::Above,
        value if value < quartiles.q1 => Standing::Below,
        _ => Standing::Within,
    };
    let ratio = if quartiles.median > 0.0 { Ok(value / quartiles.median) } else { Err(Missing::ZeroBase) };
    Ok(Performance { age_hours: AGES[age], value, median: quartiles.median, n: all[age].n, ratio, standing })
}
