-- Tasks with a finished run of 14 events each, to be asked for their status; and idle tasks to be started.
insert into tasks (task_id, kind, username)
select 'status-' || n, 'profile', 'bench.status' from generate_series(1, :tasks) as n;

insert into tasks (task_id, kind, username)
select 'start-' || n, 'profile', 'bench.start' from generate_series(1, 400000) as n;

insert into tasks (task_id, kind, username)
select 'peer-' || n, 'profile', 'bench.start' from generate_series(1, 400000) as n;

insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, last_seq, started_at, finished_at,
                  deadline_at)
select task_id, kind, username, source, 'api', 'succeeded', 1, 1, 14, now(), now(), now()
from tasks where task_id like 'status-%';

insert into events (run_id, seq, at, level, event_type, message, fields)
select run_id, seq, now(), 'info', 'posts_fetched', 'Page ' || seq || ' read: 12 posts, ' || 12 * seq || ' so far',
       jsonb_build_object('page', seq, 'page_posts', 12, 'scraped_posts_count', 12 * seq, 'duration_ms', 431)
from runs, generate_series(1, 14) as seq;

create sequence peer;
vacuum analyze tasks, runs, events;
