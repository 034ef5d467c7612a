//! No event is lost and none doubled, whoever is killed, and however many pack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ig_tracking::db::archives::{self, Whereabouts};
use ig_tracking::db::event_lists::Filter;
use ig_tracking::db::mentions::{self, Patterns};
use ig_tracking::db::status::{self, Event};
use ig_tracking::db::{RunId, packing};
use ig_tracking::maintenance::{Tended, tend_logs};
use ig_tracking::reading::search::{Search, search};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::SeedableRng as _;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use super::*;
use crate::faults::pooler::Pooler;
use crate::harness::{PROGRAM, Started, World, eventually};
use crate::v2::walk;

/// The whole logs of runs, as everybody reads them.
pub(super) async fn logs(database: &PgPool, runs: &[Run]) -> Vec<String> {
    let mut logs = Vec::new();
    for run in runs {
        let events: Vec<Event> = status::events(database, RunId(run.run_id), 0, i64::MAX).await.unwrap();
        logs.push(format!("{events:?}"));
    }
    logs
}

/// Nothing of a run stands in rows and packed.
async fn assert_once(database: &PgPool) {
    let both: Vec<Uuid> =
        sqlx::query_scalar("select distinct run_id from events where run_id in (select run_id from run_archives)")
            .fetch_all(database)
            .await
            .unwrap();
    assert_eq!(both, Vec::<Uuid>::new());
}

async fn a_month_and_more_ago(database: &PgPool, seed: u64, count: i64) -> Vec<Run> {
    tasks(database, 8).await;
    let begin = days_ago(database, 33).await;
    several(database, &mut StdRng::seed_from_u64(seed), begin, count).await
}

/// Where the packing is stopped and killed: by whom it is made to wait, and the statement that then waits.
const STEPS: [(&str, &str); 4] = [
    // It cannot lock the rows.
    ("select from events order by run_id, seq offset 3 limit 1 for update", "for update) as locked"),
    // It reads the rows, and cannot write the packs.
    ("lock table run_archives in share mode", "insert into run_archives"),
    // It has written the packs, and cannot remove the rows.
    ("lock table events in share mode", "delete from events"),
    // It cannot look at all.
    ("lock table events in access exclusive mode", "with part as"),
];

#[tokio::test]
async fn whoever_is_killed_at_any_step_leaves_every_log_as_it_was() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 41, 30).await;
    let before = logs(&database.pool, &runs).await;
    for (blocks, waits) in STEPS {
        let mut blocker = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("begin").execute(&mut blocker).await.unwrap();
        sqlx::raw_sql(blocks).execute(&mut blocker).await.unwrap();
        for how in ["kill -9", "pg_terminate_backend"] {
            let mut process = Command::new(PROGRAM)
                .arg("maintain")
                .env("DATABASE_URL", &database.url)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let waiting =
                "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                           and position($1 in query) > 0";
            let backend: i32 = eventually(&format!("{waits:?} waits"), async || {
                sqlx::query_scalar(waiting)
                    .bind(waits)
                    .fetch_optional(&mut blocker_looks(&database).await)
                    .await
                    .unwrap()
            })
            .await;
            if how == "kill -9" {
                kill(Pid::from_raw(process.id().unwrap().try_into().unwrap()), Signal::SIGKILL).unwrap();
                process.wait().await.unwrap();
            }
            let end = "select pg_terminate_backend($1)";
            sqlx::query(end).bind(backend).execute(&mut blocker_looks(&database).await).await.unwrap();
            if how != "kill -9" {
                // It says so, and has done nothing.
                assert_eq!(process.wait().await.unwrap().code(), Some(1), "{waits}");
            }
            let gone = "select count(*) from pg_stat_activity where pid = $1";
            eventually("its transaction is over", async || {
                let left: i64 = sqlx::query_scalar(gone)
                    .bind(backend)
                    .fetch_one(&mut blocker_looks(&database).await)
                    .await
                    .unwrap();
                (left == 0).then_some(())
            })
            .await;
        }
        sqlx::raw_sql("rollback").execute(&mut blocker).await.unwrap();
        assert_eq!(whereabouts(&database.pool).await, (30, 0), "{waits}: all or nothing");
        assert_eq!(logs(&database.pool, &runs).await, before, "{waits}");
    }
    // Whoever comes next does it all.
    let packed = maintain(&database, &[], &[]).await;
    assert!(packed.code == Some(0) && packed.stdout.contains("30 logs packed"), "{packed:?}");
    assert_eq!(whereabouts(&database.pool).await, (0, 30));
    assert_eq!(logs(&database.pool, &runs).await, before);
}

