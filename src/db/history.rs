//! Accounts and posts as clients read them: what they are, what they were, and which event of which run says so.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::RunId;

/// An account with its latest numbers.
#[derive(Clone, Debug)]
pub struct Account {
    /// Our own number of the account.
    pub profile_id: i64,
    /// Instagram's own number of the account.
    pub instagram_pk: Option<i64>,
    /// Its handle when last seen.
    pub username: String,
    /// The display name.
    pub full_name: Option<String>,
    /// The text under the name.
    pub biography: Option<String>,
    /// The category that it shows.
    pub category: Option<String>,
    /// The link in its profile.
    pub external_url: Option<String>,
    /// The address of its picture.
    pub profile_pic_url: Option<String>,
    /// Whether its posts are for approved followers only.
    pub is_private: Option<bool>,
    /// Whether it wears the blue badge.
    pub is_verified: Option<bool>,
    /// When it was first read.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last read.
    pub last_seen_at: DateTime<Utc>,
    /// The run that read it last.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
    /// Its latest numbers; `None` where none was ever told.
    pub numbers: Option<sqlx::types::Json<AccountNumbers>>,
}

/// An account's numbers, and from when until when they were seen.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct AccountNumbers {
    /// When they were first seen.
    pub observed_from: DateTime<Utc>,
    /// When they were last seen unchanged.
    pub observed_until: DateTime<Utc>,
    /// How many accounts follow it.
    pub followers_count: Option<i64>,
    /// How many accounts it follows.
    pub following_count: Option<i64>,
    /// How many posts it has.
    pub posts_count: Option<i64>,
    /// The run that first saw them.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
}

/// The accounts that answer to a condition, each with its latest numbers.
macro_rules! accounts {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Account,
            r#"
            select p.profile_id, p.instagram_pk, p.username, p.full_name, p.biography, p.category, p.external_url,
                   p.profile_pic_url, p.is_private, p.is_verified, p.first_seen_at, p.last_seen_at,
                   p.run_id as "run_id: RunId", p.seq,
                   to_jsonb(latest) as "numbers?: sqlx::types::Json<AccountNumbers>"
            from profiles p
            left join lateral (
                select s.observed_from, s.observed_until, s.followers_count, s.following_count, s.posts_count, s.run_id,
                       s.seq
                from profile_snapshots s
                where s.profile_id = p.profile_id order by s.observed_from desc limit 1
            ) as latest on true
            "# + $rest,
            $($argument),*
        )
    };
}

/// The account that bears a handle, or else the one that bore it last.
pub async fn account(db: impl PgExecutor<'_>, username: &str) -> sqlx::Result<Option<Account>> {
    accounts!(
        "where p.profile_id = coalesce(
             (select profile_id from profiles where username = $1 order by last_seen_at desc limit 1),
             (select profile_id from profile_names where username = $1 order by observed_until desc limit 1))",
        username,
    )
    .fetch_optional(db)
    .await
}

/// The first so many accounts behind this place, by handle.
pub async fn accounts(db: impl PgExecutor<'_>, after: Option<(&str, i64)>, limit: i64) -> sqlx::Result<Vec<Account>> {
    let (username, profile_id) = after.unwrap_or(("", 0));
    accounts!(
        "where (p.username, p.profile_id) > ($1, $2) order by p.username, p.profile_id limit $3",
        username,
        profile_id,
        limit,
    )
    .fetch_all(db)
    .await
}

/// A handle that an account bears or bore.
#[derive(Clone, Debug)]
pub struct Name {
    /// The handle.
    pub username: String,
    /// When it was first seen under it.
    pub observed_from: DateTime<Utc>,
    /// When it was last seen under it; `None` while it has it.
    pub observed_until: Option<DateTime<Utc>>,
    /// The run that first saw it under it.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
}

/// The handles of an account, the latest first.
pub async fn names(db: impl PgExecutor<'_>, profile_id: i64) -> sqlx::Result<Vec<Name>> {
    sqlx::query_as!(
        Name,
        r#"
        select username, observed_from, observed_until, run_id as "run_id: RunId", seq
        from profile_names where profile_id = $1 order by observed_from desc limit 100
        "#,
        profile_id,
    )
    .fetch_all(db)
    .await
}

/// A stretch of a history: what was seen at some time in it, behind a place, from one of its ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// Only what was still seen at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what was seen first before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only what comes behind this one.
    pub after: Option<DateTime<Utc>>,
    /// Which end comes first.
    pub newest_first: bool,
}

