//! Whoever reads a log cannot tell whether it is packed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ig_tracking::db::event_search::{self, Among, Piece};
use ig_tracking::db::status::{self, Part};
use ig_tracking::db::{RunId, event_lists};
use ig_tracking::maintenance::{summarise_all, tend_logs};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::*;
use crate::failures::HURRIED;
use crate::harness::{Answer, EventStream, Replica, World, eventually};
use crate::v2::{body, get, get_with, problem, walk};
use crate::v2_events::several as filters;

/// All that a client is told, but for what is of the moment.
fn told(answer: &Answer) -> String {
    let headers: BTreeMap<_, _> = answer.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let of_the_moment = ["date", "x-request-id"];
    let headers: Vec<_> = headers.into_iter().filter(|(name, _)| !of_the_moment.contains(name)).collect();
    let request_id = answer.header("x-request-id").unwrap_or("-");
    format!("{} {headers:?}\n{}", answer.status, answer.text.replace(request_id, "-"))
}

/// Paths below version 2 with what is accepted, by which every form of every log is asked for.
fn questions(random: &mut StdRng, runs: &[Run], begin: DateTime<Utc>) -> Vec<(String, &'static str)> {
    let forms = ["application/json", "application/x-ndjson", "text/plain"];
    let mut questions = Vec::new();
    for round in 0..250 {
        let form = *forms.choose(random).unwrap();
        let run = runs.choose(random).unwrap();
        let seconds = if round % 2 == 0 { 3600 } else { run.events.len() as i64 };
        let mut query: String = filters(random, begin, seconds).into_iter().map(|(query, _)| query).collect();
        query += ["", "&order=asc", "&order=desc"].choose(random).unwrap();
        if round % 3 == 0 {
            query += ["", "&reason=private", "&reason=rate_limited&reason=not_found"].choose(random).unwrap();
            query += ["", "&username=user1", "&task=t1&task=t4"].choose(random).unwrap();
            query += &format!("&limit={}", random.random_range(1..60));
            questions.push((format!("/events?{}", query.trim_start_matches('&')), "application/json"));
            continue;
        }
        let last = run.events.len() as i64;
        match random.random_range(0..4) {
            0 => query += "&download=1",
            1 => {
                query +=
                    &format!("&after={}&before={}", random.random_range(0..last + 2), random.random_range(0..last + 2))
            }
            2 => query += &format!("&limit={}&offset={}", random.random_range(1..40), random.random_range(0..last + 2)),
            _ => {}
        }
        questions.push((format!("/runs/{}/events?{}", run.run_id, query.trim_start_matches('&')), form));
    }
    for run in runs {
        let last = run.events.len();
        questions.push((format!("/runs/{}", run.run_id), "application/json"));
        for form in ["application/json", "text/plain"] {
            questions.push((format!("/runs/{}/post-mortem", run.run_id), form));
        }
        for seq in [1, last, last + 1] {
            questions.push((format!("/runs/{}/events/{seq}", run.run_id), "application/json"));
        }
    }
    questions.extend([
        ("/runs?limit=1000".to_owned(), "application/json"),
        ("/runs?limit=7&order=asc".to_owned(), "application/json"),
    ]);
    questions
}

