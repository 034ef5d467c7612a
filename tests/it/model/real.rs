//! The same statements on real tables, by the program's own functions.

use ig_tracking::db::cancel::{self, Asked};
use ig_tracking::db::journal::{self, Level, NewEvent, NewExchange, Transition};
use ig_tracking::db::runs::{self, Reason, RunState, Trigger};
use ig_tracking::db::start::{Start, Started, Terms, start};
use ig_tracking::db::tasks::{self, TaskKind};
use ig_tracking::db::{Lease, RunId, TaskId, WorkerId, heartbeat};
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use super::life::{Action, Fate, Grip, Life, Moment};
use super::tables::{Entry, Kind, Outcome, Run, State, Tables, Writer};
use crate::harness::tester;

/// Longer than any test: time passes where a walk says so.
const LEASE_SECONDS: f64 = 3600.0;

/// A statement of the program, or the passing of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement {
    Start {
        hand: Option<u8>,
    },
    Claim {
        hand: u8,
    },
    Write(Entry),
    /// The same with a value that the tables do not take.
    Unstorable(Entry),
    Look(Entry),
    Keep {
        run: u8,
        lease: u8,
    },
    AskToStop {
        run: u8,
    },
    EndCancelled(Entry),
    Pass {
        run: u8,
    },
}

impl Life {
    /// The statement that reaches the database when this happens.
    pub(super) fn statement(&self, moment: &Moment, action: Action) -> Option<Statement> {
        let grip = |hand: u8| moment.hands[hand as usize];
        let executed = |entry: Entry, fate: Fate| match fate {
            Fate::Answered | Fate::AnswerLost => Some(Statement::Write(entry)),
            Fate::Refused => Some(Statement::Unstorable(entry)),
            Fate::Late => None,
        };
        match action {
            Action::Start { hand, .. } => Some(Statement::Start { hand }),
            Action::Claim { hand, .. } => Some(Statement::Claim { hand }),
            Action::Write { hand, kind, size, fate } => {
                executed(grip(hand)?.entry(Writer::Hand(hand), kind, size), fate)
            }
            Action::Retry { hand, fate } => executed(*grip(hand)?.entry_mut()?, fate),
            Action::Look { hand, .. } => Some(Statement::Look(*grip(hand)?.entry_mut()?)),
            Action::Beat { hand, .. } => grip(hand).map(|Grip { run, lease, .. }| Statement::Keep { run, lease }),
            Action::Pass { run } => Some(Statement::Pass { run }),
            Action::Arrive { late } => Some(match moment.late[late] {
                entry if entry.writer == Writer::Client => Statement::EndCancelled(entry),
                entry => Statement::Write(entry),
            }),
            Action::Cancel => moment.tables.active().map(|run| Statement::AskToStop { run }),
            Action::Insert { .. } | Action::Forget { .. } => None,
        }
    }
}

/// A task in a database, and the workers that work its runs.
pub(super) struct Real {
    connection: PoolConnection<Postgres>,
    task: TaskId,
    workers: Vec<WorkerId>,
    /// The runs as the model numbers them.
    runs: Vec<RunId>,
    /// Whether steps are written by the program's own statement, or by one whose fence does not ask for the lease.
    pub(super) asks_for_the_lease: bool,
}

/// A run as it stands in the tables: what the model and Postgres have to agree on.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Row {
    state: String,
    lease: i64,
    attempt: i32,
    due: bool,
    last_seq: i64,
    cancel_requested: bool,
    last_exchange: i64,
    /// Each with its seq, and the lease and the number that its writer gave it.
    events: Vec<String>,
    /// Each with its seq and the lease of its writer.
    exchanges: Vec<String>,
}

impl Real {
    pub(super) async fn new(pool: &PgPool, task: &str, workers: u8) -> Self {
        let mut connection = pool.acquire().await.unwrap();
        let task = TaskId::parse(task).unwrap();
        tasks::create(&mut *connection, &task, TaskKind::Profile, "anna").await.unwrap();
        let workers = (0..workers).map(|_| WorkerId::generate()).collect();
        Self { connection, task, workers, runs: Vec::new(), asks_for_the_lease: true }
    }

