//! Where many tasks stand; of those that cannot have moved nothing is read.

use std::sync::{Arc, Mutex, PoisonError};

use crate::batcher::Work;
use crate::db::status::{self, Asked, Look, Snapshot, Told};
use crate::db::{Failure, Pool};

/// The look-up of many tasks' latest runs.
///
/// While nothing is committed, each look is in the same [`Snapshot`] as the one before, and all that was read in it holds:
/// then it is enough to see that the snapshot is still the same. While much is committed, that is not even tried. Clones
/// share what they have seen.
#[derive(Clone)]
pub(super) struct Statuses {
    pool: Pool,
    latest: Arc<Mutex<Latest>>,
}

/// A task whose status is wanted.
pub(super) struct Wanted {
    pub(super) asked: Asked,
    /// What could be seen when it was as the asker knows it.
    pub(super) seen_in: Option<Snapshot>,
}

/// What is told of a task.
pub(super) struct Answer {
    pub(super) told: Option<Told>,
    /// What could be seen when it was so.
    pub(super) seen_in: Option<Snapshot>,
}

/// The latest look.
#[derive(Default)]
struct Latest {
    snapshot: Option<Snapshot>,
    /// Whether the look before saw the same.
    is_as_before: bool,
}

impl Statuses {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, latest: Arc::default() }
    }

    /// What the latest two looks saw alike; so, perhaps, will the next one.
    fn lately(&self) -> Option<Snapshot> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.snapshot.clone().filter(|_| latest.is_as_before)
    }

    /// Takes note of what a look saw, and gives it back; where that is what the one before saw, as the very same.
    fn note(&self, snapshot: Option<Snapshot>) -> Option<Snapshot> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.is_as_before = latest.snapshot == snapshot;
        if !latest.is_as_before {
            latest.snapshot = snapshot;
        }
        latest.snapshot.clone()
    }

    /// Looks up those at these places, and answers them; where there are none, only sees what can be seen.
    async fn look(
        &self,
        database: &Pool,
        wanted: &[Wanted],
        places: &[usize],
        answers: &mut [Answer],
    ) -> Result<Option<Snapshot>, Failure> {
        let asked: Vec<_> = places.iter().map(|place| &wanted[*place].asked).collect();
        let Look { told, snapshot } = match asked.is_empty() {
            true => Look { told: Vec::new(), snapshot: Snapshot::now(database).await? },
            false => status::of_tasks(database, &asked).await?,
        };
        let seen_in = self.note(snapshot);
        for (place, told) in places.iter().zip(told) {
            answers[*place] = Answer { told, seen_in: seen_in.clone() };
        }
        Ok(seen_in)
    }
}

impl Work for Statuses {
    type Request = Wanted;
    type Answer = Answer;
    type Error = Failure;
    const NAME: &'static str = "status";

    async fn answer(&self, wanted: &[Wanted]) -> Result<Vec<Answer>, Failure> {
        let database = self.pool.for_request();
        let lately = self.lately();
        let mut answers: Vec<_> = wanted.iter().map(Wanted::as_known).collect();
        let may_hold = |place: &usize| lately.is_some() && wanted[*place].seen_in == lately;
        let (held, open): (Vec<_>, Vec<_>) = (0..wanted.len()).partition(may_hold);
        let seen = self.look(&database, wanted, &open, &mut answers).await?;
        if !held.is_empty() && seen != lately {
            self.look(&database, wanted, &held, &mut answers).await?;
        }
        Ok(answers)
    }
}

impl Wanted {
    /// The answer where nothing has changed.
    fn as_known(&self) -> Answer {
        Answer { told: self.asked.known.map(Told::as_known), seen_in: self.seen_in.clone() }
    }
}
