//! How the database does what is asked of it all the time: by keys, in one partition a run, whatever the size of the
//! tables. The statements are the program's own, as they stand prepared on a connection after it has used them.

use chrono::{DateTime, Utc};
use ig_tracking::db::account_rollups::{self, Due, Which};
use ig_tracking::db::analytics::{self, Number, Window};
use ig_tracking::db::archive_search;
use ig_tracking::db::board::{self, Position};
use ig_tracking::db::event_search::{self, Among, Piece};
use ig_tracking::db::journal;
use ig_tracking::db::post_mortem;
use ig_tracking::db::run_lists::{self, Along};
use ig_tracking::db::runs::Reason;
use ig_tracking::db::start::start;
use ig_tracking::db::status::{self, Part};
use ig_tracking::db::{Lease, RunId, TaskId, event_lists, heartbeat, summaries};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::harness::{Database, World, eventually};
use crate::schema::{TERMS, claimed, entry, profile_start};

/// Tables large enough for an index to pay: 20,000 tasks, a finished run each, of two weeks, with 3 events each.
const FILL: &str = "
    insert into tasks (task_id, kind, username) select 'task' || n, 'profile', 'anna' from generate_series(1, 20000) n;
    insert into runs (run_id, task_id, kind, username, source, trigger, state, last_seq, started_at, finished_at, deadline_at,
                      state_xid)
    select uuid_v7(now() + make_interval(weeks => n % 2)), 'task' || n, 'profile', 'anna', 'auto', 'api', 'succeeded', 3,
           now(), now(), now(), n::text::xid8
    from generate_series(1, 20000) n;
    insert into events (run_id, seq, at, level, event_type, message)
    select run_id, seq, now(), 'info', 'posts_fetched', 'Page read' from runs, generate_series(1, 3) seq where state = 'succeeded';
    analyze tasks, runs, events;
    set plan_cache_mode = force_generic_plan";

/// A connection on which the program's statements of the hot paths have been used, the id of the run they were used on,
/// and the database that it leads to.
async fn used() -> (PgConnection, RunId, Database) {
    let database = Database::fresh().await;
    let run = claimed(&database.pool, "t").await;
    let mut connection = database.pool.acquire().await.unwrap().detach();
    sqlx::raw_sql(FILL).execute(&mut connection).await.unwrap();
    let task = TaskId::parse("task1").unwrap();
    status::of_task(&mut connection, &task).await.unwrap();
    status::parts(&mut connection, &[Part { run_id: run.run_id, after: 0, until: 9 }]).await.unwrap();
    start(&mut connection, TERMS, &[profile_start(&task)]).await.unwrap();
    journal::write(&mut connection, &[entry(&run, 1)]).await.unwrap();
    status::of_runs(&mut connection, &[run.run_id]).await.unwrap();
    board::changes(&mut connection, Position::before(7), 500).await.unwrap();
    board::active(&mut connection, Position::before(7), None, 500).await.unwrap();
    board::ended(&mut connection, 7, 500).await.unwrap();
    heartbeat::keep(&mut connection, &[(run.run_id, Lease(1))], 60.0).await.unwrap();
    (connection, run.run_id, database)
}

/// The plan of the prepared statement that has these words in it, as it is executed with these arguments.
async fn plan(connection: &mut PgConnection, words: &str, arguments: &str) -> String {
    plan_of(connection, &[words], arguments).await
}

/// The same for a statement that has all of these words in it.
async fn plan_of(connection: &mut PgConnection, words: &[&str], arguments: &str) -> String {
    let query = "select name from pg_prepared_statements where name like 'sqlx%'
                     and (select bool_and(position(word in statement) > 0) from unnest($1::text[]) as word)";
    let names: Vec<String> = sqlx::query_scalar(query).bind(words).fetch_all(&mut *connection).await.unwrap();
    let [name] = &names[..] else { panic!("{names:?} have {words:?}") };
    plan_named(connection, name, arguments).await
}

/// The same for the one of this name.
async fn plan_named(connection: &mut PgConnection, name: &str, arguments: &str) -> String {
    let explain = format!("explain (analyze, costs off, timing off, summary off) execute {name} ({arguments})");
    let lines: Vec<String> =
        sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap().iter().map(line).collect();
    lines.join("\n")
}

