//! The posts of a window, with the snapshots that say what they had and when.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Origin, Window};
use crate::db::RunId;

/// A number of followers, and how far from the time that is asked for it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// How many.
    pub followers: i64,
    /// Seconds between the time asked for and the nearest at which it was seen; 0 where it was true then.
    pub seconds: f64,
    /// What brought that number.
    pub origin: Origin,
}

/// Numbers of a post as one snapshot tells them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// When they were last seen.
    pub at: DateTime<Utc>,
    /// Likes.
    pub likes: i64,
    /// Comments.
    pub comments: i64,
    /// Plays or views, where these are asked for, else 0.
    pub base: i64,
    /// What brought them.
    pub origin: Origin,
}

/// A post of an account, as analytics look at it.
#[derive(Clone, Debug)]
pub struct Post {
    /// The code in its address.
    pub shortcode: String,
    /// When it was published.
    pub taken_at: DateTime<Utc>,
    /// Its weekday in the time zone of the window: 1 is Monday, 7 is Sunday.
    pub weekday: i32,
    /// Its hour there, 0 to 23.
    pub hour: i32,
    /// Whether it is a reel.
    pub is_reel: bool,
    /// Its hashtags, in lower case; `None` where its caption was not read for them yet.
    pub hashtags: Option<Vec<String>>,
    /// Whom it mentions; `None` as in `hashtags`.
    pub mentions: Option<Vec<String>>,
    /// The followers of the account when it was published, from the nearest snapshot; `None` where none is near.
    pub followers: Option<Distance>,
    /// Whether the owner hides its likes; `None` where no number was ever seen.
    pub likes_hidden: Option<bool>,
    /// The latest likes and comments.
    pub engagement: Option<Seen>,
    /// Of a reel the latest likes, comments and plays.
    pub plays: Option<Seen>,
    /// Of a reel the latest likes, comments and views.
    pub views: Option<Seen>,
}

/// The latest posts that were published in the window, newest first, at most so many.
pub async fn posts(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    window: &Window,
    followers_within_hours: f64,
    limit: i64,
) -> sqlx::Result<Vec<Post>> {
    let rows = sqlx::query!(
        r#"
        select m.shortcode, m.taken_at as "taken_at!",
               extract(isodow from m.taken_at at time zone $4)::integer as "weekday!",
               extract(hour from m.taken_at at time zone $4)::integer as "hour!",
               m.is_reel, m.hashtags, m.mentions,
               near.followers_count as "followers?", near.seconds as "seconds?",
               near.run_id as "near_run_id?: RunId", near.seq as "near_seq?", newest.likes_hidden as "likes_hidden?",
               told.at as "told_at?", told.likes_count as "likes?", told.comments_count as "comments?",
               told.run_id as "told_run_id?: RunId", told.seq as "told_seq?",
               played.at as "played_at?", played.likes_count as "played_likes?",
               played.comments_count as "played_comments?", played.plays_count as "plays?",
               played.run_id as "played_run_id?: RunId", played.seq as "played_seq?",
               viewed.at as "viewed_at?", viewed.likes_count as "viewed_likes?",
               viewed.comments_count as "viewed_comments?", viewed.views_count as "views?",
               viewed.run_id as "viewed_run_id?: RunId", viewed.seq as "viewed_seq?"
        from (
            select * from media
            where profile_id = $1 and taken_at >= $2 and taken_at < $3
            order by taken_at desc, shortcode
            limit $6
        ) as m
        -- The followers that were true when it was published, or else those seen nearest to it.
        left join lateral (
            select followers_count, seconds, run_id, seq
            from (
                (select followers_count, observed_from, run_id, seq,
                        greatest(extract(epoch from m.taken_at - observed_until), 0)::float8 as seconds
                 from profile_snapshots
                 where profile_id = m.profile_id and observed_from <= m.taken_at and followers_count is not null
                 order by observed_from desc limit 1)
                union all
                (select followers_count, observed_from, run_id, seq,
                        extract(epoch from observed_from - m.taken_at)::float8
                 from profile_snapshots
                 where profile_id = m.profile_id and observed_from > m.taken_at and observed_from <= $3
                     and followers_count is not null
                 order by observed_from limit 1)
            ) as sides
            where seconds <= $5::float8 * 3600
            order by seconds, observed_from
            limit 1
        ) as near on true
        left join lateral (
            select s.likes_hidden
            from media_snapshots s
            where s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.observed_from <= $3
            order by s.observed_from desc limit 1
        ) as newest on true
        left join lateral (
            select least(s.observed_until, $3) as at, s.likes_count, s.comments_count, s.run_id, s.seq
            from media_snapshots s
            where s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.observed_from <= $3
                and num_nulls(s.likes_count, s.comments_count) = 0
            order by s.observed_from desc limit 1
        ) as told on true
        left join lateral (
            select least(s.observed_until, $3) as at, s.likes_count, s.comments_count, s.plays_count, s.run_id,
                   s.seq
            from media_snapshots s
            where m.is_reel and s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.observed_from <= $3
                and num_nulls(s.likes_count, s.comments_count, s.plays_count) = 0
            order by s.observed_from desc limit 1
        ) as played on true
        left join lateral (
            select least(s.observed_until, $3) as at, s.likes_count, s.comments_count, s.views_count, s.run_id,
                   s.seq
            from media_snapshots s
            where m.is_reel and s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.observed_from <= $3
                and num_nulls(s.likes_count, s.comments_count, s.views_count) = 0
            order by s.observed_from desc limit 1
        ) as viewed on true
        order by m.taken_at desc, m.shortcode
        "#,
        profile_id,
        window.since,
        window.until,
        &window.time_zone,
        followers_within_hours,
        limit,
    )
    .fetch_all(db)
    .await?;
    let posts = rows.into_iter().map(|row| Post {
        followers: near(row.followers, row.seconds, Origin::of(row.near_run_id, row.near_seq)),
        engagement: seen(row.told_at, (row.likes, row.comments, Some(0)), Origin::of(row.told_run_id, row.told_seq)),
        plays: seen(
            row.played_at,
            (row.played_likes, row.played_comments, row.plays),
            Origin::of(row.played_run_id, row.played_seq),
        ),
        views: seen(
            row.viewed_at,
            (row.viewed_likes, row.viewed_comments, row.views),
            Origin::of(row.viewed_run_id, row.viewed_seq),
        ),
        shortcode: row.shortcode,
        taken_at: row.taken_at,
        weekday: row.weekday,
        hour: row.hour,
        is_reel: row.is_reel,
        hashtags: row.hashtags,
        mentions: row.mentions,
        likes_hidden: row.likes_hidden,
    });
    Ok(posts.collect())
}

fn near(followers: Option<i64>, seconds: Option<f64>, origin: Option<Origin>) -> Option<Distance> {
    Some(Distance { followers: followers?, seconds: seconds?, origin: origin? })
}

/// Likes, comments and what else is asked for, as one snapshot tells them.
fn seen(
    at: Option<DateTime<Utc>>,
    (likes, comments, base): (Option<i64>, Option<i64>, Option<i64>),
    origin: Option<Origin>,
) -> Option<Seen> {
    Some(Seen { at: at?, likes: likes?, comments: comments?, base: base?, origin: origin? })
}
