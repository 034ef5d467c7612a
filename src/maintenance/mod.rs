//! What keeps the tables in order while the service runs: partitions ahead, summaries of runs that have ended, posts and
//! reels counted by account, old logs packed, the removal of what is over, and what an upgrade leaves to be done on rows that
//! were there before.
//!
//! Every replica does all of it; each step is safe to be done by many at once, and to be cut off anywhere.

mod accounts;
mod captions;
mod expiry;
mod packing;
mod partitions;
mod plan;
mod removals;
mod summaries;

use std::time::Duration;

use crate::db::packing::Packed;
use crate::db::{self, Pool};

pub use accounts::roll_up_all;
pub use captions::read_captions;
pub use expiry::Expired;
pub use partitions::{ensure_partitions, make_partitions};
pub use plan::{Planned, plan};
pub use removals::{Removed, remove_all};
pub use summaries::summarise_all;

/// How often what is old is looked for, and the pause between two transactions that pack or remove some of it.
const EVERY: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(250);

/// From so many events that were packed in one pass on the planner is told at once, and not once a day.
const MANY: u64 = 10_000;

/// How long telling it may take: it samples each partition.
const TELLS_WITHIN: Duration = Duration::from_secs(300);

/// How long what is written is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The bodies of answers, in days.
    pub body_days: i32,
    /// Logs as rows, in days after their runs' ends; then they are packed. `None`: for ever.
    pub archive_after_days: Option<i32>,
    /// The requests of runs, in days. `None`: for ever.
    pub exchange_days: Option<i32>,
    /// Logs at all, in days after their runs' ends. `None`: for ever.
    pub log_days: Option<i32>,
}

impl Retention {
    /// How long the rows of a table by run are kept, in days.
    fn of(&self, table: &str) -> Option<i32> {
        if table == "run_exchanges" { self.exchange_days } else { self.log_days }
    }
}

/// Keeps the tables in order until it is dropped.
pub async fn keep(pool: Pool, retention: Retention) {
    tokio::join!(
        partitions::keep(&pool),
        summaries::keep(&pool),
        accounts::keep(&pool),
        removals::keep(&pool, retention),
        keep_logs(&pool, retention),
        captions::keep(&pool)
    );
}

/// Packs logs and gives up what is over, again and again.
async fn keep_logs(pool: &Pool, retention: Retention) {
    loop {
        match tend_logs(pool, retention, PAUSE).await {
            Ok(Tended { packed, expired }) if packed.runs + packed.failed == 0 && expired.is_nothing() => {}
            Ok(Tended { packed, expired }) => tracing::info!(
                logs = packed.runs,
                events = packed.events,
                bytes = packed.bytes,
                failed = packed.failed,
                given_up = expired.logs,
                kept = expired.kept,
                dropped = expired.weeks + expired.empty,
                busy = expired.busy,
                "packed old logs and gave up what is over"
            ),
            Err(error) => {
                metrics::counter!("igt_maintenance_failures_total").increment(1);
                tracing::warn!(%error, "could not pack old logs or give up what is over; trying again in an hour");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What was done about logs and requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tended {
    /// What was packed.
    pub packed: Packed,
    /// What was given up.
    pub expired: Expired,
}

/// Packs all logs that are due and gives up all that is over: first what goes for good, so that it is not packed before.
pub async fn tend_logs(pool: &Pool, retention: Retention, pause: Duration) -> sqlx::Result<Tended> {
    let mut expired = expiry::give_up(pool, retention, pause).await?;
    let packed = match retention.archive_after_days {
        Some(days) => packing::pack_all(pool, days, pause).await?,
        None => Packed::default(),
    };
    let dropped = expiry::drop_empty(pool, pause).await?;
    (expired.empty, expired.busy) = (dropped.empty, expired.busy.max(dropped.busy));
    let tended = Tended { packed, expired };
    if tended.is_news(pool).await? {
        db::partitions::analyze(&pool.patient(TELLS_WITHIN)).await?;
    }
    Ok(tended)
}

impl Tended {
    /// Whether the planner is to be told of it: of partitions that went and of much that was packed at once, else of
    /// whatever was done once a day. It is the database that knows when it was told last, whichever replica did.
    async fn is_news(&self, pool: &Pool) -> sqlx::Result<bool> {
        let Self { packed, expired } = self;
        if packed.events > MANY || expired.weeks + expired.empty > 0 {
            return Ok(true);
        }
        Ok((packed.runs > 0 || expired.logs + expired.asked > 0) && db::partitions::is_planner_behind(pool).await?)
    }
}
