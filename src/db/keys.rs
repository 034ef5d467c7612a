//! The table `api_keys`: who may use the interface. Sessions of browsers are in [`super::browsers`].

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use super::audit::Author;

/// What a key allows; each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Scope {
    /// To look at everything but keys and audit.
    Read,
    /// To create, change and delete tasks and to start and stop runs, too.
    Run,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Run, Self::Admin];

    /// The name in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }
}

/// Whether a key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Live,
    /// Its time is over.
    Expired,
    /// It is refused for good.
    Revoked,
}

impl KeyState {
    /// The name in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Its id.
    pub key_id: &'a str,
    /// What it is for.
    pub name: &'a str,
    /// SHA-256 of its secret.
    pub secret_sha256: [u8; 32],
    /// What it allows.
    pub scope: Scope,
    /// Requests a second that a replica takes with it; `None` leaves that to the replica.
    pub rate_limit: Option<i32>,
    /// Seconds until it expires; `None` where it does not.
    pub expires_in_seconds: Option<f64>,
}

/// Makes a key. `false` where the name belongs to one that is not revoked.
pub async fn create(db: impl PgExecutor<'_>, key: &NewKey<'_>, author: &Author) -> sqlx::Result<bool> {
    let made = sqlx::query_scalar!(
        r#"
        with made as (
            insert into api_keys (key_id, name, secret_sha256, scope, rate_limit, expires_at)
            values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
            on conflict (name) where revoked_at is null do nothing
            returning key_id, name, scope, expires_at
        ), audited as (
            insert into audit (who, act, object, details, request_id, address)
            select $7, 'keys.create', key_id,
                   jsonb_build_object('name', name, 'scope', scope, 'expires_at', expires_at), $8, $9
            from made
        )
        select true as "made!" from made
        "#,
        key.key_id,
        key.name,
        &key.secret_sha256,
        key.scope.as_str(),
        key.rate_limit,
        key.expires_in_seconds,
        author.who,
        author.request_id,
        author.address,
    )
    .fetch_optional(db)
    .await?;
    Ok(made.is_some())
}

/// A key that is refused from now on, or was before.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// Its id.
    pub key_id: String,
    /// What it was for.
    pub name: String,
    /// Whether it was not refused before.
    pub now: bool,
}

/// Revokes the key of this id; where names count too, else the one of this name that is not revoked. `None` where there is
/// none.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    of: &str,
    names_too: bool,
    author: &Author,
) -> sqlx::Result<Option<Revoked>> {
    sqlx::query_as!(
        Revoked,
        r#"
        with meant as (
            select key_id, name from api_keys
            where key_id = $1 or ($5 and name = $1 and revoked_at is null)
            order by key_id = $1 desc
            limit 1
        ), revoked as (
            update api_keys k set revoked_at = now() from meant
            where k.key_id = meant.key_id and k.revoked_at is null
            returning k.key_id, k.name
        ), audited as (
            insert into audit (who, act, object, details, request_id, address)
            select $2, 'keys.revoke', key_id, jsonb_build_object('name', name), $3, $4 from revoked
        )
        select key_id, name, exists (select from revoked) as "now!" from meant
        "#,
        of,
        author.who,
        author.request_id,
        author.address,
        names_too,
    )
    .fetch_optional(db)
    .await
}

/// A key as it is shown: all but its secret.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Its id.
    pub key_id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// Whether it is taken.
    pub state: KeyState,
    /// Requests a second that a replica takes with it; `None` where that is left to the replica.
    pub rate_limit: Option<i32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused; `None` where it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when it is refused for good.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Keys, those that are revoked included, in the order in which they were made: behind this one, so many at most.
pub async fn list(
    db: impl PgExecutor<'_>,
    after: Option<(DateTime<Utc>, &str)>,
    limit: Option<i64>,
) -> sqlx::Result<Vec<Key>> {
    sqlx::query_as!(
        Key,
        r#"
        select key_id, name, scope as "scope: Scope",
               case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'live' end
                   as "state!: KeyState",
               rate_limit, created_at, expires_at, last_used_at, revoked_at
        from api_keys
        where $1::timestamptz is null or (created_at, key_id) > ($1, $2::text)
        order by created_at, key_id
        limit $3
        "#,
        after.map(|(at, _)| at),
        after.map(|(_, key_id)| key_id),
        limit,
    )
    .fetch_all(db)
    .await
}

/// What tells whether something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Raised by each change of a key or a session.
    pub version: i64,
    /// Whether any key was ever made.
    pub any_made: bool,
}

/// The version of the keys and sessions. Read it before them: what is then missing of them raises it later.
pub async fn version(db: impl PgExecutor<'_>) -> sqlx::Result<Version> {
    sqlx::query_as!(Version, r#"select version, exists (select from api_keys) as "any_made!" from access_version"#,)
        .fetch_one(db)
        .await
}

/// A key that is not revoked, for whoever checks what requests show.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id.
    pub key_id: String,
    /// What it is for.
    pub name: String,
    /// SHA-256 of its secret.
    pub secret_sha256: Vec<u8>,
    /// What it allows.
    pub scope: Scope,
    /// Requests a second that a replica takes with it; `None` leaves that to the replica.
    pub rate_limit: Option<i32>,
    /// Seconds until it expires, below zero where it has; `None` where it does not.
    pub expires_in_seconds: Option<f64>,
}

/// All keys that are not revoked.
pub async fn not_revoked(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Known>> {
    sqlx::query_as!(
        Known,
        r#"
        select key_id, name, secret_sha256, scope as "scope: Scope", rate_limit,
               extract(epoch from expires_at - now())::float8 as expires_in_seconds
        from api_keys
        where revoked_at is null
        "#,
    )
    .fetch_all(db)
    .await
}

/// Notes that these keys were used so many seconds ago. What another replica noted within a minute is left as it is.
pub async fn note_use(db: impl PgExecutor<'_>, key_ids: &[&str], ages: &[f64]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update api_keys k set last_used_at = now() - make_interval(secs => used.age)
        from unnest($1::text[], $2::float8[]) as used (key_id, age)
        where k.key_id = used.key_id
            and (k.last_used_at is null
                or k.last_used_at < now() - make_interval(secs => used.age) - interval '1 minute')
        "#,
        key_ids as &[&str],
        ages,
    )
    .execute(db)
    .await
    .map(drop)
}
