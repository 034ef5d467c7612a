//! What there is to be done, without doing it.

use super::Retention;
use crate::db::expiry::{self, Of};
use crate::db::{Pool, account_rollups, exchanges, idempotency, packing, partitions};

/// What would be done.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// Accounts whose posts and reels would be counted anew.
    pub accounts: i64,
    /// Bodies of answers that would be removed.
    pub bodies: i64,
    /// Idempotency keys that would be.
    pub keys: i64,
    /// Logs that would be given up.
    pub logs: i64,
    /// Runs whose requests would be removed one by one.
    pub asked: i64,
    /// Partitions that would be dropped with what is in them.
    pub partitions: Vec<String>,
    /// Logs that would be packed.
    pub packed_runs: i64,
    /// Events of theirs.
    pub packed_events: i64,
}

/// Looks what would be done.
pub async fn plan(pool: &Pool, retention: Retention) -> sqlx::Result<Planned> {
    let mut planned = Planned {
        accounts: account_rollups::count_marked(pool).await?,
        bodies: exchanges::count_old_bodies(pool, retention.body_days).await?,
        keys: idempotency::count_old(pool).await?,
        ..Planned::default()
    };
    for past in partitions::past(pool).await?.into_iter().filter(|past| !past.has_active) {
        let days = retention.of(&past.table).filter(|days| past.days >= *days);
        if let Some(days) = days
            && expiry::may_go(pool, past.first, past.above, days).await?
        {
            planned.partitions.push(past.name);
        }
    }
    if let Some(days) = retention.log_days {
        planned.logs = expiry::count(pool, Of::Events, days).await? + expiry::count(pool, Of::Archives, days).await?;
    }
    if let Some(days) = retention.exchange_days {
        planned.asked = expiry::count(pool, Of::StrayExchanges, days).await?;
    }
    if let Some(days) = retention.archive_after_days {
        (planned.packed_runs, planned.packed_events) = packing::due(pool, days).await?;
    }
    Ok(planned)
}
