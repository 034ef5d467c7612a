//! What clients ask for again and again: where a task stands and the last lines of its log, for many in one statement.
//!
//! Every answer comes from a statement that began after its request, so who has written reads what it wrote, on every
//! replica. Only what can never change is kept: the events of a run. Knows the database, and not who asks or in which
//! form a line is told.

pub mod search;
mod standing;
mod statuses;
mod tail;

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::batcher::{Batcher, Limits, Work, distinct_by};
use crate::db::status::{self, Asked, Event, Part, Status, Told};
use crate::db::{Failure, Pool, RunId, TaskId, in_request_time};

pub use standing::Standing;
use statuses::{Answer, Statuses, Wanted};
pub use tail::Excerpt;
use tail::Tail;

/// How many of a run's latest lines are kept, which is also how many one may ask for.
pub const MAX_LINES: usize = 100;

/// So many lines come along with a status; whoever wants more has them in a statement of their own, so that no statement
/// becomes large.
const COME_ALONG: usize = 20;

/// Statuses in one statement at most, in few statements at a time: while the database works on these, the next gather. Most
/// of what is asked again has not moved and costs the database next to nothing: the more in one statement, the better.
const STATUSES: Limits = Limits { batch: 256, under_way: 2, waiting: 16_384 };

/// The same of tasks of which nothing is kept. Each has the database read rows: where all who wait were in two statements,
/// nobody would have anything to do meanwhile.
const FIRST_STATUSES: Limits = Limits { batch: 16, under_way: 4, waiting: 16_384 };

/// Parts of logs in one statement; each may be a hundred lines.
const PARTS: Limits = Limits { batch: 64, under_way: 4, waiting: 16_384 };

/// Writes a line as clients read it, without what stands between two lines.
pub type Render = fn(&Event, &mut Vec<u8>);

/// Reads where tasks stand, and what their runs last said.
#[derive(Clone)]
pub struct Reading {
    statuses: Batcher<Statuses>,
    first_statuses: Batcher<Statuses>,
    parts: Batcher<Parts>,
    runs: Batcher<RunStatuses>,
    standings: Arc<Cache<TaskId, Arc<Standing>, Size>>,
    render: Render,
}

impl Reading {
    /// Of this database; keeps what was read of logs up to so many bytes.
    pub fn new(pool: Pool, keep_bytes: u64, render: Render) -> Self {
        /// Ten lines, read and told; what the cache makes itself ready for.
        const USUAL: u64 = 6 * 1024;
        let standings = Cache::with_weighter((keep_bytes / USUAL) as usize, keep_bytes, Size);
        let statuses = Statuses::new(pool.clone());
        Self {
            statuses: Batcher::new(statuses.clone(), STATUSES),
            first_statuses: Batcher::new(statuses, FIRST_STATUSES),
            runs: Batcher::new(RunStatuses(pool.clone()), STATUSES),
            parts: Batcher::new(Parts(pool), PARTS),
            standings: Arc::new(standings),
            render,
        }
    }

    /// Where a task's latest run stands, with its last lines; `None` where it never ran, or was never heard of.
    ///
    /// The database is asked each time, and tells nothing where all is as it was: then the answer is what it was.
    pub async fn status(&self, task_id: TaskId, lines: usize) -> Result<Option<Arc<Standing>>, Failure> {
        in_request_time(async {
            let kept = self.standings.get(&task_id);
            let known = kept.as_ref().map(|kept| kept.status);
            let lines = lines.min(MAX_LINES);
            let along = if lines <= COME_ALONG { lines as i64 } else { 0 };
            let asked = Asked { task_id: task_id.clone(), known, lines: along };
            let seen_in = kept.as_ref().and_then(|kept| kept.seen_in());
            let statuses = if known.is_some() { &self.statuses } else { &self.first_statuses };
            let Answer { told, seen_in } = statuses.ask(Wanted { asked, seen_in }).await?;
            let Some(Told { status, events }) = told else {
                self.standings.remove(&task_id);
                return Ok(None);
            };
            if let Some(kept) = &kept
                && kept.answers(&status, lines)
            {
                kept.is_still_so_in(seen_in);
                return Ok(Some(Arc::clone(kept)));
            }
            let tail = kept.filter(|kept| kept.goes_on_in(&status));
            let logs = self.last_lines(&status, events, tail.as_ref().map(|kept| kept.logs.tail()), lines).await?;
            let standing = Arc::new(Standing::new(status, seen_in, logs, lines));
            if standing.is_whole() {
                self.standings.insert(task_id, Arc::clone(&standing));
            }
            Ok(Some(standing))
        })
        .await
    }