/// All that there is to be told of these runs.
async fn all_told(
    world: &World,
    replica: &Replica,
    questions: &[(String, &str)],
    runs: &[Run],
) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, form) in questions {
        all.push((format!("{path} {form}"), told(&get_with(replica, path, "accept", form).await)));
    }
    for path in
        ["/events?order=asc", "/events", "/events?level=warning&level=error", "/events?q=NASA", "/events?task=t2"]
    {
        all.push((path.to_owned(), format!("{:#?}", walk(replica, path, 17).await)));
    }
    for run in runs.iter().take(20) {
        let path = format!("/runs/{}/events", run.run_id);
        all.push((path.clone(), format!("{:#?}", walk(replica, &path, 13).await)));
        let path = format!("{}/api/v2/runs/{}/events/stream", replica.address, run.run_id);
        for last_id in [None, Some("1"), Some("200")] {
            let mut stream = EventStream::ask(&path, last_id).await.unwrap().unwrap();
            let mut messages = Vec::new();
            while let Some(message) = stream.next().await {
                messages.push(message);
            }
            all.push((format!("{path} behind {last_id:?}").replace(&replica.address, ""), format!("{messages:#?}")));
        }
    }
    for task in 0..8 {
        for lines in [1, 10, 100] {
            let path = format!("/task_status/t{task}?logs_count={lines}");
            all.push((path.clone(), told(&replica.get(&path).await)));
        }
    }
    let database = [("DATABASE_URL", world.database.url.as_str())];
    for run in runs.iter().take(5) {
        let run_id = run.run_id.to_string();
        for arguments in [
            &["runs", "show", &run_id][..],
            &["runs", "show", &run_id, "--json"],
            &["runs", "tail", &run_id],
            &["runs", "post-mortem", &run_id],
        ] {
            let shown = call(arguments, &database).finished().await;
            assert_eq!(shown.code, Some(0), "{shown:?}");
            all.push((arguments.join(" "), shown.stdout));
        }
    }
    all
}

#[tokio::test]
async fn every_reader_is_told_the_same_of_a_packed_log_byte_for_byte() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let database = &world.database.pool;
    tasks(database, 8).await;
    let mut random = StdRng::seed_from_u64(31);
    // Over the edge of a quarter, and so of a week.
    let quarter: DateTime<Utc> = sqlx::query_scalar("select date_trunc('quarter', now() - interval '60 days')")
        .fetch_one(database)
        .await
        .unwrap();
    let begin = quarter - TimeDelta::minutes(20);
    let mut runs = vec![ended(database, &mut random, "t1", begin - TimeDelta::minutes(1), 700).await];
    runs.extend(several(database, &mut random, begin, 40).await);
    // What no word of ours has: a run that a person's hand has been at, and texts of all kinds.
    sqlx::query("update events set message = 'İI' || chr(7) || message, fields = fields || '{\"reason\": 7, \"ß\": [1.50, \"K\"]}' where seq = 2")
        .execute(database)
        .await
        .unwrap();
    // Some stay rows: those that are not old enough, among them.
    let young = several(database, &mut random, now(database).await - TimeDelta::hours(3), 10).await;
    let all: Vec<_> = runs.iter().chain(&young).cloned().collect();
    let mut questions = questions(&mut random, &all, begin);
    for text in ["ı", "I", "i", "K", "k", "ss", "ß", "1.50", "%07"] {
        let encoded = text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        questions.push((format!("/events?q={encoded}&limit=1000"), "application/json"));
        questions.push((format!("/runs/{}/events?q={encoded}", runs[0].run_id), "application/json"));
    }

    let before = all_told(&world, &replica, &questions, &all).await;
    let packed = maintain(&world.database, &[], &[("IGT_EXCHANGE_RETENTION_DAYS", "0")]).await;
    assert_eq!(packed.code, Some(0), "{packed:?}");
    assert!(packed.stdout.contains("41 logs packed"), "{packed:?}");
    assert_eq!(whereabouts(database).await, (10, 41));
    // Those that know what they were told before, and those that know nothing.
    let another = world.replica(&CLERK).await;
    for replica in [&replica, &another] {
        let after = all_told(&world, replica, &questions, &all).await;
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            assert_eq!(after, before, "{path}");
        }
    }
    let hits = before.iter().filter(|(path, told)| path.contains('?') && told.contains("\"seq\"")).count();
    assert!(hits > 100, "{hits}: the questions bring enough to show something");
}

