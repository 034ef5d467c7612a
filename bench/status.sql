-- The status of a task in one statement: its latest run, once with each of the run's last 10 events. What one would
-- write first, and no statement of the service. pgbench and the plain handler run it; $1 is the task.
select run.run_id, run.state, run.reason, run.last_seq, run.requested_at, run.started_at, run.updated_at,
       run.finished_at, event.seq, event.at, event.level, event.event_type, event.message, event.fields
from (
    select run_id, state, reason, last_seq, requested_at, started_at, updated_at, finished_at
    from runs
    where task_id = $1
    order by run_id desc
    limit 1
) as run
left join lateral (
    select seq, at, level, event_type, message, fields
    from events
    where run_id = run.run_id and seq > run.last_seq - 10 and seq <= run.last_seq
    order by seq
) as event on true;
