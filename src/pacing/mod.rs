//! Who may ask a source, and when: one pace for each credential, over all replicas and restarts.
//!
//! The truth is in the tables `credentials` and `circuits`. A request takes a slot before it goes out and says after it
//! how it ended; both are done for all who ask at the moment in one statement, on the database's clock. An attempt asks
//! with one credential, see [`Pacing::choose`]; its [`Turn`] is the gate before each of its requests.

mod choice;
mod effect;
mod refusal;
mod slots;
mod turn;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::batcher::Batcher;
use crate::credentials::{Credentials, Kind};
use crate::db::slots::Breaker;
use crate::db::{Pool, RunId, credentials};
use crate::instagram::{Source, Sources};

pub use choice::{Choice, Tried};
pub use refusal::{Refusal, Why};
pub use turn::Turn;

/// A request reserves its slot no further ahead than this, and waits no longer in place. A run whose turn is later gives
/// its hand back until then.
pub const AHEAD: Duration = Duration::from_secs(30);

/// What may pass between a slot and its request on the wire, at most; each window is longer by as much, so that the
/// source counts no more in any than the budget.
pub const SLACK: Duration = Duration::from_secs(1);

/// What holds for all credentials.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a throttled credential cools where the source does not say.
    pub cooldown: Duration,
    /// When a source's circuit opens.
    pub breaker: Breaker,
}

/// The pace of this replica's credentials.
#[derive(Clone)]
pub struct Pacing(Arc<Shared>);

struct Shared {
    pool: Pool,
    sources: Sources,
    kinds: HashMap<Arc<str>, Kind>,
    terms: Terms,
    slots: Batcher<slots::Slots>,
    words: Batcher<words::Words>,
    kept: Mutex<slots::Kept>,
    view: Mutex<choice::View>,
}

impl Pacing {
    /// Of these credentials, whose rows are made where they are not there yet.
    pub async fn begin(pool: Pool, credentials: &Credentials, terms: Terms) -> sqlx::Result<Self> {
        credentials::register(&pool, &credentials.registered(), SLACK.as_secs_f64()).await?;
        Ok(Self::beside(pool, credentials, terms))
    }

    /// The same for one who looks in beside the replicas, and leaves the rows as these have them.
    pub fn beside(pool: Pool, credentials: &Credentials, terms: Terms) -> Self {
        let kinds = credentials.kinds().map(|(name, kind)| (Arc::clone(name), kind)).collect();
        Self(Arc::new(Shared {
            slots: slots::Slots::batched(pool.clone()),
            words: words::Words::batched(pool.clone(), terms.breaker),
            pool,
            sources: credentials.sources().clone(),
            kinds,
            terms,
            kept: Mutex::default(),
            view: Mutex::default(),
        }))
    }

    /// The clients.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// The gate of an attempt that asks with this credential; `None` where a person asks and no run does.
    pub fn turn(&self, credential: &Arc<str>, source: Source, run: Option<RunId>) -> Arc<Turn> {
        Arc::new(Turn::new(self.clone(), Arc::clone(credential), source, run))
    }

    /// What a credential is.
    pub fn kind(&self, credential: &str) -> Kind {
        self.0.kinds.get(credential).copied().unwrap_or(Kind::Guest)
    }
}