/// What a bundle says of a run, by the names of its files, but for what is of the moment.
fn in_bundle(file: &Path) -> BTreeMap<String, String> {
    let unpacked = zstd::decode_all(std::fs::File::open(file).unwrap()).unwrap();
    let mut archive = tar::Archive::new(&unpacked[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (name, mut content) = (entry.path().unwrap().to_string_lossy().into_owned(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        (name, String::from_utf8_lossy(&content).into_owned())
    });
    entries.filter(|(name, _)| !["manifest.json", "run.json"].contains(&name.as_str())).collect()
}

#[tokio::test]
async fn a_failed_run_is_explained_bundled_and_played_back_from_its_pack_as_from_its_rows() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[("IGT_ARCHIVE_AFTER_DAYS", "0")]].concat()).await;
    let status = world.scrape(&replica, "t", "renamed.packed").await;
    assert_eq!(status["status"], "partial", "{status:#}");
    let service = world.database.as_the_service();
    eventually("it is summarised", async || {
        summarise_all(&service).await.unwrap();
        let summaries: i64 =
            sqlx::query_scalar("select count(*) from run_summaries").fetch_one(&world.database.pool).await.unwrap();
        (summaries == 1).then_some(())
    })
    .await;
    let run_id: Uuid = sqlx::query_scalar("select run_id from runs").fetch_one(&world.database.pool).await.unwrap();
    let path = format!("/runs/{run_id}/post-mortem");
    let file = std::env::temp_dir().join(format!("packed-{run_id}.tar.zst"));
    let database = [("DATABASE_URL", world.database.url.as_str())];
    let all = async || {
        let mut all = Vec::new();
        for form in ["application/json", "text/plain"] {
            all.push(told(&get_with(&replica, &path, "accept", form).await));
        }
        for arguments in
            [&["runs", "post-mortem", "t"][..], &["runs", "replay", "t"], &["runs", "replay", "t", "--json"]]
        {
            let shown = call(arguments, &database).finished().await;
            all.push(format!("{:?} {}", shown.code, shown.stdout));
        }
        let arguments = ["runs", "post-mortem", "t", "--force", "--bundle", file.to_str().unwrap()];
        let made = call(&arguments, &database).finished().await;
        assert_eq!(made.code, Some(0), "{made:?}");
        all.push(format!("{:#?}", in_bundle(&file)));
        all
    };
    let from_rows = all().await;
    let now = Retention { archive_after_days: Some(0), ..PACK };
    tend_logs(&pool(&world.database), now, Duration::ZERO).await.unwrap();
    assert_eq!(whereabouts(&world.database.pool).await, (0, 1));
    for (packed, rows) in all().await.iter().zip(&from_rows) {
        assert_eq!(packed, rows);
    }
    assert!(from_rows[3].starts_with("Some(5) ") && from_rows[3].contains("0 gone (-), 0 new (+)"), "{}", from_rows[3]);
    assert!(from_rows[5].contains("post-mortem.txt") && from_rows[5].contains("events.ndjson"));
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_search_over_rows_and_packed_logs_meets_each_event_once_in_order() {
    let world = World::new().await;
    let database = &world.database.pool;
    tasks(database, 8).await;
    let mut random = StdRng::seed_from_u64(32);
    let begin = now(database).await - TimeDelta::days(40);
    let runs = several(database, &mut random, begin, 60).await;
    // Rows and packs by turns. No replica is there yet: it would write the missing summaries, and then all are packed.
    let odd: Vec<_> = runs.iter().skip(1).step_by(2).map(|run| run.run_id).collect();
    sqlx::query("delete from run_summaries where run_id = any($1)").bind(&odd).execute(database).await.unwrap();
    tend_logs(&pool(&world.database), PACK, Duration::ZERO).await.unwrap();
    assert_eq!(whereabouts(database).await, (30, 30));
    let replica = world.replica(&CLERK).await;
    let position =
        |event: &Value| (event["run_id"].as_str().unwrap().parse::<Uuid>().unwrap(), event["seq"].as_i64().unwrap());
    let mut hits = 0;
    for round in 0..120 {
        let filters = filters(&mut random, begin, 3600);
        let query: String = filters.iter().map(|(query, _)| query.as_str()).collect();
        let mut expected: Vec<_> = runs
            .iter()
            .flat_map(|run| run.events.iter().map(|event| (run.run_id, event)))
            .filter(|(_, event)| filters.iter().all(|(_, lets)| lets(event)))
            .map(|(run_id, event)| (run_id, event.seq))
            .collect();
        let order = if round % 2 == 0 { "asc" } else { "desc" };
        if order == "desc" {
            expected.reverse();
        }
        let path = format!("/events?order={order}{query}");
        let limit = [3, 50, 1000][random.random_range(0..3)].max(expected.len() / 10);
        let found: Vec<_> = walk(&replica, &path, limit).await.iter().map(position).collect();
        assert_eq!(found, expected, "round {round}: {path} by {limit}");
        let first = body(&get(&replica, &path).await, 200);
        assert_eq!((&first["total"], &first["total_is_exact"]), (&json!(expected.len()), &json!(true)), "{path}");
        hits += expected.len();
    }
    assert!(hits > 2000, "{hits}");
}

