//! Free hands look for due runs: queued ones, those whose wait is over, those of a lost worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{Core, hand};
use crate::db::runs;

/// Claims for as long as the replica takes up runs. Polling is the truth; a hint only makes it sooner.
pub(super) async fn claim_runs(core: Arc<Core>) {
    loop {
        let Ok(first) = Arc::clone(&core.hands).acquire_owned().await else { return };
        let mut free = vec![first];
        while let Ok(hand) = Arc::clone(&core.hands).try_acquire_owned() {
            free.push(hand);
        }
        match claim(&core, &mut free).await {
            // There may be more than there were hands: look again as soon as one is free.
            Ok(()) if free.is_empty() => continue,
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "could not look for due runs; trying again"),
        }
        drop(free);
        let wait = until_next_look(&core).await;
        let _ = tokio::time::timeout(wait, core.live.claimable().notified()).await;
    }
}

/// Claims at most as many runs as there are free hands and puts them to work.
async fn claim(core: &Arc<Core>, free: &mut Vec<OwnedSemaphorePermit>) -> sqlx::Result<()> {
    let before = Instant::now();
    // A claim whose answer is lost leaves runs with no hand; their lease ends and they are claimed again.
    let limit = i64::try_from(free.len()).unwrap_or(i64::MAX);
    let claimed = runs::claim(&core.pool, core.worker, core.policy.lease.as_secs_f64(), limit).await?;
    for claimed in claimed {
        if let Some(free_hand) = free.pop() {
            hand::put_to_work(Arc::clone(core), claimed, before, free_hand);
        }
    }
    Ok(())
}

/// Until the next run is due, at most the poll interval.
async fn until_next_look(core: &Core) -> Duration {
    match runs::next_due_in(&core.pool).await {
        Ok(Some(seconds)) => Duration::try_from_secs_f64(seconds.max(0.01)).unwrap_or_default().min(core.policy.poll),
        Ok(None) | Err(_) => core.policy.poll,
    }
}
