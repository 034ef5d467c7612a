//! What a run says of itself: two look-ups by key, `runs` for where the task stands, `events` for the words.
//!
//! Both are for many askers at once: their statements take arrays, and give the events of a log as arrays in one row, which
//! costs half of what a row each does. A log that is packed (see [`archives`]) is told as if it were rows.
//!
//! Where nothing at all was committed since something was last read, it need not be read again: see [`Snapshot`].

use std::borrow::Borrow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::journal::Level;
use super::runs::{Reason, RunState};
use super::statements::Statements;
use super::{RunId, TaskId, archives, index};

/// The events of a row that has a part of a log, a column an array; none where there is no event.
macro_rules! events_of {
    ($row:ident) => {
        Columns {
            seq: $row.seq.unwrap_or_default(),
            at: $row.at.unwrap_or_default(),
            level: $row.level.unwrap_or_default(),
            event_type: $row.event_type.unwrap_or_default(),
            message: $row.message.unwrap_or_default(),
            fields: $row.fields.unwrap_or_default(),
        }
        .into_events()
    };
}

/// Where a task's latest run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// How many events it has.
    pub last_seq: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether the person was erased whose account it scraped: what it said before is not to be told any more.
    pub is_erased: bool,
}

/// What a statement could see of the database: which transactions had ended when it began, and of which life of the server.
///
/// Two statements whose snapshots are equal read the same from any row, so what the one has told the other need not look up.
/// The life of the server is in it because transactions are counted anew by one that takes over from another or is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Arc<str>);

impl Snapshot {
    /// What can be seen now; `None` from a server that follows another one, which does not say what it sees as under way.
    pub async fn now(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Self>> {
        let id = sqlx::query_scalar!(
            r#"
            select case when not pg_is_in_recovery() then pg_postmaster_start_time() || ' ' || pg_current_snapshot() end as id
            "#
        )
        .fetch_one(db)
        .await?;
        Ok(id.map(|id| Self(id.into())))
    }
}

/// A task whose status is asked for, and what the asker knows of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The task.
    pub task_id: TaskId,
    /// Where its latest run stood when last read.
    pub known: Option<Status>,
    /// How many of its last events are to come along, where they are rows and happened after what is known.
    pub lines: i64,
}

/// What is told of a task.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where its latest run stands.
    pub status: Status,
    /// Those of its events that were to come along.
    pub events: Vec<Event>,
}

impl Told {
    /// Of one that stands where it was known to stand.
    pub fn as_known(status: Status) -> Self {
        Self { status, events: Vec::new() }
    }
}

/// What a statement told of many tasks.
#[derive(Clone, Debug)]
pub struct Look {
    /// Of each, in their order; `None` where one never ran, or was never heard of.
    pub told: Vec<Option<Told>>,
    /// What could be seen.
    pub snapshot: Option<Snapshot>,
}

