//! The log of a run in version 2: filtered, in pages and forms, as a file; its requests.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Replica, World};
use crate::schema::claimed;
use crate::v2::{body, get, get_with, post, problem, walk};

/// A replica that only answers.
const CLERK: [(&str, &str); 1] = [("IGT_CONCURRENCY", "0")];

pub(crate) const TYPES: [&str; 6] =
    ["posts_fetched", "account_fetched", "rate_limited", "scrape_failed", "upstream_changed", "scrape_completed"];
pub(crate) const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];
pub(crate) const WORDS: [&str; 12] =
    ["Page", "page", "100%", "a_b", "axb", r"back\slash", "🎈", "\"quoted\"", "nasa", "NASA.gov", "HTTP 429", "429"];

/// An event as the oracle knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) seq: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) level: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) message: String,
    pub(crate) fields: String,
    pub(crate) reason: Option<&'static str>,
}

/// So many events of a run, which is made to have them.
pub(crate) async fn generated(
    pool: &PgPool,
    random: &mut StdRng,
    run_id: Uuid,
    at: DateTime<Utc>,
    count: i64,
) -> Vec<Known> {
    let mut events = Vec::new();
    for seq in 1..=count {
        let mut words = || [*WORDS.choose(random).unwrap(), *WORDS.choose(random).unwrap()].join(" ");
        let (message, said) = (words(), words());
        let event_type = *TYPES.choose(random).unwrap();
        let is_failure = ["rate_limited", "scrape_failed"].contains(&event_type);
        let reason = is_failure.then(|| *["rate_limited", "private"].choose(random).unwrap());
        let mut fields = json!({"said": said, "n": seq});
        if let Some(reason) = reason {
            fields["reason"] = json!(reason);
        }
        let at = at + TimeDelta::seconds(seq);
        let level = *LEVELS.choose(random).unwrap();
        let fields: String = sqlx::query_scalar(
            "insert into events (run_id, seq, at, level, event_type, message, fields)
             values ($1, $2, $3, $4, $5, $6, $7) returning fields::text",
        )
        .bind(run_id)
        .bind(seq)
        .bind(at)
        .bind(level)
        .bind(event_type)
        .bind(&message)
        .bind(fields)
        .fetch_one(pool)
        .await
        .unwrap();
        events.push(Known { seq, at, level, event_type, message, fields, reason });
    }
    events
}

pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A filter as a query, and what it lets through.
pub(crate) type Chosen = (String, Box<dyn Fn(&Known) -> bool>);