/// A connection that no lock of the test's is on.
async fn blocker_looks(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

#[tokio::test]
async fn a_transaction_that_breaks_off_behind_its_last_statement_has_done_nothing() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 42, 20).await;
    let before = logs(&database.pool, &runs).await;
    let service = pool(&database);
    let due = packing::next(&service, RunId::ALL.0, 30).await.unwrap();
    assert_eq!(due.iter().filter(|run| run.is_due).count(), 20);
    let mut transaction = service.begin().await.unwrap();
    assert!(packing::begin(&mut *transaction).await.unwrap());
    let packed = packing::pack(&mut transaction, &due).await.unwrap();
    assert_eq!((packed.runs, packed.failed), (20, 0));
    // Others see the rows, and nobody else packs.
    assert_eq!(logs(&database.pool, &runs).await, before);
    let mut other = service.begin().await.unwrap();
    assert!(!packing::begin(&mut *other).await.unwrap());
    drop(transaction);
    eventually("it is undone", async || {
        let mut other = service.begin().await.unwrap();
        packing::begin(&mut *other).await.unwrap().then_some(())
    })
    .await;
    assert_eq!(whereabouts(&database.pool).await, (20, 0));
    assert_eq!(logs(&database.pool, &runs).await, before);
}

#[tokio::test]
async fn replicas_that_pack_at_once_pack_each_log_once_and_whoever_reads_meanwhile_meets_no_gap() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 43, 600).await;
    let before = logs(&database.pool, &runs).await;
    let events: usize = runs.iter().map(|run| run.events.len()).sum();
    let is_over = Arc::new(AtomicBool::new(false));
    let whole = Search {
        tasks: None,
        username: None,
        filter: Filter::default(),
        after: None,
        newest_first: true,
        limit: 10_000,
    };
    let reader = {
        let (service, is_over, runs, before) = (pool(&database), Arc::clone(&is_over), runs.clone(), before.clone());
        tokio::spawn(async move {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) || rounds == 0 {
                for (run, before) in runs.iter().zip(&before).skip(rounds % 7).step_by(7) {
                    let read = status::events(&service, RunId(run.run_id), 0, run.events.len() as i64).await.unwrap();
                    assert_eq!(&format!("{read:?}"), before);
                }
                let found = search(&service, whole.clone()).await.unwrap();
                assert_eq!(found.hits.len(), events, "each event once");
                assert_eq!(found.total.unwrap().hits, events as i64);
                rounds += 1;
            }
            rounds
        })
    };
    let pools: Vec<_> = (0..3).map(|_| pool(&database)).collect();
    let tended = join_all(pools.iter().map(|pool| tend_logs(pool, PACK, Duration::ZERO))).await;
    is_over.store(true, Ordering::Relaxed);
    let packed: Vec<u64> = tended.into_iter().map(|tended: sqlx::Result<Tended>| tended.unwrap().packed.runs).collect();
    assert_eq!(packed.iter().sum::<u64>(), 600, "{packed:?}");
    assert!(reader.await.unwrap() > 0);
    assert_eq!(whereabouts(&database.pool).await, (0, 600));
    assert_eq!(logs(&database.pool, &runs).await, before);
}

