//! Runs as those see them who ask for them: where they stand, what they last said, how much of it is done.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Core, Runs};
use crate::batcher::{Batcher, Limits, Work, distinct_by};
use crate::db::run_lists::{self, Run};
use crate::db::status::Event;
use crate::db::{Failure, Pool, RunId, Transaction, event_lists, in_request_time};
use crate::scrape::Checkpoint;

pub use crate::scrape::ListRead;

/// Runs in one look at most, in few looks at a time.
const LIMITS: Limits = Limits { batch: 256, under_way: 2, waiting: 16_384 };

/// A run with what it last said.
#[derive(Clone, Debug)]
pub struct View {
    /// Where it stands.
    pub run: Run,
    /// What it last said; `None` where its log is there no more.
    pub latest_event: Option<Event>,
    /// At what it is: a stage of its work. `None` once it has ended.
    pub stage: Option<&'static str>,
    /// How much of that is done, where it is known how much there is.
    pub progress: Option<ListRead>,
}

impl View {
    /// What tells it from how it was before and how it will be: all that a client can see of a run moves one of these.
    pub fn version(&self) -> String {
        let run = &self.run;
        let told_to_stop = if run.cancel_requested_at.is_some() { "-c" } else { "" };
        format!("{}-{:x}{told_to_stop}", run.last_seq, run.updated_at.timestamp_micros())
    }
}

impl Runs {
    /// A run as it is now; `None` where there is none of this id. Many who ask for the same one share a look.
    pub async fn view(&self, run_id: RunId) -> Result<Option<Arc<View>>, Failure> {
        in_request_time(self.views.ask(run_id)).await
    }

    /// The same as a transaction of the caller's sees it.
    pub async fn view_in(&self, transaction: &mut Transaction, run_id: RunId) -> sqlx::Result<Option<View>> {
        let runs = run_lists::of_ids(&mut **transaction, &[run_id]).await?;
        let latest = event_lists::latest(&mut **transaction, &ends(&runs)).await?;
        Ok(views(runs, latest, self.core.policy.max_posts).pop())
    }

    /// The same for runs that were just read, in their order.
    pub async fn views(&self, database: &Pool, runs: Vec<Run>) -> sqlx::Result<Vec<View>> {
        complete(database, runs, self.core.policy.max_posts).await
    }
}

/// The look at many runs.
pub(super) struct Views(Arc<Core>);

impl Views {
    pub(super) fn batched(core: Arc<Core>) -> Batcher<Self> {
        Batcher::new(Self(core), LIMITS)
    }
}

impl Work for Views {
    type Request = RunId;
    type Answer = Option<Arc<View>>;
    type Error = Failure;
    const NAME: &'static str = "view";

    async fn answer(&self, wanted: &[RunId]) -> Result<Vec<Option<Arc<View>>>, Failure> {
        let (distinct, places) = distinct_by(wanted, |run_id| *run_id);
        let distinct: Vec<_> = distinct.into_iter().copied().collect();
        let database = self.0.request_pool.for_request();
        let runs = run_lists::of_ids(&database, &distinct).await?;
        let views = complete(&database, runs, self.0.policy.max_posts).await?;
        let found: HashMap<_, _> = views.into_iter().map(|view| (view.run.run_id, Arc::new(view))).collect();
        Ok(places.into_iter().map(|place| found.get(&distinct[place]).cloned()).collect())
    }
}

/// The same runs with what they last said, in one more statement.
async fn complete(database: &Pool, runs: Vec<Run>, max_posts: usize) -> sqlx::Result<Vec<View>> {
    let ends = ends(&runs);
    let latest = if ends.is_empty() { Vec::new() } else { event_lists::latest(database, &ends).await? };
    Ok(views(runs, latest, max_posts))
}

/// Where the logs of runs end.
fn ends(runs: &[Run]) -> Vec<(RunId, i64)> {
    runs.iter().map(|run| (run.run_id, run.last_seq)).collect()
}

fn views(runs: Vec<Run>, latest: Vec<(RunId, Event)>, max_posts: usize) -> Vec<View> {
    let mut latest: HashMap<_, _> = latest.into_iter().collect();
    let view = |mut run: Run| {
        let checkpoint = run.checkpoint.take();
        let checkpoint = run.state.is_active().then(|| Checkpoint::from_row(checkpoint));
        View {
            latest_event: latest.remove(&run.run_id),
            stage: checkpoint.as_ref().map(Checkpoint::stage),
            progress: checkpoint.and_then(|checkpoint| checkpoint.progress(max_posts)),
            run,
        }
    };
    runs.into_iter().map(view).collect()
}
