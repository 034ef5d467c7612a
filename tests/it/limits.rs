//! Whatever comes in, from Instagram or from a client: it is stored in a cleaned, marked form or refused with a word,
//! a run comes to its end, and every limit holds.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::{Replica, V1, World, assert_sound, event, event_types, eventually};
use crate::pipelines::SESSION;

/// Waits are short and a dead worker is missed soon.
const BRISK: [(&str, &str); 3] = [("IGT_LEASE_SECONDS", "1"), ("IGT_POLL_MS", "50"), ("IGT_RETRY_BASE_MS", "10")];

/// So many posts that a run says more than the smallest log holds, of an account that has them at every hour.
const WORDY: [(&str, &str); 2] = [("IGT_MAX_POSTS", "300"), ("IGT_FULL_SCAN_EVERY", "1")];

/// A log that such a run does not fit into.
const SHORT: (&str, &str) = ("IGT_MAX_EVENTS", "20");

/// Scrapes an account with its reels, and sees that all is sound and that every answer is JSON.
async fn scraped(world: &World, replica: &Replica, username: &str) -> (Value, Value) {
    let status = world.scrape_reels(replica, username, username).await;
    let details = replica.get(&format!("/task_details/{username}")).await.ok();
    assert_eq!(replica.get(&format!("/task_status/{username}?logs_count=1")).await.ok()["result"], true);
    assert_sound(&world.database.pool).await;
    (status, details["response"]["target_profile_data"].clone())
}

fn end(status: &Value) -> (&str, Option<&str>) {
    (status["status"].as_str().unwrap(), status["reason"].as_str())
}

/// The captions of the posts that have one.
fn captions(data: &Value) -> Vec<&str> {
    data["scraped_posts"].as_array().unwrap().iter().filter_map(|post| post["caption"].as_str()).collect()
}

#[tokio::test]
async fn what_is_no_text_is_replaced_in_its_place_and_the_rest_of_the_page_is_read_as_usual() {
    for settings in [&[][..], &[SESSION][..]] {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        for (fault, marked) in
            [("nul", "nul\u{fffd} "), ("halfpair", "half\u{fffd} \\ud83d "), ("notext", "bytes\u{fffd}\u{fffd} ")]
        {
            let name = format!("{fault}.anna");
            let (status, data) = scraped(&world, &replica, &name).await;
            assert_eq!(end(&status), ("completed", None), "{status:#}");
            for text in [&data["full_name"], &data["biography"]] {
                assert!(text.as_str().unwrap().starts_with(marked), "{fault}: {text}");
            }
            let captions = captions(&data);
            assert!(captions.len() > 10 && captions.iter().all(|text| text.starts_with(marked)), "{captions:?}");
            // The rest of a text is the account's own.
            let told = &event(&status, "account_fetched")["posts_count"];
            assert_eq!(data["scraped_posts"].as_array().unwrap().len() as i64, told.as_i64().unwrap().min(60));
        }
    }
}

#[tokio::test]
async fn a_text_of_10_mib_is_cut_and_says_how_long_it_was() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    let (status, data) = scraped(&world, &replica, "longtext.anna").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
    let cut = |text: &str| {
        assert!(text.len() <= 64 * 1024 && text.len() > 64 * 1024 - 4, "{}", text.len());
        assert!(text.starts_with("ää") && text.ends_with("ä… [cut: 10485760 bytes]"), "{:.40}", text);
    };
    cut(data["biography"].as_str().unwrap());
    let long: Vec<&str> = captions(&data).into_iter().filter(|text| text.len() > 10_000).collect();
    assert!(!long.is_empty());
    long.into_iter().for_each(cut);
}

#[tokio::test]
async fn a_message_of_10_mib_is_told_in_short_by_the_event_and_kept_as_far_as_a_body_is() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    let (status, _) = scraped(&world, &replica, "verbose.anna").await;
    assert_eq!(end(&status), ("partial", Some("upstream_changed")));
    let failed = event(&status, "scrape_partial");
    assert_eq!((&failed["failure"], &failed["http_status"]), (&json!("unexpected_shape"), &json!(400)));
    assert!(failed["upstream_message"].as_str().unwrap().ends_with("no …"), "{failed}");
    let (bytes, body): (i64, Vec<u8>) =
        sqlx::query_as("select bytes, body from run_exchanges where failure is not null order by seq limit 1")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert!(bytes > 10_000_000, "{bytes}");
    assert_eq!(zstd::decode_all(&body[..]).unwrap().len(), 256 * 1024);
}

