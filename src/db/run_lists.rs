//! Runs as clients are told of them: by their ids, and in lists by what they are.
//!
//! A list is read along the index that fits what is asked for, from where the page begins, and no further than the page
//! goes: by the runs of each task, by state and reason, among those that are active, or along all ids. Statements are
//! planned once and for any arguments, so which of these it is, is decided here.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::{Reason, RunState, Trigger};
use super::statements::Statements;
use super::tasks::{Source, TaskKind};
use super::{RunId, TaskId};

/// A run: all of it that is told.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// What is scraped.
    pub kind: TaskKind,
    /// Whose.
    pub username: String,
    /// From where.
    pub source: Source,
    /// What asked for it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: RunState,
    /// Why it waits or did not succeed.
    pub reason: Option<Reason>,
    /// How many times a worker took it up.
    pub attempt: i32,
    /// How many events it has.
    pub last_seq: i64,
    /// How many upstream requests it made.
    pub last_exchange: i64,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// How long ago that was when the run was read.
    pub age_seconds: f64,
    /// When a worker first took it up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it is ended if it has not ended before.
    pub deadline_at: DateTime<Utc>,
    /// When a client asked to stop it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When it goes on, where it waits.
    pub resumes_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How far it came, while it is active.
    pub checkpoint: Option<Value>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one of these tasks; each once.
    pub tasks: Option<Vec<TaskId>>,
    /// Of this account.
    pub username: Option<String>,
    /// Of this kind.
    pub kind: Option<TaskKind>,
    /// That ask this source.
    pub source: Option<Source>,
    /// Asked for by this.
    pub trigger: Option<Trigger>,
    /// That stand in one of these states; each once.
    pub states: Option<Vec<RunState>>,
    /// For one of these reasons; each once.
    pub reasons: Option<Vec<Reason>>,
    /// Asked for then or later.
    pub since: Option<DateTime<Utc>>,
    /// Asked for earlier.
    pub until: Option<DateTime<Utc>>,
    /// Behind this one, in the order of the list.
    pub after: Option<RunId>,
    /// The newest first.
    pub newest_first: bool,
}

/// A run's id has the time at which its row was made, which is later than the time of its request, though not by as much.
const ROW_MADE_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// What of a filter is asked along every index.
struct Terms {
    first: RunId,
    last: RunId,
    tasks: Option<Vec<String>>,
    states: Option<Vec<&'static str>>,
    reasons: Option<Vec<&'static str>>,
    limit: i64,
}

/// A page of runs along one index. The begin and the end stand around what reads along it.
///
/// What else is asked for stands in a way that the planner does not see through: it would take it for so rare that it
/// gathers all there is and sorts it, where a page along the index has enough soon.
macro_rules! page {
    ($db:expr, $filter:expr, $terms:expr, $order:tt, $begin:tt, $table:tt, $on:tt, $end:tt $(, $also:expr)*) => {
        sqlx::query_as!(
            Run,
            r#"
            select run_id as "run_id!: RunId", task_id as "task_id!: TaskId", kind as "kind!: TaskKind",
                   username as "username!", source as "source!: Source", trigger as "trigger!: Trigger",
                   state as "state!: RunState", reason as "reason: Reason", attempt as "attempt!",
                   last_seq as "last_seq!", last_exchange as "last_exchange!", requested_at as "requested_at!",
                   extract(epoch from now() - requested_at)::float8 as "age_seconds!",
                   started_at, updated_at as "updated_at!", deadline_at as "deadline_at!", cancel_requested_at,
                   case when state = 'waiting' then claimable_at end as resumes_at, finished_at,
                   case when finished_at is null then checkpoint end as checkpoint
            from ("# + $begin + r#"
                select r.* from "# + $table + r#" as r
                where "# + $on + r#"
                    and r.run_id >= $1 and r.run_id <= $2
                    and case
                        when ($3::timestamptz is null or r.requested_at >= $3)
                            and ($4::timestamptz is null or r.requested_at < $4)
                            and ($5::text is null or r.username = $5)
                            and ($6::text is null or r.kind = $6)
                            and ($7::text is null or r.source = $7)
                            and ($8::text is null or r.trigger = $8)
                            and ($9::text[] is null or r.state = any($9))
                            and ($10::text[] is null or r.reason = any($10))
                        then true else false
                    end
                order by r.run_id "# + $order + r#"
                limit $11 "# + $end + r#"
            ) as found
            order by run_id "# + $order + r#"
            limit $11
            "#,
            $terms.first.0,
            $terms.last.0,
            $filter.since,
            $filter.until,
            $filter.username.as_deref(),
            $filter.kind.map(TaskKind::as_str),
            $filter.source.map(Source::as_str),
            $filter.trigger.map(Trigger::as_str),
            $terms.states.as_deref() as Option<&[&str]>,
            $terms.reasons.as_deref() as Option<&[&str]>,
            $terms.limit,
            $($also,)*
        )
        .fetch_all($db)
        .await
    };
}

