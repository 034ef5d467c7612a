-- What dashboards and notebooks read: views that stay as they are while the tables change. Within a version, views and
-- columns are only added; the version is raised where one changes its meaning, its type or its name, or goes.
--
-- The views read the tables with their owner's rights, so that a role needs nothing but these (ig-tracking dashboard-role).
-- None hides rows, so none has to be a barrier against functions that look at what they filter.
create schema dashboard;
comment on schema dashboard is 'Views for dashboards and notebooks. Within a version (dashboard.version) views and columns are only added.';

-- Runs sort by their ids as by the time of their request, and it is the ids that are indexed.
create function dashboard.run_id_at(at timestamptz) returns uuid
    language sql immutable parallel safe
as $$
    select encode(
        substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3) || '\x00000000000000000000'::bytea, 'hex')::uuid
$$;
comment on function dashboard.run_id_at(timestamptz) is 'The lowest run id of a time: run_id >= dashboard.run_id_at(now() - interval ''1 day'') reads the runs of a day and no others.';

create view dashboard.version as select 1 as version;
comment on view dashboard.version is 'Which version of these views this is. Within a version views and columns are only added.';
comment on column dashboard.version.version is 'The version.';

create view dashboard.runs as
select r.run_id, r.task_id, r.kind, r.username, r.profile_id, r.source, r.trigger, r.state, r.reason, r.attempt as attempts,
       r.requested_at, r.started_at, r.finished_at,
       extract(epoch from coalesce(r.started_at, r.finished_at) - r.requested_at)::float8 as queue_seconds,
       extract(epoch from r.finished_at - r.started_at)::float8 as run_seconds,
       s.waiting_ms / 1000.0::float8 as waiting_seconds, r.last_seq as events, r.last_exchange as requests,
       s.requests_failed, s.requests_ms / 1000.0::float8 as request_seconds, s.bytes, s.posts, s.reels
from runs r left join run_summaries s using (run_id);
comment on view dashboard.runs is 'A row a run, active or ended, for ever: also where its log is archived or gone. What is told by its summary comes within seconds of its end, and is null before.';
comment on column dashboard.runs.run_id is 'The run. Ids sort by the time of the request: bound them with dashboard.run_id_at, and no more is read than must be.';
comment on column dashboard.runs.task_id is 'Its task.';
comment on column dashboard.runs.kind is 'profile or reel.';
comment on column dashboard.runs.username is 'The handle that was asked for.';
comment on column dashboard.runs.profile_id is 'The account that it found (dashboard.profiles); null where it found none.';
comment on column dashboard.runs.source is 'Which source was to be asked: auto, web or graph.';
comment on column dashboard.runs.trigger is 'What asked for it: api, demo or retry.';
comment on column dashboard.runs.state is 'queued, running, waiting, succeeded, partial, failed or cancelled.';
comment on column dashboard.runs.reason is 'Why it waits or did not succeed; null where it did, or is at work.';
comment on column dashboard.runs.attempts is 'How many times a worker took it up.';
comment on column dashboard.runs.requested_at is 'When it was asked for.';
comment on column dashboard.runs.started_at is 'When a worker first took it up; null while it is queued.';
comment on column dashboard.runs.finished_at is 'When it ended; null while it is active.';
comment on column dashboard.runs.queue_seconds is 'From the request to the first taking up, or to the end of a run that nobody took up; null while it is queued.';
comment on column dashboard.runs.run_seconds is 'From the first taking up to the end, waits included; null while it is active.';
comment on column dashboard.runs.waiting_seconds is 'What of that it waited for a throttle, for its turn, or to try again; null where it never did, or before its summary.';
comment on column dashboard.runs.events is 'How many events its log has, or had.';
comment on column dashboard.runs.requests is 'How many requests it made to its source.';
comment on column dashboard.runs.requests_failed is 'How many of them brought nothing usable; null before its summary, or where they were gone by then.';
comment on column dashboard.runs.request_seconds is 'How long they took together; null as requests_failed.';
comment on column dashboard.runs.bytes is 'The size of the bodies of all its answers, decoded; null as requests_failed.';
comment on column dashboard.runs.posts is 'How many posts it obtained; null before its summary, or where its last word does not tell.';
comment on column dashboard.runs.reels is 'How many reels with their own numbers; null where it read none, as a run for posts.';

