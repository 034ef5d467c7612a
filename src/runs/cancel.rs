//! The end that a client asks for: a run in hand is told to stop, any other is ended here and now.

use std::sync::Arc;

use super::{Core, RequestError, Runs, count_end, room};
use crate::db::audit::Author;
use crate::db::runs::{Reason, RunState};
use crate::db::{self, Pool, RunId, TaskId};
use crate::live::Live;
use crate::scrape::{Checkpoint, Event};

/// Where a run stands after it was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// A hand has it, was told, and will end it.
    Stopping,
    /// It has ended: as cancelled, now or before, or otherwise by itself.
    Ended(RunState),
}

/// What became of a request to cancel a task's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Its run has ended as cancelled, now or before.
    Cancelled,
    /// Its run is in a hand, which was told to stop.
    Stopping,
    /// It has never run, or its latest run ended otherwise.
    NotProcessing,
    /// There is no such task.
    NoSuchTask,
}

impl Runs {
    /// Cancels a task's active run; asked again, it gives the same answer.
    ///
    /// In a task of its own: a client that hangs up cannot leave it half done, and a shutdown waits for it.
    pub async fn cancel(&self, task_id: TaskId) -> Result<CancelOutcome, RequestError> {
        Ok(self.to_the_end(cancel_task(Arc::clone(&self.core), task_id)).await??)
    }

    /// Cancels a run, wherever it stands; asked again, it gives the same answer. `None` where there is no such run.
    pub async fn cancel_run(&self, run_id: RunId) -> Result<Option<Cancellation>, RequestError> {
        let core = Arc::clone(&self.core);
        let cancel = async move { cancel_run(&core.request_pool.for_request(), &core.live, run_id).await };
        let cancelled = self.to_the_end(cancel).await?;
        match cancelled {
            Ok(cancellation) => Ok(Some(cancellation)),
            Err(sqlx::Error::RowNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a task and cancels its active run; its history stays. `false` where there is no such task.
    pub async fn delete_task(&self, task_id: TaskId, author: Author) -> Result<bool, RequestError> {
        Ok(self.to_the_end(delete_task(Arc::clone(&self.core), task_id, author)).await??)
    }
}

async fn cancel_task(core: Arc<Core>, task_id: TaskId) -> sqlx::Result<CancelOutcome> {
    let database = core.request_pool.for_request();
    if db::tasks::find(&database, &task_id).await?.is_none() {
        return Ok(CancelOutcome::NoSuchTask);
    }
    let Some(latest) = db::status::of_task(&database, &task_id).await? else {
        return Ok(CancelOutcome::NotProcessing);
    };
    Ok(match cancel_run(&database, &core.live, latest.run_id).await? {
        Cancellation::Stopping => CancelOutcome::Stopping,
        Cancellation::Ended(RunState::Cancelled) => CancelOutcome::Cancelled,
        Cancellation::Ended(_) => CancelOutcome::NotProcessing,
    })
}

async fn delete_task(core: Arc<Core>, task_id: TaskId, author: Author) -> sqlx::Result<bool> {
    let database = core.request_pool.for_request();
    let Some(deleted) = db::tasks::delete(&database, &task_id, &author).await? else { return Ok(false) };
    if let Some(run_id) = deleted.stopping
        && let Err(error) = cancel_run(&database, &core.live, run_id).await
    {
        // The deletion stands, and the run is marked: who has it or claims it ends it.
        tracing::warn!(%run_id, %error, "the run of a deleted task could not be ended at once");
    }
    Ok(true)
}

/// Asks a run to stop. Where nobody has it in hand, it is ended here: no free hand is needed, and no replica at all.
pub async fn cancel_run(pool: &Pool, live: &Live, run_id: RunId) -> sqlx::Result<Cancellation> {
    loop {
        let Some(asked) = db::cancel::ask(pool, run_id).await? else {
            let ended = db::runs::find(pool, run_id).await?.ok_or(sqlx::Error::RowNotFound)?;
            return Ok(Cancellation::Ended(ended.state));
        };
        if asked.in_hand {
            live.announce_cancelled(run_id);
            return Ok(Cancellation::Stopping);
        }
        let checkpoint = Checkpoint::from_row(asked.checkpoint.clone());
        let last_words =
            [room::dropped(checkpoint.events_dropped), Some(cancelled(asked.username.clone(), &checkpoint))];
        let last_words: Vec<_> = last_words.into_iter().flatten().map(Event::into_row).collect();
        if let Some(ended) = db::cancel::end(pool, &asked, &last_words).await? {
            live.announce_moved([run_id]);
            metrics::counter!("igt_events_written_total").increment(last_words.len() as u64);
            let (state, reason) = (RunState::Cancelled, Reason::CancelledByClient);
            count_end(state, Some(reason), ended.worked_seconds);
            tracing::info!(%run_id, state = state.as_str(), reason = reason.as_str(), "run ended");
            return Ok(Cancellation::Ended(state));
        }
        // Somebody claimed it, or another canceller ended it.
    }
}

/// The last word of a run that a client stopped.
pub(super) fn cancelled(username: String, checkpoint: &Checkpoint) -> Event {
    Event::ScrapeCancelled { username, totals: checkpoint.totals() }
}