/// Along the runs of each task: of those that were named, else of those of the account.
macro_rules! of_tasks {
    ($db:expr, $filter:expr, $terms:expr, $order:tt) => {
        page!(
            $db,
            $filter,
            $terms,
            $order,
            "select r.* from (
                 select unnest($12::text[]) as task_id
                 union all
                 select task_id from tasks where $12 is null and username = $5
             ) as task cross join lateral (",
            "runs",
            "r.task_id = task.task_id",
            ") as r",
            $terms.tasks.as_deref() as Option<&[String]>
        )
    };
}

/// Along those that wait or did not succeed, of each state and reason.
macro_rules! by_reason {
    ($db:expr, $filter:expr, $terms:expr, $order:tt, $states:expr, $reasons:expr) => {
        page!(
            $db,
            $filter,
            $terms,
            $order,
            "select r.* from unnest($12::text[]) as wanted (state) cross join unnest($13::text[]) as why (reason)
             cross join lateral (",
            "runs",
            "r.state = wanted.state and r.reason = why.reason",
            ") as r",
            $states as &[&str],
            $reasons as &[&str]
        )
    };
}

/// Of those that are active, which are few beside the others.
macro_rules! active {
    ($db:expr, $filter:expr, $terms:expr, $order:tt) => {
        page!(
            $db,
            $filter,
            $terms,
            $order,
            "",
            "(select * from runs where state in ('queued', 'running', 'waiting') offset 0)",
            "r.state in ('queued', 'running')",
            ""
        )
    };
}

/// Along all ids.
macro_rules! along_ids {
    ($db:expr, $filter:expr, $terms:expr, $order:tt) => {
        page!($db, $filter, $terms, $order, "", "runs", "true", "")
    };
}

/// Along what a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The runs of each task.
    Tasks,
    /// Those that have a reason, by state and reason.
    Reasons,
    /// Those that are active and have none.
    Active,
    /// All ids.
    Ids,
}

