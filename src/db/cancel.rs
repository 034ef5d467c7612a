//! Cancelling a run: the flag that its hand heeds, and the end of a run that nobody has in hand.
//!
//! Two statements, each whole by itself. Whoever dies between them leaves a flagged run that is due, and the next
//! claim ends it.

use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::journal::NewEvent;
use super::text::{MESSAGE, fit, fit_fields};
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

/// Ends a run that nobody has in hand as cancelled, with its last events. `None`: somebody claimed or ended it since it
/// was asked; who claimed it has seen the flag.
///
/// Like a claim it raises the lease: a hand that lost the run cannot take this word for its own.
pub async fn end(db: impl PgExecutor<'_>, asked: &Asked, events: &[NewEvent]) -> sqlx::Result<Option<Ended>> {
    let levels: Vec<_> = events.iter().map(|event| event.level.as_str()).collect();
    let event_types: Vec<_> = events.iter().map(|event| event.event_type).collect();
    let messages: Vec<_> = events.iter().map(|event| fit(&event.message, MESSAGE).into_owned()).collect();
    let fields: Vec<_> = events.iter().map(|event| fit_fields(&event.fields)).collect();
    sqlx::query_as!(
        Ended,
        r#"
        with ended as (
            update runs
            set state = 'cancelled', reason = 'cancelled_by_client', lease = lease + 1,
                last_seq = last_seq + cardinality($4::text[]),
                claimable_at = null, finished_at = now(), updated_at = now(), state_xid = pg_current_xact_id()
            where run_id = $1
                and lease = $2
                and last_seq = $3
                and (state in ('queued', 'waiting') or (state = 'running' and claimable_at <= now()))
            returning run_id, started_at
        ), logged as (
            insert into events (run_id, seq, at, level, event_type, message, fields)
            select ended.run_id, $3 + e.place, now(), e.level, e.event_type, e.message, e.fields
            from ended, unnest($4::text[], $5::text[], $6::text[], $7::jsonb[]) with ordinality
                as e (level, event_type, message, fields, place)
        )
        select extract(epoch from now() - started_at)::float8 as worked_seconds from ended
        "#,
        asked.run_id.0,
        asked.lease.0,
        asked.last_seq,
        &levels as &[&str],
        &event_types as &[&str],
        &messages,
        &fields as _,
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
