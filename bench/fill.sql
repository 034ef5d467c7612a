-- Tasks with a finished run of 14 events each, from :first to :last; several sessions fill a range each. As a
-- superuser without the check that a run's task is there: it is, from the same statement's n.
set session_replication_role = replica;

insert into tasks (task_id, kind, username)
select 'status-' || n, 'profile', 'bench.status' from generate_series(:first, :last) as n;

with run as (
    insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, last_seq, started_at,
                      finished_at, deadline_at)
    select 'status-' || n, 'profile', 'bench.status', 'auto', 'api', 'succeeded', 1, 1, 14, now(), now(), now()
    from generate_series(:first, :last) as n
    returning run_id
)
insert into events (run_id, seq, at, level, event_type, message, fields)
select run_id, seq, now(), 'info', 'posts_fetched', 'Page ' || seq || ' read: 12 posts, ' || 12 * seq || ' so far',
       jsonb_build_object('page', seq, 'page_posts', 12, 'scraped_posts_count', 12 * seq, 'duration_ms', 431)
from run, generate_series(1, 14) as seq;
