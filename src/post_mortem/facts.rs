//! What a post-mortem is made of, as the database tells it.

use chrono::{DateTime, TimeDelta, Utc};

use super::failure;
use crate::db::evidence::{self, Run};
use crate::db::exchanges::{self, Told};
use crate::db::post_mortem::{self, AskedWith, Other, Summary, Tally};
use crate::db::status::{self, Event};
use crate::db::{Pool, RunId};

/// Of a log the latest so many events are looked at.
const MAX_EVENTS: i64 = 10_000;

/// Of the last attempt's requests so many are told.
const MAX_REQUESTS: i64 = 20;

/// How many other runs are counted of each state.
const MAX_OTHERS: i64 = 2000;

/// How far around its end, or the begin of its wait, others are looked for that ended or began to wait.
const AROUND: TimeDelta = TimeDelta::minutes(30);

/// All that is looked at.
pub(super) struct Facts {
    pub(super) record: Record,
    pub(super) tally: Tally,
    /// The latest requests of the last attempt.
    pub(super) requests: Vec<Told>,
    /// The answer that shows why, with the number of its request.
    pub(super) answer: Option<KeptAnswer>,
    pub(super) last_good: Option<Record>,
    pub(super) others: Option<OtherRuns>,
}

/// An answer that is kept.
pub(super) struct KeptAnswer {
    pub(super) request: i64,
    pub(super) endpoint: String,
    pub(super) bytes: i64,
    pub(super) body: Vec<u8>,
}

/// What is there of a run.
pub(super) struct Record {
    pub(super) run: Run,
    /// Oldest first; the latest, where there are very many.
    pub(super) events: Vec<Event>,
    /// Of one that has ended, soon after that.
    pub(super) summary: Option<Summary>,
}

/// The others with the same reason.
pub(super) struct OtherRuns {
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) runs: Vec<Other>,
    pub(super) is_exact: bool,
    pub(super) asked_with: Vec<AskedWith>,
}

/// Gathers them; `None` where there is no such run.
pub(super) async fn gather(pool: &Pool, run_id: RunId) -> sqlx::Result<Option<Facts>> {
    let Some(run) = evidence::run(pool, run_id).await? else { return Ok(None) };
    let record = record(pool, run).await?;
    let Record { run, events, .. } = &record;
    let requests = post_mortem::requests_of_attempt(pool, run_id, run.attempt.max(1), MAX_REQUESTS).await?;
    let last_good = match post_mortem::last_good(pool, &run.task_id, run_id).await? {
        Some(good) => match evidence::run(pool, good).await? {
            Some(run) => Some(self::record(pool, run).await?),
            None => None,
        },
        None => None,
    };
    let tally = post_mortem::tally(pool, run_id).await?;
    let answer = answer(pool, run, events, &requests).await?;
    let others = others(pool, run).await?;
    Ok(Some(Facts { record, tally, requests, answer, last_good, others }))
}

async fn record(pool: &Pool, run: Run) -> sqlx::Result<Record> {
    let events = status::events(pool, run.run_id, (run.last_seq - MAX_EVENTS).max(0), run.last_seq).await?;
    let summary = post_mortem::summary(pool, run.run_id).await?;
    Ok(Record { run, events, summary })
}

/// The kept answer that shows why: where a request failed and was not overcome, that of the last that failed; else of the step
/// in which something could not be read. A step and its requests are written as of one moment.
async fn answer(pool: &Pool, run: &Run, events: &[Event], requests: &[Told]) -> sqlx::Result<Option<KeptAnswer>> {
    let kept = || requests.iter().map(|told| &told.exchange).filter(|exchange| exchange.has_body);
    let has_failed = failure::shown_by(run.state, events).is_some();
    let failed = has_failed.then(|| kept().rfind(|exchange| exchange.failure.is_some())).flatten();
    let unread = || {
        let noted = events.iter().rfind(|event| event.event_type == "upstream_changed")?;
        kept().rfind(|exchange| exchange.at == noted.at)
    };
    let Some(shown) = failed.or_else(unread) else { return Ok(None) };
    let Some(body) = exchanges::body(pool, run.run_id, shown.seq).await? else { return Ok(None) };
    let unpacked = body.body.and_then(|packed| zstd::decode_all(&packed[..]).ok());
    Ok(unpacked.map(|unpacked| KeptAnswer {
        request: shown.seq,
        endpoint: shown.endpoint.clone(),
        bytes: body.bytes,
        body: unpacked,
    }))
}

async fn others(pool: &Pool, run: &Run) -> sqlx::Result<Option<OtherRuns>> {
    let Some(reason) = run.reason else { return Ok(None) };
    let failed_at = run.finished_at.unwrap_or(run.updated_at);
    let (since, until) = (failed_at - AROUND, failed_at + AROUND);
    // Another one may have taken as long as this one could.
    let asked_since = since - (run.deadline_at - run.requested_at);
    let mut runs = post_mortem::with_reason(pool, reason, asked_since, since, until, MAX_OTHERS).await?;
    let is_exact = i64::try_from(runs.len()).is_ok_and(|found| found < MAX_OTHERS);
    runs.retain(|other| other.run_id != run.run_id);
    let last: Vec<_> = runs.iter().map(|other| (other.run_id, other.last_exchange)).collect();
    let asked_with = if last.is_empty() { Vec::new() } else { post_mortem::asked_with(pool, &last).await? };
    Ok(Some(OtherRuns { since, until, runs, is_exact, asked_with }))
}