/// An account's numbers over time.
pub async fn of_account(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    stretch: Stretch,
    limit: i64,
) -> sqlx::Result<Vec<AccountNumbers>> {
    macro_rules! page {
        ($rest:literal) => {
            sqlx::query_as!(
                AccountNumbers,
                r#"
                select observed_from, observed_until, followers_count, following_count, posts_count,
                       run_id as "run_id: RunId", seq
                from profile_snapshots
                where profile_id = $1
                    and observed_until >= coalesce($2::timestamptz, '-infinity')
                    and observed_from < coalesce($3::timestamptz, 'infinity')
                "#
                    + $rest,
                profile_id,
                stretch.since,
                stretch.until,
                stretch.after,
                limit,
            )
            .fetch_all(db)
            .await
        };
    }
    match stretch.newest_first {
        true => page!("and observed_from < coalesce($4::timestamptz, 'infinity') order by observed_from desc limit $5"),
        false => page!("and observed_from > coalesce($4::timestamptz, '-infinity') order by observed_from limit $5"),
    }
}

/// A post with its latest numbers.
#[derive(Clone, Debug)]
pub struct Post {
    /// The account in whose timeline it stands.
    pub profile_id: i64,
    /// That account's handle when last seen.
    pub username: String,
    /// The code in its address.
    pub shortcode: String,
    /// Instagram's own number of the post.
    pub instagram_pk: i64,
    /// `image`, `video` or `carousel`.
    pub kind: Option<String>,
    /// Whether it is a reel.
    pub is_reel: bool,
    /// Whether the account pinned it.
    pub is_pinned: bool,
    /// When it was published.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its text.
    pub caption: Option<String>,
    /// When this caption was first seen; `None` where it is the first one.
    pub caption_since: Option<DateTime<Utc>>,
    /// A video's length in seconds.
    pub duration_seconds: Option<f64>,
    /// The address of its picture or cover.
    pub display_url: Option<String>,
    /// When it was first read.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last read.
    pub last_seen_at: DateTime<Utc>,
    /// When a scan first did not meet it any more; `None` while it is there.
    pub missing_since: Option<DateTime<Utc>>,
    /// The run that read it last.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
    /// Its latest numbers; `None` where none was ever told.
    pub numbers: Option<sqlx::types::Json<PostNumbers>>,
}

/// A post's numbers, and from when until when they were seen.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct PostNumbers {
    /// When they were first seen.
    pub observed_from: DateTime<Utc>,
    /// When they were last seen unchanged.
    pub observed_until: DateTime<Utc>,
    /// Likes; `None` where hidden or not told.
    pub likes_count: Option<i64>,
    /// Whether the owner hides the likes.
    pub likes_hidden: bool,
    /// Comments.
    pub comments_count: Option<i64>,
    /// Plays.
    pub plays_count: Option<i64>,
    /// Views.
    pub views_count: Option<i64>,
    /// The run that first saw them.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
}

/// The posts that answer to a condition, each with its latest numbers.
macro_rules! posts {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Post,
            r#"
            select m.profile_id, p.username, m.shortcode, m.instagram_pk, m.kind, m.is_reel, m.is_pinned, m.taken_at,
                   m.caption, m.caption_since, m.duration_seconds, m.display_url, m.first_seen_at, m.last_seen_at,
                   m.missing_since, m.run_id as "run_id: RunId", m.seq,
                   to_jsonb(latest) as "numbers?: sqlx::types::Json<PostNumbers>"
            from media m
            join profiles p on p.profile_id = m.profile_id
            left join lateral (
                select s.observed_from, s.observed_until, s.likes_count, s.likes_hidden, s.comments_count,
                       s.plays_count, s.views_count, s.run_id, s.seq
                from media_snapshots s
                where s.profile_id = m.profile_id and s.shortcode = m.shortcode
                order by s.observed_from desc limit 1
            ) as latest on true
            "# + $rest,
            $($argument),*
        )
    };
}

/// The post of this code. Where several accounts have it in their timelines, as its authors in common, it is told as it
/// stands in the one that was read last.
pub async fn post(db: impl PgExecutor<'_>, shortcode: &str) -> sqlx::Result<Option<Post>> {
    posts!("where m.shortcode = $1 order by m.last_seen_at desc limit 1", shortcode).fetch_optional(db).await
}