#[tokio::test]
async fn what_is_rare_is_found_in_many_packed_logs_page_by_page() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let database = &world.database.pool;
    tasks(database, 8).await;
    // More than two pieces of packed logs, of ten events each, with three that are not of a smooth course.
    sqlx::query(
        "with run as (
             insert into runs (run_id, task_id, kind, username, source, trigger, state, requested_at, deadline_at, finished_at,
                               last_seq)
             select uuid_v7(now() - interval '50 days' + make_interval(secs => n)), 't' || n % 8, 'profile', 'user' || (n % 8) % 3,
                    'auto', 'api', 'succeeded', now() - interval '50 days', now(), now() - interval '50 days', 10
             from generate_series(1, 6000) as n
             returning run_id
         ), summary as (insert into run_summaries (run_id, requests) select run_id, 0 from run)
         insert into events (run_id, seq, at, level, event_type, message, fields)
         select run_id, seq, now() - interval '50 days', case when chosen then 'warning' else 'info' end,
                case when chosen then 'rate_limited' else 'posts_fetched' end,
                case when chosen then 'Needle in the hay' else 'Page of posts read' end,
                case when chosen then '{\"reason\": \"rate_limited\"}' else '{}' end::jsonb
         from (select row_number() over (order by run_id) as n, * from run) as run, generate_series(1, 10) as seq,
              lateral (select n in (40, 2500, 5900) and seq = 4) as hit (chosen)",
    )
    .execute(database)
    .await
    .unwrap();
    let packed = maintain(&world.database, &[], &[]).await;
    assert!(packed.stdout.contains("6000 logs packed: 60000 events"), "{packed:?}");
    let notable: i64 = sqlx::query_scalar("select count(*) from run_archives where notable is not null")
        .fetch_one(database)
        .await
        .unwrap();
    assert_eq!(notable, 3);
    for query in
        ["level=warning", "type=rate_limited", "reason=rate_limited", "type=rate_limited&q=NEEDLE&level=warning"]
    {
        let page = body(&get(&replica, &format!("/events?{query}")).await, 200);
        assert_eq!(page["items"].as_array().unwrap().len(), 3, "{page}");
        assert_eq!((&page["total"], &page["total_is_exact"]), (&json!(3), &json!(true)), "{page}");
    }
    for none in ["type=challenge", "level=error", "reason=private"] {
        assert_eq!(body(&get(&replica, &format!("/events?{none}")).await, 200)["total"], 0, "{none}");
    }
    for order in ["asc", "desc"] {
        assert_eq!(walk(&replica, &format!("/events?q=needle&order={order}"), 2).await.len(), 3);
        let page = body(&get(&replica, &format!("/events?limit=5&order={order}")).await, 200);
        assert_eq!((&page["total"], &page["total_is_exact"]), (&json!(10_000), &json!(false)));
    }
    assert_eq!(walk(&replica, "/events?username=user1&type=rate_limited", 50).await.len(), 2);
}

