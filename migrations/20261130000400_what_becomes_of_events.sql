-- The comment on events said that a row never changes. It is written once, but not for ever.

comment on table events is 'The log of every run: one row a step, numbered 1, 2, 3 … without a gap. A row is written once. When the log is packed its rows go to run_archives, when it is given up they go for good, and when a person is erased what names them is taken out.';
