//! The start of runs: one statement for all that are asked for, whatever happens to the clients that asked.

use serde_json::Value;
use sqlx::PgExecutor;

use super::runs::{Claimed, RunState, Trigger};
use super::tasks::{Source, TaskKind};
use super::text::{Fields, fit_fields};
use super::{Lease, RunId, TaskId, WorkerId, index};

/// One start that is asked for.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The task.
    pub task_id: &'a TaskId,
    /// The kind that the task must be of.
    pub kind: TaskKind,
    /// What asks for it.
    pub trigger: Trigger,
    /// Whether a hand takes it up in the same statement; else it is left to the queue.
    pub claimed: bool,
    /// The first event's message; `%` stands for the username.
    pub message: &'static str,
    /// The first event's fields, to which the database adds the username.
    pub fields: Value,
}

/// What all starts of a statement have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Who takes up what is taken up at once.
    pub worker: WorkerId,
    /// For how many seconds.
    pub lease_seconds: f64,
    /// Seconds after which the runs are ended, come what may.
    pub deadline_seconds: f64,
    /// The first event's type.
    pub event_type: &'static str,
}

/// What came of it.
#[derive(Debug)]
pub enum Started {
    /// A run was inserted and is the hand's already.
    Claimed(Box<Claimed>),
    /// A run was inserted and waits for a hand.
    Queued(RunId),
    /// The task has an active run; nothing was written.
    Busy,
    /// The task is of another kind; nothing was written.
    OtherKind,
    /// There is no such task; nothing was written.
    NoSuchTask,
}

/// Inserts runs with their first events, already claimed where a free hand waits for one; says what came of each, in
/// the order in which they were asked for. No two may be of the same task and kind.
///
/// That a task has one active run at most is the unique index's doing: where it refuses, no row comes back and that is
/// the answer. Rows go in by the order of their tasks, so that two statements that want the same tasks wait one for the
/// other and not each for the other.
pub async fn start(db: impl PgExecutor<'_>, terms: Terms, starts: &[Start<'_>]) -> sqlx::Result<Vec<Started>> {
    let columns = Columns::of(starts);
    let rows = sqlx::query!(
        r#"
        with wanted as (
            select w.*, t.kind as task_kind, t.username, t.source
            from (
                -- Not in FROM, where each array would be made a table of its own first.
                select unnest($1::text[]) as task_id, unnest($2::text[]) as kind, unnest($3::text[]) as trigger,
                       unnest($4::boolean[]) as claimed, unnest($5::text[]) as message, unnest($6::jsonb[]) as fields,
                       unnest($7::bigint[]) as n
            ) as w
            join tasks t on t.task_id = w.task_id and t.state = 'active'
        ), run as (
            insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, worker_id, claimable_at,
                              last_seq, started_at, deadline_at)
            select task_id, kind, username, source, trigger,
                   case when claimed then 'running' else 'queued' end,
                   claimed::int,
                   claimed::int,
                   case when claimed then $8::uuid end,
                   now() + make_interval(secs => case when claimed then $9::float8 else 0 end),
                   1,
                   case when claimed then now() end,
                   now() + make_interval(secs => $10)
            from wanted
            where kind = task_kind
            order by task_id
            on conflict do nothing
            returning run_id, task_id, deadline_at
        ), first_event as (
            insert into events (run_id, seq, at, level, event_type, message, fields)
            select run.run_id, 1, now(), 'info', $11, replace(wanted.message, '%', wanted.username),
                   jsonb_build_object('username', wanted.username) || wanted.fields
            from run join wanted using (task_id)
            where wanted.kind = wanted.task_kind
        )
        select wanted.n as "n!", wanted.task_kind as "task_kind!: TaskKind", wanted.username as "username!",
               wanted.source as "source!: Source", run.run_id as "run_id?: RunId", now() as "now!",
               run.deadline_at as "deadline_at?"
        from wanted left join run on run.task_id = wanted.task_id and wanted.kind = wanted.task_kind
        "#,
        &columns.task_id as &[&str],
        &columns.kind as &[&str],
        &columns.trigger as &[&str],
        &columns.claimed,
        &columns.message as &[&str],
        &columns.fields as _,
        &columns.place,
        terms.worker.0,
        terms.lease_seconds,
        terms.deadline_seconds,
        terms.event_type,
    )
    .fetch_all(db)
    .await?;

    let mut outcomes: Vec<_> = starts.iter().map(|_| Started::NoSuchTask).collect();
    for row in rows {
        let place = index(row.n);
        let start = &starts[place];
        outcomes[place] = match (row.run_id, row.deadline_at) {
            _ if row.task_kind != start.kind => Started::OtherKind,
            (Some(run_id), _) if !start.claimed => Started::Queued(run_id),
            (Some(run_id), Some(deadline_at)) => Started::Claimed(Box::new(Claimed {
                run_id,
                task_id: start.task_id.clone(),
                kind: start.kind,
                username: row.username,
                source: row.source,
                lease: Lease(1),
                attempt: 1,
                last_seq: 1,
                last_exchange: 0,
                profile_id: None,
                checkpoint: None,
                previous: RunState::Queued,
                cancel_requested: false,
                claimed_at: row.now,
                started_at: row.now,
                deadline_at,
            })),
            _ => Started::Busy,
        };
    }
    Ok(outcomes)
}

/// Starts turned into the arrays that the statement takes.
#[derive(Default)]
struct Columns<'a> {
    task_id: Vec<&'a str>,
    kind: Vec<&'static str>,
    trigger: Vec<&'static str>,
    claimed: Vec<bool>,
    message: Vec<&'static str>,
    fields: Vec<Fields>,
    /// Where it stands among all of them, from 1.
    place: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(starts: &[Start<'a>]) -> Self {
        let mut columns = Self::default();
        for (place, start) in (1..).zip(starts) {
            columns.place.push(place);
            columns.task_id.push(start.task_id.as_str());
            columns.kind.push(start.kind.as_str());
            columns.trigger.push(start.trigger.as_str());
            columns.claimed.push(start.claimed);
            columns.message.push(start.message);
            columns.fields.push(fit_fields(&start.fields));
        }
        columns
    }
}
