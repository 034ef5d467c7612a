-- Accounts with 1,000 posts each, published over a year in which they were read four times a day: the latest 60 posts each
-- time, and their numbers were others each time. A third are reels. :accounts says how many.
set session_replication_role = replica;

insert into profiles (username, run_id, seq)
select 'analysed' || a, uuid_v7(), 1 from generate_series(1, :accounts) a;

insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, following_count, posts_count,
                               run_id, seq)
select profile_id, at, at + interval '2 minutes', 100000 + 37 * n, 300, n / 2, uuid_v7(), 1
from profiles, generate_series(0, 4 * 365 - 1) n
    cross join lateral (select now() - interval '365 days' + n * interval '6 hours' as at) as look;

insert into media (profile_id, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at, caption, hashtags, mentions,
                   run_id, seq)
select profile_id, 'a' || profile_id || '_' || p, profile_id * 10000 + p, case when p % 3 = 0 then 'video' else 'image' end,
       p % 3 = 0, false, now() - interval '365 days' + (p - 1) * interval '8 hours 45 minutes' + interval '17 minutes',
       repeat('A caption of some length. ', 12), array['tag' || p % 40, 'all' || p % 3, 'rare' || p], array['friend' || p % 9],
       uuid_v7(), 1
from profiles, generate_series(1, 1000) p;

-- As they come: a look after the other, so that the rows of a post are spread over the table.
insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden, comments_count,
                             plays_count, views_count, run_id, seq)
select m.profile_id, m.shortcode, look.at, look.at + interval '2 minutes', floor(4000 * reached) + n % 7, p % 50 = 0,
       floor(90 * reached) + n % 3, case when m.is_reel then floor(90000 * reached) + n end,
       case when m.is_reel then floor(40000 * reached) + n end, uuid_v7(), 1
from generate_series(0, 4 * 365 - 1) n
    cross join lateral (select now() - interval '365 days' + n * interval '6 hours' as at) as look
    join media m on m.taken_at <= look.at and m.taken_at > look.at - 60 * interval '8 hours 45 minutes'
    cross join lateral (select split_part(m.shortcode, '_', 2)::integer as p) as number
    cross join lateral (select 1 - exp(-extract(epoch from look.at - m.taken_at)::float8 / 90000) as reached) as grown
order by n, m.profile_id, m.shortcode;

analyze;
