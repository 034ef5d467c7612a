//! What share of those who could see a post did something with it.

use std::collections::BTreeMap;

use super::curve::Ages;
use super::growth::{hours_between, percent};
use super::performance::Performance;
use super::{Missing, POSTS_AT_LEAST, Spread};
use crate::db::analytics::{Post, Seen};

/// A post counts among others once its numbers were seen at this age, in hours.
const SETTLED_HOURS: f64 = 24.0;

/// A post with what is made of it.
#[derive(Clone, Debug)]
pub struct AnalysedPost {
    /// The post as it was found.
    pub post: Post,
    /// Likes and comments in per cent of the followers at publish.
    pub on_followers: Result<f64, Missing>,
    /// Of a reel likes and comments in per cent of its plays.
    pub on_plays: Result<f64, Missing>,
    /// Of a reel likes and comments in per cent of its views.
    pub on_views: Result<f64, Missing>,
    /// Likes and comments at each age.
    pub engagement: Ages,
    /// Of a reel its plays at each age.
    pub plays: Ages,
    /// How its likes and comments stand among those of the others.
    pub performance: Result<Performance, Missing>,
    /// Of a reel how its plays do.
    pub plays_performance: Result<Performance, Missing>,
}

impl AnalysedPost {
    /// A post with its curves, not held against the others yet.
    pub(super) fn of(post: Post, engagement: Ages, plays: Ages) -> Self {
        let on_followers = seen(&post, post.engagement).and_then(|seen| {
            let followers = post.followers.ok_or(Missing::FollowersUnknown)?;
            percent(sum(seen), followers.followers as f64)
        });
        let of_base = |base| seen(&post, base).and_then(|seen| percent(sum(seen), seen.base as f64));
        let (on_plays, on_views) = (of_base(post.plays), of_base(post.views));
        let open = Err(Missing::NotSeenAround);
        let (performance, plays_performance) = (open.clone(), open);
        Self { post, on_followers, on_plays, on_views, engagement, plays, performance, plays_performance }
    }

    /// How old it was when its latest likes and comments were seen, in hours.
    pub fn age_hours(&self) -> Option<f64> {
        self.post.engagement.map(|seen| self.age(seen))
    }

    /// What it has on its followers, where it counts among others.
    pub(super) fn settled(&self) -> Result<f64, Missing> {
        self.once_settled(self.on_followers, self.post.engagement)
    }

    fn once_settled(&self, percent: Result<f64, Missing>, seen: Option<Seen>) -> Result<f64, Missing> {
        let is_settled = seen.is_some_and(|seen| self.age(seen) >= SETTLED_HOURS);
        percent.and_then(|percent| if is_settled { Ok(percent) } else { Err(Missing::TooYoung) })
    }

    fn age(&self, seen: Seen) -> f64 {
        hours_between(self.post.taken_at, seen.at)
    }
}

/// The numbers, unless the owner hides a part of them.
fn seen(post: &Post, seen: Option<Seen>) -> Result<Seen, Missing> {
    match post.likes_hidden {
        Some(true) => Err(Missing::LikesHidden),
        _ => seen.ok_or(Missing::NotTold),
    }
}

fn sum(seen: Seen) -> f64 {
    seen.likes as f64 + seen.comments as f64
}

/// How many posts have no part in a number, by why.
pub type LeftOut = BTreeMap<Missing, usize>;

/// The engagement of many posts.
#[derive(Clone, Debug, PartialEq)]
pub struct Engagement {
    /// How it is spread.
    pub percent: Spread,
    /// The posts that have no part in it.
    pub left_out: LeftOut,
}

impl Engagement {
    fn of(posts: impl Iterator<Item = Result<f64, Missing>>) -> Self {
        let (mut told, mut left_out) = (Vec::new(), LeftOut::new());
        for post in posts {
            match post {
                Ok(percent) => told.push(percent),
                Err(missing) => *left_out.entry(missing).or_default() += 1,
            }
        }
        Self { percent: Spread::of(told, POSTS_AT_LEAST), left_out }
    }

    /// On the followers at publish.
    pub(super) fn on_followers(posts: &[AnalysedPost]) -> Self {
        Self::of(posts.iter().map(AnalysedPost::settled))
    }
}

/// The engagement of reels, on what was told of how often they were seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Reels {
    /// How many there are.
    pub n: usize,
    /// On plays.
    pub on_plays: Engagement,
    /// On views.
    pub on_views: Engagement,
}

impl Reels {
    pub(super) fn of(posts: &[AnalysedPost]) -> Self {
        let reels = || posts.iter().filter(|post| post.post.is_reel);
        Self {
            n: reels().count(),
            on_plays: Engagement::of(reels().map(|reel| reel.once_settled(reel.on_plays, reel.post.plays))),
            on_views: Engagement::of(reels().map(|reel| reel.once_settled(reel.on_views, reel.post.views))),
        }
    }
}
