//! The schema `dashboard`: a contract that only grows, a role that reads it and nothing else, and views that tell what is
//! known and no more.

mod panels;
mod questions;
mod role;
mod rollups;

use std::path::Path;

use ig_tracking::maintenance::{roll_up_all, summarise_all};
use sqlx::PgPool;
use tokio::sync::OnceCell;

use crate::harness::{Database, snapshot};

/// A history that the tests read and none changes: a month of a dozen accounts, summarised and rolled up.
static HISTORY: OnceCell<Database> = OnceCell::const_new();

pub(crate) async fn history() -> &'static Database {
    let make = async || {
        let database = Database::with_history(12, 30).await;
        summarise_all(&database.as_the_service()).await.unwrap();
        roll_up_all(&database.as_the_service()).await.unwrap();
        // The pool of the test that comes first ends with it.
        Database { pool: PgPool::connect_lazy(&database.url).unwrap(), ..database }
    };
    HISTORY.get_or_init(make).await
}

/// Each view and column as the catalog has it, with its type and comment.
async fn columns(pool: &PgPool) -> Vec<(String, String, String, String)> {
    sqlx::query_as(
        "select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
                coalesce(col_description(c.oid, a.attnum), '')
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'dashboard'::regnamespace order by c.relname, a.attnum",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn within_a_version_views_and_columns_are_only_added() {
    let pool = Database::fresh().await.pool;
    let version: i32 = sqlx::query_scalar("select version from dashboard.version").fetch_one(&pool).await.unwrap();
    let lines = columns(&pool).await.into_iter().map(|(view, column, kind, _)| format!("{view}.{column} {kind}\n"));
    let found = format!("version {version}\n{}", lines.collect::<String>());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dashboards/views.txt");
    let otherwise = "the views of the schema dashboard changed; what is gone or has another type needs another version of \
                     dashboard.version and a word in CHANGELOG.md, what is new needs its line here";
    snapshot(otherwise, &path, &found);
}

#[tokio::test]
async fn every_view_column_and_function_of_the_dashboards_says_what_it_is() {
    let pool = Database::fresh().await.pool;
    let silent: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
         where relnamespace = 'dashboard'::regnamespace and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
         union all
         select proname::text from pg_proc p
         where pronamespace = 'dashboard'::regnamespace and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
    let columns = columns(&pool).await;
    assert!(columns.len() > 100);
    for (view, column, _, comment) in columns {
        assert!(comment.ends_with('.'), "{view}.{column}: {comment:?}");
    }
}

#[tokio::test]
async fn the_document_of_the_dashboards_has_each_view_and_column_as_the_database_has_it() {
    let pool = Database::fresh().await.pool;
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DASHBOARDS.md")).unwrap();
    let mut rows = 0;
    for (view, column, kind, comment) in columns(&pool).await {
        let section = document.split("\n### ").find(|section| section.starts_with(&format!("dashboard.{view}\n")));
        let section = section.unwrap_or_else(|| panic!("docs/DASHBOARDS.md has no section ### dashboard.{view}"));
        let row = format!("| `{column}` | {kind} | {comment} |");
        assert!(section.contains(&row), "docs/DASHBOARDS.md lacks in dashboard.{view}:\n{row}");
        rows += 1;
    }
    let views: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, obj_description(oid, 'pg_class') from pg_class where relnamespace = 'dashboard'::regnamespace",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (view, comment) in views {
        assert!(document.contains(&format!("\n### dashboard.{view}\n\n{comment}\n")), "dashboard.{view}: {comment}");
    }
    // And none that is gone.
    let named = document.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2).count();
    assert_eq!(named, rows, "docs/DASHBOARDS.md has rows of columns that no view has");
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_day_on_which_nobody_looked_is_a_gap_and_carries_no_number() {
    let database = history().await;
    let pool = PgPool::connect(&database.url).await.unwrap();
    // As the runs' own logs tell it: on which days was each account read?
    let wrong = "with looks as (
                     select r.profile_id, (e.at at time zone 'UTC')::date as day, count(*) as looks
                     from runs r join events e using (run_id) where e.event_type = 'account_fetched' group by 1, 2)
                 select count(*)
                 from dashboard.profile_growth g
                 full join looks l on l.profile_id = g.profile_id and l.day::timestamp at time zone 'UTC' = g.day
                 where coalesce(l.looks, 0) <> coalesce(g.looks, -1) or (g.looks > 0) <> g.is_observed
                     or (not g.is_observed and num_nonnulls(g.followers_count, g.following_count, g.posts_count) > 0)";
    assert_eq!(count(&pool, wrong).await, 0);
    let gaps = "select count(*) from dashboard.profile_growth where not is_observed";
    assert!(count(&pool, gaps).await > 0, "the history has gaps");
    let bridged = "select count(*) from (
                       select followers_change, is_observed, lag(is_observed) over (partition by profile_id order by day) as before
                       from dashboard.profile_growth) as g
                   where followers_change is not null and (not is_observed or before is not true)";
    assert_eq!(count(&pool, bridged).await, 0, "no change is told over a gap");
    // The number of a day is the one that was true when the account was last read on it.
    let other = "select count(*)
                 from dashboard.profile_growth g
                 cross join lateral (
                     select s.followers_count from profile_snapshots s
                     where s.profile_id = g.profile_id and s.observed_from < g.day + interval '24 hours'
                     order by s.observed_from desc limit 1) as s
                 where g.followers_count is not null and g.followers_count <> s.followers_count";
    assert_eq!(count(&pool, other).await, 0);
    assert!(count(&pool, "select count(followers_change) from dashboard.profile_growth").await > 100);
    // And leads to the snapshot that it is of.
    let astray = "select count(*)
                  from dashboard.profile_growth g
                  left join profile_snapshots s on (s.profile_id, s.run_id, s.seq) = (g.profile_id, g.run_id, g.seq)
                  where num_nonnulls(g.followers_count, g.following_count, g.posts_count) > 0
                      and (s.followers_count, s.following_count, s.posts_count)
                          is distinct from (g.followers_count, g.following_count, g.posts_count)
                      or (g.run_id is null) <> (num_nonnulls(g.followers_count, g.following_count, g.posts_count) = 0)";
    assert_eq!(count(&pool, astray).await, 0);
}

