//! Changes of runs' states, read page by page; those who want the same page at the moment share it.

use std::sync::Arc;

use crate::batcher::{Work, distinct_by};
use crate::db::board::{self, Changes, Position};
use crate::db::{Failure, Pool};

/// Runs in one page.
pub(super) const PAGE: usize = 500;

/// Where one who follows the board is: a position, and the cluster whose transactions it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The cluster.
    pub cluster: i64,
    /// The position.
    pub position: Position,
}

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Page {
    /// Of what changed behind a position.
    Changes(Position),
    /// Of the active runs behind a position and below a horizon.
    Active(Position, Option<i64>),
    /// So many of the runs that ended last, below a horizon.
    Ended(i64, u16),
}

/// Reads pages.
pub(super) struct Pages(pub(super) Pool);

impl Work for Pages {
    type Request = Page;
    type Answer = Arc<Changes>;
    type Error = Failure;
    const NAME: &'static str = "changes";

    async fn answer(&self, wanted: &[Page]) -> Result<Vec<Arc<Changes>>, Failure> {
        let (distinct, places) = distinct_by(wanted, |page| *page);
        let mut read = Vec::with_capacity(distinct.len());
        for page in distinct {
            let pool = self.0.for_request();
            let changes = match *page {
                Page::Changes(after) => board::changes(&pool, after, PAGE as i64).await?,
                Page::Active(after, horizon) => board::active(&pool, after, horizon, PAGE as i64).await?,
                Page::Ended(horizon, count) => board::ended(&pool, horizon, i64::from(count)).await?,
            };
            read.push(Arc::new(changes));
        }
        Ok(places.into_iter().map(|place| Arc::clone(&read[place])).collect())
    }
}

/// How far one has seen who has seen a page of changes.
pub(super) fn seen_with(changes: &Changes) -> Position {
    match changes.runs.last() {
        Some(last) if changes.runs.len() >= PAGE => last.position,
        _ => Position::before(changes.horizon),
    }
}
