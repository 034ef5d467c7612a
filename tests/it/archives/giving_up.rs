//! What is over is given up whole, and nothing else is, whoever is killed, and however many are at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ig_tracking::maintenance::tend_logs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::SeedableRng as _;
use tokio::process::Command;

use super::expiry::{exchange, runs_with, weeks};
use super::packing::logs;
use super::*;
use crate::harness::{PROGRAM, eventually};

/// What is given up is what ended sixty days ago.
const GIVE_UP: Retention =
    Retention { body_days: 3650, archive_after_days: Some(30), exchange_days: Some(60), log_days: Some(60) };
const SETTINGS: [(&str, &str); 2] = [("IGT_EXCHANGE_RETENTION_DAYS", "60"), ("IGT_LOG_RETENTION_DAYS", "60")];

/// Runs of which all has to go, and runs that keep all they have, each with its log of before.
#[derive(Clone)]
struct Past {
    /// In a week of their own, which is dropped with them.
    week: Vec<Run>,
    /// Over, in rows and in packs, one by one.
    over: Vec<Run>,
    stays: Vec<Run>,
    logs_over: Vec<String>,
    logs_that_stay: Vec<String>,
}

/// A time in the week of so many days ago, long before its end.
async fn early_in_the_week(pool: &PgPool, days: i64) -> DateTime<Utc> {
    let tuesday = "select (date_trunc('week', $1 at time zone 'UTC') + interval '1 day') at time zone 'UTC'";
    sqlx::query_scalar(tuesday).bind(days_ago(pool, days).await).fetch_one(pool).await.unwrap()
}

impl Past {
    /// So many runs of each kind.
    async fn of(database: &Database, seed: u64, count: i64) -> Self {
        let (pool, mut random) = (&database.pool, StdRng::seed_from_u64(seed));
        tasks(pool, 8).await;
        let mut made = async |days: i64| several(pool, &mut random, early_in_the_week(pool, days).await, count).await;
        // Both in one quarter.
        let (packed, mut packed_and_stays) = (made(75).await, made(75).await);
        assert_eq!(maintain(database, &[], &[]).await.code, Some(0));
        weeks(pool, &[100, 90]).await;
        let (week, in_a_week_that_stays, in_no_week) = (made(100).await, made(90).await, made(80).await);
        let mut stays = made(20).await;
        // One that is not over holds its whole week; and those hold the quarter that were asked for long ago and ended lately.
        let active = ended(pool, &mut random, "t0", early_in_the_week(pool, 90).await, 4).await;
        let activate = "update runs set state = 'running', claimable_at = now(), finished_at = null where run_id = $1";
        sqlx::query(activate).bind(active.run_id).execute(pool).await.unwrap();
        for run in &packed_and_stays {
            let lately = "update runs set finished_at = now() - interval '10 days' where run_id = $1";
            sqlx::query(lately).bind(run.run_id).execute(pool).await.unwrap();
        }
        stays.push(active);
        stays.append(&mut packed_and_stays);
        let over = [packed, in_a_week_that_stays, in_no_week].concat();
        for run in week.iter().chain(&over).chain(&stays) {
            exchange(pool, run).await;
        }
        let all_over = [&week[..], &over].concat();
        let (logs_over, logs_that_stay) = (logs(pool, &all_over).await, logs(pool, &stays).await);
        Self { week, over, stays, logs_over, logs_that_stay }
    }

    /// Each log is whole or gone, and those that stay are whole.
    async fn assert_whole(&self, pool: &PgPool, when: &str) {
        let all_over = [&self.week[..], &self.over].concat();
        for (log, before) in logs(pool, &all_over).await.into_iter().zip(&self.logs_over) {
            assert!(&log == before || log == "[]", "{when}: {log} is a part of {before}");
        }
        self.assert_stays(pool, when).await;
    }

    async fn assert_stays(&self, pool: &PgPool, when: &str) {
        assert_eq!(logs(pool, &self.stays).await, self.logs_that_stay, "{when}");
        let asked = runs_with(pool, "run_exchanges").await;
        assert!(self.stays.iter().all(|run| asked.contains(&run.run_id)), "{when}: {asked:?}");
    }

    /// All that is over is gone, and what is left of each run is there.
    async fn assert_done(&self, pool: &PgPool) {
        let left: Vec<String> = logs(pool, &[&self.week[..], &self.over].concat()).await;
        assert!(left.iter().all(|log| log == "[]"), "{left:?}");
        self.assert_stays(pool, "when all is done").await;
        let asked = runs_with(pool, "run_exchanges").await;
        assert!(self.week.iter().all(|run| !asked.contains(&run.run_id)), "their week is gone");
        let all = (self.week.len() + self.over.len() + self.stays.len()) as i64;
        let count = "select (select count(*) from runs), (select count(*) from run_summaries)";
        let runs: (i64, i64) = sqlx::query_as(count).fetch_one(pool).await.unwrap();
        assert_eq!(runs, (all, all), "the runs and their summaries stay");
    }
}

