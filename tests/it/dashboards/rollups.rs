//! What is counted by account: that it is what the views of rows say, that no more is written anew than has moved, and that no
//! run is passed over, whoever is at it and whoever is cut off.

use ig_tracking::db::Pool;
use ig_tracking::maintenance::{roll_up_all, summarise_all};
use sqlx::{AssertSqlSafe, PgPool};

use super::{count, history};
use crate::failures::HURRIED;
use crate::harness::machine::project;
use crate::harness::{Database, World, call, eventually};

/// An account with reels and images of two weeks: hidden likes, numbers that were not told, plays that were taken back, a post
/// of which nobody knows when it was published.
const ACCOUNT: &str = "
    insert into profiles (profile_id, username, run_id, seq) overriding system value values (7, 'anna', uuid_v7(), 2);
    insert into profile_snapshots values
        (7, '2026-03-02T00:00Z', '2026-03-08T00:00Z', 1000, 5, 9, uuid_v7(), 2),
        (7, '2026-03-09T00:00Z', '2026-03-15T00:00Z', 2000, 5, 9, uuid_v7(), 2);
    insert into media (profile_id, shortcode, instagram_pk, is_reel, is_pinned, taken_at, last_seen_at, run_id, seq)
    select 7, code, 1, code like 'R%', false, taken_at::timestamptz, '2026-03-20T00:00Z', uuid_v7(), 3
    from (values ('Rmonday', '2026-03-02T00:00Z'), ('Rhidden', '2026-03-03T05:00Z'), ('Rsunday', '2026-03-08T23:59:59Z'),
                 ('Rnext', '2026-03-09T00:00Z'), ('Ifew', '2026-03-04T00:00Z'), ('Imany', '2026-03-03T00:00Z'),
                 ('Ione', '2026-03-06T00:00Z'), ('Iuntold', '2026-03-05T00:00Z'), ('Inever', null)) as post (code, taken_at);
    insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden, comments_count,
                                 plays_count, views_count, run_id, seq)
    select 7, code, since::timestamptz, until::timestamptz, likes, hidden, comments, plays, views, uuid_v7(), 3
    from (values
        ('Rmonday', '2026-03-02T06:00Z', '2026-03-02T08:00Z', 4, false, 1, 100, 90),
        ('Rmonday', '2026-03-02T12:00Z', '2026-03-02T12:00Z', 20, false, 5, 500, 300),
        ('Rmonday', '2026-03-03T12:00Z', '2026-03-20T00:00Z', 40, false, 10, 1000, 500),
        ('Rhidden', '2026-03-03T06:00Z', '2026-03-03T06:00Z', null, true, 2, 300, 200),
        ('Rhidden', '2026-03-03T08:00Z', '2026-03-03T10:00Z', null, true, 4, 800, 300),
        ('Rhidden', '2026-03-03T20:00Z', '2026-03-20T00:00Z', null, true, 5, 700, 400),
        ('Rsunday', '2026-03-09T06:00Z', '2026-03-20T00:00Z', 30, false, 10, null, 400),
        ('Rnext', '2026-03-09T06:00Z', '2026-03-20T00:00Z', 100, false, 0, null, null),
        ('Ifew', '2026-03-04T06:00Z', '2026-03-20T00:00Z', 20, false, 0, null, null),
        ('Imany', '2026-03-04T06:00Z', '2026-03-20T00:00Z', 60, false, 20, null, null),
        ('Ione', '2026-03-06T06:00Z', '2026-03-20T00:00Z', 10, false, 0, null, null),
        ('Iuntold', '2026-03-06T06:00Z', '2026-03-20T00:00Z', 9, false, null, null, null),
        ('Inever', '2026-03-06T06:00Z', '2026-03-20T00:00Z', 500, false, 500, null, null))
        as told (code, since, until, likes, hidden, comments, plays, views);
    insert into account_rollups (profile_id, due_at) values (7, now())";

