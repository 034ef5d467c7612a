//! Accounts as they were last seen, and their numbers over time.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::text::fit_if_any;
use super::{RunId, TaskId};

/// An account as a run read it.
#[derive(Clone, Debug)]
pub struct NewProfile {
    /// Instagram's own number of the account; the official source does not tell it.
    pub instagram_pk: Option<i64>,
    /// Its id on the Facebook side.
    pub fbid: Option<String>,
    /// Its handle, in lower case.
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
    /// How many accounts follow it.
    pub followers_count: Option<i64>,
    /// How many accounts it follows.
    pub following_count: Option<i64>,
    /// How many posts it has.
    pub posts_count: Option<i64>,
}

/// Stores an account as read by an event of a run, and its numbers where they changed; ties the run to it. Runs in
/// the transaction whose first statement was the run's fenced write.
pub async fn record(db: &mut PgConnection, run_id: RunId, seq: i64, profile: &NewProfile) -> sqlx::Result<i64> {
    let profile_id = sqlx::query_scalar!(
        r#"
        insert into profiles as p (instagram_pk, fbid, username, full_name, biography, category, external_url,
                                   profile_pic_url, is_private, is_verified, run_id, seq)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (instagram_pk) do update
            set fbid = coalesce(excluded.fbid, p.fbid),
                username = excluded.username,
                full_name = excluded.full_name,
                biography = excluded.biography,
                category = coalesce(excluded.category, p.category),
                external_url = excluded.external_url,
                profile_pic_url = coalesce(excluded.profile_pic_url, p.profile_pic_url),
                is_private = coalesce(excluded.is_private, p.is_private),
                is_verified = coalesce(excluded.is_verified, p.is_verified),
                last_seen_at = now(),
                run_id = excluded.run_id,
                seq = excluded.seq
        returning profile_id
        "#,
        profile.instagram_pk,
        fit_if_any(profile.fbid.as_deref()),
        profile.username,
        fit_if_any(profile.full_name.as_deref()),
        fit_if_any(profile.biography.as_deref()),
        fit_if_any(profile.category.as_deref()),
        fit_if_any(profile.external_url.as_deref()),
        fit_if_any(profile.profile_pic_url.as_deref()),
        profile.is_private,
        profile.is_verified,
        run_id.0,
        seq,
    )
    .fetch_one(&mut *db)
    .await?;

    sqlx::query!("update runs set profile_id = $2 where run_id = $1", run_id.0, profile_id).execute(&mut *db).await?;
    snapshot(db, run_id, seq, profile_id, profile).await?;
    Ok(profile_id)
}

/// Moves the latest snapshot on where all that is told agrees with it, else begins a new one: what an endpoint does
/// not tell contradicts nothing. The account's row is locked by then, so two runs that read the same account take
/// turns; `statement_timestamp()` is later than either's predecessor.
async fn snapshot(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile_id: i64,
    profile: &NewProfile,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with latest as (
            select observed_from from profile_snapshots where profile_id = $1 order by observed_from desc limit 1
        ), same as (
            update profile_snapshots s
            set observed_until = statement_timestamp()
            from latest
            where s.profile_id = $1 and s.observed_from = latest.observed_from
                and ($2::bigint is null or s.followers_count is not distinct from $2)
                and ($3::bigint is null or s.following_count is not distinct from $3)
                and ($4::bigint is null or s.posts_count is not distinct from $4)
                and num_nonnulls($2::bigint, $3::bigint, $4::bigint) > 0
            returning true
        )
        insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, following_count,
                                       posts_count, run_id, seq)
        select $1, statement_timestamp(), statement_timestamp(), $2, $3, $4, $5, $6
        where not exists (select from same)
            -- A failed reading is no change: nothing at all was told.
            and num_nonnulls($2::bigint, $3::bigint, $4::bigint) > 0
        "#,
        profile_id,
        profile.followers_count,
        profile.following_count,
        profile.posts_count,
        run_id.0,
        seq,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An account with its latest numbers.
#[derive(Clone, Debug)]
pub struct Profile {
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
    /// When it was last read.
    pub last_seen_at: DateTime<Utc>,
    /// How many accounts follow it.
    pub followers_count: Option<i64>,
    /// How many accounts it follows.
    pub following_count: Option<i64>,
    /// How many posts it has.
    pub posts_count: Option<i64>,
}

/// The account that a task's username led to: the one its latest runs read, or where none did, the account that
/// another task's run saw last under that name.
pub async fn of_task(db: impl PgExecutor<'_>, task_id: &TaskId, username: &str) -> sqlx::Result<Option<Profile>> {
    sqlx::query_as!(
        Profile,
        r#"
        select p.profile_id, p.instagram_pk, p.username, p.full_name, p.biography, p.category, p.external_url,
               p.profile_pic_url, p.is_private, p.is_verified, p.last_seen_at,
               s.followers_count as "followers_count?", s.following_count as "following_count?",
               s.posts_count as "posts_count?"
        from profiles p
        left join lateral (
            select followers_count, following_count, posts_count
            from profile_snapshots
            where profile_id = p.profile_id
            order by observed_from desc
            limit 1
        ) as s on true
        where p.profile_id = coalesce(
            (select profile_id from runs where task_id = $1 and profile_id is not null order by run_id desc limit 1),
            (select profile_id from profiles where username = $2 order by last_seen_at desc limit 1))
        "#,
        task_id.as_str(),
        username,
    )
    .fetch_optional(db)
    .await
}
