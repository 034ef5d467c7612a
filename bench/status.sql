-- The two look-ups of task_status, as src/db/status.rs has them.
\set n random(1, :tasks)
select run_id, last_seq from runs where task_id = 'status-' || :n order by run_id desc limit 1 \gset
select seq, at, level, event_type, message, fields
from events
where run_id = :run_id::uuid and seq > :last_seq - 10 and seq <= :last_seq
order by seq;