#[tokio::test]
async fn the_service_packs_by_itself() {
    let world = World::new().await;
    let runs = a_month_and_more_ago(&world.database.pool, 44, 20).await;
    let before = logs(&world.database.pool, &runs).await;
    // As an older version left them.
    let checkpoints = "update runs set checkpoint = '{}'";
    sqlx::query(checkpoints).execute(&world.database.pool).await.unwrap();
    let replicas = join_all((0..3).map(|_| world.replica(&[]))).await;
    eventually("all is packed", async || (whereabouts(&world.database.pool).await == (0, 20)).then_some(())).await;
    assert_eq!(logs(&world.database.pool, &runs).await, before);
    assert_once(&world.database.pool).await;
    let of_succeeded = "select count(*) from runs where state = 'succeeded' and checkpoint is not null";
    let of_succeeded: i64 = sqlx::query_scalar(of_succeeded).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(of_succeeded, 0);
    let packed = eventually("it is counted", async || {
        let mut packed = 0.0;
        for replica in &replicas {
            packed += crate::operations::metrics(replica).await.value("igt_logs_packed_total", &[]).unwrap_or(0.0);
        }
        (packed >= 20.0).then_some(packed)
    })
    .await;
    assert!((packed - 20.0).abs() < 0.5, "{packed}");
}

#[tokio::test]
async fn only_what_ended_so_long_ago_and_is_summed_up_is_packed() {
    let database = Database::fresh().await;
    let pool_of_tests = &database.pool;
    tasks(pool_of_tests, 8).await;
    let mut random = StdRng::seed_from_u64(45);
    let days = |days: i64| TimeDelta::days(days) + TimeDelta::minutes(5);
    let now = now(pool_of_tests).await;
    let old = ended(pool_of_tests, &mut random, "t0", now - days(10), 5).await;
    let young = ended(pool_of_tests, &mut random, "t1", now - days(9), 5).await;
    let of_old = async |task, change: &str| {
        let run = ended(pool_of_tests, &mut StdRng::seed_from_u64(46), task, now - days(20), 5).await;
        sqlx::query(sqlx::AssertSqlSafe(change)).bind(run.run_id).execute(pool_of_tests).await.unwrap();
        run
    };
    let late = of_old("t2", "update runs set finished_at = now() - interval '9 days' where run_id = $1").await;
    let active = of_old(
        "t3",
        "update runs set state = 'running', claimable_at = now() + interval '1 hour', finished_at = null where run_id = $1",
    )
    .await;
    let not_summed_up = of_old("t4", "delete from run_summaries where run_id = $1").await;
    let after_ten_days = Retention { archive_after_days: Some(10), ..PACK };
    let tended = tend_logs(&pool(&database), after_ten_days, Duration::ZERO).await.unwrap();
    assert_eq!((tended.packed.runs, tended.packed.events), (1, 5));
    let is_packed: Vec<Uuid> =
        sqlx::query_scalar("select run_id from run_archives").fetch_all(pool_of_tests).await.unwrap();
    assert_eq!(is_packed, [old.run_id]);
    let rows: Vec<Uuid> = sqlx::query_scalar("select distinct run_id from events order by run_id")
        .fetch_all(pool_of_tests)
        .await
        .unwrap();
    let mut expected = [young, late, active, not_summed_up].map(|run| run.run_id);
    expected.sort_unstable();
    assert_eq!(rows, expected);
    let never = maintain(&database, &[], &[("IGT_ARCHIVE_AFTER_DAYS", "0")]).await;
    assert!(never.stdout.contains("0 logs packed"), "{never:?}");
}

#[tokio::test]
async fn a_log_that_cannot_be_packed_stays_as_it_is_and_holds_up_no_other() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 47, 12).await;
    // Beyond what a column of the archive holds.
    sqlx::query("update events set seq = 3000000000 where run_id = $1 and seq = 1")
        .bind(runs[4].run_id)
        .execute(&database.pool)
        .await
        .unwrap();
    let before = logs(&database.pool, &runs).await;
    let packed = maintain(&database, &[], &[]).await;
    assert!(packed.code == Some(1) && packed.stdout.contains("11 logs packed"), "{packed:?}");
    assert!(packed.stderr.contains(&runs[4].run_id.to_string()), "{packed:?}");
    assert_eq!(whereabouts(&database.pool).await, (1, 11));
    assert_eq!(logs(&database.pool, &runs).await, before);
}

