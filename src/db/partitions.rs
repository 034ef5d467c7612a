//! The weekly partitions of the two logs.

use sqlx::PgExecutor;

/// Makes the partitions of this week and four weeks ahead; says how many were missing. Any replica may, at any time.
pub async fn ensure(db: impl PgExecutor<'_>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select ensure_run_partitions() as "made!""#).fetch_one(db).await
}
