-- What was found: accounts and posts as they are, and their numbers over time.
--
-- Snapshots are run-length: a row a change, true from observed_from to observed_until; seeing the same number again
-- only moves observed_until. A number that is hidden or was not told is null, never 0.

create table profiles (
    profile_id bigint generated always as identity primary key,
    instagram_pk bigint unique,
    fbid text,
    username text not null,
    full_name text,
    biography text,
    category text,
    external_url text,
    profile_pic_url text,
    is_private boolean,
    is_verified boolean,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    run_id uuid not null,
    seq bigint not null
);
create index profiles_by_username on profiles (username, last_seen_at);

comment on table profiles is 'Instagram accounts that a run has read, as they were last seen.';
comment on column profiles.profile_id is 'Our own number of the account; what media and snapshots are keyed on.';
comment on column profiles.instagram_pk is 'Instagram''s own number of the account, which stays when it is renamed.';
comment on column profiles.fbid is 'The account''s id on the Facebook side.';
comment on column profiles.username is 'The handle when last seen, in lower case. A handle can pass to another account: the one seen last holds it.';
comment on column profiles.full_name is 'The display name.';
comment on column profiles.biography is 'The text under the name.';
comment on column profiles.category is 'The category that it shows, such as Artist.';
comment on column profiles.external_url is 'The link in its profile.';
comment on column profiles.profile_pic_url is 'The address of its picture; it expires at Instagram''s pleasure.';
comment on column profiles.is_private is 'Whether its posts are for approved followers only; null where not told.';
comment on column profiles.is_verified is 'Whether it wears the blue badge; null where not told.';
comment on column profiles.first_seen_at is 'When a run first read it.';
comment on column profiles.last_seen_at is 'When a run last read it.';
comment on column profiles.run_id is 'The run that read it last.';
comment on column profiles.seq is 'The event of that run that says so.';

create table profile_snapshots (
    profile_id bigint not null,
    observed_from timestamptz not null,
    observed_until timestamptz not null,
    followers_count bigint check (followers_count >= 0),
    following_count bigint check (following_count >= 0),
    posts_count bigint check (posts_count >= 0),
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, observed_from),
    check (observed_from <= observed_until)
);
comment on table profile_snapshots is 'An account''s numbers over time: a row a change.';
comment on column profile_snapshots.profile_id is 'The account (profiles.profile_id).';
comment on column profile_snapshots.observed_from is 'When these numbers were first seen.';
comment on column profile_snapshots.observed_until is 'When they were last seen unchanged.';
comment on column profile_snapshots.followers_count is 'How many accounts follow it; null where not told.';
comment on column profile_snapshots.following_count is 'How many accounts it follows; null where not told.';
comment on column profile_snapshots.posts_count is 'How many posts it has; null where not told.';
comment on column profile_snapshots.run_id is 'The run that first saw them.';
comment on column profile_snapshots.seq is 'The event of that run that says so.';

create table media (
    profile_id bigint not null,
    shortcode text not null,
    instagram_pk bigint not null,
    kind text check (kind in ('image', 'video', 'carousel')),
    is_reel boolean not null,
    is_pinned boolean not null,
    taken_at timestamptz,
    caption text,
    duration_seconds double precision,
    display_url text,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, shortcode)
);
create index media_by_time on media (profile_id, taken_at desc);

comment on table media is 'Posts and reels that a run has read, as they were last seen.';
comment on column media.profile_id is 'The account in whose timeline it stands (profiles.profile_id).';
comment on column media.shortcode is 'The code in its address, https://www.instagram.com/p/<shortcode>/; the same in every source.';
comment on column media.instagram_pk is 'Instagram''s own number of the post.';
comment on column media.kind is 'image, video or carousel; null for a kind that was not known.';
comment on column media.is_reel is 'Whether it is a reel.';
comment on column media.is_pinned is 'Whether the account pinned it to the top.';
comment on column media.taken_at is 'When it was published.';
comment on column media.caption is 'Its text; null where it has none.';
comment on column media.duration_seconds is 'A video''s length in seconds; null where not told.';
comment on column media.display_url is 'The address of its picture or cover; it expires at Instagram''s pleasure.';
comment on column media.first_seen_at is 'When a run first read it.';
comment on column media.last_seen_at is 'When a run last read it.';
comment on column media.run_id is 'The run that read it last.';
comment on column media.seq is 'The event of that run that says so.';

create table media_snapshots (
    profile_id bigint not null,
    shortcode text not null,
    observed_from timestamptz not null,
    observed_until timestamptz not null,
    likes_count bigint check (likes_count >= 0),
    likes_hidden boolean not null,
    comments_count bigint check (comments_count >= 0),
    plays_count bigint check (plays_count >= 0),
    views_count bigint check (views_count >= 0),
    run_id uuid not null,
    seq bigint not null,
    primary key (profile_id, shortcode, observed_from),
    check (observed_from <= observed_until)
);
comment on table media_snapshots is 'A post''s numbers over time: a row a change. What one run tells of a post in several answers is one row.';
comment on column media_snapshots.profile_id is 'The account (profiles.profile_id).';
comment on column media_snapshots.shortcode is 'The post (media.shortcode).';
comment on column media_snapshots.observed_from is 'When these numbers were first seen.';
comment on column media_snapshots.observed_until is 'When they were last seen unchanged.';
comment on column media_snapshots.likes_count is 'Likes; null where hidden or not told.';
comment on column media_snapshots.likes_hidden is 'Whether the owner hides the likes.';
comment on column media_snapshots.comments_count is 'Comments; null where not told.';
comment on column media_snapshots.plays_count is 'How often it was started to play; null where not told. Not the same number as views.';
comment on column media_snapshots.views_count is 'How many views it has; null where not told. Not the same number as plays.';
comment on column media_snapshots.run_id is 'The run that first saw them.';
comment on column media_snapshots.seq is 'The event of that run that says so.';
