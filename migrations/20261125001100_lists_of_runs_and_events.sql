-- What lists of runs and events are found by, and runs that were asked for anew.

-- Runs that wait or did not succeed, by how and why. Neither column changes but with the state, and no run that goes
-- well ever stands in it: a start and a step cost what they cost before.
create index runs_by_reason on runs (state, reason, run_id) where reason is not null;

-- Of all logs what is worth a look: one event in a hundred where all goes well. The others are those of a smooth run.
create index events_notable on events (run_id, seq)
    where level in ('warning', 'error')
        or event_type not in (
            'scrape_started', 'account_fetched', 'posts_fetched', 'reels_filtered', 'processing_reels', 'reels_processed',
            'known_posts_reached', 'profile_data_updated', 'scrape_completed');

alter table runs drop constraint runs_trigger_check;
alter table runs add constraint runs_trigger_check check (trigger in ('api', 'demo', 'retry'));
comment on column runs.trigger is 'What asked for it: api (a client''s request), demo, or retry (a client''s request to do an ended run anew; its first event names that run).';
