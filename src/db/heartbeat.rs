//! One statement a replica that keeps the leases of all its runs.

use sqlx::PgExecutor;

use super::{Lease, RunId};

/// A run that is still the replica's own.
#[derive(Debug)]
pub struct Ours {
    /// The run.
    pub run_id: RunId,
    /// Whether its lease was kept. It was not where somebody is writing to its row at this very moment.
    pub kept: bool,
    /// Whether a client has asked to cancel it.
    pub cancel_requested: bool,
}

/// Extends the leases that still hold. A run that does not come back is somebody else's now, or has ended.
///
/// A row that is locked is passed over: one write that hangs must not cost the other runs their leases, and two
/// statements that each wait for the other's rows cannot be. The state is asked for as in [`super::journal::write`].
pub async fn keep(db: impl PgExecutor<'_>, held: &[(RunId, Lease)], lease_seconds: f64) -> sqlx::Result<Vec<Ours>> {
    let run_ids: Vec<_> = held.iter().map(|(run, _)| run.0).collect();
    let leases: Vec<_> = held.iter().map(|(_, lease)| lease.0).collect();
    sqlx::query_as!(
        Ours,
        r#"
        with held as (
            select * from unnest($1::uuid[], $2::bigint[]) as held (run_id, lease)
        ), free as (
            select r.run_id
            from runs r
            join held on r.run_id = held.run_id and r.lease = held.lease
            where r.state = case when held.run_id is not null then 'running' end
            for no key update of r skip locked
        ), kept as (
            update runs r
            set claimable_at = now() + make_interval(secs => $3)
            from free
            where r.run_id = free.run_id
            returning r.run_id
        )
        select r.run_id as "run_id: RunId",
               r.run_id in (select run_id from kept) as "kept!",
               r.cancel_requested_at is not null as "cancel_requested!"
        from runs r
        join held on r.run_id = held.run_id and r.lease = held.lease
        where r.state = case when held.run_id is not null then 'running' end
        "#,
        &run_ids,
        &leases,
        lease_seconds,
    )
    .fetch_all(db)
    .await
}
