-- What dashboards ask of a year, counted once: by hour or day, added to in the transaction that writes the summary of a
-- run (run_summaries), so that each run counts once. Hours and days are UTC's.

create table run_hours (
    hour timestamptz not null,
    kind text not null,
    source text not null,
    trigger text not null,
    state text not null,
    reason text not null,
    runs integer not null,
    events bigint not null,
    requests bigint not null,
    requests_failed bigint not null,
    bytes bigint not null,
    posts bigint not null,
    reels bigint not null,
    run_ms bigint not null,
    queue_ms bigint not null,
    account_ms bigint not null,
    posts_ms bigint not null,
    reels_ms bigint not null,
    update_ms bigint not null,
    waiting_ms bigint not null,
    interrupted_ms bigint not null,
    primary key (hour, kind, source, trigger, state, reason)
);
comment on table run_hours is 'Runs that ended, by the hour of their end and how it was; what they came to in sum.';
comment on column run_hours.hour is 'The hour in which they ended.';
comment on column run_hours.kind is 'runs.kind.';
comment on column run_hours.source is 'runs.source.';
comment on column run_hours.trigger is 'runs.trigger.';
comment on column run_hours.state is 'runs.state.';
comment on column run_hours.reason is 'runs.reason; empty where there is none.';
comment on column run_hours.runs is 'How many runs.';
comment on column run_hours.events is 'Their events.';
comment on column run_hours.requests is 'Their requests.';
comment on column run_hours.requests_failed is 'Those of them that brought nothing usable.';
comment on column run_hours.bytes is 'The size of all answers'' bodies, decoded.';
comment on column run_hours.posts is 'Posts obtained.';
comment on column run_hours.reels is 'Reels obtained with their own numbers.';
comment on column run_hours.run_ms is 'From their first taking up to their ends, in milliseconds.';
comment on column run_hours.queue_ms is 'From their requests to their first taking up, in milliseconds. The columns below are those of run_summaries, in sum.';
comment on column run_hours.account_ms is 'What of run_ms accounts were read.';
comment on column run_hours.posts_ms is 'What of it posts were read.';
comment on column run_hours.reels_ms is 'What of it reels were filtered and read.';
comment on column run_hours.update_ms is 'What of it was spent on the rest.';
comment on column run_hours.waiting_ms is 'What of it they waited.';
comment on column run_hours.interrupted_ms is 'What of it they had no worker.';

create table request_hours (
    hour timestamptz not null,
    source text not null,
    credential text not null,
    endpoint text not null,
    failure text not null,
    requests bigint not null,
    bytes bigint not null,
    ms double precision not null,
    primary key (hour, source, credential, endpoint, failure)
);
comment on table request_hours is 'Requests of runs that have ended, by the hour of their answers; kept when the requests themselves are given up.';
comment on column request_hours.hour is 'The hour of the answer.';
comment on column request_hours.source is 'run_exchanges.source.';
comment on column request_hours.credential is 'run_exchanges.credential; empty where it is not known.';
comment on column request_hours.endpoint is 'run_exchanges.endpoint.';
comment on column request_hours.failure is 'run_exchanges.failure; empty where the answer could be used.';
comment on column request_hours.requests is 'How many requests.';
comment on column request_hours.bytes is 'The size of their answers'' bodies, decoded.';
comment on column request_hours.ms is 'How long they took together, in milliseconds.';

create table event_days (
    day date not null,
    event_type text not null,
    level text not null,
    events bigint not null,
    primary key (day, event_type, level)
);
comment on table event_days is 'Events of runs that have ended, by day; kept when the logs are given up.';
comment on column event_days.day is 'The day on which they happened.';
comment on column event_days.event_type is 'events.event_type.';
comment on column event_days.level is 'events.level.';
comment on column event_days.events is 'How many.';

create table profile_days (
    profile_id bigint not null,
    day date not null,
    looks integer not null,
    followers_count bigint,
    following_count bigint,
    posts_count bigint,
    observed_from timestamptz,
    primary key (profile_id, day)
);
comment on table profile_days is 'The days on which an account was read, and its numbers when it was last read on them. A day on which nobody looked has no row.';
comment on column profile_days.profile_id is 'The account (profiles.profile_id).';
comment on column profile_days.day is 'The day.';
comment on column profile_days.looks is 'How many runs that have ended read it on that day.';
comment on column profile_days.followers_count is 'How many accounts followed it; null where no run of that day was told.';
comment on column profile_days.following_count is 'How many accounts it followed; null where no run of that day was told.';
comment on column profile_days.posts_count is 'How many posts it had; null where no run of that day was told.';
comment on column profile_days.observed_from is 'The snapshot that these numbers are of (profile_snapshots), which names the run and event that brought them; null where none was told.';
