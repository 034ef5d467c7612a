//! The start of a run: one statement and the answer; where a hand is free, it begins at once.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{Core, RequestError, Runs, hand};
use crate::db::runs::Trigger;
use crate::db::start::{Start, Started, start};
use crate::db::tasks::TaskKind;
use crate::db::{RunId, TaskId};
use crate::scrape::started;

/// What became of a request to start a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It is running here or waits for a hand.
    Started(RunId),
    /// The task is busy with an earlier one.
    Busy,
    /// The task is of the other kind.
    OtherKind,
    /// There is no such task.
    NoSuchTask,
}

impl Runs {
    /// Starts a run of a task, if none is active.
    ///
    /// The work is done in a task of its own: a client that hangs up in the middle cannot leave a claimed run
    /// without its hand, and a shutdown waits for it.
    pub async fn start(&self, task_id: TaskId, kind: TaskKind, trigger: Trigger) -> Result<StartOutcome, RequestError> {
        let insert = insert(Arc::clone(&self.0), task_id, kind, trigger);
        tokio::spawn(self.0.at_work.track_future(insert)).await?
    }
}

async fn insert(
    core: Arc<Core>,
    task_id: TaskId,
    kind: TaskKind,
    trigger: Trigger,
) -> Result<StartOutcome, RequestError> {
    let free_hand = match core.closing.is_cancelled() {
        true => None,
        false => Arc::clone(&core.hands).try_acquire_owned().ok(),
    };
    let before = Instant::now();
    let wanted = Start {
        task_id: &task_id,
        kind,
        trigger,
        deadline_seconds: core.policy.deadline.as_secs_f64(),
        claim: free_hand.as_ref().map(|_| (core.worker, core.policy.lease.as_secs_f64())),
        event_type: started::EVENT_TYPE,
        message: if free_hand.is_some() { started::AT_ONCE } else { started::QUEUED },
        fields: json!({"kind": kind, "trigger": trigger, "queued": free_hand.is_none()}),
    };
    let started = start(&core.request_pool.for_request(), wanted).await?;
    if matches!(started, Started::Claimed(_) | Started::Queued(_)) {
        metrics::counter!("igt_events_written_total").increment(1);
    }
    Ok(match (started, free_hand) {
        (Started::Claimed(claimed), Some(free_hand)) => {
            let run_id = claimed.run_id;
            core.live.announce_moved([run_id]);
            hand::put_to_work(core, *claimed, before, free_hand);
            StartOutcome::Started(run_id)
        }
        (Started::Claimed(claimed), None) => StartOutcome::Started(claimed.run_id),
        (Started::Queued(run_id), _) => {
            core.live.announce_claimable();
            StartOutcome::Started(run_id)
        }
        (Started::Busy, _) => StartOutcome::Busy,
        (Started::OtherKind, _) => StartOutcome::OtherKind,
        (Started::NoSuchTask, _) => StartOutcome::NoSuchTask,
    })
}
