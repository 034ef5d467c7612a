//! A summary of every run that has ended, which stays when its log is given up, with the last word of one that did not
//! succeed; and what it adds to the counts by hour and day.
//!
//! The runs' own path has no part in it: who ended is found by the order of changes, a few runs at a time. A batch and the
//! mark that says how far it came are one transaction, so that each run has its summary once, whichever replica is at it
//! and wherever it breaks off.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::board::Position;
use crate::db::status::Event;
use crate::db::summaries::{self, LastWord, Looked, Mark, Phases, Requests, Summary, Told};
use crate::db::{Pool, RunId, event_lists, rollups};
use crate::scrape::phases::{self, Phase, Times};

/// How often runs are looked for that have ended.
const EVERY: Duration = Duration::from_secs(10);

/// The pause between two batches: so many runs a second at most that an upgrade finds without a summary, or that end.
const PAUSE: Duration = Duration::from_millis(250);

/// How long to leave it alone when the database refuses it.
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);

/// How many runs are looked at in a batch, and about how many events they have together.
const RUNS: i64 = 250;
const EVENTS: i64 = 20_000;

/// How long a statement of it may take: a log has up to a million events.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one who is at it is waited for by whoever wants all to be done.
const WAIT: Duration = Duration::from_millis(100);

/// What a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// There was nothing to look at.
    Idle,
    /// Another one is at it.
    Taken,
    /// So many runs were summarised; there may be more.
    Done(u64),
}