/// The status of each task's latest run.
///
/// A row comes back only where something is not as it was known: whatever moves a run, moves its `last_seq` or its
/// `updated_at`, and a claim's heartbeat, which moves neither, is no news.
pub async fn of_tasks(db: impl PgExecutor<'_>, asked: &[impl Borrow<Asked>]) -> sqlx::Result<Look> {
    let asked: Vec<&Asked> = asked.iter().map(Borrow::borrow).collect();
    let task_ids: Vec<_> = asked.iter().map(|asked| asked.task_id.as_str()).collect();
    let run_ids: Vec<_> = asked.iter().map(|asked| asked.known.map(|known| known.run_id.0)).collect();
    let last_seqs: Vec<_> = asked.iter().map(|asked| asked.known.map(|known| known.last_seq)).collect();
    let updated_at: Vec<_> = asked.iter().map(|asked| asked.known.map(|known| known.updated_at)).collect();
    let lines: Vec<_> = asked.iter().map(|asked| asked.lines).collect();
    let rows = sqlx::query!(
        r#"
        with snapshot as materialized (
            select case when not pg_is_in_recovery() then pg_postmaster_start_time() || ' ' || pg_current_snapshot() end as id
        )
        select snapshot.id as snapshot, moved.n, moved.run_id as "run_id?: RunId", moved.state as "state?: RunState",
               moved.reason as "reason: Reason", moved.last_seq as "last_seq?", moved.requested_at as "requested_at?",
               moved.started_at, moved.updated_at as "updated_at?", moved.finished_at,
               moved.erased_at is not null as "is_erased!", moved.seq as "seq: Vec<i64>", moved.at as "at: Vec<DateTime<Utc>>",
               moved.level as "level: Vec<Level>", moved.event_type as "event_type: Vec<String>",
               moved.message as "message: Vec<String>", moved.fields as "fields: Vec<String>"
        from snapshot left join (
            select asked.n, latest.run_id, latest.state, latest.reason, latest.last_seq, latest.requested_at, latest.started_at,
                   latest.updated_at, latest.finished_at, latest.erased_at, log.*
            from unnest($1::text[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::bigint[])
                with ordinality as asked (task_id, run_id, last_seq, updated_at, lines, n)
            left join lateral (
                select * from runs r where r.task_id = asked.task_id order by r.run_id desc limit 1
            ) as latest on true
            cross join lateral (
                select array_agg(e.seq) as seq, array_agg(e.at) as at, array_agg(e.level) as level,
                       array_agg(e.event_type) as event_type, array_agg(e.message) as message,
                       array_agg(e.fields::text) as fields
                from events e
                where asked.lines > 0 and e.run_id = latest.run_id and e.seq <= latest.last_seq
                    and e.seq > greatest(latest.last_seq - asked.lines,
                                         case when latest.run_id = asked.run_id then asked.last_seq else 0 end)
            ) as log
            where latest.run_id is distinct from asked.run_id
                or latest.last_seq is distinct from asked.last_seq
                or latest.updated_at is distinct from asked.updated_at
        ) as moved on true
        "#,
        &task_ids as &[&str],
        &run_ids as &[Option<Uuid>],
        &last_seqs as &[Option<i64>],
        &updated_at as &[Option<DateTime<Utc>>],
        &lines,
    )
    .fetch_all(db)
    .await?;
    let snapshot = rows.first().and_then(|row| row.snapshot.as_deref()).map(|id| Snapshot(id.into()));
    let mut told: Vec<_> = asked.iter().map(|asked| asked.known.map(Told::as_known)).collect();
    for row in rows {
        let Some(place) = row.n.map(index) else { break };
        let (Some(run_id), Some(state), Some(last_seq), Some(requested_at), Some(updated_at)) =
            (row.run_id, row.state, row.last_seq, row.requested_at, row.updated_at)
        else {
            // Its runs are there no more.
            told[place] = None;
            continue;
        };
        let (reason, started_at, finished_at, is_erased) = (row.reason, row.started_at, row.finished_at, row.is_erased);
        let status =
            Status { run_id, state, reason, last_seq, requested_at, started_at, updated_at, finished_at, is_erased };
        told[place] = Some(Told { status, events: events_of!(row) });
    }
    Ok(Look { told, snapshot })
}

/// The statuses of runs, in their order; `None` where there is no such run.
pub async fn of_runs(db: impl PgExecutor<'_>, run_ids: &[RunId]) -> sqlx::Result<Vec<Option<Status>>> {
    let ids: Vec<Uuid> = run_ids.iter().map(|run_id| run_id.0).collect();
    let rows = sqlx::query!(
        r#"
        select asked.n as "n!", r.run_id as "run_id: RunId", r.state as "state: RunState", r.reason as "reason: Reason",
               r.last_seq, r.requested_at, r.started_at, r.updated_at, r.finished_at, r.erased_at is not null as "is_erased!"
        from unnest($1::uuid[]) with ordinality as asked (run_id, n) join runs r on r.run_id = asked.run_id
        "#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut statuses = vec![None; run_ids.len()];
    for row in rows {
        statuses[index(row.n)] = Some(Status {
            run_id: row.run_id,
            state: row.state,
            reason: row.reason,
            last_seq: row.last_seq,
            requested_at: row.requested_at,
            started_at: row.started_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
            is_erased: row.is_erased,
        });
    }
    Ok(statuses)
}

/// The status of one task's latest run.
pub async fn of_task(db: impl PgExecutor<'_>, task_id: &TaskId) -> sqlx::Result<Option<Status>> {
    let asked = Asked { task_id: task_id.clone(), known: None, lines: 0 };
    let told = of_tasks(db, &[asked]).await?.told;
    Ok(told.into_iter().next().flatten().map(|told| told.status))
}

/// One event as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the run.
    pub seq: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// A word of the vocabulary.
    pub event_type: String,
    /// A sentence for a person.
    pub message: String,
    /// Numbers and names: a JSON object, in the text in which the database tells it.
    #[serde(serialize_with = "as_json", deserialize_with = "of_json")]
    pub fields: String,
}

/// Events, a column an array.
struct Columns {
    seq: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    level: Vec<Level>,
    event_type: Vec<String>,
    message: Vec<String>,
    fields: Vec<String>,
}

impl Columns {
    fn into_events(self) -> Vec<Event> {
        let texts = self.event_type.into_iter().zip(self.message).zip(self.fields);
        let rows = self.seq.into_iter().zip(self.at).zip(self.level).zip(texts);
        let event = |(((seq, at), level), ((event_type, message), fields))| Event {
            seq,
            at,
            level,
            event_type,
            message,
            fields,
        };
        let mut events: Vec<_> = rows.map(event).collect();
        // They come by the key, so they are in order already; that the database does not promise.
        events.sort_unstable_by_key(|event| event.seq);
        events
    }
}

/// A text that is JSON, as what it says.
fn as_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// The other way round.
fn of_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Box::<RawValue>::deserialize(deserializer)?.get().to_owned())
}

