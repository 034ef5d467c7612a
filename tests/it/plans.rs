//! How the database does what is asked of it all the time: by keys, in one partition a run, whatever the size of the
//! tables. The statements are the program's own, as they stand prepared on a connection after it has used them.

use ig_tracking::db::journal;
use ig_tracking::db::start::start;
use ig_tracking::db::status::{self, Part};
use ig_tracking::db::{Lease, RunId, TaskId, heartbeat};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::harness::Database;
use crate::schema::{TERMS, claimed, entry, profile_start};

/// Tables large enough for an index to pay: 20,000 tasks, a finished run each, of two weeks, with 3 events each.
const FILL: &str = "
    insert into tasks (task_id, kind, username) select 'task' || n, 'profile', 'anna' from generate_series(1, 20000) n;
    insert into runs (run_id, task_id, kind, username, source, trigger, state, last_seq, started_at, finished_at, deadline_at)
    select uuid_v7(now() + make_interval(weeks => n % 2)), 'task' || n, 'profile', 'anna', 'auto', 'api', 'succeeded', 3,
           now(), now(), now()
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
    heartbeat::keep(&mut connection, &[(run.run_id, Lease(1))], 60.0).await.unwrap();
    (connection, run.run_id, database)
}

/// The plan of the prepared statement that has these words in it, as it is executed with these arguments.
async fn plan(connection: &mut PgConnection, words: &str, arguments: &str) -> String {
    let query = "select name from pg_prepared_statements where position($1 in statement) > 0 and name like 'sqlx%'";
    let names: Vec<String> = sqlx::query_scalar(query).bind(words).fetch_all(&mut *connection).await.unwrap();
    let [name] = &names[..] else { panic!("{names:?} have {words:?}") };
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
    let arguments =
        "'{task1,task2,task19999,none}', array_fill(null::uuid, '{4}'), '{null,3,null,null}', '{now,null,null,null}'";
    let plan = plan(&mut connection, "as asked (task_id, run_id", arguments).await;
    assert_by_key(&plan);
    assert!(plan.contains("Index Scan Backward using runs_by_task"), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
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
         '{}', 30, 60, 'scrape_started'",
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
         '{{}}', '{{}}', '{{}}'"
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
