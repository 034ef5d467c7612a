//! Kept bodies and idempotency keys whose time is over, removed a few at a time so that no statement is long.

use std::time::Duration;

use super::{EVERY, Retention};
use crate::db::{self, Pool};

/// How many rows are removed at a time, and the pause in between.
const AT_ONCE: i64 = 200;
const PAUSE: Duration = Duration::from_secs(1);

/// What was removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removed {
    /// Bodies of answers.
    pub bodies: u64,
    /// Idempotency keys.
    pub keys: u64,
}

/// Every replica does; none waits for another.
pub(super) async fn keep(pool: &Pool, retention: Retention) {
    loop {
        match remove_all(pool, retention, PAUSE).await {
            Ok(Removed { bodies: 0, keys: 0 }) => {}
            Ok(Removed { bodies, keys }) => {
                tracing::info!(bodies, keys, "removed kept bodies and idempotency keys whose time is over");
            }
            Err(error) => tracing::warn!(%error, "could not remove what is old; trying again in an hour"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes all whose time is over; says how much it was.
pub async fn remove_all(pool: &Pool, retention: Retention, pause: Duration) -> sqlx::Result<Removed> {
    let mut removed = Removed::default();
    loop {
        let bodies = db::exchanges::drop_bodies(pool, retention.body_days, AT_ONCE).await?;
        let keys = db::idempotency::drop_old(pool, AT_ONCE).await?;
        if bodies + keys == 0 {
            return Ok(removed);
        }
        removed = Removed { bodies: removed.bodies + bodies, keys: removed.keys + keys };
        tokio::time::sleep(pause).await;
    }
}
