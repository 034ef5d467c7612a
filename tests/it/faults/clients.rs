//! Clients that ask all the time, whatever happens: they time every answer, judge it, and keep what was acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::types::Json;
use tokio::task::JoinSet;

use super::dice::Dice;
use super::question::{self, Reply};
use super::timing::{Answered, Pulse, Standstills, Threads};
use crate::harness::{Replica, V1};

/// No client is kept waiting longer, whatever happens.
const NEVER_LONGER: Duration = Duration::from_secs(5);

/// Between two questions of a client.
const PAUSE: Duration = Duration::from_millis(15);

/// Where a replica is, for its clients.
pub(super) struct Seat {
    number: usize,
    /// None while it is dead.
    life: Mutex<Option<Arc<Life>>>,
    /// Raised whenever it dies, is paused, or comes back: what was under way then is not judged.
    upheavals: AtomicU64,
    paused: AtomicBool,
}

/// One life of a replica.
struct Life {
    address: String,
    threads: Threads,
}

impl Seat {
    pub(super) fn of(number: usize, replica: &Replica) -> Arc<Self> {
        let (upheavals, paused) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { number, life: Mutex::new(Some(Life::of(replica))), upheavals, paused })
    }

    /// It dies, or lives again elsewhere.
    pub(super) fn moves_to(&self, replica: Option<&Replica>) {
        *self.life.lock().unwrap() = replica.map(Life::of);
        self.upheavals.fetch_add(1, Ordering::SeqCst);
    }

    /// It is paused, or goes on.
    pub(super) fn pauses(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
        self.upheavals.fetch_add(1, Ordering::SeqCst);
    }

    fn mark(&self) -> u64 {
        self.upheavals.load(Ordering::SeqCst)
    }
}

impl Life {
    fn of(replica: &Replica) -> Arc<Self> {
        Arc::new(Self { address: replica.address.clone(), threads: Threads::of(replica.process()) })
    }
}

/// An event as a client saw it: the task, its number, its words, and the rest of it in the order of its names.
type Seen = (String, i64, String, String, String);

/// What all clients together saw.
#[derive(Default)]
struct Notes {
    /// How many starts of a task were acknowledged.
    starts: HashMap<String, i64>,
    events: HashSet<Seen>,
    /// The events that were found to be kept once.
    found: HashSet<Seen>,
    /// Those that are judged by how long they took.
    answers: Vec<Answered>,
    wrong: Vec<String>,
}

/// The clients of all replicas.
pub(super) struct Clients {
    next: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    notes: Arc<Mutex<Notes>>,
    starting: Arc<AtomicBool>,
    at_work: JoinSet<()>,
}