fn line(row: &sqlx::postgres::PgRow) -> String {
    sqlx::Row::get(row, 0)
}

/// No table is read from end to end, and no index of all that is active.
fn assert_by_key(plan: &str) {
    assert!(!plan.contains("using runs_one_active_per_task"), "{plan}");
    let scans: Vec<_> =
        plan.lines().filter(|line| line.contains("Seq Scan") && !line.contains("never executed")).collect();
    assert!(scans.is_empty(), "{plan}");
}

/// Of the partitions of a table only that of the run is touched, though the run was not known when the plan was made.
fn assert_one_partition(plan: &str, table: &str) {
    let touched: Vec<_> =
        plan.lines().filter(|line| line.contains(&format!("{table}_")) && !line.contains("never executed")).collect();
    assert_eq!(touched.len(), 1, "{touched:#?}\n{plan}");
}

#[tokio::test]
async fn statuses_are_read_by_the_index_of_each_task() {
    let (mut connection, ..) = used().await;
    let arguments = "'{task1,task2,task19999,none}', array_fill(null::uuid, '{4}'), '{null,3,null,null}',
                     '{now,null,null,null}', '{0,2,10,10}'";
    let plan = plan(&mut connection, "as asked (task_id, run_id", arguments).await;
    assert_by_key(&plan);
    assert!(plan.contains("Index Scan Backward using runs_by_task"), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn events_come_along_with_the_statuses_that_moved_and_with_no_others() {
    let (mut connection, ..) = used().await;
    let latest: (Uuid, i64, DateTime<Utc>) = sqlx::query_as(
        "select run_id, last_seq, updated_at from runs where task_id = 'task2' order by run_id desc limit 1",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let (run_id, last_seq, updated_at) = latest;
    for (known, touched) in [
        (format!("'{{{run_id}}}', '{{{last_seq}}}', '{{\"{updated_at}\"}}'"), false),
        ("array[null::uuid], '{null}', '{null}'".to_owned(), true),
    ] {
        let plan = plan(&mut connection, "as asked (task_id, run_id", &format!("'{{task2}}', {known}, '{{10}}'")).await;
        let is_touched = |line: &str| line.contains("Scan using events_") && !line.contains("never executed");
        assert_eq!(plan.lines().any(is_touched), touched, "{plan}");
        if touched {
            assert_one_partition(&plan, "events");
        }
    }
}

#[tokio::test]
async fn what_is_planned_while_the_tables_are_empty_reads_none_of_them_from_end_to_end_later() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    world.scrape(&replica, "posts", "planned.anna").await;
    world.scrape_reels(&replica, "reels", "planned.bella").await;
    replica.signal(Signal::SIGTERM);
    replica.ended().await;
    let pool = &world.database.pool;
    eventually("its server processes have gone, and told what they have read", async || {
        let others = "select count(*) from pg_stat_activity
                      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
                          and application_name = 'ig-tracking'";
        let left: i64 = sqlx::query_scalar(others).fetch_one(pool).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    let tables = "relname in ('runs', 'profiles', 'profile_snapshots', 'media', 'media_snapshots') or relname ~ '^(events|run_exchanges)_2'";
    let read: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "select relname::text, seq_scan from pg_stat_user_tables where ({tables}) and seq_scan > 1"
    )))
    .fetch_all(pool)
    .await
    .unwrap();
    // What is done once, at the start, may.
    assert_eq!(read, [], "how often each was read from end to end");
    let found = format!("select sum(idx_scan)::bigint from pg_stat_user_tables where {tables}");
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(found)).fetch_one(pool).await.unwrap();
    assert!(found > 100, "{found} look-ups by key");
}

