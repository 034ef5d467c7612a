//! How a run lives: start, claim, lease, journal, end, cancel.
//!
//! A replica has a number of hands. A hand works one run at a time; it takes it up by a claim (or gets it with the
//! very statement that starts it), keeps it by the replica's heartbeat, and writes for it only while its lease
//! holds. The rows are the truth: a replica may die at any line, and another one's next claim takes its runs up.

mod advice;
mod answers;
mod asking;
mod beginning;
mod cancel;
mod claim;
mod ending;
mod hand;
mod journal;
mod lease;
mod ledger;
mod retry;
mod room;
mod start;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::batcher::Batcher;
use crate::db::runs::{Reason, RunState};
use crate::db::{Pool, WorkerId};
use crate::live::Live;
use crate::pacing::Pacing;

pub use advice::{AskedAs, on_losing};
pub use beginning::Beginning;
pub use cancel::{CancelOutcome, Cancellation, cancel_run};
pub use ending::Ending;
pub use journal::Journal;
pub use start::{Pending, StartOutcome};
pub use view::{ListRead, View};
pub use watch::Watched;

/// How runs are worked on this replica; see the settings of the same names.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Hands: runs worked at the same time. With 0 the replica only answers.
    pub concurrency: usize,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How long a run may take, waits included.
    pub deadline: Duration,
    /// How often a run may be taken up.
    pub max_attempts: i32,
    /// The first back-off; it doubles with each attempt.
    pub retry_base: Duration,
    /// How long to wait when a source throttles without saying for how long.
    pub throttle_cooldown: Duration,
    /// How often a free hand looks for a due run, and whether one in hand was cancelled, when nothing wakes it.
    pub poll: Duration,
    /// How many of the latest posts a run reads.
    pub max_posts: usize,
    /// How many of the latest posts every run reads anew, whatever is known.
    pub refreshed_posts: usize,
    /// Every so many-th scan of an account reads in full.
    pub full_scan_every: usize,
    /// How many events a run may write before its progress is only counted.
    pub max_events: i64,
}

impl Policy {
    /// How long a statement for a run may take: not so long that a connection that hangs costs the lease.
    pub fn patience(&self) -> Duration {
        (self.lease / 3).clamp(Duration::from_secs(1), Duration::from_secs(10))
    }
}

/// Why a request to cancel a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The task that did it broke.
    #[error("the request broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// The runs of this replica.
#[derive(Clone)]
pub struct Runs {
    core: Arc<Core>,
    starts: Batcher<start::Starts>,
    views: Batcher<view::Views>,
    watch: watch::Watch,
}

struct Core {
    worker: WorkerId,
    policy: Policy,
    /// For what somebody waits for who asked.
    request_pool: Pool,
    /// For the work on runs: the same connections, with more patience.
    pool: Pool,
    pacing: Pacing,
    live: Live,
    journal: journal::Journal,
    held: lease::Held,
    /// What all hands together hold of answers.
    answers: Arc<answers::Room>,
    hands: Arc<Semaphore>,
    /// Cancelled when no more runs are taken up.
    closing: CancellationToken,
    /// Cancelled when the hands have given back what they had and the heartbeat may end.
    closed: CancellationToken,
    /// Every hand at work, and every start and cancellation under way.
    at_work: TaskTracker,
}

impl Runs {
    /// Puts the hands to work. The heartbeat has a pool of its own, so that a busy one cannot starve it.
    pub fn begin(pool: Pool, heartbeat_pool: Pool, pacing: Pacing, live: Live, policy: Policy) -> Self {
        let request_pool = pool;
        let pool = request_pool.patient(policy.patience());
        let core = Arc::new(Core {
            worker: WorkerId::generate(),
            journal: journal::Journal::begin(pool.clone(), live.clone()),
            held: lease::Held::default(),
            answers: Arc::default(),
            hands: Arc::new(Semaphore::new(policy.concurrency)),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            at_work: TaskTracker::new(),
            policy,
            request_pool,
            pool,
            pacing,
            live,
        });
        tracing::info!(worker_id = %core.worker, hands = core.policy.concurrency, "ready to work");
        let heartbeat = lease::beat(Arc::clone(&core), heartbeat_pool);
        tokio::spawn(core.closed.clone().run_until_cancelled_owned(heartbeat));
        tokio::spawn(core.closed.clone().run_until_cancelled_owned(lease::heed_cancellations(Arc::clone(&core))));
        if core.policy.concurrency > 0 {
            tokio::spawn(core.closing.clone().run_until_cancelled_owned(claim::claim_runs(Arc::clone(&core))));
        }
        Self {
            starts: start::Starts::batched(Arc::clone(&core)),
            views: view::Views::batched(Arc::clone(&core)),
            watch: watch::Watch::default(),
            core,
        }
    }

    /// The identity of this boot.
    pub fn worker_id(&self) -> WorkerId {
        self.core.worker
    }

    /// The hints of this replica.
    pub fn live(&self) -> &Live {
        &self.core.live
    }

    /// Works this to its end, whoever stops waiting for it; a shutdown waits.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        tokio::spawn(self.core.at_work.track_future(work.in_current_span())).await
    }

    /// Takes up no more runs, lets those in hand finish for the grace time, and hands the rest back to the queue.
    pub async fn close(&self, grace: Duration) {
        let core = &self.core;
        core.closing.cancel();
        core.at_work.close();
        if !core.at_work.is_empty() {
            tracing::info!(runs = core.at_work.len(), grace_s = grace.as_secs(), "waiting for runs in hand to finish");
        }
        if tokio::time::timeout(grace, core.at_work.wait()).await.is_err() {
            tracing::info!(runs = core.at_work.len(), "the grace time is over; handing runs back");
            core.held.hand_over();
            // A hand that cannot write any more (Postgres is away) stops when its lease has passed.
            let _ = tokio::time::timeout(core.policy.lease, core.at_work.wait()).await;
        }
        core.closed.cancel();
    }
}

/// Counts a run that ended here, so many seconds after a worker first took it up.
fn count_end(state: RunState, reason: Option<Reason>, worked_seconds: Option<f64>) {
    let labels = [("state", state.as_str()), ("reason", reason.map_or("none", Reason::as_str))];
    metrics::counter!("igt_runs_finished_total", &labels).increment(1);
    if let Some(seconds) = worked_seconds {
        metrics::histogram!("igt_run_duration_seconds").record(seconds);
    }
}
