//! The search over the events of all runs: filters, order, cursors, totals.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Replica, World};
use crate::v2::{body, get, walk};
use crate::v2_events::{Known, generated, several};

/// A replica that only answers.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

/// A run as the oracle knows it, with its events.
struct Run {
    run_id: Uuid,
    task: usize,
    events: Vec<Known>,
}

const TASKS: usize = 8;

/// A run of some task with some events, asked for at this time.
async fn run(pool: &PgPool, random: &mut StdRng, at: DateTime<Utc>) -> Run {
    let (task, count) = (random.random_range(0..TASKS), random.random_range(1..9));
    let run_id: Uuid = sqlx::query_scalar(
        "insert into runs (run_id, task_id, kind, username, source, trigger, state, requested_at, deadline_at, finished_at,
                           last_seq)
         select uuid_v7($1), task_id, kind, username, 'auto', 'api', 'succeeded', $1, $1, $1, $2
         from tasks where task_id = 't' || $3::int
         returning run_id",
    )
    .bind(at)
    .bind(count)
    .bind(i32::try_from(task).unwrap())
    .fetch_one(pool)
    .await
    .unwrap();
    Run { run_id, task, events: generated(pool, random, run_id, at, count).await }
}

async fn tasks(pool: &PgPool) {
    sqlx::query("insert into tasks (task_id, kind, username) select 't' || n, 'profile', 'user' || n % 3 from generate_series(0, 7) n")
        .execute(pool)
        .await
        .unwrap();
}

fn position(event: &Value) -> (Uuid, i64) {
    (event["run_id"].as_str().unwrap().parse().unwrap(), event["seq"].as_i64().unwrap())
}

#[tokio::test]
async fn every_filter_lets_through_what_it_says_over_all_runs_in_either_order() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let pool = &world.database.pool;
    tasks(pool).await;
    let mut random = StdRng::seed_from_u64(8);
    // Over the edge of a week, and so of a partition; a minute apart.
    let monday = sqlx::query_scalar(
        "select date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' + interval '1 week'",
    );
    let monday: DateTime<Utc> = monday.fetch_one(pool).await.unwrap();
    let begin = monday - TimeDelta::minutes(30);
    let mut runs = Vec::new();
    for minute in 0..60 {
        runs.push(run(pool, &mut random, begin + TimeDelta::minutes(minute)).await);
    }
    let mut hits = 0;
    for round in 0..200 {
        let mut filters = several(&mut random, begin, 3600);
        if random.random_range(0..4) == 0 {
            let reason = ["rate_limited", "private", "not_found"][random.random_range(0..3)];
            filters.push((format!("&reason={reason}"), Box::new(move |event| event.reason == Some(reason))));
        }
        let mut query: String = filters.iter().map(|(query, _)| query.as_str()).collect();
        let wanted: BTreeSet<usize> = match random.random_range(0..4) {
            0 => (0..3).map(|_| random.random_range(0..TASKS)).collect(),
            1 => {
                query += "&username=USER1";
                (0..TASKS).filter(|task| task % 3 == 1).collect()
            }
            _ => (0..TASKS).collect(),
        };
        if !query.contains("username") && wanted.len() < TASKS {
            query.extend(wanted.iter().map(|task| format!("&task=t{task}")));
        }
        let mut expected: Vec<(Uuid, i64)> = Vec::new();
        for run in runs.iter().filter(|run| wanted.contains(&run.task)) {
            let hits = run.events.iter().filter(|event| filters.iter().all(|(_, lets)| lets(event)));
            expected.extend(hits.map(|event| (run.run_id, event.seq)));
        }
        match random.random() {
            true => query += "&order=asc",
            false => expected.reverse(),
        }
        let path = format!("/events?{}", query.trim_start_matches('&'));
        let path = path.trim_end_matches('?');
        let limit = [1, 8, 50, 1000][random.random_range(0..4)].max(expected.len() / 10);
        let found: Vec<_> = walk(&replica, path, limit).await.iter().map(position).collect();
        assert_eq!(found, expected, "round {round}: {path} by {limit}");
        let first = body(&get(&replica, path).await, 200);
        assert_eq!((&first["total"], &first["total_is_exact"]), (&json!(expected.len()), &json!(true)), "{path}");
        hits += found.len();
    }
    assert!(hits > 3000, "{hits}: the filters let enough through to show something");
    let one = &body(&get(&replica, "/events?limit=1&order=asc").await, 200)["items"][0];
    assert_eq!(
        (&one["task_id"], &one["username"]),
        (&json!(format!("t{}", runs[0].task)), &json!(format!("user{}", runs[0].task % 3)))
    );
    assert_eq!(one["message"], runs[0].events[0].message);
}

