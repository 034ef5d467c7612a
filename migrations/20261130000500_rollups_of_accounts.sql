-- What dashboards ask of the content of all accounts: by week of publication how posts were received, and by day how fast
-- reels were played. Counted anew by account from dashboard.engagement and dashboard.reel_velocity, and not added to: what
-- a run reads may change the number of a post of long ago. Weeks and days are UTC's.

create table engagement_weeks (
    profile_id bigint not null,
    week date not null,
    is_reel boolean not null,
    posts integer not null,
    with_interactions integer not null,
    interactions bigint,
    with_on_followers integer not null,
    on_followers_mean double precision,
    on_followers_median double precision,
    with_on_plays integer not null,
    on_plays_mean double precision,
    on_plays_median double precision,
    with_on_views integer not null,
    on_views_mean double precision,
    on_views_median double precision,
    primary key (profile_id, week, is_reel)
);
comment on table engagement_weeks is 'How the posts of an account were received, by the week in which they were published: what dashboard.engagement says, counted. Made anew by a maintenance step soon after the account was read.';
comment on column engagement_weeks.profile_id is 'The account (profiles.profile_id).';
comment on column engagement_weeks.week is 'The Monday with which the week begins. A post of which it is not known when it was published is in no week.';
comment on column engagement_weeks.is_reel is 'Whether these are the reels, or the other posts.';
comment on column engagement_weeks.posts is 'How many were published.';
comment on column engagement_weeks.with_interactions is 'Of how many likes and comments are both known.';
comment on column engagement_weeks.interactions is 'Likes and comments of those together; null where there is none.';
comment on column engagement_weeks.with_on_followers is 'How many have a rate on the followers. The two columns below are of those; null where there is none.';
comment on column engagement_weeks.on_followers_mean is 'The mean of it.';
comment on column engagement_weeks.on_followers_median is 'The median of it.';
comment on column engagement_weeks.with_on_plays is 'How many have a rate on the plays; 0 of what is no reel. The two columns below are of those.';
comment on column engagement_weeks.on_plays_mean is 'The mean of it.';
comment on column engagement_weeks.on_plays_median is 'The median of it.';
comment on column engagement_weeks.with_on_views is 'How many have a rate on the views; 0 of what is no reel. The two columns below are of those.';
comment on column engagement_weeks.on_views_mean is 'The mean of it.';
comment on column engagement_weeks.on_views_median is 'The median of it.';

create table reel_days (
    profile_id bigint not null,
    day date not null,
    reels integer not null,
    changes integer not null,
    plays_gained bigint not null,
    hours double precision not null,
    primary key (profile_id, day)
);
comment on table reel_days is 'How fast the reels of an account were played, by the day on which it was seen: what dashboard.reel_velocity says, counted. Made anew by a maintenance step soon after the account was read. A day on which no number of plays was seen to change has no row.';
comment on column reel_days.profile_id is 'The account (profiles.profile_id).';
comment on column reel_days.day is 'The day of the look that brought the changed number.';
comment on column reel_days.reels is 'Of how many reels the plays were seen to change.';
comment on column reel_days.changes is 'How many changes were seen.';
comment on column reel_days.plays_gained is 'Plays that they brought together; below 0 where Instagram took more back.';
comment on column reel_days.hours is 'The hours between the two looks of each change, of all changes together.';

create table account_rollups (
    profile_id bigint primary key,
    due_at timestamptz,
    moved_since timestamptz,
    rolled_at timestamptz,
    whole_at timestamptz
);
create index account_rollups_due on account_rollups (due_at) where due_at is not null;
comment on table account_rollups is 'Which accounts are to be counted anew for engagement_weeks and reel_days, and from when on. Who holds the lock of a row is at it.';
comment on column account_rollups.profile_id is 'The account (profiles.profile_id).';
comment on column account_rollups.due_at is 'When it is to be done; null while no run that read the account has ended since it was last done.';
comment on column account_rollups.moved_since is 'When the first such run began: what was told before stands as it was counted.';
comment on column account_rollups.rolled_at is 'When it was last done; null where it never was.';
comment on column account_rollups.whole_at is 'When that was last done of all weeks and days, and not only of those that may have moved.';