pub(crate) fn chosen(random: &mut StdRng, from: DateTime<Utc>, seconds: i64) -> Chosen {
    let mut some = |of: &[&'static str]| -> Vec<&'static str> {
        (0..random.random_range(1..4)).map(|_| *of.choose(random).unwrap()).collect()
    };
    let values =
        |name: &str, values: &[&str]| values.iter().map(|value| format!("&{name}={value}")).collect::<String>();
    let (types, levels) = (some(&TYPES), some(&LEVELS));
    match random.random_range(0..5) {
        0 => (values("type", &types), Box::new(move |event| types.contains(&event.event_type))),
        1 => (values("level", &levels), Box::new(move |event| levels.contains(&event.level))),
        2 => {
            let since = from + TimeDelta::seconds(random.random_range(-2..seconds + 2));
            (format!("&since={}", time(since)), Box::new(move |event| event.at >= since))
        }
        3 => {
            let until = from + TimeDelta::seconds(random.random_range(-2..seconds + 2));
            (format!("&until={}", time(until)), Box::new(move |event| event.at < until))
        }
        _ => {
            let text = *["PAGE", "00%", "A_B", r"k\s", "🎈", "nasa", "429", "e n", "\"", "%", "_", "nothing"]
                .choose(random)
                .unwrap();
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let text = text.to_lowercase();
            let has = move |said: &str| said.to_lowercase().contains(&text);
            (format!("&q={encoded}"), Box::new(move |event| has(&event.message) || has(&event.fields)))
        }
    }
}

/// Filters of different names.
pub(crate) fn several(random: &mut StdRng, from: DateTime<Utc>, seconds: i64) -> Vec<Chosen> {
    let mut names = std::collections::BTreeSet::new();
    let all: Vec<_> = (0..random.random_range(0..4)).map(|_| chosen(random, from, seconds)).collect();
    all.into_iter().filter(|(query, _)| names.insert(query.split('=').next().unwrap().to_owned())).collect()
}

/// A replica, and a run with so many events: its path and the events.
async fn logged(world: &World, count: i64) -> (Replica, String, Vec<Known>) {
    let replica = world.replica(&CLERK).await;
    let pool = &world.database.pool;
    let run_id = claimed(pool, "t").await.run_id;
    sqlx::query("delete from events").execute(pool).await.unwrap();
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    let events = generated(pool, &mut StdRng::seed_from_u64(5), run_id.0, at, count).await;
    sqlx::query("update runs set last_seq = $1").bind(count).execute(pool).await.unwrap();
    (replica, format!("/runs/{run_id}/events"), events)
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn every_filter_of_a_log_lets_through_what_it_says_and_the_total_counts_it() {
    let world = World::new().await;
    let (replica, path, events) = logged(&world, 250).await;
    let mut random = StdRng::seed_from_u64(7);
    let mut hits = 0;
    for round in 0..300 {
        let filters = several(&mut random, events[0].at, 250);
        let mut expected: Vec<i64> =
            events.iter().filter(|event| filters.iter().all(|(_, lets)| lets(event))).map(|event| event.seq).collect();
        let total = expected.len();
        let mut query: String = filters.iter().map(|(query, _)| query.as_str()).collect();
        if random.random() {
            let (after, before) = (random.random_range(0..260), random.random_range(0..260));
            query += &format!("&after={after}&before={before}");
            expected.retain(|seq| *seq > after && *seq < before);
        }
        if random.random() {
            query += "&order=desc";
            expected.reverse();
        }
        if random.random() {
            // All of it, page by page.
            let limit = [3, 50, 1000][random.random_range(0..3)].max(expected.len() / 10);
            let walked =
                walk(&replica, format!("{path}?{}", query.trim_start_matches('&')).trim_end_matches('?'), limit).await;
            assert_eq!(seqs(&walked), expected, "round {round}: {query} by {limit}");
        } else {
            let (limit, offset) = (random.random_range(1..60), random.random_range(0..80));
            query += &format!("&limit={limit}&offset={offset}");
            let page = body(&get(&replica, &format!("{path}?{}", query.trim_start_matches('&'))).await, 200);
            let expected: Vec<i64> = expected.into_iter().skip(offset).take(limit).collect();
            assert_eq!(seqs(page["items"].as_array().unwrap()), expected, "round {round}: {query}");
            assert_eq!(page["total"], total, "round {round}: {query}");
        }
        hits += total;
    }
    assert!(hits > 5000, "{hits}: the filters let enough through to show something");
}

#[tokio::test]
async fn a_log_is_told_in_the_form_that_is_asked_for() {
    let world = World::new().await;
    let (replica, path, events) = logged(&world, 12).await;
    let limited = format!("{path}?limit=5");
    let json = get(&replica, &limited).await;
    let page = json.json();
    assert_eq!(seqs(page["items"].as_array().unwrap()), [1, 2, 3, 4, 5]);
    let first = &page["items"][0];
    assert_eq!(
        (&first["message"], &first["level"], &first["at"]),
        (&json!(events[0].message), &json!(events[0].level), &json!(time(events[0].at)))
    );
    assert_eq!(first["fields"], serde_json::from_str::<Value>(&events[0].fields).unwrap());
    for (accept, content_type) in
        [("application/x-ndjson", "application/x-ndjson"), ("text/*", "text/plain; charset=utf-8")]
    {
        let answer = get_with(&replica, &limited, "accept", accept).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(content_type)));
        assert_eq!(answer.header("vary"), Some("accept"));
        assert_eq!(answer.header("x-total-count"), Some("12"));
        assert_eq!(answer.header("x-next-cursor"), page["next_cursor"].as_str());
        let lines: Vec<_> = answer.text.lines().collect();
        assert_eq!(lines.len(), 5);
        for (line, event) in lines.iter().zip(page["items"].as_array().unwrap()) {
            if accept == "text/*" {
                for part in ["seq", "at", "level", "event_type", "message"] {
                    let part = event[part].as_str().map_or_else(|| event[part].to_string(), str::to_owned);
                    assert!(line.contains(&part), "{line}: {part}");
                }
            } else {
                assert_eq!(&serde_json::from_str::<Value>(line).unwrap(), event);
            }
        }
    }
    let refused =
        problem(&get_with(&replica, &path, "accept", "image/png, text/plain;q=0").await, 406, "not-acceptable");
    assert!(refused["detail"].as_str().unwrap().contains("application/x-ndjson"), "{refused}");

    assert_eq!(&body(&get(&replica, &format!("{path}/3")).await, 200), &page["items"][2]);
    problem(&get(&replica, &format!("{path}/13")).await, 404, "not-found");
    problem(&get(&replica, "/runs/01a20178-8408-732e-a18d-da46eb031805/events").await, 404, "not-found");
}

