-- Numbers over time, run-length as the service writes them: a row a change, from when it was first seen to when it was
-- last seen unchanged.

-- Each time that an account was read, one behind the other.
create temp table look as
select p, row_number() over (partition by p order by account_at) as n, run_id, account_at as at, 2 + before as seq,
       case when not drift then followers_count end as followers_count, following_count, posts_count
from run_plan where has_account;
alter table look add primary key (p, n);
analyze look;

insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, following_count, posts_count, run_id, seq)
with told as (
    -- What was not told contradicts nothing, and begins nothing.
    select *, (followers_count, following_count, posts_count) is distinct from
                  lag((followers_count, following_count, posts_count)) over (partition by p order by n) as is_new
    from look where followers_count is not null
), kept as (
    select *, lead(n) over (partition by p order by n) as next_n from told where is_new
), last as (
    select p, max(n) as n from look group by p
)
select a.profile_id, k.at, until.at, k.followers_count, k.following_count, k.posts_count, k.run_id, k.seq
from kept k join account a using (p) join last using (p)
join look until on until.p = k.p and until.n = coalesce(k.next_n - 1, last.n)
order by k.at;

-- Each time that its posts were read to the end.
create temp table scan as
select r.p, row_number() over (partition by r.p order by r.account_at) as n, r.run_id, r.posts_count, a.page_size,
       r.account_at + make_interval(secs => greatest(r.pages - 1, 0) * r.pace + 0.01) as at, 2 + r.before as seq
from run_plan r join account a using (p) where r.is_whole and r.pages > 0;
alter table scan add primary key (p, n);
analyze scan;

-- The scans in which a post stands among the latest 60: from the first to the last.
create temp table shown as
with step as (
    select p, n, posts_count, coalesce(lag(posts_count) over w, greatest(posts_count - 60, 0)) as before,
           lag(posts_count) over w is null as is_first
    from scan window w as (partition by p order by n)
), come as (
    select p, k, n from step cross join lateral generate_series(before, posts_count - 1) as k
), gone as (
    select p, k, n - 1 as n
    from step cross join lateral generate_series(greatest(before - 60, 0), posts_count - 61) as k
    where not is_first
), last as (
    select p, max(n) as n from scan group by p
)
select come.p, come.k, come.n as first_n, coalesce(gone.n, last.n) as last_n
from come left join gone using (p, k) join last on last.p = come.p
where coalesce(gone.n, last.n) >= come.n;
alter table shown add primary key (p, k);
analyze shown;

insert into media (profile_id, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at, caption, duration_seconds,
                   display_url, first_seen_at, last_seen_at, run_id, seq)
select a.profile_id, o.code, o.pk,
       case when o.is_reel then 'video' when pg_temp.dice(o.key, 60) < 0.5 then 'image' when pg_temp.dice(o.key, 60) < 0.85 then 'carousel' else 'video' end,
       o.is_reel, false, date_trunc('second', o.taken_at),
       (array['Morning light', 'What a day', 'New in the shop', 'Thank you all', 'Behind the scenes', 'Out now'])
           [1 + floor(pg_temp.dice(o.key, 61) * 6)::int] || ' number ' || o.k
           || case when pg_temp.dice(o.key, 62) < 0.6 then E'\n\n#' || (array['sunset', 'food', 'travel', 'art', 'fit', 'music'])
                  [1 + floor(pg_temp.dice(o.key, 63) * 6)::int] else '' end
           || case when pg_temp.dice(o.key, 64) < 0.3 then ' #daily' else '' end
           || case when pg_temp.dice(o.key, 65) < 0.2 then ' @' || (select b.username from account b where b.p = 1 + o.key % (select profiles from history)) else '' end,
       case when o.is_reel then round((5 + 55 * pg_temp.dice(o.key, 66))::numeric, 2)::float8 end,
       'https://cdn.example/history/' || o.code || '.jpg', f.at, l.at, l.run_id,
       l.seq + ((l.posts_count - 1 - o.k) / l.page_size) + 1
from shown s join post o using (p, k) join account a using (p)
join scan f on f.p = s.p and f.n = s.first_n join scan l on l.p = s.p and l.n = s.last_n
order by f.at, o.key;

-- A young post has other numbers at each look, an old one now and then.
insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden, comments_count,
                             plays_count, views_count, run_id, seq)
with pause (after) as (
    select n from generate_series(0, 12) as n union all select n from generate_series(16, 56, 4) as n
    union all select n from generate_series(84, 364, 28) as n union all select n from generate_series(480, 3000, 120) as n
), told as (
    select s.p, s.k, l.n, l.at, l.run_id, l.seq + ((l.posts_count - 1 - s.k) / l.page_size) + 1 as seq, s.last_n, o.is_reel, a.hides_likes,
           greatest(extract(epoch from l.at - o.taken_at) / 3600, 0)::float8 as age, o.code, a.profile_id,
           a.followers * 0.06 * (0.15 + pg_temp.dice(o.key, 70) ^ 3 * 2) as likes,
           a.followers * (0.1 + pg_temp.dice(o.key, 71) ^ 4 * 8) as plays
    from shown s join post o using (p, k) join account a using (p) cross join pause
    join scan l on l.p = s.p and l.n = s.first_n + pause.after
    where l.n <= s.last_n and (pause.after = 0 or pause.after % 120 = 0 or s.k >= a.first_posts)
), counted as (
    -- Beyond some months nothing comes any more, and a number of e to the power of less than -745 is none to Postgres.
    select *, case when not hides_likes then round(likes * (1 - exp(-least(age, 2000) / 30)) * (1 + ln(1 + age / 700) / 12))::bigint end as likes_count,
           round(likes * 0.03 * (1 - exp(-least(age, 2000) / 40)) * (1 + ln(1 + age / 700) / 12))::bigint as comments_count,
           case when is_reel then round(plays * (1 - exp(-least(age, 2000) / 44)) * (1 + ln(1 + age / 500) / 6))::bigint end as plays_count
    from told
), changed as (
    select *, (likes_count, comments_count, plays_count) is distinct from
                  lag((likes_count, comments_count, plays_count)) over (partition by p, k order by n) as is_new
    from counted
), kept as (
    select *, lead(n) over (partition by p, k order by n) as next_n from changed where is_new
)
select k.profile_id, k.code, k.at, until.at, k.likes_count, k.hides_likes, k.comments_count, k.plays_count,
       (k.plays_count * 0.62)::bigint, k.run_id, k.seq
from kept k join scan until on until.p = k.p and until.n = coalesce(k.next_n - 1, k.last_n)
order by k.at;

analyze tasks, runs, events, run_exchanges, profiles, profile_names, profile_snapshots, media, media_snapshots, credentials;
