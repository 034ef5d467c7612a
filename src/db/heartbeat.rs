//! One statement a replica that keeps the leases of all its runs.

use sqlx::PgExecutor;

use super::{Lease, RunId};

/// A run whose lease was kept.
#[derive(Debug)]
pub struct Kept {
    /// The run.
    pub run_id: RunId,
    /// Whether a client has asked to cancel it.
    pub cancel_requested: bool,
}

/// Extends the leases that still hold. A run that does not come back is somebody else's now, or has ended.
pub async fn keep(db: impl PgExecutor<'_>, held: &[(RunId, Lease)], lease_seconds: f64) -> sqlx::Result<Vec<Kept>> {
    let run_ids: Vec<_> = held.iter().map(|(run, _)| run.0).collect();
    let leases: Vec<_> = held.iter().map(|(_, lease)| lease.0).collect();
    sqlx::query_as!(
        Kept,
        r#"
        update runs r
        set claimable_at = now() + make_interval(secs => $3)
        from unnest($1::uuid[], $2::bigint[]) as held (run_id, lease)
        where r.run_id = held.run_id and r.lease = held.lease and r.state = 'running'
        returning r.run_id as "run_id: RunId", r.cancel_requested_at is not null as "cancel_requested!"
        "#,
        &run_ids,
        &leases,
        lease_seconds,
    )
    .fetch_all(db)
    .await
}