#[tokio::test]
async fn a_log_that_takes_too_long_to_pack_stays_as_it_is_and_holds_up_no_other() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 50, 12).await;
    let before = logs(&database.pool, &runs).await;
    // What the server says of a statement that took longer than it allows.
    let too_long = format!(
        "create function too_long() returns trigger language plpgsql as $$
         begin raise 'canceling statement due to statement timeout' using errcode = 'query_canceled'; end $$;
         create trigger too_long before insert on run_archives for each row when (new.run_id = '{}')
         execute function too_long()",
        runs[2].run_id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(too_long)).execute(&database.pool).await.unwrap();
    let packed = maintain(&database, &[], &[]).await;
    assert!(packed.code == Some(1) && packed.stdout.contains("11 logs packed"), "{packed:?}");
    assert!(packed.stderr.contains(&runs[2].run_id.to_string()), "{packed:?}");
    assert_eq!(whereabouts(&database.pool).await, (1, 11));
    assert_eq!(logs(&database.pool, &runs).await, before);
    // And so it is again for all that come after it.
    let later =
        ended(&database.pool, &mut StdRng::seed_from_u64(51), "t0", days_ago(&database.pool, 31).await, 3).await;
    let packed = maintain(&database, &[], &[]).await;
    assert!(packed.code == Some(1) && packed.stdout.contains("1 logs packed"), "{packed:?}");
    assert_eq!(archives::whereabouts(&database.pool, RunId(later.run_id)).await.unwrap(), Whereabouts::Archive);
}

#[tokio::test]
async fn what_somebody_changes_in_a_log_while_it_is_packed_is_in_the_pack_or_was_not_done() {
    let database = Database::fresh().await;
    let runs = a_month_and_more_ago(&database.pool, 52, 3).await;
    let run = &runs[1];
    sqlx::query("update events set message = 'met @anna' where run_id = $1 and seq = 1")
        .bind(run.run_id)
        .execute(&database.pool)
        .await
        .unwrap();
    // The packing has read the rows, and its insert waits. No lock, which it would not wait for so long.
    let held = "create table held ();
                create function wait_while_held() returns trigger language plpgsql as $$
                begin
                    while exists (select from held) loop perform pg_sleep(0.01); end loop;
                    return null;
                end $$;
                create trigger wait_while_held before insert on run_archives
                for each statement execute function wait_while_held();
                insert into held default values";
    sqlx::raw_sql(held).execute(&database.pool).await.unwrap();
    let service = pool(&database).patient(Duration::from_secs(60));
    let patterns = Patterns { in_words: "@anna".to_owned(), in_json: "\"anna\"".to_owned() };
    let (since, until) = (days_ago(&database.pool, 40).await, now(&database.pool).await);
    let said = mentions::in_events(&service, since, until, &patterns).await.unwrap();
    let [said] = &said[..] else { panic!("one event names them: {said:?}") };
    let packing = tokio::spawn({
        let service = service.clone();
        async move { tend_logs(&service, PACK, Duration::ZERO).await }
    });
    let waits = async |what: &str| -> bool {
        let waits = "select exists (select from pg_stat_activity where datname = current_database()
                         and wait_event_type in ('Lock', 'Timeout') and position($1 in query) > 0)";
        sqlx::query_scalar(waits).bind(what).fetch_one(&database.pool).await.unwrap()
    };
    eventually("the packing waits", async || waits("insert into run_archives").await.then_some(())).await;
    let changing = tokio::spawn({
        let (service, said) = (service.clone(), said.clone());
        async move { mentions::say_instead(&service, &said, "met [erased]", &said.fields).await }
    });
    eventually("the change is done, or waits", async || {
        (changing.is_finished() || waits("update events").await).then_some(())
    })
    .await;
    sqlx::query("delete from held").execute(&database.pool).await.unwrap();
    assert_eq!(packing.await.unwrap().unwrap().packed.runs, 3);
    let is_changed = changing.await.unwrap().unwrap();
    let log = status::events(&database.pool, RunId(run.run_id), 0, i64::MAX).await.unwrap();
    assert_eq!(log[0].message, if is_changed { "met [erased]" } else { "met @anna" });
    assert_eq!(whereabouts(&database.pool).await, (0, 3));
}