#[tokio::test]
async fn cursors_meet_every_event_once_while_others_come() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let pool = &world.database.pool;
    tasks(pool).await;
    let mut random = StdRng::seed_from_u64(9);
    let begin: DateTime<Utc> = "2026-02-01T00:00:00Z".parse().unwrap();
    let mut before = BTreeSet::new();
    for minute in 0..20 {
        let run = run(pool, &mut random, begin + TimeDelta::minutes(minute)).await;
        before.extend(run.events.iter().map(|event| (run.run_id, event.seq)));
    }
    let mut later = begin + TimeDelta::days(1);
    for of in ["", "&username=user1", "&level=warning&level=error"] {
        for order in ["desc", "asc"] {
            let (mut met, mut cursor, mut came) = (Vec::new(), String::new(), 0);
            loop {
                let page = body(&get(&replica, &format!("/events?order={order}&limit=6{of}{cursor}")).await, 200);
                assert_eq!(page["total"].is_null(), !cursor.is_empty(), "{page}");
                met.extend(page["items"].as_array().unwrap().iter().map(position));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
                if came < 5 {
                    run(pool, &mut random, later).await;
                    later += TimeDelta::minutes(1);
                    came += 1;
                }
            }
            let distinct: BTreeSet<_> = met.iter().copied().collect();
            assert_eq!(distinct.len(), met.len(), "{order}{of}: none twice");
            if of.is_empty() {
                assert!(before.is_subset(&distinct), "{order}: none left out");
            }
        }
    }
}

#[tokio::test]
async fn what_is_rare_among_much_is_found_and_totals_say_whether_they_are_all() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let pool = &world.database.pool;
    tasks(pool).await;
    // More than two pieces of a smooth course, with three events in them that are not of it.
    sqlx::query(
        "with run as (
             insert into runs (run_id, task_id, kind, username, source, trigger, state, deadline_at, finished_at, last_seq)
             select uuid_v7(now() - make_interval(secs => 6000 - n)), 't' || n % 8, 'profile', 'user' || (n % 8) % 3, 'auto',
                    'api', 'succeeded', now(), now(), 10
             from generate_series(1, 5000) as n
             returning run_id, task_id
         )
         insert into events (run_id, seq, at, level, event_type, message, fields)
         select run_id, seq, now(), case when chosen then 'warning' else 'info' end,
                case when chosen then 'rate_limited' else 'posts_fetched' end,
                case when chosen then 'Needle in the hay' else 'Page of posts read' end,
                case when chosen then '{\"reason\": \"rate_limited\"}' else '{}' end::jsonb
         from (select row_number() over (order by run_id) as n, * from run) as run, generate_series(1, 10) as seq,
              lateral (select n in (40, 2500, 4900) and seq = 4) as hit (chosen)",
    )
    .execute(pool)
    .await
    .unwrap();
    let found = async |query: &str| {
        let page = body(&get(&replica, &format!("/events?{query}")).await, 200);
        (page["items"].as_array().unwrap().len(), page["total"].clone(), page["total_is_exact"].clone())
    };
    for query in
        ["level=warning", "type=rate_limited", "reason=rate_limited", "type=rate_limited&q=NEEDLE&level=warning"]
    {
        assert_eq!(found(query).await, (3, json!(3), json!(true)), "{query}");
    }
    assert_eq!(walk(&replica, "/events?q=needle", 2).await.len(), 3);
    assert_eq!(
        walk(&replica, "/events?q=needle&order=asc&task=t1&task=t2&task=t4&task=t7", 2).await.len(),
        3 - missed(&replica).await
    );
    // More than are counted.
    assert_eq!(found("limit=5").await, (5, json!(10_000), json!(false)));
    assert_eq!(found("limit=5&q=page&order=asc").await, (5, json!(10_000), json!(false)));
    assert_eq!(found("limit=5&task=t0&type=posts_fetched").await.1, 6250 - hits_of(&replica, "t0").await);
}

/// How many of the needles are in none of the tasks that were named.
async fn missed(replica: &Replica) -> usize {
    let all = walk(replica, "/events?level=warning", 50).await;
    all.iter().filter(|event| !["t1", "t2", "t4", "t7"].contains(&event["task_id"].as_str().unwrap())).count()
}

/// How many of the needles are in this task.
async fn hits_of(replica: &Replica, task: &str) -> usize {
    walk(replica, &format!("/events?level=warning&task={task}"), 50).await.len()
}
