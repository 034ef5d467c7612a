//! The tables `engagement_weeks` and `reel_days`: what the views on posts and reels say, counted by account; and
//! `account_rollups`, which says whose have to be counted anew.
//!
//! What is counted is what `dashboard.engagement` and `dashboard.reel_velocity` say, and is defined there alone.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// An account whose rollups are made anew, and from when on.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The account.
    pub profile_id: i64,
    /// What was told before stands as it was counted; `None` where all is to be counted.
    pub since: Option<DateTime<Utc>>,
}

/// Which accounts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose time has come.
    Due,
    /// All that were read since they were counted.
    Marked,
}

/// Notes that these runs, whose summaries are written in this transaction, have read accounts: each is due at once, or an hour
/// after it was counted last.
pub async fn mark(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into account_rollups as a (profile_id, due_at, moved_since)
        select r.profile_id, now(), min(coalesce(r.started_at, r.requested_at))
        from unnest($1::uuid[]) as wanted (run_id)
        join runs r on r.run_id = wanted.run_id
        where r.profile_id is not null
        group by r.profile_id
        order by r.profile_id
        on conflict (profile_id) do update
            set due_at = coalesce(a.due_at, greatest(now(), a.rolled_at + interval '1 hour')),
                moved_since = least(a.moved_since, excluded.moved_since)
        "#,
        runs,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the account that is due for longest, but for those that another has taken. Until the end of the transaction nobody
/// else counts it, and a run of it that ends is noted afterwards. Once a day all of it is counted: what is told late of what
/// was long ago, that a post is a reel for one, is then not lost.
pub async fn take(db: &mut PgConnection, which: Which) -> sqlx::Result<Option<Due>> {
    sqlx::query_as!(
        Due,
        r#"
        select profile_id,
               case when whole_at > now() - interval '1 day' then least(moved_since, rolled_at) end as since
        from account_rollups
        where due_at <= case when $1 then 'infinity' else now() end
        order by due_at
        limit 1
        for update skip locked
        "#,
        which == Which::Marked,
    )
    .fetch_optional(db)
    .await
}

/// Counts the weeks in which posts were published that were read since, or whose followers at publish may be known better;
/// writes those that are other than they were.
pub async fn count_weeks(db: &mut PgConnection, due: Due) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with moved as materialized (
            select distinct date_trunc('week', taken_at at time zone 'UTC')::date as week
            from media
            where profile_id = $1 and taken_at is not null
                and (last_seen_at >= coalesce($2, '-infinity'::timestamptz)
                    or taken_at >= coalesce($2, '-infinity'::timestamptz) - interval '48 hours')
        ), counted as materialized (
            select moved.week, e.is_reel, count(*)::integer as posts,
                   count(e.interactions)::integer as with_interactions, sum(e.interactions)::bigint as interactions,
                   count(e.on_followers)::integer as with_on_followers, avg(e.on_followers) as on_followers_mean,
                   percentile_cont(0.5) within group (order by e.on_followers) as on_followers_median,
                   count(e.on_plays)::integer as with_on_plays, avg(e.on_plays) as on_plays_mean,
                   percentile_cont(0.5) within group (order by e.on_plays) as on_plays_median,
                   count(e.on_views)::integer as with_on_views, avg(e.on_views) as on_views_mean,
                   percentile_cont(0.5) within group (order by e.on_views) as on_views_median
            from moved
            join dashboard.engagement e
                on e.profile_id = $1
                and e.taken_at >= moved.week::timestamp at time zone 'UTC'
                and e.taken_at < (moved.week + 7)::timestamp at time zone 'UTC'
            group by moved.week, e.is_reel
        ), gone as (
            delete from engagement_weeks w
            using moved
            where w.profile_id = $1 and w.week = moved.week
                and not exists (select from counted c where c.week = w.week and c.is_reel = w.is_reel)
        )
        insert into engagement_weeks as w (profile_id, week, is_reel, posts, with_interactions, interactions,
                                           with_on_followers, on_followers_mean, on_followers_median, with_on_plays,
                                           on_plays_mean, on_plays_median, with_on_views, on_views_mean,
                                           on_views_median)
        select $1, * from counted
        on conflict (profile_id, week, is_reel) do update
            set (posts, with_interactions, interactions, with_on_followers, on_followers_mean, on_followers_median,
                 with_on_plays, on_plays_mean, on_plays_median, with_on_views, on_views_mean, on_views_median) =
                (excluded.posts, excluded.with_interactions, excluded.interactions, excluded.with_on_followers,
                 excluded.on_followers_mean, excluded.on_followers_median, excluded.with_on_plays,
                 excluded.on_plays_mean, excluded.on_plays_median, excluded.with_on_views, excluded.on_views_mean,
                 excluded.on_views_median)
            where w is distinct from excluded
        "#,
        due.profile_id,
        due.since,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts the days from that one on; writes those that are other than they were. Only reels that were read since can have
/// moved since.
pub async fn count_days(db: &mut PgConnection, due: Due) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with bounds as materialized (
            select date_trunc('day', coalesce($2, '-infinity'::timestamptz), 'UTC') as since
        ), counted as materialized (
            select (v.until at time zone 'UTC')::date as day, count(distinct v.shortcode)::integer as reels,
                   count(*)::integer as changes, sum(v.plays_gained)::bigint as plays_gained,
                   sum(extract(epoch from v.until - v.since)::float8) / 3600 as hours
            from dashboard.reel_velocity v
            where v.profile_id = $1 and v.until >= (select since from bounds)
                and v.shortcode in (
                    -- Seen is when the transaction began that tells of the look, which may have been before midnight.
                    select m.shortcode from media m
                    where m.profile_id = $1 and m.is_reel
                        and m.last_seen_at >= (select since from bounds) - interval '1 hour')
            group by 1
        ), gone as (
            delete from reel_days d
            where d.profile_id = $1 and d.day::timestamp at time zone 'UTC' >= (select since from bounds)
                and not exists (select from counted c where c.day = d.day)
        )
        insert into reel_days as d (profile_id, day, reels, changes, plays_gained, hours)
        select $1, * from counted
        on conflict (profile_id, day) do update
            set (reels, changes, plays_gained, hours) =
                (excluded.reels, excluded.changes, excluded.plays_gained, excluded.hours)
            where d is distinct from excluded
        "#,
        due.profile_id,
        due.since,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that an account that this transaction has taken is counted as it stands now.
pub async fn settle(db: &mut PgConnection, due: Due) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update account_rollups
        set due_at = null, moved_since = null, rolled_at = now(),
            whole_at = case when $2 then now() else whole_at end
        where profile_id = $1
        "#,
        due.profile_id,
        due.since.is_none(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts an account off that could not be counted, so that it keeps no other waiting.
pub async fn put_off(db: impl PgExecutor<'_>, profile_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update account_rollups set due_at = now() + interval '1 hour' where profile_id = $1 and due_at is not null",
        profile_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many accounts are marked.
pub async fn count_marked(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from account_rollups where due_at is not null"#)
        .fetch_one(db)
        .await
}