#[tokio::test]
async fn a_number_that_no_column_holds_reads_as_not_told_and_is_news() {
    let world = World::new().await;
    for settings in [&[][..], &[SESSION][..]] {
        let replica = world.replica(settings).await;
        let (status, data) = scraped(&world, &replica, "beyond.anna").await;
        assert_eq!(end(&status), ("partial", Some("upstream_changed")));
        for (path, found) in [
            ("data.user.edge_followed_by.count", "1.8446744073709552e+19"),
            ("data.user.edge_follow.count", "1.7976931348623157e+308"),
        ] {
            let logs = status["logs"].as_array().unwrap();
            let told = logs.iter().find(|event| event["path"] == path).unwrap_or_else(|| panic!("{path}: {logs:#?}"));
            assert_eq!((&told["event_type"], &told["found"]), (&json!("upstream_changed"), &json!(found)));
        }
        assert_eq!((&data["followers_count"], &data["following_count"]), (&Value::Null, &Value::Null));
        let posts = data["scraped_posts"].as_array().unwrap();
        assert!(data["posts_count"].as_i64().unwrap() > 0 && posts.len() > 10);
        for post in posts {
            assert_eq!((&post["likes_count"], &post["plays_count"]), (&Value::Null, &Value::Null), "{post}");
            // The post whose number was lost has it from its code.
            assert!(post["instagram_id"].as_str().unwrap().parse::<i64>().unwrap() > 0);
        }
        let kept = "select count(*) from run_exchanges where body is not null";
        assert!(count(&world.database.pool, kept).await > 0, "the answer is the proof");
    }
}

#[tokio::test]
async fn nesting_and_bodies_without_end_are_refused_with_a_word_and_cost_nothing_that_was_read() {
    let world = World::new().await;
    let replica = world.replica(&[]).await;
    for (fault, words, state) in [
        // Of these the account's page is free.
        ("deep", "recursion limit", "partial"),
        ("deepaside", "recursion limit", "partial"),
        ("endless", "larger than 16 MiB", "failed"),
    ] {
        let (status, _) = scraped(&world, &replica, &format!("{fault}.anna")).await;
        assert_eq!(end(&status), (state, Some("upstream_changed")));
        let failed = event(&status, &format!("scrape_{state}"));
        assert_eq!((&failed["failure"], &failed["http_status"]), (&json!("unexpected_shape"), &json!(200)));
        assert!(failed["message"].as_str().unwrap().contains(words), "{failed}");

        // In the midst of a run.
        let username = format!("later.{fault}");
        world.instagram.fault(&username, json!({"fault": fault, "endpoint": "feed", "after": 1})).await;
        let (status, data) = scraped(&world, &replica, &username).await;
        assert_eq!(end(&status), ("partial", Some("upstream_changed")));
        assert!(event(&status, "scrape_partial")["message"].as_str().unwrap().contains(words), "{status:#}");
        assert!(!data["scraped_posts"].as_array().unwrap().is_empty());
    }
    let most = "select max(bytes) from run_exchanges";
    assert!(count(&world.database.pool, most).await <= 16 * 1024 * 1024);
    // The replica is as well as before.
    assert_eq!(end(&scraped(&world, &replica, "plain.anna").await.0), ("completed", None));
}