create view dashboard.run_phases as
select s.run_id, r.requested_at, r.kind, r.username, r.state, p.phase, p.ms / 1000.0::float8 as seconds
from run_summaries s
join runs r using (run_id)
cross join lateral (values
    ('queue', s.queue_ms), ('account', s.account_ms), ('posts', s.posts_ms), ('reels', s.reels_ms), ('update', s.update_ms),
    ('waiting', s.waiting_ms), ('interrupted', s.interrupted_ms)) as p (phase, ms)
where p.ms is not null;
comment on view dashboard.run_phases is 'What the time of a run that has ended went to: a row a phase that it was in. Together they are all of its time.';
comment on column dashboard.run_phases.run_id is 'The run.';
comment on column dashboard.run_phases.requested_at is 'When it was asked for.';
comment on column dashboard.run_phases.kind is 'profile or reel.';
comment on column dashboard.run_phases.username is 'The handle that was asked for.';
comment on column dashboard.run_phases.state is 'How it ended.';
comment on column dashboard.run_phases.phase is 'queue (until it was taken up), account, posts, reels, update, waiting (for a throttle, its turn, another try), interrupted (without a worker).';
comment on column dashboard.run_phases.seconds is 'How long it was in it, all stretches together.';

create view dashboard.failed_runs as
select r.run_id, r.task_id, r.kind, r.username, r.source, r.state, r.reason, r.attempt as attempts, r.requested_at, r.finished_at,
       e.message, e.fields ->> 'endpoint' as endpoint, (e.fields ->> 'http_status')::int as http_status,
       e.fields ->> 'failure' as failure, e.fields ->> 'upstream_message' as upstream_message
from runs r
left join lateral (select message, fields from events where run_id = r.run_id and seq = r.last_seq) as e on true
where r.reason is not null and r.finished_at is not null;
comment on view dashboard.failed_runs is 'A row a run that ended otherwise than succeeded, with its last word as long as its log is among the live rows.';
comment on column dashboard.failed_runs.run_id is 'The run.';
comment on column dashboard.failed_runs.task_id is 'Its task.';
comment on column dashboard.failed_runs.kind is 'profile or reel.';
comment on column dashboard.failed_runs.username is 'The handle that was asked for.';
comment on column dashboard.failed_runs.source is 'Which source was to be asked: auto, web or graph.';
comment on column dashboard.failed_runs.state is 'partial, failed or cancelled.';
comment on column dashboard.failed_runs.reason is 'Why.';
comment on column dashboard.failed_runs.attempts is 'How many times a worker took it up.';
comment on column dashboard.failed_runs.requested_at is 'When it was asked for.';
comment on column dashboard.failed_runs.finished_at is 'When it ended.';
comment on column dashboard.failed_runs.message is 'Its last word: what happened, and what to do. Null where its log is archived or gone, as are the columns below.';
comment on column dashboard.failed_runs.endpoint is 'The endpoint that showed the failure; null where none did.';
comment on column dashboard.failed_runs.http_status is 'The HTTP status of that answer.';
comment on column dashboard.failed_runs.failure is 'The name of the failure.';
comment on column dashboard.failed_runs.upstream_message is 'What the source said.';

create view dashboard.run_hours as
select hour, kind, source, trigger, state, nullif(reason, '') as reason, runs, events, requests, requests_failed, bytes, posts, reels,
       queue_ms / 1000.0::float8 as queue_seconds, run_ms / 1000.0::float8 as run_seconds,
       waiting_ms / 1000.0::float8 as waiting_seconds
from run_hours;
comment on view dashboard.run_hours is 'Runs that ended, by the hour (UTC) of their end and how it was, and what they came to in sum; for ever.';
comment on column dashboard.run_hours.hour is 'The hour.';
comment on column dashboard.run_hours.kind is 'profile or reel.';
comment on column dashboard.run_hours.source is 'Which source was to be asked: auto, web or graph.';
comment on column dashboard.run_hours.trigger is 'api, demo or retry.';
comment on column dashboard.run_hours.state is 'succeeded, partial, failed or cancelled.';
comment on column dashboard.run_hours.reason is 'Why it did not succeed; null where it did.';
comment on column dashboard.run_hours.runs is 'How many runs. All columns below are sums over them: divide by this for the mean.';
comment on column dashboard.run_hours.events is 'Events.';
comment on column dashboard.run_hours.requests is 'Requests to the source.';
comment on column dashboard.run_hours.requests_failed is 'Requests that brought nothing usable.';
comment on column dashboard.run_hours.bytes is 'The size of all answers'' bodies, decoded.';
comment on column dashboard.run_hours.posts is 'Posts obtained.';
comment on column dashboard.run_hours.reels is 'Reels obtained with their own numbers.';
comment on column dashboard.run_hours.queue_seconds is 'Time in the queue.';
comment on column dashboard.run_hours.run_seconds is 'Time from the first taking up to the end.';
comment on column dashboard.run_hours.waiting_seconds is 'What of that was waiting.';

