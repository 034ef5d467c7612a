-- A request that did not reach its source says nothing of it: its proxy lets nobody through, say. It counted as an answer,
-- and closed a circuit that was open. Now outage may be null, which leaves the circuit as it is; where that request was the
-- one that was let through to see, another one may see.

create or replace function hear_of_credentials(
    told text[], run uuid[], answered boolean[], outage boolean[], effect text[], seconds double precision[],
    failure text[], usage double precision[], regained double precision[],
    breaker_failures integer, breaker_seconds double precision)
    returns table (n bigint, source text, cooled boolean, disabled boolean, circuit text)
    language plpgsql
as $$
declare
    c credentials%rowtype;
    b circuits%rowtype;
    word record;
    moment timestamptz;
    cools double precision;
    why text;
begin
    perform from credentials where name = any(told) order by name for no key update;
    perform from circuits k
        where k.source in (select s.source from credentials s where s.name = any(told))
        order by k.source for no key update;
    moment := clock_timestamp();
    for word in
        select * from unnest(told, run, answered, outage, effect, seconds, failure, usage, regained) with ordinality
            as w (name, run, answered, outage, effect, seconds, failure, usage, regained, n)
        order by w.n
    loop
        select * into c from credentials where name = word.name;
        continue when not found;
        select * into b from circuits k where k.source = c.source;
        n := word.n; source := c.source; cooled := false; disabled := false; circuit := null;
        cools := null; why := word.failure;

        if word.outage then
            b.failures := b.failures + 1;
            if word.run is not null and cardinality(b.runs) < 3 and not word.run = any(b.runs) then
                b.runs := b.runs || word.run;
            end if;
            if (b.open_until is null and b.failures >= breaker_failures and cardinality(b.runs) >= 3)
                    or b.open_until <= moment then
                b.open_until := moment + make_interval(secs => least(breaker_seconds * 2 ^ least(b.opened, 20), 900));
                b.opened := b.opened + 1;
                b.probe_until := null;
                circuit := 'opened';
            end if;
        elsif word.outage is null then
            if b.open_until <= moment then
                b.probe_until := null;
            end if;
        elsif b.failures > 0 or b.open_until is not null then
            circuit := case when b.open_until is not null then 'closed' end;
            b.failures := 0; b.runs := '{}'; b.opened := 0; b.open_until := null; b.probe_until := null;
        end if;

        if word.answered then
            c.strikes := 0; c.strike_run := null;
        elsif word.effect = 'cool' then
            cools := word.seconds;
        elsif word.effect = 'disable' then
            disabled := c.state = 'ready';
        elsif word.effect = 'strike' and c.state = 'ready' and coalesce(c.cooling_until <= moment, true)
                and (c.strikes <> 1 or word.run is null or c.strike_run is distinct from word.run) then
            c.strikes := c.strikes + 1;
            c.strike_run := word.run;
            if c.strikes > 4 and c.kind <> 'guest' then
                disabled := true;
            elsif c.strikes >= 2 then
                cools := word.seconds;
            end if;
        end if;
        if word.usage is not null then
            c.usage_percent := word.usage;
            if word.usage >= 95 then
                cools := greatest(cools, coalesce(word.regained, word.seconds));
                why := coalesce(why, 'throttled');
            end if;
        end if;

        if disabled then
            c.state := 'disabled'; c.reason := why; c.note := null; c.disabled_at := moment;
        elsif cools is not null and c.state = 'ready' then
            cooled := true;
            c.cooling_until := greatest(c.cooling_until, moment + make_interval(secs => cools));
            c.reason := why;
        end if;
        update credentials k
        set state = c.state, reason = c.reason, note = c.note, disabled_at = c.disabled_at,
            cooling_until = c.cooling_until, strikes = c.strikes, strike_run = c.strike_run,
            usage_percent = c.usage_percent,
            failures = k.failures + (coalesce(word.outage, false) or word.effect <> 'none')::int,
            last_failure = case when word.outage or word.effect <> 'none' then word.failure else k.last_failure end,
            last_failure_at = case when word.outage or word.effect <> 'none' then moment else k.last_failure_at end,
            updated_at = case when disabled or cooled then moment else k.updated_at end
        where k.name = c.name;
        update circuits k
        set failures = b.failures, runs = b.runs, opened = b.opened, open_until = b.open_until,
            probe_until = b.probe_until,
            updated_at = case when circuit is null then k.updated_at else moment end
        where k.source = b.source
            and (k.failures, k.opened, k.open_until, k.probe_until)
                is distinct from (b.failures, b.opened, b.open_until, b.probe_until);
        return next;
    end loop;
end
$$;
comment on function hear_of_credentials(text[], uuid[], boolean[], boolean[], text[], double precision[], text[], double precision[], double precision[], integer, double precision) is 'Hears how requests ended, and does what follows from it to their credentials and to the circuits. An outage of null says nothing of the source.';
