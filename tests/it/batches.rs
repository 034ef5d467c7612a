//! Many at once: starts, statuses and logs that share statements, and what is kept of them. Whoever shares a statement
//! with others has the answer that it would have had alone.

use std::collections::HashMap;

use futures_util::future::join_all;
use ig_tracking::db::runs::Trigger;
use ig_tracking::db::session::Way;
use ig_tracking::db::start::{Start, Started, start};
use ig_tracking::db::status::{self, Asked, Event, Look, Part, Snapshot, Status, Told};
use ig_tracking::db::tasks::{self, TaskKind};
use ig_tracking::db::{Line, Pool, RunId, TaskId, journal, migrations, partitions};
use ig_tracking::http::RENDER;
use ig_tracking::reading::Reading;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Database, MortalServer, Replica, World, assert_sound};
use crate::schema::{TERMS, claimed, entry, profile_start};

/// A replica that only answers: what it starts stays as it is.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

#[tokio::test]
async fn of_many_starts_in_one_moment_each_has_its_own_answer() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    for n in 0..20 {
        replica.create("create_task", &format!("p{n}"), "anna").await;
        replica.create("create_reel_task", &format!("r{n}"), "anna").await;
    }
    // Each task three times, in each of the two ways; and some that nobody has made.
    let mut asked = Vec::new();
    for n in 0..24 {
        for route in ["force_scrape", "force_scrape_reel"] {
            asked.extend([format!("/{route}/p{n}"), format!("/{route}/r{n}")].iter().cloned().cycle().take(6));
        }
    }
    let answers = join_all(asked.iter().map(|path| replica.post(path))).await;
    let mut told: HashMap<&String, Vec<u16>> = HashMap::new();
    for (path, answer) in asked.iter().zip(&answers) {
        told.entry(path).or_default().push(answer.status.as_u16());
    }
    for (path, mut statuses) in told {
        statuses.sort_unstable();
        let number: usize = path.rsplit(['p', 'r']).next().unwrap().parse().unwrap();
        let is_its_kind = path.contains("_reel/r") || path.contains("scrape/p");
        let expected = match (number < 20, is_its_kind) {
            (false, _) => [404, 404, 404],
            (true, false) => [400, 400, 400],
            (true, true) => [200, 409, 409],
        };
        assert_eq!(statuses, expected, "{path}");
    }
    assert_eq!(count(&world.database, "select count(*) from runs").await, 40);
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn starts_of_the_same_tasks_on_many_replicas_at_once_wait_for_each_other_and_none_fails() {
    let world = World::new().await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(world.replica(&CLERK).await);
    }
    let tasks: Vec<_> = (0..40).map(|n| format!("t{n}")).collect();
    join_all(tasks.iter().map(|task| replicas[0].create("create_task", task, "anna"))).await;
    // Each replica in another order, so that statements with each other's tasks in another order meet.
    let orders = [tasks.clone(), tasks.iter().rev().cloned().collect(), [&tasks[20..], &tasks[..20]].concat()];
    let all = replicas.iter().zip(&orders).map(|(replica, order)| start_all(replica, order));
    let mut started: HashMap<String, usize> = HashMap::new();
    for (task, status) in join_all(all).await.concat() {
        assert!(status == 200 || status == 409, "{task}: {status}");
        *started.entry(task).or_default() += usize::from(status == 200);
    }
    assert!(tasks.iter().all(|task| started[task] == 1), "{started:?}");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(count(&world.database, deadlocks).await, 0);
    assert_sound(&world.database.pool).await;
}

async fn start_all(replica: &Replica, tasks: &[String]) -> Vec<(String, u16)> {
    join_all(tasks.iter().map(async |task| {
        let answer = replica.post(&format!("/force_scrape/{task}")).await;
        (task.clone(), answer.status.as_u16())
    }))
    .await
}

