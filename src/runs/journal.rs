//! The event writer: one statement for what the hands of this replica have to say at the time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batcher::{Batcher, Limits, Work};
use crate::db::journal::{Entry, Written, write};
use crate::db::{Failure, Pool, RunId};
use crate::live::Live;

/// Entries in one statement at most, in few statements at a time. A hand that would be one too many waits.
const LIMITS: Limits = Limits { batch: 128, under_way: 2, waiting: 1024 };

/// Takes entries and answers when they are committed.
#[derive(Clone)]
pub struct Journal {
    entries: Batcher<Entries>,
    live: Live,
}

impl Journal {
    /// Writes on these connections, and tells of what it wrote.
    pub fn begin(pool: Pool, live: Live) -> Self {
        Self { entries: Batcher::new(Entries { pool, live: live.clone() }, LIMITS), live }
    }

    /// Writes an entry; a run has one at a time. `None`: it was passed over, see [`write()`].
    pub async fn write(&self, entry: Arc<Entry>) -> Result<Option<Written>, Failure> {
        self.entries.ask(entry).await
    }

    /// Tells whoever waits that a run has something new, which was not written here.
    pub(super) fn committed(&self, run_id: RunId) {
        self.live.announce_moved([run_id]);
    }
}

/// Writes the entries of many runs.
struct Entries {
    pool: Pool,
    live: Live,
}

impl Work for Entries {
    type Request = Arc<Entry>;
    type Answer = Option<Written>;
    type Error = Failure;
    const NAME: &'static str = "journal";

    async fn answer(&self, entries: &[Arc<Entry>]) -> Result<Vec<Option<Written>>, Failure> {
        let written = write(&self.pool, entries).await?;
        self.live.announce_moved(written.iter().map(|written| written.run_id));
        let written: HashMap<_, _> = written.into_iter().map(|written| (written.run_id, written)).collect();
        Ok(entries.iter().map(|entry| written.get(&entry.run_id).copied()).collect())
    }
}
