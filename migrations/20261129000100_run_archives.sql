-- The logs of runs that ended long ago, packed: a row in place of up to 256 rows of events.
--
-- A run's log stands in events or here, never in both: one transaction packs it and gives up the rows. Partitioned by the
-- quarter in which the run was requested: a look-up by run locks each partition for its time, so there must not be many,
-- and a quarter is dropped whole.

create table run_archives (
    run_id uuid not null,
    from_seq integer not null check (from_seq > 0),
    until_seq integer not null,
    notable text[],
    packed bytea not null,
    -- Packed in the order of the key, and never changed.
    primary key (run_id, from_seq) with (fillfactor = 100),
    check (until_seq >= from_seq)
) partition by range (run_id);
-- It is compressed already.
alter table run_archives alter column packed set storage external;
create table run_archives_default partition of run_archives default;
-- Which logs have something out of the ordinary; see events_notable.
create index run_archives_notable on run_archives (run_id, from_seq) where notable is not null;

comment on table run_archives is 'The logs of runs that ended long ago, packed: a row a run, and a row each 256 events of a long one.';
comment on column run_archives.run_id is 'The run.';
comment on column run_archives.from_seq is 'The seq of the first event in it (events.seq).';
comment on column run_archives.until_seq is 'The seq of the last event in it.';
comment on column run_archives.notable is 'The types, levels and reasons of those of its events that stood in the index events_notable; null where none did.';
comment on column run_archives.packed is 'The events, byte for byte as they were told: the form that src/archive describes, its version in the first byte.';
comment on table run_archives_default is 'Logs of runs outside every quarterly partition; empty as long as partitions are made in time.';

-- Makes a partition of a table by run, beside its default partition; false where it is there already. A new table is
-- attached rather than created in place: readers and writers of the others do not wait. Rows that came before it stand in
-- the default partition and move over.
create function make_run_partition(parent text, partition text, first timestamptz, above timestamptz) returns boolean
    language plpgsql
as $$
declare
    lowest uuid := uuid_v7_floor(first);
    bound uuid := uuid_v7_floor(above);
begin
    if to_regclass(partition) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including all)', partition, parent);
    execute format('comment on table %I is %L', partition,
        format('Rows of %s whose run was requested from %s on and before %s.', parent,
               to_char(first at time zone 'UTC', 'YYYY-MM-DD'), to_char(above at time zone 'UTC', 'YYYY-MM-DD')));
    -- Nobody adds to the default partition between the move and the attachment.
    execute format('lock table %I in share row exclusive mode', parent || '_default');
    execute format(
        'with early as (delete from %I where run_id >= %L and run_id < %L returning *) '
        'insert into %I select * from early', parent || '_default', lowest, bound, partition);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, partition, lowest, bound);
    return true;
end
$$;
comment on function make_run_partition(text, text, timestamptz, timestamptz) is 'Makes a partition of a table by run for runs of a time, and moves what stands in the default partition into it; for ensure_run_partitions and ensure_archive_partition.';

-- Makes the quarter of run_archives in which a run of this time stands; says how many it made. Any replica may call it at
-- any time.
create function ensure_archive_partition(at timestamptz) returns integer
    language plpgsql
as $$
declare
    first timestamptz := date_trunc('quarter', at at time zone 'UTC') at time zone 'UTC';
    above timestamptz := (date_trunc('quarter', at at time zone 'UTC') + interval '3 months') at time zone 'UTC';
    partition text := 'run_archives_' || to_char(first at time zone 'UTC', 'YYYYMM');
begin
    if to_regclass(partition) is not null then
        return 0;
    end if;
    perform pg_advisory_xact_lock(hashtext('ig-tracking.ensure_run_partitions'));
    return make_run_partition('run_archives', partition, first, above)::integer;
end
$$;
comment on function ensure_archive_partition(timestamptz) is 'Makes the quarterly partition of run_archives for runs of this time; returns how many it made.';

create or replace function ensure_run_partitions(weeks_ahead integer default 4) returns integer
    language plpgsql
as $$
declare
    parent text;
    monday timestamptz;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('ig-tracking.ensure_run_partitions'));
    foreach parent in array array['events', 'run_exchanges'] loop
        for week in 0..weeks_ahead loop
            monday := date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' + make_interval(weeks => week);
            made := made + make_run_partition(
                parent, format('%s_%s', parent, to_char(monday at time zone 'UTC', 'YYYYMMDD')), monday,
                monday + interval '1 week')::integer;
        end loop;
    end loop;
    made := made + ensure_archive_partition(now());
    return made + ensure_archive_partition(now() + make_interval(weeks => weeks_ahead));
end
$$;
comment on function ensure_run_partitions(integer) is 'Makes the weekly partitions of events and run_exchanges up to so many weeks ahead, and the quarters of run_archives; returns how many it made.';

-- Drops a partition by run whose time is over: where it has no row, or with its rows where the caller has seen to it that
-- they may go. False where it has rows, is there no more, or another replica is at the partitions. Writers to it are kept
-- out while it is looked through; readers wait no longer than lock_timeout for the drop itself, which is given up then.
create function drop_run_partition(partition text, with_rows boolean) returns boolean
    language plpgsql
as $$
declare
    has_rows boolean;
begin
    if not pg_try_advisory_xact_lock(hashtext('ig-tracking.ensure_run_partitions')) or to_regclass(partition) is null then
        return false;
    end if;
    perform set_config('lock_timeout', '100ms', true);
    execute format('lock table %I in share row exclusive mode', partition);
    if not with_rows then
        execute format('select exists (select from %I)', partition) into has_rows;
        if has_rows then
            return false;
        end if;
    end if;
    execute format('drop table %I', partition);
    return true;
end
$$;
comment on function drop_run_partition(text, boolean) is 'Drops a partition by run that is empty, or with its rows; false where it does not.';

select ensure_run_partitions();