create view dashboard.phase_hours as
select h.hour, h.kind, h.state, p.phase, h.runs, p.ms / 1000.0::float8 as seconds
from run_hours h
cross join lateral (values
    ('queue', h.queue_ms), ('account', h.account_ms), ('posts', h.posts_ms), ('reels', h.reels_ms), ('update', h.update_ms),
    ('waiting', h.waiting_ms), ('interrupted', h.interrupted_ms)) as p (phase, ms);
comment on view dashboard.phase_hours is 'What the time of runs went to, by the hour (UTC) of their end; for ever. The mean of a phase is sum(seconds) / sum(runs).';
comment on column dashboard.phase_hours.hour is 'The hour.';
comment on column dashboard.phase_hours.kind is 'profile or reel.';
comment on column dashboard.phase_hours.state is 'How they ended.';
comment on column dashboard.phase_hours.phase is 'As in dashboard.run_phases.';
comment on column dashboard.phase_hours.runs is 'How many runs ended so, whether they were in this phase or not.';
comment on column dashboard.phase_hours.seconds is 'How long all of them together were in it.';

create view dashboard.throughput as
select hour, sum(runs) as runs, coalesce(sum(runs) filter (where state = 'succeeded'), 0) as succeeded,
       coalesce(sum(runs) filter (where state = 'partial'), 0) as partial,
       coalesce(sum(runs) filter (where state = 'failed'), 0) as failed,
       coalesce(sum(runs) filter (where state = 'cancelled'), 0) as cancelled,
       (sum(runs) filter (where state = 'succeeded'))::float8
           / nullif(sum(runs) filter (where state <> 'cancelled'), 0) as success_rate,
       sum(requests)::bigint as requests, sum(posts)::bigint as posts, sum(reels)::bigint as reels
from run_hours
group by hour;
comment on view dashboard.throughput is 'What was done in an hour (UTC), by the end of runs; an hour in which no run ended has no row.';
comment on column dashboard.throughput.hour is 'The hour.';
comment on column dashboard.throughput.runs is 'Runs that ended.';
comment on column dashboard.throughput.succeeded is 'Those that obtained all.';
comment on column dashboard.throughput.partial is 'Those that obtained a part.';
comment on column dashboard.throughput.failed is 'Those that obtained nothing.';
comment on column dashboard.throughput.cancelled is 'Those that a client stopped.';
comment on column dashboard.throughput.success_rate is 'succeeded of those that nobody stopped, from 0 to 1; null where there was none.';
comment on column dashboard.throughput.requests is 'Their requests to the sources.';
comment on column dashboard.throughput.posts is 'Posts that they obtained.';
comment on column dashboard.throughput.reels is 'Reels that they obtained with their own numbers.';

create view dashboard.failures as
select date_trunc('day', hour, 'UTC') as day, state, reason, kind, source, sum(runs) as runs
from run_hours
where reason <> ''
group by 1, 2, 3, 4, 5;
comment on view dashboard.failures is 'How many runs ended otherwise than succeeded, by the day (UTC) of their end and the reason; for ever.';
comment on column dashboard.failures.day is 'The day, as the time of its beginning.';
comment on column dashboard.failures.state is 'partial, failed or cancelled.';
comment on column dashboard.failures.reason is 'Why.';
comment on column dashboard.failures.kind is 'profile or reel.';
comment on column dashboard.failures.source is 'Which source was to be asked: auto, web or graph.';
comment on column dashboard.failures.runs is 'How many runs.';

create view dashboard.requests as
select hour, source, nullif(credential, '') as credential, endpoint, nullif(failure, '') as failure, requests, bytes,
       ms / 1000.0 as seconds
from request_hours;
comment on view dashboard.requests is 'Requests to the sources by the hour (UTC) of their answers, of runs that have ended; for ever.';
comment on column dashboard.requests.hour is 'The hour.';
comment on column dashboard.requests.source is 'web or graph.';
comment on column dashboard.requests.credential is 'The name of the credential that they were asked with.';
comment on column dashboard.requests.endpoint is 'The endpoint''s short name.';
comment on column dashboard.requests.failure is 'The name of the failure; null where the answer could be used.';
comment on column dashboard.requests.requests is 'How many requests.';
comment on column dashboard.requests.bytes is 'The size of their answers'' bodies, decoded.';
comment on column dashboard.requests.seconds is 'How long they took together: divide by requests for the mean.';

