//! The one statement by which a worker writes for its runs, and the fence in it.
//!
//! For each run of a batch it moves `runs` on (last seq, checkpoint, state) and inserts its events and exchanges; a
//! run whose lease is no longer the writer's, or whose two seqs are not where the writer left them, is passed over
//! whole. The UPDATE is the fence: it takes the run's row lock, so no claim can slip between the check and the rows.

use std::borrow::Borrow;
use std::sync::Arc;

use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::{Reason, RunState};
use super::text::{ADDRESS, Fields, MESSAGE, clean_json, fit, fit_fields};
use super::{Lease, RunId};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The ordinary course.
    Info,
    /// Something to know of; the run goes on.
    Warning,
    /// The run did not obtain what was asked for.
    Error,
}

impl Level {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The number in packed logs.
    pub fn number(self) -> u8 {
        match self {
            Self::Debug => 0,
            Self::Info => 1,
            Self::Warning => 2,
            Self::Error => 3,
        }
    }

    /// The one of this number.
    pub(super) fn of_number(number: u8) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warning, Self::Error].get(usize::from(number)).copied()
    }
}

/// An event to be written.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// How much it matters.
    pub level: Level,
    /// A word of the vocabulary.
    pub event_type: &'static str,
    /// A sentence for a person.
    pub message: String,
    /// Numbers and names for a query; a JSON object.
    pub fields: Value,
}

/// An upstream request to be written.
#[derive(Clone, Debug)]
pub struct NewExchange {
    /// `web` or `graph`.
    pub source: &'static str,
    /// The credential's name.
    pub credential: Option<Arc<str>>,
    /// The endpoint's short name.
    pub endpoint: &'static str,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The address, without any secret.
    pub url: String,
    /// The HTTP status, where an answer came.
    pub status: Option<i16>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// The size of the answer's body in bytes.
    pub bytes: i64,
    /// The failure's name, where it failed.
    pub failure: Option<&'static str>,
    /// The headers of the answer on which its reading depends: pairs of a name and a value.
    pub headers: Option<Value>,
    /// The answer's body, compressed, where it is kept.
    pub body: Option<Vec<u8>>,
}

/// Where a write leaves the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transition {
    /// It goes on.
    Stay,
    /// It ends.
    Finish(RunState, Option<Reason>),
    /// It backs off for so many seconds; one that a client has asked to cancel is due at once.
    Wait(f64, Reason),
    /// It goes back to the queue, its attempt not spent.
    HandOver,
}

/// One run's share of a batch.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The run.
    pub run_id: RunId,
    /// The writer's right to write.
    pub lease: Lease,
    /// The attempt that writes.
    pub attempt: i32,
    /// The seq of the latest event that the writer knows of.
    pub after_seq: i64,
    /// The seq of the latest exchange that the writer knows of.
    pub after_exchange: i64,
    /// How many seconds ago all of it happened, at the time of writing.
    pub age_seconds: f64,
    /// What happened. None where all of it is left out because the run's log is full; then the run goes on, and an
    /// entry that changes its state has one.
    pub events: Vec<NewEvent>,
    /// What was asked of the upstream on the way.
    pub exchanges: Vec<NewExchange>,
    /// How far the run came; `None` leaves it as it is.
    pub checkpoint: Option<Value>,
    /// Where this leaves the run.
    pub transition: Transition,
}

/// An entry that was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The run.
    pub run_id: RunId,
    /// Whether a client has asked to cancel it.
    pub cancel_requested: bool,
}

