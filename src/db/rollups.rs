//! What runs that have ended add to the counts by hour and day, once each.
//!
//! All of it is for runs whose summary was just written, in the same transaction.

use sqlx::PgConnection;
use uuid::Uuid;

use super::account_rollups;

/// Counts these runs in: how they ended, what they asked and said, which accounts they read; and notes that what is counted by
/// account has to be counted anew. They have their summaries.
pub async fn add(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    add_ends(db, runs).await?;
    add_requests(db, runs).await?;
    add_events(db, runs).await?;
    add_looks(db, runs).await?;
    account_rollups::mark(db, runs).await
}

async fn add_ends(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into run_hours as h (hour, kind, source, trigger, state, reason, runs, events, requests, requests_failed, bytes,
                                    posts, reels, run_ms, queue_ms, account_ms, posts_ms, reels_ms, update_ms, waiting_ms,
                                    interrupted_ms)
        select date_trunc('hour', r.finished_at, 'UTC'), r.kind, r.source, r.trigger, r.state, coalesce(r.reason, ''), count(*),
               sum(r.last_seq), sum(r.last_exchange), coalesce(sum(s.requests_failed), 0), coalesce(sum(s.bytes), 0),
               coalesce(sum(s.posts), 0), coalesce(sum(s.reels), 0),
               coalesce(sum(extract(epoch from r.finished_at - r.started_at) * 1000), 0)::bigint,
               coalesce(sum(s.queue_ms), 0), coalesce(sum(s.account_ms), 0), coalesce(sum(s.posts_ms), 0),
               coalesce(sum(s.reels_ms), 0), coalesce(sum(s.update_ms), 0), coalesce(sum(s.waiting_ms), 0),
               coalesce(sum(s.interrupted_ms), 0)
        from unnest($1::uuid[]) as wanted (run_id)
        join runs r on r.run_id = wanted.run_id
        join run_summaries s on s.run_id = wanted.run_id
        where r.finished_at is not null
        group by 1, 2, 3, 4, 5, 6
        on conflict (hour, kind, source, trigger, state, reason) do update
            set runs = h.runs + excluded.runs,
                events = h.events + excluded.events,
                requests = h.requests + excluded.requests,
                requests_failed = h.requests_failed + excluded.requests_failed,
                bytes = h.bytes + excluded.bytes,
                posts = h.posts + excluded.posts,
                reels = h.reels + excluded.reels,
                run_ms = h.run_ms + excluded.run_ms,
                queue_ms = h.queue_ms + excluded.queue_ms,
                account_ms = h.account_ms + excluded.account_ms,
                posts_ms = h.posts_ms + excluded.posts_ms,
                reels_ms = h.reels_ms + excluded.reels_ms,
                update_ms = h.update_ms + excluded.update_ms,
                waiting_ms = h.waiting_ms + excluded.waiting_ms,
                interrupted_ms = h.interrupted_ms + excluded.interrupted_ms
        "#,
        runs,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn add_requests(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into request_hours as h (hour, source, credential, endpoint, failure, requests, bytes, ms)
        select date_trunc('hour', x.at, 'UTC'), x.source, coalesce(x.credential, ''), x.endpoint, coalesce(x.failure, ''),
               count(*), sum(x.bytes), sum(x.duration_ms)
        from unnest($1::uuid[]) as wanted (run_id)
        cross join lateral (
            select at, source, credential, endpoint, failure, bytes, duration_ms
            from run_exchanges where run_id = wanted.run_id
        ) as x
        group by 1, 2, 3, 4, 5
        on conflict (hour, source, credential, endpoint, failure) do update
            set requests = h.requests + excluded.requests,
                bytes = h.bytes + excluded.bytes,
                ms = h.ms + excluded.ms
        "#,
        runs,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn add_events(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into event_days as d (day, event_type, level, events)
        select (e.at at time zone 'UTC')::date, e.event_type, e.level, count(*)
        from unnest($1::uuid[]) as wanted (run_id)
        cross join lateral (select at, event_type, level from events where run_id = wanted.run_id) as e
        group by 1, 2, 3
        on conflict (day, event_type, level) do update set events = d.events + excluded.events
        "#,
        runs,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A look counts on the day on which the account was read; where the log is gone, on that on which the run was taken up.
async fn add_looks(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into profile_days as d (profile_id, day, looks, followers_count, following_count, posts_count, observed_from)
        select looked.profile_id, looked.day, looked.looks, latest.followers_count, latest.following_count, latest.posts_count,
               latest.observed_from
        from (
            select r.profile_id, (coalesce(e.at, r.started_at, r.requested_at) at time zone 'UTC')::date as day,
                   count(*)::integer as looks
            from unnest($1::uuid[]) as wanted (run_id)
            join runs r on r.run_id = wanted.run_id
            left join lateral (
                select at from events where run_id = wanted.run_id and event_type = 'account_fetched' order by seq limit 1
            ) as e on true
            where r.profile_id is not null
            group by 1, 2
        ) as looked
        left join lateral (
            select s.*
            from profile_snapshots s
            where s.profile_id = looked.profile_id
                and s.observed_from < (looked.day + 1)::timestamp at time zone 'UTC'
                and s.observed_until >= looked.day::timestamp at time zone 'UTC'
            order by s.observed_from desc
            limit 1
        ) as latest on true
        on conflict (profile_id, day) do update
            set looks = d.looks + excluded.looks,
                followers_count = excluded.followers_count,
                following_count = excluded.following_count,
                posts_count = excluded.posts_count,
                observed_from = excluded.observed_from
        "#,
        runs,
    )
    .execute(db)
    .await?;
    Ok(())
}