/// Rows of the rollups that are not what the views of rows say, and such as are missing there or here.
const WRONG: [&str; 2] = [
    "select count(*)
     from dashboard.engagement_weeks w
     full join (
         select profile_id, date_trunc('week', taken_at, 'UTC') as week, is_reel, count(*) as posts, count(interactions) as known,
                sum(interactions) as interactions, count(on_followers) as n_f, avg(on_followers) as mean_f,
                percentile_cont(0.5) within group (order by on_followers) as median_f, count(on_plays) as n_p,
                avg(on_plays) as mean_p, percentile_cont(0.5) within group (order by on_plays) as median_p,
                count(on_views) as n_v, avg(on_views) as mean_v,
                percentile_cont(0.5) within group (order by on_views) as median_v
         from dashboard.engagement where taken_at is not null group by 1, 2, 3
     ) as e using (profile_id, week, is_reel)
     where (w.posts, w.with_interactions, w.interactions, w.with_on_followers, w.with_on_plays, w.with_on_views)
            is distinct from (e.posts, e.known, e.interactions, e.n_f, e.n_p, e.n_v)
         or exists (select from (values (on_followers_mean, mean_f), (on_followers_median, median_f), (on_plays_mean, mean_p),
                                        (on_plays_median, median_p), (on_views_mean, mean_v), (on_views_median, median_v))
                        as pair (counted, told)
                    where (counted is null) <> (told is null) or abs(counted - told) > 1e-9)",
    "select count(*)
     from dashboard.reel_days d
     full join (
         select profile_id, date_trunc('day', until, 'UTC') as day, count(distinct shortcode) as n, count(*) as changes,
                sum(plays_gained) as gained, sum(extract(epoch from until - since)) / 3600 as hours
         from dashboard.reel_velocity group by 1, 2
     ) as v using (profile_id, day)
     where (d.reels, d.changes, d.plays_gained) is distinct from (v.n, v.changes, v.gained)
         or abs(d.hours - v.hours) > 1e-6 or abs(d.plays_per_hour * d.hours - v.gained) > 1e-3",
];

async fn assert_counted(pool: &PgPool) {
    for query in WRONG {
        assert_eq!(count(pool, query).await, 0, "{query}");
    }
}

/// How one who waits for a lock is found: his statement has these words.
async fn waits(pool: &PgPool, words: &str) -> i32 {
    eventually(&format!("{words} waits"), async || {
        sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and position($1 in query) > 0",
        )
        .bind(words)
        .fetch_optional(pool)
        .await
        .unwrap()
    })
    .await
}

async fn execute(pool: &PgPool, statements: &'static str) {
    sqlx::raw_sql(statements).execute(pool).await.unwrap();
}

/// A database with that account, counted.
async fn counted() -> (Database, Pool) {
    let database = Database::fresh().await;
    execute(&database.pool, ACCOUNT).await;
    let service = database.as_the_service();
    assert_eq!(roll_up_all(&service).await.unwrap(), 1);
    (database, service)
}