create view dashboard.source_health as
select c.source,
       case
           when c.open_until is null then 'closed'
           when c.open_until > now() then 'open'
           else 'half_open'
       end as circuit,
       c.open_until, c.failures as failures_in_a_row, coalesce(d.requests, 0) as requests_of_a_day,
       coalesce(d.failed, 0) as failed_of_a_day, d.failed / nullif(d.requests, 0)::float8 as failure_rate_of_a_day,
       d.ms / nullif(d.requests, 0) / 1000.0 as seconds_a_request, coalesce(k.ready, 0) as credentials_ready,
       coalesce(k.disabled, 0) as credentials_disabled
from circuits c
left join lateral (
    select sum(requests)::bigint as requests, coalesce(sum(requests) filter (where failure <> ''), 0)::bigint as failed, sum(ms) as ms
    from request_hours where hour > now() - interval '24 hours' and source = c.source
) as d on true
left join lateral (
    select count(*) filter (where state = 'ready') as ready, count(*) filter (where state = 'disabled') as disabled
    from credentials where source = c.source
) as k on true;
comment on view dashboard.source_health is 'How the sources are now, and how they were in the last 24 hours.';
comment on column dashboard.source_health.source is 'web or graph.';
comment on column dashboard.source_health.circuit is 'closed (it is asked), open (it is left alone), half_open (one request looks whether it is back).';
comment on column dashboard.source_health.open_until is 'Until when it is left alone; null while it is asked.';
comment on column dashboard.source_health.failures_in_a_row is 'Failures in a row that speak for an outage.';
comment on column dashboard.source_health.requests_of_a_day is 'Requests of runs that have ended, answered in the last 24 hours, to the hour.';
comment on column dashboard.source_health.failed_of_a_day is 'Those of them that brought nothing usable.';
comment on column dashboard.source_health.failure_rate_of_a_day is 'The share of those, from 0 to 1; null where there was no request.';
comment on column dashboard.source_health.seconds_a_request is 'How long one took on average; null where there was none.';
comment on column dashboard.source_health.credentials_ready is 'Credentials that may be used, those that cool included.';
comment on column dashboard.source_health.credentials_disabled is 'Credentials that are taken out until an operator puts them back.';

create view dashboard.credential_health as
select c.name, c.source, c.kind, c.state, c.reason, c.cooling_until, coalesce(c.cooling_until > now(), false) as is_cooling,
       c.usage_percent, c.strikes, c.budget, c.window_seconds, c.gap_ms / 1000.0::float8 as gap_seconds, c.requests_total, c.failures,
       c.last_used_at, c.last_failure, c.last_failure_at, c.disabled_at
from credentials c;
comment on view dashboard.credential_health is 'How the credentials are now. Never a secret, which no table has.';
comment on column dashboard.credential_health.name is 'Its name.';
comment on column dashboard.credential_health.source is 'web or graph.';
comment on column dashboard.credential_health.kind is 'guest, session or token.';
comment on column dashboard.credential_health.state is 'ready, or disabled until an operator puts it back.';
comment on column dashboard.credential_health.reason is 'Why it is disabled or cools.';
comment on column dashboard.credential_health.cooling_until is 'Until when nobody asks with it; null or past where it does not cool.';
comment on column dashboard.credential_health.is_cooling is 'Whether that is now.';
comment on column dashboard.credential_health.usage_percent is 'How much of what the source allows it says is used up; null where it does not say.';
comment on column dashboard.credential_health.strikes is 'Answers in a row that may be a wall or a throttle.';
comment on column dashboard.credential_health.budget is 'Requests at most in any window; null where they are not counted.';
comment on column dashboard.credential_health.window_seconds is 'The length of that window.';
comment on column dashboard.credential_health.gap_seconds is 'The least time between two requests.';
comment on column dashboard.credential_health.requests_total is 'Requests since the row is there.';
comment on column dashboard.credential_health.failures is 'Failures that were its own or the source''s.';
comment on column dashboard.credential_health.last_used_at is 'When it was last used.';
comment on column dashboard.credential_health.last_failure is 'The name of the latest such failure.';
comment on column dashboard.credential_health.last_failure_at is 'When that was.';
comment on column dashboard.credential_health.disabled_at is 'When it was taken out; null while it is ready.';