#[tokio::test]
async fn one_statement_starts_what_can_be_started_and_says_of_each_what_became_of_it() {
    let pool = Database::fresh().await.pool;
    let id = |name: &str| TaskId::parse(name).unwrap();
    for (name, kind) in [("a", TaskKind::Profile), ("b", TaskKind::Reel), ("c", TaskKind::Profile)] {
        tasks::create(&pool, &id(name), kind, "anna").await.unwrap();
    }
    claimed(&pool, "busy").await;
    let (a, b, c, busy, none) = (id("a"), id("b"), id("c"), id("busy"), id("none"));
    let queued = Start { claimed: false, trigger: Trigger::Demo, ..profile_start(&c) };
    let starts = [
        profile_start(&none),
        queued,
        profile_start(&busy),
        profile_start(&b),
        Start { kind: TaskKind::Reel, ..profile_start(&b) },
        profile_start(&a),
    ];
    let started = start(&pool, TERMS, &starts).await.unwrap();
    let [Started::NoSuchTask, Started::Queued(_), Started::Busy, Started::OtherKind, reel, profile] = &started[..]
    else {
        panic!("{started:?}")
    };
    for (started, task, kind) in [(reel, b, TaskKind::Reel), (profile, a, TaskKind::Profile)] {
        let Started::Claimed(run) = started else { panic!("{started:?}") };
        assert_eq!((&run.task_id, run.kind, run.lease.0, run.last_seq), (&task, kind, 1, 1));
    }
    assert_eq!(start(&pool, TERMS, &[]).await.unwrap().len(), 0);
    assert_sound(&pool).await;
}

#[tokio::test]
async fn a_status_is_read_after_what_was_written_before_it_on_whichever_replica() {
    let world = World::new().await;
    let (one, other) = (world.replica(&CLERK).await, world.replica(&CLERK).await);
    let tasks: Vec<_> = (0..30).map(|n| format!("t{n}")).collect();
    join_all(tasks.iter().map(|task| one.create("create_task", task, "anna"))).await;
    join_all(tasks.iter().map(async |task| {
        for (replica, reader) in [(&one, &other), (&other, &one)] {
            assert_eq!(state(reader, task).await, (false, 0), "{task}");
            replica.post(&format!("/force_scrape/{task}")).await.ok();
            assert_eq!(state(reader, task).await, (true, 1), "{task}: started");
            assert_eq!(state(replica, task).await, (true, 1), "{task}: started");
            replica.post(&format!("/cancel/{task}")).await.ok();
            assert_eq!(state(reader, task).await, (false, 2), "{task}: cancelled");
            assert_eq!(state(replica, task).await, (false, 2), "{task}: cancelled");
            world.forget(task).await;
        }
    }))
    .await;
}

impl World {
    /// Takes a task's runs away, so that it is as if it had never run.
    async fn forget(&self, task: &str) {
        sqlx::query("delete from runs where task_id = $1").bind(task).execute(&self.database.pool).await.unwrap();
    }
}

/// Whether it is processing, and how many events it has.
async fn state(replica: &Replica, task: &str) -> (bool, i64) {
    let answer = replica.get(&format!("/task_status/{task}")).await.ok();
    let response = &answer["response"];
    (response["is_processing"].as_bool().unwrap(), response["logs_count"].as_i64().unwrap())
}

