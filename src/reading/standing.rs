//! What was last read of a task: where it stands, the last lines of its log, and how that was told.

use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::Excerpt;
use crate::db::status::{Snapshot, Status};

/// What keeping it takes beside its text: its own fields, its place in the cache, what is told around the lines.
const OVERHEAD: u64 = 768;

/// Where a task's latest run stands, with the last lines of its log.
pub struct Standing {
    /// Where it stands.
    pub status: Status,
    /// What could be seen of the database when it was last read, or found as it was.
    seen_in: Mutex<Option<Snapshot>>,
    /// The lines.
    pub logs: Excerpt,
    /// How many were asked for.
    lines: usize,
    told: OnceLock<Bytes>,
}

impl Standing {
    pub(super) fn new(status: Status, seen_in: Option<Snapshot>, logs: Excerpt, lines: usize) -> Self {
        Self { status, seen_in: Mutex::new(seen_in), logs, lines, told: OnceLock::new() }
    }

    /// What could be seen of the database when it was last read, or found as it was.
    pub(super) fn seen_in(&self) -> Option<Snapshot> {
        self.seen_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note that it was as it was when this could be seen.
    pub(super) fn is_still_so_in(&self, snapshot: Option<Snapshot>) {
        *self.seen_in.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// The same in the form in which clients are told, which is made once.
    pub fn told(&self, tell: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        self.told.get_or_init(|| tell(self).into()).clone()
    }

    /// Whether it is what there is to say of such a status, and such a number of lines.
    pub(super) fn answers(&self, status: &Status, lines: usize) -> bool {
        self.lines == lines && self.status == *status
    }

    /// Whether its lines are of that run, and may still be told.
    pub(super) fn goes_on_in(&self, status: &Status) -> bool {
        self.status.run_id == status.run_id && self.status.is_erased == status.is_erased
    }

    /// Whether all lines are here that the run has, or that were asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.logs.len() as i64 == self.status.last_seq.min(self.lines as i64)
    }

    /// The memory that it takes: its tail, and its lines once more as they are told.
    pub(super) fn bytes(&self) -> u64 {
        OVERHEAD + self.logs.tail().bytes() + self.logs.joined().len() as u64
    }
}