#[tokio::test]
async fn what_is_left_out_at_the_beginning_is_left_out_once_however_many_pages_follow() {
    let world = World::new().await;
    let (replica, path, _) = logged(&world, 60).await;
    for order in ["asc", "desc"] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = body(&get(&replica, &format!("{path}?order={order}&limit=20&offset=5{cursor}")).await, 200);
            found.extend(seqs(page["items"].as_array().unwrap()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let all = (1..=60).collect::<Vec<i64>>();
        let expected: Vec<i64> = if order == "asc" { all } else { all.into_iter().rev().collect() };
        assert_eq!(found, expected[5..], "{order}");
    }
}

#[tokio::test]
async fn a_file_has_all_that_the_filters_let_through() {
    let world = World::new().await;
    let (replica, path, events) = logged(&world, 450).await;
    let expected: Vec<i64> = events.iter().filter(|event| event.level == "warning").map(|event| event.seq).collect();
    for (accept, ending) in [("application/json", "json"), ("application/x-ndjson", "ndjson"), ("text/plain", "txt")] {
        for (query, expected) in [
            ("download=1", (1..=450).collect::<Vec<_>>()),
            ("download=1&order=desc", (1..=450).rev().collect()),
            ("download=1&level=warning", expected.clone()),
            ("download=1&limit=250&offset=10&after=20", (31..=280).collect()),
            ("download=1&q=not%20there", Vec::new()),
        ] {
            let answer = get_with(&replica, &format!("{path}?{query}"), "accept", accept).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let name = format!("attachment; filename=\"run-{}.{ending}\"", &path[6..42]);
            assert_eq!(answer.header("content-disposition"), Some(&*name));
            let found: Vec<i64> = match ending {
                "json" => {
                    let whole = answer.json();
                    assert_eq!(whole["next_cursor"], Value::Null);
                    assert_eq!(whole["total"].to_string(), answer.header("x-total-count").unwrap());
                    seqs(whole["items"].as_array().unwrap())
                }
                "ndjson" => {
                    seqs(&answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
                }
                _ => answer.text.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect(),
            };
            assert_eq!(found, expected, "{accept} {query}");
        }
    }
}

#[tokio::test]
async fn a_log_of_twenty_thousand_events_is_sent_in_little_memory() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let run_id = claimed(&world.database.pool, "t").await.run_id;
    // Some 80 MB, were it all in memory.
    sqlx::query(
        "insert into events (run_id, seq, at, level, event_type, message, fields)
         select $1, seq, now(), 'info', 'posts_fetched', 'Page ' || seq || repeat(' x', 1000),
                jsonb_build_object('said', repeat(md5(seq::text), 60))
         from generate_series(2, 20000) as seq",
    )
    .bind(run_id.0)
    .execute(&world.database.pool)
    .await
    .unwrap();
    sqlx::query("update runs set last_seq = 20000").execute(&world.database.pool).await.unwrap();
    let path = format!("/runs/{run_id}/events?download=1");
    get(&replica, &format!("/runs/{run_id}/events?limit=200")).await;
    let before = most_memory(&replica);
    let answer = get_with(&replica, &path, "accept", "application/x-ndjson").await;
    assert!(answer.text.len() > 75_000_000, "{}", answer.text.len());
    assert!(
        answer.text.lines().map(|line| line.split([':', ',']).nth(1).unwrap()).eq((1..=20_000).map(|n| n.to_string()))
    );
    let grown = most_memory(&replica) - before;
    assert!(grown < 24_000, "{grown} KiB");
}

/// The most memory that a replica ever had, in KiB.
fn most_memory(replica: &Replica) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", replica.process())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_a_run_asked_of_its_source_is_told() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_reel_task", "t", "v2asks").await;
    let run = body(&post(&replica, "/tasks/t/runs").await, 202);
    let path = format!("/runs/{}", run["run_id"].as_str().unwrap());
    let run = body(&get(&replica, &format!("{path}?wait=60")).await, 200);
    let requests = walk(&replica, &format!("{path}/requests"), 3).await;
    assert_eq!(json!(requests.len()), run["requests_count"]);
    assert_eq!(seqs(&requests), (1..=requests.len() as i64).collect::<Vec<_>>());
    for request in &requests {
        assert_eq!(
            (&request["source"], &request["status"], &request["failure"]),
            (&json!("web"), &json!(200), &Value::Null)
        );
        assert_eq!(
            (&request["has_body"], &request["credential"], &request["attempt"]),
            (&json!(false), &json!("guest"), &json!(1))
        );
        assert!(request["duration_ms"].as_f64().unwrap() > 0.0 && request["bytes"].as_i64().unwrap() > 0);
        assert!(request["url"].as_str().unwrap().starts_with("http"));
    }
    assert_eq!(requests.len(), world.instagram.requests("v2asks").await.len());
    problem(&get(&replica, "/runs/01a20178-8408-732e-a18d-da46eb031805/requests").await, 404, "not-found");
}
