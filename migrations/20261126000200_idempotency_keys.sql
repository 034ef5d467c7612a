-- Requests that must be done once, however often they are sent: what was answered, for a day.
create table idempotency_keys (
    principal text not null,
    key text not null check (length(key) between 1 and 255),
    request bytea not null check (length(request) = 32),
    status smallint check (status between 200 and 299),
    location text,
    body text,
    created_at timestamptz not null default now(),
    primary key (principal, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
comment on table idempotency_keys is 'Idempotency keys of requests that were done, each with its answer: written in the transaction that did what was asked, removed after a day.';
comment on column idempotency_keys.principal is 'Whose key it is: two clients may choose the same.';
comment on column idempotency_keys.key is 'The key that the client chose.';
comment on column idempotency_keys.request is 'SHA-256 of the request''s method, path and body: the same key with another request is refused.';
comment on column idempotency_keys.status is 'The HTTP status of the answer; null only within the transaction that writes it.';
comment on column idempotency_keys.location is 'The answer''s Location header, where it had one.';
comment on column idempotency_keys.body is 'The answer''s body.';
comment on column idempotency_keys.created_at is 'When the request was done.';
