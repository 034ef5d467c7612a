-- Who may ask the sources, when, and what became of it. What a credential is (a cookie, a token) is in the memory of
-- the replicas alone; a row has its name.
--
-- All times are the database's, so that replicas with different clocks, and one that was restarted, count alike.

create table credentials (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    source text not null check (source in ('web', 'graph')),
    kind text not null check (kind in ('guest', 'session', 'token')),
    state text not null default 'ready' check (state in ('ready', 'disabled')),
    reason text,
    note text,
    cooling_until timestamptz,
    gap_ms integer not null check (gap_ms >= 0),
    jitter_ms integer not null check (jitter_ms >= 0),
    budget integer check (budget between 1 and 10000),
    window_seconds double precision not null check (window_seconds > 0),
    slots timestamptz[] not null default '{}',
    next_slot_at timestamptz not null default now(),
    promised_until timestamptz not null default now(),
    usage_percent double precision,
    strikes integer not null default 0 check (strikes >= 0),
    strike_run uuid,
    requests_total bigint not null default 0 check (requests_total >= 0),
    failures bigint not null default 0 check (failures >= 0),
    last_used_at timestamptz,
    last_failure text,
    last_failure_at timestamptz,
    disabled_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint credentials_disabled_says_why check (state = 'ready' or (reason is not null and disabled_at is not null))
) with (fillfactor = 50);

comment on table credentials is 'Every credential that a replica was started with: whether it may be used, at which pace, and the slots that were given out. Never the secret.';
comment on column credentials.name is 'Its name in the file of credentials; cookie is the one of IGT_WEB_COOKIE, guest is the web source without any.';
comment on column credentials.source is 'web or graph.';
comment on column credentials.kind is 'guest, session (a browser''s cookie) or token.';
comment on column credentials.state is 'ready, or disabled: not used until an operator puts it back.';
comment on column credentials.reason is 'Why it is disabled or cools: the name of a failure, or operator.';
comment on column credentials.note is 'What the operator said who took it out or put it back.';
comment on column credentials.cooling_until is 'Until when nobody asks with it; null or past where it does not cool.';
comment on column credentials.gap_ms is 'The least time between two slots, in milliseconds.';
comment on column credentials.jitter_ms is 'Up to so much is added to each gap, by chance, in milliseconds.';
comment on column credentials.budget is 'How many requests at most fall into any window; null where they are not counted.';
comment on column credentials.window_seconds is 'The length of that window, in seconds.';
comment on column credentials.slots is 'The latest slots given out, oldest first, as many as the budget has at most; some may lie a little ahead.';
comment on column credentials.next_slot_at is 'The next slot is no earlier: the gap after the latest, and the window after the oldest one that fills the budget.';
comment on column credentials.promised_until is 'Runs whose slot is too far ahead are told to come back by then, one gap after the other, in the order of asking.';
comment on column credentials.usage_percent is 'How much of what the source allows it says is used up; null where it does not say.';
comment on column credentials.strikes is 'Answers in a row, of different runs and with nothing usable between, that may be a wall or a throttle.';
comment on column credentials.strike_run is 'The run that met the latest of them.';
comment on column credentials.requests_total is 'Slots given out since the row is there. Where there is no pace they are counted in bundles, and the last ones of a replica that dies are not.';
comment on column credentials.failures is 'Failures that were its own or the source''s, not an account''s.';
comment on column credentials.last_used_at is 'When a slot was last given out.';
comment on column credentials.last_failure is 'The name of the latest such failure.';
comment on column credentials.last_failure_at is 'When that was.';
comment on column credentials.disabled_at is 'When it was taken out; null while it is ready.';
comment on column credentials.created_at is 'When a replica was first started with it.';
comment on column credentials.updated_at is 'When a replica was last started with it, or its state last changed.';

create table circuits (
    source text primary key check (source in ('web', 'graph')),
    failures integer not null default 0 check (failures >= 0),
    runs uuid[] not null default '{}',
    opened integer not null default 0 check (opened >= 0),
    open_until timestamptz,
    probe_until timestamptz,
    updated_at timestamptz not null default now()
);
insert into circuits (source) values ('web'), ('graph');

comment on table circuits is 'The circuit breaker of each source: while it is open nobody asks, whatever the credential.';
comment on column circuits.source is 'web or graph.';
comment on column circuits.failures is 'Failures in a row, over all credentials and accounts, that speak for an outage.';
comment on column circuits.runs is 'Some of the runs that met them: one account alone opens no circuit.';
comment on column circuits.opened is 'How often in a row it was opened; each time for longer.';
comment on column circuits.open_until is 'Until when nobody asks; then one request is let through to see. Null while it is closed.';
comment on column circuits.probe_until is 'Until when that one request may take; then another is let through.';
comment on column circuits.updated_at is 'When it last opened or closed.';

alter table run_exchanges add column credential text;
comment on column run_exchanges.credential is 'The name of the credential that it was asked with; null for requests from before credentials had names.';

-- Gives out slots for many requests at once, each in the order of asking. Verdicts: go (in so many seconds), busy,
-- cooling, open (the circuit), half_open: not before so many seconds have passed; disabled; unknown.
--
-- Locks go in one order, rows of credentials by name and then circuits by source, as in hear_of_credentials.
create function take_slots(wanted text[], used bigint[], ahead double precision, slack double precision)
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
                else
                    -- Nothing to be counted one by one: whoever is told so counts for itself and says it next time.
                    given := given - 1;
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
comment on function take_slots(text[], bigint[], double precision, double precision) is 'Gives out slots for requests, no slot further ahead than so many seconds; slack seconds are added to each window, for what may pass between a slot and its request.';

-- Hears how requests ended. Effects: none, cool, strike, disable. Returns what changed by it.
create function hear_of_credentials(
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
            failures = k.failures + (word.outage or word.effect <> 'none')::int,
            last_failure = case when word.outage or word.effect <> 'none' then word.failure else k.last_failure end,
            last_failure_at = case when word.outage or word.effect <> 'none' then moment else k.last_failure_at end,
            updated_at = case when disabled or cooled then moment else k.updated_at end
        where k.name = c.name;
        update circuits k
        set failures = b.failures, runs = b.runs, opened = b.opened, open_until = b.open_until,
            probe_until = b.probe_until,
            updated_at = case when circuit is null then k.updated_at else moment end
        where k.source = b.source
            and (k.failures, k.opened, k.open_until) is distinct from (b.failures, b.opened, b.open_until);
        return next;
    end loop;
end
$$;
comment on function hear_of_credentials(text[], uuid[], boolean[], boolean[], text[], double precision[], text[], double precision[], double precision[], integer, double precision) is 'Hears how requests ended, and does what follows from it to their credentials and to the circuits.';