impl Clients {
    /// For each replica one that looks at the tasks in turn, and one that starts them as often as it can and cancels one
    /// now and then.
    pub(super) fn begin(seats: &[Arc<Seat>], tasks: &[(String, &'static str)], seed: u64) -> Self {
        let mut clients = Self {
            next: Arc::default(),
            pulse: Arc::new(Pulse::new()),
            notes: Arc::default(),
            starting: Arc::new(AtomicBool::new(true)),
            at_work: JoinSet::new(),
        };
        clients.at_work.spawn(Arc::clone(&clients.pulse).beat());
        Standstills::of_this_machine();
        for (n, seat) in seats.iter().enumerate() {
            let starter = clients.client(seat);
            let (tasks_of_starter, starting, mut dice) =
                (tasks.to_vec(), Arc::clone(&clients.starting), Dice::new(seed + n as u64));
            clients.at_work.spawn(async move {
                loop {
                    tokio::time::sleep(PAUSE * 2).await;
                    if starting.load(Ordering::SeqCst) {
                        let (task, route) = &tasks_of_starter[dice.below(tasks_of_starter.len())];
                        match dice.below(10) {
                            0 => drop(starter.ask("POST", &format!("{V1}/cancel/{task}"), &[200, 409]).await),
                            _ => drop(starter.start(task, route).await),
                        }
                    }
                }
            });
            let (looker, tasks) = (clients.client(seat), tasks.to_vec());
            clients.at_work.spawn(async move {
                for (task, _) in tasks.iter().cycle() {
                    tokio::time::sleep(PAUSE).await;
                    looker.look(task).await;
                }
            });
        }
        clients
    }

    fn client(&self, seat: &Arc<Seat>) -> Client {
        Client {
            next: Arc::clone(&self.next),
            pulse: Arc::clone(&self.pulse),
            notes: Arc::clone(&self.notes),
            seat: Arc::clone(seat),
        }
    }

    /// One that asks as it is told.
    pub(super) fn one_of(&self, seat: &Arc<Seat>) -> Client {
        self.client(seat)
    }

    /// Whether they start tasks.
    pub(super) fn start_tasks(&self, whether: bool) {
        self.starting.store(whether, Ordering::SeqCst);
    }

    /// The answers since the last time that this was asked.
    pub(super) fn take_answers(&self) -> Vec<Answered> {
        std::mem::take(&mut self.notes.lock().unwrap().answers)
    }

    /// Nothing that was acknowledged is lost, and nobody was answered what must not be answered. Of what was seen, that
    /// which was not looked for before; it is of runs that have ended since then.
    pub(super) async fn assert_content(&self, pool: &PgPool, since: DateTime<Utc>) {
        let (wrong, starts, seen) = {
            let mut notes = self.notes.lock().unwrap();
            (notes.wrong.clone(), notes.starts.clone(), std::mem::take(&mut notes.events))
        };
        assert!(wrong.is_empty(), "{} answers were wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);

        let runs: Vec<(String, i64)> =
            sqlx::query_as("select task_id, count(*) from runs group by task_id").fetch_all(pool).await.unwrap();
        let runs: HashMap<String, i64> = runs.into_iter().collect();
        for (task, acknowledged) in starts {
            let there = runs.get(&task).copied().unwrap_or_default();
            assert!(there >= acknowledged, "{acknowledged} starts of {task} were acknowledged, {there} runs are there");
        }
        assert_kept(&seen, &told(pool, since).await);
        self.notes.lock().unwrap().found.extend(seen);
    }

    /// All that they ever saw is there at the end. They ask no more: on their thread nothing else gets its turn while so
    /// much is compared.
    pub(super) async fn assert_all_kept(mut self, pool: &PgPool) {
        self.at_work.shutdown().await;
        let Notes { events, found, .. } = std::mem::take(&mut *self.notes.lock().unwrap());
        let told = told(pool, DateTime::UNIX_EPOCH).await;
        assert_kept(&events, &told);
        assert_kept(&found, &told);
    }
}

fn assert_kept(seen: &HashSet<Seen>, told: &HashSet<Seen>) {
    let lost: Vec<_> = seen.difference(told).collect();
    assert!(lost.is_empty(), "events that a client saw are not there any more: {lost:#?}");
}

/// The events of all runs that have not ended before.
async fn told(pool: &PgPool, since: DateTime<Utc>) -> HashSet<Seen> {
    let told: Vec<(String, i64, i64, String, String, Json<Value>)> = sqlx::query_as(
        "select r.task_id, e.seq, floor(extract(epoch from e.at))::bigint, e.event_type, e.message, e.fields
         from events e join runs r using (run_id)
         where r.finished_at is null or r.finished_at >= $1",
    )
    .bind(since)
    .fetch_all(pool)
    .await
    .unwrap();
    told.into_iter()
        .map(|(task, seq, at, event_type, message, Json(mut fields))| {
            fields["timestamp"] = at.into();
            (task, seq, event_type, message, in_order(&fields))
        })
        .collect()
}

/// A client of one replica.
pub(super) struct Client {
    next: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    notes: Arc<Mutex<Notes>>,
    seat: Arc<Seat>,
}

impl Client {
    /// Asks a task to be scraped; gives the status, if there was an answer.
    pub(super) async fn start(&self, task: &str, route: &str) -> Option<u16> {
        let (status, _) = self.ask("POST", &format!("{V1}/{route}/{task}"), &[200, 409]).await?;
        if status == 200 {
            *self.notes.lock().unwrap().starts.entry(task.to_owned()).or_default() += 1;
        }
        Some(status)
    }

    async fn look(&self, task: &str) {
        let path = format!("{V1}/task_status/{task}?logs_count=100");
        let Some((200, body)) = self.ask("GET", &path, &[200]).await else { return };
        let body: Value = serde_json::from_str(&body).unwrap();
        let response = &body["response"];
        let logs = response["logs"].as_array().unwrap();
        let first = response["logs_count"].as_i64().unwrap() - logs.len() as i64 + 1;
        let seen = logs.iter().zip(first..).map(|(event, seq)| {
            let mut fields = event.clone();
            let mut word = |name: &str| {
                let removed = fields.as_object_mut().unwrap().remove(name);
                removed.unwrap().as_str().unwrap().to_owned()
            };
            let (event_type, message) = (word("event_type"), word("message"));
            (task.to_owned(), seq, event_type, message, in_order(&fields))
        });
        self.notes.lock().unwrap().events.extend(seen);
    }

    /// One question. Whoever asks a replica that dies or is paused meanwhile takes what comes.
    async fn ask(&self, method: &str, path: &str, right: &[u16]) -> Option<(u16, String)> {
        let before = self.seat.mark();
        let life = self.seat.life.lock().unwrap().clone().filter(|_| !self.seat.paused.load(Ordering::SeqCst))?;
        let id = format!("client-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (waits, asked) = (life.threads.waits(), Instant::now());
        let answer = question::ask(&life.address, method, path, &id).await;
        let (took, starved) = (asked.elapsed(), life.threads.worst_since(&waits));
        let undisturbed = self.seat.mark() == before && !self.seat.paused.load(Ordering::SeqCst);
        if undisturbed {
            let mut notes = self.notes.lock().unwrap();
            let wrong = what_is_wrong(&answer, took, right);
            notes.wrong.extend(wrong.map(|wrong| format!("{method} {path}: {wrong} after {took:.1?}")));
            if let Ok(Reply { status, times, .. }) = &answer {
                let (what, replica, held_up) =
                    (format!("{method} {path}"), self.seat.number, self.pulse.worst_since(asked));
                notes.answers.push(Answered {
                    id,
                    what,
                    replica,
                    status: *status,
                    asked,
                    times: *times,
                    held_up,
                    starved,
                });
            }
        }
        answer.ok().map(|Reply { status, body, .. }| (status, body))
    }
}

/// Why an answer must not be so, if it must not.
fn what_is_wrong(answer: &std::io::Result<Reply>, took: Duration, right: &[u16]) -> Option<String> {
    match answer {
        Ok(_) if took > NEVER_LONGER => Some("too late".to_owned()),
        Ok(Reply { status, .. }) if right.contains(status) => None,
        Ok(Reply { status: 503, has_retry_after: true, .. }) => None,
        Ok(Reply { status: 503, body, .. }) => Some(format!("503 without Retry-After: {body}")),
        Ok(Reply { status, body, .. }) => Some(format!("{status} {body}")),
        Err(error) => Some(format!("no answer: {error:?}")),
    }
}

/// An object as text, whatever the order in which it came.
fn in_order(object: &Value) -> String {
    let sorted: BTreeMap<_, _> = object.as_object().unwrap().iter().collect();
    serde_json::to_string(&sorted).unwrap()
}
