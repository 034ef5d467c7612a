//! Posts and reels as they were last seen, and their numbers over time.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::RunId;
use super::text::fit_if_any;

/// A post as a run read it.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// The code in its address.
    pub shortcode: String,
    /// Instagram's own number of the post.
    pub instagram_pk: i64,
    /// `image`, `video` or `carousel`; `None` where not known.
    pub kind: Option<&'static str>,
    /// Whether it is a reel; `None` where the answer does not tell: what was known of it stays.
    pub is_reel: Option<bool>,
    /// Whether the account pinned it; `None` where the source does not tell: what was known of it stays.
    pub is_pinned: Option<bool>,
    /// When it was published.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its text; `None` where it has none.
    pub caption: Option<String>,
    /// Whether the answer told its text, or that it has none; else what was known of it stays.
    pub caption_told: bool,
    /// What its text names.
    pub tags: Tags,
    /// A video's length in seconds.
    pub duration_seconds: Option<f64>,
    /// The address of its picture or cover.
    pub display_url: Option<String>,
}

/// What a caption names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Its hashtags, in lower case and without their sign, each once.
    pub hashtags: Vec<String>,
    /// The handles that it mentions, in lower case, each once.
    pub mentions: Vec<String>,
}

impl Tags {
    /// Each list as one text, as an array of arrays is sent: words without a space.
    pub(super) fn joined(&self) -> [String; 2] {
        [self.hashtags.join(" "), self.mentions.join(" ")]
    }
}

/// A post's numbers as one answer told them. `None` is hidden or not told.
#[derive(Clone, Debug)]
pub struct NewNumbers {
    /// The code of the post.
    pub shortcode: String,
    /// Likes.
    pub likes_count: Option<i64>,
    /// Whether the owner hides the likes.
    pub likes_hidden: bool,
    /// Comments.
    pub comments_count: Option<i64>,
    /// Plays.
    pub plays_count: Option<i64>,
    /// Views.
    pub views_count: Option<i64>,
}