/// The places where whoever gives up is held: before and behind each of its statements that removes something. Those of
/// `delete` come in the order in which they are reached.
const STEPS: [&str; 8] = [
    "ddl_command_start",
    "sql_drop",
    "BEFORE DELETE events",
    "AFTER DELETE events",
    "BEFORE DELETE run_archives",
    "AFTER DELETE run_archives",
    "BEFORE DELETE run_exchanges_default",
    "AFTER DELETE run_exchanges_default",
];

/// Makes the places; a step is held as long as its name stands in `held`. No lock, which the drop does not wait for.
const HOLD: &str = "
    create table held (step text);
    create function wait_while_held(step text) returns void language plpgsql as $$
    begin while exists (select from held h where h.step = $1) loop perform pg_sleep(0.01); end loop; end $$;
    create function wait_at_a_delete() returns trigger language plpgsql as $$
    begin perform wait_while_held(concat_ws(' ', tg_when, tg_op, tg_table_name)); return null; end $$;
    create function wait_at_a_drop() returns event_trigger language plpgsql as $$
    begin perform wait_while_held(tg_event); end $$;
    create event trigger before_drop on ddl_command_start when tag in ('DROP TABLE') execute function wait_at_a_drop();
    create event trigger behind_drop on sql_drop when tag in ('DROP TABLE') execute function wait_at_a_drop();
    create trigger before_delete before delete on events for each statement execute function wait_at_a_delete();
    create trigger behind_delete after delete on events for each statement execute function wait_at_a_delete();
    create trigger before_delete before delete on run_archives for each statement execute function wait_at_a_delete();
    create trigger behind_delete after delete on run_archives for each statement execute function wait_at_a_delete();
    create trigger before_delete before delete on run_exchanges_default
    for each statement execute function wait_at_a_delete();
    create trigger behind_delete after delete on run_exchanges_default
    for each statement execute function wait_at_a_delete()";

#[tokio::test]
async fn whoever_is_killed_at_any_step_of_giving_up_leaves_each_log_whole_or_gone() {
    let database = Database::fresh().await;
    let pool = &database.pool;
    let past = Past::of(&database, 61, 4).await;
    sqlx::raw_sql(HOLD).execute(pool).await.unwrap();
    for step in STEPS {
        sqlx::query("insert into held values ($1)").bind(step).execute(pool).await.unwrap();
        for how in ["kill -9", "pg_terminate_backend"] {
            let mut process = Command::new(PROGRAM)
                .arg("maintain")
                .env("DATABASE_URL", &database.url)
                .envs(SETTINGS)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let waiting = "select pid from pg_stat_activity
                           where datname = current_database() and wait_event = 'PgSleep' and pid <> pg_backend_pid()";
            let backend: i32 = eventually(&format!("{step} is reached"), async || {
                sqlx::query_scalar(waiting).fetch_optional(pool).await.unwrap()
            })
            .await;
            if how == "kill -9" {
                kill(Pid::from_raw(process.id().unwrap().try_into().unwrap()), Signal::SIGKILL).unwrap();
                process.wait().await.unwrap();
            }
            sqlx::query("select pg_terminate_backend($1)").bind(backend).execute(pool).await.unwrap();
            if how != "kill -9" {
                assert_eq!(process.wait().await.unwrap().code(), Some(1), "{step}: it says that it was cut off");
            }
            eventually("its transaction is over", async || {
                let left = "select count(*) from pg_stat_activity where pid = $1";
                let left: i64 = sqlx::query_scalar(left).bind(backend).fetch_one(pool).await.unwrap();
                (left == 0).then_some(())
            })
            .await;
            past.assert_whole(pool, &format!("{step}, {how}")).await;
        }
        sqlx::query("delete from held").execute(pool).await.unwrap();
    }
    // Whoever comes next does the rest.
    let done = maintain(&database, &[], &SETTINGS).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    past.assert_done(pool).await;
}

#[tokio::test]
async fn replicas_that_give_up_at_once_give_up_each_log_once_and_nothing_that_stays() {
    let database = Database::fresh().await;
    let past = Past::of(&database, 62, 60).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (pool, is_over, past) = (database.pool.clone(), Arc::clone(&is_over), past.clone());
        tokio::spawn(async move {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) || rounds == 0 {
                past.assert_whole(&pool, "meanwhile").await;
                rounds += 1;
            }
        })
    };
    let replicas: Vec<_> = (0..3).map(|_| pool(&database)).collect();
    let tended = join_all(replicas.iter().map(|pool| tend_logs(pool, GIVE_UP, Duration::ZERO))).await;
    is_over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    let expired: Vec<_> = tended.into_iter().map(|tended| tended.unwrap().expired).collect();
    // The week may have had a reader all the time: then its logs went one by one, too.
    let (week, over) = (past.week.len() as i64, past.over.len() as i64);
    let logs: i64 = expired.iter().map(|expired| expired.logs).sum();
    assert!(logs == over || logs == over + week, "{logs} of {over} and {week}: {expired:?}");
    assert!(expired.iter().map(|expired| expired.weeks).sum::<u64>() <= 2, "{expired:?}");
    // A week that was left is dropped the next time.
    tend_logs(&replicas[0], GIVE_UP, Duration::ZERO).await.unwrap();
    past.assert_done(&database.pool).await;
}
