-- A generated history of five accounts: 120 days of four looks a day with holes, 60 posts each, numbers that grow, are
-- hidden, are not told, fall and jump. Chance is a hash, so it is the same each time. Snapshots are run-length, as the service
-- keeps them.

create function pg_temp.chance(words text) returns float8 immutable language sql
    as $$ select ('x' || substr(md5(words), 1, 8))::bit(32)::bigint / 4294967296.0 $$;

insert into profiles (username, run_id, seq)
select 'account' || a, uuid_v7(), 1 from generate_series(1, 5) a;

-- When each account was looked at: now and then not, and for five days not at all.
create temp table looks as
select profile_id, a, n, timestamptz '2025-01-06 00:00:00.123456+00' + n * interval '6 hours'
           + pg_temp.chance('at ' || a || ' ' || n) * interval '2 hours' as at
from profiles cross join lateral (select right(username, 1)::integer as a) as account cross join generate_series(0, 479) n
where pg_temp.chance('look ' || a || ' ' || n) > 0.06 and n not between 160 and 180;

-- Account 4 never changes, account 5 has no followers.
with told as (
    select profile_id, at,
           case when pg_temp.chance('told ' || a || ' ' || n) < 0.04 then null when a = 4 then 700 when a = 5 then 0
                else a * 1000 + 3 * (n / 3) + (40 * pg_temp.chance('f ' || a || ' ' || (n / 3)))::integer
                     + case when n > 300 then a * 900 else 0 end - case when n > 400 then 700 else 0 end end as followers,
           case when n % 5 > 0 then 90 + a + n / 100 end as following, 20 + n / 6 as posts
    from looks
), numbered as (
    select *, count(*) filter (where is_new) over (partition by profile_id order by at) as stretch
    from (select *, (followers, following, posts) is distinct from
                        lag((followers, following, posts)) over (partition by profile_id order by at) as is_new
          from told) as marked
)
insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, following_count, posts_count,
                               run_id, seq)
select profile_id, min(at), max(at), followers, following, posts, uuid_v7(), 1
from numbered group by profile_id, stretch, followers, following, posts;

-- Some were published before anybody looked, some at the same second, one is pinned, one has no time.
insert into media (profile_id, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at, caption, hashtags, mentions,
                   last_seen_at, run_id, seq)
select profile_id, 'a' || a || 'p' || p, a * 1000 + p, case when p % 3 = 0 then 'video' else 'image' end, p % 3 = 0, p = 40,
       case when p <> 59 then
           timestamptz '2025-01-02 00:00+00' + (p - p % 11 / 10) * interval '36 hours'
               + case when p % 11 < 9 then floor(80000 * pg_temp.chance('taken ' || a || ' ' || p)) else 0 end
                     * interval '1 second'
       end, 'a caption',
       case when p % 17 > 0 then
           array(select 'tag' || t from generate_series(0, 9) t where pg_temp.chance('tag ' || a || ' ' || p || ' ' || t) < 0.2)
       end,
       case when p % 17 > 0 then
           array(select 'friend' || t from generate_series(0, 4) t
                 where pg_temp.chance('friend ' || a || ' ' || p || ' ' || t) < 0.1)
       end,
       '2025-05-04 12:00+00', uuid_v7(), 1
from profiles cross join lateral (select right(username, 1)::integer as a) as account cross join generate_series(1, 60) p;

-- A run of a reel task tells plays, one of a profile task does not; views come late, likes of some are hidden, for some
-- only at first; a number falls now and then.
with told as (
    select m.profile_id, m.shortcode, looks.at,
           not is_hidden and pg_temp.chance('likes ' || m.shortcode || ' ' || n) > 0.03 as has_likes, is_hidden,
           (code.a * 60 + 400 * pg_temp.chance('size ' || m.shortcode) + case when p = 50 then 9000 else 0 end)
               * (1 - exp(-age / 30)) - (n % 13) / 12 * 3 as reached, age, n, m.is_reel, p
    from media m
    cross join lateral (select substr(m.shortcode, 2, 1)::integer as a, substr(m.shortcode, 4)::integer as p) as code
    join looks on looks.profile_id = m.profile_id and looks.at >= m.taken_at
        and looks.at < m.taken_at + interval '40 days'
    cross join lateral (select extract(epoch from looks.at - m.taken_at) / 3600 as age) as old
    cross join lateral (select p % 13 = 5 or (p % 13 = 7 and age < 100) as is_hidden) as hiding
    where p % 29 > 0
), numbers as (
    select profile_id, shortcode, at, is_hidden, case when has_likes then greatest(floor(reached), 0)::bigint end as likes,
           case when n % 7 > 0 then greatest(floor(reached / 20), 0)::bigint end as comments,
           case when is_reel and n % 2 = 0 then greatest(floor(reached * 25), 0)::bigint end as plays,
           case when is_reel and age > 48 and p % 2 = 0 then greatest(floor(reached * 11), 0)::bigint end as views
    from told
), numbered as (
    select *, count(*) filter (where is_new) over (partition by shortcode order by at) as stretch
    from (select *, (likes, is_hidden, comments, plays, views) is distinct from
                        lag((likes, is_hidden, comments, plays, views)) over (partition by shortcode order by at) as is_new
          from numbers) as marked
)
insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden,
                             comments_count, plays_count, views_count, run_id, seq)
select profile_id, shortcode, min(at), max(at), likes, is_hidden, comments, plays, views, uuid_v7(), 1
from numbered group by profile_id, shortcode, stretch, likes, is_hidden, comments, plays, views;

drop table looks;
