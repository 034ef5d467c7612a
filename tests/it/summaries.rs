//! What is left of a run when its log is given up: a summary each, once, that agrees with the log; and the counts by hour
//! and day that they add to.

use ig_tracking::db::summaries::is_behind;
use ig_tracking::maintenance::summarise_all;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use crate::failures::HURRIED;
use crate::harness::machine::project;
use crate::harness::{Database, World, eventually};

/// What must never be once all that have ended are summarised, each as a query that counts it.
const NEVER: [(&str, &str); 10] = [
    (
        "a run that has ended without a summary, or one with a summary that has not",
        "select count(*) from runs r full join run_summaries s using (run_id)
         where (r.finished_at is not null) is distinct from (s.run_id is not null)",
    ),
    (
        "events counted otherwise than the log has them",
        "select count(*) from run_summaries s left join event_tallies t using (tally_id)
         where t.by_type is distinct from (select jsonb_object_agg(event_type, n) from (
                   select event_type, count(*) as n from events e where e.run_id = s.run_id group by 1) as of_run)
             or t.by_level is distinct from (select jsonb_object_agg(level, n) from (
                   select level, count(*) as n from events e where e.run_id = s.run_id group by 1) as of_run)",
    ),
    (
        "requests summed up otherwise than they were",
        "select count(*) from run_summaries s
         cross join lateral (select count(*) as n, count(failure) as failed, coalesce(sum(bytes), 0) as bytes,
                                    coalesce(sum(duration_ms), 0) as ms
                             from run_exchanges x where x.run_id = s.run_id) as x
         where (s.requests, s.requests_failed, s.bytes, s.requests_ms) is distinct from
               (x.n, x.failed, x.bytes, trunc(x.ms))",
    ),
    (
        "phases that are not the whole time of their run",
        "select count(*) from run_summaries s join runs r using (run_id)
         where abs(extract(epoch from r.finished_at - r.requested_at) * 1000 - 3 - (coalesce(queue_ms, 0)
                   + coalesce(account_ms, 0) + coalesce(posts_ms, 0) + coalesce(reels_ms, 0) + coalesce(update_ms, 0)
                   + coalesce(waiting_ms, 0) + coalesce(interrupted_ms, 0))) > 4",
    ),
    (
        "posts and reels otherwise than the last word has them",
        "select count(*) from run_summaries s join runs r using (run_id)
         join events e on e.run_id = r.run_id and e.seq = r.last_seq
         where (s.posts, s.reels) is distinct from
               ((e.fields ->> 'scraped_posts_count')::int, (e.fields ->> 'scraped_reels_count')::int)",
    ),
    (
        "last words otherwise than the logs have them, or of a run that succeeded",
        "select count(*) from run_summaries s join runs r using (run_id)
         left join events e on e.run_id = r.run_id and e.seq = r.last_seq and r.state <> 'succeeded'
         where (s.message, s.endpoint, s.http_status, s.failure, s.upstream_message) is distinct from
               (e.message, e.fields ->> 'endpoint', (e.fields ->> 'http_status')::int, e.fields ->> 'failure',
                e.fields ->> 'upstream_message')",
    ),
    (
        "hours that have not each run once",
        "select (select count(*) from runs where finished_at is not null) - (select coalesce(sum(runs), 0) from run_hours)
             + abs((select coalesce(sum(last_exchange), 0) from runs where finished_at is not null)
                   - (select coalesce(sum(requests), 0) from run_hours))",
    ),
    (
        "requests by the hour that are not all requests",
        "select abs((select count(*) from run_exchanges join runs using (run_id) where finished_at is not null)
                    - (select coalesce(sum(requests), 0) from request_hours))::bigint",
    ),
    (
        "events by the day that are not all events",
        "select abs((select count(*) from events join runs using (run_id) where finished_at is not null)
                    - (select coalesce(sum(events), 0) from event_days))::bigint",
    ),
    (
        "looks by the day that are not all looks",
        "select abs((select count(*) from runs where finished_at is not null and profile_id is not null)
                    - (select coalesce(sum(looks), 0) from profile_days))::bigint",
    ),
];

