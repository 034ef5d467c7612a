-- What to track, and each attempt to bring it up to date.

-- A version 7 UUID (RFC 9562) from the database's clock: 48 bits of milliseconds, 12 bits of the fraction of the
-- millisecond, 62 bits of chance. Ids of one database sort by the time they were made, across all replicas.
create function uuid_v7(at timestamptz default clock_timestamp()) returns uuid
    language sql volatile parallel safe
as $$
    select encode(
        substring(int8send(micros / 1000) from 3)
            || int2send((28672 + (micros % 1000) * 4096 / 1000)::int2)
            || substring(uuid_send(gen_random_uuid()) from 9),
        'hex')::uuid
    from (select (extract(epoch from at) * 1000000)::bigint) as clock (micros)
$$;
comment on function uuid_v7(timestamptz) is 'A version 7 UUID of the given time; sorts by time to a quarter of a microsecond.';

-- The lowest id that uuid_v7 can give at a time: the bounds of partitions and of searches by time.
create function uuid_v7_floor(at timestamptz) returns uuid
    language sql immutable parallel safe
as $$
    select encode(
        substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3) || '\x00000000000000000000'::bytea,
        'hex')::uuid
$$;
comment on function uuid_v7_floor(timestamptz) is 'The lowest version 7 UUID of the given time, for bounds and searches.';

create table tasks (
    task_id text primary key check (task_id ~ '^[A-Za-z0-9_.:-]{1,128}$'),
    kind text not null check (kind in ('profile', 'reel')),
    username text not null check (username ~ '^[a-z0-9._]{1,30}$'),
    source text not null default 'auto' check (source in ('auto', 'web', 'graph')),
    state text not null default 'active' check (state in ('active', 'deleted')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint tasks_deleted_has_its_time check ((state = 'deleted') = (deleted_at is not null))
);
create index tasks_by_username on tasks (username);
create index tasks_by_creation on tasks (created_at, task_id) where state = 'active';

comment on table tasks is 'What to track: one account, as a profile or for its reels. A deleted task keeps its row, so that its history keeps its meaning.';
comment on column tasks.task_id is 'The client''s own name for the task, or a version 7 UUID where it gave none.';
comment on column tasks.kind is 'profile: the account and its latest posts; reel: its reels with their own numbers.';
comment on column tasks.username is 'The account''s handle in lower case, as it was asked for.';
comment on column tasks.source is 'Which source to ask: auto, web or graph.';
comment on column tasks.state is 'active, or deleted: then it takes no more runs.';
comment on column tasks.created_at is 'When the task was created.';
comment on column tasks.updated_at is 'When the task itself last changed; a run does not change it.';
comment on column tasks.deleted_at is 'When the task was deleted; null while it lives. Its runs and events stay.';

create table runs (
    run_id uuid primary key default uuid_v7(),
    task_id text not null references tasks,
    kind text not null check (kind in ('profile', 'reel')),
    username text not null,
    source text not null check (source in ('auto', 'web', 'graph')),
    trigger text not null check (trigger in ('api', 'demo')),
    state text not null check (state in ('queued', 'running', 'waiting', 'succeeded', 'partial', 'failed', 'cancelled')),
    reason text check (reason in (
        'rate_limited', 'login_required', 'challenge_required', 'not_found', 'private', 'age_restricted', 'geo_blocked',
        'upstream_changed', 'upstream_unavailable', 'deadline_exceeded', 'lease_lost', 'cancelled_by_client',
        'internal_error')),
    attempt integer not null default 0 check (attempt >= 0),
    lease bigint not null default 0 check (lease >= 0),
    worker_id uuid,
    claimable_at timestamptz,
    last_seq bigint not null default 0 check (last_seq >= 0),
    last_exchange bigint not null default 0 check (last_exchange >= 0),
    profile_id bigint,
    checkpoint jsonb,
    requested_at timestamptz not null default now(),
    started_at timestamptz,
    updated_at timestamptz not null default now(),
    deadline_at timestamptz not null,
    cancel_requested_at timestamptz,
    finished_at timestamptz,
    constraint runs_active_is_claimable check (
        (state in ('queued', 'running', 'waiting')) = (claimable_at is not null)),
    constraint runs_final_is_finished check (
        (state in ('succeeded', 'partial', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint runs_reason_where_due check (
        case
            when state in ('partial', 'failed', 'cancelled', 'waiting') then reason is not null
            else reason is null
        end)
) with (fillfactor = 70);

-- The rule that no code can break: a task has at most one active run.
create unique index runs_one_active_per_task on runs (task_id) where state in ('queued', 'running', 'waiting');
-- The one clock of active runs: what is due, oldest first, whether it waits for its first hand or lost its last one.
create index runs_claimable on runs (claimable_at) where state in ('queued', 'running', 'waiting');
-- The latest run of a task.
create index runs_by_task on runs (task_id, run_id);

comment on table runs is 'One attempt to bring a task up to date, from the request to its end, over all crashes and waits in between.';
comment on column runs.run_id is 'A version 7 UUID: sorts by the time of the request.';
comment on column runs.task_id is 'The task that it is for.';
comment on column runs.kind is 'The task''s kind when the run was asked for.';
comment on column runs.username is 'The task''s username when the run was asked for.';
comment on column runs.source is 'The task''s source when the run was asked for.';
comment on column runs.trigger is 'What asked for it: api (a client''s request) or demo.';
comment on column runs.state is 'Active: queued, running, waiting (backing off until claimable_at). Final: succeeded, partial, failed, cancelled.';
comment on column runs.reason is 'Why it is waiting or did not succeed; null while queued or running and when it succeeded.';
comment on column runs.attempt is 'How many times a worker took it up; 0 before the first. A run handed over at shutdown has not spent its attempt.';
comment on column runs.lease is 'Raised by each claim and never lowered: whoever writes for the run must name the current one.';
comment on column runs.worker_id is 'The boot of the replica that took it up last.';
comment on column runs.claimable_at is 'When any replica may claim it: at once when queued, the lease''s end when running, the resume time when waiting, never (null) when finished.';
comment on column runs.last_seq is 'The seq of its latest event, which is also how many events it has.';
comment on column runs.last_exchange is 'The seq of its latest upstream request, which is also how many it made.';
comment on column runs.profile_id is 'The account that it found (profiles.profile_id); null before that.';
comment on column runs.checkpoint is 'How far it came: the stage, the cursor of the next page and the counts so far; a worker that takes it up goes on from here.';
comment on column runs.requested_at is 'When it was asked for.';
comment on column runs.started_at is 'When a worker first took it up; null while it waits for its first.';
comment on column runs.updated_at is 'When its latest event was written or its state last changed.';
comment on column runs.deadline_at is 'When it is ended as deadline_exceeded if it has not ended before.';
comment on column runs.cancel_requested_at is 'When a client asked to cancel it; its worker stops at the next step.';
comment on column runs.finished_at is 'When it ended; null while active.';
