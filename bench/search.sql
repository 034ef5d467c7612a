-- Tasks with a finished run of 14 events each, from :first to :last, in the words of real logs: each account has a name of
-- its own, one run in a hundred fails by a wall, one in 50,000 by something rare. Without the check that a run's task is
-- there: it is, from the same statement's n.
set session_replication_role = replica;

insert into tasks (task_id, kind, username)
select 'search-' || n, 'profile', 'account.' || n from generate_series(:first, :last) as n;

with run as (
    insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, last_seq, started_at,
                      finished_at, deadline_at)
    select 'search-' || n, 'profile', 'account.' || n, 'auto', 'api', 'succeeded', 1, 1, 14, now(), now(), now()
    from generate_series(:first, :last) as n
    returning run_id, username, substr(username, 9)::int as n
)
insert into events (run_id, seq, at, level, event_type, message, fields)
select run_id, seq, now(), case when seq = 14 and n % 100 = 0 then 'error' else 'info' end,
       case seq when 1 then 'scrape_started' when 2 then 'account_fetched' when 13 then 'profile_data_updated'
                when 14 then case when n % 100 = 0 then 'scrape_failed' else 'scrape_completed' end
                else 'posts_fetched' end,
       case seq
           when 1 then 'Started scraping @' || username
           when 2 then 'Profile data retrieved: @' || username || ' with ' || n % 977 || ' posts'
           when 13 then 'Profile data of @' || username || ' updated in the database'
           when 14 then case
               when n % 50000 = 0 then 'Scrape failed: web_profile_info answered 400: Asset asset://laser.provider/x has been deleted'
               when n % 100 = 0 then 'Scrape failed: web_profile_info answered 400: checkpoint_required'
               else 'Scrape of @' || username || ' completed in 5.1 s: 60 posts' end
           else 'Page ' || seq - 2 || ' read: 12 posts, ' || 12 * (seq - 2) || ' so far' end,
       jsonb_build_object('page', seq, 'followers_count', n * 7, 'scraped_posts_count', 12 * seq, 'duration_ms', 300 + n % 400)
from run, generate_series(1, 14) as seq;