/// Has the database refuse rows of a table that a condition is true of, as no schema of ours does.
async fn refuse(pool: &PgPool, table: &str, condition: &str) {
    let statement = format!("alter table {table} add check (not coalesce({condition}, false))");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

#[tokio::test]
async fn what_the_database_refuses_ends_the_run_with_a_word_whatever_it_is() {
    for (table, condition, fault, state) in [
        // A step of the pipeline: its event, what it found, its requests.
        ("events", "fields->>'page' = '2'", None, "partial"),
        ("media", "caption like 'nul%'", Some("nul"), "partial"),
        ("profiles", "true", None, "failed"),
        ("run_exchanges", "endpoint = 'feed'", None, "partial"),
        // The last word itself, or the requests that come with it.
        ("events", "message like '%geoblock%'", Some("geoblocked"), "failed"),
        ("events", "fields::text like '%geoblock%'", Some("geoblocked"), "failed"),
        ("run_exchanges", "failure = 'geo_blocked'", Some("geoblocked"), "failed"),
        ("events", "event_type = 'scrape_completed'", None, "partial"),
        ("events", "event_type = 'retry_scheduled'", Some("broken"), "failed"),
    ] {
        let world = World::new().await;
        let replica = world.replica(&BRISK).await;
        refuse(&world.database.pool, table, condition).await;
        let username = format!("refused.{}.anna", fault.map_or(0, str::len));
        if let Some(fault) = fault {
            world.instagram.fault(&username, json!({ "fault": fault })).await;
        }
        let status = world.scrape(&replica, "t", &username).await;
        assert_eq!(end(&status), (state, Some("internal_error")), "{table} {condition}: {status:#}");
        let last = &status["latest_event"];
        assert!(last["message"].as_str().unwrap().contains("the service's log says why"), "{last}");
        assert!(
            replica
                .log()
                .iter()
                .any(|line| line["level"] == "ERROR" && line["message"] == "the database refuses a step"),
            "{table} {condition}"
        );
        assert_eq!(count(&world.database.pool, "select max(attempt)::bigint from runs").await, 1, "{condition}");
        assert_sound(&world.database.pool).await;
    }
}

#[tokio::test]
async fn a_log_past_its_limit_says_how_much_is_missing_and_the_run_goes_on() {
    let world = World::new().await;
    let replica = world.replica(&WORDY).await;
    let full = world.scrape_reels(&replica, "whole", "chatty.anna").await;
    assert_eq!(end(&full), ("completed", None));
    let whole = full["logs_count"].as_i64().unwrap();
    assert!(whole > 25, "the test needs a run that says more, not {whole} events");
    let replica = world.replica(&[&WORDY[..], &[SHORT]].concat()).await;
    let (status, data) = scraped(&world, &replica, "chatty.anna").await;
    assert_eq!((end(&status), &status["logs_count"]), (("completed", None), &json!(20)));
    let types = event_types(&status);
    assert_eq!(types[..18], event_types(&full)[..18]);
    assert_eq!(types[18..], ["events_dropped", "scrape_completed"]);
    let dropped = event(&status, "events_dropped");
    // The whole log less what was written of it: 18 events of progress and the last word.
    assert_eq!(dropped["dropped"], json!(whole - 19));
    let words = format!("{} events on the run's progress are not told: its log was full (IGT_MAX_EVENTS)", whole - 19);
    assert_eq!(dropped["message"], words);
    let levels: Vec<String> = sqlx::query_scalar("select level from events where event_type = 'events_dropped'")
        .fetch_all(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(levels, ["warning"]);

    // What was found is as complete, and every row of it names an event that is there.
    let posts = |data: &Value| data["scraped_posts"].as_array().unwrap().len();
    let whole = replica.get("/task_details/whole").await.ok()["response"]["target_profile_data"].clone();
    assert_eq!(
        (posts(&data), &data["scraped_reels"][0]["shortcode"]),
        (posts(&whole), &whole["scraped_reels"][0]["shortcode"])
    );
    assert_eq!(
        event(&status, "scrape_completed")["scraped_reels_count"],
        event(&full, "scrape_completed")["scraped_reels_count"]
    );
    assert_sources(&world.database.pool).await;
    let requests = "select count(distinct n) from (select count(*) as n from run_exchanges group by run_id) as runs";
    assert_eq!(count(&world.database.pool, requests).await, 1, "both runs asked the same");
}

#[tokio::test]
async fn whoever_cancels_a_run_that_nobody_has_tells_what_is_missing_in_its_log() {
    let world = World::new().await;
    let username = "chatty.cancelled.mia";
    let doomed = world.replica(&[&BRISK[..], &WORDY, &[SHORT]].concat()).await;
    world.instagram.hold(username, 20).await;
    doomed.create("create_reel_task", "t", username).await;
    doomed.post("/force_scrape_reel/t").await.ok();
    world.instagram.holds_one(username).await;
    doomed.kill().await;
    world.instagram.let_go(username).await;
    let pool = &world.database.pool;
    eventually("its lease has passed", async || {
        (count(pool, "select count(*) from runs where claimable_at <= now()").await == 1).then_some(())
    })
    .await;
    let clerk = world.replica(&[("IGT_CONCURRENCY", "0")]).await;
    assert_eq!(clerk.post("/cancel/t").await.ok()["status"], "cancelled");
    let status = clerk.get("/task_status/t?logs_count=100").await.ok()["response"].clone();
    assert_eq!(event_types(&status)[18..], ["events_dropped", "scrape_cancelled"]);
    assert!(event(&status, "events_dropped")["dropped"].as_i64().unwrap() > 0);
    assert_sound(pool).await;
}

#[tokio::test]
async fn the_count_of_what_is_missing_survives_a_kill() {
    let world = World::new().await;
    // On a machine that is busy enough a lease of a second also passes under a worker that lives.
    let lasting = [&BRISK[..], &WORDY, &[("IGT_LEASE_SECONDS", "4")]].concat();
    let (username, settings) = ("wordier.anna", [&lasting[..], &[SHORT]].concat());
    let calm = world.replica(&lasting).await;
    let whole = world.scrape_reels(&calm, "whole", username).await;
    assert!(!event_types(&whole).contains(&"run_resumed"), "{whole:#}");
    let whole = whole["logs_count"].as_i64().unwrap();
    calm.kill().await;
    // While there is room, when there is none any more, and twice with a count that is no longer nothing.
    for (task, kills) in [("early", &[10][..]), ("full", &[19]), ("twice", &[20, 3])] {
        let mut replica = world.replica(&settings).await;
        replica.create("create_reel_task", task, username).await;
        for (n, requests) in kills.iter().enumerate() {
            world.instagram.hold(username, *requests).await;
            if n == 0 {
                replica.post(&format!("/force_scrape_reel/{task}")).await.ok();
            }
            world.instagram.holds_one(username).await;
            replica.kill().await;
            replica = world.replica(&settings).await;
        }
        world.instagram.let_go(username).await;
        let status = world.ended(&replica, task).await;
        assert_eq!(end(&status), ("completed", None), "{status:#}");
        let types = event_types(&status);
        assert_eq!(types.iter().filter(|what| **what == "run_resumed").count(), kills.len(), "{types:?}");
        let dropped = event(&status, "events_dropped")["dropped"].as_i64().unwrap();
        // Beside what a calm run says stand its resumptions and the word on what is missing.
        assert_eq!(types.len() as i64 - 1 - kills.len() as i64 + dropped, whole, "{task}: {status:#}");
        assert_eq!(types.iter().rev().nth(1), Some(&"events_dropped"));
        assert_sound(&world.database.pool).await;
        assert_sources(&world.database.pool).await;
        replica.kill().await;
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_with_a_503() {
    let (world, replica) = World::with_replica().await;
    let mut transaction = world.database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table tasks in access exclusive mode").execute(&mut *transaction).await.unwrap();
    let answer = replica.get("/tasks").await;
    answer.error(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    transaction.rollback().await.unwrap();
    replica.get("/tasks").await.ok();
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up_in_time_and_said_to_be() {
    let (world, replica) = World::with_replica().await;
    let begun = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{\"username\":"
        )
    };
    let (old, new) = (begun(&format!("{V1}/create_task")), begun("/api/v2/tasks"));
    let (old, new) = tokio::join!(replica.raw(old.as_bytes()), replica.raw(new.as_bytes()));
    assert!(old.error(503).contains("took too long"), "{}", old.text);
    new.problem(503, "timed-out");
    for answer in [old, new] {
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(count(&world.database.pool, "select count(*) from tasks").await, 0);
}

#[tokio::test]
async fn whatever_a_client_sends_is_answered_in_json() {
    let (world, replica) = World::with_replica().await;
    let deep = |depth: usize| format!("{{\"username\":\"nasa\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let create = format!("{V1}/create_task");
    replica.ask(Method::POST, &create, Some(deep(126))).await.ok();
    for body in [
        deep(30_000),
        deep(127),
        "[".repeat(60_000),
        "{\"username\": \"nasa\", \"n\": 1e400}".to_owned(),
        "{\"username\": \"\\ud83d\"}".to_owned(),
        "{\"username\": \"nul\0\"}".to_owned(),
        "{\"username\": \"nul\\u0000\"}".to_owned(),
        "{\"username\": \"nasa\", \"task_id\": \"a\\u0000\"}".to_owned(),
        format!("{{\"username\": \"{}\"}}", "x".repeat(60_000)),
        format!("{{\"username\": \"nasa\", \"task_id\": \"{}\"}}", "x".repeat(60_000)),
    ] {
        for route in ["create_task", "create_reel_task"] {
            let answer = replica.ask(Method::POST, &format!("{V1}/{route}"), Some(body.clone())).await;
            let message = answer.error(400);
            assert!(message.len() < 500, "{:.100} is answered at length: {message:.500}", body);
        }
    }
    // It is read to its end, so that whoever sends it comes to read the answer.
    replica.ask(Method::POST, &create, Some("x".repeat(10_000_000))).await.error(413);
    // Half a surrogate pair is no UTF-8, and that is no path.
    for path in ["/task_status/%ed%a0%80", "/task_details/%ed%a0%80", "/task_status/a%ff"] {
        replica.get(path).await.error(400);
    }
    replica.get("/task_details/%00").await.error(404);
    let long = "x".repeat(8_000);
    replica.get(&format!("/task_details/{long}")).await.error(404);
    for query in ["%00", "%ff", "%ed%a0%80", "\u{fffd}", "1e400", &"9".repeat(4_000), "&&&===", "5%00"] {
        let tasks = replica.get(&format!("/tasks?limit={query}&offset={query}")).await.ok();
        assert!(tasks["response"].as_array().unwrap().len() <= 1, "{query}");
        replica.get(&format!("/task_status/nobody?logs_count={query}")).await.ok();
    }
    assert_eq!(count(&world.database.pool, "select count(*) from tasks").await, 1);
}

/// Every row that was found names an event that is there.
async fn assert_sources(pool: &PgPool) {
    let without = "select count(*) from (
            select run_id, seq from profiles union all select run_id, seq from profile_snapshots
            union all select run_id, seq from media union all select run_id, seq from media_snapshots) as found
        where not exists (select from events e where e.run_id = found.run_id and e.seq = found.seq)";
    assert_eq!(count(pool, without).await, 0);
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