    /// Executes a statement and says what came of it in the model's words.
    pub(super) async fn execute(&mut self, statement: Statement) -> Outcome {
        match statement {
            Statement::Start { hand } => self.start(hand).await,
            Statement::Claim { hand } => self.claim(hand).await,
            Statement::Write(entry) if !self.asks_for_the_lease && entry.kind == Kind::Step => {
                self.write_whatever_the_lease(entry).await
            }
            Statement::Write(entry) => {
                let entry = self.entry(entry);
                let written = journal::write(&mut *self.connection, &[entry]).await.unwrap();
                match written.as_slice() {
                    [] => Outcome::PassedOver,
                    [written] => Outcome::Written { cancel_requested: written.cancel_requested },
                    more => panic!("{more:?}"),
                }
            }
            Statement::Unstorable(entry) => {
                let mut entry = self.entry(entry);
                entry.exchanges.push(NewExchange { source: "nowhere", ..exchange() });
                // One that the fence does not let through is not looked at any further.
                if let Ok(written) = journal::write(&mut *self.connection, &[entry]).await {
                    assert!(written.is_empty(), "{written:?}");
                }
                Outcome::Nothing
            }
            Statement::Look(entry) => {
                let entry = self.entry(entry);
                let standing = journal::standing(&mut *self.connection, entry.run_id).await.unwrap().unwrap();
                Outcome::Stands(standing.holds(&entry))
            }
            Statement::Keep { run, lease } => {
                let held = (self.run_id(run), Lease(lease.into()));
                match heartbeat::keep(&mut *self.connection, &[held], LEASE_SECONDS).await.unwrap().as_slice() {
                    [] => Outcome::NotKept,
                    [ours] if ours.kept => Outcome::Kept { cancel_requested: ours.cancel_requested },
                    other => panic!("{other:?}"),
                }
            }
            Statement::AskToStop { run } => {
                // As by the deletion of the task, which is made anew for the next start; one by itself would do.
                tasks::delete(&mut *self.connection, &self.task, &tester()).await.unwrap().unwrap();
                tasks::create(&mut *self.connection, &self.task, TaskKind::Profile, "anna").await.unwrap();
                let run_id = self.run_id(run);
                let asked = cancel::ask(&mut *self.connection, run_id).await.unwrap().unwrap();
                Outcome::Asked { in_hand: asked.in_hand }
            }
            Statement::EndCancelled(entry) => {
                let asked = Asked {
                    run_id: self.run_id(entry.run),
                    username: "anna".to_owned(),
                    lease: Lease(entry.lease.into()),
                    last_seq: entry.after_seq.into(),
                    checkpoint: None,
                    in_hand: false,
                };
                // The last word stands under the lease that it has raised.
                let word = event_of(entry.kind, entry.lease + 1, entry.last_seq());
                match cancel::end(&mut *self.connection, &asked, &[word]).await.unwrap() {
                    Some(_) => Outcome::Written { cancel_requested: true },
                    None => Outcome::PassedOver,
                }
            }
            Statement::Pass { run } => {
                sqlx::query("update runs set claimable_at = now() where run_id = $1 and claimable_at is not null")
                    .bind(self.run_id(run).0)
                    .execute(&mut *self.connection)
                    .await
                    .unwrap();
                Outcome::Nothing
            }
        }
    }

    async fn start(&mut self, hand: Option<u8>) -> Outcome {
        let terms = Terms {
            worker: self.workers[usize::from(hand.unwrap_or_default())],
            lease_seconds: LEASE_SECONDS,
            deadline_seconds: LEASE_SECONDS,
            event_type: word_of(Kind::Started),
        };
        let wanted = Start {
            task_id: &self.task,
            kind: TaskKind::Profile,
            trigger: Trigger::Api,
            claimed: hand.is_some(),
            message: "Started scraping @%",
            fields: json!({"lease": u8::from(hand.is_some()), "numbered": 1}),
        };
        let run_id = match start(&mut *self.connection, terms, &[wanted]).await.unwrap().remove(0) {
            Started::Claimed(run) if hand.is_some() => run.run_id,
            Started::Queued(run_id) if hand.is_none() => run_id,
            Started::Busy => return Outcome::Busy,
            other => panic!("{other:?}"),
        };
        self.runs.push(run_id);
        Outcome::Started(self.runs.len() as u8 - 1)
    }

    async fn claim(&mut self, hand: u8) -> Outcome {
        let claimed = runs::claim(&mut *self.connection, self.workers[usize::from(hand)], LEASE_SECONDS, 1)
            .await
            .unwrap()
            .into_iter()
            .next();
        let Some(claimed) = claimed else { return Outcome::NothingDue };
        Outcome::Claimed {
            run: self.runs.iter().position(|run_id| *run_id == claimed.run_id).unwrap() as u8,
            lease: claimed.lease.0 as u8,
            last_seq: claimed.last_seq as u8,
            last_exchange: claimed.last_exchange as u8,
            from: match claimed.previous {
                RunState::Queued => State::Queued,
                RunState::Running => State::Running,
                RunState::Waiting => State::Waiting,
                other => panic!("{other:?} was claimed"),
            },
            cancel_requested: claimed.cancel_requested,
        }
    }

