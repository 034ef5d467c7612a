//! Cancelling a run: the flag that its hand heeds, and the end of a run that nobody has in hand.
//!
//! Two statements, each whole by itself. Whoever dies between them leaves a flagged run that is due, and the next
//! claim ends it.

use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::journal::NewEvent;
use super::text::{clean, clean_json};
use super::{Lease, RunId};

/// An active run that was asked to stop: all that it takes to write its last word.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The run.
    pub run_id: RunId,
    /// Whose account it scrapes.
    pub username: String,
    /// The latest right to write.
    pub lease: Lease,
    /// The seq of its latest event.
    pub last_seq: i64,
    /// How far it came.
    pub checkpoint: Option<Value>,
    /// Whether a hand has it, and will end it; else whoever asks may.
    pub in_hand: bool,
}

/// Asks an active run to stop, as often as anybody likes; one that waits becomes due. `None`: it is not active (any
/// more), or was never there.
pub async fn ask(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Asked>> {
    sqlx::query_as!(
        Asked,
        r#"
        update runs
        set cancel_requested_at = coalesce(cancel_requested_at, now()),
            claimable_at = case when state = 'waiting' then least(claimable_at, now()) else claimable_at end
        where run_id = $1 and state in ('queued', 'running', 'waiting')
        returning run_id as "run_id: RunId", username, lease as "lease: Lease", last_seq, checkpoint,
                  state = 'running' and claimable_at > now() as "in_hand!"
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// A run that was ended here.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Seconds since a worker first took it up; `None` where none ever did.
    pub worked_seconds: Option<f64>,
}

/// Ends a run that nobody has in hand as cancelled, with its last event. `None`: somebody claimed or ended it since it
/// was asked; who claimed it has seen the flag.
///
/// Like a claim it raises the lease: a hand that lost the run cannot take this word for its own.
pub async fn end(db: impl PgExecutor<'_>, asked: &Asked, mut event: NewEvent) -> sqlx::Result<Option<Ended>> {
    clean_json(&mut event.fields);
    let message = clean(&event.message);
    sqlx::query_as!(
        Ended,
        r#"
        with ended as (
            update runs
            set state = 'cancelled', reason = 'cancelled_by_client', lease = lease + 1, last_seq = last_seq + 1,
                claimable_at = null, finished_at = now(), updated_at = now()
            where run_id = $1
                and lease = $2
                and last_seq = $3
                and (state in ('queued', 'waiting') or (state = 'running' and claimable_at <= now()))
            returning run_id, last_seq, started_at
        ), logged as (
            insert into events (run_id, seq, at, level, event_type, message, fields)
            select run_id, last_seq, now(), $4, $5, $6, $7 from ended
        )
        select extract(epoch from now() - started_at)::float8 as worked_seconds from ended
        "#,
        asked.run_id.0,
        asked.lease.0,
        asked.last_seq,
        event.level.as_str(),
        event.event_type,
        &message,
        event.fields,
    )
    .fetch_optional(db)
    .await
}

/// Which of these runs were asked to stop.
pub async fn asked_among(db: impl PgExecutor<'_>, runs: &[RunId]) -> sqlx::Result<Vec<RunId>> {
    let run_ids: Vec<Uuid> = runs.iter().map(|run_id| run_id.0).collect();
    sqlx::query_scalar!(
        r#"
        select run_id as "run_id: RunId" from runs where run_id = any($1) and cancel_requested_at is not null
        "#,
        &run_ids,
    )
    .fetch_all(db)
    .await
}
