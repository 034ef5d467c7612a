-- A person can be erased. Their runs stay as bare statistics, under a name that nobody bears.
alter table runs add column erased_at timestamptz;
comment on column runs.erased_at is 'When the person whose account it scraped was erased: its log, requests and checkpoint are gone, its task and username are names made up for that. Null where nobody was.';

comment on column audit.act is 'What: keys.create, keys.revoke, credentials.enable, credentials.disable, tasks.delete, profiles.purge.';
comment on column audit.object is 'To what: a key''s id, a credential''s name, a task''s id; of a person who was erased, the name that was made up for what is left.';
