-- Nobody goes on from where a run has succeeded. Those that were kept go as the logs of their runs are packed.
comment on column runs.checkpoint is 'How far it came: the stage, the cursor of the next page and the counts so far; a worker that takes it up goes on from here. Null once it has succeeded.';