/// Writes a batch, at most one entry a run. A run that does not come back was not written: its fence did not hold,
/// or this very entry stands there already (see [`standing`]).
///
/// The state is asked for in a way that the planner does not see through: it would take the partial index over all
/// active runs for a short way, where the statistics are of an idle hour.
pub async fn write(db: impl PgExecutor<'_>, entries: &[impl Borrow<Entry>]) -> sqlx::Result<Vec<Written>> {
    let columns = Columns::of(entries);
    sqlx::query_as!(
        Written,
        r#"
        with entry as (
            -- Arrays side by side, here as below: in FROM each would be made a table of its own first.
            select unnest($1::uuid[]) as run_id, unnest($2::bigint[]) as lease, unnest($3::bigint[]) as after_seq,
                   unnest($4::bigint[]) as events, unnest($5::bigint[]) as after_exchange,
                   unnest($6::bigint[]) as exchanges, unnest($7::jsonb[]) as checkpoint, unnest($8::text[]) as state,
                   unnest($9::text[]) as reason, unnest($10::float8[]) as claimable_in
        ), fenced as (
            update runs r
            set last_seq = entry.after_seq + entry.events,
                last_exchange = entry.after_exchange + entry.exchanges,
                updated_at = now(),
                -- Nobody goes on from where a run has succeeded, and it is longer than all that the run has said.
                checkpoint = case when entry.state = 'succeeded' then null else coalesce(entry.checkpoint, r.checkpoint) end,
                state = coalesce(entry.state, r.state),
                state_xid = case when entry.state is null then r.state_xid else pg_current_xact_id() end,
                reason = case when entry.state is null then r.reason else entry.reason end,
                attempt = case when entry.state = 'queued' then r.attempt - 1 else r.attempt end,
                claimable_at = case
                    when entry.state is null then r.claimable_at
                    when entry.state = 'waiting' and r.cancel_requested_at is not null then now()
                    else now() + make_interval(secs => entry.claimable_in)
                end,
                finished_at = case
                    when entry.state in ('succeeded', 'partial', 'failed', 'cancelled') then now()
                    else r.finished_at
                end
            from entry
            where r.run_id = entry.run_id
                and r.lease = entry.lease
                and r.last_seq = entry.after_seq
                and r.last_exchange = entry.after_exchange
                and r.state = case when entry.run_id is not null then 'running' end
            returning r.run_id, r.cancel_requested_at is not null as cancel_requested
        ), logged as (
            insert into events (run_id, seq, at, level, event_type, message, fields)
            select e.run_id, e.seq, now() - make_interval(secs => e.age), e.level, e.event_type, e.message, e.fields
            from (
                select unnest($11::uuid[]) as run_id, unnest($12::bigint[]) as seq, unnest($13::float8[]) as age,
                       unnest($14::text[]) as level, unnest($15::text[]) as event_type, unnest($16::text[]) as message,
                       unnest($17::jsonb[]) as fields
            ) as e
            where e.run_id in (select run_id from fenced)
        ), asked as (
            insert into run_exchanges (run_id, seq, at, attempt, source, endpoint, method, url, status, duration_ms,
                                       bytes, failure, body, credential, headers)
            select x.run_id, x.seq, now() - make_interval(secs => x.age), x.attempt, x.source, x.endpoint, x.method, x.url, x.status, x.duration_ms,
                   x.bytes, x.failure, x.body, x.credential, x.headers
            from (
                select unnest($18::uuid[]) as run_id, unnest($19::bigint[]) as seq, unnest($20::int[]) as attempt,
                       unnest($21::text[]) as source, unnest($22::text[]) as endpoint, unnest($23::text[]) as method,
                       unnest($24::text[]) as url, unnest($25::smallint[]) as status, unnest($26::float8[]) as duration_ms,
                       unnest($27::bigint[]) as bytes, unnest($28::text[]) as failure, unnest($29::bytea[]) as body,
                       unnest($30::float8[]) as age, unnest($31::text[]) as credential, unnest($32::jsonb[]) as headers
            ) as x
            where x.run_id in (select run_id from fenced)
        )
        select run_id as "run_id!: RunId", cancel_requested as "cancel_requested!" from fenced
        "#,
        &columns.run_id,
        &columns.lease,
        &columns.after_seq,
        &columns.events,
        &columns.after_exchange,
        &columns.exchanges,
        &columns.checkpoint as &[Option<Value>],
        &columns.state as &[Option<&str>],
        &columns.reason as &[Option<&str>],
        &columns.claimable_in as &[Option<f64>],
        &columns.event.run_id,
        &columns.event.seq,
        &columns.event.age_seconds,
        &columns.event.level as &[&str],
        &columns.event.event_type as &[&str],
        &columns.event.message,
        &columns.event.fields as _,
        &columns.exchange.run_id,
        &columns.exchange.seq,
        &columns.exchange.attempt,
        &columns.exchange.source as &[&str],
        &columns.exchange.endpoint as &[&str],
        &columns.exchange.method as &[&str],
        &columns.exchange.url,
        &columns.exchange.status as &[Option<i16>],
        &columns.exchange.duration_ms,
        &columns.exchange.bytes,
        &columns.exchange.failure as &[Option<&str>],
        &columns.exchange.body as &[Option<&[u8]>],
        &columns.exchange.age_seconds,
        &columns.exchange.credential as &[Option<&str>],
        &columns.exchange.headers as &[Option<Value>],
    )
    .fetch_all(db)
    .await
}

/// Where a run stands now, for a writer whose entry did not come back as written.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The lease that holds now.
    pub lease: Lease,
    /// The seq of its latest event.
    pub last_seq: i64,
    /// The seq of its latest exchange.
    pub last_exchange: i64,
    /// The account, once found.
    pub profile_id: Option<i64>,
    /// Whether a client has asked to cancel it.
    pub cancel_requested: bool,
}

impl Standing {
    /// Whether the entry stands there already: the lease is the writer's and both seqs are where this entry would have
    /// left them. Only its own writer moves a run's seqs under a lease, one entry at a time, so nothing else can have.
    ///
    /// An entry with neither events nor exchanges moves neither seq, so the fence lets it through a second time, and
    /// that does no harm: it says how far the run is, not how much further (a checkpoint, the account, posts and their
    /// numbers as they are), so twice is once. Nor can it come late and undo a later one: that would take a later one
    /// which moves no seq either, and then what it puts back is a step that asked and told nothing, and that the next
    /// hand takes anew.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.lease == entry.lease
            && self.last_seq == entry.after_seq + entry.events.len() as i64
            && self.last_exchange == entry.after_exchange + entry.exchanges.len() as i64
    }
}

