//! Runs of version 2: started, listed, cancelled, done anew.

use std::collections::BTreeSet;

use ig_tracking::db::RunId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Replica, World, assert_sound};
use crate::v2::{body, get, post, problem, walk};

/// A replica that only answers: what it starts stays as it is.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

#[tokio::test]
async fn a_run_of_either_kind_is_accepted_at_once_and_seen_to_its_end_where_its_location_says() {
    let (world, replica) = World::with_replica().await;
    for (route, task, kind) in [("create_task", "p", "profile"), ("create_reel_task", "r", "reel")] {
        replica.create(route, task, "anna").await;
        let answer = post(&replica, &format!("/tasks/{task}/runs")).await;
        let accepted = body(&answer, 202);
        let run_id = accepted["run_id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(&*format!("/api/v2/runs/{run_id}")));
        for (field, expected) in [
            ("task_id", json!(task)),
            ("kind", json!(kind)),
            ("username", json!("anna")),
            ("trigger", json!("api")),
            ("is_active", json!(true)),
            ("finished_at", Value::Null),
            ("cancel_requested_at", Value::Null),
        ] {
            assert_eq!(accepted[field], expected, "{field} of {accepted}");
        }
        let ended = body(&get(&replica, &format!("/runs/{run_id}?wait=60")).await, 200);
        assert_eq!(
            (&ended["state"], &ended["is_active"], &ended["reason"]),
            (&json!("succeeded"), &json!(false), &Value::Null)
        );
        assert!(ended["queue_seconds"].as_f64().unwrap() >= 0.0 && ended["duration_seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(ended["latest_event"]["event_type"], "scrape_completed");
        assert_eq!(ended["latest_event"]["seq"], ended["events_count"]);
        assert_eq!((&ended["step"], &ended["progress"]), (&Value::Null, &Value::Null));
        assert!(ended["requests_count"].as_i64().unwrap() > 0);
        for link in ["self", "task", "events", "requests"] {
            let path = ended["links"][link].as_str().unwrap().strip_prefix("/api/v2").unwrap();
            assert_eq!(get(&replica, path).await.status, 200, "{link}");
        }
    }
    assert_sound(&world.database.pool).await;
}

#[tokio::test]
async fn a_busy_task_tells_of_the_run_in_its_way() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "v2busy").await;
    world.instagram.hold("v2busy", 1).await;
    let run = body(&post(&replica, "/tasks/t/runs").await, 202);
    world.instagram.holds_one("v2busy").await;
    let answer = post(&replica, "/tasks/t/runs").await;
    let busy = problem(&answer, 409, "task-busy");
    assert_eq!((&busy["run_id"], &busy["state"], &busy["step"]), (&run["run_id"], &json!("running"), &json!("posts")));
    assert!(busy["age_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(answer.header("location"), run["links"]["self"].as_str());
    // So do those who would do it anew, and its progress is seen.
    let path = format!("/runs/{}", run["run_id"].as_str().unwrap());
    assert_eq!(problem(&post(&replica, &format!("{path}/retry")).await, 409, "task-busy")["run_id"], run["run_id"]);
    let shown = body(&get(&replica, &path).await, 200);
    assert_eq!(shown["step"], "posts");
    let (done, total) = (shown["progress"]["done"].as_u64().unwrap(), shown["progress"]["total"].as_u64().unwrap());
    assert!(done < total && shown["progress"]["of"] == "posts", "{shown}");
    world.instagram.let_go("v2busy").await;
}

#[tokio::test]
async fn a_start_takes_an_empty_body_or_an_empty_object_and_a_task_that_is_there() {
    let (_world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "anna").await;
    let start = async |task: &str, sent: &str| {
        replica.ask(Method::POST, &format!("/api/v2/tasks/{task}/runs"), Some(sent.to_owned())).await
    };
    assert_eq!(problem(&start("t", r#"{"kind": "reel"}"#).await, 400, "invalid-request")["errors"][0]["field"], "kind");
    problem(&start("t", "[]").await, 400, "invalid-request");
    problem(&start("t", &"x".repeat(70_000)).await, 413, "payload-too-large");
    problem(&start("none", "").await, 404, "not-found");
    problem(&start("a%20b", "").await, 404, "not-found");
    let text =
        replica.http.post(format!("{}/api/v2/tasks/t/runs", replica.address)).header("content-type", "text/plain");
    assert_eq!(text.body("x").send().await.unwrap().status(), 415);
    body(&start("t", " {} ").await, 202);
}

#[tokio::test]
async fn a_run_is_cancelled_wherever_it_stands_and_one_that_has_ended_otherwise_is_not() {
    let (world, replica) = World::with_replica().await;
    let clerk = world.replica(&CLERK).await;
    let cancel = async |run: &Value| post(&replica, &format!("/runs/{}/cancel", run["run_id"].as_str().unwrap())).await;

    // In a hand: it is told to stop.
    replica.create("create_task", "held", "v2cancel").await;
    world.instagram.hold("v2cancel", 1).await;
    let run = body(&post(&replica, "/tasks/held/runs").await, 202);
    world.instagram.holds_one("v2cancel").await;
    let answer = cancel(&run).await;
    let stopping = body(&answer, 202);
    assert_eq!(answer.header("location"), run["links"]["self"].as_str());
    // Its hand may have stopped by now.
    assert!(
        stopping["cancel_requested_at"].is_string()
            && (stopping["is_active"] == true || stopping["state"] == "cancelled"),
        "{stopping}"
    );
    world.instagram.let_go("v2cancel").await;
    let ended = body(&get(&replica, &format!("/runs/{}?wait=60", run["run_id"].as_str().unwrap())).await, 200);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    assert_eq!(body(&cancel(&run).await, 200)["state"], "cancelled");

    // Ended by itself.
    let run = scraped(&replica, "done").await;
    let refused = problem(&cancel(&run).await, 409, "not-processing");
    assert_eq!((&refused["run_id"], &refused["state"]), (&run["run_id"], &json!("succeeded")));

    // In nobody's hand: it is ended at once.
    drop(replica);
    clerk.create("create_task", "queued", "anna").await;
    let run = body(&post(&clerk, "/tasks/queued/runs").await, 202);
    assert_eq!(
        (&run["state"], &run["started_at"], &run["queue_seconds"]),
        (&json!("queued"), &Value::Null, &Value::Null)
    );
    let ended = body(&post(&clerk, &format!("/runs/{}/cancel", run["run_id"].as_str().unwrap())).await, 200);
    assert_eq!((&ended["state"], &ended["duration_seconds"]), (&json!("cancelled"), &Value::Null));

    for id in [&Uuid::from_u128(7).to_string(), "none", "%00"] {
        problem(&post(&clerk, &format!("/runs/{id}/cancel")).await, 404, "not-found");
        problem(&post(&clerk, &format!("/runs/{id}/retry")).await, 404, "not-found");
        problem(&get(&clerk, &format!("/runs/{id}")).await, 404, "not-found");
    }
}

/// Creates a task and scrapes it to its end.
async fn scraped(replica: &Replica, task: &str) -> Value {
    replica.create("create_task", task, "anna").await;
    let run = body(&post(replica, &format!("/tasks/{task}/runs")).await, 202);
    body(&get(replica, &format!("/runs/{}?wait=60", run["run_id"].as_str().unwrap())).await, 200)
}

#[tokio::test]
async fn a_run_that_has_ended_is_done_anew_by_a_run_that_names_it() {
    let (world, replica) = World::with_replica().await;
    let first = scraped(&replica, "t").await;
    let path = format!("/runs/{}", first["run_id"].as_str().unwrap());
    let answer = post(&replica, &format!("{path}/retry")).await;
    let again = body(&answer, 202);
    assert_ne!(again["run_id"], first["run_id"]);
    assert_eq!((&again["task_id"], &again["trigger"]), (&json!("t"), &json!("retry")));
    assert_eq!(answer.header("location"), again["links"]["self"].as_str());
    let event = body(&get(&replica, &format!("/runs/{}/events/1", again["run_id"].as_str().unwrap())).await, 200);
    assert_eq!((&event["fields"]["retry_of"], &event["fields"]["trigger"]), (&first["run_id"], &json!("retry")));
    body(&get(&replica, &format!("/runs/{}?wait=60", again["run_id"].as_str().unwrap())).await, 200);
    assert_eq!(walk(&replica, "/runs?trigger=retry", 1).await.len(), 1);

    replica.delete("/task/t").await.ok();
    let gone = problem(&post(&replica, &format!("{path}/retry")).await, 404, "not-found");
    assert!(gone["detail"].as_str().unwrap().contains("deleted"), "{gone}");
    assert_sound(&world.database.pool).await;
}

/// A run as the oracle knows it.
#[derive(Clone, Debug)]
struct Known {
    run_id: RunId,
    task: usize,
    kind: &'static str,
    source: &'static str,
    trigger: &'static str,
    state: &'static str,
    reason: Option<&'static str>,
    second: i64,
}

const STATES: [&str; 7] = ["queued", "running", "waiting", "succeeded", "partial", "failed", "cancelled"];
const REASONS: [&str; 4] = ["rate_limited", "not_found", "private", "challenge_required"];
const TASKS: usize = 40;

/// So many runs of some tasks of some accounts, a second apart, of all states; a task has one active run at most.
async fn generated(pool: &PgPool, random: &mut StdRng, from_second: i64, count: i64) -> Vec<Known> {
    let mut runs = Vec::new();
    let mut busy = BTreeSet::new();
    for second in from_second..from_second + count {
        let task = random.random_range(0..TASKS);
        let mut state = *STATES.choose(random).unwrap();
        if STATES[..3].contains(&state) && !busy.insert(task) {
            state = "failed";
        }
        let reason = (!["queued", "running", "succeeded"].contains(&state)).then(|| *REASONS.choose(random).unwrap());
        let known = Known {
            run_id: RunId(Uuid::nil()),
            task,
            kind: if task % 3 == 0 { "reel" } else { "profile" },
            source: ["auto", "web", "graph"].choose(random).unwrap(),
            trigger: ["api", "demo", "retry"].choose(random).unwrap(),
            state,
            reason,
            second,
        };
        let run_id: Uuid = sqlx::query_scalar(
            "insert into runs (run_id, task_id, kind, username, source, trigger, state, reason, requested_at, deadline_at,
                               claimable_at, finished_at)
             select uuid_v7(at), 't' || $1::int, $2, 'user' || $1::int % 7, $3, $4, $5, $6, at, at,
                    case when $7 then at + interval '10 years' end, case when not $7 then at end
             from (select timestamptz '2026-01-01 00:00:00Z' + make_interval(secs => $8)) as time (at)
             returning run_id",
        )
        .bind(i32::try_from(task).unwrap())
        .bind(known.kind)
        .bind(known.source)
        .bind(known.trigger)
        .bind(state)
        .bind(reason)
        .bind(STATES[..3].contains(&state))
        .bind(second as f64)
        .fetch_one(pool)
        .await
        .unwrap();
        runs.push(Known { run_id: RunId(run_id), ..known });
    }
    runs
}

async fn tasks(pool: &PgPool) {
    sqlx::query(
        "insert into tasks (task_id, kind, username)
         select 't' || n, case when n % 3 = 0 then 'reel' else 'profile' end, 'user' || n % 7
         from generate_series(0, 39) as n",
    )
    .execute(pool)
    .await
    .unwrap();
}

fn time(second: i64) -> String {
    chrono::DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap().to_rfc3339().replace("+00:00", "Z")
}

/// A filter as a query, and what it lets through.
type Chosen = (String, Box<dyn Fn(&Known) -> bool>);

fn some<T: Copy>(random: &mut StdRng, of: &[T]) -> Vec<T> {
    (0..random.random_range(1..4)).map(|_| *of.choose(random).unwrap()).collect()
}

fn chosen(random: &mut StdRng) -> Chosen {
    let values =
        |name: &str, values: &[&str]| values.iter().map(|value| format!("&{name}={value}")).collect::<String>();
    match random.random_range(0..9) {
        0 => {
            let tasks = some(random, &(0..TASKS + 2).collect::<Vec<_>>());
            let query = tasks.iter().map(|task| format!("&task=t{task}")).collect();
            (query, Box::new(move |run| tasks.contains(&run.task)))
        }
        1 => {
            let user = random.random_range(0..8);
            (format!("&username=@User{user}"), Box::new(move |run| run.task % 7 == user))
        }
        2 => ("&kind=reel".to_owned(), Box::new(|run| run.kind == "reel")),
        3 => ("&source=web".to_owned(), Box::new(|run| run.source == "web")),
        4 => ("&trigger=demo".to_owned(), Box::new(|run| run.trigger == "demo")),
        5 => {
            let wanted = some(random, &STATES);
            (values("state", &wanted), Box::new(move |run| wanted.contains(&run.state)))
        }
        6 => {
            let wanted = some(random, &REASONS);
            (values("reason", &wanted), Box::new(move |run| run.reason.is_some_and(|reason| wanted.contains(&reason))))
        }
        7 => {
            let second = random.random_range(-5..310);
            (format!("&since={}", time(second)), Box::new(move |run| run.second >= second))
        }
        _ => {
            let second = random.random_range(-5..310);
            (format!("&until={}", time(second)), Box::new(move |run| run.second < second))
        }
    }
}

#[tokio::test]
async fn every_filter_lets_through_what_it_says_in_either_order_and_on_pages_of_any_size() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    tasks(&world.database.pool).await;
    let mut random = StdRng::seed_from_u64(6);
    let runs = generated(&world.database.pool, &mut random, 0, 300).await;
    let mut hits = 0;
    for round in 0..250 {
        let filters: Vec<Chosen> = (0..random.random_range(0..4)).map(|_| chosen(&mut random)).collect();
        // Of a name that may not be repeated the first only.
        let mut names = BTreeSet::new();
        let filters: Vec<_> = filters
            .into_iter()
            .filter(|(query, _)| names.insert(query.split('=').next().unwrap().to_owned()))
            .collect();
        let mut expected: Vec<RunId> =
            runs.iter().filter(|run| filters.iter().all(|(_, lets)| lets(run))).map(|run| run.run_id).collect();
        let order = ["", "&order=desc", "&order=asc"][random.random_range(0..3)];
        if order != "&order=asc" {
            expected.reverse();
        }
        let query: String = filters.iter().map(|(query, _)| query.as_str()).collect();
        let limit = [1, 7, 50, 1000][random.random_range(0..4)].max(expected.len() / 20);
        let path = format!("/runs?{}", format!("{query}{order}").trim_start_matches('&'));
        let path = path.trim_end_matches('?');
        let found: Vec<RunId> = walk(&replica, path, limit)
            .await
            .iter()
            .map(|run| run["run_id"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(found, expected, "round {round}: {path} by {limit}");
        hits += found.len();
    }
    assert!(hits > 3000, "{hits}: the filters let enough through to show something");
}

#[tokio::test]
async fn cursors_meet_every_run_once_while_others_come() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let pool = &world.database.pool;
    tasks(pool).await;
    let mut random = StdRng::seed_from_u64(60);
    let before = generated(pool, &mut random, 0, 60).await;
    sqlx::query(
        "update runs set state = 'failed', reason = 'private', claimable_at = null, finished_at = now()
                 where claimable_at is not null",
    )
    .execute(pool)
    .await
    .unwrap();
    for (order, comes_later) in [("desc", false), ("asc", true)] {
        let (mut met, mut cursor, mut second) = (Vec::new(), String::new(), 1000 * (1 + i64::from(comes_later)));
        let mut came = Vec::new();
        loop {
            let page = body(&get(&replica, &format!("/runs?order={order}&limit=7{cursor}")).await, 200);
            met.extend(page["items"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if came.len() < 10 {
                let one = generated(pool, &mut random, second, 1).await;
                sqlx::query(
                    "update runs set state = 'failed', reason = 'private', claimable_at = null, finished_at = now()
                             where claimable_at is not null",
                )
                .execute(pool)
                .await
                .unwrap();
                came.extend(one);
                second += 1;
            }
        }
        let distinct: BTreeSet<_> = met.iter().collect();
        assert_eq!(distinct.len(), met.len(), "{order}: none twice");
        assert!(before.iter().all(|run| distinct.contains(&run.run_id.to_string())), "{order}: none left out");
        let met_of_those = came.iter().filter(|run| distinct.contains(&run.run_id.to_string())).count();
        assert_eq!(met_of_those, if comes_later { came.len() } else { 0 }, "{order}");
        assert_eq!(came.len().min(8), 8);
    }
}

#[tokio::test]
async fn odd_input_is_refused_by_name() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    replica.create("create_task", "t", "anna").await;
    let run = body(&post(&replica, "/tasks/t/runs").await, 202);
    let run = format!("/runs/{}", run["run_id"].as_str().unwrap());
    let many = |name: &str, value: &str, count: usize| vec![format!("{name}={value}"); count].join("&");
    let log = format!("{run}/events");
    let requests = format!("{run}/requests");
    for (path, query, field) in [
        ("/runs", "limit=0".to_owned(), "limit"),
        ("/runs", "limit=1001".to_owned(), "limit"),
        ("/runs", "limit=99999999999999999999".to_owned(), "limit"),
        ("/runs", "limit=5&limit=6".to_owned(), "limit"),
        ("/runs", "colour=red".to_owned(), "colour"),
        ("/runs", "task=a%00b".to_owned(), "task"),
        ("/runs", "task=%F0%9F%8E%88".to_owned(), "task"),
        ("/runs", many("task", "a", 51), "task"),
        ("/runs", many("state", "failed", 51), "state"),
        ("/runs", "state=asleep".to_owned(), "state"),
        ("/runs", "reason=mood".to_owned(), "reason"),
        ("/runs", "trigger=cat".to_owned(), "trigger"),
        ("/runs", "kind=story".to_owned(), "kind"),
        ("/runs", "username=no%20body".to_owned(), "username"),
        ("/runs", "since=yesterday".to_owned(), "since"),
        ("/runs", "until=".to_owned(), "until"),
        ("/runs", "order=up".to_owned(), "order"),
        ("/runs", "cursor=%F0%9F%8E%88".to_owned(), "cursor"),
        ("/runs", "cursor=WzFd".to_owned(), "cursor"),
        (&run, "wait=61".to_owned(), "wait"),
        (&run, "wait=-1".to_owned(), "wait"),
        (&run, "wait=1.5".to_owned(), "wait"),
        (&run, "wait=1&wait=2".to_owned(), "wait"),
        (&run, "what=1".to_owned(), "what"),
        (&log, format!("q={}", "%C3%A9".repeat(201)), "q"),
        (&log, "q=%00".to_owned(), "q"),
        (&log, "q=".to_owned(), "q"),
        (&log, "type=Posts".to_owned(), "type"),
        (&log, format!("type=a{}", "b".repeat(64)), "type"),
        (&log, many("type", "a", 51), "type"),
        (&log, "level=loud".to_owned(), "level"),
        (&log, "after=-1".to_owned(), "after"),
        (&log, "before=x".to_owned(), "before"),
        (&log, "offset=1e3".to_owned(), "offset"),
        (&log, "download=yes".to_owned(), "download"),
        (&log, "cursor=e30".to_owned(), "cursor"),
        (&requests, "limit=0".to_owned(), "limit"),
        (&requests, "cursor=x".to_owned(), "cursor"),
        ("/events", format!("q={}", "x".repeat(201)), "q"),
        ("/events", "reason=mood".to_owned(), "reason"),
        ("/events", many("level", "info", 51), "level"),
        ("/events", "cursor=WyJhIiwxXQ".to_owned(), "cursor"),
        ("/events", "offset=1".to_owned(), "offset"),
    ] {
        let answer = get(&replica, &format!("{path}?{query}")).await;
        let problem = problem(&answer, 400, "invalid-request");
        assert_eq!(
            problem["errors"][0]["field"].as_str().map(|name| name.split('[').next().unwrap()),
            Some(field),
            "{query}: {problem}"
        );
        assert_eq!(problem["errors"][0]["location"], "query");
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
    }
    // Large, and nothing wrong with it.
    for path in [
        format!("{log}?after=9223372036854775807&offset=9223372036854775807&before=0"),
        format!("{log}?q={}", "%F0%9F%8E%88".repeat(200)),
        "/events?q=%25_%5C%27%22".to_owned(),
        "/runs?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z".to_owned(),
        "/events?since=9999-12-31T23:59:59Z".to_owned(),
        "/events?since=2026-11-22T06:16:44%2B02:00&until=0001-01-01T00:00:00Z".to_owned(),
        format!("/runs?{}", many("task", "a", 50)),
    ] {
        body(&get(&replica, &path).await, 200);
    }
    for path in [format!("{log}/0"), format!("{log}/99"), format!("{log}/x"), format!("{log}/99999999999999999999")] {
        problem(&get(&replica, &path).await, 404, "not-found");
    }
}
