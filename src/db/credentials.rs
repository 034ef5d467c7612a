//! The tables `credentials` and `circuits`: who may ask a source, when, and what becomes of it by what it meets.
//!
//! Slots and effects are done by two functions of the schema, for many requests in one statement each. They lock rows
//! in one order, and count on the database's clock alone.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::text::fit_if_any;
use super::{RunId, index};

/// A credential as a replica is started with it.
#[derive(Clone, Debug)]
pub struct Registered<'a> {
    /// Its name.
    pub name: &'a str,
    /// `web` or `graph`.
    pub source: &'static str,
    /// `guest`, `session` or `token`.
    pub kind: &'static str,
    /// How often it may be used.
    pub pace: Pace,
}

/// How often a credential may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The least time between two requests, in milliseconds.
    pub gap_ms: i32,
    /// Up to so much is added to it, by chance, in milliseconds.
    pub jitter_ms: i32,
    /// How many requests at most fall into any window; `None` where they are not counted.
    pub budget: Option<i32>,
    /// The length of the window, in seconds.
    pub window_seconds: f64,
}

impl Pace {
    /// As fast as it goes.
    pub const NONE: Self = Self { gap_ms: 0, jitter_ms: 0, budget: None, window_seconds: 1.0 };
}

/// Makes the rows of credentials that are new, and gives the others their pace anew. What they have been through stays.
pub async fn register(db: impl PgExecutor<'_>, credentials: &[Registered<'_>]) -> sqlx::Result<()> {
    let names: Vec<_> = credentials.iter().map(|credential| credential.name).collect();
    let sources: Vec<_> = credentials.iter().map(|credential| credential.source).collect();
    let kinds: Vec<_> = credentials.iter().map(|credential| credential.kind).collect();
    let gaps: Vec<_> = credentials.iter().map(|credential| credential.pace.gap_ms).collect();
    let jitters: Vec<_> = credentials.iter().map(|credential| credential.pace.jitter_ms).collect();
    let budgets: Vec<_> = credentials.iter().map(|credential| credential.pace.budget).collect();
    let windows: Vec<_> = credentials.iter().map(|credential| credential.pace.window_seconds).collect();
    // The slots that were given out count against a new pace as well.
    sqlx::query!(
        r#"
        insert into credentials as c (name, source, kind, gap_ms, jitter_ms, budget, window_seconds)
        select * from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::float8[])
        order by 1
        on conflict (name) do update
        set source = excluded.source, kind = excluded.kind, gap_ms = excluded.gap_ms, jitter_ms = excluded.jitter_ms,
            budget = excluded.budget, window_seconds = excluded.window_seconds, updated_at = now(),
            next_slot_at = coalesce(
                greatest(
                    c.slots[cardinality(c.slots)] + make_interval(secs => excluded.gap_ms / 1000.0),
                    c.slots[cardinality(c.slots) - excluded.budget + 1]
                        + make_interval(secs => excluded.window_seconds)),
                now())
        where (c.source, c.kind, c.gap_ms, c.jitter_ms, c.budget, c.window_seconds)
            is distinct from (excluded.source, excluded.kind, excluded.gap_ms, excluded.jitter_ms, excluded.budget,
                              excluded.window_seconds)
        "#,
        &names as &[&str],
        &sources as &[&str],
        &kinds as &[&str],
        &gaps,
        &jitters,
        &budgets as &[Option<i32>],
        &windows,
    )
    .execute(db)
    .await
    .map(drop)
}

/// What one who asks for a slot is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Whether and when.
    pub verdict: Verdict,
    /// The failure or the word by which the credential cools or was taken out.
    pub reason: Option<String>,
    /// Whether its slots are counted. Where they are not, a `go` holds for a moment and for many.
    pub paced: bool,
    /// Whether something went wrong of late, so that an answer is news.
    pub doubtful: bool,
}

/// Whether a request may go, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// In so many seconds.
    Go(f64),
    /// All slots of the next while are taken; not before so many seconds have passed.
    Busy(f64),
    /// The credential cools, for so many seconds yet.
    Cooling(f64),
    /// The source's circuit is open, for so many seconds yet.
    Open(f64),
    /// One request is on its way to see whether the source answers again; ask again in so many seconds.
    HalfOpen(f64),
    /// Not until an operator puts it back.
    Disabled,
    /// There is no such credential.
    Unknown,
}

