//! What is told as it happens: the log of a run, and the life of all runs, to as many as want to know.
//!
//! Whoever follows has a cursor, and is told what is behind it, from the rows and never from a queue: nothing is lost or
//! told twice, whichever replica is asked next. One follower a run (and one for the board) reads what is new, once for
//! all; each viewer takes it at its own pace. One that has fallen behind what is kept reads for itself, page by page.

mod board;
mod changes;
mod run;
mod window;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

use crate::batcher::{Batcher, Limits};
use crate::db::runs::Run;
use crate::db::status::Event;
use crate::db::{Failure, Pool, RunId};
use crate::live::Live;
use crate::reading::Reading;

pub use board::{BoardNews, BoardViewer, Filter};
pub use changes::Cursor;
pub use run::{Lines, RunNews, RunViewer};

/// After so long without anything to say a viewer is told that the stream still lives.
pub const QUIET_AT_MOST: Duration = Duration::from_secs(10);

/// How long to wait before a page is asked for again that the database did not give.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a shutdown waits for those who are told of it.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Pages of changes in one batch, few batches at a time.
const PAGES: Limits = Limits { batch: 16, under_way: 2, waiting: 16_384 };

/// How a thing is told: writes one whole frame, and says where in it the JSON stands.
#[derive(Clone, Copy)]
pub struct Renders {
    /// An event of a run's log.
    pub event: fn(&Event, &mut Vec<u8>) -> Range<usize>,
    /// A run on the board, and the cursor behind its change.
    pub run: fn(Cursor, &Run, &mut Vec<u8>) -> Range<usize>,
}

/// How much is taken on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Streams of this replica at the same time.
    pub places: usize,
    /// How often to look when nothing tells that there is something new.
    pub poll: Duration,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum NoStream {
    /// There is no such run.
    #[error("there is no such run")]
    NoSuchRun,
    /// As many are under way as may be.
    #[error("this replica has as many streams as it takes")]
    Full,
    /// This replica shuts down.
    #[error("this replica is shutting down")]
    Closing,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] Failure),
}

/// The streams of this replica.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    reading: Reading,
    pages: Batcher<changes::Pages>,
    pool: Pool,
    live: Live,
    renders: Renders,
    poll: Duration,
    places: Arc<Semaphore>,
    runs: Mutex<HashMap<RunId, Arc<run::Followed>>>,
    board: Mutex<Option<Arc<board::Followed>>>,
    cluster: OnceCell<i64>,
    closing: CancellationToken,
    /// Whoever has left HTTP behind, and nobody else waits for.
    sockets: TaskTracker,
}

impl Streams {
    /// Of this database. They end when `closing` is cancelled.
    pub fn begin(
        reading: Reading,
        pool: Pool,
        live: Live,
        renders: Renders,
        terms: Terms,
        closing: CancellationToken,
    ) -> Self {
        let streams = Self(Arc::new(Shared {
            reading,
            pages: Batcher::new(changes::Pages(pool.clone()), PAGES),
            pool,
            live,
            renders,
            poll: terms.poll,
            places: Arc::new(Semaphore::new(terms.places.min(Semaphore::MAX_PERMITS))),
            runs: Mutex::default(),
            board: Mutex::default(),
            cluster: OnceCell::new(),
            closing: closing.clone(),
            sockets: TaskTracker::new(),
        }));
        tokio::spawn(closing.run_until_cancelled_owned(run::wake_those_who_follow(Arc::clone(&streams.0))));
        streams
    }

    /// A place for one more stream, of this kind for the metrics.
    fn place(&self, kind: &'static str) -> Result<Place, NoStream> {
        if self.0.closing.is_cancelled() {
            return Err(NoStream::Closing);
        }
        let permit = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| {
            metrics::counter!("igt_streams_refused_total").increment(1);
            NoStream::Full
        })?;
        metrics::gauge!("igt_streams", "kind" => kind).increment(1.0);
        Ok(Place { kind, _permit: permit })
    }

    /// Does what a connection is used for that is no longer HTTP; a shutdown waits for it for a moment.
    pub fn serve<F: Future<Output = ()>>(&self, socket: F) -> TrackedFuture<F> {
        self.0.sockets.track_future(socket)
    }

    /// Waits, for a moment, until everybody has been told that this replica shuts down.
    pub async fn closed(&self) {
        self.0.sockets.close();
        if tokio::time::timeout(LEAVE_WITHIN, self.0.sockets.wait()).await.is_err() {
            tracing::warn!(sockets = self.0.sockets.len(), "cutting off clients that do not read");
        }
    }
}

/// What a stream takes of those that there may be.
struct Place {
    kind: &'static str,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("igt_streams", "kind" => self.kind).decrement(1.0);
    }
}

/// Counts what streams ask of the database, by what for.
fn count_read(of: &'static str) {
    metrics::counter!("igt_stream_reads_total", "of" => of).increment(1);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic is done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