    /// A copy of the write of a step with a mistake in it: it does not ask for the lease.
    async fn write_whatever_the_lease(&mut self, entry: Entry) -> Outcome {
        let written: Option<bool> = sqlx::query_scalar(
            "with fenced as (
                 update runs set last_seq = $2 + $3, last_exchange = $6 + $7, updated_at = now()
                 where run_id = $1 and last_seq = $2 and last_exchange = $6 and state = 'running'
                 returning run_id, cancel_requested_at is not null as cancel_requested
             ), logged as (
                 insert into events (run_id, seq, at, level, event_type, message, fields)
                 select run_id, seq, now(), 'info', $4, '', jsonb_build_object('lease', $5, 'numbered', seq)
                 from fenced, generate_series($2 + 1, $2 + $3) as seq
             ), asked as (
                 insert into run_exchanges (run_id, seq, at, attempt, source, endpoint, method, url, duration_ms, bytes)
                 select run_id, seq, now(), $5, 'web', 'feed', 'GET', '', 1, 1
                 from fenced, generate_series($6 + 1, $6 + $7) as seq
             )
             select cancel_requested from fenced",
        )
        .bind(self.run_id(entry.run).0)
        .bind(i64::from(entry.after_seq))
        .bind(i64::from(entry.size.events))
        .bind(word_of(entry.kind))
        .bind(i64::from(entry.lease))
        .bind(i64::from(entry.after_exchange))
        .bind(i64::from(entry.size.exchanges))
        .fetch_optional(&mut *self.connection)
        .await
        .unwrap();
        written.map_or(Outcome::PassedOver, |cancel_requested| Outcome::Written { cancel_requested })
    }

    /// All runs of the task, oldest first.
    pub(super) async fn rows(&mut self) -> Vec<Row> {
        sqlx::query_as(
            "select case when state in ('succeeded', 'partial', 'failed') then 'ended' else state end as state,
                    lease, attempt, coalesce(claimable_at <= now(), false) as due, last_seq,
                    cancel_requested_at is not null as cancel_requested,
                    array(select format('%s %s of %s as %s', seq, event_type, fields->>'lease', fields->>'numbered')
                          from events e where e.run_id = r.run_id order by seq) as events,
                    last_exchange,
                    array(select format('%s of %s', seq, attempt)
                          from run_exchanges x where x.run_id = r.run_id order by seq) as exchanges
             from runs r where task_id = $1 order by run_id",
        )
        .bind(self.task.as_str())
        .fetch_all(&mut *self.connection)
        .await
        .unwrap()
    }

    fn run_id(&self, run: u8) -> RunId {
        self.runs[usize::from(run)]
    }

    fn entry(&self, entry: Entry) -> journal::Entry {
        let numbers = entry.after_seq + 1..=entry.last_seq();
        let kind_of = |number| if number == entry.last_seq() { entry.kind } else { Kind::Step };
        journal::Entry {
            run_id: self.run_id(entry.run),
            lease: Lease(entry.lease.into()),
            // Where the exchanges say which lease wrote them.
            attempt: entry.lease.into(),
            after_seq: entry.after_seq.into(),
            after_exchange: entry.after_exchange.into(),
            age_seconds: 0.0,
            events: numbers.map(|number| event_of(kind_of(number), entry.lease, number)).collect(),
            exchanges: (0..entry.size.exchanges).map(|_| exchange()).collect(),
            checkpoint: None,
            transition: match entry.kind {
                Kind::Started | Kind::Step => Transition::Stay,
                Kind::BackedOff => Transition::Wait(LEASE_SECONDS, Reason::RateLimited),
                Kind::HandedOver => Transition::HandOver,
                // Each of the ways to end in turn.
                Kind::Ended => match entry.after_seq % 3 {
                    0 => Transition::Finish(RunState::Succeeded, None),
                    1 => Transition::Finish(RunState::Partial, Some(Reason::RateLimited)),
                    _ => Transition::Finish(RunState::Failed, Some(Reason::DeadlineExceeded)),
                },
                Kind::Cancelled => Transition::Finish(RunState::Cancelled, Some(Reason::CancelledByClient)),
            },
        }
    }
}

/// The rows that the model says are there.
pub(super) fn rows_of(tables: &Tables) -> Vec<Row> {
    let row = |run: &Run| Row {
        state: match run.state {
            State::Queued => "queued",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Ended => "ended",
            State::Cancelled => "cancelled",
        }
        .to_owned(),
        lease: run.lease.into(),
        attempt: run.attempt.into(),
        due: run.due,
        last_seq: run.last_seq.into(),
        cancel_requested: run.cancel_requested,
        events: run
            .events
            .iter()
            .map(|event| format!("{} {} of {} as {}", event.seq, word_of(event.kind), event.lease, event.numbered))
            .collect(),
        last_exchange: run.last_exchange.into(),
        exchanges: run.exchanges.iter().map(|(seq, lease)| format!("{seq} of {lease}")).collect(),
    };
    tables.runs.iter().map(row).collect()
}

fn event_of(kind: Kind, lease: u8, numbered: u8) -> NewEvent {
    NewEvent {
        level: Level::Info,
        event_type: word_of(kind),
        message: format!("{kind:?}"),
        fields: json!({"lease": lease, "numbered": numbered, "page": numbered}),
    }
}

fn exchange() -> NewExchange {
    NewExchange {
        source: "web",
        credential: None,
        endpoint: "feed",
        method: "GET",
        url: "http://a.test/".to_owned(),
        status: Some(200),
        duration_ms: 1.0,
        bytes: 1,
        failure: None,
        headers: None,
        body: None,
    }
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "scrape_started",
        Kind::Step => "posts_fetched",
        Kind::BackedOff => "rate_limited",
        Kind::HandedOver => "run_handed_over",
        Kind::Ended => "scrape_completed",
        Kind::Cancelled => "scrape_cancelled",
    }
}