async fn assert_summarised(pool: &PgPool) {
    for (what, query) in NEVER {
        let query = AssertSqlSafe(format!("select ({query})::bigint"));
        let count: i64 = sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
        assert_eq!(count, 0, "{what}");
    }
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_service_summarises_every_run_that_ends() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.scrape(&replica, "posts", "summed.anna").await;
    world.scrape_reels(&replica, "reels", "summed.bella").await;
    for fault in ["throttledonce", "missing", "private", "renamed", "challenged"] {
        world.scrape(&replica, fault, &format!("{fault}.carla")).await;
    }
    let pool = &world.database.pool;
    eventually("all are summarised", async || {
        let left =
            count(pool, "select count(*) from runs where run_id not in (select run_id from run_summaries)").await;
        (left == 0).then_some(())
    })
    .await;
    assert_summarised(pool).await;
    let phases = "select count(waiting_ms) filter (where task_id = 'throttledonce') * 100
                      + count(reels_ms) filter (where task_id = 'reels') * 10 + count(posts_ms) filter (where task_id = 'posts')
                  from run_summaries join runs using (run_id)";
    assert_eq!(count(pool, phases).await, 111);
    let failures = "select count(failure) from run_summaries where http_status = 400 and endpoint = 'web_profile_info'";
    assert!(count(pool, failures).await > 0, "some end by a request");
}

#[tokio::test]
async fn three_at_once_that_are_cut_off_again_and_again_summarise_each_run_once() {
    let database = Database::with_history(12, 20).await;
    let summaries = "select count(*) from run_summaries";
    let work = async || {
        let pool = database.as_the_service();
        loop {
            // Whoever's connection is cut begins anew, as a service does.
            if summarise_all(&pool).await.is_ok() {
                break;
            }
        }
    };
    let cut = async {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let mut seen = 0;
        for _ in 0..12 {
            let all = "select count(*) from runs";
            let all: i64 = sqlx::query_scalar(all).fetch_one(&mut connection).await.unwrap();
            seen = eventually("more are summarised, or all", async || {
                let now = count(&database.pool, summaries).await;
                (now > seen || now == all).then_some(now)
            })
            .await;
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and application_name = '' and pid <> pg_backend_pid()
                           and query like '%summar%'";
            sqlx::query(cut).execute(&mut connection).await.unwrap();
        }
    };
    tokio::join!(work(), work(), work(), cut);
    assert_summarised(&database.pool).await;
    assert_eq!(summarise_all(&database.as_the_service()).await.unwrap(), 0, "there is nothing left");
}

