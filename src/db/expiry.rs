//! What is given up for good: logs and requests whose time is over.
//!
//! Nothing is given up of a run that has not ended, or that has no row in `run_summaries` yet, which is all that is left of it.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::RunId;

/// Rows that are looked at for which runs are next.
const LOOKED_AT: i64 = 1_000;

/// A log, as rows or packed; or what a run asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// `events`.
    Events,
    /// `run_archives`.
    Archives,
    /// `run_exchanges`, of those outside every weekly partition: whole weeks are dropped.
    StrayExchanges,
}

/// What was given up of some runs.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp {
    /// The last run that was looked at; `None` where there was none.
    pub until: Option<RunId>,
    /// Of so many runs; what another replica gave up at the same time is its own.
    pub runs: i64,
    /// Of so many it stays for now, though its time is over.
    pub kept: i64,
}

/// A statement that goes through the runs behind one in the order of a table's key.
macro_rules! give_up {
    ($db:expr, $after:expr, $days:expr, $table:tt) => {
        sqlx::query_as!(
            GivenUp,
            "with near as (
                 select run_id from "
                + $table
                + "
                 where run_id > $1 and run_id < uuid_v7_floor(now() - make_interval(days => $2))
                 order by run_id
                 limit $3
             ), looked_at as (
                 select near.run_id,
                        r.run_id is null or coalesce(r.finished_at < now() - make_interval(days => $2), false)
                            and exists (select from run_summaries s where s.run_id = r.run_id) as is_over
                 from (select distinct run_id from near) as near left join runs r on r.run_id = near.run_id
             ), gone as (
                 delete from "
                + $table
                + " where run_id = any (array (select run_id from looked_at where is_over))
                 returning run_id
             )
             select (select run_id from looked_at order by run_id desc limit 1) as \"until: RunId\",
                    (select count(distinct run_id) from gone) as \"runs!\", count(*) filter (where not is_over) as \"kept!\"
             from looked_at",
            $after.0,
            $days,
            LOOKED_AT,
        )
        .fetch_one($db)
        .await
    };
}

/// Gives up what some runs behind this one have, that were asked for and ended more than so many days ago.
pub async fn give_up(db: impl PgExecutor<'_>, of: Of, after: RunId, days: i32) -> sqlx::Result<GivenUp> {
    match of {
        Of::Events => give_up!(db, after, days, "events"),
        Of::Archives => give_up!(db, after, days, "run_archives"),
        Of::StrayExchanges => give_up!(db, after, days, "run_exchanges_default"),
    }
}

/// Whether all runs between two ids ended more than so many days ago and are summed up: then what they have may go.
pub async fn may_go(db: impl PgExecutor<'_>, first: Uuid, above: Uuid, days: i32) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select not exists (
            select from runs r
            where r.run_id >= $1 and r.run_id < $2
                and (r.finished_at is null or r.finished_at >= now() - make_interval(days => $3)
                    or not exists (select from run_summaries s where s.run_id = r.run_id))
        ) as "may_go!"
        "#,
        first,
        above,
        days,
    )
    .fetch_one(db)
    .await
}

/// Of how many runs something would be given up.
pub async fn count(db: impl PgExecutor<'_>, of: Of, days: i32) -> sqlx::Result<i64> {
    macro_rules! count {
        ($table:tt) => {
            sqlx::query_scalar!(
                "select count(*) as \"runs!\"
                 from (select distinct run_id from "
                    + $table
                    + "
                       where run_id < uuid_v7_floor(now() - make_interval(days => $1))) as old
                 left join runs r on r.run_id = old.run_id
                 where r.run_id is null or (r.finished_at < now() - make_interval(days => $1)
                     and exists (select from run_summaries s where s.run_id = r.run_id))",
                days,
            )
            .fetch_one(db)
            .await
        };
    }
    match of {
        Of::Events => count!("events"),
        Of::Archives => count!("run_archives"),
        Of::StrayExchanges => count!("run_exchanges_default"),
    }
}
