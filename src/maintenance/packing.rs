//! Logs of runs that ended long ago, packed a few at a time.

use std::time::Duration;

use crate::db::packing::{self, Next, Packed};
use crate::db::{Pool, RunId, health};

/// How long a statement of the packing may take, and a whole transaction.
const PATIENCE: Duration = Duration::from_secs(30);

/// Packs all logs that are due, pausing in between; says what it packed.
pub(super) async fn pack_all(pool: &Pool, older_than_days: i32, pause: Duration) -> sqlx::Result<Packed> {
    let pool = pool.patient(PATIENCE);
    let (mut after, mut packed) = (RunId::ALL.0, Packed::default());
    loop {
        let next = packing::next(&pool, after, older_than_days).await?;
        let Some(last) = next.last() else { return Ok(packed) };
        let due: Vec<_> = next.iter().copied().filter(|run| run.is_due).collect();
        if !due.is_empty() {
            packing::make_room(&pool, &due).await?;
            match pool.in_time(pack(&pool, &due)).await {
                Ok(Some(some)) => packed = count(packed, some),
                // Another replica is at it; these may be done when it is through.
                Ok(None) => {
                    tokio::time::sleep(pause.max(BUSY)).await;
                    continue;
                }
                // One of them is not as it should be, or takes too long: each for itself.
                Err(error) if packing::is_of_a_log(&error) => packed = count(packed, each(&pool, &due).await?),
                Err(error) => return Err(error),
            }
        }
        after = last.run_id;
        tokio::time::sleep(pause).await;
    }
}

/// How long to wait for whoever is packing.
const BUSY: Duration = Duration::from_millis(50);

/// Packs these; `None` where somebody else is packing.
async fn pack(pool: &Pool, due: &[Next]) -> sqlx::Result<Option<Packed>> {
    let mut transaction = pool.begin().await?;
    if !packing::begin(&mut *transaction).await? {
        transaction.commit().await?;
        return Ok(None);
    }
    let packed = packing::pack(&mut transaction, due).await?;
    transaction.commit().await?;
    Ok(Some(packed))
}

/// Packs each of these for itself.
async fn each(pool: &Pool, due: &[Next]) -> sqlx::Result<Packed> {
    let mut packed = Packed::default();
    for run in due {
        loop {
            match pool.in_time(pack(pool, std::slice::from_ref(run))).await {
                Ok(Some(one)) => packed = sum(packed, one),
                Ok(None) => {
                    tokio::time::sleep(BUSY).await;
                    continue;
                }
                Err(error) if packing::is_of_a_log(&error) => {
                    // Who answers nothing at all is not told from a log that takes too long.
                    health::takes_writes(pool).await?;
                    tracing::error!(run_id = %run.run_id, %error, "a log could not be packed and stays as it is");
                    packed.failed += 1;
                }
                Err(error) => return Err(error),
            }
            break;
        }
    }
    Ok(packed)
}

fn count(before: Packed, some: Packed) -> Packed {
    metrics::counter!("igt_logs_packed_total").increment(some.runs);
    metrics::counter!("igt_events_packed_total").increment(some.events);
    metrics::counter!("igt_packed_bytes_total").increment(some.bytes);
    metrics::counter!("igt_logs_not_packed_total").increment(some.failed);
    sum(before, some)
}

fn sum(before: Packed, some: Packed) -> Packed {
    Packed {
        runs: before.runs + some.runs,
        events: before.events + some.events,
        bytes: before.bytes + some.bytes,
        failed: before.failed + some.failed,
    }
}
