//! The partitions of what is kept by run: weeks of the two logs, quarters of the packed ones.

use sqlx::PgExecutor;
use uuid::Uuid;

/// Makes the partitions of this week and four weeks ahead; says how many were missing. Any replica may, at any time.
pub async fn ensure(db: impl PgExecutor<'_>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select ensure_run_partitions() as "made!""#).fetch_one(db).await
}

/// A partition whose time has passed.
#[derive(Clone, Debug)]
pub struct Past {
    /// Of `events`, `run_exchanges` or `run_archives`.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// The lowest run that it can have.
    pub first: Uuid,
    /// The lowest run above all that it can have.
    pub above: Uuid,
    /// Whether an active run is among them.
    pub has_active: bool,
    /// How many days ago the last of its runs can have been asked for.
    pub days: i32,
}

/// The partitions whose time passed more than a week ago, the oldest first. A run may take a week.
pub async fn past(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Past>> {
    sqlx::query_as!(
        Past,
        r#"
        with part as (
            select i.inhparent::regclass::text as parent, c.relname::text as name,
                   substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \(''([^'']+)''\)')::uuid as first,
                   substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::uuid as above
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent in ('events'::regclass, 'run_exchanges'::regclass, 'run_archives'::regclass)
        ), aged as (
            -- A version 7 UUID begins with its milliseconds since 1970.
            select *, extract(epoch from now()) * 1000
                      - ('x' || lpad(left(replace(above::text, '-', ''), 12), 16, '0'))::bit(64)::bigint as age_ms
            from part
            where above is not null
        )
        select parent as "table!", name as "name!", first as "first!", above as "above!",
               exists (
                   select from runs
                   where state in ('queued', 'running', 'waiting') and run_id >= first and run_id < above
               ) as "has_active!",
               floor(age_ms / 86400000)::int as "days!"
        from aged
        where age_ms > 7 * 86400000.0
        order by name
        "#,
    )
    .fetch_all(db)
    .await
}

/// Drops a partition where it is empty, or with its rows; whether it did. Those who read the table wait for it no longer
/// than a tenth of a second: then it is given up, with [`is_busy`].
pub async fn drop(db: impl PgExecutor<'_>, name: &str, with_rows: bool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select drop_run_partition($1, $2) as "dropped!""#, name, with_rows).fetch_one(db).await
}

/// Whether a statement was given up because somebody else held a lock.
pub fn is_busy(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
}

/// Whether the planner was told of one of these tables never, or more than a day ago.
pub async fn is_planner_behind(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select coalesce(bool_or(last_analyze is null or last_analyze < now() - interval '1 day'), true) as "is_behind!"
        from pg_stat_user_tables
        where relid in ('events'::regclass, 'run_archives'::regclass, 'run_exchanges'::regclass)
        "#,
    )
    .fetch_one(db)
    .await
}

/// Renews what the planner knows of these tables: autovacuum never looks at a table that has only partitions.
pub async fn analyze(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::raw_sql("analyze events, run_archives, run_exchanges").execute(db).await.map(std::mem::drop)
}
