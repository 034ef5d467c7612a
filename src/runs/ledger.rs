//! The hand's side of a run: every step numbered, fenced, and acknowledged only when it is committed.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::Mutex;

use super::answers::Answers;
use super::lease::Grip;
use super::room::{self, AskedWith, Bodies};
use super::{Beginning, Core};
use crate::db::journal::{self, Entry, Transition, Written};
use crate::db::profiles::{Recorded, Tracked};
use crate::db::runs::Claimed;
use crate::db::scans::{Before, Covered, Depth, Kept};
use crate::db::{Failure, exchanges, health, media, profiles, runs, scans};
use crate::instagram::{Exchange, Shortcode, Source};
use crate::scrape::{Checkpoint, Event, Findings, Halt, Job, Ledger, Step};

/// The first and the longest pause between two tries to write while the database is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Writes for one run under one lease.
#[derive(Clone)]
pub(super) struct RunLedger {
    core: Arc<Core>,
    run: Arc<Claimed>,
    grip: Arc<Grip>,
    position: Arc<Mutex<Position>>,
    taken_up: Instant,
    asked_with: Option<AskedWith>,
    /// How far the run was when this hand took it up, where it had been in hand before.
    began_at: Option<Value>,
}

/// Where the run stands, as far as this hand has written it.
struct Position {
    last_seq: i64,
    last_exchange: i64,
    account: Option<Recorded>,
    checkpoint: Checkpoint,
    answers: Answers,
    halted: Option<Halt>,
}

/// What is kept with a bad end beside the last word, so that the attempt can be played back.
#[derive(Default)]
struct Playback {
    /// Bodies of answers that went well, by the numbers of their requests.
    bodies: Vec<(i64, Vec<u8>)>,
    began_at: Option<Value>,
}

impl Playback {
    fn is_empty(&self) -> bool {
        self.bodies.is_empty() && self.began_at.is_none()
    }
}

/// What goes into one entry.
struct Draft {
    events: Vec<Event>,
    exchanges: Vec<Exchange>,
    checkpoint: Option<Checkpoint>,
    findings: Findings,
    transition: Transition,
}

impl RunLedger {
    pub(super) fn new(core: Arc<Core>, run: Arc<Claimed>, grip: Arc<Grip>) -> Self {
        let position = Position {
            last_seq: run.last_seq,
            last_exchange: run.last_exchange,
            account: run.profile_id.map(read_before),
            checkpoint: Checkpoint::from_row(run.checkpoint.clone()),
            answers: Answers::new(Arc::clone(&core.answers)),
            halted: None,
        };
        // The first hand begins at the beginning.
        let began_at = (run.lease.0 > 1).then(|| serde_json::to_value(Beginning::of(&run)).ok()).flatten();
        let position = Arc::new(Mutex::new(position));
        Self { core, run, grip, position, taken_up: Instant::now(), asked_with: None, began_at }
    }

    /// From now on requests are written as asked with this credential.
    pub(super) fn asks_with(&mut self, source: Source, credential: &Arc<str>) {
        self.asked_with = Some(AskedWith { source: source.as_str(), credential: Arc::clone(credential) });
    }

    /// How far the run came, as far as it is committed. Waits for a step that is being written.
    pub(super) async fn checkpoint(&self) -> Checkpoint {
        self.position.lock().await.checkpoint.clone()
    }

    /// The database's time, by this replica's count since the claim.
    pub(super) fn database_time(&self) -> DateTime<Utc> {
        self.run.claimed_at + self.taken_up.elapsed()
    }

    /// Writes an event that belongs to no step of the pipeline; the run goes on or changes its state with it.
    pub(super) async fn conclude(
        &self,
        event: Event,
        exchanges: Vec<Exchange>,
        checkpoint: Option<Checkpoint>,
        transition: Transition,
    ) -> Result<Written, Halt> {
        let draft = Draft { events: vec![event], exchanges, checkpoint, findings: Findings::default(), transition };
        self.commit(draft).await
    }

