//! What is said on a connection that belongs to no table: where a transaction begins and ends.

use sqlx::{Connection as _, PgConnection};

/// Begins a transaction. One that says nothing for 2 s is ended by the server: its process was stopped or cut off, and
/// the rows that it locked must not wait for it.
pub async fn begin(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("begin; set local idle_in_transaction_session_timeout = '2s'").execute(connection).await.map(drop)
}

/// The same behind a pooler that gives each transaction another server connection: whatever somebody else left prepared
/// there is forgotten first.
pub async fn begin_afresh(connection: &mut PgConnection) -> sqlx::Result<()> {
    begin(connection).await?;
    sqlx::raw_sql("deallocate all").execute(connection).await.map(drop)
}

/// Commits.
pub async fn commit(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("commit").execute(connection).await.map(drop)
}

/// The same, and nothing stays prepared on the server connection that a pooler gives to others.
pub async fn commit_and_forget(connection: &mut PgConnection) -> sqlx::Result<()> {
    connection.clear_cached_statements().await?;
    commit(connection).await
}
