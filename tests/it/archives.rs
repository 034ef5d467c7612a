//! Logs that are packed: read as if they were rows, packed without a loss whoever is killed, given up in time.

mod expiry;
mod giving_up;
mod packing;
mod readers;

use chrono::{DateTime, TimeDelta, Utc};
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool};
use ig_tracking::maintenance::Retention;
use rand::RngExt as _;
use rand::rngs::StdRng;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::harness::{Database, Finished, call};
use crate::v2_events::{Known, generated};

/// A replica that only answers, and packs nothing by itself.
const CLERK: [(&str, &str); 2] = [("IGT_CONCURRENCY", "0"), ("IGT_ARCHIVE_AFTER_DAYS", "0")];

/// What is packed is what ended 30 days ago; nothing is given up.
const PACK: Retention =
    Retention { body_days: 3650, archive_after_days: Some(30), exchange_days: None, log_days: None };

/// A run as the tests know it.
#[derive(Clone, Debug)]
struct Run {
    run_id: Uuid,
    events: Vec<Known>,
}

/// The present, on the database's clock.
async fn now(pool: &PgPool) -> DateTime<Utc> {
    sqlx::query_scalar("select now()").fetch_one(pool).await.unwrap()
}

async fn days_ago(pool: &PgPool, days: i64) -> DateTime<Utc> {
    now(pool).await - TimeDelta::days(days)
}

async fn tasks(pool: &PgPool, count: i32) {
    let insert = "insert into tasks (task_id, kind, username)
                  select 't' || n, 'profile', 'user' || n % 3 from generate_series(0, $1 - 1) n";
    sqlx::query(insert).bind(count).execute(pool).await.unwrap();
}

/// A run that ended at once when it was asked for, at this time, with so many events, and that is summed up.
async fn ended(pool: &PgPool, random: &mut StdRng, task: &str, at: DateTime<Utc>, count: i64) -> Run {
    let run_id: Uuid = sqlx::query_scalar(
        "with run as (
             insert into runs (run_id, task_id, kind, username, source, trigger, state, requested_at, deadline_at, updated_at,
                               finished_at, last_seq)
             select uuid_v7($1), task_id, kind, username, 'auto', 'api', 'succeeded', $1, $1, $1, $1, $2
             from tasks where task_id = $3
             returning run_id
         ), summary as (insert into run_summaries (run_id, requests) select run_id, 0 from run)
         select run_id from run",
    )
    .bind(at)
    .bind(count)
    .bind(task)
    .fetch_one(pool)
    .await
    .unwrap();
    Run { run_id, events: generated(pool, random, run_id, at, count).await }
}

/// So many runs of some tasks, some minutes apart, of a few events each.
async fn several(pool: &PgPool, random: &mut StdRng, begin: DateTime<Utc>, count: i64) -> Vec<Run> {
    let mut runs = Vec::new();
    for n in 0..count {
        let (task, events) = (format!("t{}", random.random_range(0..8)), random.random_range(1..9));
        runs.push(ended(pool, random, &task, begin + TimeDelta::minutes(n), events).await);
    }
    runs
}

/// The service's own pool.
fn pool(database: &Database) -> Pool {
    let options: PgConnectOptions = database.url.parse().unwrap();
    Pool::new(Line::new(options, Way::Direct), 4)
}

/// `ig-tracking maintain`.
async fn maintain(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
    let settings = [&[("DATABASE_URL", database.url.as_str())], settings].concat();
    call(&[&["maintain"], arguments].concat(), &settings).finished().await
}

/// How many runs have rows, and how many are packed.
async fn whereabouts(pool: &PgPool) -> (i64, i64) {
    let count = "select (select count(distinct run_id) from events), (select count(distinct run_id) from run_archives)";
    sqlx::query_as(count).fetch_one(pool).await.unwrap()
}