#[tokio::test]
async fn a_week_and_a_day_say_of_how_many_they_are_and_count_nothing_unknown_as_zero() {
    let (database, service) = counted().await;
    type Rates = (i32, Option<f64>, Option<f64>);
    let weeks: Vec<(String, bool, i32, i32, Option<i64>)> = sqlx::query_as(
        "select to_char(week at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), is_reel, posts, with_interactions, interactions
         from dashboard.engagement_weeks where username = 'anna' order by week, is_reel",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let week =
        |day: &str, is_reel, posts, known, sum| (format!("2026-03-{day} 00:00"), is_reel, posts, known, Some(sum));
    // Of the images 20, 80 and 10, and one whose comments nobody knows; of the reels 50 and 40, and one with hidden likes.
    assert_eq!(weeks, [week("02", false, 4, 3, 110), week("02", true, 3, 2, 90), week("09", true, 1, 1, 100)]);
    let rates =
        async |query: &'static str| -> Vec<Rates> { sqlx::query_as(query).fetch_all(&database.pool).await.unwrap() };
    // 0.02, 0.08 and 0.01; 50 on 1,000 and 40 on the 2,000 who followed a second later; 100 on 2,000.
    let on_followers = "select with_on_followers, round(on_followers_mean::numeric, 9)::float8, on_followers_median
                        from dashboard.engagement_weeks order by week, is_reel";
    let third = Some(0.036_666_667);
    assert_eq!(
        rates(on_followers).await,
        [(3, third, Some(0.02)), (2, Some(0.035), Some(0.035)), (1, Some(0.05), Some(0.05))]
    );
    let on_plays =
        "select with_on_plays, on_plays_mean, on_plays_median from dashboard.engagement_weeks order by week, is_reel";
    assert_eq!(rates(on_plays).await, [(0, None, None), (1, Some(0.05), Some(0.05)), (0, None, None)]);
    let on_views =
        "select with_on_views, on_views_mean, on_views_median from dashboard.engagement_weeks order by week, is_reel";
    assert_eq!(rates(on_views).await, [(0, None, None), (2, Some(0.1), Some(0.1)), (0, None, None)]);

    let days: Vec<(String, i32, i32, i64, f64, f64)> = sqlx::query_as(
        "select to_char(day at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), reels, changes, plays_gained, hours, plays_per_hour
         from dashboard.reel_days where username = 'anna' order by day",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    // 400 plays in four hours; the day after 500 in a day of one reel, of the other 500 in two hours and 100 taken back in ten.
    let day = |day: &str, reels, changes, gained, hours, rate| {
        (format!("2026-03-{day} 00:00"), reels, changes, gained, hours, rate)
    };
    assert_eq!(days, [day("02", 1, 1, 400, 4.0, 100.0), day("03", 2, 3, 900, 36.0, 25.0)]);
    assert_counted(&database.pool).await;
    assert_eq!(roll_up_all(&service).await.unwrap(), 0, "nothing was read since");
}

#[tokio::test]
async fn over_a_history_they_say_what_the_views_of_rows_do() {
    let pool = PgPool::connect(&history().await.url).await.unwrap();
    assert_counted(&pool).await;
    assert!(
        count(&pool, "select count(*) from dashboard.engagement_weeks where on_followers_median is not null").await
            > 20
    );
    assert!(count(&pool, "select count(*) from dashboard.reel_days where reels > 1").await > 20);
}

#[tokio::test]
async fn what_has_not_moved_is_not_counted_again_but_once_a_day() {
    let (database, service) = counted().await;
    let pool = &database.pool;
    // What nobody counts stays wrong: a week and a day. The other row of the week that moves stays as it is.
    execute(
        pool,
        "update engagement_weeks set posts = 77 where week = '2026-03-09';
         update reel_days set changes = 77 where day = '2026-03-02'",
    )
    .await;
    let untouched = "select xmin::text from engagement_weeks where week = '2026-03-02' and is_reel";
    let before: String = sqlx::query_scalar(untouched).fetch_one(pool).await.unwrap();
    // A run reads an image of the first week and a reel of it; the likes of the one and the plays of the other have moved.
    execute(
        pool,
        "update media set last_seen_at = now() where shortcode in ('Ifew', 'Rhidden');
         insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden, comments_count,
                                      plays_count, views_count, run_id, seq) values
             (7, 'Ifew', now(), now(), 50, false, 0, null, null, uuid_v7(), 3),
             (7, 'Rhidden', now(), now(), null, true, 5, 900, 400, uuid_v7(), 3);
         update account_rollups set due_at = now(), moved_since = now() - interval '1 minute'",
    )
    .await;
    assert_eq!(roll_up_all(&service).await.unwrap(), 1);
    let moved = "select interactions from engagement_weeks where week = '2026-03-02' and not is_reel";
    assert_eq!(count(pool, moved).await, 140, "50 in the place of 20");
    let gained = "select plays_gained from reel_days where day = (now() at time zone 'UTC')::date";
    assert_eq!(count(pool, gained).await, 200);
    let after: String = sqlx::query_scalar(untouched).fetch_one(pool).await.unwrap();
    assert_eq!(after, before, "a row that says what it said is not written");
    let wrong = "select (select count(*) from engagement_weeks where posts = 77) + (select count(*) from reel_days where changes = 77)";
    assert_eq!(count(pool, wrong).await, 2);

    let a_day_later =
        "update account_rollups set due_at = now(), moved_since = now(), whole_at = now() - interval '1 day'";
    execute(pool, a_day_later).await;
    assert_eq!(roll_up_all(&service).await.unwrap(), 1);
    assert_eq!(count(pool, wrong).await, 0);
    assert_counted(pool).await;
}

#[tokio::test]
async fn weeks_and_days_that_have_nothing_any_more_go() {
    let (database, service) = counted().await;
    let pool = &database.pool;
    // The reel of the second week is told to be none; the plays of the first day were a mistake of a run that was long at it.
    execute(
        pool,
        "update media set is_reel = false, last_seen_at = now() where shortcode = 'Rnext';
         delete from media_snapshots where shortcode = 'Rmonday' and observed_from = '2026-03-02T12:00Z';
         update media set last_seen_at = now() where shortcode = 'Rmonday';
         update account_rollups set due_at = now(), moved_since = '2026-03-02T11:00Z'",
    )
    .await;
    assert_eq!(roll_up_all(&service).await.unwrap(), 1);
    let weeks = "select count(*) from engagement_weeks where week = '2026-03-09' and is_reel";
    assert_eq!(count(pool, weeks).await, 0);
    assert_eq!(count(pool, "select count(*) from reel_days where day = '2026-03-02'").await, 0);
    assert_counted(pool).await;
}

#[tokio::test]
async fn an_account_is_due_at_once_when_a_run_has_read_it_and_then_an_hour_after_it_was_counted() {
    let database = Database::with_history(2, 6).await;
    let (pool, service) = (&database.pool, database.as_the_service());
    summarise_all(&service).await.unwrap();
    let new = "select count(*) from account_rollups where due_at <= now() and rolled_at is null";
    assert_eq!(count(pool, new).await, 2);
    assert_eq!(roll_up_all(&service).await.unwrap(), 2);
    // Runs of one end once more.
    let again = "with ended as (
                     update runs set state_xid = pg_current_xact_id()
                     where profile_id = (select min(profile_id) from profiles) returning run_id)
                 delete from run_summaries where run_id in (select run_id from ended)";
    execute(pool, again).await;
    eventually("they are summed up", async || {
        summarise_all(&service).await.unwrap();
        (count(pool, "select count(*) from account_rollups where due_at is not null").await == 1).then_some(())
    })
    .await;
    let noted = "select count(*) from account_rollups a
                 where due_at = rolled_at + interval '1 hour'
                     and moved_since = (select min(started_at) from runs r where r.profile_id = a.profile_id)";
    assert_eq!(count(pool, noted).await, 1);
    assert_counted(pool).await;
}

