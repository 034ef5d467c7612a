-- Weeks for the logs, the accounts' tasks and rows, and the runs.
do $$
declare
    parent text;
    monday timestamptz;
    name text;
begin
    for parent in select p.relname from pg_class p join pg_namespace n on n.oid = p.relnamespace
        where p.relname in ('events', 'run_exchanges') and n.nspname = current_schema
    loop
        for monday in
            select week from history, generate_series(date_trunc('week', since at time zone 'UTC') at time zone 'UTC', until,
                interval '7 days') as week
        loop
            name := format('%s_%s', parent, to_char(monday at time zone 'UTC', 'YYYYMMDD'));
            continue when to_regclass(name) is not null;
            execute format('create table %I partition of %I for values from (%L) to (%L)', name, parent,
                uuid_v7_floor(monday), uuid_v7_floor(monday + interval '7 days'));
            execute format('comment on table %I is %L', name, format('Rows of %s whose run was requested in the week of %s.',
                parent, to_char(monday at time zone 'UTC', 'YYYY-MM-DD')));
        end loop;
    end loop;
end $$;

insert into tasks (task_id, kind, username, source, created_at, updated_at, state, deleted_at)
select 'history-' || k.kind || '-' || a.p, k.kind, a.username, case a.source when 'graph' then 'graph' else 'auto' end,
       h.since, coalesce(a.gone_at + interval '10 days', h.since),
       case when a.gone_at + interval '10 days' < h.until then 'deleted' else 'active' end,
       case when a.gone_at + interval '10 days' < h.until then a.gone_at + interval '10 days' end
from account a cross join history h cross join (values ('profile'), ('reel')) as k (kind)
where k.kind = 'profile' or a.source = 'web';

insert into credentials (name, source, kind, state, reason, gap_ms, jitter_ms, budget, window_seconds, requests_total, failures,
                         last_used_at, last_failure, last_failure_at, disabled_at, created_at)
select name, source, kind, state, case state when 'disabled' then failure end, 6000, 6000, 75, 660, 900000, failures,
       until - interval '2 hours', failure, until - interval '30 hours',
       case state when 'disabled' then until - interval '30 hours' end, since
from history, (values
    ('guest', 'web', 'guest', 'ready', 'throttled', 4100), ('alpha', 'web', 'session', 'ready', 'throttled', 1730),
    ('beta', 'web', 'session', 'ready', 'login_required', 2960), ('gamma', 'web', 'session', 'disabled', 'challenge_required', 1811),
    ('meta', 'graph', 'token', 'ready', 'throttled', 140)) as c (name, source, kind, state, failure, failures)
on conflict do nothing;

-- Who was read at least once, as last read.
insert into profiles (instagram_pk, username, full_name, biography, is_private, is_verified, first_seen_at, last_seen_at, run_id, seq)
select a.pk, a.username, initcap(replace(a.username, '.', ' ')), 'Invented account number ' || a.p, a.is_private, a.is_verified,
       first.account_at, last.account_at, last.run_id, 2 + last.before
from account a
cross join lateral (select account_at from run_plan r where r.p = a.p and has_account order by account_at limit 1) as first
cross join lateral (select * from run_plan r where r.p = a.p and has_account order by account_at desc limit 1) as last
order by a.p;
update account a set profile_id = q.profile_id from profiles q where q.instagram_pk = a.pk;
insert into profile_names (profile_id, observed_from, username, run_id, seq)
select a.profile_id, first.account_at, a.username, first.run_id, 2 + first.before
from account a
cross join lateral (select * from run_plan r where r.p = a.p and has_account order by account_at limit 1) as first;

insert into runs (run_id, task_id, kind, username, source, trigger, state, reason, attempt, lease, worker_id, last_seq,
                  last_exchange, profile_id, checkpoint, requested_at, started_at, updated_at, deadline_at,
                  cancel_requested_at, finished_at, state_xid)
select r.run_id, 'history-' || r.kind || '-' || r.p, r.kind, a.username, case a.source when 'graph' then 'graph' else 'auto' end,
       case when pg_temp.dice(r.key, 50) < 0.01 then 'retry' else 'api' end, r.state, r.reason, 1 + r.pairs + r.lost::int,
       1 + r.pairs + r.lost::int, md5('worker ' || date_trunc('week', r.requested_at))::uuid, r.last_seq, r.last_exchange,
       case when r.has_account then a.profile_id end,
       -- As a text that is read once: to put JSON into JSON copies it each time.
       case when r.has_account and r.state <> 'succeeded' then (
           '{"account": {"pk": ' || a.pk || ', "username": "' || a.username || '", "is_private": ' || a.is_private
           || ', "posts_count": ' || r.posts_count || ', "followers_count": ' || r.followers_count
           || '}, "posts": {"pages": ' || r.pages || ', "done": ' || r.is_whole || ', "circled": false, "restarted_after": null, "codes": '
           || case when r.is_whole then coalesce(l.codes, '[]') else '[]' end
           || ', "next": "feed:QVF' || md5(r.key::text) || a.digest || '", "followed": ['
           || (select coalesce(string_agg('"feed:QVF' || md5(r.key::text || n) || a.digest || '"', ', '), '')
               from generate_series(2, r.pages) as n)
           || ']}, "scan": {"begun": true, "newest": ' || coalesce(l.newest, 'null') || ', "oldest": ' || coalesce(l.oldest, 'null')
           || ', "missing": [], "stopped": false, "kept_posts": 0, "kept_reels": 0, "known_until": null, "is_disordered": false}, "reels": '
           || coalesce(l.reel_codes, '[]') || ', "reels_filtered": ' || (r.reel_pages > 0) || ', "reels_processed": ' || (r.reel_pages > 0)
           || ', "reel_numbers": {"pages": ' || r.reel_pages || ', "done": false, "circled": false, "restarted_after": null, "next": null, '
           || '"followed": [], "codes": ' || case when r.reel_pages > 0 then l.reel_codes else '[]' end
           || '}, "reels_missing": [], "reels_not_offered": false, "drift": {"lost": ' || r.drift || ', "told": [], "missing": []}, '
           || '"came_on_in": ' || (1 + r.pairs + r.lost::int) || ', "turns_awaited": 0, "credentials_lost": 0, "walls": [], '
           || '"events_dropped": 0, "bodies_kept": 0}')::jsonb
       end,
       r.requested_at, r.started_at, r.finished_at, r.requested_at + interval '2 hours',
       case when r.state = 'cancelled' then r.finished_at - interval '40 milliseconds' end, r.finished_at, '0'
from run_plan r join account a using (p) left join list l on l.p = r.p and l.posts_count = r.posts_count
order by r.run_id;
