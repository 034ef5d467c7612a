//! The posts of a window, told together.

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Engagement, Spread};
use super::post::Compared;
use crate::analytics::{self, AGES, Analysis, Curve, Posts, Standing};

/// The posts that did best are told so many.
const BEST: usize = 5;

/// The posts of the window.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PostsKnown {
    /// How many are known that were published in the window.
    #[schema(example = 43)]
    n: usize,
    /// How many of these are reels.
    #[schema(example = 17)]
    reels: usize,
    /// Whether there are more: the latest 2000 are looked at.
    is_cut: bool,
    /// Posts of the account whose time of publishing is not known; they are in no window.
    undated: i64,
}

impl From<&Analysis> for PostsKnown {
    fn from(analysis: &Analysis) -> Self {
        let posts = &analysis.posts.posts;
        Self {
            n: posts.len(),
            reels: posts.iter().filter(|post| post.post.is_reel).count(),
            is_cut: analysis.posts.is_cut,
            undated: analysis.reach.undated,
        }
    }
}

/// Likes and comments at an age, over all posts.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EngagementAtAge {
    /// The age.
    #[schema(example = 24.0)]
    age_hours: f64,
    likes_and_comments: Spread,
}

/// Likes and comments of the posts.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EngagementOfAll {
    /// Likes and comments on the followers at publish.
    on_followers: Engagement,
    /// Likes and comments when the posts were as old.
    curve: Vec<EngagementAtAge>,
}

impl From<&Posts> for EngagementOfAll {
    fn from(posts: &Posts) -> Self {
        let at_age = |(age_hours, spread): (f64, &analytics::Spread)| EngagementAtAge {
            age_hours,
            likes_and_comments: spread.into(),
        };
        let curve = AGES.into_iter().zip(&posts.curve.ages).map(at_age).collect();
        Self { on_followers: (&posts.engagement()).into(), curve }
    }
}

/// Plays at an age, over all reels.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PlaysAtAge {
    /// The age.
    #[schema(example = 24.0)]
    age_hours: f64,
    plays: Spread,
}

/// How fast reels are played from one age to the next.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Velocity {
    /// The earlier age.
    #[schema(example = 6.0)]
    from_age_hours: f64,
    /// The later one.
    #[schema(example = 24.0)]
    until_age_hours: f64,
    plays_per_hour: Spread,
}

/// The reels among the posts.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Reels {
    /// How many.
    #[schema(example = 17)]
    n: usize,
    /// Likes and comments on plays (`plays_count`).
    on_plays: Engagement,
    /// Likes and comments on views (`views_count`), which are another number.
    on_views: Engagement,
    /// Plays when the reels were as old.
    curve: Vec<PlaysAtAge>,
    velocity: Vec<Velocity>,
}

impl From<&Posts> for Reels {
    fn from(posts: &Posts) -> Self {
        let (reels, Curve { ages, velocities }) = (posts.reels(), &posts.plays);
        let at_age = |(age_hours, spread): (f64, &analytics::Spread)| PlaysAtAge { age_hours, plays: spread.into() };
        let velocity = |velocity: &analytics::Velocity| Velocity {
            from_age_hours: velocity.from_hours,
            until_age_hours: velocity.until_hours,
            plays_per_hour: (&velocity.per_hour).into(),
        };
        Self {
            n: reels.n,
            on_plays: (&reels.on_plays).into(),
            on_views: (&reels.on_views).into(),
            curve: AGES.into_iter().zip(ages).map(at_age).collect(),
            velocity: velocities.iter().map(velocity).collect(),
        }
    }
}

/// A post that did well.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Best {
    /// The code in its address.
    #[schema(example = "DAbc123xyz_")]
    shortcode: String,
    likes_and_comments: Compared,
}

/// How many posts stand where to the middle half of all when they were as old.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PerformanceOfAll {
    /// How many posts are compared.
    #[schema(example = 39)]
    n: usize,
    /// How many had more likes and comments than the middle half.
    #[schema(example = 9)]
    above: usize,
    /// How many are of it.
    #[schema(example = 21)]
    within: usize,
    /// How many had fewer.
    #[schema(example = 9)]
    below: usize,
    /// The five that had most, as a multiple of the median.
    best: Vec<Best>,
}

impl From<&Posts> for PerformanceOfAll {
    fn from(posts: &Posts) -> Self {
        let compared: Vec<_> =
            posts.posts.iter().filter_map(|post| Some((post, post.performance.as_ref().ok()?))).collect();
        let standing = |wanted| compared.iter().filter(|(_, performance)| performance.standing == wanted).count();
        let mut best: Vec<_> =
            compared.iter().filter_map(|(post, performance)| Some((performance.ratio.ok()?, *post))).collect();
        best.sort_by(|one, other| other.0.total_cmp(&one.0));
        let best = best.into_iter().take(BEST).map(|(_, post)| Best {
            shortcode: post.post.shortcode.clone(),
            likes_and_comments: (&post.performance).into(),
        });
        Self {
            n: compared.len(),
            above: standing(Standing::Above),
            within: standing(Standing::Within),
            below: standing(Standing::Below),
            best: best.collect(),
        }
    }
}
