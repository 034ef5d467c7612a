-- A last word that a run's summary tells is not looked up among its events, which are many, and in as many partitions as
-- there are weeks. The limits, which leave out nothing, keep the planner from taking both apart and joining all events.

create or replace view dashboard.failed_runs as
select r.run_id, r.task_id, r.kind, r.username, r.source, r.state, r.reason, r.attempt as attempts, r.requested_at, r.finished_at,
       coalesce(s.message, e.message) as message, coalesce(s.endpoint, e.fields ->> 'endpoint') as endpoint,
       coalesce(s.http_status, (e.fields ->> 'http_status')::int) as http_status,
       coalesce(s.failure, e.fields ->> 'failure') as failure,
       coalesce(s.upstream_message, e.fields ->> 'upstream_message') as upstream_message
from runs r
left join run_summaries s on s.run_id = r.run_id
left join lateral (
    select last.message, last.fields
    from (select where s.message is null limit 1) as untold
    join events last on last.run_id = r.run_id and last.seq = r.last_seq
    limit 1
) as e on true
where r.reason is not null and r.finished_at is not null;
