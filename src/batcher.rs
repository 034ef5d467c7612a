//! Many askers, few statements: what arrives while the database is busy goes out together.
//!
//! No request waits for company: idle, it goes out at once; busy, what arrives meanwhile is the next batch. A request is
//! answered by work that began after it was made. Knows nothing of ours: what a batch is, is said by its [`Work`].

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What is done with a batch.
pub trait Work: Send + Sync + 'static {
    /// What one asks for.
    type Request: Send + Sync + 'static;
    /// What one is answered.
    type Answer: Send + 'static;
    /// Why a batch failed; told to each of its askers.
    type Error: Fault;
    /// What the metrics call it.
    const NAME: &'static str;
    /// How long a batch is as good as under way after its end; for work that must not be done too often.
    const PAUSE: Duration = Duration::ZERO;

    /// Does all that is asked for, and answers in the same order, one answer a request.
    fn answer(&self, requests: &[Self::Request])
    -> impl Future<Output = Result<Vec<Self::Answer>, Self::Error>> + Send;
}

/// The error of a batch.
pub trait Fault: Clone + From<BrokenOff> + Send + 'static {
    /// Whether a batch may have failed by one of its requests, and has surely done nothing: then each is tried alone,
    /// so that a bad one fails nobody else's.
    fn may_be_one_of_them(&self) -> bool;
}

/// The error of a request whose batch was never done to its end: the work panicked, or the runtime ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work on a batch of requests broke off")]
pub struct BrokenOff;

/// How much a batcher takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in one batch, at most.
    pub batch: usize,
    /// Batches under way at the same time.
    pub under_way: usize,
    /// Requests that wait for the next batch; whoever comes then waits to be let in.
    pub waiting: usize,
}

/// Gathers requests and has them answered in batches. Clones share them.
pub struct Batcher<W: Work>(Arc<Shared<W>>);

struct Shared<W: Work> {
    work: W,
    limits: Limits,
    places: Arc<Semaphore>,
    queue: Mutex<Queue<W>>,
}

struct Queue<W: Work> {
    waiting: VecDeque<Waiting<W>>,
    under_way: usize,
}

struct Waiting<W: Work> {
    request: W::Request,
    /// `None`: nobody waits for the answer, and it is done all the same.
    asker: Option<Asker<W>>,
    _place: OwnedSemaphorePermit,
}

/// What goes out together, and who waits for it.
type Batch<W> = (Vec<<W as Work>::Request>, Vec<Option<Asker<W>>>);

type Asker<W> = oneshot::Sender<Result<<W as Work>::Answer, <W as Work>::Error>>;

impl<W: Work> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Work> Batcher<W> {
    /// Of this work, within these limits.
    pub fn new(work: W, limits: Limits) -> Self {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), under_way: 0 });
        Self(Arc::new(Shared { work, limits, places: Arc::new(Semaphore::new(limits.waiting)), queue }))
    }

    /// Asks for something and waits for the answer.
    ///
    /// Whoever stops waiting is passed over if its request has not gone out yet; if it has, it is done all the same.
    pub async fn ask(&self, request: W::Request) -> Result<W::Answer, W::Error> {
        let place = Arc::clone(&self.0.places).acquire_owned().await.map_err(|_| BrokenOff)?;
        let (asker, answer) = oneshot::channel();
        self.take_in(Waiting { request, asker: Some(asker), _place: place });
        answer.await.unwrap_or_else(|_| Err(BrokenOff.into()))
    }

    /// Asks for something without waiting for it; `false` where as many wait as may.
    pub fn leave(&self, request: W::Request) -> bool {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok();
        place.map(|place| self.take_in(Waiting { request, asker: None, _place: place })).is_some()
    }

    fn take_in(&self, waiting: Waiting<W>) {
        let is_awaited = waiting.asker.is_some();
        if let Some(under_way) = self.0.lock().take_in(waiting, &self.0.limits) {
            // Where nothing is under way and somebody waits, it goes out at once.
            let at_once = is_awaited && under_way == 1;
            // A task of its own, which the end of no asker drops half-way.
            tokio::spawn(work_off(Arc::clone(&self.0), at_once));
        }
    }
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        // Nothing that can panic is done under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> Queue<W> {
    /// Takes a request in; where a batch more may get under way, says how many that are then.
    fn take_in(&mut self, request: Waiting<W>, limits: &Limits) -> Option<usize> {
        self.waiting.push_back(request);
        (self.under_way < limits.under_way).then(|| {
            self.under_way += 1;
            self.under_way
        })
    }

    /// The next batch; `None` where nobody waits, and then there is one less under way.
    fn next(&mut self, limits: &Limits) -> Option<Batch<W>> {
        let (mut requests, mut askers) = (Vec::new(), Vec::new());
        while requests.len() < limits.batch
            && let Some(Waiting { request, asker, .. }) = self.waiting.pop_front()
        {
            if !asker.as_ref().is_some_and(Asker::<W>::is_closed) {
                requests.push(request);
                askers.push(asker);
            }
        }
        if requests.is_empty() {
            self.under_way -= 1;
            return None;
        }
        Some((requests, askers))
    }
}