#[tokio::test]
async fn parts_of_logs_are_read_in_their_order_from_the_partition_of_each_run() {
    let (mut connection, run_id, _database) = used().await;
    let plan =
        plan(&mut connection, "as part (run_id, after, until, n)", &format!("'{{{run_id}}}', '{{0}}', '{{10}}'")).await;
    assert_by_key(&plan);
    assert_one_partition(&plan, "events");
    assert!(!plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn starts_find_their_tasks_by_key() {
    let (mut connection, ..) = used().await;
    let arguments = format!(
        "'{{task2,task3}}', '{{profile,profile}}', '{{api,api}}', '{{f,t}}', '{{a,b}}', array['{{}}', '{{}}']::jsonb[],
         '{{1,2}}', '{}', 30, 60, 'scrape_started'",
        Uuid::from_u128(7)
    );
    let plan = plan(&mut connection, "with wanted as", &arguments).await;
    assert_by_key(&plan);
    assert!(plan.contains("using tasks_pkey"), "{plan}");
}

#[tokio::test]
async fn the_fenced_write_finds_its_runs_by_key() {
    let (mut connection, run_id, _database) = used().await;
    let arguments = format!(
        "'{{{run_id}}}', '{{1}}', '{{2}}', '{{1}}', '{{1}}', '{{0}}', array[null]::jsonb[], '{{null}}', '{{null}}',
         '{{null}}', '{{{run_id}}}', '{{3}}', '{{0}}', '{{info}}', '{{posts_fetched}}', '{{Page read}}',
         array['{{}}']::jsonb[], '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}',
         '{{}}', '{{}}', '{{}}', '{{}}'"
    );
    let plan = plan(&mut connection, "), fenced as (", &arguments).await;
    assert_by_key(&plan);
    assert!(plan.contains("using runs_pkey"), "{plan}");
}

#[tokio::test]
async fn the_heartbeat_finds_its_runs_by_key() {
    let (mut connection, run_id, _database) = used().await;
    let plan = plan(&mut connection, "skip locked", &format!("'{{{run_id}}}', '{{1}}', 60")).await;
    assert_by_key(&plan);
    assert!(plan.contains("using runs_pkey"), "{plan}");
}

/// A run's log and the search over all use these on a connection, with tables in which some runs and events are out of the
/// ordinary.
async fn searched() -> (PgConnection, RunId, Database) {
    let (mut connection, run_id, database) = used().await;
    let rare = "
        update runs set state = 'failed', reason = 'private' where state = 'succeeded' and abs(hashtext(task_id)) % 100 = 0;
        update events set level = 'warning', event_type = 'rate_limited' where abs(hashtext(run_id::text || seq)) % 100 = 0;
        analyze runs, events";
    sqlx::raw_sql(rare).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("vacuum events, runs").execute(&mut connection).await.unwrap();
    let (first, last) = RunId::ALL;
    let all = Piece { first: (first, 0), last: (last, i64::MAX) };
    let filter = event_lists::Filter::default();
    for among in [Among::All, Among::Notable] {
        event_search::end(&mut connection, all, among, 100, true).await.unwrap();
        event_search::count(&mut connection, all, among, &filter).await.unwrap();
        event_search::hits(&mut connection, all, among, &filter, 10, true).await.unwrap();
    }
    event_search::hits_of_runs(&mut connection, &[run_id], all, &filter, 10, true).await.unwrap();
    for newest_first in [true, false] {
        let filter = run_lists::Filter { newest_first, ..run_lists::Filter::default() };
        for along in [Along::Ids, Along::Tasks, Along::Reasons, Along::Active] {
            run_lists::read(&mut connection, &filter, along, 50).await.unwrap();
        }
    }
    (connection, run_id, database)
}

const NIL: &str = "00000000-0000-0000-0000-000000000000";
const MAX: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

#[tokio::test]
async fn lists_of_runs_go_along_the_index_that_fits_and_no_further_than_a_page() {
    let (mut connection, ..) = searched().await;
    let none = "null, null, null, null, null, null, null, null";
    for (words, arguments, index) in [
        (
            "from (\n                select r.* from runs as r\n                where true",
            format!("'{NIL}', '{MAX}', {none}, 50"),
            "runs_pkey",
        ),
        (
            "select unnest($12::text[]) as task_id",
            format!("'{NIL}', '{MAX}', {none}, 50, '{{task3,task4}}'"),
            "runs_by_task",
        ),
        (
            "unnest($13::text[]) as why (reason)",
            format!("'{NIL}', '{MAX}', {none}, 50, '{{failed,waiting}}', '{{private,rate_limited}}'"),
            "runs_by_reason",
        ),
    ] {
        for order in ["desc", "asc"] {
            let plan = plan_of(&mut connection, &[words, &format!("order by run_id {order}")], &arguments).await;
            assert!(plan.contains(index) && !plan.contains("Seq Scan on runs"), "{plan}");
            let most = plan.lines().filter(|line| line.contains(" runs r")).map(rows).max().unwrap();
            assert!(most <= 50, "{most} rows read at once:\n{plan}");
        }
    }
}

#[tokio::test]
async fn searches_read_a_piece_by_its_key_and_what_is_notable_by_its_own_index() {
    let (mut connection, run_id, _database) = searched().await;
    let ends = format!("'{NIL}', '{MAX}', 0, 9223372036854775807");
    let none = "null, null, null, null, null, null";
    let notable = "or event_type not in (";
    for (words, arguments) in [
        (vec!["select run_id as \"run_id: RunId\", seq\n"], format!("{ends}, 99")),
        (vec!["count(*) as \"count!\"", "and (run_id, seq) >= ($1, $3::bigint)"], format!("{ends}, {none}")),
        (vec!["limit $11", "from events e\n            where (run_id, seq) >="], format!("{ends}, {none}, 10")),
    ] {
        let plan = plan_of(&mut connection, &[&words[..], &[notable]].concat(), &arguments).await;
        // But for partitions without a row.
        let scans: Vec<_> = plan.lines().filter(|line| line.contains("Scan") && rows(line) > 0).collect();
        assert!(!scans.is_empty() && scans.iter().all(|scan| scan.contains("_run_id_seq_idx")), "{plan}");
        if !words[0].contains("count") {
            let most = scans.iter().map(|scan| rows(scan)).max().unwrap();
            assert!(!plan.contains("Sort Method") && most <= 100, "{most} rows read of one partition:\n{plan}");
        }
    }
    let arguments = format!("{ends}, {none}, 10, '{{{run_id}}}'");
    let plan = plan_of(&mut connection, &["unnest($12::uuid[]) as wanted (id)"], &arguments).await;
    assert_by_key(&plan);
    assert_one_partition(&plan, "events");
}

#[tokio::test]
async fn what_else_failed_is_found_along_the_index_of_reasons() {
    let (mut connection, run_id, _database) = searched().await;
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&mut connection).await.unwrap();
    post_mortem::with_reason(&mut connection, Reason::Private, now, now, now, 50).await.unwrap();
    post_mortem::summary(&mut connection, run_id).await.unwrap();
    let arguments = format!("'private', '{NIL}', '{MAX}', '-infinity', 'infinity', 50");
    let others = plan(&mut connection, "coalesce(finished_at, updated_at) between", &arguments).await;
    assert!(others.contains("using runs_by_reason") && !others.contains("Seq Scan"), "{others}");
    let most = others.lines().filter(|line| line.contains(" on runs")).map(rows).max().unwrap();
    assert!(most <= 50, "{most} rows read at once:\n{others}");
    let summary = plan(&mut connection, "interrupted_ms\n        from run_summaries", &format!("'{run_id}'")).await;
    assert!(summary.contains("run_summaries_pkey") && !summary.contains("Seq Scan"), "{summary}");
}

/// How many rows a line of a plan says that it gave.
fn rows(line: &str) -> u64 {
    let rows = line.split("actual rows=").nth(1).map_or("0", |rest| rest.split([' ', ')', '.']).next().unwrap());
    rows.parse().unwrap()
}

#[tokio::test]
async fn what_streams_look_for_is_found_by_key() {
    let (mut connection, run_id, _database) = used().await;
    let plan_of_run = plan(&mut connection, "as asked (run_id, n)", &format!("'{{{run_id}}}'")).await;
    assert_by_key(&plan_of_run);
    assert!(plan_of_run.contains("using runs_pkey"), "{plan_of_run}");

    let nobody = Uuid::nil();
    // From where they begin on, and no further than a page.
    let arguments = format!("19000, '{nobody}', 50");
    let changes = plan(&mut connection, "oldest as materialized", &arguments).await;
    assert_by_key(&changes);
    assert_eq!(changes.matches("using runs_by_change").count(), 2, "{changes}");
    let arguments = format!("0, '{nobody}', null, 500");
    let active = plan(&mut connection, "active as materialized", &arguments).await;
    assert!(!active.contains("Seq Scan on runs"), "{active}");
    assert!(active.contains("runs_claimable") || active.contains("runs_one_active_per_task"), "{active}");
    let ended = plan(&mut connection, "state_xid desc", "20000, 100").await;
    assert_by_key(&ended);
    assert!(ended.contains("Backward using runs_by_change"), "{ended}");
}

#[tokio::test]
async fn what_summarises_runs_finds_them_a_page_at_a_time_and_reads_their_logs_by_key() {
    let (mut connection, run_id, _database) = used().await;
    let fill = "insert into run_summaries (run_id, requests) select run_id, 0 from runs; analyze run_summaries";
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    let ids = [run_id.0];
    summaries::is_behind(&mut connection).await.unwrap();
    summaries::changed(&mut connection, Position::before(7), 50).await.unwrap();
    summaries::older(&mut connection, RunId(Uuid::nil()), 50).await.unwrap();
    summaries::without(&mut connection, &ids).await.unwrap();
    summaries::logs(&mut connection, &ids).await.unwrap();
    summaries::counts(&mut connection, &ids).await.unwrap();
    summaries::asked(&mut connection, &ids).await.unwrap();
    let of_run = format!("'{{{run_id}}}'");
    for (words, arguments, index) in [
        ("as \"behind!\"", None, "runs_by_change"),
        (
            "r.last_exchange\n        from runs r\n        where r.state_xid",
            Some(format!("7, '{NIL}', 50")),
            "runs_by_change",
        ),
        ("r.last_exchange\n        from runs r\n        where r.run_id", Some(format!("'{NIL}', 50")), "runs_pkey"),
        ("(select true from run_summaries", Some(of_run.clone()), "run_summaries_pkey"),
        ("as next_type", Some(of_run.clone()), "_pkey"),
        ("select event_type, level, count(*)", Some(of_run.clone()), "_pkey"),
        ("count(failure) as failed", Some(of_run.clone()), "_pkey"),
    ] {
        let plan = match &arguments {
            Some(arguments) => plan(&mut connection, words, arguments).await,
            None => plan_without_arguments(&mut connection, words).await,
        };
        assert!(plan.contains(index), "{index}:\n{plan}");
        for table in ["runs", "events_", "run_exchanges_"] {
            let read_whole = format!("Seq Scan on {table}");
            let is_read = |line: &str| line.contains(&read_whole) && !line.contains("never executed");
            assert!(!plan.lines().any(is_read), "{plan}");
        }
        let read = plan.lines().filter(|line| line.contains(" runs r") || line.contains(" on events")).map(rows).max();
        // A page, and where it is sorted within a transaction, the first run of the next.
        assert!(read.is_none_or(|rows| rows <= 51), "{plan}");
    }
}

/// The same for a statement that takes no arguments.
async fn plan_without_arguments(connection: &mut PgConnection, words: &str) -> String {
    let query = "select name from pg_prepared_statements where name like 'sqlx%' and position($1 in statement) > 0
                     and statement not like '%pg_prepared_statements%'";
    let name: String = sqlx::query_scalar(query).bind(words).fetch_one(&mut *connection).await.unwrap();
    let explain = format!("explain (analyze, costs off, timing off, summary off) execute {name}");
    let lines: Vec<String> =
        sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap().iter().map(line).collect();
    lines.join("\n")
}

/// 60 accounts, each with 50 posts that were seen 12 times.
const FILL_HISTORY: &str = "
    insert into profiles (username, run_id, seq) select 'a' || n, uuid_v7(), 1 from generate_series(1, 60) n;
    insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, run_id, seq)
    select profile_id, at, at, n, uuid_v7(), 1
    from profiles, generate_series(1, 200) n cross join lateral (select timestamptz '2025-01-01Z' + n * interval '1 day' as at) as d;
    insert into media (profile_id, shortcode, instagram_pk, is_reel, is_pinned, taken_at, run_id, seq)
    select profile_id, 'p' || n, n, true, false, timestamptz '2025-01-01Z' + n * interval '3 days', uuid_v7(), 1
    from profiles, generate_series(1, 50) n;
    insert into media_snapshots (profile_id, shortcode, observed_from, observed_until, likes_count, likes_hidden,
                                 comments_count, plays_count, run_id, seq)
    select profile_id, shortcode, taken_at + n * interval '5 hours', taken_at + n * interval '5 hours', n, false, n, n, run_id, 1
    from media, generate_series(1, 12) n;
    analyze profiles, profile_snapshots, media, media_snapshots;
    set plan_cache_mode = force_generic_plan";