#[tokio::test]
async fn a_log_whose_time_is_over_is_said_to_be_gone() {
    let world = World::new().await;
    let replica = world.replica(&CLERK).await;
    let database = &world.database.pool;
    tasks(database, 2).await;
    let mut random = StdRng::seed_from_u64(33);
    let at = now(database).await - TimeDelta::days(70);
    let gone = ended(database, &mut random, "t0", at, 7).await;
    let there = ended(database, &mut random, "t1", at, 7).await;
    assert_eq!(maintain(&world.database, &[], &[]).await.code, Some(0));
    sqlx::query("delete from run_archives where run_id = $1").bind(gone.run_id).execute(database).await.unwrap();
    let path = format!("/runs/{}/events", gone.run_id);
    for query in ["", "?limit=3", "?q=page", "?download=1", "?type=posts_fetched&download=1", "?offset=3", "/1", "/7"] {
        let told = problem(&get(&replica, &format!("{path}{query}")).await, 410, "log-gone");
        assert!(told["detail"].as_str().unwrap().contains("IGT_LOG_RETENTION_DAYS"), "{told}");
    }
    problem(&get(&replica, &format!("{path}/8")).await, 404, "not-found");
    let run = body(&get(&replica, &format!("/runs/{}", gone.run_id)).await, 200);
    assert_eq!((&run["state"], &run["latest_event"]), (&json!("succeeded"), &Value::Null), "{run}");
    let status = replica.get("/task_status/t0").await.ok()["response"].clone();
    assert_eq!((&status["logs"], &status["logs_count"]), (&json!([]), &json!(7)), "{status}");
    let runs = body(&get(&replica, "/runs").await, 200);
    assert_eq!(runs["items"].as_array().unwrap().len(), 2);
    let address = format!("{}/api/v2{path}/stream", replica.address);
    let mut stream = EventStream::ask(&address, None).await.unwrap().unwrap();
    let mut messages = Vec::new();
    while let Some(message) = stream.next().await {
        messages.push(message.event);
    }
    assert_eq!(messages.len(), 1, "only the end: {messages:?}");
    let shown =
        call(&["runs", "show", &gone.run_id.to_string()], &[("DATABASE_URL", &world.database.url)]).finished().await;
    assert!(shown.code == Some(0) && shown.stdout.contains("there no more"), "{shown:?}");
    let found = walk(&replica, "/events", 50).await;
    assert_eq!(found.len(), there.events.len());
}

#[tokio::test]
async fn a_log_in_rows_costs_no_statement_on_archives() {
    let database = Database::fresh().await;
    tasks(&database.pool, 1).await;
    let run = ended(&database.pool, &mut StdRng::seed_from_u64(34), "t0", now(&database.pool).await, 9).await;
    let run_id = RunId(run.run_id);
    let mut connection = database.pool.acquire().await.unwrap().detach();
    let everything = event_lists::Filter::default();
    let some = event_lists::Filter { types: Some(vec![run.events[0].event_type.to_owned()]), ..everything.clone() };
    let place = event_lists::Place { after: 0, before: 10, limit: 5, offset: 0, newest_first: false };
    status::parts(&mut connection, &[Part { run_id, after: 4, until: 9 }, Part { run_id, after: 9, until: 9 }])
        .await
        .unwrap();
    for filter in [&everything, &some] {
        assert!(!event_lists::of_run(&mut connection, run_id, filter, place).await.unwrap().unwrap().is_empty());
        assert!(event_lists::count_of_run(&mut connection, run_id, filter, 9).await.unwrap().unwrap() > 0);
    }
    assert!(event_lists::one(&mut connection, run_id, 3).await.unwrap().is_some());
    assert_eq!(event_lists::latest(&mut connection, &[(run_id, 9)]).await.unwrap().len(), 1);
    let all = Piece { first: (RunId::ALL.0, 0), last: (RunId::ALL.1, i64::MAX) };
    assert!(event_search::count(&mut connection, all, Among::All, &everything).await.unwrap() > 0);
    let count = "select count(*) filter (where statement like '%run_archives%'), count(*) from pg_prepared_statements
                 where statement not like '%pg_prepared_statements%'";
    let (of_archives, all): (i64, i64) = sqlx::query_as(count).fetch_one(&mut connection).await.unwrap();
    assert_eq!(of_archives, 0);
    assert!(all >= 6, "{all}");
}