/// Up to `limit` runs in the order of their ids, which is that of their requests.
pub async fn page(db: impl Into<Statements<'_>>, filter: &Filter, limit: i64) -> sqlx::Result<Vec<Run>> {
    let (mut db, mut found) = (db.into(), Vec::new());
    for along in filter.along() {
        found.extend(read(&mut db, filter, along, limit).await?);
    }
    found.sort_unstable_by_key(|run| run.run_id);
    if filter.newest_first {
        found.reverse();
    }
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// The same of those that stand along this.
pub async fn read(db: impl PgExecutor<'_>, filter: &Filter, along: Along, limit: i64) -> sqlx::Result<Vec<Run>> {
    let Some((first, last)) = filter.ids() else { return Ok(Vec::new()) };
    let as_str = |states: &Vec<RunState>| states.iter().copied().map(RunState::as_str).collect();
    let terms = Terms {
        first,
        last,
        tasks: filter.tasks.as_ref().map(|tasks| tasks.iter().map(TaskId::to_string).collect()),
        states: filter.states.as_ref().map(as_str),
        reasons: filter.reasons.as_ref().map(|reasons| reasons.iter().copied().map(Reason::as_str).collect()),
        limit,
    };
    let (with_reason, _) = filter.states_wanted();
    let every: Vec<_> = Reason::ALL.iter().copied().map(Reason::as_str).collect();
    let reasons = terms.reasons.as_ref().unwrap_or(&every);
    match (along, filter.newest_first) {
        (Along::Tasks, true) => of_tasks!(db, filter, terms, "desc"),
        (Along::Tasks, false) => of_tasks!(db, filter, terms, "asc"),
        (Along::Reasons, true) => by_reason!(db, filter, terms, "desc", &with_reason, reasons),
        (Along::Reasons, false) => by_reason!(db, filter, terms, "asc", &with_reason, reasons),
        (Along::Active, true) => active!(db, filter, terms, "desc"),
        (Along::Active, false) => active!(db, filter, terms, "asc"),
        (Along::Ids, true) => along_ids!(db, filter, terms, "desc"),
        (Along::Ids, false) => along_ids!(db, filter, terms, "asc"),
    }
}

/// The same runs, by their ids alone.
pub async fn ids(db: impl Into<Statements<'_>>, filter: &Filter, limit: i64) -> sqlx::Result<Vec<RunId>> {
    Ok(page(db, filter, limit).await?.into_iter().map(|run| run.run_id).collect())
}

impl Filter {
    /// The ids between which the wanted runs are; `None` where there is none.
    fn ids(&self) -> Option<(RunId, RunId)> {
        let (mut first, mut last) = RunId::ALL;
        if let Some(since) = self.since {
            first = RunId::floor(since);
        }
        if let Some(until) = self.until {
            last = RunId::floor(until.checked_add_signed(ROW_MADE_WITHIN).unwrap_or(until));
        }
        match self.after {
            Some(after) if self.newest_first => last = last.min(after.before()?),
            Some(after) => first = first.max(after.behind()?),
            None => {}
        }
        (first <= last).then_some((first, last))
    }

    /// Along what the wanted runs are found; those of several are all of them, each once.
    fn along(&self) -> Vec<Along> {
        if self.tasks.is_some() || self.username.is_some() {
            return vec![Along::Tasks];
        }
        if self.reasons.is_some() {
            return vec![Along::Reasons];
        }
        // All but those that succeeded are few beside them.
        let is_few = self.states.as_ref().is_some_and(|states| !states.contains(&RunState::Succeeded));
        if !is_few {
            return vec![Along::Ids];
        }
        let (with_reason, has_others) = self.states_wanted();
        let reasons = (!with_reason.is_empty()).then_some(Along::Reasons);
        reasons.into_iter().chain(has_others.then_some(Along::Active)).collect()
    }

    /// The wanted states in which a run has a reason, and whether others are wanted, too.
    fn states_wanted(&self) -> (Vec<&'static str>, bool) {
        let has_reason =
            |state: &&RunState| !matches!(state, RunState::Queued | RunState::Running | RunState::Succeeded);
        let states = self.states.as_deref().unwrap_or(&RunState::ALL);
        let with_reason: Vec<_> = states.iter().filter(has_reason).map(|state| state.as_str()).collect();
        let has_others = with_reason.len() < states.len();
        (with_reason, has_others)
    }
}

/// These runs, in any order; those that are not there are left out.
pub async fn of_ids(db: impl PgExecutor<'_>, run_ids: &[RunId]) -> sqlx::Result<Vec<Run>> {
    let run_ids: Vec<Uuid> = run_ids.iter().map(|run_id| run_id.0).collect();
    sqlx::query_as!(
        Run,
        r#"
        select run_id as "run_id: RunId", task_id as "task_id: TaskId", kind as "kind: TaskKind", username,
               source as "source: Source", trigger as "trigger: Trigger", state as "state: RunState",
               reason as "reason: Reason", attempt, last_seq, last_exchange, requested_at,
               extract(epoch from now() - requested_at)::float8 as "age_seconds!", started_at, updated_at, deadline_at,
               cancel_requested_at, case when state = 'waiting' then claimable_at end as resumes_at,
               finished_at, case when finished_at is null then checkpoint end as checkpoint
        from runs
        where run_id = any($1)
        "#,
        &run_ids,
    )
    .fetch_all(db)
    .await
}

/// Whose run each of these is, in any order.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// Its account.
    pub username: String,
}

/// The tasks and accounts of these runs, in any order; those that are not there are left out.
pub async fn owners(db: impl PgExecutor<'_>, run_ids: &[RunId]) -> sqlx::Result<Vec<Owner>> {
    let run_ids: Vec<Uuid> = run_ids.iter().map(|run_id| run_id.0).collect();
    sqlx::query_as!(
        Owner,
        r#"
        select run_id as "run_id: RunId", task_id as "task_id: TaskId", username from runs where run_id = any($1)
        "#,
        &run_ids,
    )
    .fetch_all(db)
    .await
}