create view dashboard.events as
select e.run_id, e.seq, e.at, e.level, e.event_type, e.message, e.fields, r.task_id, r.username, r.kind
from events e left join runs r using (run_id);
comment on view dashboard.events is 'A row an event, of the logs that are among the live rows; those that are archived or gone are counted in dashboard.event_days and dashboard.runs.';
comment on column dashboard.events.run_id is 'The run; bound it with dashboard.run_id_at, and no more weeks are read than must be.';
comment on column dashboard.events.seq is 'The event''s number in the run.';
comment on column dashboard.events.at is 'When it happened.';
comment on column dashboard.events.level is 'debug, info, warning or error.';
comment on column dashboard.events.event_type is 'What happened, one word of the vocabulary in docs/ARCHITECTURE.md.';
comment on column dashboard.events.message is 'What happened, in a sentence.';
comment on column dashboard.events.fields is 'What happened, in numbers and names: fields ->> ''reason''.';
comment on column dashboard.events.task_id is 'The run''s task.';
comment on column dashboard.events.username is 'The handle that was asked for.';
comment on column dashboard.events.kind is 'profile or reel.';

create view dashboard.event_days as
select day::timestamp at time zone 'UTC' as day, event_type, level, events from event_days;
comment on view dashboard.event_days is 'How many events of which type and level there were on a day (UTC), of runs that have ended; for ever.';
comment on column dashboard.event_days.day is 'The day, as the time of its beginning.';
comment on column dashboard.event_days.event_type is 'What happened.';
comment on column dashboard.event_days.level is 'debug, info, warning or error.';
comment on column dashboard.event_days.events is 'How many.';

create view dashboard.tasks as
select t.task_id, t.kind, t.username, t.source, t.state, t.created_at, t.deleted_at, r.run_id as last_run_id, r.state as last_state,
       r.reason as last_reason, r.requested_at as last_requested_at, r.finished_at as last_finished_at
from tasks t
left join lateral (
    select run_id, state, reason, requested_at, finished_at from runs where task_id = t.task_id order by run_id desc limit 1
) as r on true;
comment on view dashboard.tasks is 'A row a task, with its latest run.';
comment on column dashboard.tasks.task_id is 'The task.';
comment on column dashboard.tasks.kind is 'profile or reel.';
comment on column dashboard.tasks.username is 'The handle that is asked for.';
comment on column dashboard.tasks.source is 'Which source is asked: auto, web or graph.';
comment on column dashboard.tasks.state is 'active or deleted.';
comment on column dashboard.tasks.created_at is 'When it was created.';
comment on column dashboard.tasks.deleted_at is 'When it was deleted; null while it lives.';
comment on column dashboard.tasks.last_run_id is 'Its latest run; null where it never ran, as are the columns below.';
comment on column dashboard.tasks.last_state is 'Where that stands.';
comment on column dashboard.tasks.last_reason is 'Why it waits or did not succeed.';
comment on column dashboard.tasks.last_requested_at is 'When it was asked for.';
comment on column dashboard.tasks.last_finished_at is 'When it ended; null while it is active.';

create view dashboard.profiles as
select p.profile_id, p.instagram_pk as instagram_id, p.username, p.full_name, p.category, p.is_private, p.is_verified, p.first_seen_at,
       p.last_seen_at, s.followers_count, s.following_count, s.posts_count, s.observed_from, s.observed_until, s.run_id, s.seq
from profiles p
left join lateral (
    select * from profile_snapshots where profile_id = p.profile_id order by observed_from desc limit 1
) as s on true;
comment on view dashboard.profiles is 'A row an account, with its latest numbers.';
comment on column dashboard.profiles.profile_id is 'Our own number of the account.';
comment on column dashboard.profiles.instagram_id is 'Instagram''s number of it.';
comment on column dashboard.profiles.username is 'Its handle when last seen.';
comment on column dashboard.profiles.full_name is 'The display name.';
comment on column dashboard.profiles.category is 'The category that it shows.';
comment on column dashboard.profiles.is_private is 'Whether its posts are for followers only; null where not told.';
comment on column dashboard.profiles.is_verified is 'Whether it wears the badge; null where not told.';
comment on column dashboard.profiles.first_seen_at is 'When it was first read.';
comment on column dashboard.profiles.last_seen_at is 'When it was last read.';
comment on column dashboard.profiles.followers_count is 'How many accounts follow it; null where not told.';
comment on column dashboard.profiles.following_count is 'How many accounts it follows; null where not told.';
comment on column dashboard.profiles.posts_count is 'How many posts it has; null where not told.';
comment on column dashboard.profiles.observed_from is 'When these numbers were first seen.';
comment on column dashboard.profiles.observed_until is 'When they were last seen.';
comment on column dashboard.profiles.run_id is 'The run that first saw them.';
comment on column dashboard.profiles.seq is 'The event of that run that says so.';

