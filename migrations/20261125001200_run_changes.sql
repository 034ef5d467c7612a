-- When a run's state last changed, told by transactions, so that a board can read what has changed since it last looked.
--
-- Neither a time nor a sequence will do: what has the lower one may become visible later. The number of a transaction
-- says which ones are over for good: all below the oldest that is still under way. Rows that are here already count as
-- changed before everything else; a constant default writes none of them.
alter table runs add column state_xid xid8 not null default '0';
alter table runs alter column state_xid set default pg_current_xact_id();
create index runs_by_change on runs (state_xid);

comment on column runs.state_xid is 'The transaction that last changed the state, or took the run up anew; 0 where that was before this column, or in another cluster. An event alone leaves it as it is.';