#[tokio::test]
async fn a_log_that_is_read_again_and_again_while_it_grows_is_always_what_the_database_has() {
    let world = World::new().await;
    let (replica, pool) = (world.replica(&CLERK).await, &world.database.pool);
    let run = claimed(pool, "t").await;
    let mut written = 1;
    // Of all sizes, beyond what is kept, and asked for in all sizes.
    for (round, more) in [0, 1, 3, 9, 30, 80, 130, 1, 250, 2].into_iter().enumerate() {
        if more > 0 {
            let mut next = entry(&run, written);
            next.after_exchange = 0;
            next.exchanges.clear();
            next.events = (0..more).map(|_| next.events[0].clone()).collect();
            for (n, event) in (written + 1..).zip(&mut next.events) {
                event.message = format!("Event {n}, \"said\" in round {round}");
                event.fields = json!({"n": n, "deep": {"er": [n]}});
            }
            written += more;
            assert_eq!(journal::write(pool, &[next]).await.unwrap().len(), 1);
        }
        for wanted in [10, 1, 100, 7, 100, 3] {
            let answer = replica.get(&format!("/task_status/t?logs_count={wanted}")).await.ok();
            let (response, expected) = (&answer["response"], lines(&world.database, wanted).await);
            assert_eq!(response["logs"], json!(expected), "round {round}, {wanted} wanted");
            assert_eq!(response["latest_event"], *expected.last().unwrap());
            assert_eq!(response["requested_logs_count"], expected.len());
            assert_eq!(response["logs_count"], written);
        }
    }
}

/// The last lines of the only log, as version 1 tells them.
async fn lines(database: &Database, wanted: i64) -> Vec<Value> {
    let query =
        "select jsonb_build_object('timestamp', floor(extract(epoch from at))::bigint, 'event_type', event_type,
                     'message', message) || fields
                 from (select * from events order by seq desc limit $1) as latest order by seq";
    sqlx::query_scalar(query).bind(wanted).fetch_all(&database.pool).await.unwrap()
}

#[tokio::test]
async fn with_next_to_no_memory_for_logs_every_answer_is_the_same() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_CONCURRENCY", "0"), ("IGT_LOG_CACHE_MB", "1")]).await;
    let tasks: Vec<_> = (0..40).map(|n| format!("t{n}")).collect();
    for task in &tasks {
        let run = claimed(&world.database.pool, task).await;
        let mut next = entry(&run, 1);
        // Together more than the memory: forty times a hundred lines of a kilobyte.
        next.events = (0..100).map(|_| next.events[0].clone()).collect();
        next.events.iter_mut().for_each(|event| event.message = format!("{task} {}", "x".repeat(1000)));
        next.after_exchange = 0;
        journal::write(&world.database.pool, &[next]).await.unwrap();
    }
    for _ in 0..3 {
        join_all(tasks.iter().map(async |task| {
            let answer = replica.get(&format!("/task_status/{task}?logs_count=100")).await.ok();
            let logs = answer["response"]["logs"].as_array().unwrap();
            assert_eq!(logs.len(), 100);
            let prefix = format!("{task} ");
            assert!(logs.iter().all(|line| line["message"].as_str().unwrap().starts_with(&prefix)), "{task}");
        }))
        .await;
    }
}

#[tokio::test]
async fn a_log_with_events_gone_is_told_as_far_as_it_is_there() {
    let world = World::new().await;
    let (replica, pool) = (world.replica(&CLERK).await, &world.database.pool);
    let run = claimed(pool, "t").await;
    let mut next = entry(&run, 1);
    next.after_exchange = 0;
    next.events = (0..20).map(|_| next.events[0].clone()).collect();
    journal::write(pool, &[next]).await.unwrap();
    sqlx::query("delete from events where seq in (3, 15)").execute(pool).await.unwrap();
    for (wanted, there) in [(10, 9), (5, 5), (100, 19), (1, 1)] {
        let answer = replica.get(&format!("/task_status/t?logs_count={wanted}")).await.ok();
        let response = &answer["response"];
        assert_eq!(response["logs"].as_array().unwrap().len(), there, "{wanted} wanted");
        assert_eq!((&response["requested_logs_count"], &response["logs_count"]), (&json!(there), &json!(21)));
    }
}

#[tokio::test]
async fn what_a_replica_knows_of_a_log_it_does_not_tell_once_the_run_is_erased() {
    let world = World::new().await;
    let (replica, pool) = (world.replica(&CLERK).await, &world.database.pool);
    let run = claimed(pool, "t").await;
    journal::write(pool, &[entry(&run, 1)]).await.unwrap();
    let lines = async || replica.get("/task_status/t").await.ok()["response"]["requested_logs_count"].clone();
    assert_eq!(lines().await, 2);
    // As erasure leaves a run of a task that somebody else is followed by.
    sqlx::query("delete from events").execute(pool).await.unwrap();
    sqlx::query("update runs set erased_at = now(), updated_at = now()").execute(pool).await.unwrap();
    assert_eq!(lines().await, 0);
}

