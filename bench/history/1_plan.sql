-- What happens in an invented history: accounts, their posts, and each run with how it goes. The same for the same
-- settings, wherever and however often it is made:
--
--   history.profiles  how many accounts (1000)
--   history.days      how many days (365), four scrapes each
--   history.seed      which history (1)
--   history.until     its end, exclusive (the present hour)
--
-- The four files are one session, in order: what is planned here stands in temporary tables. bench/history/make runs
-- them.
set jit = off;
set temp_buffers = '256MB';
set work_mem = '128MB';
set timezone = 'UTC';
do $$ begin
    if exists (select from runs) then
        raise exception 'this database has runs already' using hint = 'make the history in a database of its own';
    end if;
end $$;

create temp table history as
select coalesce(nullif(current_setting('history.profiles', true), ''), '1000')::int as profiles,
       coalesce(nullif(current_setting('history.days', true), ''), '365')::int as days,
       coalesce(nullif(current_setting('history.seed', true), ''), '1')::bigint as seed,
       coalesce(nullif(current_setting('history.until', true), '')::timestamptz, date_trunc('hour', now())) as until;
alter table history add column since timestamptz;
update history set since = until - make_interval(days => days);

-- Chance: a number from 0 up to 1 that belongs to a key and to what it is for.
do $$ begin
    execute format('create function pg_temp.dice(key bigint, what integer) returns float8 language sql immutable as
        ''select ((hashint8extended(key, %s * 1000 + what) >> 12) & 4503599627370495)::float8 / 4503599627370496''',
        (select seed from history));
end $$;

-- An id as uuid_v7 makes it, but with its chance from a key.
create function pg_temp.id(at timestamptz, key bigint) returns uuid language sql immutable as $$
    select encode(
        substring(int8send(micros / 1000) from 3) || int2send((28672 + (micros % 1000) * 4096 / 1000)::int2)
            || int8send((hashint8extended(key, 7) & 4611686018427387903) | (-9223372036854775808)),
        'hex')::uuid
    from (select (extract(epoch from at) * 1000000)::bigint) as clock (micros)
$$;

-- The code in a post's address: its number in base 64.
create function pg_temp.code(pk bigint) returns text language sql immutable as $$
    select string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
                             ((pk >> (6 * n)) & 63)::int + 1, 1), '' order by n desc)
    from generate_series(0, 10) as n
    where n < 10 or pk >> 60 > 0
$$;

create temp table account as
select p, 'h' || lpad(p::text, 4, '0') || '.' || (array['amber', 'birch', 'cedar', 'delta', 'ember', 'fjord', 'grove',
           'heath', 'ivory', 'jade'])[1 + (p * 7) % 10] as username,
       70000000000 + p * 1000003::bigint as pk,
       case when pg_temp.dice(p, 1) < 0.1 then 'graph' else 'web' end as source,
       case
           when pg_temp.dice(p, 1) < 0.1 then 'meta'
           when pg_temp.dice(p, 2) < 0.2 then 'guest'
           else (array['alpha', 'beta', 'gamma'])[1 + floor(pg_temp.dice(p, 3) * 3)::int]
       end as credential,
       case when pg_temp.dice(p, 1) < 0.1 then 25 else 12 end as page_size,
       round(exp(5 + 9 * pg_temp.dice(p, 4) ^ 1.5))::bigint as followers,
       pg_temp.dice(p, 5) * 0.6 - 0.1 as growth,
       20 + floor(pg_temp.dice(p, 6) * 1500)::int as following,
       (24 + floor(30 * pg_temp.dice(p, 7)))::int as first_posts,
       86400 * (3 + 15 * pg_temp.dice(p, 8) ^ 2) as post_gap,
       0.15 + 0.37 * pg_temp.dice(p, 9) as reel_share,
       pg_temp.dice(p, 10) < 0.05 as hides_likes,
       pg_temp.dice(p, 11) < 0.02 as is_private,
       pg_temp.dice(p, 12) < 0.08 as is_verified,
       -- One in ten is left alone for a while, one in a hundred is gone one day.
       case when pg_temp.dice(p, 13) < 0.1 then floor(pg_temp.dice(p, 14) * history.days)::int end as gap_day,
       5 + floor(pg_temp.dice(p, 15) * 15)::int as gap_days,
       case
           when pg_temp.dice(p, 16) < 0.01
           then history.since + make_interval(secs => history.days * 86400 * (0.2 + 0.7 * pg_temp.dice(p, 17)))
       end as gone_at,
       null::bigint as profile_id, md5(p::text) as digest
from history, generate_series(1, profiles) as p;
alter table account add primary key (p);

-- A post's place in its account's order is its name here; those below first_posts are older than the history.
create temp table post as
select a.p, k, history.since + make_interval(secs => (k - a.first_posts + 0.8 * pg_temp.dice(a.p * 100000 + k, 20)) * a.post_gap)
           as taken_at,
       pg_temp.dice(a.p * 100000 + k, 21) < a.reel_share as is_reel, a.p * 100000 + k as key, 0::bigint as pk,
       ''::text as code
from history
cross join account a
cross join lateral generate_series(0, (a.first_posts + history.days * 86400 / a.post_gap + 1)::int) as k
where not a.is_private;
update post set pk = (((extract(epoch from taken_at) * 1000)::bigint - 1314220021721) << 23) | (hashint8extended(key, 3) & 8388607);
update post set code = pg_temp.code(pk);
delete from post using history where taken_at >= until;
alter table post add primary key (p, k);
analyze account, post;

-- How runs go. `pairs` are waits, each an event and a taking up; `pages` is how many pages of posts are told of.
create temp table way (
    way text primary key, state text not null, reason text, pairs int not null, kind_of_pair text, lost boolean not null,
    drift boolean not null, has_account boolean not null, pages_at_most int not null, is_whole boolean not null,
    last_failure text, last_status smallint, last_words text);
insert into way values
    ('smooth', 'succeeded', null, 0, null, false, false, true, 99, true, null, null, null),
    ('throttled', 'succeeded', null, 1, 'throttled', false, false, true, 99, true, null, null, null),
    ('no turn', 'succeeded', null, 1, 'busy', false, false, true, 99, true, null, null, null),
    ('tried again', 'succeeded', null, 1, 'server_error', false, false, true, 99, true, null, null, null),
    ('lost worker', 'succeeded', null, 0, null, true, false, true, 99, true, null, null, null),
    ('drift', 'partial', 'upstream_changed', 0, null, false, true, true, 99, true, null, null,
     'what Instagram sent could not be read at data.user.edge_followed_by.count; the events upstream_changed tell more'),
    ('private', 'partial', 'private', 0, null, false, false, true, 0, false, null, null,
     '@% is private: its posts are for approved followers only'),
    ('walled', 'partial', 'login_required', 0, null, false, false, true, 1, false, 'login_required', 401,
     'feed answered 401: login_required; set IGT_WEB_COOKIE to the cookie of a signed-in browser'),
    ('dead session', 'failed', 'login_required', 0, null, false, false, false, 0, false, 'login_required', 401,
     'web_profile_info answered 401: login_required; sign in again, write the fresh secret into IGT_CREDENTIALS and restart, then put it back: ig-tracking credentials enable beta'),
    ('challenged', 'failed', 'challenge_required', 0, null, false, false, false, 0, false, 'challenge_required', 400,
     'web_profile_info answered 400: checkpoint_required; scrape again later, or set IGT_WEB_COOKIE to the cookie of a signed-in browser'),
    ('gone', 'failed', 'not_found', 0, null, false, false, false, 0, false, 'not_found', 404,
     'web_profile_info answered 404: not there; it may have been renamed or deleted'),
    ('throttled for good', 'failed', 'rate_limited', 4, 'throttled', false, false, false, 0, false, 'throttled', 429,
     'web_profile_info answered 429: Please wait a few minutes before you try again.; it was tried 5 times'),
    ('outage', 'failed', 'upstream_unavailable', 4, 'server_error', false, false, false, 0, false, 'server_error', 500,
     'web_profile_info answered 500: Oops, an error occurred.; it was tried 5 times'),
    ('cancelled', 'cancelled', 'cancelled_by_client', 0, null, false, false, true, 1, false, null, null, null);

-- One run a row. Three of four scrapes of an account are for posts, the fourth for its reels; the official source has
-- no list of them. Between them nobody asks: where an account is left alone or its task was deleted, and once for all
-- while the service was off.
create temp table run_plan as
with slot as (
    select a.p, a.p * 100000::bigint + day * 4 + slot as key,
           case when slot = 0 and a.source = 'web' then 'reel' else 'profile' end as kind, day,
           h.since + make_interval(secs => day * 86400 + (slot + pg_temp.dice(a.p, 30)) * 21600
               + 1200 * (pg_temp.dice(a.p * 100000 + day * 4 + slot, 31) - 0.5)) as requested_at
    from history h cross join account a cross join generate_series(0, h.days - 1) as day cross join generate_series(0, 3) as slot
), going as (
    select slot.*, pg_temp.dice(key, 32) as chance, h.*, a.gone_at, a.is_private, a.credential, a.gap_day, a.gap_days
    from slot join account a using (p) cross join history h
    where requested_at >= h.since and requested_at < h.until - interval '2 hours'
), chosen as (
    select p, key, kind, requested_at,
           case
               when requested_at >= gone_at then 'gone'
               when requested_at between since + (until - since) * 0.3 and since + (until - since) * 0.3 + interval '6 hours'
                   then 'outage'
               when credential = 'beta' and requested_at between since + (until - since) * 0.7
                   and since + (until - since) * 0.7 + interval '36 hours' then 'dead session'
               when is_private and chance < 0.96 then 'private'
               when chance < 0.940 then 'smooth'
               when chance < 0.958 then 'throttled'
               when chance < 0.966 then 'no turn'
               when chance < 0.974 then 'tried again'
               when chance < 0.978 then 'lost worker'
               when chance < 0.982 then 'drift'
               when chance < 0.985 then 'walled'
               when chance < 0.989 then 'challenged'
               when chance < 0.992 then 'throttled for good'
               when chance < 0.996 then 'outage'
               else 'cancelled'
           end as way
    from going
    where (gone_at is null or requested_at < gone_at + interval '10 days')
        and (gap_day is null or day < gap_day or day >= gap_day + gap_days)
        and requested_at not between since + (until - since) * 0.55 and since + (until - since) * 0.55 + interval '30 hours'
), timed as (
    select c.p, c.key, c.kind, c.requested_at, w.*,
           -- Most are taken up at once.
           case when pg_temp.dice(key, 33) < 0.92 then 0 else 60 * pg_temp.dice(key, 34) ^ 3 end as queued,
           case w.kind_of_pair
               when 'throttled' then 661 + 66 * pg_temp.dice(key, 35)
               when 'busy' then 60 + 240 * pg_temp.dice(key, 35)
               when 'server_error' then 2 + 6 * pg_temp.dice(key, 35)
           end as wait,
           0.3 + 0.9 * pg_temp.dice(key, 36) as answer, 6.5 + 5 * pg_temp.dice(key, 37) as pace,
           -- What was published by then, and how many follow.
           a.first_posts + floor(x)::int
               + (x - floor(x) >= 0.8 * pg_temp.dice(c.p * 100000 + a.first_posts + floor(x)::int, 20))::int as posts_count,
           round(a.followers * (1 + a.growth * extract(epoch from c.requested_at - h.since) / 31536000
               + 0.0004 * pg_temp.dice(key, 38)
               + case when pg_temp.dice(c.p, 39) < 0.05 and c.requested_at > h.since + (h.until - h.since) * pg_temp.dice(c.p, 40)
                      then 0.08 else 0 end))::bigint as followers_count,
           a.following + floor(extract(epoch from c.requested_at - h.since) / 3456000)::int as following_count
    from chosen c join way w using (way) join account a using (p) cross join history h
    cross join lateral (select extract(epoch from c.requested_at - h.since)::float8 / a.post_gap) as at (x)
), paged as (
    select t.*,
           case when has_account then least(pages_at_most, ceil(least(posts_count, 60)::float8 / a.page_size))::int else 0 end
               as pages,
           2 * pairs + lost::int + drift::int as before,
           pairs * (coalesce(wait, 0) + answer) + case when lost then 30 else 0 end as waited
    from timed t join account a using (p)
)
select pg_temp.id(requested_at, key) as run_id, paged.*, requested_at + make_interval(secs => queued) as started_at,
       -- The first page of posts comes with the account; each other request waits for its slot.
       requested_at + make_interval(secs => queued + waited + answer) as account_at, 0 as reels, 0 as reel_pages,
       requested_at as finished_at, 0 as last_seq, 0 as last_exchange
from paged;
alter table run_plan add primary key (run_id);
-- Before any row changes: an index on rows that this transaction has changed is of no use to it.
create index on run_plan (p, account_at) where has_account;
create index on run_plan (requested_at);

-- What of an account a run sees when so many posts are there: the latest 60.
create temp table list as
select seen.p, seen.posts_count, latest.codes, latest.reel_codes, latest.reels, latest.newest, latest.oldest
from (select distinct p, posts_count from run_plan where pages > 0) as seen
cross join lateral (
    select jsonb_agg(code order by k desc)::text as codes,
           coalesce(jsonb_agg(code order by k desc) filter (where is_reel), '[]')::text as reel_codes,
           count(*) filter (where is_reel)::int as reels, to_json(max(taken_at))::text as newest, to_json(min(taken_at))::text as oldest
    from post
    where p = seen.p and k < seen.posts_count and k >= seen.posts_count - 60
) as latest;
alter table list add primary key (p, posts_count);

update run_plan r set reels = l.reels, reel_pages = ceil(l.reels / 12.0)
from list l where l.p = r.p and l.posts_count = r.posts_count and r.kind = 'reel' and r.is_whole;
update run_plan set
    finished_at = account_at + make_interval(secs => greatest(pages - 1 + reel_pages, 0) * pace + 0.05
        + case when last_failure is not null then answer else 0 end),
    last_seq = 1 + before + has_account::int + pages + case when kind = 'reel' and is_whole then 2 + reel_pages else 0 end
        + is_whole::int + 1,
    last_exchange = case when kind_of_pair <> 'busy' then pairs else 0 end + has_account::int + greatest(pages - 1, 0)
        + reel_pages + (last_failure is not null)::int;
analyze run_plan, list;
