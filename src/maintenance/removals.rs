//! Kept bodies and idempotency keys whose time is over, removed a few at a time so that no statement is long.

use std::time::Duration;

use super::Retention;
use crate::db::{self, Pool};

/// How often rows are looked for whose time is over, how many are removed at a time, and the pause in between.
const EVERY: Duration = Duration::from_secs(3600);
const AT_ONCE: i64 = 200;
const PAUSE: Duration = Duration::from_secs(1);

/// Every replica does; none waits for another.
pub(super) async fn keep(pool: &Pool, retention: Retention) {
    loop {
        let bodies = db::exchanges::drop_bodies(pool, retention.body_days, AT_ONCE).await;
        let keys = db::idempotency::drop_old(pool, AT_ONCE).await;
        match (bodies, keys) {
            (Ok(0), Ok(0)) => tokio::time::sleep(EVERY).await,
            (Ok(bodies), Ok(keys)) => {
                tracing::info!(bodies, keys, "removed kept bodies and idempotency keys whose time is over");
                tokio::time::sleep(PAUSE).await;
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "could not remove what is old; trying again in an hour");
                tokio::time::sleep(EVERY).await;
            }
        }
    }
}
