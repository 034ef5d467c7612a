//! Whether the database is there, and which one.

use sqlx::PgExecutor;
use sqlx::error::DatabaseError;

/// The code of a write that met a read-only transaction.
const READ_ONLY: &str = "25006";

/// The server's version as a number: 15.4 is 150004.
pub async fn server_version(db: impl PgExecutor<'_>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "version!""#).fetch_one(db).await
}

/// Whether a commit is on the disk before it is acknowledged.
pub async fn has_fsync(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select current_setting('fsync') = 'on' as "on!""#).fetch_one(db).await
}

/// Whether the server takes writes: it is no standby, and nobody has made it read-only.
pub async fn takes_writes(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select current_setting('transaction_read_only') = 'off' as "takes!""#).fetch_one(db).await
}

/// The error of a connection that leads to a server that takes no writes.
pub fn read_only() -> sqlx::Error {
    let words = "the server takes no writes: it is a standby, or somebody has made it read-only";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, words))
}

/// Whether a statement failed because the server takes no writes.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ReadOnlyFilesystem,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == READ_ONLY),
        _ => false,
    }
}

/// Whether a connection failed as it does while a server starts up: nobody listens yet, or not to us.
pub fn is_starting_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
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
        sqlx::Error::Database(error) => is_of_the_server(error.as_ref()),
        _ => false,
    }
}

/// Whether a statement was given up because it had no answer in time.
pub fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// Whether the server speaks of itself and not of a statement: its connections, its resources, its operators (it shuts
/// down, it starts up), its being read-only, the end that it has made to a transaction that said nothing.
pub fn is_of_the_server(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| {
        ["08", "53", "57"].iter().any(|class| code.starts_with(class)) || [READ_ONLY, "25P03"].contains(&&*code)
    })
}
