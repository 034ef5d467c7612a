//! What is given up in time, and what is not.

use std::collections::BTreeSet;

use ig_tracking::db::partitions;
use rand::SeedableRng as _;
use sqlx::{Connection as _, PgConnection};

use super::*;

/// The week partitions of a table for each of some days ago, made as the service made them then.
pub(super) async fn weeks(pool: &PgPool, days: &[i32]) -> Vec<String> {
    sqlx::query_scalar(
        "with week as (
             select distinct date_trunc('week', (now() - make_interval(days => d)) at time zone 'UTC') at time zone 'UTC' as monday
             from unnest($1::int[]) as d
         )
         select name from week, unnest('{events,run_exchanges}'::text[]) as parent,
             lateral (select parent || '_' || to_char(monday at time zone 'UTC', 'YYYYMMDD') as name) as named
         where make_run_partition(parent, name, monday, monday + interval '1 week')",
    )
    .bind(days)
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn all_partitions(pool: &PgPool) -> BTreeSet<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent in ('events'::regclass, 'run_exchanges'::regclass, 'run_archives'::regclass)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    names.into_iter().collect()
}

pub(super) async fn exchange(pool: &PgPool, run: &Run) {
    let insert =
        "insert into run_exchanges (run_id, seq, at, attempt, source, endpoint, method, url, duration_ms, bytes)
                  values ($1, 1, now(), 1, 'web', 'feed', 'GET', '/', 1, 1)";
    sqlx::query(insert).bind(run.run_id).execute(pool).await.unwrap();
}

pub(super) async fn runs_with(pool: &PgPool, table: &str) -> BTreeSet<Uuid> {
    let query = format!("select distinct run_id from {table}");
    let runs: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.unwrap();
    runs.into_iter().collect()
}

#[tokio::test]
async fn logs_end_for_good_after_their_time_as_rows_and_packed_and_the_runs_stay() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    let mut random = StdRng::seed_from_u64(51);
    let now = now(pool).await;
    let mut at = async |task: &str, days: i64| ended(pool, &mut random, task, now - TimeDelta::days(days), 4).await;
    let packed_and_over = at("t0", 400).await;
    let packed = at("t1", 200).await;
    assert_eq!(maintain(&database, &[], &[]).await.code, Some(0));
    let over = at("t3", 402).await;
    let rows = at("t4", 199).await;
    let young = at("t5", 1).await;
    let settings = [("IGT_LOG_RETENTION_DAYS", "365"), ("IGT_ARCHIVE_AFTER_DAYS", "0")];
    let planned = maintain(&database, &["--dry-run"], &settings).await;
    assert!(planned.code == Some(0) && planned.stdout.contains("\n2 logs and"), "{planned:?}");
    assert_eq!(runs_with(pool, "run_archives").await.len(), 2, "a dry run does nothing");

    let done = db_given_up(&database, &settings).await;
    assert!(done.contains("\n2 logs and"), "{done}");
    assert!(!runs_with(pool, "run_archives").await.contains(&packed_and_over.run_id));
    assert!(runs_with(pool, "run_archives").await.contains(&packed.run_id));
    let left = runs_with(pool, "events").await;
    assert!(!left.contains(&over.run_id) && left.contains(&rows.run_id) && left.contains(&young.run_id), "{left:?}");
    let runs: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(pool).await.unwrap();
    assert_eq!(runs, 5);
}

/// Runs `maintain` and gives what it said.
async fn db_given_up(database: &Database, settings: &[(&str, &str)]) -> String {
    let done = maintain(database, &[], settings).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stdout
}