#[tokio::test]
async fn what_is_hidden_or_was_not_told_is_null_and_never_zero() {
    let database = Database::with_history(3, 10).await;
    sqlx::raw_sql(
        "update media_snapshots set likes_count = null, likes_hidden = true, plays_count = null
         where profile_id = (select min(profile_id) from profiles);
         update profile_snapshots set followers_count = null where profile_id = (select max(profile_id) from profiles)",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    summarise_all(&database.as_the_service()).await.unwrap();
    let pool = &database.pool;
    let hidden = "select count(*) from dashboard.engagement
                  where likes_hidden and num_nonnulls(likes_count, interactions, on_followers, on_plays, on_views) > 0";
    assert_eq!(count(pool, hidden).await, 0);
    assert!(count(pool, "select count(*) from dashboard.engagement where likes_hidden").await > 5);
    let not_told = "select count(*) from dashboard.reel_velocity v join dashboard.reels r using (profile_id, shortcode)
                    where r.plays_count is null";
    assert_eq!(count(pool, not_told).await, 0);
    let unknown = "select count(*) from dashboard.engagement e
                   where profile_id = (select max(profile_id) from profiles) and num_nonnulls(on_followers, followers_at_publish) > 0";
    assert_eq!(count(pool, unknown).await, 0);
    let unknown = "select count(followers_count) from dashboard.profile_growth
                   where profile_id = (select max(profile_id) from profiles)";
    assert_eq!(count(pool, unknown).await, 0);
}

#[tokio::test]
async fn rates_are_what_their_words_say() {
    let pool = Database::fresh().await.pool;
    // An account of 1,000 followers that has 1,100 two days later; a reel of the first day, and an image of long before.
    sqlx::raw_sql(
        "insert into profiles (profile_id, username, run_id, seq) overriding system value values (7, 'anna', uuid_v7(), 2);
         insert into profile_snapshots values
             (7, '2026-03-01T00:00Z', '2026-03-01T12:00Z', 1000, 5, 9, uuid_v7(), 2),
             (7, '2026-03-03T00:00Z', '2026-03-03T12:00Z', 1100, 5, 9, uuid_v7(), 2);
         insert into media (profile_id, shortcode, instagram_pk, kind, is_reel, is_pinned, taken_at, run_id, seq) values
             (7, 'Breel', 1, 'video', true, false, '2026-03-01T06:00Z', uuid_v7(), 3),
             (7, 'Bimage', 2, 'image', false, false, '2026-02-01T00:00Z', uuid_v7(), 3);
         insert into media_snapshots values
             (7, 'Breel', '2026-03-01T07:00Z', '2026-03-01T08:00Z', 10, false, 0, 500, 300, uuid_v7(), 3),
             (7, 'Breel', '2026-03-01T12:00Z', '2026-03-02T00:00Z', 45, false, 5, 2500, 2000, uuid_v7(), 3),
             (7, 'Bimage', '2026-03-01T07:00Z', '2026-03-03T00:00Z', 90, false, 10, null, null, uuid_v7(), 3)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let reel: (i64, f64, f64, f64, f64, f64) = sqlx::query_as(
        "select followers_at_publish, followers_distance_hours, on_followers, on_plays, on_views, v.plays_per_hour
         from dashboard.engagement e join dashboard.reel_velocity v using (profile_id, shortcode) where shortcode = 'Breel'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // 45 + 5 on 1,000 followers, 2,500 plays, 2,000 views; 2,000 plays in the four hours from 08:00 to 12:00.
    assert_eq!(reel, (1000, 0.0, 0.05, 0.02, 0.025, 500.0));
    let image: (Option<i64>, Option<f64>, i64, Option<f64>) = sqlx::query_as(
        "select followers_at_publish, on_followers, interactions, on_plays from dashboard.engagement where shortcode = 'Bimage'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(image, (None, None, 100, None), "nobody knows how many followed a month before the first look");
    let (age, gained): (f64, i64) =
        sqlx::query_as("select age_hours, plays_gained from dashboard.reel_velocity").fetch_one(&pool).await.unwrap();
    assert_eq!((age, gained), (6.0, 2000));
}

#[tokio::test]
async fn a_last_word_that_a_summary_tells_is_not_looked_up_among_the_events() {
    let database = Database::with_history(4, 12).await;
    summarise_all(&database.as_the_service()).await.unwrap();
    let pool = &database.pool;
    let plan = "explain (analyze, costs off, timing off, summary off)
                select count(*), max(message), max(http_status) from dashboard.failed_runs";
    let plan: Vec<String> = sqlx::query_scalar(plan).fetch_all(pool).await.unwrap();
    let mut scans = plan.iter().filter(|line| line.contains("Scan") && line.contains(" on events")).peekable();
    assert!(scans.peek().is_some() && scans.all(|line| line.contains("never executed")), "{plan:#?}");
    // One that has no summary yet tells the same.
    let said = "select message from dashboard.failed_runs order by run_id limit 1";
    let before: String = sqlx::query_scalar(said).fetch_one(pool).await.unwrap();
    let forget =
        "delete from run_summaries where run_id = (select run_id from dashboard.failed_runs order by run_id limit 1)";
    sqlx::query(forget).execute(pool).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, String>(said).fetch_one(pool).await.unwrap(), before);
}

#[tokio::test]
async fn runs_survive_their_logs() {
    let database = Database::with_history(4, 12).await;
    summarise_all(&database.as_the_service()).await.unwrap();
    let told = async || -> Vec<Option<String>> {
        let mut all = Vec::new();
        for query in [
            "select jsonb_agg(to_jsonb(r) order by run_id)::text from dashboard.runs r",
            "select jsonb_agg(to_jsonb(p) order by run_id, phase)::text from dashboard.run_phases p",
            "select jsonb_agg(to_jsonb(h) order by h::text)::text from dashboard.run_hours h",
            "select jsonb_agg(to_jsonb(h) order by h::text)::text from dashboard.phase_hours h",
            "select jsonb_agg(to_jsonb(t) order by t::text)::text from dashboard.throughput t",
            "select jsonb_agg(to_jsonb(f) order by f::text)::text from dashboard.failures f",
            "select jsonb_agg(to_jsonb(q) order by q::text)::text from dashboard.requests q",
            "select jsonb_agg(to_jsonb(d) order by d::text)::text from dashboard.event_days d",
            "select jsonb_agg(to_jsonb(f) order by run_id)::text from dashboard.failed_runs f",
        ] {
            all.push(sqlx::query_scalar(query).fetch_one(&database.pool).await.unwrap());
        }
        all
    };
    let before = told().await;
    assert!(before.iter().all(Option::is_some));
    sqlx::raw_sql("truncate events; truncate run_exchanges").execute(&database.pool).await.unwrap();
    assert!(before == told().await);
    let last_words = "select count(message) - count(*) + 10 * count(failure) from dashboard.failed_runs";
    assert!(count(&database.pool, last_words).await > 0, "each has its last word, and some name a failure");
}
