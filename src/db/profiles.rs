//! Accounts as they were last seen, and their numbers over time.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::text::fit_if_any;
use super::{RunId, TaskId};

/// An account as a run read it.
#[derive(Clone, Debug)]
pub struct NewProfile {
    /// Instagram's own number of the account; not every source tells it.
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
    /// Whether the answer told its link, or that it has none; else what was known of it stays.
    pub external_url_told: bool,
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

/// Stores an account as read by an event of a run, its handle where that is a new one, and its numbers where they
/// changed; ties the run to it. Runs in the transaction whose first statement was the run's fenced write.
///
/// Which row is the account's, whichever source has read it:
///
/// 1. the one with Instagram's number of it;
/// 2. else the one with its id on the Facebook side, unless both know a number;
/// 3. else the one that bore its handle last, unless both know a number, or both an id on the Facebook side: then it is
///    another account, from which the handle has passed on;
/// 4. else a new one.
///
/// What the row did not know is filled in.
pub async fn record(db: &mut PgConnection, run_id: RunId, seq: i64, profile: &NewProfile) -> sqlx::Result<Recorded> {
    let fbid = fit_if_any(profile.fbid.as_deref());
    let recorded = match find(db, profile, fbid.as_deref()).await? {
        Some(known) => update(db, run_id, seq, profile, fbid.as_deref(), known).await?,
        None => insert(db, run_id, seq, profile, fbid.as_deref()).await?,
    };
    tie(db, run_id, seq, recorded.profile_id, profile).await?;
    Ok(recorded)
}

/// Where an account is stored.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Our own number of it.
    pub profile_id: i64,
    /// Whether nobody had read it before: there is neither a scan nor a post of it.
    pub is_new: bool,
}

/// An account's row, as it was found.
struct Known {
    profile_id: i64,
    username: String,
    last_seen_at: DateTime<Utc>,
}

/// The row of an account, locked.
async fn find(db: &mut PgConnection, profile: &NewProfile, fbid: Option<&str>) -> sqlx::Result<Option<Known>> {
    sqlx::query_as!(
        Known,
        r#"
        select profile_id, username, last_seen_at
        from profiles p
        where instagram_pk = $1
            or (fbid = $2 and ($1::bigint is null or instagram_pk is null))
            or (username = $3
                and ($1::bigint is null or instagram_pk is null)
                and ($2::text is null or fbid is null)
                and not exists (
                    select from profiles later
                    where later.username = p.username and later.profile_id <> p.profile_id
                        and later.last_seen_at > p.last_seen_at))
        order by (instagram_pk = $1) desc nulls last, (fbid = $2) desc nulls last, last_seen_at desc
        limit 1
        for no key update
        "#,
        profile.instagram_pk,
        fbid,
        profile.username,
    )
    .fetch_optional(db)
    .await
}

async fn update(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile: &NewProfile,
    fbid: Option<&str>,
    known: Known,
) -> sqlx::Result<Recorded> {
    sqlx::query!(
        r#"
        update profiles p
        set instagram_pk = coalesce(p.instagram_pk, $2),
            fbid = case
                when exists (select from profiles other where other.fbid = $3 and other.profile_id <> $1) then p.fbid
                else coalesce($3, p.fbid)
            end,
            username = $4,
            full_name = coalesce($5, p.full_name),
            biography = coalesce($6, p.biography),
            category = coalesce($7, p.category),
            external_url = case when $14 then $8 else p.external_url end,
            profile_pic_url = coalesce($9, p.profile_pic_url),
            is_private = coalesce($10, p.is_private),
            is_verified = coalesce($11, p.is_verified),
            last_seen_at = now(),
            run_id = $12,
            seq = $13
        where profile_id = $1
        "#,
        known.profile_id,
        profile.instagram_pk,
        fbid,
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
        profile.external_url_told,
    )
    .execute(&mut *db)
    .await?;
    if known.username != profile.username {
        rename(db, run_id, seq, &known, &profile.username).await?;
    }
    Ok(Recorded { profile_id: known.profile_id, is_new: false })
}