#[tokio::test]
async fn what_is_not_summed_up_or_not_ended_is_not_given_up() {
    use ig_tracking::db::RunId;
    use ig_tracking::db::expiry::{Of, give_up, may_go};
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    let mut random = StdRng::seed_from_u64(52);
    let old = now(pool).await - TimeDelta::days(100);
    let not_summed_up = ended(pool, &mut random, "t0", old, 3).await;
    let active = ended(pool, &mut random, "t1", old, 3).await;
    let over = ended(pool, &mut random, "t2", old, 3).await;
    sqlx::query("delete from run_summaries where run_id = $1").bind(not_summed_up.run_id).execute(pool).await.unwrap();
    let activate = "update runs set state = 'running', claimable_at = now(), finished_at = null where run_id = $1";
    sqlx::query(activate).bind(active.run_id).execute(pool).await.unwrap();
    let gone = give_up(pool, Of::Events, RunId::ALL.0, 90).await.unwrap();
    assert_eq!((gone.runs, gone.kept), (1, 2));
    assert_eq!(runs_with(pool, "events").await, [not_summed_up.run_id, active.run_id].into());
    assert!(!may_go(pool, Uuid::nil(), Uuid::max(), 90).await.unwrap());
    let next = give_up(pool, Of::Events, gone.until.unwrap(), 90).await.unwrap();
    assert!(next.until.is_none(), "{next:?}");
    sqlx::query("delete from runs where run_id <> $1").bind(over.run_id).execute(pool).await.unwrap();
    assert!(may_go(pool, Uuid::nil(), Uuid::max(), 90).await.unwrap());
    assert!(!may_go(pool, Uuid::nil(), Uuid::max(), 101).await.unwrap(), "it ended less long ago");
}

#[tokio::test]
async fn weeks_of_requests_are_dropped_whole_when_their_time_is_over() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    weeks(pool, &[150, 120, 60]).await;
    let mut random = StdRng::seed_from_u64(53);
    let now = now(pool).await;
    let mut at = async |task: &str, days: i64| {
        let run = ended(pool, &mut random, task, now - TimeDelta::days(days), 2).await;
        exchange(pool, &run).await;
        run
    };
    let (over, held, young) = (at("t0", 150).await, at("t1", 120).await, at("t2", 60).await);
    // Outside every week.
    let stray = at("t3", 300).await;
    let activate = "update runs set state = 'running', claimable_at = now(), finished_at = null where run_id = $1";
    sqlx::query(activate).bind(held.run_id).execute(pool).await.unwrap();
    let planned = maintain(&database, &["--dry-run"], &[("IGT_ARCHIVE_AFTER_DAYS", "0")]).await;
    assert_eq!(planned.stdout.matches("would be dropped").count(), 1, "{planned:?}");
    assert!(planned.stdout.contains("run_exchanges_"), "{planned:?}");
    db_given_up(&database, &[("IGT_ARCHIVE_AFTER_DAYS", "0")]).await;
    let left = runs_with(pool, "run_exchanges").await;
    assert_eq!(left, [held.run_id, young.run_id].into(), "over {} and stray {} are gone", over.run_id, stray.run_id);
    assert_eq!(runs_with(pool, "events").await.len(), 4, "their logs stay");
}