#[tokio::test]
async fn a_run_whose_end_is_committed_late_is_not_passed_over() {
    let database = Database::with_history(1, 8).await;
    let pool = database.as_the_service();
    let all = "select count(*) from run_summaries";
    summarise_all(&pool).await.unwrap();
    // Two runs end: the first to begin its transaction is the last to commit.
    let ended_anew = "update runs set state_xid = pg_current_xact_id()
                      where run_id = (select run_id from runs where state_xid = '0' order by run_id limit 1 for update skip locked)";
    let forget = "delete from run_summaries where run_id in (select run_id from runs order by run_id limit 2)";
    sqlx::query(forget).execute(&database.pool).await.unwrap();
    let before = count(&database.pool, all).await;
    let mut late = database.pool.begin().await.unwrap();
    sqlx::query(ended_anew).execute(&mut *late).await.unwrap();
    sqlx::query(ended_anew).execute(&database.pool).await.unwrap();
    assert_eq!(summarise_all(&pool).await.unwrap(), 0, "behind the one that is under way nobody looks");
    late.commit().await.unwrap();
    // Other tests have transactions under way, too, behind which nobody looks either.
    eventually("both are summarised", async || {
        summarise_all(&pool).await.unwrap();
        (count(&database.pool, all).await == before + 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn in_another_cluster_all_runs_are_looked_at_once_more_and_none_counts_twice() {
    let database = Database::with_history(3, 10).await;
    let pool = database.as_the_service();
    let all = summarise_all(&pool).await.unwrap();
    assert!(all > 100 && !is_behind(&pool).await.unwrap());
    // As a dump leaves it that was restored elsewhere: another cluster's number, and a place that is far ahead.
    let restored = "update run_summary_mark set cluster = 1, xid = '4000000000';
                    delete from run_summaries
                    where run_id = (select run_id from run_summaries order by run_id desc limit 1)";
    sqlx::raw_sql(restored).execute(&database.pool).await.unwrap();
    assert!(is_behind(&pool).await.unwrap());
    assert_eq!(summarise_all(&pool).await.unwrap(), 1);
    assert!(!is_behind(&pool).await.unwrap());
    let summaries = count(&database.pool, "select count(*) from run_summaries").await;
    assert_eq!(u64::try_from(summaries).unwrap(), all);
}

#[tokio::test]
async fn a_run_whose_log_is_gone_already_tells_what_its_row_does_and_no_zeros() {
    let database = Database::with_history(2, 8).await;
    sqlx::raw_sql("truncate events; truncate run_exchanges").execute(&database.pool).await.unwrap();
    summarise_all(&database.as_the_service()).await.unwrap();
    let known = "select count(*) from run_summaries s join runs r using (run_id)
                 where s.requests <> r.last_exchange
                     or (r.last_exchange > 0 and num_nonnulls(bytes, requests_failed, requests_ms) > 0)
                     or num_nonnulls(tally_id, posts, reels, account_ms, posts_ms, reels_ms, update_ms, waiting_ms) > 0
                     or coalesce(queue_ms, 0) <> trunc(extract(epoch from r.started_at - r.requested_at) * 1000)";
    assert_eq!(count(&database.pool, known).await, 0);
    assert!(count(&database.pool, "select count(*) from run_summaries").await > 20);
    let looks =
        "select sum(looks)::bigint - (select count(*) from runs where profile_id is not null) from profile_days";
    assert_eq!(count(&database.pool, looks).await, 0, "that it was looked at is still known");
}

#[tokio::test]
async fn who_waits_for_another_to_summarise_takes_over_from_it() {
    let database = Database::with_history(1, 5).await;
    let mut other = database.pool.begin().await.unwrap();
    sqlx::query("select from run_summary_mark for update").execute(&mut *other).await.unwrap();
    let pool = database.as_the_service();
    let waiting = tokio::spawn(async move { summarise_all(&pool).await });
    eventually("it has looked", async || {
        let looked = "select count(*) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid() and query like '%run_summary_mark m%'";
        (count(&database.pool, looked).await > 0).then_some(())
    })
    .await;
    assert!(!waiting.is_finished(), "it waits");
    other.rollback().await.unwrap();
    assert!(waiting.await.unwrap().unwrap() > 10);
    assert_summarised(&database.pool).await;
}

/// The migration that gives summaries their last words, by the beginning of its name.
const LAST_WORDS: &str = "20261130000100_";

#[tokio::test]
async fn summaries_of_before_take_their_last_words_from_logs_that_are_rows() {
    let database = Database::empty().await;
    let pool = &database.pool;
    let mut files: Vec<_> =
        std::fs::read_dir(project("migrations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_it = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(LAST_WORDS);
    let place = files.iter().position(is_it).unwrap();
    let apply = async |path: &std::path::PathBuf| {
        let statements = std::fs::read_to_string(path).unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await.unwrap();
    };
    for path in &files[..place] {
        apply(path).await;
    }
    // A run that failed, one whose log is packed, and one that succeeded.
    sqlx::raw_sql(
        "insert into tasks (task_id, kind, username) select 't' || n, 'profile', 'anna' from generate_series(1, 3) n;
         insert into runs (run_id, task_id, kind, username, source, trigger, state, reason, last_seq, finished_at, deadline_at)
         select uuid_v7(), 't' || n, 'profile', 'anna', 'auto', 'api', case n when 3 then 'succeeded' else 'failed' end,
                case when n < 3 then 'private' end, 1, now(), now()
         from generate_series(1, 3) n;
         insert into run_summaries (run_id, requests) select run_id, 1 from runs;
         insert into events (run_id, seq, at, level, event_type, message, fields)
         select run_id, 1, now(), 'error', 'scrape_failed', 'Word of ' || task_id,
                '{\"endpoint\": \"feed\", \"http_status\": 401, \"failure\": \"private\", \"upstream_message\": \"no\"}'
         from runs where task_id <> 't2'",
    )
    .execute(pool)
    .await
    .unwrap();
    apply(&files[place]).await;
    type Word = (String, Option<String>, Option<String>, Option<i32>, Option<String>, Option<String>);
    let words: Vec<Word> = sqlx::query_as(
        "select task_id, message, endpoint, http_status, failure, s.upstream_message
         from run_summaries s join runs using (run_id) order by task_id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let nothing = |task: &str| (task.to_owned(), None, None, None, None, None);
    let first = ("t1".to_owned(), text("Word of t1"), text("feed"), Some(401), text("private"), text("no"));
    assert_eq!(words, [first, nothing("t2"), nothing("t3")]);
}
