//! Numbers of posts around an age, and from one snapshot to the next.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Origin, Window};
use crate::db::RunId;

/// What was seen, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: DateTime<Utc>,
    /// How many.
    pub count: f64,
}

/// What was seen around a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Around {
    /// The last that was seen until then; at that very time, where a snapshot says that it was true then.
    pub before: Point,
    /// The first that was seen after it; `None` where nothing was, or none is needed.
    pub after: Option<Point>,
}

/// The same with what brought both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenAround {
    /// What was seen.
    pub around: Around,
    /// What brought `before`.
    pub before: Origin,
    /// What brought `after`.
    pub after: Option<Origin>,
}

fn around_of(
    (before, before_at): (Option<f64>, Option<DateTime<Utc>>),
    (after, after_at): (Option<f64>, Option<DateTime<Utc>>),
) -> Option<Around> {
    let point = |(count, at)| Point { at, count };
    Some(Around { before: before.zip(before_at).map(point)?, after: after.zip(after_at).map(point) })
}

/// What was seen of a post around an age.
#[derive(Clone, Debug)]
pub struct AtAge {
    /// The code in its address.
    pub shortcode: String,
    /// Which of the ages that were asked for, from 0 on.
    pub age: usize,
    /// Likes and comments together.
    pub engagement: Option<Around>,
    /// Of a reel its plays.
    pub plays: Option<Around>,
}

/// What was seen of the latest posts of the window, at most so many, around each of these ages in hours; what was not
/// seen at all by then is left out.
pub async fn at_ages(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    window: &Window,
    ages: &[f64],
    limit: i64,
) -> sqlx::Result<Vec<AtAge>> {
    let rows = sqlx::query!(
        r#"
        select m.shortcode, ages.n as "n!",
               before.count as "before?", before.at as "before_at?", after.count as "after?", after.at as "after_at?",
               played.count as "played?", played.at as "played_at?",
               played_after.count as "played_after?", played_after.at as "played_after_at?"
        from (
            select profile_id, shortcode, taken_at, is_reel from media
            where profile_id = $1 and taken_at >= $2 and taken_at < $3
            order by taken_at desc, shortcode
            limit $5
        ) as m
        cross join unnest($4::float8[]) with ordinality as ages (hours, n)
        cross join lateral (select m.taken_at + make_interval(secs => ages.hours * 3600) as at) as due
        left join lateral (
            select s.likes_count::float8 + s.comments_count::float8 as count, least(s.observed_until, due.at) as at
            from media_snapshots s
            where s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.observed_from <= due.at
                and num_nulls(s.likes_count, s.comments_count) = 0
            order by s.observed_from desc limit 1
        ) as before on true
        left join lateral (
            select s.likes_count::float8 + s.comments_count::float8 as count, s.observed_from as at
            from media_snapshots s
            where before.at < due.at and s.profile_id = m.profile_id and s.shortcode = m.shortcode
                and s.observed_from > due.at and s.observed_from <= $3
                and num_nulls(s.likes_count, s.comments_count) = 0
            order by s.observed_from limit 1
        ) as after on true
        left join lateral (
            select s.plays_count::float8 as count, least(s.observed_until, due.at) as at
            from media_snapshots s
            where m.is_reel and s.profile_id = m.profile_id and s.shortcode = m.shortcode
                and s.observed_from <= due.at and s.plays_count is not null
            order by s.observed_from desc limit 1
        ) as played on true
        left join lateral (
            select s.plays_count::float8 as count, s.observed_from as at
            from media_snapshots s
            where played.at < due.at and s.profile_id = m.profile_id and s.shortcode = m.shortcode
                and s.observed_from > due.at and s.observed_from <= $3 and s.plays_count is not null
            order by s.observed_from limit 1
        ) as played_after on true
        where due.at <= $3 and (before.count is not null or played.count is not null)
        "#,
        profile_id,
        window.since,
        window.until,
        ages,
        limit,
    )
    .fetch_all(db)
    .await?;
    let at_age = rows.into_iter().map(|row| AtAge {
        shortcode: row.shortcode,
        age: super::super::index(row.n),
        engagement: around_of((row.before, row.before_at), (row.after, row.after_at)),
        plays: around_of((row.played, row.played_at), (row.played_after, row.played_after_at)),
    });
    Ok(at_age.collect())
}

/// A number of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// `plays_count`.
    Plays,
    /// `views_count`.
    Views,
    /// `likes_count`.
    Likes,
    /// `comments_count`.
    Comments,
}

