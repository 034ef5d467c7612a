-- A request with a credential that has no pace is counted as it asks, and no longer only with the next that asks: one
-- that was taken out by its very first request was never used, as its row told. What a replica does for a moment without
-- asking again it says next time, as before.

create or replace function take_slots(wanted text[], used bigint[], ahead double precision, slack double precision)
    returns table (n bigint, verdict text, wait_seconds double precision, reason text, paced boolean, doubtful boolean)
    language plpgsql
as $$
declare
    c credentials%rowtype;
    b circuits%rowtype;
    ask record;
    moment timestamptz;
    slot timestamptz;
    gap interval;
    given bigint;
begin
    perform from credentials where name = any(wanted) order by name for no key update;
    perform from circuits where open_until is not null
        and source in (select k.source from credentials k where k.name = any(wanted)) order by source for no key update;
    moment := clock_timestamp();
    return query
        select w.n, 'unknown', null::float8, null::text, true, false
        from unnest(wanted) with ordinality as w (name, n)
        where not exists (select from credentials k where k.name = w.name);
    for c in select k.* from credentials k where k.name = any(wanted) order by k.name loop
        select * into b from circuits where source = c.source;
        given := 0;
        paced := c.gap_ms > 0 or c.jitter_ms > 0 or c.budget is not null or coalesce(c.usage_percent, 0) >= 80;
        doubtful := c.strikes > 0 or b.failures > 0 or b.open_until is not null;
        gap := make_interval(secs => c.gap_ms / 1000.0);
        if c.usage_percent >= 80 then
            gap := greatest(gap * 4, make_interval(secs => greatest(1, 2 * c.window_seconds / coalesce(c.budget, 3600))));
        end if;
        for ask in
            select w.n, w.used from unnest(wanted, used) with ordinality as w (name, used, n)
            where w.name = c.name order by w.n
        loop
            n := ask.n;
            given := given + ask.used;
            reason := null;
            slot := greatest(moment, c.next_slot_at);
            if c.state = 'disabled' then
                verdict := 'disabled'; wait_seconds := null; reason := c.reason;
            elsif c.cooling_until > moment then
                verdict := 'cooling'; reason := c.reason;
                wait_seconds := extract(epoch from c.cooling_until - moment);
            elsif b.open_until > moment then
                verdict := 'open'; wait_seconds := extract(epoch from b.open_until - moment);
            elsif b.open_until is not null and b.probe_until > moment then
                verdict := 'half_open';
                wait_seconds := least(1, extract(epoch from b.probe_until - moment));
            elsif slot > moment + make_interval(secs => ahead) then
                verdict := 'busy';
                c.promised_until := greatest(slot, c.promised_until + greatest(
                    gap + make_interval(secs => c.jitter_ms / 2000.0),
                    make_interval(secs => coalesce(c.window_seconds / c.budget, 0))));
                wait_seconds := extract(epoch from c.promised_until - moment);
            else
                verdict := 'go'; wait_seconds := extract(epoch from slot - moment);
                given := given + 1;
                if b.open_until is not null then
                    b.probe_until := slot + interval '60 seconds';
                    update circuits k set probe_until = b.probe_until where k.source = b.source;
                end if;
                if paced then
                    c.next_slot_at := slot + gap + make_interval(secs => random() * c.jitter_ms / 1000.0);
                    if c.budget is not null then
                        c.slots := (c.slots || slot)[greatest(1, cardinality(c.slots) + 2 - c.budget):];
                        if cardinality(c.slots) = c.budget then
                            c.next_slot_at := greatest(c.next_slot_at,
                                c.slots[1] + make_interval(secs => c.window_seconds + slack));
                        end if;
                    end if;
                end if;
            end if;
            return next;
        end loop;
        if given > 0 or c.promised_until > moment then
            update credentials k
            set slots = c.slots, next_slot_at = c.next_slot_at, promised_until = c.promised_until,
                requests_total = k.requests_total + given,
                last_used_at = case when given > 0 then moment else k.last_used_at end
            where k.name = c.name;
        end if;
    end loop;
end
$$;
