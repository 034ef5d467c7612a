//! NOTIFY: a hint to whoever listens, sent in a transaction of its own.

use sqlx::PgExecutor;

/// The one channel of the service.
pub const CHANNEL: &str = "ig_tracking";

/// Postgres takes payloads of less than this many bytes.
pub const MAX_PAYLOAD: usize = 8000;

/// Sends payloads, each shorter than [`MAX_PAYLOAD`].
///
/// Its commit waits for no disk: there is nothing in it that a crash could lose, and meanwhile every other NOTIFY of the cluster
/// would have to wait.
pub async fn send(db: impl PgExecutor<'_>, payloads: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "with quick as materialized (select set_config('synchronous_commit', 'off', true))
         select pg_notify($1, payload) from quick, unnest($2::text[]) as payload",
        CHANNEL,
        payloads,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}