    /// Where a run stands; `None` where there is no such run.
    pub async fn run(&self, run_id: RunId) -> Result<Option<Status>, Failure> {
        in_request_time(self.runs.ask(run_id)).await
    }

    /// A part of a run's log; those who ask for the same at the moment share what is read.
    pub async fn part(&self, part: Part) -> Result<Arc<[Event]>, Failure> {
        in_request_time(self.parts.ask(part)).await
    }

    /// The last lines of a run's log. A tail of it that is kept may be behind its end, or ahead of it; events that came along
    /// with the status may be all that is missing there, or not.
    async fn last_lines(
        &self,
        status: &Status,
        mut along: Vec<Event>,
        kept: Option<&Arc<Tail>>,
        lines: usize,
    ) -> Result<Excerpt, Failure> {
        let (run_id, until) = (status.run_id, status.last_seq);
        let after = (until - lines as i64).max(0);
        if let Some(excerpt) = kept.and_then(|kept| kept.excerpt(after, until)) {
            return Ok(excerpt);
        }
        // Where it reaches back far enough, only what is past its end is missing.
        let kept = kept.filter(|kept| kept.reaches_back_to(after));
        let missing = Part { run_id, after: kept.map_or(after, |kept| kept.until()), until };
        along.retain(|event| event.seq > missing.after);
        let events = match missing.is_whole_in(&along) {
            true => along.into(),
            false => self.parts.ask(missing).await?,
        };
        let tail = Arc::new(Tail::after(kept.map(Arc::as_ref), missing.after, &events, self.render));
        // Where some are there no more, somebody has removed them. Told is what is left.
        Ok(tail.excerpt(after, until).unwrap_or_else(|| tail.last(lines)))
    }
}

/// The look-up of many runs.
struct RunStatuses(Pool);

impl Work for RunStatuses {
    type Request = RunId;
    type Answer = Option<Status>;
    type Error = Failure;
    const NAME: &'static str = "run";

    async fn answer(&self, wanted: &[RunId]) -> Result<Vec<Option<Status>>, Failure> {
        let (distinct, places) = distinct_by(wanted, |run_id| *run_id);
        let distinct: Vec<_> = distinct.into_iter().copied().collect();
        let read = status::of_runs(&self.0.for_request(), &distinct).await?;
        Ok(places.into_iter().map(|place| read[place]).collect())
    }
}

/// The look-up of parts of many logs.
struct Parts(Pool);

impl Work for Parts {
    type Request = Part;
    type Answer = Arc<[Event]>;
    type Error = Failure;
    const NAME: &'static str = "log";

    /// Viewers of one run share what is read: of each part one copy is asked for.
    async fn answer(&self, wanted: &[Part]) -> Result<Vec<Arc<[Event]>>, Failure> {
        let (distinct, places) = distinct_by(wanted, |part| *part);
        let distinct: Vec<_> = distinct.into_iter().copied().collect();
        let read = status::parts(&self.0.for_request(), &distinct).await?;
        let read: Vec<Arc<[Event]>> = read.into_iter().map(Arc::from).collect();
        Ok(places.into_iter().map(|place| Arc::clone(&read[place])).collect())
    }
}

/// What is kept of a task takes of the memory that may be taken.
#[derive(Clone)]
struct Size;

impl Weighter<TaskId, Arc<Standing>> for Size {
    fn weight(&self, task_id: &TaskId, standing: &Arc<Standing>) -> u64 {
        task_id.as_str().len() as u64 + standing.bytes()
    }
}