/// Every replica does; the one that has the mark is at it.
pub(super) async fn keep(pool: &Pool) {
    let pool = pool.patient(PATIENCE);
    loop {
        let pause = match batch(&pool).await {
            Ok(Batch::Idle | Batch::Taken) => EVERY,
            Ok(Batch::Done(_)) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "could not summarise runs that have ended; trying again in a minute");
                AFTER_A_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Summarises all runs that have ended, without a pause; says how many it did itself. Another one that is at it is waited
/// for.
pub async fn summarise_all(pool: &Pool) -> sqlx::Result<u64> {
    let pool = pool.patient(PATIENCE);
    let mut all = 0;
    loop {
        match batch(&pool).await? {
            Batch::Idle => return Ok(all),
            Batch::Taken => tokio::time::sleep(WAIT).await,
            Batch::Done(runs) => all += runs,
        }
    }
}

async fn batch(pool: &Pool) -> sqlx::Result<Batch> {
    if !summaries::is_behind(pool).await? {
        return Ok(Batch::Idle);
    }
    pool.in_time(async {
        let mut transaction = pool.begin().await?;
        let Some((mark, present)) = summaries::take_mark(&mut transaction).await? else { return Ok(Batch::Taken) };
        let mark = if mark.cluster == present {
            mark
        } else {
            // What changes from here on is followed; what ended before is found by its id.
            let followed = Position::before(summaries::horizon(&mut *transaction).await?);
            Mark { cluster: present, followed, older: Some(RunId(Uuid::nil())) }
        };
        let (looked, mark) = look(&mut transaction, mark).await?;
        let ended: Vec<_> = looked.into_iter().filter(|run| run.finished_at.is_some()).collect();
        let summaries = summarise(&mut transaction, &ended).await?;
        if !summaries.is_empty() {
            let fresh = summaries::write(&mut transaction, &summaries).await?;
            rollups::add(&mut transaction, &fresh).await?;
        }
        summaries::move_mark(&mut transaction, mark).await?;
        transaction.commit().await?;
        Ok(Batch::Done(summaries.len() as u64))
    })
    .await
}

/// The next few runs, and where the mark is then: those that changed, and as many of those that had ended before, so that
/// neither waits for the other.
async fn look(db: &mut sqlx::PgConnection, mark: Mark) -> sqlx::Result<(Vec<Looked>, Mark)> {
    let mut looked = few(summaries::changed(&mut *db, mark.followed, RUNS).await?);
    let last = looked.last().map(|run| Position { xid: run.xid, run_id: run.run_id });
    let mut mark = Mark { followed: last.unwrap_or(mark.followed), ..mark };
    if let Some(after) = mark.older {
        let older = few(summaries::older(&mut *db, after, RUNS).await?);
        mark.older = older.last().map(|run| run.run_id);
        let ids: Vec<Uuid> = older.iter().map(|run| run.run_id.0).collect();
        let mut wanted: HashSet<_> = summaries::without(&mut *db, &ids).await?.into_iter().collect();
        wanted.retain(|run_id| looked.iter().all(|run| run.run_id != *run_id));
        looked.extend(older.into_iter().filter(|run| wanted.contains(&run.run_id)));
    }
    Ok((looked, mark))
}

/// The first of these runs, one at least, that have not too many events together.
fn few(mut runs: Vec<Looked>) -> Vec<Looked> {
    let mut events = 0;
    let fit = runs.iter().take_while(|run| {
        let has_room = events == 0 || events + run.last_seq <= EVENTS;
        events += run.last_seq;
        has_room
    });
    let fit = fit.count();
    runs.truncate(fit);
    runs
}

async fn summarise(db: &mut sqlx::PgConnection, runs: &[Looked]) -> sqlx::Result<Vec<Summary>> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = runs.iter().map(|run| run.run_id.0).collect();
    let mut logs: HashMap<RunId, Vec<Told>> = HashMap::new();
    for told in summaries::logs(&mut *db, &ids).await? {
        logs.entry(told.run_id).or_default().push(told);
    }
    let mut tallies: HashMap<RunId, Tally> = HashMap::new();
    for counted in summaries::counts(&mut *db, &ids).await? {
        let tally = tallies.entry(counted.run_id).or_default();
        *tally.by_type.entry(counted.event_type).or_default() += counted.events;
        *tally.by_level.entry(counted.level).or_default() += counted.events;
    }
    let asked = summaries::asked(&mut *db, &ids).await?;
    let asked: HashMap<_, _> = asked.into_iter().map(|asked| (asked.run_id, asked)).collect();
    let short: Vec<_> = runs.iter().filter(|run| run.has_reason).map(|run| (run.run_id, run.last_seq)).collect();
    let said = event_lists::latest(&mut *db, &short).await?;
    let mut said: HashMap<_, _> = said.into_iter().map(|(run_id, event)| (run_id, last_word(event))).collect();
    let summary = |run: &Looked| {
        let log = logs.get(&run.run_id).map(Vec::as_slice).unwrap_or_default();
        let asked = asked.get(&run.run_id).filter(|asked| asked.requests == run.last_exchange);
        Summary {
            run_id: run.run_id,
            events: tallies.remove(&run.run_id).map(Tally::into_json),
            requests: fit(run.last_exchange),
            asked: asked.map(|asked| Requests {
                failed: fit(asked.failed),
                bytes: asked.bytes,
                ms: fit(asked.ms as i64),
            }),
            posts: log.last().and_then(|last| last.posts).map(fit),
            reels: log.last().and_then(|last| last.reels).map(fit),
            phases: phases_of(run, log),
            last_word: said.remove(&run.run_id),
        }
    };
    Ok(runs.iter().map(summary).collect())
}

fn last_word(event: Event) -> LastWord {
    let fields: Value = serde_json::from_str(&event.fields).unwrap_or_default();
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    LastWord {
        endpoint: text("endpoint"),
        http_status: fields["http_status"].as_i64().map(fit),
        failure: text("failure"),
        upstream_message: text("upstream_message"),
        message: event.message,
    }
}

fn phases_of(run: &Looked, log: &[Told]) -> Phases {
    let until = run.finished_at.unwrap_or(run.requested_at);
    let times = Times { requested_at: run.requested_at, started_at: run.started_at, until };
    let marks =
        log.iter().map(|told| phases::Mark { at: told.at, event_type: &told.event_type, stage: told.stage.as_deref() });
    let spans = phases::spans(times, marks);
    let total = |phase| phases::total(&spans, phase).as_ref().map(TimeDelta::num_milliseconds).map(fit);
    Phases {
        queue: total(Phase::Queue),
        account: total(Phase::Account),
        posts: total(Phase::Posts),
        reels: total(Phase::Reels),
        update: total(Phase::Update),
        waiting: total(Phase::Waiting),
        interrupted: total(Phase::Interrupted),
    }
}

/// How many events of each kind; in one order, so that what is alike is the same.
#[derive(Default)]
struct Tally {
    by_type: BTreeMap<String, i64>,
    by_level: BTreeMap<String, i64>,
}

impl Tally {
    fn into_json(self) -> (Value, Value) {
        (json!(self.by_type), json!(self.by_level))
    }
}

/// As much of a number as its column holds.
fn fit(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
