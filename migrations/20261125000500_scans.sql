-- What repeated scans leave: how far the last whole one read, posts that went, captions and names that changed.

-- A post that a scan should have met and did not. A caption is the owner's to edit: what it was before stands in
-- media_captions, what it is in media.
alter table media
    add column missing_since timestamptz,
    add column caption_since timestamptz;
comment on column media.missing_since is 'When a scan that read the posts before and after it first did not meet it any more: deleted or archived. Null while it is there; seen again, it is null again.';
comment on column media.caption_since is 'When this caption was first seen; null where it is the first one (since first_seen_at).';

create table media_captions (
    profile_id bigint not null,
    shortcode text not null,
    observed_from timestamptz not null,
    observed_until timestamptz not null,
    caption text,
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, shortcode, observed_from),
    check (observed_from <= observed_until)
);
comment on table media_captions is 'Captions that posts had before they were edited: a row a caption that was replaced. The present one is in media.';
comment on column media_captions.profile_id is 'The account (profiles.profile_id).';
comment on column media_captions.shortcode is 'The post (media.shortcode).';
comment on column media_captions.observed_from is 'When this caption was first seen.';
comment on column media_captions.observed_until is 'When it was last seen.';
comment on column media_captions.caption is 'The text; null where the post had none.';
comment on column media_captions.run_id is 'The run that found another one in its place.';
comment on column media_captions.seq is 'The event of that run that says so.';

create table scans (
    profile_id bigint not null,
    kind text not null check (kind in ('profile', 'reel')),
    newest_taken_at timestamptz not null,
    depth integer not null check (depth > 0),
    reached_end boolean not null,
    since_full integer not null check (since_full >= 0),
    at timestamptz not null,
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, kind)
);
comment on table scans is 'The last whole scan of an account''s posts, for the next one to stop at what it knows. A row an account and kind of task.';
comment on column scans.profile_id is 'The account (profiles.profile_id).';
comment on column scans.kind is 'profile, or reel: then the reels'' own numbers were read, too.';
comment on column scans.newest_taken_at is 'When the newest post was published that it read, pinned ones aside: what is as old or older is known.';
comment on column scans.depth is 'How many of the latest posts are known without a gap.';
comment on column scans.reached_end is 'Whether the last scan in full came to the end of the list; then all posts are known.';
comment on column scans.since_full is 'How many scans in a row, this one included, stopped at what was known; 0 for one in full.';
comment on column scans.at is 'When it ended.';
comment on column scans.run_id is 'The run.';
comment on column scans.seq is 'The event of that run that says so.';

-- Each account once, whichever source read it: by Instagram's number, by the id on the Facebook side, and where neither
-- is known by its name. Of two rows with one Facebook id the one seen last keeps it.
update profiles p set fbid = null
where exists (
    select from profiles q
    where q.fbid = p.fbid and (q.last_seen_at, q.profile_id) > (p.last_seen_at, p.profile_id));
create unique index profiles_by_fbid on profiles (fbid) where fbid is not null;

create table profile_names (
    profile_id bigint not null,
    observed_from timestamptz not null,
    observed_until timestamptz,
    username text not null,
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, observed_from),
    check (observed_from <= observed_until)
);
create unique index profile_names_one_now on profile_names (profile_id) where observed_until is null;
comment on table profile_names is 'The handles of an account over time: a row a handle.';
comment on column profile_names.profile_id is 'The account (profiles.profile_id).';
comment on column profile_names.observed_from is 'When it was first seen under this handle.';
comment on column profile_names.observed_until is 'When it was last seen under it; null while it has it (then profiles.last_seen_at says so).';
comment on column profile_names.username is 'The handle, in lower case.';
comment on column profile_names.run_id is 'The run that first saw it.';
comment on column profile_names.seq is 'The event of that run that says so.';

insert into profile_names (profile_id, observed_from, username, run_id, seq)
select profile_id, first_seen_at, username, run_id, seq from profiles;

-- Where kept bodies are, for the step that removes old ones.
create index run_exchanges_with_body on run_exchanges (run_id) where body is not null;