/// Stores posts of an account, as read by an event of a run; a caption that was edited stays in `media_captions`. Runs in
/// the transaction whose first statement was the run's fenced write, and takes the rows in the order of their codes, so
/// that two runs cannot wait for each other.
pub async fn record(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile_id: i64,
    media: &[NewMedia],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with told as (
            select n.*, coalesce(n.reel, m.is_reel, false) as is_reel, coalesce(n.pinned, m.is_pinned, false) as is_pinned,
                   m.caption as caption_before, coalesce(m.caption_told, false) as told_before,
                   m.shortcode is not null as is_known,
                   coalesce(m.caption_since, m.first_seen_at) as caption_from, m.last_seen_at,
                   m.hashtags as hashtags_before, m.mentions as mentions_before
            from unnest($4::text[], $5::bigint[], $6::text[], $7::boolean[], $8::boolean[], $9::timestamptz[],
                        $10::text[], $11::float8[], $12::text[], $13::boolean[], $14::text[], $15::text[])
                as n (shortcode, instagram_pk, kind, reel, pinned, taken_at, caption, duration_seconds, display_url,
                      caption_told, hashtags, mentions)
            left join media m on m.profile_id = $1 and m.shortcode = n.shortcode
        ), edited as (
            -- Two runs may notice one edit at once.
            insert into media_captions (profile_id, shortcode, observed_from, observed_until, caption, run_id, seq)
            select $1, shortcode, caption_from, greatest(last_seen_at, caption_from), caption_before, $2, $3
            from told
            where told_before and caption_told and caption is distinct from caption_before
            on conflict do nothing
        )
        insert into media as m (profile_id, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at, caption,
                                caption_told, duration_seconds, display_url, hashtags, mentions, run_id, seq)
        select $1, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at,
               case when caption_told then caption else caption_before end, caption_told or told_before,
               duration_seconds, display_url,
               case when caption_told or not is_known then string_to_array(hashtags, ' ') else hashtags_before end,
               case when caption_told or not is_known then string_to_array(mentions, ' ') else mentions_before end,
               $2, $3
        from told
        order by shortcode
        on conflict (profile_id, shortcode) do update
            set kind = coalesce(excluded.kind, m.kind),
                is_reel = excluded.is_reel,
                is_pinned = excluded.is_pinned,
                taken_at = coalesce(excluded.taken_at, m.taken_at),
                caption = excluded.caption,
                caption_since = case
                    when m.caption_told and excluded.caption is distinct from m.caption then now()
                    else m.caption_since
                end,
                caption_told = m.caption_told or excluded.caption_told,
                hashtags = excluded.hashtags,
                mentions = excluded.mentions,
                missing_since = null,
                duration_seconds = coalesce(excluded.duration_seconds, m.duration_seconds),
                display_url = coalesce(excluded.display_url, m.display_url),
                last_seen_at = now(),
                run_id = excluded.run_id,
                seq = excluded.seq
        "#,
        profile_id,
        run_id.0,
        seq,
        &column(media, |m| m.shortcode.clone()),
        &column(media, |m| m.instagram_pk),
        &column(media, |m| m.kind) as &[Option<&str>],
        &column(media, |m| m.is_reel) as &[Option<bool>],
        &column(media, |m| m.is_pinned) as &[Option<bool>],
        &column(media, |m| m.taken_at) as &[Option<DateTime<Utc>>],
        &column(media, |m| fit_if_any(m.caption.as_deref())) as &[Option<String>],
        &column(media, |m| m.duration_seconds) as &[Option<f64>],
        &column(media, |m| fit_if_any(m.display_url.as_deref())) as &[Option<String>],
        &column(media, |m| m.caption_told),
        &column(media, |m| m.tags.joined()[0].clone()),
        &column(media, |m| m.tags.joined()[1].clone()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores posts' numbers where they changed.
///
/// What one run tells of a post, in however many answers, is one row: the later answer counts, and what it does not
/// tell stays. What a later run does not tell contradicts nothing: while all that it tells stands in the latest row,
/// that row only lives on. So does the row before it where a run comes back, by its next answer, to what that one tells:
/// of two runs that read at once, one may first be told what the other knows better. Numbers of posts that are not in
/// `media` are left out. Named beside them are the posts that this transaction has stored before.
pub async fn snapshot(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile_id: i64,
    numbers: &[NewNumbers],
    stored: &[NewMedia],
) -> sqlx::Result<()> {
    let codes = column(numbers, |n| n.shortcode.clone());
    let known = known(db, profile_id, &codes, stored).await?;
    sqlx::query!(
        r#"
        with told as (
            select n.*, latest.*
            from unnest($4::text[], $5::bigint[], $6::boolean[], $7::bigint[], $8::bigint[], $9::bigint[])
                as n (shortcode, likes, hidden, comments, plays, views)
            left join lateral (
                select s.observed_from, s.run_id, s.likes_count, s.likes_hidden, s.comments_count, s.plays_count,
                       s.views_count
                from media_snapshots s
                where s.profile_id = $1 and s.shortcode = n.shortcode
                order by s.observed_from desc
                limit 1
            ) as latest on true
            where n.shortcode = any($10)
        ), whole as (
            select shortcode, observed_from,
                   case when hidden then null else coalesce(likes, likes_count) end as likes_count,
                   hidden or (likes_hidden and likes is null) as likes_hidden,
                   coalesce(comments, comments_count) as comments_count,
                   coalesce(plays, plays_count) as plays_count,
                   coalesce(views, views_count) as views_count
            from told
            where run_id = $2
        ), back as (
            select w.shortcode, w.observed_from, before.observed_from as before
            from whole w
            cross join lateral (
                select s.*
                from media_snapshots s
                where s.profile_id = $1 and s.shortcode = w.shortcode and s.observed_from < w.observed_from
                order by s.observed_from desc
                limit 1
            ) as before
            where (w.likes_count, w.likes_hidden, w.comments_count, w.plays_count, w.views_count)
                is not distinct from (before.likes_count, before.likes_hidden, before.comments_count,
                                      before.plays_count, before.views_count)
        ), taken_back as (
            delete from media_snapshots s
            using back
            where s.profile_id = $1 and s.shortcode = back.shortcode and s.observed_from = back.observed_from
        ), added as (
            update media_snapshots s
            set observed_until = statement_timestamp(),
                seq = $3,
                likes_count = w.likes_count,
                likes_hidden = w.likes_hidden,
                comments_count = w.comments_count,
                plays_count = w.plays_count,
                views_count = w.views_count
            from whole w
            where s.profile_id = $1 and s.shortcode = w.shortcode and s.observed_from = w.observed_from
                and w.shortcode not in (select shortcode from back)
        ), unchanged as (
            select shortcode, before as observed_from from back
            union all
            select shortcode, observed_from from told
            where run_id <> $2
                and hidden = likes_hidden
                and coalesce(likes = likes_count, likes is null)
                and coalesce(comments = comments_count, comments is null)
                and coalesce(plays = plays_count, plays is null)
                and coalesce(views = views_count, views is null)
        ), lived_on as (
            update media_snapshots s
            set observed_until = statement_timestamp()
            from unchanged u
            where s.profile_id = $1 and s.shortcode = u.shortcode and s.observed_from = u.observed_from
        )
        insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden,
                                     comments_count, plays_count, views_count, run_id, seq)
        select $1, shortcode, statement_timestamp(), statement_timestamp(), likes, hidden, comments, plays, views, $2, $3
        from told
        where run_id is distinct from $2 and shortcode not in (select shortcode from unchanged)
        "#,
        profile_id,
        run_id.0,
        seq,
        &codes,
        &column(numbers, |n| n.likes_count) as &[Option<i64>],
        &column(numbers, |n| n.likes_hidden),
        &column(numbers, |n| n.comments_count) as &[Option<i64>],
        &column(numbers, |n| n.plays_count) as &[Option<i64>],
        &column(numbers, |n| n.views_count) as &[Option<i64>],
        &known,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of the posts that are in `media`. Their rows are locked, in order: runs that read the same posts at once take turns
/// from here on. What this transaction has stored, it has locked by that.
async fn known(
    db: &mut PgConnection,
    profile_id: i64,
    codes: &[String],
    stored: &[NewMedia],
) -> sqlx::Result<Vec<String>> {
    let stored: HashSet<&str> = stored.iter().map(|media| media.shortcode.as_str()).collect();
    if codes.iter().all(|code| stored.contains(code.as_str())) {
        return Ok(codes.to_vec());
    }
    sqlx::query_scalar!(
        r#"
        select shortcode from media where profile_id = $1 and shortcode = any($2) order by shortcode for no key update
        "#,
        profile_id,
        codes,
    )
    .fetch_all(db)
    .await
}

fn column<T, C>(rows: &[T], value: impl Fn(&T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

/// A post with its latest numbers.
#[derive(Clone, Debug)]
pub struct Media {
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
    /// A video's length in seconds.
    pub duration_seconds: Option<f64>,
    /// The address of its picture or cover.
    pub display_url: Option<String>,
    /// When it was last read.
    pub last_seen_at: DateTime<Utc>,
    /// Likes; `None` where hidden or not told.
    pub likes_count: Option<i64>,
    /// Whether the owner hides the likes.
    pub likes_hidden: Option<bool>,
    /// Comments.
    pub comments_count: Option<i64>,
    /// Plays.
    pub plays_count: Option<i64>,
    /// Views.
    pub views_count: Option<i64>,
    /// The run that first saw these numbers; `None` where none was ever told.
    pub run_id: Option<RunId>,
    /// The event of that run that says so.
    pub seq: Option<i64>,
}

/// The latest posts of an account, newest first, each with its latest numbers; `reels_only` leaves the others out.
pub async fn latest(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    reels_only: bool,
    limit: i64,
) -> sqlx::Result<Vec<Media>> {
    sqlx::query_as!(
        Media,
        r#"
        select m.shortcode, m.instagram_pk, m.kind, m.is_reel, m.is_pinned, m.taken_at, m.caption, m.duration_seconds,
               m.display_url, m.last_seen_at,
               s.likes_count as "likes_count?", s.likes_hidden as "likes_hidden?",
               s.comments_count as "comments_count?", s.plays_count as "plays_count?", s.views_count as "views_count?",
               s.run_id as "run_id?: RunId", s.seq as "seq?"
        from (
            select * from media
            where profile_id = $1 and (is_reel or not $2)
            order by taken_at desc nulls last, instagram_pk desc
            limit $3
        ) as m
        left join lateral (
            select likes_count, likes_hidden, comments_count, plays_count, views_count, run_id, seq
            from media_snapshots s
            where s.profile_id = m.profile_id and s.shortcode = m.shortcode
            order by s.observed_from desc
            limit 1
        ) as s on true
        order by m.taken_at desc nulls last, m.instagram_pk desc
        "#,
        profile_id,
        reels_only,
        limit,
    )
    .fetch_all(db)
    .await
}
