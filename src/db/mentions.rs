//! Texts that name a person in what is not theirs: other runs' logs and last words, answers that are kept of other runs, what others write
//! of themselves and under their posts. They are looked for a part at a time and changed one by one.
//!
//! A text is written only over the one that was read: whoever changed it in between, as another erasure does, is not
//! undone. It is then read again.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::RunId;
use super::archives::{line, unpacked, unreadable};
use super::media::Tags;
use super::status::Event;
use crate::archive;

/// Which texts are looked for, as Postgres' regular expressions: a handle in words, and what stands as a text of its own in
/// JSON.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// In a message, a caption, a biography.
    pub in_words: String,
    /// In the text of JSON.
    pub in_json: String,
}

/// When the first run was asked for whose log is here; `None` where there is no run.
pub async fn first_run(db: impl PgExecutor<'_>) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(r#"select requested_at as "requested_at?" from runs order by run_id limit 1"#)
        .fetch_optional(db)
        .await
        .map(Option::flatten)
}

/// The database's time.
pub async fn now(db: impl PgExecutor<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(db).await
}

/// An event that may name them.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its run.
    pub run_id: RunId,
    /// Its number there.
    pub seq: i64,
    /// Its words.
    pub message: String,
    /// Its fields.
    pub fields: Value,
    /// The same in the text in which the database tells them.
    pub told: String,
}

/// Events that may name them, of runs that were asked for between two times.
pub async fn in_events(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    patterns: &Patterns,
) -> sqlx::Result<Vec<Said>> {
    sqlx::query_as!(
        Said,
        r#"
        select run_id as "run_id: RunId", seq, message, fields, fields::text as "told!"
        from events
        where run_id >= $1 and run_id < $2
            and (message ~* $3 or fields::text ~* $3 or fields::text ~* $4)
        "#,
        RunId::floor(since).0,
        RunId::floor(until).0,
        patterns.in_words,
        patterns.in_json,
    )
    .fetch_all(db)
    .await
}

/// The event as it stands now; `None` where it is no row any more.
pub async fn event(db: impl PgExecutor<'_>, run_id: RunId, seq: i64) -> sqlx::Result<Option<Said>> {
    sqlx::query_as!(
        Said,
        r#"
        select run_id as "run_id: RunId", seq, message, fields, fields::text as "told!"
        from events
        where run_id = $1 and seq = $2
        "#,
        run_id.0,
        seq,
    )
    .fetch_optional(db)
    .await
}