#[tokio::test]
async fn analytics_read_one_account_by_key_whatever_the_size_of_the_tables() {
    let database = Database::fresh().await;
    let mut connection = database.pool.acquire().await.unwrap().detach();
    sqlx::raw_sql(FILL_HISTORY).execute(&mut connection).await.unwrap();
    let (since, until) = ("2025-02-01T00:00:00Z", "2025-04-01T00:00:00Z");
    let window =
        Window { since: since.parse().unwrap(), until: until.parse().unwrap(), time_zone: "Europe/Berlin".to_owned() };
    analytics::growth(&mut connection, 7, &window).await.unwrap();
    analytics::gaps(&mut connection, 7, &window, 24.0, 100).await.unwrap();
    analytics::days(&mut connection, 7, &window).await.unwrap();
    analytics::reach(&mut connection, 7).await.unwrap();
    analytics::posts(&mut connection, 7, &window, 48.0, 2000).await.unwrap();
    analytics::at_ages(&mut connection, 7, &window, &[1.0, 24.0], 2000).await.unwrap();
    analytics::around(&mut connection, (7, "p9"), Number::Plays, &[1.0, 24.0]).await.unwrap();
    analytics::segments(&mut connection, (7, "p9"), Number::Plays, None, 50).await.unwrap();
    let of_window = format!("7, '{since}', '{until}'");
    for (words, arguments) in [
        ("array_agg(number order by seen_from desc)", of_window.clone()),
        ("as gap_until", format!("{of_window}, 24, 100")),
        ("known.followers_count as", format!("{of_window}, 'Europe/Berlin'")),
        ("max(last_seen_at) as read_at", "7".to_owned()),
        ("as viewed on true", format!("{of_window}, 'Europe/Berlin', 48, 2000")),
        ("as played_after on true", format!("{of_window}, '{{1,24}}', 2000")),
        ("due.at <= now()", "7, 'p9', 'plays', '{1,24}'".to_owned()),
        ("as segment (began, ended", "7, 'p9', 'plays', null, 50".to_owned()),
    ] {
        let plan = plan(&mut connection, words, &arguments).await;
        assert_by_key(&plan);
        // No more than the account has, in any part of it.
        let most = plan.lines().map(rows).max().unwrap();
        assert!(most <= 600, "{most} rows at once:\n{plan}");
    }
}

