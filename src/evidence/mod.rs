//! All that a run left, in one piece: its row, its log, its requests with the answers that are kept, what was known before
//! it, and the settings that its course depends on. It is read from the database, or out of a bundle, and is the same
//! either way.

mod bundle;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::db::evidence::{self, Known, Request, Run};
use crate::db::status::{self, Event};
use crate::db::{Pool, RunId};
use crate::instagram::RecordedBody;
use crate::instagram::web::DocIds;
use crate::runs::{Beginning, Policy};

pub use bundle::{Bundle, BundleError};

/// Of a log the latest events are taken, of the requests the latest, of the posts that were known before the latest.
pub const MAX_EVENTS: i64 = 20_000;
const MAX_REQUESTS: i64 = 2000;
const MAX_POSTS: i64 = 10_000;

/// What is kept of a body at most, before it is compressed.
const KEPT_BYTES: usize = 256 * 1024;

/// All that a run left.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its row.
    pub run: Run,
    /// Its log, oldest first.
    pub events: Vec<Event>,
    /// Its requests, oldest first.
    pub requests: Vec<Request>,
    /// What was known before it.
    pub known: Known,
    /// What its course depends on beside all that.
    pub settings: Settings,
}

/// The settings on which a run's course depends. None is a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How many of the latest posts a run reads.
    pub max_posts: usize,
    /// How many of them every run reads anew.
    pub refresh_posts: usize,
    /// Every so many-th scan reads in full.
    pub full_scan_every: usize,
    /// How often a run may be taken up in a row without coming on.
    pub max_attempts: i32,
    /// Numbers of documents that are tried before the known ones.
    pub web_doc_ids: DocIds,
}

impl Settings {
    /// The same as the work on runs takes it. How long a wait would be, no replay depends on.
    pub fn policy(&self) -> Policy {
        Policy {
            concurrency: 0,
            lease: Duration::from_secs(30),
            deadline: Duration::from_secs(7200),
            max_attempts: self.max_attempts,
            retry_base: Duration::from_secs(2),
            throttle_cooldown: Duration::from_secs(660),
            poll: Duration::from_secs(1),
            max_posts: self.max_posts,
            refreshed_posts: self.refresh_posts,
            full_scan_every: self.full_scan_every,
            max_events: i64::MAX,
        }
    }
}

impl Evidence {
    /// Reads it; `None` where there is no such run.
    pub async fn read(pool: &Pool, run_id: RunId, settings: Settings) -> sqlx::Result<Option<Self>> {
        let Some(run) = evidence::run(pool, run_id).await? else { return Ok(None) };
        let events = status::events(pool, run_id, (run.last_seq - MAX_EVENTS).max(0), run.last_seq).await?;
        let first = (run.last_exchange - MAX_REQUESTS).max(0);
        let requests = evidence::requests(pool, run_id, first, MAX_REQUESTS).await?;
        let known = Known {
            account: evidence::account_before(pool, run_id).await?,
            scan: evidence::scan_before(pool, run_id).await?,
            posts: evidence::posts_before(pool, run_id, MAX_POSTS).await?,
        };
        Ok(Some(Self { run, events, requests, known, settings }))
    }

    /// How far the run was when its last attempt began: at the beginning, where it was taken up once. `None` where that
    /// is not known.
    pub fn beginning(&self) -> Option<Beginning> {
        if let Some(began_at) = &self.run.began_at {
            return serde_json::from_value(began_at.clone()).ok();
        }
        let was_resumed = self.events.iter().any(|event| event.event_type == "run_resumed");
        (!was_resumed).then(Beginning::default)
    }
}

/// The body of a request's answer as it came, or why it is not there.
pub fn body(request: &Request) -> RecordedBody {
    match request.body.as_ref().map(|packed| zstd::decode_all(&packed[..])) {
        Some(Ok(body))
            if body.len() >= KEPT_BYTES && i64::try_from(body.len()).is_ok_and(|len| len < request.bytes) =>
        {
            RecordedBody::Cut(body)
        }
        Some(Ok(body)) => RecordedBody::Whole(body),
        // Nothing came, or there was nothing in it.
        None if request.bytes == 0 => RecordedBody::Whole(Vec::new()),
        Some(Err(_)) | None => RecordedBody::NotKept,
    }
}
