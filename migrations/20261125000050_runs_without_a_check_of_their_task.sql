-- A run is inserted by one statement only, which takes it from its active task, and a task is never removed, only
-- marked: what the foreign key checked cannot be otherwise. Its check locked the task's row, and so wrote to it, for each
-- run that was started.
alter table runs drop constraint runs_task_id_fkey;