#[tokio::test]
async fn accounts_that_are_due_are_found_by_index_and_counted_by_key() {
    let database = Database::fresh().await;
    let mut connection = database.pool.acquire().await.unwrap().detach();
    sqlx::raw_sql(FILL_HISTORY).execute(&mut connection).await.unwrap();
    let fill = "insert into account_rollups (profile_id, due_at, rolled_at)
                select n, case when n % 100 = 0 then now() - make_interval(secs => n) end, now() from generate_series(1, 20000) n;
                analyze account_rollups";
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    let due = Due { profile_id: 7, since: None };
    account_rollups::take(&mut connection, Which::Due).await.unwrap();
    account_rollups::count_weeks(&mut connection, due).await.unwrap();
    account_rollups::count_days(&mut connection, due).await.unwrap();
    account_rollups::settle(&mut connection, due).await.unwrap();
    let taken = plan(&mut connection, "for update skip locked", "false").await;
    assert_by_key(&taken);
    assert!(taken.contains("using account_rollups_due") && taken.lines().all(|line| rows(line) <= 1), "{taken}");
    for since in ["null", "'2025-03-01T00:00:00Z'"] {
        for words in ["insert into engagement_weeks", "insert into reel_days"] {
            let plan = plan(&mut connection, words, &format!("7, {since}")).await;
            // There are few accounts, and looking through them is as good as a key.
            assert_by_key(&plan.replace("Seq Scan on profiles", ""));
            let most = plan.lines().map(rows).max().unwrap();
            assert!(most <= 600, "{most} rows at once:\n{plan}");
        }
    }
}