/// Looks where a run stands: how a commit whose answer was lost on the way is recognised.
pub async fn standing(db: impl PgExecutor<'_>, run_id: RunId) -> sqlx::Result<Option<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"
        select lease as "lease: Lease", last_seq, last_exchange, profile_id,
               cancel_requested_at is not null as "cancel_requested!"
        from runs
        where run_id = $1
        "#,
        run_id.0,
    )
    .fetch_optional(db)
    .await
}

/// A batch turned into the arrays that the statement takes.
#[derive(Default)]
struct Columns<'a> {
    run_id: Vec<Uuid>,
    lease: Vec<i64>,
    after_seq: Vec<i64>,
    events: Vec<i64>,
    after_exchange: Vec<i64>,
    exchanges: Vec<i64>,
    checkpoint: Vec<Option<Value>>,
    state: Vec<Option<&'static str>>,
    reason: Vec<Option<&'static str>>,
    claimable_in: Vec<Option<f64>>,
    event: EventColumns,
    exchange: ExchangeColumns<'a>,
}

#[derive(Default)]
struct EventColumns {
    run_id: Vec<Uuid>,
    seq: Vec<i64>,
    age_seconds: Vec<f64>,
    level: Vec<&'static str>,
    event_type: Vec<&'static str>,
    message: Vec<String>,
    fields: Vec<Fields>,
}

#[derive(Default)]
struct ExchangeColumns<'a> {
    run_id: Vec<Uuid>,
    seq: Vec<i64>,
    attempt: Vec<i32>,
    source: Vec<&'static str>,
    endpoint: Vec<&'static str>,
    method: Vec<&'static str>,
    url: Vec<String>,
    status: Vec<Option<i16>>,
    duration_ms: Vec<f64>,
    bytes: Vec<i64>,
    failure: Vec<Option<&'static str>>,
    body: Vec<Option<&'a [u8]>>,
    age_seconds: Vec<f64>,
    credential: Vec<Option<&'a str>>,
    headers: Vec<Option<Value>>,
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [impl Borrow<Entry>]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.push(entry.borrow());
        }
        columns
    }

    fn push(&mut self, entry: &'a Entry) {
        let (state, reason, claimable_in) = match entry.transition {
            Transition::Stay => (None, None, None),
            Transition::Finish(state, reason) => (Some(state), reason, None),
            Transition::Wait(seconds, reason) => (Some(RunState::Waiting), Some(reason), Some(seconds)),
            Transition::HandOver => (Some(RunState::Queued), None, Some(0.0)),
        };
        self.run_id.push(entry.run_id.0);
        self.lease.push(entry.lease.0);
        self.after_seq.push(entry.after_seq);
        self.events.push(entry.events.len() as i64);
        self.after_exchange.push(entry.after_exchange);
        self.exchanges.push(entry.exchanges.len() as i64);
        self.checkpoint.push(entry.checkpoint.clone().map(|mut checkpoint| {
            // It is our own, and cut it could not be read again.
            clean_json(&mut checkpoint, usize::MAX);
            checkpoint
        }));
        self.state.push(state.map(RunState::as_str));
        self.reason.push(reason.map(Reason::as_str));
        self.claimable_in.push(claimable_in);
        for (seq, event) in (entry.after_seq + 1..).zip(&entry.events) {
            self.event.push(entry, seq, event);
        }
        for (seq, exchange) in (entry.after_exchange + 1..).zip(&entry.exchanges) {
            self.exchange.push(entry, seq, exchange);
        }
    }
}

impl EventColumns {
    fn push(&mut self, entry: &Entry, seq: i64, event: &NewEvent) {
        self.run_id.push(entry.run_id.0);
        self.seq.push(seq);
        self.age_seconds.push(entry.age_seconds);
        self.level.push(event.level.as_str());
        self.event_type.push(event.event_type);
        self.message.push(fit(&event.message, MESSAGE).into_owned());
        self.fields.push(fit_fields(&event.fields));
    }
}

impl<'a> ExchangeColumns<'a> {
    fn push(&mut self, entry: &Entry, seq: i64, exchange: &'a NewExchange) {
        self.run_id.push(entry.run_id.0);
        self.seq.push(seq);
        self.attempt.push(entry.attempt);
        self.source.push(exchange.source);
        self.endpoint.push(exchange.endpoint);
        self.method.push(exchange.method);
        self.url.push(fit(&exchange.url, ADDRESS).into_owned());
        self.status.push(exchange.status);
        self.duration_ms.push(exchange.duration_ms);
        self.bytes.push(exchange.bytes);
        self.failure.push(exchange.failure);
        self.body.push(exchange.body.as_deref());
        self.age_seconds.push(entry.age_seconds);
        self.credential.push(exchange.credential.as_deref());
        self.headers.push(exchange.headers.clone().map(|mut headers| {
            clean_json(&mut headers, MESSAGE);
            headers
        }));
    }
}
