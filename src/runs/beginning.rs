//! Where the attempt began by which a run ended badly: from there it can be played back.

use serde::{Deserialize, Serialize};

use crate::db::runs::Claimed;
use crate::scrape::Checkpoint;

/// How far a run was when a hand took it up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Beginning {
    /// The seq of its latest event.
    pub after_event: i64,
    /// The seq of its latest request.
    pub after_request: i64,
    /// The checkpoint from which the attempt went on.
    pub checkpoint: Checkpoint,
}

impl Beginning {
    /// Of the hand that has just taken a run up.
    pub(super) fn of(run: &Claimed) -> Self {
        Self {
            after_event: run.last_seq,
            after_request: run.last_exchange,
            checkpoint: Checkpoint::from_row(run.checkpoint.clone()),
        }
    }
}