/// Which posts of an account are looked for; what is `None` is not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostFilter<'a> {
    /// Only reels, or none.
    pub is_reel: Option<bool>,
    /// `image`, `video` or `carousel`.
    pub kind: Option<&'a str>,
    /// Only those that are not there any more, or none.
    pub is_missing: Option<bool>,
    /// Published at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Published before this time.
    pub until: Option<DateTime<Utc>>,
    /// Those that come behind this one.
    pub after: Option<(Option<DateTime<Utc>>, &'a str)>,
    /// In which order; one of unknown time is the oldest.
    pub newest_first: bool,
}

/// The first so many of the posts that are looked for, by the time when they were published.
pub async fn posts_of(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    filter: &PostFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<Post>> {
    macro_rules! page {
        ($rest:literal) => {
            posts!(
                $rest,
                profile_id,
                filter.is_reel,
                filter.kind,
                filter.is_missing,
                filter.since,
                filter.until,
                filter.after.is_none(),
                filter.after.and_then(|(at, _)| at),
                filter.after.map_or("", |(_, shortcode)| shortcode),
                limit,
            )
            .fetch_all(db)
            .await
        };
    }
    if filter.newest_first {
        page!(
            "where m.profile_id = $1 and ($2::boolean is null or m.is_reel = $2) and ($3::text is null or m.kind = $3)
                and ($4::boolean is null or (m.missing_since is not null) = $4)
                and ($5::timestamptz is null or m.taken_at >= $5) and ($6::timestamptz is null or m.taken_at < $6)
                and ($7 or (coalesce(m.taken_at, '-infinity'), m.shortcode) < (coalesce($8::timestamptz, '-infinity'), $9))
             order by coalesce(m.taken_at, '-infinity') desc, m.shortcode desc limit $10"
        )
    } else {
        page!(
            "where m.profile_id = $1 and ($2::boolean is null or m.is_reel = $2) and ($3::text is null or m.kind = $3)
                and ($4::boolean is null or (m.missing_since is not null) = $4)
                and ($5::timestamptz is null or m.taken_at >= $5) and ($6::timestamptz is null or m.taken_at < $6)
                and ($7 or (coalesce(m.taken_at, '-infinity'), m.shortcode) > (coalesce($8::timestamptz, '-infinity'), $9))
             order by coalesce(m.taken_at, '-infinity'), m.shortcode limit $10"
        )
    }
}

/// A post's numbers over time.
pub async fn of_post(
    db: impl PgExecutor<'_>,
    (profile_id, shortcode): (i64, &str),
    stretch: Stretch,
    limit: i64,
) -> sqlx::Result<Vec<PostNumbers>> {
    macro_rules! page {
        ($rest:literal) => {
            sqlx::query_as!(
                PostNumbers,
                r#"
                select observed_from, observed_until, likes_count, likes_hidden, comments_count, plays_count,
                       views_count, run_id as "run_id: RunId", seq
                from media_snapshots
                where profile_id = $1 and shortcode = $2
                    and observed_until >= coalesce($3::timestamptz, '-infinity')
                    and observed_from < coalesce($4::timestamptz, 'infinity')
                "#
                    + $rest,
                profile_id,
                shortcode,
                stretch.since,
                stretch.until,
                stretch.after,
                limit,
            )
            .fetch_all(db)
            .await
        };
    }
    match stretch.newest_first {
        true => page!("and observed_from < coalesce($5::timestamptz, 'infinity') order by observed_from desc limit $6"),
        false => page!("and observed_from > coalesce($5::timestamptz, '-infinity') order by observed_from limit $6"),
    }
}

/// A caption that a post had before it was edited.
#[derive(Clone, Debug)]
pub struct Caption {
    /// When it was first seen.
    pub observed_from: DateTime<Utc>,
    /// When it was last seen.
    pub observed_until: DateTime<Utc>,
    /// The text; `None` where the post had none.
    pub caption: Option<String>,
    /// The run that found another one in its place.
    pub run_id: RunId,
    /// The event of that run that says so.
    pub seq: i64,
}

/// The captions that a post had before, the latest first.
pub async fn captions(
    db: impl PgExecutor<'_>,
    (profile_id, shortcode): (i64, &str),
    before: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<Vec<Caption>> {
    sqlx::query_as!(
        Caption,
        r#"
        select observed_from, observed_until, caption, run_id as "run_id: RunId", seq
        from media_captions
        where profile_id = $1 and shortcode = $2 and observed_from < coalesce($3::timestamptz, 'infinity')
        order by observed_from desc
        limit $4
        "#,
        profile_id,
        shortcode,
        before,
        limit,
    )
    .fetch_all(db)
    .await
}
