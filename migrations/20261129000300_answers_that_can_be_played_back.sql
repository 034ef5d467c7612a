-- What it takes beside the bodies to play a run back: the headers on which the reading of an answer depends, and where
-- the attempt that ended the run had begun. New columns without a value: no row is written anew.
alter table run_exchanges add column headers jsonb;
comment on column run_exchanges.headers is 'The headers of the answer on which its reading depends, without secrets: pairs of a name and a value (location without its query, retry-after with date, what the source says is used up; content-type where it failed); null where it had none of them.';

alter table runs add column began_at jsonb;
comment on column runs.began_at is 'Of a run that ended failed or partial after it had been taken up again: how far it was then (after_event, after_request, checkpoint), so that its last attempt can be played back. Null where it ended otherwise, or in the attempt that began it.';