/// Puts other words into an event; whether it still said what was read.
pub async fn say_instead(db: impl PgExecutor<'_>, said: &Said, message: &str, fields: &Value) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update events set message = $5, fields = $6
         where run_id = $1 and seq = $2 and message = $3 and fields::text = $4",
        said.run_id.0,
        said.seq,
        said.message,
        said.told,
        message,
        fields,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A part of a packed log.
#[derive(Clone, Debug)]
pub struct PackedLog {
    /// Its run.
    pub run_id: RunId,
    /// The seq of its first event.
    pub from_seq: i32,
    /// What it is packed in.
    packed: Vec<u8>,
}

impl PackedLog {
    /// What it says; an error of decoding where the pack is damaged.
    pub fn events(&self) -> sqlx::Result<Vec<Event>> {
        unpacked(&self.packed)
    }
}

/// So many parts of packed logs behind a place, in the order of their keys.
pub async fn packed_logs(db: impl PgExecutor<'_>, after: (RunId, i32), limit: i64) -> sqlx::Result<Vec<PackedLog>> {
    sqlx::query_as!(
        PackedLog,
        r#"
        select run_id as "run_id: RunId", from_seq, packed
        from run_archives
        where (run_id, from_seq) > ($1, $2)
        order by run_id, from_seq
        limit $3
        "#,
        after.0.0,
        after.1,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The part as it stands now; `None` where it is there no more.
pub async fn packed_log(db: impl PgExecutor<'_>, run_id: RunId, from_seq: i32) -> sqlx::Result<Option<PackedLog>> {
    sqlx::query_as!(
        PackedLog,
        r#"
        select run_id as "run_id: RunId", from_seq, packed
        from run_archives
        where run_id = $1 and from_seq = $2
        "#,
        run_id.0,
        from_seq,
    )
    .fetch_optional(db)
    .await
}

/// JSON as the database tells it, which is how a packed log has it.
pub async fn as_it_is_told(db: impl PgExecutor<'_>, fields: &Value) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"select ($1::jsonb)::text as "told!""#, fields).fetch_one(db).await
}

/// Packs the part anew, with these events; whether it was still the pack that was read.
pub async fn pack_instead(db: impl PgExecutor<'_>, log: &PackedLog, events: &[Event]) -> sqlx::Result<bool> {
    let lines: Vec<_> = events.iter().map(line).collect();
    let packed = archive::pack(&lines).map_err(unreadable)?;
    let done = sqlx::query!(
        "update run_archives set packed = $4 where run_id = $1 and from_seq = $2 and packed = $3",
        log.run_id.0,
        log.from_seq,
        log.packed,
        packed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The last word of a run, as its summary keeps it, that may name them.
#[derive(Clone, Debug)]
pub struct LastWord {
    /// The run.
    pub run_id: RunId,
    /// Its words.
    pub message: String,
    /// What the source said.
    pub upstream_message: Option<String>,
}

/// Last words that may name them.
pub async fn in_last_words(db: impl PgExecutor<'_>, patterns: &Patterns) -> sqlx::Result<Vec<LastWord>> {
    sqlx::query_as!(
        LastWord,
        r#"
        select run_id as "run_id: RunId", message as "message!", upstream_message
        from run_summaries
        where message ~* $1 or upstream_message ~* $1
        "#,
        patterns.in_words,
    )
    .fetch_all(db)
    .await
}

/// The last word of a run as it is now.
pub async fn last_word(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<LastWord>> {
    sqlx::query_as!(
        LastWord,
        r#"
        select run_id as "run_id: RunId", message as "message!", upstream_message
        from run_summaries
        where run_id = $1 and message is not null
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// Puts other last words into a summary, where they are still those that were read; says whether.
pub async fn say_last_instead(db: impl PgExecutor<'_>, read: &LastWord, said: &LastWord) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update run_summaries set message = $2, upstream_message = $3
        where run_id = $1 and message = $4 and upstream_message is not distinct from $5
        "#,
        said.run_id.0,
        said.message,
        said.upstream_message,
        read.message,
        read.upstream_message,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A kept answer.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its run.
    pub run_id: Uuid,
    /// The number of its request there.
    pub seq: i64,
    /// The body (zstd).
    pub body: Vec<u8>,
}

/// So many kept answers behind a place, in the order of their keys.
pub async fn kept_answers(db: impl PgExecutor<'_>, after: (Uuid, i64), limit: i64) -> sqlx::Result<Vec<Kept>> {
    sqlx::query_as!(
        Kept,
        r#"
        select run_id, seq, body as "body!"
        from run_exchanges
        where body is not null and (run_id, seq) > ($1, $2)
        order by run_id, seq
        limit $3
        "#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Gives these answers up; their requests stay.
pub async fn give_up_answers(db: impl PgExecutor<'_>, answers: &[(Uuid, i64)]) -> sqlx::Result<u64> {
    let run_ids: Vec<Uuid> = answers.iter().map(|(run_id, _)| *run_id).collect();
    let seqs: Vec<i64> = answers.iter().map(|(_, seq)| *seq).collect();
    let done = sqlx::query!(
        r#"
        update run_exchanges x set body = null
        from unnest($1::uuid[], $2::bigint[]) as given_up (run_id, seq)
        where x.run_id = given_up.run_id and x.seq = given_up.seq
        "#,
        &run_ids,
        &seqs,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A text of somebody else's that may name them.
#[derive(Clone, Debug)]
pub struct Text {
    /// Whose.
    pub profile_id: i64,
    /// Of which post, and since when, where it is a caption.
    pub post: Option<String>,
    /// Since when, where it is a caption of before.
    pub since: Option<DateTime<Utc>>,
    /// The text.
    pub text: String,
}

/// Biographies of others that may name them.
pub async fn in_biographies(db: impl PgExecutor<'_>, but: Option<i64>, patterns: &Patterns) -> sqlx::Result<Vec<Text>> {
    sqlx::query_as!(
        Text,
        r#"
        select profile_id, null::text as post, null::timestamptz as since, biography as "text!"
        from profiles
        where profile_id is distinct from $1 and biography ~* $2
        "#,
        but,
        patterns.in_words,
    )
    .fetch_all(db)
    .await
}

/// Captions of others that may name them: of now, and of before they were edited.
pub async fn in_captions(db: impl PgExecutor<'_>, but: Option<i64>, patterns: &Patterns) -> sqlx::Result<Vec<Text>> {
    sqlx::query_as!(
        Text,
        r#"
        select profile_id as "profile_id!", shortcode as post, null::timestamptz as since, caption as "text!"
        from media
        where profile_id is distinct from $1 and caption ~* $2
        union all
        select profile_id, shortcode, observed_from, caption
        from media_captions
        where profile_id is distinct from $1 and caption ~* $2
        "#,
        but,
        patterns.in_words,
    )
    .fetch_all(db)
    .await
}

/// What the text is now; `None` where there is none any more.
pub async fn text(db: impl PgExecutor<'_>, text: &Text) -> sqlx::Result<Option<String>> {
    let Text { profile_id, post, since, .. } = text;
    let found = match (post, since) {
        (None, _) => {
            let query = sqlx::query_scalar!("select biography from profiles where profile_id = $1", profile_id);
            query.fetch_optional(db).await
        }
        (Some(post), None) => {
            let query = sqlx::query_scalar!(
                "select caption from media where profile_id = $1 and shortcode = $2",
                profile_id,
                post
            );
            query.fetch_optional(db).await
        }
        (Some(post), Some(since)) => {
            let query = sqlx::query_scalar!(
                "select caption from media_captions where profile_id = $1 and shortcode = $2 and observed_from = $3",
                profile_id,
                post,
                since
            );
            query.fetch_optional(db).await
        }
    };
    found.map(Option::flatten)
}

/// Puts another text in its place; these are its tags, where it is a caption. Whether it was still the text that was read.
pub async fn write_instead(db: impl PgExecutor<'_>, text: &Text, instead: &str, tags: &Tags) -> sqlx::Result<bool> {
    let Text { profile_id, post, since, text } = text;
    let done = match (post, since) {
        (None, _) => sqlx::query!(
            "update profiles set biography = $3 where profile_id = $1 and biography = $2",
            profile_id,
            text,
            instead
        ),
        (Some(post), None) => sqlx::query!(
            "update media set caption = $4, hashtags = $5, mentions = $6
             where profile_id = $1 and shortcode = $2 and caption = $3",
            profile_id,
            post,
            text,
            instead,
            &tags.hashtags,
            &tags.mentions
        ),
        (Some(post), Some(since)) => sqlx::query!(
            "update media_captions set caption = $5
             where profile_id = $1 and shortcode = $2 and observed_from = $3 and caption = $4",
            profile_id,
            post,
            since,
            text,
            instead
        ),
    };
    Ok(done.execute(db).await?.rows_affected() > 0)
}
