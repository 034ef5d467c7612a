-- Who may use the interface, and what those did who may do everything.

create table api_keys (
    key_id text primary key check (key_id ~ '^[0-9a-z]{12}$'),
    name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$'),
    secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
    scope text not null check (scope in ('read', 'run', 'admin')),
    rate_limit integer check (rate_limit between 1 and 100000),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint api_keys_expires_after_its_creation check (expires_at > created_at)
);
create unique index api_keys_one_per_name on api_keys (name) where revoked_at is null;

comment on table api_keys is 'The keys of the interface. A row is never removed: that a key was ever made is what closes the service to those who show none.';
comment on column api_keys.key_id is 'The part of a key that is no secret, by which it is found and named in logs.';
comment on column api_keys.name is 'What it is for; of the keys that are not revoked each has another.';
comment on column api_keys.secret_sha256 is 'SHA-256 of the secret part. It has 256 random bits and is nobody''s password, so that a slow hash would protect it no better.';
comment on column api_keys.scope is 'read: look at everything but keys and audit; run: change tasks and runs, too; admin: everything.';
comment on column api_keys.rate_limit is 'Requests a second that a replica takes with it, on average over ten seconds; null where the setting IGT_RATE_LIMIT counts.';
comment on column api_keys.created_at is 'When it was made.';
comment on column api_keys.expires_at is 'From when on it is refused; null where it does not expire.';
comment on column api_keys.last_used_at is 'When a request last showed it, to about a minute; null where none has.';
comment on column api_keys.revoked_at is 'Since when it is refused for good; null where it is not.';

create table sessions (
    token_sha256 bytea primary key check (octet_length(token_sha256) = 32),
    key_id text not null references api_keys,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint sessions_expires_after_its_creation check (expires_at > created_at)
);
create index sessions_by_key on sessions (key_id);
create index sessions_by_end on sessions (expires_at);

comment on table sessions is 'Browsers that signed in with a key and hold a cookie. A session is no longer than its key lives.';
comment on column sessions.token_sha256 is 'SHA-256 of the cookie, which has 256 random bits.';
comment on column sessions.key_id is 'The key that it was signed in with, whose scope it has.';
comment on column sessions.created_at is 'When the browser signed in.';
comment on column sessions.expires_at is 'When it ends by itself.';

create table access_version (
    single boolean primary key default true check (single),
    version bigint not null
);
insert into access_version (version) values (0);

comment on table access_version is 'One row that tells replicas whether what they know of keys and sessions still holds.';
comment on column access_version.single is 'There is no second row.';
comment on column access_version.version is 'Raised in the transaction that changes a key or a session, also where that was done by hand; its lock puts such changes in a row.';

create function access_changed() returns trigger language plpgsql as $$
begin
    update access_version set version = version + 1;
    return null;
end
$$;
comment on function access_changed is 'Raises access_version; for the triggers of api_keys and sessions.';

-- Not where only the last use is noted.
create trigger access_changed
    after insert or delete or truncate or update of key_id, secret_sha256, scope, rate_limit, expires_at, revoked_at
    on api_keys for each statement execute function access_changed();
create trigger access_changed after insert or delete or truncate or update
    on sessions for each statement execute function access_changed();

create table audit (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    act text not null,
    object text not null,
    details jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    request_id text,
    address text
);
create index audit_by_act on audit (act, audit_id);
create index audit_by_who on audit (who, audit_id);

comment on table audit is 'What was done that takes something away or gives somebody a right; written in the statement that does it.';
comment on column audit.audit_id is 'Counts up; a number may be missing.';
comment on column audit.at is 'When.';
comment on column audit.who is 'The key''s id, cli: and the name of the user at the command line, or anonymous.';
comment on column audit.act is 'What: keys.create, keys.revoke, credentials.enable, credentials.disable, tasks.delete.';
comment on column audit.object is 'To what: a key''s id, a credential''s name, a task''s id.';
comment on column audit.details is 'What else belongs to it.';
comment on column audit.request_id is 'The request''s id, as in the log; null at the command line.';
comment on column audit.address is 'Whose connection it came on; null at the command line.';
