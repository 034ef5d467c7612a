//! Free hands look for due runs: queued ones, those whose wait is over, those of a lost worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{Core, hand};
use crate::db::runs;

/// Claims for as long as the replica takes up runs. Polling is the truth; a hint only makes it sooner.
///
/// Hands are reserved only while something is due: a run that is started here meanwhile finds them free.
pub(super) async fn claim_runs(core: Arc<Core>) {
    loop {
        match runs::next_due_in(&core.pool).await {
            Ok(Some(seconds)) if seconds <= 0.0 => match claim_with_free_hands(&core).await {
                Ok(0) => {
                    // What is due is being claimed by another, or locked by one who was stopped in the middle.
                    rest(&core, core.policy.poll).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not claim due runs; trying again");
                    rest(&core, core.policy.poll).await;
                }
            },
            Ok(Some(seconds)) => rest(&core, Duration::from_secs_f64(seconds).min(core.policy.poll)).await,
            Ok(None) => rest(&core, core.policy.poll).await,
            Err(error) => {
                tracing::warn!(%error, "could not look for due runs; trying again");
                rest(&core, core.policy.poll).await;
            }
        }
    }
}

/// Until a hint comes, at most so long.
async fn rest(core: &Core, longest: Duration) {
    let _ = tokio::time::timeout(longest, core.live.claimable().notified()).await;
}

/// Waits for a hand to be free and puts as many runs to work as there are free hands; says how many.
async fn claim_with_free_hands(core: &Arc<Core>) -> sqlx::Result<usize> {
    let mut free: Vec<OwnedSemaphorePermit> = Vec::new();
    // The semaphore is never closed; the first hand is worth waiting for, the others are taken if they are there.
    free.extend(Arc::clone(&core.hands).acquire_owned().await);
    while let Ok(hand) = Arc::clone(&core.hands).try_acquire_owned() {
        free.push(hand);
    }
    let before = Instant::now();
    // A claim whose answer is lost leaves runs with no hand; their lease ends and they are claimed again.
    let limit = i64::try_from(free.len()).unwrap_or(i64::MAX);
    let claimed = runs::claim(&core.pool, core.worker, core.policy.lease.as_secs_f64(), limit).await?;
    let runs = claimed.len();
    for (claimed, free_hand) in claimed.into_iter().zip(free) {
        hand::put_to_work(Arc::clone(core), claimed, before, free_hand);
    }
    Ok(runs)
}