#[tokio::test]
async fn parts_of_many_logs_are_read_in_one_statement_each_for_itself() {
    let pool = Database::fresh().await.pool;
    let (one, other) = (claimed(&pool, "one").await, claimed(&pool, "other").await);
    for run in [&one, &other] {
        for seq in 1..5 {
            journal::write(&pool, &[entry(run, seq)]).await.unwrap();
        }
    }
    let part = |run_id, after, until| Part { run_id, after, until };
    let parts = [
        part(other.run_id, 2, 5),
        part(one.run_id, 0, 1),
        part(one.run_id, 5, 9),
        part(one.run_id, 0, 100),
        part(other.run_id, 2, 5),
    ];
    let read = status::parts(&pool, &parts).await.unwrap();
    let seqs: Vec<Vec<i64>> = read.iter().map(|events| events.iter().map(|event| event.seq).collect()).collect();
    assert_eq!(seqs, [vec![3, 4, 5], vec![1], vec![], vec![1, 2, 3, 4, 5], vec![3, 4, 5]]);
    let statuses = statuses_of(&pool, &["other", "none", "one"].map(|id| asked(id, None))).await;
    let found: Vec<_> = statuses.iter().map(|status| status.map(|status| status.run_id)).collect();
    assert_eq!(found, [Some(other.run_id), None, Some(one.run_id)]);
}

#[tokio::test]
async fn with_a_status_come_the_last_events_that_its_asker_does_not_know() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let mut known = Vec::new();
    for seq in 1..5 {
        known.push(status::of_task(&pool, &run.task_id).await.unwrap());
        journal::write(&pool, &[entry(&run, seq)]).await.unwrap();
    }
    let last = status::of_task(&pool, &run.task_id).await.unwrap();
    let of_another_run = known[0].map(|known| Status { run_id: RunId(Uuid::nil()), ..known });
    let askers = [(None, 3), (None, 100), (None, 0), (known[3], 3), (known[0], 3), (of_another_run, 9), (last, 9)];
    let askers = askers.map(|(known, lines)| Asked { lines, ..asked("t", known) });
    let told = status::of_tasks(&pool, &askers).await.unwrap().told;
    let seqs = |told: &Option<Told>| told.as_ref().unwrap().events.iter().map(|event| event.seq).collect::<Vec<_>>();
    let expected = [vec![3, 4, 5], vec![1, 2, 3, 4, 5], vec![], vec![5], vec![3, 4, 5], vec![1, 2, 3, 4, 5], vec![]];
    assert_eq!(told.iter().map(seqs).collect::<Vec<_>>(), expected);
    assert!(told.iter().all(|told| told.as_ref().map(|told| told.status) == last));
    // As they are told by themselves.
    let alone = status::events(&pool, run.run_id, 0, 5).await.unwrap();
    let text = |events: &[Event]| serde_json::to_value(events).unwrap();
    assert_eq!(text(&told[1].as_ref().unwrap().events), text(&alone));
}

#[tokio::test]
async fn a_status_that_is_known_is_told_again_only_where_something_has_moved() {
    let pool = Database::fresh().await.pool;
    let runs = [claimed(&pool, "still").await, claimed(&pool, "moved").await, claimed(&pool, "gone").await];
    let ids = ["still", "moved", "gone", "none"];
    let known = statuses_of(&pool, &ids.map(|id| asked(id, None))).await;
    journal::write(&pool, &[entry(&runs[1], 1)]).await.unwrap();
    sqlx::query("delete from runs where task_id = 'gone'").execute(&pool).await.unwrap();
    // What is known comes back as it was known, so this one tells whether the database was believed.
    let mut still = known[0].unwrap();
    still.requested_at = chrono::DateTime::UNIX_EPOCH;
    let again = [asked("still", Some(still)), asked("moved", known[1]), asked("gone", known[2]), asked("none", None)];
    let found = statuses_of(&pool, &again).await;
    assert_eq!(found, [Some(still), status::of_task(&pool, &again[1].task_id).await.unwrap(), None, None]);
    assert_eq!(found[1].unwrap().last_seq, 2);
}