create view dashboard.profile_growth as
select p.profile_id, p.username, d.day, d.looks, d.looks > 0 as is_observed, d.followers_count, d.following_count, d.posts_count,
       d.followers_count - d.followers_before as followers_change, d.posts_count - d.posts_before as posts_change
from profiles p
cross join lateral (
    select day.day at time zone 'UTC' as day, coalesce(n.looks, 0) as looks, n.followers_count, n.following_count, n.posts_count,
           lag(n.followers_count) over days as followers_before, lag(n.posts_count) over days as posts_before
    from generate_series((select min(x.day) from profile_days x where x.profile_id = p.profile_id)::timestamp,
                         (now() at time zone 'UTC')::date::timestamp, interval '1 day') as day (day)
    left join profile_days n on n.profile_id = p.profile_id and n.day = day.day::date
    window days as (order by day.day)
) as d;
comment on view dashboard.profile_growth is 'An account''s numbers by day (UTC), from the first day on which it was read to today: a row each day. A day on which nobody looked is null, and no number is carried over to it.';
comment on column dashboard.profile_growth.profile_id is 'The account.';
comment on column dashboard.profile_growth.username is 'Its handle when last seen.';
comment on column dashboard.profile_growth.day is 'The day, as the time of its beginning.';
comment on column dashboard.profile_growth.looks is 'How many runs that have ended read it on that day.';
comment on column dashboard.profile_growth.is_observed is 'Whether any did. Where none did, the numbers are null: nobody knows.';
comment on column dashboard.profile_growth.followers_count is 'How many accounts followed it when it was last read on that day; null where none read it, or was told.';
comment on column dashboard.profile_growth.following_count is 'How many accounts it followed.';
comment on column dashboard.profile_growth.posts_count is 'How many posts it had.';
comment on column dashboard.profile_growth.followers_change is 'The change since the day before; null where either day has no number.';
comment on column dashboard.profile_growth.posts_change is 'The same of its posts.';

create view dashboard.posts as
select p.profile_id, p.username, m.shortcode, 'https://www.instagram.com/p/' || m.shortcode || '/' as url, m.kind, m.is_reel,
       m.is_pinned, m.taken_at, m.caption, m.duration_seconds, m.first_seen_at, m.last_seen_at, m.missing_since, s.likes_count,
       s.likes_hidden, s.comments_count, s.plays_count, s.views_count, s.observed_from, s.observed_until, s.run_id, s.seq
from media m
join profiles p using (profile_id)
left join lateral (
    select * from media_snapshots x
    where x.profile_id = m.profile_id and x.shortcode = m.shortcode order by x.observed_from desc limit 1
) as s on true;
comment on view dashboard.posts is 'A row a post or reel, with its latest numbers.';
comment on column dashboard.posts.profile_id is 'The account.';
comment on column dashboard.posts.username is 'Its handle when last seen.';
comment on column dashboard.posts.shortcode is 'The code in the post''s address.';
comment on column dashboard.posts.url is 'That address.';
comment on column dashboard.posts.kind is 'image, video or carousel; null for a kind that was not known.';
comment on column dashboard.posts.is_reel is 'Whether it is a reel.';
comment on column dashboard.posts.is_pinned is 'Whether the account pinned it to the top.';
comment on column dashboard.posts.taken_at is 'When it was published.';
comment on column dashboard.posts.caption is 'Its text.';
comment on column dashboard.posts.duration_seconds is 'A video''s length; null where not told.';
comment on column dashboard.posts.first_seen_at is 'When it was first read.';
comment on column dashboard.posts.last_seen_at is 'When it was last read.';
comment on column dashboard.posts.missing_since is 'When a scan first did not meet it any more; null while it is there.';
comment on column dashboard.posts.likes_count is 'Likes; null where hidden or not told, never 0 for that.';
comment on column dashboard.posts.likes_hidden is 'Whether the owner hides the likes.';
comment on column dashboard.posts.comments_count is 'Comments; null where not told.';
comment on column dashboard.posts.plays_count is 'How often it was started to play; null where not told. Not the same as views.';
comment on column dashboard.posts.views_count is 'Views; null where not told. Not the same as plays.';
comment on column dashboard.posts.observed_from is 'When these numbers were first seen.';
comment on column dashboard.posts.observed_until is 'When they were last seen.';
comment on column dashboard.posts.run_id is 'The run that first saw them.';
comment on column dashboard.posts.seq is 'The event of that run that says so.';

