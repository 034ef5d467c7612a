//! The start of runs: one statement for all that are asked for at the time; where a hand is free, a run begins at once.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{Core, Runs, hand};
use crate::batcher::{Batcher, Limits, Work, distinct_by};
use crate::db::run_lists::Run;
use crate::db::runs::Trigger;
use crate::db::start::{Start, Started, Terms, start};
use crate::db::tasks::TaskKind;
use crate::db::{Failure, RunId, TaskId, Transaction, in_request_time};
use crate::scrape::started;

/// Starts in one statement at most, in few statements at a time: one waits for its commit while the next is worked.
const LIMITS: Limits = Limits { batch: 64, under_way: 3, waiting: 16_384 };

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
    pub async fn start(&self, task_id: TaskId, kind: TaskKind, trigger: Trigger) -> Result<StartOutcome, Failure> {
        in_request_time(self.starts.ask(Wanted { task_id, kind, trigger, retry_of: None })).await
    }

    /// Starts a run of the same task as one that has ended; its first event names that one.
    pub async fn retry(&self, ended: &Run) -> Result<StartOutcome, Failure> {
        let (task_id, retry_of) = (ended.task_id.clone(), Some(ended.run_id));
        let wanted = Wanted { task_id, kind: ended.kind, trigger: Trigger::Retry, retry_of };
        in_request_time(self.starts.ask(wanted)).await
    }
}

/// A start in a transaction that is not committed yet. Dropped, it leaves nothing behind once that is undone.
pub struct Pending {
    core: Arc<Core>,
    started: Started,
    before: Instant,
    hand: Option<OwnedSemaphorePermit>,
}

impl Runs {
    /// Starts a run of a task, if none is active, in a transaction of the caller's, who lets it begin once it is committed.
    /// With `retry_of` it does anew what that run did.
    pub async fn start_in(
        &self,
        transaction: &mut Transaction,
        task_id: TaskId,
        kind: TaskKind,
        retry_of: Option<RunId>,
    ) -> sqlx::Result<Pending> {
        let core = Arc::clone(&self.core);
        let trigger = if retry_of.is_some() { Trigger::Retry } else { Trigger::Api };
        let wanted = Wanted { task_id, kind, trigger, retry_of };
        let (hand, before) = (free_hand(&core), Instant::now());
        let rows = [row(&wanted, hand.is_some())];
        let started = start(&mut **transaction, terms(&core), &rows).await?.pop().unwrap_or(Started::NoSuchTask);
        Ok(Pending { core, started, before, hand })
    }
}

impl Pending {
    /// What has become of it.
    pub fn outcome(&self) -> StartOutcome {
        outcome(&self.started)
    }

    /// Puts it to work. The transaction has been committed.
    pub fn begin(self) {
        announce(&self.core, std::slice::from_ref(&self.started));
        begin(&self.core, self.started, self.before, self.hand);
    }
}

/// A start that is asked for.
pub(super) struct Wanted {
    task_id: TaskId,
    kind: TaskKind,
    trigger: Trigger,
    retry_of: Option<RunId>,
}

/// Starts many at once.
pub(super) struct Starts(Arc<Core>);

impl Starts {
    pub(super) fn batched(core: Arc<Core>) -> Batcher<Self> {
        Batcher::new(Self(core), LIMITS)
    }
}

impl Work for Starts {
    type Request = Wanted;
    type Answer = StartOutcome;
    type Error = Failure;
    const NAME: &'static str = "start";

    async fn answer(&self, wanted: &[Wanted]) -> Result<Vec<StartOutcome>, Failure> {
        self.0.at_work.track_future(start_all(&self.0, wanted)).await
    }
}

async fn start_all(core: &Arc<Core>, wanted: &[Wanted]) -> Result<Vec<StartOutcome>, Failure> {
    let (distinct, places) = distinct_by(wanted, |wanted| (&wanted.task_id, wanted.kind));
    let hands: Vec<_> = distinct.iter().map(|_| free_hand(core)).collect();
    let starts: Vec<_> = distinct.iter().zip(&hands).map(|(wanted, hand)| row(wanted, hand.is_some())).collect();
    let before = Instant::now();
    let started = start(&core.request_pool.for_request(), terms(core), &starts).await?;

    announce(core, &started);
    let begin = |(started, hand)| begin(core, started, before, hand);
    let outcomes: Vec<_> = started.into_iter().zip(hands).map(begin).collect();
    // Whoever asks for the same as one before it finds the task busy.
    let mut taken = vec![false; outcomes.len()];
    let outcome = |place: usize| match outcomes[place] {
        StartOutcome::Started(_) if std::mem::replace(&mut taken[place], true) => StartOutcome::Busy,
        outcome => outcome,
    };
    Ok(places.into_iter().map(outcome).collect())
}

fn free_hand(core: &Core) -> Option<OwnedSemaphorePermit> {
    let hands = (!core.closing.is_cancelled()).then(|| Arc::clone(&core.hands));
    hands.and_then(|hands| hands.try_acquire_owned().ok())
}

fn row(wanted: &Wanted, claimed: bool) -> Start<'_> {
    let mut fields = json!({"kind": wanted.kind, "trigger": wanted.trigger, "queued": !claimed});
    if let Some(run_id) = wanted.retry_of {
        fields["retry_of"] = json!(run_id);
    }
    Start {
        task_id: &wanted.task_id,
        kind: wanted.kind,
        trigger: wanted.trigger,
        claimed,
        message: if claimed { started::AT_ONCE } else { started::QUEUED },
        fields,
    }
}

fn terms(core: &Core) -> Terms {
    Terms {
        worker: core.worker,
        lease_seconds: core.policy.lease.as_secs_f64(),
        deadline_seconds: core.policy.deadline.as_secs_f64(),
        event_type: started::EVENT_TYPE,
    }
}

/// Tells the others what waits for a hand, and what does not.
fn announce(core: &Core, started: &[Started]) {
    let queued = started.iter().filter(|started| matches!(started, Started::Queued(_))).count();
    let begun: Vec<_> = started
        .iter()
        .filter_map(|started| if let Started::Claimed(run) = started { Some(run.run_id) } else { None })
        .collect();
    metrics::counter!("igt_events_written_total").increment((queued + begun.len()) as u64);
    if queued > 0 {
        core.live.announce_claimable();
    }
    core.live.announce_moved(begun);
}

/// Puts what was started to work.
fn begin(core: &Arc<Core>, started: Started, before: Instant, hand: Option<OwnedSemaphorePermit>) -> StartOutcome {
    let outcome = outcome(&started);
    // Only what has a hand is claimed.
    if let (Started::Claimed(claimed), Some(hand)) = (started, hand) {
        hand::put_to_work(Arc::clone(core), *claimed, before, hand);
    }
    outcome
}

fn outcome(started: &Started) -> StartOutcome {
    match started {
        Started::Claimed(run) => StartOutcome::Started(run.run_id),
        Started::Queued(run_id) => StartOutcome::Started(*run_id),
        Started::Busy => StartOutcome::Busy,
        Started::OtherKind => StartOutcome::OtherKind,
        Started::NoSuchTask => StartOutcome::NoSuchTask,
    }
}