/// Works off batch after batch until nobody waits.
async fn work_off<W: Work>(shared: Arc<Shared<W>>, mut at_once: bool) {
    loop {
        if !std::mem::take(&mut at_once) {
            // Whoever is about to ask in this very moment comes along.
            tokio::task::yield_now().await;
        }
        let Some((requests, askers)) = shared.lock().next(&shared.limits) else { return };
        match do_it(&shared.work, &requests).await {
            Ok(answers) => askers.into_iter().zip(answers).for_each(|(asker, answer)| tell::<W>(asker, Ok(answer))),
            Err(error) if requests.len() > 1 && error.may_be_one_of_them() => {
                for (request, asker) in requests.iter().zip(askers) {
                    let alone = do_it(&shared.work, std::slice::from_ref(request)).await;
                    tell::<W>(asker, alone.and_then(|answers| answers.into_iter().next().ok_or(BrokenOff.into())));
                }
            }
            Err(error) => askers.into_iter().for_each(|asker| tell::<W>(asker, Err(error.clone()))),
        }
        if !W::PAUSE.is_zero() {
            tokio::time::sleep(W::PAUSE).await;
        }
    }
}

/// The first of all that have the same key, in their order, and for each request the place of its first among them.
pub fn distinct_by<'a, T, K: Eq + Hash>(requests: &'a [T], key: impl Fn(&'a T) -> K) -> (Vec<&'a T>, Vec<usize>) {
    let (mut distinct, mut places) = (Vec::with_capacity(requests.len()), HashMap::with_capacity(requests.len()));
    let place_of = |request: &'a T| {
        *places.entry(key(request)).or_insert_with(|| {
            distinct.push(request);
            distinct.len() - 1
        })
    };
    let places = requests.iter().map(place_of).collect();
    (distinct, places)
}

/// Work that panics fails its own batch; those who wait have theirs done.
async fn do_it<W: Work>(work: &W, requests: &[W::Request]) -> Result<Vec<W::Answer>, W::Error> {
    let began = Instant::now();
    let done = AssertUnwindSafe(work.answer(requests)).catch_unwind().await;
    metrics::histogram!("igt_batch_requests", "work" => W::NAME).record(requests.len() as f64);
    metrics::histogram!("igt_batch_seconds", "work" => W::NAME).record(began.elapsed().as_secs_f64());
    done.unwrap_or_else(|_| Err(BrokenOff.into()))
}

/// One who has gone does not want to know.
fn tell<W: Work>(asker: Option<Asker<W>>, answer: Result<W::Answer, W::Error>) {
    if let Some(asker) = asker {
        let _ = asker.send(answer);
    }
}

#[cfg(test)]
mod tests;