/// A part of a run's log: the events with `after < seq <= until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The run.
    pub run_id: RunId,
    /// The seq before the first.
    pub after: i64,
    /// The seq of the last.
    pub until: i64,
}

impl Part {
    /// Whether these are all of its events. Seqs have no gap.
    pub fn is_whole_in(&self, events: &[Event]) -> bool {
        let within = |event: &Event| event.seq > self.after && event.seq <= self.until;
        events.len() as i64 == self.until - self.after && events.iter().all(within)
    }

    /// Whether no event can be in it.
    fn is_empty(&self) -> bool {
        self.until <= self.after.max(0)
    }
}

/// The events of parts of logs, in the order of the parts, and each in the order of its run.
///
/// Seqs have no gap, so a part without a row is one of a log that is packed, or there no more.
pub async fn parts(db: impl Into<Statements<'_>>, parts: &[Part]) -> sqlx::Result<Vec<Vec<Event>>> {
    let mut db = db.into();
    let mut events = rows(&mut db, parts).await?;
    let is_missing = |(n, part): &(usize, &Part)| events[*n].is_empty() && !part.is_empty();
    let (missing, of): (Vec<_>, Vec<_>) =
        parts.iter().enumerate().filter(is_missing).map(|(n, part)| (n, *part)).unzip();
    if !missing.is_empty() {
        let packed = archives::parts(&mut db, &of).await?;
        missing.into_iter().zip(packed).for_each(|(n, packed)| events[n] = packed);
    }
    Ok(events)
}

/// Those of them that are rows.
pub(super) async fn rows(db: impl PgExecutor<'_>, parts: &[Part]) -> sqlx::Result<Vec<Vec<Event>>> {
    let run_ids: Vec<Uuid> = parts.iter().map(|part| part.run_id.0).collect();
    let after: Vec<i64> = parts.iter().map(|part| part.after).collect();
    let until: Vec<i64> = parts.iter().map(|part| part.until).collect();
    let rows = sqlx::query!(
        r#"
        select part.n as "n!", log.seq as "seq: Vec<i64>", log.at as "at: Vec<DateTime<Utc>>", log.level as "level: Vec<Level>",
               log.event_type as "event_type: Vec<String>", log.message as "message: Vec<String>",
               log.fields as "fields: Vec<String>"
        from unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality as part (run_id, after, until, n)
        cross join lateral (
            select array_agg(e.seq) as seq, array_agg(e.at) as at, array_agg(e.level) as level,
                   array_agg(e.event_type) as event_type, array_agg(e.message) as message, array_agg(e.fields::text) as fields
            from events e
            where e.run_id = part.run_id and e.seq > part.after and e.seq <= part.until
        ) as log
        "#,
        &run_ids,
        &after,
        &until,
    )
    .fetch_all(db)
    .await?;
    let mut events: Vec<Vec<Event>> = parts.iter().map(|_| Vec::new()).collect();
    for row in rows {
        events[index(row.n)] = events_of!(row);
    }
    Ok(events)
}

/// The events of a run with `after < seq <= until`, in order.
pub async fn events(db: impl Into<Statements<'_>>, run_id: RunId, after: i64, until: i64) -> sqlx::Result<Vec<Event>> {
    Ok(parts(db, &[Part { run_id, after, until }]).await?.into_iter().next().unwrap_or_default())
}
