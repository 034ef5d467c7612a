-- The numbers of a day name the run and the event that brought them, as all numbers of accounts and posts do.

create or replace view dashboard.profile_growth as
select p.profile_id, p.username, d.day, d.looks, d.looks > 0 as is_observed, d.followers_count, d.following_count, d.posts_count,
       d.followers_count - d.followers_before as followers_change, d.posts_count - d.posts_before as posts_change, s.run_id, s.seq
from profiles p
cross join lateral (
    select day.day at time zone 'UTC' as day, coalesce(n.looks, 0) as looks, n.followers_count, n.following_count, n.posts_count,
           lag(n.followers_count) over days as followers_before, lag(n.posts_count) over days as posts_before, n.observed_from
    from generate_series((select min(x.day) from profile_days x where x.profile_id = p.profile_id)::timestamp,
                         (now() at time zone 'UTC')::date::timestamp, interval '1 day') as day (day)
    left join profile_days n on n.profile_id = p.profile_id and n.day = day.day::date
    window days as (order by day.day)
) as d
left join profile_snapshots s on s.profile_id = p.profile_id and s.observed_from = d.observed_from;
comment on column dashboard.profile_growth.run_id is 'The run that first saw these numbers; null where there are none.';
comment on column dashboard.profile_growth.seq is 'The event of that run that says so.';