-- All that is known so far: it is counted by the maintenance step.
insert into account_rollups (profile_id, due_at) select profile_id, now() from profiles;

create view dashboard.engagement_weeks as
select p.profile_id, p.username, w.week::timestamp at time zone 'UTC' as week, w.is_reel, w.posts, w.with_interactions, w.interactions,
       w.with_on_followers, w.on_followers_mean, w.on_followers_median, w.with_on_plays, w.on_plays_mean, w.on_plays_median,
       w.with_on_views, w.on_views_mean, w.on_views_median
from engagement_weeks w
join profiles p using (profile_id);
comment on view dashboard.engagement_weeks is 'How posts were received, by account, week (UTC, from Monday) of publication and whether they are reels: dashboard.engagement, counted. A post of which it is not known when it was published is in no week. What is hidden or was not told is counted in no rate and no sum, and never as 0: each says of how many it is.';
comment on column dashboard.engagement_weeks.profile_id is 'The account.';
comment on column dashboard.engagement_weeks.username is 'Its handle when last seen.';
comment on column dashboard.engagement_weeks.week is 'The week in which they were published, as the time of its beginning.';
comment on column dashboard.engagement_weeks.is_reel is 'Whether these are the reels, or the other posts.';
comment on column dashboard.engagement_weeks.posts is 'How many were published, with or without a rate.';
comment on column dashboard.engagement_weeks.with_interactions is 'Of how many likes and comments are both known.';
comment on column dashboard.engagement_weeks.interactions is 'Likes and comments of those together; null where there is none.';
comment on column dashboard.engagement_weeks.with_on_followers is 'How many have a rate on the followers at publish. The mean over several weeks is sum(on_followers_mean * with_on_followers) / sum(with_on_followers).';
comment on column dashboard.engagement_weeks.on_followers_mean is 'The mean of interactions on the followers at publish; null where no post has it.';
comment on column dashboard.engagement_weeks.on_followers_median is 'The median of the same. Medians of several weeks make none together.';
comment on column dashboard.engagement_weeks.with_on_plays is 'How many reels have a rate on their plays; 0 of other posts.';
comment on column dashboard.engagement_weeks.on_plays_mean is 'The mean of interactions on plays; null where no reel has it.';
comment on column dashboard.engagement_weeks.on_plays_median is 'The median of the same.';
comment on column dashboard.engagement_weeks.with_on_views is 'How many reels have a rate on their views; 0 of other posts.';
comment on column dashboard.engagement_weeks.on_views_mean is 'The mean of interactions on views; null where no reel has it.';
comment on column dashboard.engagement_weeks.on_views_median is 'The median of the same.';

create view dashboard.reel_days as
select p.profile_id, p.username, d.day::timestamp at time zone 'UTC' as day, d.reels, d.changes, d.plays_gained, d.hours,
       d.plays_gained / d.hours as plays_per_hour
from reel_days d
join profiles p using (profile_id);
comment on view dashboard.reel_days is 'How fast an account''s reels were played, by the day (UTC) of the look that brought the changed number: dashboard.reel_velocity, counted. A change that came over several days counts on its last. A day on which no number of plays was seen to change has no row: that is not 0 plays.';
comment on column dashboard.reel_days.profile_id is 'The account.';
comment on column dashboard.reel_days.username is 'Its handle when last seen.';
comment on column dashboard.reel_days.day is 'The day, as the time of its beginning.';
comment on column dashboard.reel_days.reels is 'Of how many reels the plays were seen to change.';
comment on column dashboard.reel_days.changes is 'How many changes were seen.';
comment on column dashboard.reel_days.plays_gained is 'Plays that they brought together; below 0 where Instagram took more back.';
comment on column dashboard.reel_days.hours is 'The hours between the two looks of each change, in sum: two reels watched for the same hour are two hours. What of the time brought no change is not in it.';
comment on column dashboard.reel_days.plays_per_hour is 'plays_gained / hours: plays that a reel gained in an hour of observation. Over several days or accounts it is sum(plays_gained) / sum(hours).';
