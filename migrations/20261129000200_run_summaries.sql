-- What is left of a run when its log is given up: a row of numbers each, written once by the maintenance step soon after
-- the end. No foreign key to runs, as elsewhere.

create table event_tallies (
    tally_id integer generated always as identity primary key,
    by_type jsonb not null check (jsonb_typeof(by_type) = 'object'),
    by_level jsonb not null check (jsonb_typeof(by_level) = 'object'),
    unique (by_type, by_level)
);
comment on table event_tallies is 'How many events of each type and level a run can have: a row a combination that occurred. Runs that go alike share one, so that a run''s counts take four bytes.';
comment on column event_tallies.tally_id is 'What run_summaries names it by.';
comment on column event_tallies.by_type is 'How many events of each type: {"posts_fetched": 5, …}.';
comment on column event_tallies.by_level is 'How many events of each level: {"info": 9, …}.';

create table run_summaries (
    run_id uuid primary key,
    bytes bigint check (bytes >= 0),
    tally_id integer,
    requests integer not null check (requests >= 0),
    requests_failed integer check (requests_failed >= 0),
    requests_ms integer check (requests_ms >= 0),
    posts integer check (posts >= 0),
    reels integer check (reels >= 0),
    queue_ms integer check (queue_ms >= 0),
    account_ms integer check (account_ms >= 0),
    posts_ms integer check (posts_ms >= 0),
    reels_ms integer check (reels_ms >= 0),
    update_ms integer check (update_ms >= 0),
    waiting_ms integer check (waiting_ms >= 0),
    interrupted_ms integer check (interrupted_ms >= 0)
);
comment on table run_summaries is 'What a run that has ended said, asked and obtained, in numbers: a row a run, written by the maintenance step soon after its end, and kept when its log is given up. What the run itself is stands in runs.';
comment on column run_summaries.run_id is 'The run.';
comment on column run_summaries.bytes is 'The size of the bodies of all its answers, decoded; null where its requests were gone before this was written.';
comment on column run_summaries.tally_id is 'How many events it had of which type and level (event_tallies); null where its log was gone before this was written.';
comment on column run_summaries.requests is 'How many requests it made to its source.';
comment on column run_summaries.requests_failed is 'How many of them brought nothing usable; null as bytes.';
comment on column run_summaries.requests_ms is 'How long they took together, in milliseconds, 24 days at most; null as bytes.';
comment on column run_summaries.posts is 'How many of the account''s posts it obtained, as its last word tells; null where it does not tell.';
comment on column run_summaries.reels is 'How many reels with their own numbers; null where its last word does not tell: a run for posts, or one that ended before the reels.';
comment on column run_summaries.queue_ms is 'From the request to the first taking up, in milliseconds, 24 days at most; null where it did not wait. So are the other phases, which with this one make up the run''s whole time.';
comment on column run_summaries.account_ms is 'The account was read; null where the run never was at that, or its log was gone. So are the phases below.';
comment on column run_summaries.posts_ms is 'The posts were read.';
comment on column run_summaries.reels_ms is 'The reels were filtered and their own numbers read.';
comment on column run_summaries.update_ms is 'What the scan shows beside the posts was found out and stored, up to the end.';
comment on column run_summaries.waiting_ms is 'It waited for a throttle to pass, for its turn, or to try again.';
comment on column run_summaries.interrupted_ms is 'It had no worker: handed over, or its worker lost.';

create table run_summary_mark (
    single boolean primary key default true check (single),
    cluster bigint not null,
    xid xid8 not null,
    run_id uuid not null,
    older uuid
);
insert into run_summary_mark (cluster, xid, run_id, older)
values (0, '0', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');
comment on table run_summary_mark is 'One row that says which runs were looked at for run_summaries; who holds its lock is at it.';
comment on column run_summary_mark.single is 'There is no second row.';
comment on column run_summary_mark.cluster is 'The cluster whose transactions xid is about; in another one, as after a dump was restored, all runs are looked at once more.';
comment on column run_summary_mark.xid is 'Changes of runs by transactions below this one were looked at (runs.state_xid).';
comment on column run_summary_mark.run_id is 'Of the changes by this very transaction, those of runs up to this one.';
comment on column run_summary_mark.older is 'Of the runs that had ended before changes were followed, those up to this one were looked at; null once all were.';
