-- The start of a run in one statement: the task, its run, the run's first event. What one would write first; pgbench
-- and the plain handler run it. $1 is the task.
with task as (
    select task_id, kind, username, source from tasks
    where task_id = $1 and state = 'active'
), run as (
    insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, worker_id, claimable_at,
                      last_seq, started_at, deadline_at)
    select task_id, kind, username, source, 'api', 'queued', 0, 0, null, now(), 1, null, now() + interval '2 hours'
    from task
    where kind = 'profile'
    on conflict do nothing
    returning run_id, deadline_at
), first_event as (
    insert into events (run_id, seq, at, level, event_type, message, fields)
    select run.run_id, 1, now(), 'info', 'scrape_started',
           replace('Scrape of @% accepted; it begins when a worker is free', '%', task.username),
           jsonb_build_object('username', task.username) || '{"kind": "profile", "trigger": "api", "queued": true}'
    from run, task
)
select task.username, run.run_id, task.kind, task.source, now() as now, run.deadline_at
from task left join run on true;
