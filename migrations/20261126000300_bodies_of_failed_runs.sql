-- Of a run that ended otherwise than it should, what its last attempt was answered before is kept, too.
comment on column run_exchanges.body is 'The answer''s body (zstd), without secrets, its first 256 KiB: kept where the answer failed or could not be read whole; and of a run that ended failed or partial, the latest good answers of its last attempt, too. Removed after IGT_BODY_RETENTION_DAYS.';
