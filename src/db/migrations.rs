//! Which migrations the database has.

use sqlx::{PgExecutor, PgPool};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Applies what is missing. Several replicas may start at once: one applies, the others wait for it.
pub async fn run(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    MIGRATOR.run(pool).await
}

/// The version of the latest migration that was applied.
pub async fn applied(db: impl PgExecutor<'_>) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select max(version) from _sqlx_migrations where success").fetch_one(db).await
}

/// Whether the schema was ever made here.
pub async fn has_schema(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select to_regclass('_sqlx_migrations') is not null as "has!""#).fetch_one(db).await
}
