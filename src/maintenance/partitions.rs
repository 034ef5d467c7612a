//! Partitions of the weeks to come.

use std::time::Duration;

use crate::db::{self, Pool};

/// How often missing ones are looked for; they are made four weeks ahead.
const EVERY: Duration = Duration::from_secs(3600);

pub(super) async fn keep(pool: &Pool) {
    loop {
        tokio::time::sleep(EVERY).await;
        make_partitions(pool).await;
    }
}

/// Makes those that are missing; says how many.
pub async fn ensure_partitions(pool: &Pool) -> sqlx::Result<i32> {
    db::partitions::ensure(pool).await
}

/// Partitions that are missing are nothing to fail by: until they are made, their rows go to the default one.
pub async fn make_partitions(pool: &Pool) {
    match ensure_partitions(pool).await {
        Ok(0) => {}
        Ok(made) => tracing::info!(made, "made partitions ahead"),
        Err(error) => tracing::warn!(%error, "could not make partitions ahead; trying again in an hour"),
    }
}
