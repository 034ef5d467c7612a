//! How far an account's posts were read before, and which of them went.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::RunId;
use super::tasks::TaskKind;

/// What a scan has to know of those before it.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// When the newest post was published that the last whole scan read: as deep as the new one goes, what is as old
    /// or older is known. `None` where the new one has to read in full.
    pub known_until: Option<DateTime<Utc>>,
    /// The codes of the posts that an earlier scan missed.
    pub missing: Vec<String>,
}

/// How deep a new scan goes.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// How many of the latest posts it reads at most.
    pub posts: i32,
    /// Every so many-th scan reads in full.
    pub full_every: i32,
}

/// Looks at the scans of an account before a new one.
pub async fn before(db: impl PgExecutor<'_>, profile_id: i64, kind: TaskKind, depth: Depth) -> sqlx::Result<Before> {
    sqlx::query_as!(
        Before,
        r#"
        select
            (select newest_taken_at from scans
             where profile_id = $1 and kind = $2 and (depth >= $3 or reached_end) and since_full + 1 < $4)
                as known_until,
            array(select shortcode from media where profile_id = $1 and missing_since is not null) as "missing!"
        "#,
        profile_id,
        kind.as_str(),
        depth.posts,
        depth.full_every,
    )
    .fetch_one(db)
    .await
}

/// The part of an account's timeline that a scan has read whole, pinned posts aside.
#[derive(Clone, Debug)]
pub struct Covered {
    /// When its newest post was published.
    pub newest: DateTime<Utc>,
    /// When its oldest was; `None` where the list came to its end, and the account has no more posts than were read.
    pub oldest: Option<DateTime<Utc>>,
    /// The codes of all posts that were read, pinned ones too.
    pub codes: Vec<String>,
}

/// The codes of posts that stood in this part of the timeline and were not met there, newest first.
pub async fn not_met(db: impl PgExecutor<'_>, profile_id: i64, covered: &Covered) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select shortcode
        from media
        where profile_id = $1 and missing_since is null
            and taken_at <= $2 and ($3::timestamptz is null or taken_at >= $3)
            and shortcode <> all($4)
        order by taken_at desc
        "#,
        profile_id,
        covered.newest,
        covered.oldest,
        &covered.codes,
    )
    .fetch_all(db)
    .await
}

/// Posts that are known and were not read again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// How many.
    pub posts: i64,
    /// How many of them are reels.
    pub reels: i64,
}

/// How many posts older than this are known, up to a limit, beside those that were read.
pub async fn kept(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    older_than: DateTime<Utc>,
    codes: &[String],
    limit: i64,
) -> sqlx::Result<Kept> {
    sqlx::query_as!(
        Kept,
        r#"
        select count(*) as "posts!", count(*) filter (where is_reel) as "reels!"
        from (
            select is_reel
            from media
            where profile_id = $1 and missing_since is null and taken_at < $2 and shortcode <> all($3)
            order by taken_at desc
            limit $4
        ) as older
        "#,
        profile_id,
        older_than,
        codes,
        limit,
    )
    .fetch_one(db)
    .await
}

/// Marks posts that were not met, but for those that another run has seen since this one began. Runs in the
/// transaction whose first statement was the run's fenced write.
pub async fn miss(db: &mut PgConnection, run_id: RunId, profile_id: i64, codes: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with gone as (
            select shortcode
            from media
            where profile_id = $1 and shortcode = any($2) and missing_since is null
                and last_seen_at < (select started_at from runs where run_id = $3)
            order by shortcode
            for no key update
        )
        update media m set missing_since = statement_timestamp() from gone
        where m.profile_id = $1 and m.shortcode = gone.shortcode
        "#,
        profile_id,
        codes,
        run_id.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A whole scan.
#[derive(Clone, Debug)]
pub struct NewScan {
    /// What was scanned.
    pub kind: TaskKind,
    /// When its newest post was published.
    pub newest: DateTime<Utc>,
    /// How many of the latest posts are known by it.
    pub depth: i32,
    /// Whether it came to the end of the list.
    pub reached_end: bool,
    /// Whether it stopped at what was known.
    pub stopped: bool,
}

/// Remembers a whole scan. Runs in the transaction whose first statement was the run's fenced write.
///
/// Of two runs that scan at once, the one that ends last counts; what it has read is newer or the same. One that
/// stopped at what was known adds to what the one before it knew, and leaves how deep that went.
pub async fn remember(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile_id: i64,
    scan: &NewScan,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into scans as s (profile_id, kind, newest_taken_at, depth, reached_end, since_full, at, run_id, seq)
        values ($1, $2, $3, $4, $5, case when $6 then 1 else 0 end, now(), $7, $8)
        on conflict (profile_id, kind) do update
            set newest_taken_at = excluded.newest_taken_at,
                depth = case when $6 then s.depth else excluded.depth end,
                reached_end = case when $6 then s.reached_end else excluded.reached_end end,
                since_full = case when $6 then s.since_full + 1 else 0 end,
                at = excluded.at,
                run_id = excluded.run_id,
                seq = excluded.seq
        "#,
        profile_id,
        scan.kind.as_str(),
        scan.newest,
        scan.depth,
        scan.reached_end,
        scan.stopped,
        run_id.0,
        seq,
    )
    .execute(db)
    .await?;
    Ok(())
}