#[tokio::test]
async fn two_statements_see_the_same_snapshot_only_where_nothing_was_committed_between_them() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    // Whatever other tests commit meanwhile, in here nothing happens.
    let mut still = pool.begin_with("begin isolation level repeatable read").await.unwrap();
    let Look { told, snapshot } = status::of_tasks(&mut *still, &[asked("t", None)]).await.unwrap();
    assert!(told[0].is_some() && snapshot.is_some());
    journal::write(&pool, &[entry(&run, 1)]).await.unwrap();
    assert_eq!(Snapshot::now(&mut *still).await.unwrap(), snapshot);
    let known = told[0].as_ref().map(|told| told.status);
    for asked in [asked("t", known), asked("none", None)] {
        assert_eq!(status::of_tasks(&mut *still, &[&asked]).await.unwrap().snapshot, snapshot);
        assert_ne!(status::of_tasks(&pool, &[&asked]).await.unwrap().snapshot, snapshot);
    }
    assert_ne!(Snapshot::now(&pool).await.unwrap(), snapshot);
}

#[tokio::test]
async fn while_nothing_is_committed_no_run_is_looked_up_again_and_what_is_committed_is_seen_at_once() {
    const READ_AGAIN: i64 = 100;
    // In a server of its own nobody else commits, or hardly ever.
    let server = MortalServer::start().await;
    let database = Database::at(&server.database_url).await;
    migrations::run(&mut database.pool.acquire().await.unwrap()).await.unwrap();
    partitions::ensure(&database.pool).await.unwrap();
    let runs = [claimed(&database.pool, "one").await, claimed(&database.pool, "other").await];
    // One connection for all, which tells how often it was asked what.
    let line = Line::new(server.database_url.parse().unwrap(), Way::Direct);
    let pool = Pool::new(line, 1);
    let reading = Reading::new(pool.clone(), 1024 * 1024, RENDER);
    let last_seq = async |task_id: &TaskId| reading.status(task_id.clone(), 10).await.unwrap().unwrap().status.last_seq;
    let looked_up = async || -> i64 {
        let query = "select coalesce(sum(generic_plans + custom_plans), 0)::bigint from pg_prepared_statements
                     where statement like '%as asked (task_id, run_id%'";
        sqlx::query_scalar(query).fetch_one(&pool).await.unwrap()
    };
    for seq in 1..5 {
        assert_eq!((last_seq(&runs[0].task_id).await, last_seq(&runs[1].task_id).await), (seq, 1));
        let before = looked_up().await;
        for _ in 0..READ_AGAIN {
            join_all(runs.iter().map(|run| last_seq(&run.task_id))).await;
        }
        let again = looked_up().await - before;
        assert!(again < READ_AGAIN / 5, "{again} look-ups");
        journal::write(&database.pool, &[entry(&runs[0], seq)]).await.unwrap();
    }
    pool.close().await;
    database.pool.close().await;
    server.end().await;
}

fn asked(task_id: &str, known: Option<Status>) -> Asked {
    Asked { task_id: TaskId::parse(task_id).unwrap(), known, lines: 0 }
}

async fn statuses_of(pool: &PgPool, asked: &[Asked]) -> Vec<Option<Status>> {
    let told = status::of_tasks(pool, asked).await.unwrap().told;
    told.into_iter().map(|told| told.map(|told| told.status)).collect()
}

async fn count(database: &Database, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&database.pool).await.unwrap()
}