create view dashboard.reels as
select profile_id, username, shortcode, replace(url, '/p/', '/reel/') as url, taken_at, caption, duration_seconds, first_seen_at,
       last_seen_at, missing_since, plays_count, views_count, likes_count, likes_hidden, comments_count, observed_from, observed_until,
       run_id, seq
from dashboard.posts
where is_reel;
comment on view dashboard.reels is 'A row a reel, with its latest numbers.';
comment on column dashboard.reels.profile_id is 'The account.';
comment on column dashboard.reels.username is 'Its handle when last seen.';
comment on column dashboard.reels.shortcode is 'The code in the reel''s address.';
comment on column dashboard.reels.url is 'That address.';
comment on column dashboard.reels.taken_at is 'When it was published.';
comment on column dashboard.reels.caption is 'Its text.';
comment on column dashboard.reels.duration_seconds is 'Its length; null where not told.';
comment on column dashboard.reels.first_seen_at is 'When it was first read.';
comment on column dashboard.reels.last_seen_at is 'When it was last read.';
comment on column dashboard.reels.missing_since is 'When a scan first did not meet it any more; null while it is there.';
comment on column dashboard.reels.plays_count is 'How often it was started to play; null where not told. Not the same as views.';
comment on column dashboard.reels.views_count is 'Views; null where not told. Not the same as plays.';
comment on column dashboard.reels.likes_count is 'Likes; null where hidden or not told, never 0 for that.';
comment on column dashboard.reels.likes_hidden is 'Whether the owner hides the likes.';
comment on column dashboard.reels.comments_count is 'Comments; null where not told.';
comment on column dashboard.reels.observed_from is 'When these numbers were first seen.';
comment on column dashboard.reels.observed_until is 'When they were last seen.';
comment on column dashboard.reels.run_id is 'The run that first saw them.';
comment on column dashboard.reels.seq is 'The event of that run that says so.';

create view dashboard.post_history as
select p.profile_id, p.username, s.shortcode, m.is_reel, m.taken_at, s.observed_from, s.observed_until, s.likes_count, s.likes_hidden,
       s.comments_count, s.plays_count, s.views_count, s.run_id, s.seq
from profiles p
join media m using (profile_id)
join media_snapshots s on s.profile_id = m.profile_id and s.shortcode = m.shortcode;
comment on view dashboard.post_history is 'The numbers of posts and reels over time: a row a change.';
comment on column dashboard.post_history.profile_id is 'The account.';
comment on column dashboard.post_history.username is 'Its handle when last seen.';
comment on column dashboard.post_history.shortcode is 'The post.';
comment on column dashboard.post_history.is_reel is 'Whether it is a reel.';
comment on column dashboard.post_history.taken_at is 'When it was published.';
comment on column dashboard.post_history.observed_from is 'When these numbers were first seen.';
comment on column dashboard.post_history.observed_until is 'When they were last seen. Every look from the first to the last was told the same; between this row and the next nobody looked.';
comment on column dashboard.post_history.likes_count is 'Likes; null where hidden or not told, never 0 for that.';
comment on column dashboard.post_history.likes_hidden is 'Whether the owner hides the likes.';
comment on column dashboard.post_history.comments_count is 'Comments; null where not told.';
comment on column dashboard.post_history.plays_count is 'Plays; null where not told.';
comment on column dashboard.post_history.views_count is 'Views; null where not told.';
comment on column dashboard.post_history.run_id is 'The run that first saw them.';
comment on column dashboard.post_history.seq is 'The event of that run that says so.';

create view dashboard.reel_velocity as
select p.profile_id, p.username, m.shortcode, m.taken_at, v.since, v.until,
       extract(epoch from v.until - m.taken_at)::float8 / 3600 as age_hours, v.plays_count - v.plays_before as plays_gained,
       (v.plays_count - v.plays_before) / (extract(epoch from v.until - v.since)::float8 / 3600) as plays_per_hour, v.plays_count,
       v.run_id, v.seq
