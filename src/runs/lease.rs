//! The runs that this replica holds, and the heartbeat that keeps them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::Core;
use crate::db::{Lease, Pool, RunId, cancel, heartbeat};

/// Why a hand must stop before its run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The run is somebody else's, or may be: the lease was not kept in time.
    LeaseLost,
    /// A client asked for it.
    Cancelled,
    /// The replica shuts down.
    HandOver,
}

/// The runs in hand.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<RunId, Arc<Grip>>>);

/// One run in hand.
pub(super) struct Grip {
    lease: Lease,
    kept_until: Mutex<Instant>,
    stop: watch::Sender<Option<Stop>>,
}

impl Held {
    /// Takes a run in hand; it was claimed by a statement that began at `since`.
    pub(super) fn take(&self, run_id: RunId, lease: Lease, since: Instant, for_time: Duration) -> Arc<Grip> {
        let grip = Arc::new(Grip { lease, kept_until: Mutex::new(since + for_time), stop: watch::Sender::new(None) });
        self.lock().insert(run_id, Arc::clone(&grip));
        grip
    }

    /// Lets go of a run, unless it was taken in hand anew under another lease.
    pub(super) fn let_go(&self, run_id: RunId, grip: &Arc<Grip>) {
        let mut held = self.lock();
        if held.get(&run_id).is_some_and(|current| Arc::ptr_eq(current, grip)) {
            held.remove(&run_id);
        }
    }

    /// Asks every hand to give its run back.
    pub(super) fn hand_over(&self) {
        for grip in self.all().values() {
            grip.stop(Stop::HandOver);
        }
    }

    fn cancel(&self, run_id: RunId) {
        if let Some(grip) = self.lock().get(&run_id) {
            grip.stop(Stop::Cancelled);
        }
    }

    fn all(&self) -> HashMap<RunId, Arc<Grip>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Grip>>> {
        // A panic while the map was locked cannot have left it half-changed: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grip {
    /// Whether the lease is surely still held: by this clock, counted from before the statement that got it.
    pub(super) fn holds(&self) -> bool {
        Instant::now() < *self.kept_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the hand must stop.
    pub(super) async fn stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        match stop.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            // The sender lives in self, so it cannot be gone; and `wait_for` gave a value that is some.
            Ok(None) | Err(_) => Stop::LeaseLost,
        }
    }

    fn stop(&self, why: Stop) {
        // The first word counts, but a lost lease beats all: then nothing may be written any more.
        self.stop.send_if_modified(|stop| {
            let louder = stop.is_none() || (why == Stop::LeaseLost && *stop != Some(Stop::LeaseLost));
            if louder {
                *stop = Some(why);
            }
            louder
        });
    }

    fn keep(&self, since: Instant, for_time: Duration) {
        *self.kept_until.lock().unwrap_or_else(PoisonError::into_inner) = since + for_time;
    }
}

/// Keeps the leases of all runs in hand, three times in a lease, and stops the hands whose lease is gone.
pub(super) async fn beat(core: Arc<Core>, pool: Pool) {
    let lease = core.policy.lease;
    let mut beats = tokio::time::interval(lease / 3);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let held = core.held.all();
        if held.is_empty() {
            continue;
        }
        let since = Instant::now();
        let leases: Vec<_> = held.iter().map(|(run_id, grip)| (*run_id, grip.lease)).collect();
        let ours = heartbeat::keep(&pool, &leases, lease.as_secs_f64());
        match tokio::time::timeout(lease / 3, ours).await {
            Ok(Ok(ours)) => settle(&held, &ours, since, lease),
            Ok(Err(error)) => tracing::warn!(%error, "the heartbeat failed; trying again"),
            Err(_) => tracing::warn!("the heartbeat had no answer in time; trying again"),
        }
        for (run_id, grip) in held {
            if !grip.holds() {
                tracing::warn!(%run_id, "the lease has passed; its hand stops");
                grip.stop(Stop::LeaseLost);
            }
        }
    }
}

fn settle(held: &HashMap<RunId, Arc<Grip>>, ours: &[heartbeat::Ours], since: Instant, lease: Duration) {
    let ours: HashMap<_, _> = ours.iter().map(|ours| (ours.run_id, ours)).collect();
    for (run_id, grip) in held {
        let Some(ours) = ours.get(run_id) else {
            grip.stop(Stop::LeaseLost);
            continue;
        };
        if ours.kept {
            grip.keep(since, lease);
        }
        if ours.cancel_requested {
            grip.stop(Stop::Cancelled);
        }
    }
}

/// Stops the hands whose runs a client asked to cancel: as soon as the hint comes, or at the next look.
pub(super) async fn heed_cancellations(core: Arc<Core>) {
    let by_hint = async {
        let mut cancelled = core.live.cancelled();
        loop {
            match cancelled.recv().await {
                Ok(run_id) => core.held.cancel(run_id),
                // What was missed is seen by the next look.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    };
    let by_looking = async {
        loop {
            tokio::time::sleep(core.policy.poll).await;
            let held: Vec<RunId> = core.held.all().into_keys().collect();
            if held.is_empty() {
                continue;
            }
            match cancel::asked_among(&core.request_pool, &held).await {
                Ok(asked) => asked.into_iter().for_each(|run_id| core.held.cancel(run_id)),
                Err(error) => tracing::debug!(%error, "could not look for cancellations; trying again"),
            }
        }
    };
    tokio::join!(by_hint, by_looking);
}
