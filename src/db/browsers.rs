//! The table `sessions`: browsers that signed in with a key and hold a cookie.

use sqlx::PgExecutor;

/// Sessions that a key has at most.
const MOST_OF_A_KEY: i32 = 100;

/// Begins a session of so many seconds, and ends the oldest ones of its key where they are too many. `false` where the key is
/// not there any more, or has expired.
pub async fn begin(db: impl PgExecutor<'_>, token_sha256: &[u8; 32], key_id: &str, seconds: f64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        with too_many as (
            delete from sessions where token_sha256 in (
                select token_sha256 from sessions where key_id = $2 order by created_at desc, token_sha256 offset $4 - 1)
        )
        insert into sessions (token_sha256, key_id, expires_at)
        select $1, key_id, least(now() + make_interval(secs => $3), expires_at)
        from api_keys
        where key_id = $2 and revoked_at is null and coalesce(expires_at > now(), true)
        "#,
        token_sha256,
        key_id,
        seconds,
        MOST_OF_A_KEY,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a session, whether it is there or not.
pub async fn end(db: impl PgExecutor<'_>, token_sha256: &[u8; 32]) -> sqlx::Result<()> {
    sqlx::query!("delete from sessions where token_sha256 = $1", token_sha256).execute(db).await.map(drop)
}

/// A session that has not ended.
#[derive(Clone, Debug)]
pub struct Session {
    /// SHA-256 of its cookie.
    pub token_sha256: Vec<u8>,
    /// The key whose scope it has.
    pub key_id: String,
    /// Seconds until it ends.
    pub expires_in_seconds: f64,
}

/// The latest sessions of keys that are not revoked, so many at most.
pub async fn live(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as!(
        Session,
        r#"
        select s.token_sha256, s.key_id, extract(epoch from s.expires_at - now())::float8 as "expires_in_seconds!"
        from sessions s
        join api_keys k using (key_id)
        where s.expires_at > now() and k.revoked_at is null
        order by s.expires_at desc
        limit $1
        "#,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Removes sessions that have ended; how many there were.
pub async fn sweep(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    Ok(sqlx::query!("delete from sessions where expires_at <= now()").execute(db).await?.rows_affected())
}
