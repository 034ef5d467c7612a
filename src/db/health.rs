//! Whether the database is there, and which one.

use sqlx::PgExecutor;

/// The server's version as a number: 15.4 is 150004.
pub async fn server_version(db: impl PgExecutor<'_>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "version!""#).fetch_one(db).await
}

/// Whether a commit is on the disk before it is acknowledged.
pub async fn has_fsync(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select current_setting('fsync') = 'on' as "on!""#).fetch_one(db).await
}