/// Takes slots for many requests, each in the order of asking, none further ahead than so many seconds. Beside each
/// name, how many uses of it are to be counted that needed no slot of their own.
pub async fn take_slots(
    db: impl PgExecutor<'_>,
    wanted: &[(&str, i64)],
    ahead: f64,
    slack: f64,
) -> sqlx::Result<Vec<Slot>> {
    let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    let used: Vec<_> = wanted.iter().map(|(_, used)| *used).collect();
    let rows = sqlx::query!(
        r#"
        select n as "n!", verdict as "verdict!", wait_seconds, reason, paced as "paced!", doubtful as "doubtful!"
        from take_slots($1, $2, $3, $4)
        "#,
        &names as &[&str],
        &used,
        ahead,
        slack,
    )
    .fetch_all(db)
    .await?;
    let unknown = || Slot { verdict: Verdict::Unknown, reason: None, paced: true, doubtful: false };
    let mut slots: Vec<_> = wanted.iter().map(|_| unknown()).collect();
    for row in rows {
        let wait = row.wait_seconds.unwrap_or_default();
        let verdict = match row.verdict.as_str() {
            "go" => Verdict::Go(wait),
            "busy" => Verdict::Busy(wait),
            "cooling" => Verdict::Cooling(wait),
            "open" => Verdict::Open(wait),
            "half_open" => Verdict::HalfOpen(wait),
            "disabled" => Verdict::Disabled,
            _ => Verdict::Unknown,
        };
        slots[index(row.n)] = Slot { verdict, reason: row.reason, paced: row.paced, doubtful: row.doubtful };
    }
    Ok(slots)
}

/// How a request ended, as far as its credential or its source's circuit depends on it.
#[derive(Clone, Debug)]
pub struct Word {
    /// The credential.
    pub name: String,
    /// The run that asked; `None` where a person did.
    pub run: Option<RunId>,
    /// Whether the answer shows that the credential is good.
    pub answered: bool,
    /// Whether it speaks for an outage of the source.
    pub outage: bool,
    /// What it means for the credential.
    pub effect: Effect,
    /// How long it cools, where it does.
    pub cool_seconds: f64,
    /// The failure's name.
    pub failure: Option<&'static str>,
    /// How much of what the source allows is used up, in percent.
    pub usage: Option<f64>,
    /// In how many seconds access is regained.
    pub regained: Option<f64>,
}

/// What a failure means for the credential that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It cools, for everybody.
    Cool,
    /// It may be a wall or a throttle: two in a row, of two runs, and it cools, and again for each that follows; the
    /// fifth takes a session out.
    Strike,
    /// It is taken out until an operator puts it back.
    Disable,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cool => "cool",
            Self::Strike => "strike",
            Self::Disable => "disable",
        }
    }
}

/// When a source's circuit opens, and for how long at first.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    /// So many failures in a row.
    pub failures: i32,
    /// Seconds; twice as long each time that the one request let through fails, up to 15 minutes.
    pub seconds: f64,
}

/// What changed by a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The credential's source.
    pub source: String,
    /// It cools from now on.
    pub cooled: bool,
    /// It was taken out.
    pub disabled: bool,
    /// Its source's circuit was `opened` or `closed`.
    pub circuit: Option<String>,
}

/// Does what follows from how requests ended, one after the other. A word of an unknown credential changes nothing.
pub async fn hear(db: impl PgExecutor<'_>, words: &[Word], breaker: Breaker) -> sqlx::Result<Vec<Change>> {
    let names: Vec<_> = words.iter().map(|word| word.name.as_str()).collect();
    let runs: Vec<_> = words.iter().map(|word| word.run.map(|run| run.0)).collect();
    let answered: Vec<_> = words.iter().map(|word| word.answered).collect();
    let outage: Vec<_> = words.iter().map(|word| word.outage).collect();
    let effects: Vec<_> = words.iter().map(|word| word.effect.as_str()).collect();
    let seconds: Vec<_> = words.iter().map(|word| word.cool_seconds).collect();
    let failures: Vec<_> = words.iter().map(|word| word.failure).collect();
    let usage: Vec<_> = words.iter().map(|word| word.usage).collect();
    let regained: Vec<_> = words.iter().map(|word| word.regained).collect();
    let rows = sqlx::query!(
        r#"
        select n as "n!", source as "source!", cooled as "cooled!", disabled as "disabled!", circuit
        from hear_of_credentials($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        "#,
        &names as &[&str],
        &runs as &[Option<Uuid>],
        &answered,
        &outage,
        &effects as &[&str],
        &seconds,
        &failures as &[Option<&str>],
        &usage as &[Option<f64>],
        &regained as &[Option<f64>],
        breaker.failures,
        breaker.seconds,
    )
    .fetch_all(db)
    .await?;
    let mut changes = vec![Change::default(); words.len()];
    for row in rows {
        let (source, cooled, disabled, circuit) = (row.source, row.cooled, row.disabled, row.circuit);
        changes[index(row.n)] = Change { source, cooled, disabled, circuit };
    }
    Ok(changes)
}

/// Where a credential stands, for one who chooses among several.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Why it was taken out; `None` where it was not.
    pub disabled: Option<String>,
    /// Why it cools or cooled last.
    pub reason: Option<String>,
    /// Seconds that it cools yet; zero or less where it does not.
    pub cools_for: f64,
    /// Seconds until its next slot; zero or less where one is free.
    pub free_in: f64,
    /// Seconds until its source's circuit is tried again; zero or less where it is not open.
    pub open_for: f64,
    /// Seconds since it was last used; `None` where it never was.
    pub rested_for: Option<f64>,
}

