//! Which migrations the database has.

use sqlx::migrate::MigrateError;
use sqlx::{Connection as _, PgConnection, PgExecutor};

/// Applies what is missing, all of it or nothing. Several replicas may start at once: one applies, the others wait for
/// it.
///
/// The lock belongs to the transaction: one of the session could be left behind in a transaction pooler, for ever.
pub async fn run(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let mut migrator = sqlx::migrate!();
    migrator.set_locking(false);
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtext('ig-tracking.migrate'))").execute(&mut *transaction).await?;
    migrator.run(&mut *transaction).await?;
    // A pooler would give what was prepared on the way to others.
    transaction.clear_cached_statements().await?;
    Ok(transaction.commit().await?)
}

/// The version of the latest migration that was applied.
pub async fn applied(db: impl PgExecutor<'_>) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select max(version) from _sqlx_migrations where success").fetch_one(db).await
}

/// Whether the schema was ever made here.
pub async fn has_schema(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select to_regclass('_sqlx_migrations') is not null as "has!""#).fetch_one(db).await
}
