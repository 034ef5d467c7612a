//! Who waits for a run to move: one look for all that are waited for, however many wait for each.
//!
//! Hints wake it, and after a while it looks also when none comes. It goes to rest when nobody waits.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Runs;
use super::view::{View, Views};
use crate::batcher::Batcher;
use crate::db::RunId;

/// How often to look when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a hint waits for others to come along.
const GATHERS_FOR: Duration = Duration::from_millis(2);

/// The runs that are waited for here.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<HashMap<RunId, Looks>>>);

/// What is seen of a run, to all who wait for it.
type Looks = watch::Sender<Option<Arc<View>>>;

/// One run that is waited for.
pub struct Watched(watch::Receiver<Option<Arc<View>>>);

impl Watched {
    /// The run as it is when it has next moved, or at the first look; never resolves where no look is to be had.
    pub async fn moved(&mut self) -> Arc<View> {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(view) = self.0.borrow_and_update().clone() {
                return view;
            }
        }
    }
}

impl Runs {
    /// Waits for a run to move. Begin to before you look, then nothing falls in between.
    pub fn watch(&self, run_id: RunId) -> Watched {
        let mut watched = self.watch.lock();
        let at_rest = watched.is_empty();
        let receiver = watched.entry(run_id).or_insert_with(|| watch::channel(None).0).subscribe();
        if at_rest {
            let moved = self.core.live.moved();
            let closed = self.core.closed.clone();
            let look = keep_looking(self.views.clone(), self.watch.clone(), moved);
            tokio::spawn(closed.run_until_cancelled_owned(look));
        }
        Watched(receiver)
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Looks>> {
        // Nothing that can panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that somebody still waits for. Where there is none, whoever comes next begins to look anew.
    fn awaited(&self) -> Vec<RunId> {
        let mut watched = self.lock();
        watched.retain(|_, told| told.receiver_count() > 0);
        watched.keys().copied().collect()
    }

    /// Tells of a run to those who wait for it, where it is not as they know it.
    fn tell(&self, view: &Arc<View>) {
        let is_new = |told: &Option<Arc<View>>| told.as_ref().is_none_or(|told| told.version() != view.version());
        if let Some(told) = self.lock().get(&view.run.run_id) {
            told.send_if_modified(|told| {
                let is_new = is_new(told);
                if is_new {
                    *told = Some(Arc::clone(view));
                }
                is_new
            });
        }
    }
}

async fn keep_looking(views: Batcher<Views>, watch: Watch, mut moved: Receiver<RunId>) {
    let mut next_look = Instant::now() + LOOK_EVERY;
    loop {
        let hinted = hints(&mut moved, next_look).await;
        let mut awaited = watch.awaited();
        if awaited.is_empty() {
            return;
        }
        match hinted {
            Some(hinted) => awaited.retain(|run_id| hinted.contains(run_id)),
            None => next_look = Instant::now() + LOOK_EVERY,
        }
        if awaited.is_empty() {
            continue;
        }
        for found in join_all(awaited.into_iter().map(|run_id| views.ask(run_id))).await {
            match found {
                Ok(Some(view)) => watch.tell(&view),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "could not look after a run that is waited for; trying again"),
            }
        }
    }
}

/// The runs that hints name, those included that come right behind the first; `None`: all of them, for there were too
/// many hints, or none for long enough.
async fn hints(moved: &mut Receiver<RunId>, next_look: Instant) -> Option<HashSet<RunId>> {
    if Instant::now() >= next_look {
        return None;
    }
    let first = timeout_at(next_look, next(moved)).await.ok()??;
    let mut hinted = HashSet::from([first]);
    tokio::time::sleep(GATHERS_FOR).await;
    loop {
        match moved.try_recv() {
            Ok(run_id) => drop(hinted.insert(run_id)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => return None,
            Err(_) => return Some(hinted),
        }
    }
}

/// The next run that a hint names; `None` where some were missed.
async fn next(moved: &mut Receiver<RunId>) -> Option<RunId> {
    match moved.recv().await {
        Ok(run_id) => Some(run_id),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}