#[tokio::test]
async fn packed_logs_are_found_by_key_and_no_more_of_them_than_a_piece() {
    let (mut connection, _, _database) = used().await;
    let fill = "
        insert into run_archives (run_id, from_seq, until_seq, notable, packed)
        select run_id, 1, 3, case when abs(hashtext(run_id::text)) % 100 = 0 then '{warning,rate_limited}'::text[] end, '\\x01'
        from runs where state = 'succeeded';
        insert into run_archives (run_id, from_seq, until_seq, packed)
        select uuid_v7(now() + interval '100 days' + make_interval(secs => n)), 1, 3, '\\x01' from generate_series(1, 2000) n;
        select ensure_archive_partition(now() + interval '100 days');
        analyze run_archives";
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("vacuum run_archives").execute(&mut connection).await.unwrap();
    let all = Piece { first: (RunId::ALL.0, 0), last: (RunId::ALL.1, i64::MAX) };
    let packed = sqlx::query_scalar(
        "delete from events where run_id = (select run_id from runs where task_id = 'task7') returning run_id",
    );
    let packed: Uuid = packed.fetch_one(&mut connection).await.unwrap();
    // What is there is no pack; the statement has been used all the same.
    let part = Part { run_id: RunId(packed), after: 0, until: 3 };
    assert!(status::parts(&mut connection, &[part]).await.is_err());
    let everything = event_lists::Filter::default();
    let notable = event_lists::Filter { types: Some(vec!["rate_limited".to_owned()]), ..everything.clone() };
    for newest_first in [true, false] {
        archive_search::nearest(&mut connection, all, newest_first).await.unwrap();
        for filter in [&everything, &notable] {
            archive_search::packs(&mut connection, all, None, filter, newest_first).await.unwrap();
            archive_search::packs(&mut connection, all, Some(&[RunId(packed)]), filter, newest_first).await.unwrap();
        }
    }

    let of_part = ["as part (run_id, after, until, n)", "run_archives a"];
    let plan = plan_of(&mut connection, &of_part, &format!("'{{{packed}}}', '{{0}}', '{{3}}'")).await;
    assert_by_key(&plan);
    assert_one_partition(&plan, "run_archives");

    let ends = format!("'{NIL}', '{MAX}', 0, 9223372036854775807");
    let none = "null, null, null";
    for (order, index) in [("desc", "Backward"), ("asc", "Scan")] {
        // Without the condition of notable ones, which would stand before it.
        let ordered = format!("  order by run_id {order}, from_seq {order} offset $5");
        let plan =
            plan_of(&mut connection, &["from run_archives\n", &ordered, "and run_id"], &format!("{ends}, 0")).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan on run_archives_2"), "{plan}");
        for (is_notable, index) in [(true, "_run_id_from_seq_idx"), (false, "_pkey")] {
            let query = "select name from pg_prepared_statements where position('from run_archives a where' in statement) > 0
                             and position($1 in statement) > 0 and (position('a.notable is not null' in statement) > 0) = $2";
            let ordered = format!("order by a.run_id {order}");
            let name: String =
                sqlx::query_scalar(query).bind(ordered).bind(is_notable).fetch_one(&mut connection).await.unwrap();
            let plan = plan_named(&mut connection, &name, &format!("{ends}, {none}, 2500, 20000")).await;
            let scans: Vec<_> = plan
                .lines()
                .filter(|line| line.contains("Scan") && line.contains("run_archives") && rows(line) > 0)
                .collect();
            assert!(!scans.is_empty() && scans.iter().all(|scan| scan.contains(index)), "{plan}");
            let read = scans.iter().map(|scan| rows(scan)).max().unwrap();
            assert!(read <= 2500, "{read} packs read at once:\n{plan}");
        }
    }
    let of_runs = ["unnest($10::uuid[]) as wanted (id)", "order by a.run_id desc"];
    let plan = plan_of(&mut connection, &of_runs, &format!("{ends}, {none}, 2500, 20000, '{{{packed}}}'")).await;
    assert_by_key(&plan);
    assert_one_partition(&plan, "run_archives");
}
