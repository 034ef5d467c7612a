//! All of it for one account and one window.

use std::collections::HashMap;

use super::anomalies::{Anomalies, Change};
use super::cadence::{Cadence, Covered};
use super::curve::{AGES, Ages, Curve, at_age};
use super::engagement::{AnalysedPost, Engagement, Reels};
use super::growth::{GAPS_AT_MOST, Growth, IS_GAP_HOURS};
use super::heat_map::HeatMap;
use super::lift::Lifts;
use super::performance::compare;
use crate::db::Pool;
use crate::db::analytics::{self, AtAge, Gaps, Metric, Reach, Window};

/// So many posts of a window are looked at, the latest.
pub const POSTS_AT_MOST: i64 = 2000;

/// The followers at publish are those that were seen within so many hours of it.
const FOLLOWERS_WITHIN_HOURS: f64 = 48.0;

/// What an account's history says.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// How its followers grew.
    pub followers: Growth,
    /// How the number of accounts that it follows did.
    pub following: Growth,
    /// How the number of its posts did.
    pub posts_count: Growth,
    /// When its followers were not seen.
    pub gaps: Gaps,
    /// Days on which its followers changed out of the ordinary.
    pub change_anomalies: Anomalies<Change>,
    /// How far its posts are known.
    pub reach: Reach,
    /// Its posts with what is made of them.
    pub posts: Posts,
    /// How often it publishes.
    pub cadence: Cadence,
}

/// Reads what was seen of an account, and makes all of it.
pub async fn of_account(db: &Pool, profile_id: i64, window: &Window) -> sqlx::Result<Analysis> {
    let counted = analytics::growth(db, profile_id, window).await?;
    let growth = |metric: Metric| Growth::of(counted.iter().find(|counted| counted.metric == metric));
    let gaps = analytics::gaps(db, profile_id, window, IS_GAP_HOURS, GAPS_AT_MOST).await?;
    let days = analytics::days(db, profile_id, window).await?;
    let reach = analytics::reach(db, profile_id).await?;
    let posts = posts_of_account(db, profile_id, window).await?;
    let times = || posts.posts.iter().map(|post| post.post.taken_at);
    let covered = Covered::of(window, &reach, times().min().filter(|_| posts.is_cut));
    Ok(Analysis {
        followers: growth(Metric::Followers),
        following: growth(Metric::Following),
        posts_count: growth(Metric::Posts),
        gaps,
        change_anomalies: Anomalies::of_days(&days),
        cadence: Cadence::of(times(), covered),
        reach,
        posts,
    })
}

/// The posts of a window, each held against all.
#[derive(Clone, Debug)]
pub struct Posts {
    /// The posts, newest first.
    pub posts: Vec<AnalysedPost>,
    /// Whether there are more than are looked at.
    pub is_cut: bool,
    /// Their likes and comments laid on each other.
    pub curve: Curve,
    /// The plays of the reels among them.
    pub plays: Curve,
}

/// Reads and analyses the posts of an account.
pub async fn posts_of_account(db: &Pool, profile_id: i64, window: &Window) -> sqlx::Result<Posts> {
    let found = analytics::posts(db, profile_id, window, FOLLOWERS_WITHIN_HOURS, POSTS_AT_MOST + 1).await?;
    let at_ages = analytics::at_ages(db, profile_id, window, &AGES, POSTS_AT_MOST).await?;
    Ok(Posts::of(found, at_ages, window))
}

impl Posts {
    fn of(mut found: Vec<analytics::Post>, at_ages: Vec<AtAge>, window: &Window) -> Self {
        let most = usize::try_from(POSTS_AT_MOST).unwrap_or(usize::MAX);
        let is_cut = found.len() > most;
        found.truncate(most);
        let mut seen: HashMap<String, [Option<AtAge>; AGES.len()]> = HashMap::new();
        for at_age in at_ages {
            let age = at_age.age;
            if let Some(place) = seen.entry(at_age.shortcode.clone()).or_default().get_mut(age) {
                *place = Some(at_age);
            }
        }
        let analysed = |post: analytics::Post| {
            let ages = seen.remove(&post.shortcode).unwrap_or_default();
            let curve = |around: fn(&AtAge) -> Option<&analytics::Around>| -> Ages {
                std::array::from_fn(|age| {
                    let around = ages[age].as_ref().and_then(around);
                    at_age(post.taken_at, AGES[age], around, window.until)
                })
            };
            let (engagement, plays) = (curve(|seen| seen.engagement.as_ref()), curve(|seen| seen.plays.as_ref()));
            AnalysedPost::of(post, engagement, plays)
        };
        let mut posts: Vec<AnalysedPost> = found.into_iter().map(analysed).collect();
        let curve = Curve::of(posts.iter().map(|post| &post.engagement));
        let plays = Curve::of(posts.iter().filter(|post| post.post.is_reel).map(|post| &post.plays));
        for post in &mut posts {
            post.performance = compare(&post.engagement, &curve.ages);
            post.plays_performance = compare(&post.plays, &plays.ages);
        }
        Self { posts, is_cut, curve, plays }
    }

    /// Their engagement on the followers at publish.
    pub fn engagement(&self) -> Engagement {
        Engagement::on_followers(&self.posts)
    }

    /// The engagement of the reels among them.
    pub fn reels(&self) -> Reels {
        Reels::of(&self.posts)
    }

    /// When they were published.
    pub fn heat_map(&self) -> HeatMap {
        HeatMap::of(&self.posts)
    }

    /// What hashtags bring.
    pub fn hashtags(&self) -> Lifts {
        Lifts::of(&self.posts, |post| post.hashtags.as_ref())
    }

    /// What mentions bring.
    pub fn mentions(&self) -> Lifts {
        Lifts::of(&self.posts, |post| post.mentions.as_ref())
    }

    /// Those whose engagement is out of the ordinary, by their places.
    pub fn anomalies(&self) -> Anomalies<usize> {
        Anomalies::of_posts(&self.posts)
    }
}