/// Where these credentials stand.
pub async fn standing(db: impl PgExecutor<'_>, names: &[&str]) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"
        select c.name,
               case when c.state = 'disabled' then c.reason end as disabled,
               c.reason,
               coalesce(extract(epoch from c.cooling_until - now()), 0)::float8 as "cools_for!",
               extract(epoch from c.next_slot_at - now())::float8 as "free_in!",
               coalesce(extract(epoch from b.open_until - now()), 0)::float8 as "open_for!",
               extract(epoch from now() - c.last_used_at)::float8 as rested_for
        from credentials c
        join circuits b using (source)
        where c.name = any($1)
        "#,
        names as &[&str],
    )
    .fetch_all(db)
    .await
}

/// A credential as the command line shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// `web` or `graph`.
    pub source: String,
    /// `guest`, `session` or `token`.
    pub kind: String,
    /// `ready` or `disabled`.
    pub state: String,
    /// Why it is disabled, or cools.
    pub reason: Option<String>,
    /// What an operator said.
    pub note: Option<String>,
    /// Until when it cools; `None` where it does not.
    pub cooling_until: Option<DateTime<Utc>>,
    /// Requests of the window up to now.
    pub used: i64,
    /// How many the window may hold.
    pub budget: Option<i32>,
    /// The length of the window, in seconds.
    pub window_seconds: f64,
    /// The least time between two requests, in milliseconds.
    pub gap_ms: i32,
    /// How much of what the source allows is used up, as it last said, in percent.
    pub usage_percent: Option<f64>,
    /// All requests.
    pub requests_total: i64,
    /// Those that failed by the credential or its source.
    pub failures: i64,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The latest such failure.
    pub last_failure: Option<String>,
    /// Until when its source's circuit is open; `None` where it is not.
    pub circuit_open_until: Option<DateTime<Utc>>,
}

/// All credentials that replicas were started with, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Credential>> {
    sqlx::query_as!(
        Credential,
        r#"
        select c.name, c.source, c.kind, c.state,
               case when c.state = 'disabled' or c.cooling_until > now() then c.reason end as reason,
               c.note,
               case when c.cooling_until > now() then c.cooling_until end as cooling_until,
               (select count(*) from unnest(c.slots) as slot
                where slot <= now() and slot > now() - make_interval(secs => c.window_seconds)) as "used!",
               c.budget, c.window_seconds, c.gap_ms, c.usage_percent, c.requests_total, c.failures, c.last_used_at,
               c.last_failure,
               case when b.open_until > now() then b.open_until end as circuit_open_until
        from credentials c
        join circuits b using (source)
        order by c.name
        "#,
    )
    .fetch_all(db)
    .await
}

/// Takes a credential out, or puts it back; what it cooled for and its strikes are then forgotten. `false` where there
/// is none of that name.
pub async fn set_ready(db: impl PgExecutor<'_>, name: &str, ready: bool, note: Option<&str>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update credentials
        set state = case when $2 then 'ready' else 'disabled' end,
            reason = case when $2 then null else 'operator' end,
            note = $3,
            disabled_at = case when $2 then null else now() end,
            cooling_until = case when $2 then null else cooling_until end,
            strikes = 0, strike_run = null, updated_at = now()
        where name = $1
        "#,
        name,
        ready,
        fit_if_any(note),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// How many credentials of a source are in a state, and whether its circuit is open.
#[derive(Clone, Debug)]
pub struct Count {
    /// `web` or `graph`.
    pub source: String,
    /// Ready and not cooling.
    pub ready: i64,
    /// Cooling.
    pub cooling: i64,
    /// Taken out.
    pub disabled: i64,
    /// Whether nobody asks at the moment.
    pub circuit_open: bool,
}

/// The credentials of all replicas, counted.
pub async fn count(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"
        select b.source,
               count(*) filter (where c.state = 'ready' and coalesce(c.cooling_until <= now(), true)) as "ready!",
               count(*) filter (where c.state = 'ready' and c.cooling_until > now()) as "cooling!",
               count(*) filter (where c.state = 'disabled') as "disabled!",
               coalesce(b.open_until > now(), false) as "circuit_open!"
        from circuits b
        left join credentials c using (source)
        group by b.source
        "#,
    )
    .fetch_all(db)
    .await
}