/// Makes the row of an account that has none. Runs that read a new account at once take turns: the later one finds the
/// row that the earlier one made, also where each knows the account by something else.
async fn insert(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile: &NewProfile,
    fbid: Option<&str>,
) -> sqlx::Result<Recorded> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('ig-tracking.profile ' || $1))", profile.username)
        .fetch_one(&mut *db)
        .await?;
    loop {
        if let Some(known) = find(db, profile, fbid).await? {
            return update(db, run_id, seq, profile, fbid, known).await;
        }
        let inserted = sqlx::query_scalar!(
            r#"
            with made as (
                insert into profiles (instagram_pk, fbid, username, full_name, biography, category, external_url,
                                      profile_pic_url, is_private, is_verified, run_id, seq)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                on conflict do nothing
                returning profile_id
            ), named as (
                insert into profile_names (profile_id, observed_from, username, run_id, seq)
                select profile_id, statement_timestamp(), $3, $11, $12 from made
            )
            select profile_id from made
            "#,
            profile.instagram_pk,
            fbid,
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
        .fetch_optional(&mut *db)
        .await?;
        if let Some(profile_id) = inserted {
            return Ok(Recorded { profile_id, is_new: true });
        }
        // One of another name made it meanwhile, and what conflicted is committed: it is found now. A row that holds
        // the same id on the Facebook side and another number is in the way of this one for good.
        if find(db, profile, fbid).await?.is_none() {
            return Box::pin(insert(db, run_id, seq, profile, None)).await;
        }
    }
}

/// Ends the time of an account's handle, which was last seen when the account was, and begins that of another.
async fn rename(db: &mut PgConnection, run_id: RunId, seq: i64, known: &Known, username: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update profile_names set observed_until = greatest($2, observed_from)
         where profile_id = $1 and observed_until is null",
        known.profile_id,
        known.last_seen_at,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into profile_names (profile_id, observed_from, username, run_id, seq)
         values ($1, statement_timestamp(), $2, $3, $4)",
        known.profile_id,
        username,
        run_id.0,
        seq,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How an account was known to a task's earlier runs.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Instagram's own number of the account.
    pub instagram_pk: Option<i64>,
    /// Its handle when last seen.
    pub username: String,
}

/// The account that the latest of a task's runs read, if any did: what the task follows, whatever it is called by now.
pub async fn tracked_by(db: impl PgExecutor<'_>, task_id: &TaskId, username: &str) -> sqlx::Result<Option<Tracked>> {
    sqlx::query_as!(
        Tracked,
        r#"
        select instagram_pk, username
        from profiles
        where profile_id = (
            select profile_id from runs
            where task_id = $1 and username = $2 and profile_id is not null
            order by run_id desc
            limit 1)
        "#,
        task_id.as_str(),
        username,
    )
    .fetch_optional(db)
    .await
}

/// Ties the run to the account, and keeps its numbers: moves the latest snapshot on where all that is told agrees with
/// it, else begins a new one, for what an endpoint does not tell contradicts nothing. The account's row is locked by then, so two runs that read the same account take
/// turns; `statement_timestamp()` is later than either's predecessor.
async fn tie(
    db: &mut PgConnection,
    run_id: RunId,
    seq: i64,
    profile_id: i64,
    profile: &NewProfile,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with tied as (
            update runs set profile_id = $1 where run_id = $5
        ), latest as (
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
    /// The run that first saw these numbers; `None` where none was ever told.
    pub run_id: Option<RunId>,
    /// The event of that run that says so.
    pub seq: Option<i64>,
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
               s.posts_count as "posts_count?", s.run_id as "run_id?: RunId", s.seq as "seq?"
        from profiles p
        left join lateral (
            select followers_count, following_count, posts_count, run_id, seq
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
