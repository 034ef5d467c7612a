//! Numbers over time: a post's rise fast and then level off, an account's followers drift.
//!
//! All of it is a pure function of the moment, so two scrapes a few seconds apart differ a little, as real ones do.

use chrono::{DateTime, Utc};

use super::dice::Dice;
use super::posts::{Kind, Post};
use super::world::{Account, BEGINNING_MS, World};

const DAY_MS: f64 = 86_400_000.0;
/// Followers come and go in steps of this many milliseconds.
const DRIFT_STEP_MS: i64 = 5_000;

/// What a post's numbers are at one moment, before anything is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Likes.
    pub(super) likes: i64,
    /// Comments.
    pub(super) comments: i64,
    /// How often a video was started; always more than `views`. `None` for a picture.
    pub(super) plays: Option<i64>,
    /// A video's views. `None` for a picture.
    pub(super) views: Option<i64>,
}

impl World {
    /// A post's numbers at a moment. None of them ever falls.
    pub(super) fn numbers(self, post: &Post, now: DateTime<Utc>) -> Numbers {
        let mut dice = Dice::new(self.seed, "growth", post.pk as u64);
        let age_days = (now.timestamp_millis() - post.created_ms).max(0) as f64 / DAY_MS;
        // Half of what it will have after half a day to three days.
        let half_life = 0.5 + 2.5 * dice.unit();
        let level = 1.0 - (-age_days * std::f64::consts::LN_2 / half_life).exp();
        let like_rate = dice.log_normal(0.05, 0.5);
        let comment_rate = dice.log_normal(0.02, 0.6).min(0.2);
        let view_rate = 0.18 + 0.3 * dice.unit();
        let is_video = matches!(post.kind, Kind::Reel | Kind::Video);
        // A reel is shown to far more people than follow.
        let shown = post.reach * if post.kind == Kind::Reel { 1.0 + 4.0 * dice.unit() } else { 1.0 } * level;
        let likes = (shown * like_rate) as i64;
        let plays = is_video.then(|| shown as i64 + likes + 1);
        Numbers {
            likes,
            comments: (likes as f64 * comment_rate) as i64,
            plays,
            views: plays.map(|plays| (plays as f64 * view_rate) as i64),
        }
    }

    /// An account's followers at a moment: a slow trend, and people who come and go.
    pub(super) fn followers(self, account: &Account, now: DateTime<Utc>) -> i64 {
        let now_ms = now.timestamp_millis();
        let years = (now_ms - BEGINNING_MS) as f64 / (365.0 * DAY_MS);
        let trend = account.followers * (1.0 + account.yearly_gain * years).clamp(0.5, 4.0);
        let step = now_ms.div_euclid(DRIFT_STEP_MS) as u64;
        let swing = 2.0 + account.followers.sqrt() / 40.0;
        let drift = (Dice::new(self.seed, "drift", account.key ^ (step << 20)).unit() * 2.0 - 1.0) * swing;
        (trend + drift).max(0.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::instagram::Username;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn numbers_of(world: World, name: &str, now: DateTime<Utc>, later: TimeDelta) -> Vec<(Numbers, Numbers)> {
        let account = world.account(&Username::parse(name).unwrap());
        let shelf = world.shelf(&account, now);
        let posts = shelf.rest.iter().map(|pk| world.post(&account, *pk, false));
        posts.map(|post| (world.numbers(&post, now), world.numbers(&post, now + later))).collect()
    }

    #[test]
    fn no_number_of_a_post_falls_and_plays_exceed_views() {
        let world = World { seed: 5 };
        for name in ["a", "b", "c"] {
            for (before, after) in numbers_of(world, name, at("2026-11-22T00:00:00Z"), TimeDelta::days(3)) {
                assert!(after.likes >= before.likes && after.comments >= before.comments);
                assert!(after.plays >= before.plays && after.views >= before.views);
                assert!(before.plays.is_none() || before.plays > before.views);
                assert_eq!(before.plays.is_some(), before.views.is_some());
            }
        }
    }

    #[test]
    fn a_few_seconds_change_some_numbers_and_leave_others() {
        let world = World { seed: 5 };
        let pairs: Vec<_> = (0..10)
            .flat_map(|n| numbers_of(world, &format!("n{n}"), at("2026-11-22T00:00:00Z"), TimeDelta::seconds(10)))
            .collect();
        let changed = pairs.iter().filter(|(before, after)| before != after).count();
        assert!(changed > 0, "something grows");
        assert!(changed < pairs.len(), "something rests");
    }

    #[test]
    fn followers_drift_a_little() {
        let world = World { seed: 5 };
        let account = world.account(&Username::parse("nasa").unwrap());
        let now = at("2026-11-22T00:00:00Z");
        let seen: Vec<i64> = (0..12).map(|n| world.followers(&account, now + TimeDelta::seconds(5 * n))).collect();
        assert!(seen.iter().any(|count| *count != seen[0]), "{seen:?}");
        let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!((most - least) as f64 <= 4.0 + account.followers.sqrt() / 10.0, "{seen:?}");
    }
}
