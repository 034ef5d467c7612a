-- What a run says and what it asked: two logs, partitioned by the week in which the run was requested.
--
-- A run's id begins with its time, so all rows of a run share a partition, a look-up by run prunes to it, the key
-- needs no time of its own, and a week is dropped whole. No foreign keys: the fenced write has checked the run.

create table events (
    run_id uuid not null,
    seq bigint not null check (seq > 0),
    at timestamptz not null,
    level text not null check (level in ('debug', 'info', 'warning', 'error')),
    event_type text not null,
    message text not null,
    fields jsonb not null default '{}' check (jsonb_typeof(fields) = 'object'),
    primary key (run_id, seq)
) partition by range (run_id);
create table events_default partition of events default;

comment on table events is 'The log of every run: one row a step, numbered 1, 2, 3 … without a gap. A row never changes.';
comment on column events.run_id is 'The run.';
comment on column events.seq is 'Its number in the run: log count, page cursor, stream id and permalink in one.';
comment on column events.at is 'When it happened, on the database''s clock.';
comment on column events.level is 'debug, info, warning or error.';
comment on column events.event_type is 'What happened, one word of the vocabulary in docs/ARCHITECTURE.md.';
comment on column events.message is 'What happened, in a sentence for a person.';
comment on column events.fields is 'What happened, in numbers and names for a query.';
comment on table events_default is 'Events of runs outside every weekly partition; empty as long as partitions are made in time.';

create table run_exchanges (
    run_id uuid not null,
    seq bigint not null check (seq > 0),
    at timestamptz not null,
    attempt integer not null,
    source text not null check (source in ('web', 'graph')),
    endpoint text not null,
    method text not null,
    url text not null,
    status smallint,
    duration_ms double precision not null,
    bytes bigint not null,
    failure text,
    body bytea,
    primary key (run_id, seq)
) partition by range (run_id);
create table run_exchanges_default partition of run_exchanges default;

comment on table run_exchanges is 'Every request that a run made to its source and how it was answered.';
comment on column run_exchanges.run_id is 'The run.';
comment on column run_exchanges.seq is 'Its number in the run: 1, 2, 3 … without a gap.';
comment on column run_exchanges.at is 'When the answer was complete or given up, on the database''s clock.';
comment on column run_exchanges.attempt is 'The attempt of the run that made it.';
comment on column run_exchanges.source is 'web or graph.';
comment on column run_exchanges.endpoint is 'The short name of the endpoint, the same as in events and metrics.';
comment on column run_exchanges.method is 'GET or POST.';
comment on column run_exchanges.url is 'The address asked, without any secret.';
comment on column run_exchanges.status is 'The HTTP status; null where no answer came.';
comment on column run_exchanges.duration_ms is 'From the request to the last byte of the answer, in milliseconds.';
comment on column run_exchanges.bytes is 'The size of the answer''s body in bytes, decoded.';
comment on column run_exchanges.failure is 'The name of the failure; null where the answer could be used.';
comment on column run_exchanges.body is 'The answer''s body (zstd), kept where it failed or could not be read whole; its first 256 KiB.';
comment on table run_exchanges_default is 'Requests of runs outside every weekly partition; empty as long as partitions are made in time.';

-- Makes the partitions of this week and the weeks ahead, and says how many it made. Any replica may call it at any
-- time. A new table is attached rather than created in place: readers and writers of the others do not wait. Rows that
-- came before their week was made stand in the default partition and move over.
create function ensure_run_partitions(weeks_ahead integer default 4) returns integer
    language plpgsql
as $$
declare
    parent text;
    monday timestamptz;
    partition text;
    lowest uuid;
    above uuid;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('ig-tracking.ensure_run_partitions'));
    foreach parent in array array['events', 'run_exchanges'] loop
        for week in 0..weeks_ahead loop
            monday := date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' + make_interval(weeks => week);
            partition := format('%s_%s', parent, to_char(monday at time zone 'UTC', 'YYYYMMDD'));
            continue when to_regclass(partition) is not null;
            lowest := uuid_v7_floor(monday);
            above := uuid_v7_floor(monday + interval '1 week');
            execute format('create table %I (like %I including all)', partition, parent);
            execute format('comment on table %I is %L', partition,
                format('Rows of %s whose run was requested in the week of %s.', parent,
                       to_char(monday at time zone 'UTC', 'YYYY-MM-DD')));
            -- Nobody adds to the default partition between the move and the attachment.
            execute format('lock table %I in share row exclusive mode', parent || '_default');
            execute format(
                'with early as (delete from %I where run_id >= %L and run_id < %L returning *) '
                'insert into %I select * from early', parent || '_default', lowest, above, partition);
            execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, partition,
                lowest, above);
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;
comment on function ensure_run_partitions(integer) is 'Makes the weekly partitions of events and run_exchanges up to so many weeks ahead; returns how many it made.';

select ensure_run_partitions();