#[tokio::test]
async fn a_run_that_ends_while_its_account_is_counted_leaves_it_due() {
    let database = Database::with_history(1, 5).await;
    let (pool, service) = (&database.pool, database.as_the_service());
    summarise_all(&service).await.unwrap();
    let again = "with ended as (
                     update runs set state_xid = pg_current_xact_id()
                     where run_id = (select run_id from runs where profile_id is not null order by run_id desc limit 1)
                     returning run_id)
                 delete from run_summaries where run_id in (select run_id from ended)";
    execute(pool, again).await;
    // Somebody is at it, and has read all that he will read.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("select from account_rollups for update").execute(&mut *other).await.unwrap();
    assert_eq!(roll_up_all(&service).await.unwrap(), 0, "nobody else takes it");
    let summing = tokio::spawn(async move {
        // Other tests have transactions under way, too, behind which nobody looks.
        while summarise_all(&service).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    });
    waits(pool, "account_rollups").await;
    let done = "update account_rollups set due_at = null, moved_since = null, rolled_at = now(), whole_at = now()";
    sqlx::query(done).execute(&mut *other).await.unwrap();
    other.commit().await.unwrap();
    summing.await.unwrap();
    let due = "select count(*) from account_rollups where due_at is not null and moved_since is not null";
    assert_eq!(count(pool, due).await, 1);
}

