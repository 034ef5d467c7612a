//! An account's numbers in a window.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgExecutor;

use super::Window;
use crate::db::RunId;

/// A number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Metric {
    /// `followers_count`.
    Followers,
    /// `following_count`.
    Following,
    /// `posts_count`.
    Posts,
}

/// Where one of an account's numbers stood at both ends of what is known of it in a window.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Which number.
    pub metric: Metric,
    /// In how many snapshots of the window it was told.
    pub snapshots: i64,
    /// The first time in the window at which it is known.
    pub from_at: DateTime<Utc>,
    /// What it was then.
    pub from_count: i64,
    /// The run that first saw that,
    pub from_run_id: RunId,
    /// and its event that says so.
    pub from_seq: i64,
    /// The last time in the window at which it is known.
    pub to_at: DateTime<Utc>,
    /// What it was then.
    pub to_count: i64,
    /// The run that first saw that,
    pub to_run_id: RunId,
    /// and its event that says so.
    pub to_seq: i64,
}

/// The ends of each number that was told in the window. Snapshots of an account follow each other, so what the window
/// begins in is the last one that began before it.
pub async fn growth(db: impl PgExecutor<'_>, profile_id: i64, window: &Window) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
        with seen as (
            select greatest(observed_from, $2) as seen_from, least(observed_until, $3) as seen_until,
                   followers_count, following_count, posts_count, run_id, seq
            from profile_snapshots
            where profile_id = $1 and observed_from <= $3 and observed_until >= $2
                and observed_from >= coalesce(
                    (select max(observed_from) from profile_snapshots where profile_id = $1 and observed_from <= $2),
                    '-infinity')
        )
        select metric as "metric!: Metric", count(*) as "snapshots!",
               min(seen_from) as "from_at!", (array_agg(number order by seen_from))[1] as "from_count!",
               (array_agg(run_id order by seen_from))[1] as "from_run_id!: RunId",
               (array_agg(seq order by seen_from))[1] as "from_seq!",
               max(seen_until) as "to_at!", (array_agg(number order by seen_from desc))[1] as "to_count!",
               (array_agg(run_id order by seen_from desc))[1] as "to_run_id!: RunId",
               (array_agg(seq order by seen_from desc))[1] as "to_seq!"
        from seen
        cross join lateral (
            values ('followers', followers_count), ('following', following_count), ('posts', posts_count)
        ) as told (metric, number)
        where number is not null
        group by metric
        "#,
        profile_id,
        window.since,
        window.until,
    )
    .fetch_all(db)
    .await
}

/// A stretch of time in which nobody was told how many followers an account has.
#[derive(Clone, Debug)]
pub struct Gap {
    /// When it was last known before.
    pub from: DateTime<Utc>,
    /// When it was known again.
    pub until: DateTime<Utc>,
}

/// Such stretches of a window.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// How many there are.
    pub count: i64,
    /// The first so many.
    pub first: Vec<Gap>,
}

/// The stretches of the window, longer than so many hours, between two snapshots that tell the followers; before the
/// first one and behind the last one, too.
pub async fn gaps(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    window: &Window,
    longer_than_hours: f64,
    limit: i64,
) -> sqlx::Result<Gaps> {
    let rows = sqlx::query!(
        r#"
        with seen as (
            select observed_from, observed_until
            from profile_snapshots
            where profile_id = $1 and observed_from <= $3 and observed_until >= $2 and followers_count is not null
                and observed_from >= coalesce(
                    (select max(observed_from) from profile_snapshots where profile_id = $1 and observed_from <= $2),
                    '-infinity')
            union all
            select ends.at, ends.at from (values ($2::timestamptz), ($3)) as ends (at)
        ), gaps as (
            select max(observed_until) over (
                       order by observed_from, observed_until rows between unbounded preceding and 1 preceding
                   ) as gap_from,
                   observed_from as gap_until
            from seen
        )
        select gap_from as "from!", gap_until as "until!", count(*) over () as "count!"
        from gaps
        where gap_until - gap_from > make_interval(secs => $4::float8 * 3600)
        order by gap_from
        limit $5
        "#,
        profile_id,
        window.since,
        window.until,
        longer_than_hours,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(Gaps {
        count: rows.first().map_or(0, |row| row.count),
        first: rows.into_iter().map(|row| Gap { from: row.from, until: row.until }).collect(),
    })
}

/// How many followers an account had when it was last known on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day in the time zone of the window.
    pub day: NaiveDate,
    /// How many followers.
    pub followers: i64,
}

/// The followers on each whole day of the window, in its time zone; a day on which nobody was told is left out.
pub async fn days(db: impl PgExecutor<'_>, profile_id: i64, window: &Window) -> sqlx::Result<Vec<Day>> {
    sqlx::query_as!(
        Day,
        r#"
        select days.day as "day!", known.followers_count as "followers!"
        from (
            select local::date as day, local at time zone $4 as begins,
                   (local + interval '1 day') at time zone $4 as ends
            from generate_series(date_trunc('day', $2 at time zone $4), $3 at time zone $4, interval '1 day') as local
        ) as days
        cross join lateral (
            select followers_count, observed_until
            from profile_snapshots
            where profile_id = $1 and observed_from < days.ends and followers_count is not null
            order by observed_from desc
            limit 1
        ) as known
        where days.begins >= $2 and days.ends <= $3 and known.observed_until >= days.begins
        order by days.day
        "#,
        profile_id,
        window.since,
        window.until,
        &window.time_zone,
    )
    .fetch_all(db)
    .await
}

/// How far an account's posts are known.
#[derive(Clone, Debug)]
pub struct Reach {
    /// When the oldest one was published that is not pinned: a scan reads from the newest post on, so what is as new is
    /// known.
    pub oldest: Option<DateTime<Utc>>,
    /// When posts were last read.
    pub read_at: Option<DateTime<Utc>>,
    /// How many are known and there.
    pub known: i64,
    /// How many of all have no time at which they were published.
    pub undated: i64,
    /// How many posts the account says that it has.
    pub told: Option<i64>,
}

/// How far the posts of an account are known.
pub async fn reach(db: impl PgExecutor<'_>, profile_id: i64) -> sqlx::Result<Reach> {
    sqlx::query_as!(
        Reach,
        r#"
        select min(taken_at) filter (where not is_pinned) as oldest, max(last_seen_at) as read_at,
               count(*) filter (where missing_since is null) as "known!",
               count(*) filter (where taken_at is null) as "undated!",
               (select posts_count from profile_snapshots where profile_id = $1 and posts_count is not null
                order by observed_from desc limit 1) as told
        from media
        where profile_id = $1
        "#,
        profile_id,
    )
    .fetch_one(db)
    .await
}
