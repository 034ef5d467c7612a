//! Logs and requests whose time is over, given up for good: whole partitions where all of one may go, else a few runs at a
//! time; and partitions that are empty because all their logs are packed.

use std::time::Duration;

use super::Retention;
use crate::db::expiry::{self, Of};
use crate::db::partitions::{self, Past};
use crate::db::{Pool, RunId};

/// How long a statement may take; it goes through the runs of a quarter at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was given up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expired {
    /// Logs, one by one.
    pub logs: i64,
    /// Runs whose requests were removed one by one.
    pub asked: i64,
    /// What should go and stays for now, since its run has not ended or is not summed up yet.
    pub kept: i64,
    /// Partitions that were dropped with what was in them.
    pub weeks: u64,
    /// Partitions that were dropped empty.
    pub empty: u64,
    /// Partitions that somebody was reading all the time; they are tried again.
    pub busy: u64,
}

impl Expired {
    /// Whether nothing was done.
    pub fn is_nothing(&self) -> bool {
        self.logs + self.asked == 0 && self.weeks + self.empty + self.busy == 0
    }
}

/// Gives up all whose time is over, and drops what is empty.
pub(super) async fn give_up(pool: &Pool, retention: Retention, pause: Duration) -> sqlx::Result<Expired> {
    let pool = pool.patient(PATIENCE);
    let mut done = Expired::default();
    for past in partitions::past(&pool).await?.iter().filter(|past| !past.has_active) {
        let is_over = retention.of(&past.table).is_some_and(|days| past.days >= days);
        if is_over && expiry::may_go(&pool, past.first, past.above).await? {
            done.dropped(drop(&pool, past, true).await?, |done| &mut done.weeks);
        }
        tokio::time::sleep(pause).await;
    }
    for (of, days) in [
        (Of::Events, retention.log_days),
        (Of::Archives, retention.log_days),
        (Of::StrayExchanges, retention.exchange_days),
    ] {
        let Some(days) = days else { continue };
        let mut after = RunId::ALL.0;
        loop {
            let gone = expiry::give_up(&pool, of, after, days).await?;
            let counted = if of == Of::StrayExchanges { &mut done.asked } else { &mut done.logs };
            *counted += gone.runs;
            done.kept += gone.kept;
            let Some(until) = gone.until else { break };
            after = until;
            tokio::time::sleep(pause).await;
        }
    }
    metrics::counter!("igt_logs_given_up_total").increment(done.logs.unsigned_abs());
    Ok(done)
}

/// Drops the partitions that are past and have no row left.
pub(super) async fn drop_empty(pool: &Pool, pause: Duration) -> sqlx::Result<Expired> {
    let pool = pool.patient(PATIENCE);
    let mut done = Expired::default();
    for past in partitions::past(&pool).await?.iter().filter(|past| !past.has_active) {
        done.dropped(drop(&pool, past, false).await?, |done| &mut done.empty);
        tokio::time::sleep(pause).await;
    }
    Ok(done)
}

impl Expired {
    fn dropped(&mut self, dropped: Dropped, counted: impl Fn(&mut Self) -> &mut u64) {
        match dropped {
            Dropped::Yes => *counted(self) += 1,
            Dropped::No => {}
            Dropped::Busy => self.busy += 1,
        }
    }
}

enum Dropped {
    Yes,
    No,
    Busy,
}

async fn drop(pool: &Pool, past: &Past, with_rows: bool) -> sqlx::Result<Dropped> {
    match partitions::drop(pool, &past.name, with_rows).await {
        Ok(false) => Ok(Dropped::No),
        Ok(true) => {
            tracing::info!(partition = past.name, with_rows, "dropped a partition whose time is over");
            metrics::counter!("igt_partitions_dropped_total", "table" => past.table.clone()).increment(1);
            Ok(Dropped::Yes)
        }
        Err(error) if partitions::is_busy(&error) => Ok(Dropped::Busy),
        Err(error) => Err(error),
    }
}