#[tokio::test]
async fn a_week_that_is_empty_and_past_is_dropped_and_one_that_somebody_reads_is_tried_again() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    let made = weeks(pool, &[70, 50, 2]).await;
    let mut random = StdRng::seed_from_u64(54);
    let now = now(pool).await;
    let packed = ended(pool, &mut random, "t0", now - TimeDelta::days(70), 5).await;
    let active = ended(pool, &mut random, "t1", now - TimeDelta::days(50), 5).await;
    sqlx::query("update runs set state = 'running', claimable_at = now(), finished_at = null where run_id = $1")
        .bind(active.run_id)
        .execute(pool)
        .await
        .unwrap();
    let before = all_partitions(pool).await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from events").execute(&mut reader).await.unwrap();
    let held_up = db_given_up(&database, &[]).await;
    assert!(held_up.contains("1 logs packed") && held_up.contains("somebody was reading"), "{held_up}");
    assert!(
        all_partitions(pool).await.is_superset(&before.iter().filter(|n| n.starts_with("events")).cloned().collect())
    );
    sqlx::raw_sql("rollback").execute(&mut reader).await.unwrap();

    db_given_up(&database, &[]).await;
    let after = all_partitions(pool).await;
    let gone: Vec<_> = made.iter().filter(|name| !after.contains(*name)).collect();
    // Of the week 70 days ago; that of the active run, and this week's and those to come, stay.
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(runs_with(pool, "events").await.contains(&active.run_id));
    assert!(runs_with(pool, "run_archives").await.contains(&packed.run_id));
    let stay = before.iter().filter(|name| name.starts_with("events_2") && !gone.contains(name));
    assert_eq!(stay.filter(|name| !after.contains(*name)).collect::<Vec<_>>(), Vec::<&String>::new());
    // And it is made anew where it is needed: nothing but the default partition has lost it.
    let late = ended(pool, &mut random, "t2", now - TimeDelta::days(70), 3).await;
    assert!(runs_with(pool, "events_default").await.contains(&late.run_id));
}

/// When the planner was last told of each of the tables that have only partitions.
async fn told(pool: &PgPool) -> Vec<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "select last_analyze from pg_stat_user_tables
         where relid in ('events'::regclass, 'run_archives'::regclass, 'run_exchanges'::regclass) order by relname",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_planner_is_told_once_a_day_of_little_and_at_once_of_much_and_of_weeks_that_go() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    let mut random = StdRng::seed_from_u64(56);
    db_given_up(&database, &[]).await;
    assert_eq!(told(pool).await, [None; 3], "there was nothing to tell");
    let at = days_ago(pool, 40).await;
    ended(pool, &mut random, "t0", at, 3).await;
    db_given_up(&database, &[]).await;
    let of_a_log = told(pool).await;
    assert!(of_a_log.iter().all(Option::is_some), "{of_a_log:?}");
    ended(pool, &mut random, "t1", at, 3).await;
    db_given_up(&database, &[]).await;
    assert_eq!(told(pool).await, of_a_log, "of as little as that it was told today");
    // A week without a row that is past.
    weeks(pool, &[70]).await;
    db_given_up(&database, &[]).await;
    let of_a_week = told(pool).await;
    assert!(of_a_week > of_a_log, "{of_a_week:?} {of_a_log:?}");
    let long = ended(pool, &mut random, "t2", at, 1).await;
    sqlx::query(
        "with more as (
             insert into events (run_id, seq, at, level, event_type, message, fields)
             select $1, seq, now(), 'info', 'posts_fetched', 'more', '{}' from generate_series(2, 10001) as seq
             returning seq)
         update runs set last_seq = (select max(seq) from more) where run_id = $1",
    )
    .bind(long.run_id)
    .execute(pool)
    .await
    .unwrap();
    db_given_up(&database, &[]).await;
    assert!(told(pool).await > of_a_week);
}

#[tokio::test]
async fn archives_stand_in_quarters_that_any_replica_makes_at_once_and_rows_that_came_before_move() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    tasks(pool, 8).await;
    let mut random = StdRng::seed_from_u64(55);
    let run = ended(pool, &mut random, "t0", now(pool).await - TimeDelta::days(500), 5).await;
    // One that came before its quarter was made.
    sqlx::query("insert into run_archives (run_id, from_seq, until_seq, packed) values (uuid_v7(now() - interval '500 days'), 1, 1, '')")
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(runs_with(pool, "run_archives_default").await.len(), 1);
    assert_eq!(maintain(&database, &[], &[]).await.code, Some(0));
    assert_eq!(runs_with(pool, "run_archives_default").await.len(), 0);
    assert!(runs_with(pool, "run_archives").await.contains(&run.run_id));
    let ahead = futures_util::future::join_all((0..6).map(|_| partitions::ensure(pool))).await;
    assert!(ahead.into_iter().all(|made| made.unwrap() == 0));
}
