//! What keeps the tables in order while the service runs: partitions ahead, summaries of runs that have ended, the removal
//! of what is over, and what an upgrade leaves to be done on rows that were there before.
//!
//! Every replica does all of it; each step is safe to be done by many at once, and to be cut off anywhere.

mod captions;
mod partitions;
mod removals;
mod summaries;

use crate::db::Pool;

pub use captions::read_captions;
pub use partitions::make_partitions;
pub use summaries::summarise_all;

/// How long what is written is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The bodies of answers, in days.
    pub body_days: i32,
}

/// Keeps the tables in order until it is dropped.
pub async fn keep(pool: Pool, retention: Retention) {
    tokio::join!(
        partitions::keep(&pool),
        summaries::keep(&pool),
        removals::keep(&pool, retention),
        captions::keep(&pool)
    );
}