#[tokio::test]
async fn a_log_of_many_packs_is_packed_and_read_piece_by_piece() {
    let database = Database::fresh().await;
    tasks(&database.pool, 1).await;
    let at = now(&database.pool).await - TimeDelta::days(40);
    let mut run = ended(&database.pool, &mut StdRng::seed_from_u64(48), "t0", at, 1).await;
    sqlx::query(
        "insert into events (run_id, seq, at, level, event_type, message, fields)
         select $1, seq, $2, 'info', 'posts_fetched', repeat('long ', (seq % 2000)::int), jsonb_build_object('n', seq)
         from generate_series(2, 4321) as seq",
    )
    .bind(run.run_id)
    .bind(at)
    .execute(&database.pool)
    .await
    .unwrap();
    sqlx::query("update runs set last_seq = 4321").execute(&database.pool).await.unwrap();
    run.events.truncate(1);
    let before = logs(&database.pool, std::slice::from_ref(&run)).await;
    assert_eq!(maintain(&database, &[], &[]).await.code, Some(0));
    assert_eq!(logs(&database.pool, std::slice::from_ref(&run)).await, before);
    let packs: Vec<(i32, i32)> = sqlx::query_as("select from_seq, until_seq from run_archives order by from_seq")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert!(packs.len() > 40, "{}", packs.len());
    assert!(packs.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{packs:?}");
    for (after, until) in [(0, 1), (4320, 4321), (1000, 1100), (255, 257), (4321, 9999)] {
        let read = status::events(&database.pool, RunId(run.run_id), after, until).await.unwrap();
        let seqs: Vec<_> = read.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (after + 1..=until.min(4321)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn through_a_pooler_in_transaction_mode_logs_are_packed_read_and_given_up() {
    let world = World::new().await;
    let runs = a_month_and_more_ago(&world.database.pool, 49, 40).await;
    let before = logs(&world.database.pool, &runs).await;
    let pooler = Pooler::before(&world.database.url).await;
    let settings = [("DATABASE_URL", pooler.url.as_str()), ("IGT_DB_POOLER", "transaction")];
    let packed = call(&["maintain"], &settings).finished().await;
    assert!(packed.code == Some(0) && packed.stdout.contains("40 logs packed"), "{packed:?}");
    assert_eq!(whereabouts(&world.database.pool).await, (0, 40));
    assert_eq!(logs(&world.database.pool, &runs).await, before);
    let settings = [("IGT_DB_POOLER", "transaction"), ("IGT_CONCURRENCY", "0")];
    let replica = Started::new(&pooler.url, &world.instagram.url, &settings).listening().await;
    let events: usize = runs.iter().map(|run| run.events.len()).sum();
    assert_eq!(walk(&replica, "/events", 30).await.len(), events);
    for run in &runs {
        assert_eq!(walk(&replica, &format!("/runs/{}/events?q=e", run.run_id), 3).await.len(), {
            let has = |text: &str| text.to_lowercase().contains('e');
            run.events.iter().filter(|event| has(&event.message) || has(&event.fields)).count()
        });
    }
    let settings =
        [("DATABASE_URL", pooler.url.as_str()), ("IGT_DB_POOLER", "transaction"), ("IGT_LOG_RETENTION_DAYS", "7")];
    let gone = call(&["maintain"], &settings).finished().await;
    assert!(gone.code == Some(0) && gone.stdout.contains("40 logs and"), "{gone:?}");
    assert_eq!(whereabouts(&world.database.pool).await, (0, 0));
}