from profiles p
join media m using (profile_id)
cross join lateral (
    select lag(s.observed_until) over looks as since, s.observed_from as until, lag(s.plays_count) over looks as plays_before,
           s.plays_count, s.run_id, s.seq
    from media_snapshots s
    where s.profile_id = m.profile_id and s.shortcode = m.shortcode and s.plays_count is not null
    window looks as (order by s.observed_from)
) as v
where m.is_reel and v.since < v.until;
comment on view dashboard.reel_velocity is 'How fast reels are played: a row each change of the plays, between the last look at the number before and the first at this one. Not guessed beyond two looks.';
comment on column dashboard.reel_velocity.profile_id is 'The account.';
comment on column dashboard.reel_velocity.username is 'Its handle when last seen.';
comment on column dashboard.reel_velocity.shortcode is 'The reel.';
comment on column dashboard.reel_velocity.taken_at is 'When it was published.';
comment on column dashboard.reel_velocity.since is 'The last look at the number before.';
comment on column dashboard.reel_velocity.until is 'The first look at this number.';
comment on column dashboard.reel_velocity.age_hours is 'How old the reel was then; null where it is not known when it was published.';
comment on column dashboard.reel_velocity.plays_gained is 'Plays between the two; below 0 where Instagram took some back.';
comment on column dashboard.reel_velocity.plays_per_hour is 'The same an hour.';
comment on column dashboard.reel_velocity.plays_count is 'Plays then.';
comment on column dashboard.reel_velocity.run_id is 'The run that first saw them.';
comment on column dashboard.reel_velocity.seq is 'The event of that run that says so.';

create view dashboard.engagement as
select p.profile_id, p.username, m.shortcode, m.is_reel, m.taken_at, s.likes_count, s.likes_hidden, s.comments_count,
       s.likes_count + s.comments_count as interactions, f.followers_count as followers_at_publish, f.hours as followers_distance_hours,
       (s.likes_count + s.comments_count) / nullif(f.followers_count, 0)::float8 as on_followers,
       case when m.is_reel then (s.likes_count + s.comments_count) / nullif(s.plays_count, 0)::float8 end as on_plays,
       case when m.is_reel then (s.likes_count + s.comments_count) / nullif(s.views_count, 0)::float8 end as on_views,
       s.plays_count, s.views_count, s.observed_until, s.run_id, s.seq
from profiles p
join media m using (profile_id)
left join lateral (
    select * from media_snapshots x
    where x.profile_id = m.profile_id and x.shortcode = m.shortcode order by x.observed_from desc limit 1
) as s on true
left join lateral (
    select near.followers_count, near.hours
    from (
        (select b.followers_count, greatest(extract(epoch from m.taken_at - b.observed_until), 0)::float8 / 3600 as hours
         from profile_snapshots b
         where b.profile_id = m.profile_id and b.observed_from <= m.taken_at and b.followers_count is not null
         order by b.observed_from desc limit 1)
        union all
        (select a.followers_count, extract(epoch from a.observed_from - m.taken_at)::float8 / 3600
         from profile_snapshots a
         where a.profile_id = m.profile_id and a.observed_from > m.taken_at and a.followers_count is not null
         order by a.observed_from limit 1)
    ) as near
    where near.hours <= 48
    order by near.hours
    limit 1
) as f on true;
comment on view dashboard.engagement is 'How posts were received: likes and comments as last seen, on the followers that the account had when it published them; of reels, on plays and on views.';
comment on column dashboard.engagement.profile_id is 'The account.';
comment on column dashboard.engagement.username is 'Its handle when last seen.';
comment on column dashboard.engagement.shortcode is 'The post.';
comment on column dashboard.engagement.is_reel is 'Whether it is a reel.';
comment on column dashboard.engagement.taken_at is 'When it was published.';
comment on column dashboard.engagement.likes_count is 'Likes; null where hidden or not told.';
comment on column dashboard.engagement.likes_hidden is 'Whether the owner hides the likes: then there is no rate.';
comment on column dashboard.engagement.comments_count is 'Comments; null where not told.';
comment on column dashboard.engagement.interactions is 'Likes and comments together; null where either is.';
comment on column dashboard.engagement.followers_at_publish is 'The followers that were true when it was published, or those seen nearest to it, 48 hours away at most; else null.';
comment on column dashboard.engagement.followers_distance_hours is 'How far away that look was; 0 where the number was seen before and after.';
comment on column dashboard.engagement.on_followers is 'interactions / followers_at_publish; null where either is null.';
comment on column dashboard.engagement.on_plays is 'Of a reel interactions / plays_count; null where either is null.';
comment on column dashboard.engagement.on_views is 'Of a reel interactions / views_count; null where either is null.';
comment on column dashboard.engagement.plays_count is 'Plays; null where not told.';
comment on column dashboard.engagement.views_count is 'Views; null where not told.';
comment on column dashboard.engagement.observed_until is 'When the likes and comments were last seen.';
comment on column dashboard.engagement.run_id is 'The run that first saw them.';
comment on column dashboard.engagement.seq is 'The event of that run that says so.';
