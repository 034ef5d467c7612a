//! The gate of one attempt: its requests go through at the pace of its credential.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::slots::LATEST;
use super::{AHEAD, Pacing, Refusal, Why};
use crate::db::RunId;
use crate::db::slots::Verdict;
use crate::instagram::{Failure, FailureKind, Gate, Heard, Source};

/// The pause before the database is asked again that did not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// The turns of one attempt.
pub struct Turn {
    pacing: Pacing,
    credential: Arc<str>,
    source: Source,
    run: Option<RunId>,
    /// Whether something went wrong of late, so that an answer is news.
    doubtful: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
}

impl Turn {
    pub(super) fn new(pacing: Pacing, credential: Arc<str>, source: Source, run: Option<RunId>) -> Self {
        Self { pacing, credential, source, run, doubtful: AtomicBool::new(false), refusal: Mutex::default() }
    }

    /// The credential that it asks with.
    pub fn credential(&self) -> &Arc<str> {
        &self.credential
    }

    /// Why its last request was not asked, where one was not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait(&self) -> Result<(), Refusal> {
        let began = Instant::now();
        let left = || AHEAD.saturating_sub(began.elapsed());
        loop {
            let asked = Instant::now();
            let slot = match self.pacing.slot(&self.credential).await {
                Ok(slot) => slot,
                Err(error) if error.is_of_the_statement() => {
                    tracing::error!(credential = &*self.credential, %error, "a credential's pace could not be read");
                    return Err(self.refuse(Why::Unreadable, Some(AHEAD)));
                }
                // The run's lease says how long this may go on.
                Err(error) => {
                    tracing::debug!(%error, "a credential's pace could not be read yet; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            self.doubtful.store(slot.doubtful, Ordering::Relaxed);
            let reason = || slot.reason.clone().unwrap_or_default();
            let (wait, why, patience) = match slot.verdict {
                Verdict::Go(seconds) => {
                    let wait = seconds_of(seconds);
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                    // A slot that was missed is nobody's: the requests that come after it are counted from it.
                    if slot.paced && asked.elapsed() > wait + LATEST {
                        if left().is_zero() {
                            return Err(self.refuse(Why::Busy, Some(PAUSE)));
                        }
                        continue;
                    }
                    metrics::histogram!("igt_slot_wait_seconds", "source" => self.source.as_str())
                        .record(began.elapsed().as_secs_f64());
                    return Ok(());
                }
                Verdict::Busy(seconds) => (seconds_of(seconds), Why::Busy, Duration::ZERO),
                // Another credential may be ready.
                Verdict::Cooling(seconds) => {
                    let patience = if self.pacing.has_several() { Duration::ZERO } else { left() };
                    (seconds_of(seconds), Why::Cooling(reason()), patience)
                }
                Verdict::Open(seconds) | Verdict::HalfOpen(seconds) => (seconds_of(seconds), Why::CircuitOpen, left()),
                Verdict::Disabled => return Err(self.refuse(Why::Disabled(reason()), None)),
                Verdict::Unknown => return Err(self.refuse(Why::NoCredential, None)),
            };
            if wait > patience {
                return Err(self.refuse(why, Some(wait)));
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn refuse(&self, why: Why, wait: Option<Duration>) -> Refusal {
        Refusal { credential: Some(Arc::clone(&self.credential)), source: self.source, why, wait }
    }
}

impl Gate for Turn {
    fn pass(&self, endpoint: &'static str) -> BoxFuture<'_, Result<(), Failure>> {
        let pass = async move {
            let passed = self.wait().await;
            let verdict = passed.as_ref().map_or_else(|refusal| refusal.why.as_str(), |()| "go");
            let labels = [("source", self.source.as_str()), ("verdict", verdict)];
            metrics::counter!("igt_slots_total", &labels).increment(1);
            passed.map_err(|refusal| {
                let (message, retry_after) = (refusal.to_string(), refusal.wait);
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                Failure { kind: FailureKind::NotAsked, endpoint, status: None, message, retry_after }
            })
        };
        pass.boxed()
    }

    fn heard(&self, heard: Heard) -> BoxFuture<'_, ()> {
        let doubtful = self.doubtful.load(Ordering::Relaxed);
        match self.pacing.word(&self.credential, self.run, &heard, doubtful) {
            Some(word) => async move { self.pacing.tell(word).await }.boxed(),
            None => ready(()).boxed(),
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("credential", &self.credential).finish_non_exhaustive()
    }
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