impl Number {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plays => "plays",
            Self::Views => "views",
            Self::Likes => "likes",
            Self::Comments => "comments",
        }
    }
}

/// What was seen of one post around each of these ages in hours, in their order; `None` where nothing was by then. Ages
/// that it has not reached yet are not there at all.
pub async fn around(
    db: impl PgExecutor<'_>,
    (profile_id, shortcode): (i64, &str),
    number: Number,
    ages: &[f64],
) -> sqlx::Result<Vec<Option<SeenAround>>> {
    let rows = sqlx::query!(
        r#"
        select before.count as "before?", before.at as "before_at?", before.run_id as "before_run_id?: RunId",
               before.seq as "before_seq?", after.count as "after?", after.at as "after_at?",
               after.run_id as "after_run_id?: RunId", after.seq as "after_seq?"
        from media m
        cross join unnest($4::float8[]) with ordinality as ages (hours, n)
        cross join lateral (select m.taken_at + make_interval(secs => ages.hours * 3600) as at) as due
        left join lateral (
            select told.count::float8 as count, least(s.observed_until, due.at) as at, s.run_id, s.seq
            from media_snapshots s
            cross join lateral (
                select case $3 when 'plays' then s.plays_count when 'views' then s.views_count
                               when 'likes' then s.likes_count when 'comments' then s.comments_count end as count
            ) as told
            where s.profile_id = $1 and s.shortcode = $2 and s.observed_from <= due.at and told.count is not null
            order by s.observed_from desc limit 1
        ) as before on true
        left join lateral (
            select told.count::float8 as count, s.observed_from as at, s.run_id, s.seq
            from media_snapshots s
            cross join lateral (
                select case $3 when 'plays' then s.plays_count when 'views' then s.views_count
                               when 'likes' then s.likes_count when 'comments' then s.comments_count end as count
            ) as told
            where before.at < due.at and s.profile_id = $1 and s.shortcode = $2 and s.observed_from > due.at
                and told.count is not null
            order by s.observed_from limit 1
        ) as after on true
        where m.profile_id = $1 and m.shortcode = $2 and due.at <= now()
        order by ages.n
        "#,
        profile_id,
        shortcode,
        number.as_str(),
        ages,
    )
    .fetch_all(db)
    .await?;
    let seen = rows.into_iter().map(|row| {
        Some(SeenAround {
            around: around_of((row.before, row.before_at), (row.after, row.after_at))?,
            before: Origin::of(row.before_run_id, row.before_seq)?,
            after: Origin::of(row.after_run_id, row.after_seq),
        })
    });
    Ok(seen.collect())
}

/// What became of a number of a post from one time at which it was seen to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The earlier time.
    pub from: DateTime<Utc>,
    /// The later one.
    pub until: DateTime<Utc>,
    /// What it was then.
    pub from_count: i64,
    /// What it was later.
    pub until_count: i64,
}

/// The segments of a number of a post behind a place, in their order. A snapshot that was seen again gives one in which
/// nothing changes, and what lies between two snapshots another.
pub async fn segments(
    db: impl PgExecutor<'_>,
    (profile_id, shortcode): (i64, &str),
    number: Number,
    after: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<Vec<Segment>> {
    sqlx::query_as!(
        Segment,
        r#"
        with seen as (
            select s.observed_from, s.observed_until, told.count,
                   lead(s.observed_from) over next as next_from, lead(told.count) over next as next_count
            from media_snapshots s
            cross join lateral (
                select case $3 when 'plays' then s.plays_count when 'views' then s.views_count
                               when 'likes' then s.likes_count when 'comments' then s.comments_count end as count
            ) as told
            where s.profile_id = $1 and s.shortcode = $2 and told.count is not null
                and s.observed_until >= coalesce($4::timestamptz, '-infinity')
            window next as (order by s.observed_from)
            order by s.observed_from
            -- A snapshot gives one segment at least, but for the last.
            limit $5::bigint + 2
        )
        select segment.began as "from!", segment.ended as "until!", segment.count as "from_count!",
               segment.later as "until_count!"
        from seen
        cross join lateral (
            values (observed_from, observed_until, count, count), (observed_until, next_from, count, next_count)
        ) as segment (began, ended, count, later)
        where segment.ended > segment.began and segment.began > coalesce($4::timestamptz, '-infinity')
        order by segment.began
        limit $5
        "#,
        profile_id,
        shortcode,
        number.as_str(),
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
