//! The table `credentials`: who may ask a source, and where each stands. Slots are given out in [`super::slots`].

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::audit::Author;
use super::text::fit_if_any;

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
/// Each window is longer by `slack` seconds, as where slots are taken.
pub async fn register(db: impl PgExecutor<'_>, credentials: &[Registered<'_>], slack: f64) -> sqlx::Result<()> {
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
        with circuit as (
            insert into circuits (source) select distinct source from unnest($2::text[]) as source on conflict do nothing
        )
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
                        + make_interval(secs => excluded.window_seconds + $8)),
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
        slack,
    )
    .execute(db)
    .await
    .map(drop)
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
pub async fn set_ready(
    db: impl PgExecutor<'_>,
    name: &str,
    ready: bool,
    note: Option<&str>,
    author: &Author,
) -> sqlx::Result<bool> {
    let set = sqlx::query_scalar!(
        r#"
        with set as (
            update credentials
            set state = case when $2 then 'ready' else 'disabled' end,
                reason = case when $2 then null else 'operator' end,
                note = $3,
                disabled_at = case when $2 then null else now() end,
                cooling_until = case when $2 then null else cooling_until end,
                strikes = 0, strike_run = null, updated_at = now()
            where name = $1
            returning name, note
        ), audited as (
            insert into audit (who, act, object, details, request_id, address)
            select $4, case when $2 then 'credentials.enable' else 'credentials.disable' end, name,
                   jsonb_build_object('note', note), $5, $6
            from set
        )
        select true as "set!" from set
        "#,
        name,
        ready,
        fit_if_any(note),
        author.who,
        author.request_id,
        author.address,
    )
    .fetch_optional(db)
    .await?;
    Ok(set.is_some())
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
