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

/// Whether a statement failed because the database is away, overloaded, starting up or read-only for now, and not
/// because of what it says.
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // Connection, resources, operator intervention (shutdown, starting up), read-only.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "25006"),
        _ => false,
    }
}