    /// Writes in a task of its own that nothing drops half-way: a hand that is stopped in the middle of a step finds
    /// the step whole or not at all, and its next entry waits for it.
    async fn commit(&self, draft: Draft) -> Result<Written, Halt> {
        let ledger = self.clone();
        let write = tokio::spawn(async move {
            let mut position = ledger.position.lock().await;
            if let Some(halt) = position.halted {
                return Err(halt);
            }
            let written = ledger.write_until_settled(&mut position, draft).await;
            if let Err(halt) = &written {
                position.halted = (*halt == Halt::LeaseLost).then_some(*halt);
            }
            written
        });
        write.await.unwrap_or_else(|error| {
            tracing::error!(run_id = %self.run.run_id, %error, "writing a step broke off");
            Err(Halt::Unwritable)
        })
    }

    /// Tries until the entry stands, the lease is gone, or the database refuses it for good.
    async fn write_until_settled(&self, position: &mut Position, draft: Draft) -> Result<Written, Halt> {
        let happened = Instant::now();
        let source = self.asked_with.as_ref().map_or("web", |asked_with| asked_with.source);
        count_exchanges(source, &draft.exchanges);
        let Draft { mut events, exchanges, mut checkpoint, findings, transition } = draft;
        let (kept, is_end) = (&position.checkpoint, matches!(transition, Transition::Finish(..)));
        let limit = self.core.policy.max_events;
        let dropped = kept.events_dropped + room::drop_progress(&mut events, position.last_seq, limit);
        if is_end {
            events.splice(0..0, room::dropped(dropped));
        }
        let mut bodies_kept = kept.bodies_kept;
        let bodies = Bodies::of(transition);
        let rows = room::rows_of(exchanges, self.asked_with.as_ref(), &mut bodies_kept, bodies);
        let (exchanges, held): (_, Vec<_>) = rows.into_iter().unzip();
        let playback = match bodies {
            Bodies::BadEnd => Playback { bodies: position.answers.take(), began_at: self.began_at.clone() },
            Bodies::Step | Bodies::End => Playback::default(),
        };
        if let Some(checkpoint) = &mut checkpoint {
            (checkpoint.events_dropped, checkpoint.bodies_kept) = (dropped, bodies_kept);
        }
        let mut entry = Arc::new(Entry {
            run_id: self.run.run_id,
            lease: self.run.lease,
            attempt: self.run.attempt,
            after_seq: position.last_seq,
            after_exchange: position.last_exchange,
            events: events.into_iter().map(Event::into_row).collect(),
            exchanges,
            age_seconds: 0.0,
            checkpoint: checkpoint.as_ref().and_then(|checkpoint| serde_json::to_value(checkpoint).ok()),
            transition,
        });
        let (mut pause, longest) = PAUSES;
        let mut in_doubt = false;
        let (written, account) = loop {
            Arc::make_mut(&mut entry).age_seconds = happened.elapsed().as_secs_f64();
            match self.write_once(&entry, &findings, &playback, position.account).await {
                Ok(Some(done)) => break done,
                Ok(None) => return Err(Halt::LeaseLost),
                Err(error) if passes(&error) => {
                    tracing::warn!(run_id = %self.run.run_id, %error, "a step could not be written yet; trying again");
                    in_doubt = true;
                }
                Err(error) => {
                    tracing::error!(run_id = %self.run.run_id, %error, "the database refuses a step");
                    // An earlier try may stand all the same. A last word written now would be numbered like it, passed
                    // over for it, and taken for written; the next claim goes on from where the log truly ends.
                    return Err(if in_doubt { Halt::LeaseLost } else { Halt::Unwritable });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
            if !self.grip.holds() {
                return Err(Halt::LeaseLost);
            }
        };
        for (seq, body) in (position.last_exchange + 1..).zip(held) {
            if let Some(body) = body {
                position.answers.hold(seq, body);
            }
        }
        position.last_seq += entry.events.len() as i64;
        position.last_exchange += entry.exchanges.len() as i64;
        position.account = account;
        if let Some(checkpoint) = checkpoint {
            position.checkpoint = checkpoint;
        }
        metrics::counter!("igt_events_written_total").increment(entry.events.len() as u64);
        Ok(written)
    }

    /// One try. `None`: the fence did not hold. An entry that was passed over because it stands there already (the
    /// answer to its commit was lost) counts as written.
    async fn write_once(
        &self,
        entry: &Arc<Entry>,
        findings: &Findings,
        playback: &Playback,
        account: Option<Recorded>,
    ) -> Result<Option<(Written, Option<Recorded>)>, Failure> {
        let written = if findings.is_empty() && playback.is_empty() {
            self.core.journal.write(Arc::clone(entry)).await?.map(|written| (written, account))
        } else {
            self.core.pool.in_time(self.store(entry, findings, playback, account)).await?
        };
        if written.is_some() {
            return Ok(written);
        }
        let standing = journal::standing(&self.core.pool, entry.run_id).await?;
        Ok(standing.filter(|standing| standing.holds(entry)).map(|standing| {
            let written = Written { run_id: entry.run_id, cancel_requested: standing.cancel_requested };
            (written, standing.profile_id.map(read_before))
        }))
    }

    /// Reads, and tries again while the database is away and the lease holds.
    async fn read<T, F>(&self, statement: impl Fn() -> F) -> Result<T, Halt>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let (mut pause, longest) = PAUSES;
        loop {
            match statement().await {
                Ok(read) => return Ok(read),
                Err(error) if passes(&error) => {
                    tracing::warn!(run_id = %self.run.run_id, %error, "what is known could not be read yet; trying again");
                }
                Err(error) => {
                    tracing::error!(run_id = %self.run.run_id, %error, "the database refuses to say what is known");
                    return Err(Halt::Unwritable);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
            if !self.grip.holds() {
                return Err(Halt::LeaseLost);
            }
        }
    }

    /// The account, where somebody has read it before this run: of one that is new there is nothing to look up.
    async fn known_account(&self) -> Option<i64> {
        let account = self.position.lock().await.account;
        account.filter(|account| !account.is_new).map(|account| account.profile_id)
    }

    /// The entry and what was found, or what a bad end is played back from, in one transaction whose first statement is the
    /// fence.
    async fn store(
        &self,
        entry: &Entry,
        findings: &Findings,
        playback: &Playback,
        mut account: Option<Recorded>,
    ) -> sqlx::Result<Option<(Written, Option<Recorded>)>> {
        let mut transaction = self.core.pool.begin().await?;
        let written = journal::write(&mut *transaction, std::slice::from_ref(entry)).await?;
        let Some(written) = written.into_iter().next() else { return Ok(None) };
        let (run_id, seq) = (entry.run_id, entry.after_seq + entry.events.len() as i64);
        if let Some(profile) = &findings.profile {
            let recorded = profiles::record(&mut transaction, run_id, seq, profile).await?;
            // Once new, it is new to this run to its end.
            let is_new = recorded.is_new || account.is_some_and(|account| account.is_new);
            account = Some(Recorded { is_new, ..recorded });
        }
        if let Some(Recorded { profile_id, .. }) = account {
            if !findings.media.is_empty() {
                media::record(&mut transaction, run_id, seq, profile_id, &findings.media).await?;
            }
            if !findings.numbers.is_empty() {
                media::snapshot(&mut transaction, run_id, seq, profile_id, &findings.numbers, &findings.media).await?;
            }
            if !findings.missing.is_empty() {
                scans::miss(&mut transaction, run_id, profile_id, &findings.missing).await?;
            }
            if let Some(scan) = &findings.scan {
                scans::remember(&mut transaction, run_id, seq, profile_id, scan).await?;
            }
        }
        if !playback.bodies.is_empty() {
            exchanges::keep_bodies(&mut transaction, run_id, &playback.bodies).await?;
        }
        if let Some(began_at) = &playback.began_at {
            runs::keep_beginning(&mut *transaction, run_id, began_at).await?;
        }
        transaction.commit().await?;
        self.core.journal.committed(run_id);
        Ok(Some((written, account)))
    }
}

impl Ledger for RunLedger {
    fn write(&mut self, step: Step) -> impl Future<Output = Result<(), Halt>> + Send {
        let Step { events, exchanges, mut checkpoint, findings } = step;
        checkpoint.came_on_in(self.run.attempt);
        let draft = Draft { events, exchanges, checkpoint: Some(checkpoint), findings, transition: Transition::Stay };
        async move {
            let written = self.commit(draft).await?;
            if written.cancel_requested { Err(Halt::Cancelled) } else { Ok(()) }
        }
    }

    async fn tracked(&mut self) -> Result<Option<Tracked>, Halt> {
        let (pool, run) = (&self.core.pool, &self.run);
        self.read(|| profiles::tracked_by(pool, &run.task_id, &run.username)).await
    }

    async fn scans_before(&mut self, job: &Job) -> Result<Before, Halt> {
        let limit = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let depth = Depth { posts: limit(job.max_posts), full_every: limit(job.full_scan_every) };
        let Some(profile_id) = self.known_account().await else { return Ok(Before::default()) };
        let pool = &self.core.pool;
        self.read(|| scans::before(pool, profile_id, job.kind, depth)).await
    }

    async fn posts_not_met(&mut self, covered: Covered) -> Result<Vec<String>, Halt> {
        let Some(profile_id) = self.known_account().await else { return Ok(Vec::new()) };
        let pool = &self.core.pool;
        self.read(|| scans::not_met(pool, profile_id, &covered)).await
    }

    async fn posts_kept(&mut self, older_than: DateTime<Utc>, read: &[Shortcode], limit: usize) -> Result<Kept, Halt> {
        let Some(profile_id) = self.known_account().await else { return Ok(Kept::default()) };
        let (pool, limit) = (&self.core.pool, i64::try_from(limit).unwrap_or(i64::MAX));
        let codes: Vec<String> = read.iter().map(|code| code.as_str().to_owned()).collect();
        self.read(|| scans::kept(pool, profile_id, older_than, &codes, limit)).await
    }

    fn elapsed_seconds(&self) -> f64 {
        let before = (self.run.claimed_at - self.run.started_at).to_std().unwrap_or_default();
        (before + self.taken_up.elapsed()).as_secs_f64()
    }
}

/// An account that is stored; whether somebody had read it before this run is not known any more, so it is taken to be so.
fn read_before(profile_id: i64) -> Recorded {
    Recorded { profile_id, is_new: false }
}

/// Whether a write that failed may yet succeed: the database is away, or this transaction was the one to give way.
fn passes(error: &sqlx::Error) -> bool {
    // A system error; a rollback, as of a deadlock; a lock that was not to be had in time, a transaction that took too
    // long: limits that an operator may have set.
    let gave_way =
        |code: Cow<'_, str>| code.starts_with("58") || code.starts_with("40") || ["55P03", "25P04"].contains(&&*code);
    // Of two that gave one account's row an id at once, the later one finds it the next time.
    let lost_a_race = |error: &dyn sqlx::error::DatabaseError| {
        error.is_unique_violation() && error.constraint().is_some_and(|name| name.starts_with("profiles_"))
    };
    let of_database = error.as_database_error();
    health::is_away(error)
        || of_database.is_some_and(lost_a_race)
        || of_database.and_then(|error| error.code()).is_some_and(gave_way)
}

fn count_exchanges(source: &'static str, exchanges: &[Exchange]) {
    for exchange in exchanges {
        let labels =
            [("source", source), ("endpoint", exchange.endpoint), ("outcome", exchange.failure.unwrap_or("ok"))];
        metrics::counter!("igt_upstream_requests_total", &labels).increment(1);
        if exchange.failure == Some("unexpected_shape") || (exchange.failure.is_none() && exchange.has_unread) {
            let labels = [("source", source), ("endpoint", exchange.endpoint)];
            metrics::counter!("igt_upstream_changed_total", &labels).increment(1);
        }
        metrics::histogram!("igt_upstream_request_seconds", "source" => source, "endpoint" => exchange.endpoint)
            .record(exchange.duration.as_secs_f64());
    }
}
