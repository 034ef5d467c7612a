-- The last word of a run that did not succeed stays with its summary, where its log is packed or given up. Summaries that
-- are there already take it from the logs that are rows; of those that are packed by now it stays null.

alter table run_summaries
    add column message text,
    add column endpoint text,
    add column http_status integer,
    add column failure text,
    add column upstream_message text;
comment on table run_summaries is 'What a run that has ended said, asked and obtained, in numbers, and its last word where it did not succeed: a row a run, written by the maintenance step soon after its end, and kept when its log is given up. What the run itself is stands in runs.';
comment on column run_summaries.message is 'The last word of a run that ended otherwise than succeeded; null of any other, where its log was packed or gone before this was written, and once a person it is about was erased. So are the columns below.';
comment on column run_summaries.endpoint is 'The endpoint that showed the failure; null where none did.';
comment on column run_summaries.http_status is 'The HTTP status of that answer; null where none came.';
comment on column run_summaries.failure is 'The name of the failure.';
comment on column run_summaries.upstream_message is 'What the source said.';

update run_summaries s
set message = e.message, endpoint = e.fields ->> 'endpoint',
    http_status = case jsonb_typeof(e.fields -> 'http_status') when 'number' then (e.fields -> 'http_status')::integer end,
    failure = e.fields ->> 'failure', upstream_message = e.fields ->> 'upstream_message'
from runs r
join events e on e.run_id = r.run_id and e.seq = r.last_seq
where s.run_id = r.run_id and r.reason is not null and r.finished_at is not null;

create or replace view dashboard.failed_runs as
select r.run_id, r.task_id, r.kind, r.username, r.source, r.state, r.reason, r.attempt as attempts, r.requested_at, r.finished_at,
       coalesce(e.message, s.message) as message, coalesce(e.fields ->> 'endpoint', s.endpoint) as endpoint,
       coalesce((e.fields ->> 'http_status')::int, s.http_status) as http_status,
       coalesce(e.fields ->> 'failure', s.failure) as failure,
       coalesce(e.fields ->> 'upstream_message', s.upstream_message) as upstream_message
from runs r
left join run_summaries s on s.run_id = r.run_id
left join lateral (select message, fields from events where run_id = r.run_id and seq = r.last_seq) as e on true
where r.reason is not null and r.finished_at is not null;
comment on view dashboard.failed_runs is 'A row a run that ended otherwise than succeeded, with its last word, for ever: also where its log is archived or gone.';
comment on column dashboard.failed_runs.message is 'Its last word: what happened, and what to do. Null where its log was archived before last words were kept, and once a person it is about was erased, as are the columns below.';