#[tokio::test]
async fn three_at_once_count_each_account_once() {
    let database = Database::with_history(12, 10).await;
    summarise_all(&database.as_the_service()).await.unwrap();
    let work = async || roll_up_all(&database.as_the_service()).await.unwrap();
    let (one, two, three) = tokio::join!(work(), work(), work());
    assert_eq!(one + two + three, 12, "{one}, {two} and {three}");
    assert_counted(&database.pool).await;
}

#[tokio::test]
async fn who_is_cut_off_leaves_what_was_there_and_the_account_due() {
    let (database, service) = counted().await;
    let pool = &database.pool;
    execute(
        pool,
        "update engagement_weeks set posts = 77; update reel_days set reels = 77;
         update account_rollups set due_at = now(), whole_at = null",
    )
    .await;
    let told = "select ((select sum(posts) from engagement_weeks) + (select sum(reels) from reel_days))::bigint";
    let before = count(pool, told).await;
    // It has written the weeks, and cannot write the days.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("lock table reel_days in share mode").execute(&mut *other).await.unwrap();
    let working = tokio::spawn({
        let service = service.clone();
        async move { roll_up_all(&service).await }
    });
    let backend = waits(pool, "with bounds as materialized").await;
    sqlx::query("select pg_terminate_backend($1)").bind(backend).execute(pool).await.unwrap();
    assert!(working.await.unwrap().is_err());
    other.rollback().await.unwrap();
    assert_eq!(count(pool, told).await, before);
    assert_eq!(count(pool, "select count(*) from account_rollups where due_at <= now()").await, 1);
    assert_eq!(roll_up_all(&service).await.unwrap(), 1);
    assert_counted(pool).await;
}

#[tokio::test]
async fn by_hand_all_that_is_marked_is_counted_whether_its_hour_has_come_or_not() {
    let database = Database::fresh().await;
    execute(&database.pool, ACCOUNT).await;
    execute(&database.pool, "update account_rollups set due_at = now() + interval '1 hour'").await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    let planned = call(&["maintain", "--dry-run"], &settings).finished().await;
    assert!(planned.stdout.contains("1 accounts would be rolled up\n"), "{planned:?}");
    let done = call(&["maintain"], &settings).finished().await;
    assert!(done.code == Some(0) && done.stdout.contains("\n1 accounts rolled up\n"), "{done:?}");
    assert_counted(&database.pool).await;
    let again = call(&["maintain"], &settings).finished().await;
    assert!(again.stdout.contains("\n0 accounts rolled up\n"), "{again:?}");
}

#[tokio::test]
async fn a_service_counts_accounts_that_its_runs_have_read() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.scrape_reels(&replica, "reels", "counted.bella").await;
    let pool = &world.database.pool;
    eventually("the account is counted", async || {
        (count(pool, "select count(*) from dashboard.engagement_weeks where is_reel").await > 0).then_some(())
    })
    .await;
    assert_counted(pool).await;
}

#[tokio::test]
async fn accounts_that_were_there_before_are_due_when_the_tables_are_made() {
    let database = Database::fresh().await;
    let undo = "drop view dashboard.engagement_weeks, dashboard.reel_days;
                drop table engagement_weeks, reel_days, account_rollups;
                insert into profiles (username, run_id, seq) values ('anna', uuid_v7(), 1), ('bert', uuid_v7(), 1)";
    execute(&database.pool, undo).await;
    let file = project("migrations").join("20261130000500_rollups_of_accounts.sql");
    let statements = std::fs::read_to_string(file).unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&database.pool).await.unwrap();
    assert_eq!(roll_up_all(&database.as_the_service()).await.unwrap(), 2);
}
