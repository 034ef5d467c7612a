//! Every way in which Instagram says no: what becomes of the run, what it says, and that no number is made of it.
//!
//! One table, a row a fault of the sandbox; each is met as a guest and with a session, by a profile run and a reel run.

mod table;

use std::collections::{BTreeSet, HashMap};

use ig_tracking::credentials::{COOKIE, GUEST};
use ig_tracking::sandbox;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::bodies::{assert_bodies, assert_told_nowhere, with_pages};
use crate::credentials::row;
use crate::harness::{World, assert_sound, event, event_types};
use crate::pipelines::{SESSION, assert_truthful};
pub(crate) use table::is_of_the_session;
use table::{Credential, Outcome, Posts, RETRIED, Row, TABLE};

/// Waits are short, so that all that waits at all is through in seconds.
pub(crate) const HURRIED: [(&str, &str); 7] = [
    ("IGT_RETRY_BASE_MS", "5"),
    ("IGT_THROTTLE_SECONDS", "1"),
    ("IGT_MAX_ATTEMPTS", "5"),
    ("IGT_POLL_MS", "20"),
    ("IGT_CONCURRENCY", "24"),
    ("IGT_LEASE_SECONDS", "60"),
    // Accounts that are broken for good stand beside each other here, and are no outage.
    ("IGT_BREAKER_FAILURES", "10000"),
];

#[test]
fn no_fault_of_the_sandbox_is_missing_from_the_table() {
    let of_web = sandbox::names().iter().filter(|fault| fault.source == "web");
    let known: BTreeSet<&str> = of_web.map(|fault| fault.name).collect();
    let tested: Vec<&str> = TABLE.iter().map(|row| row.fault.split('.').next().unwrap_or_default()).collect();
    assert_eq!(tested.len(), known.len(), "each once");
    assert_eq!(tested.into_iter().collect::<BTreeSet<_>>(), known);
}

#[tokio::test]
async fn every_fault_that_a_guest_meets_ends_as_it_should() {
    beside_each_other(&[], |row| row.guest).await;
}

#[tokio::test]
async fn every_fault_by_which_a_guest_rests_or_is_struck_ends_as_it_should() {
    one_by_one(&[], |row| row.guest).await;
}

#[tokio::test]
async fn every_fault_that_a_session_meets_ends_as_it_should() {
    beside_each_other(&[SESSION], |row| row.session).await;
}

#[tokio::test]
async fn every_fault_that_is_the_sessions_ends_as_it_should() {
    one_by_one(&[SESSION], |row| row.session).await;
}

/// The rows that do nothing to the credential: one serves all.
async fn beside_each_other(settings: &[(&str, &str)], outcome: fn(&Row) -> Outcome) {
    let rows: Vec<_> = TABLE.iter().filter(|row| outcome(row).credential == Credential::Unharmed).collect();
    every_fault(settings, &["profile", "reel"], &rows, outcome).await;
}

/// The others, each with a credential of its own.
async fn one_by_one(settings: &[(&str, &str)], outcome: fn(&Row) -> Outcome) {
    for row in TABLE.iter().filter(|row| outcome(row).credential != Credential::Unharmed) {
        let of = async |kind| every_fault(settings, &[kind], &[row], outcome).await;
        tokio::join!(of("profile"), of("reel"));
    }
}

async fn every_fault(settings: &[(&str, &str)], kinds: &[&'static str], rows: &[&Row], expected: fn(&Row) -> Outcome) {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], settings].concat()).await;
    let who = if settings.is_empty() { "guest" } else { "member" };
    // All are started before the first is waited for.
    let mut started = Vec::new();
    for row in rows {
        for kind in kinds.iter().copied() {
            let infix = if kind == "reel" { "_reel" } else { "" };
            let task = format!("{}-{kind}", row.fault);
            replica.create(&format!("create{infix}_task"), &task, &format!("{}.{who}.{kind}", row.fault)).await;
            replica.post(&format!("/force_scrape{infix}/{task}")).await.ok();
            started.push((task, kind, expected(row)));
        }
    }
    for (task, kind, expected) in started {
        let status = world.ended(&replica, &task).await;
        assert_outcome(&world.database.pool, &task, &status, expected).await;
        if kind == "profile" {
            assert_requests_and_events(&world.database.pool, &task, &status, expected).await;
        }
    }
    let pool = &world.database.pool;
    let credential = if settings.is_empty() { GUEST } else { COOKIE };
    assert_credential(pool, credential, expected(rows[0]).credential, rows[0].fault).await;
    assert_sound(pool).await;
    assert_truthful(pool).await;
    // A number that was not told is null: no account and no post of the table has none of anything.
    let zero = "select count(*) from profile_snapshots s join profiles using (profile_id)
                where (followers_count = 0 or posts_count = 0) and username not like 'empty.%'";
    assert_eq!(count(pool, zero).await, 0);
    assert_bodies(pool).await;
    let leaked = "select count(*) from run_exchanges where url like '%secret%'";
    assert_eq!(count(pool, leaked).await, 0);
}

/// What became of the credential: whether it may be used, why not, whether it is struck, and whether it cooled.
async fn assert_credential(pool: &PgPool, name: &str, expected: Credential, fault: &str) {
    let stands = row(pool, name).await;
    let is_ready = stands["state"] == "ready";
    let is_struck = is_ready && stands["strikes"] != 0;
    let became = (is_ready, stands["reason"].as_str(), is_struck, !stands["cooling_until"].is_null());
    let expected = match expected {
        Credential::Unharmed => (true, None, false, false),
        Credential::Struck => (true, None, true, false),
        Credential::Cooled(failure) => (true, Some(failure), false, true),
        Credential::Disabled(failure) => (false, Some(failure), false, false),
    };
    assert_eq!(became, expected, "{fault}: {stands:#}");
}

/// The events of a run that a smooth one does not have.
pub(crate) fn extraordinary(status: &Value) -> Vec<&str> {
    let ordinary = [
        "scrape_started",
        "account_fetched",
        "posts_fetched",
        "profile_data_updated",
        "scrape_completed",
        "scrape_partial",
        "scrape_failed",
    ];
    event_types(status).into_iter().filter(|what| !ordinary.contains(what)).collect()
}

/// State, reason and words; and the rows: an account's numbers only where they were told, posts only where shown.
async fn assert_outcome(pool: &PgPool, task: &str, status: &Value, expected: Outcome) {
    let reason = status["reason"].as_str();
    assert_eq!((status["status"].as_str().unwrap(), reason), expected.end, "{task}: {status:#}");
    let last = status["logs"].as_array().unwrap().last().unwrap();
    let message = last["message"].as_str().unwrap();
    assert!(message.contains(expected.says), "{task} says {message:?}");
    assert_eq!(last["reason"].as_str(), reason, "{task}");
    assert_eq!(
        last["event_type"],
        match expected.end.0 {
            "completed" => "scrape_completed",
            "partial" => "scrape_partial",
            _ => "scrape_failed",
        }
    );

    let rows: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from profile_snapshots s where s.run_id = r.run_id),
                (select count(*) from media m where m.run_id = r.run_id),
                (select count(distinct shortcode) from media_snapshots m where m.run_id = r.run_id)
         from runs r where task_id = $1",
    )
    .bind(task)
    .fetch_one(pool)
    .await
    .unwrap();
    let (accounts, posts, posts_with_numbers) = rows;
    assert_eq!(accounts, i64::from(expected.end.0 != "failed"), "{task}: snapshots of the account");
    assert_eq!(posts, posts_with_numbers, "{task}");
    match expected.posts {
        Posts::Only(number) => assert_eq!(posts, number, "{task}"),
        Posts::All => {
            let told = event(status, "account_fetched")["posts_count"].as_i64();
            let all = told.map_or(60, |told| told.min(60));
            // A post of each page that cannot be read may be lacking at the end of a short list.
            let lacking = if task.starts_with("garbled") { all / 6 } else { 0 };
            assert!((all - lacking..=all).contains(&posts), "{task}: {posts} of {all}");
        }
    }
}

/// Which requests failed, which events tell of it, and that the event and the request agree.
async fn assert_requests_and_events(pool: &PgPool, task: &str, status: &Value, expected: Outcome) {
    let failed: Vec<(String, Option<i16>, String, i32)> = sqlx::query_as(
        "select endpoint, status, failure, x.attempt from run_exchanges x join runs using (run_id)
         where task_id = $1 and failure is not null order by seq",
    )
    .bind(task)
    .fetch_all(pool)
    .await
    .unwrap();
    let told: Vec<String> = failed
        .iter()
        .map(|(endpoint, status, failure, _)| {
            format!("{endpoint} {} {failure}", status.map_or_else(|| "-".to_owned(), |status| status.to_string()))
        })
        .collect();
    assert_eq!(told, expected.failed, "{task}");

    assert_eq!(extraordinary(status), expected.events, "{task}");

    // An event that tells of a failure names the request that showed it: the last one that failed in its attempt.
    let of_attempt: HashMap<i32, _> = failed.into_iter().map(|exchange| (exchange.3, exchange)).collect();
    for event in status["logs"].as_array().unwrap().iter().filter(|event| !event["failure"].is_null()) {
        // A list that is begun anew is no end of an attempt, and here only met in the first.
        let attempt = i32::try_from(event["attempt"].as_i64().unwrap_or(1)).unwrap();
        let (endpoint, status, failure, _) = &of_attempt[&attempt];
        // Of two that agree that there is nobody, the first is named and both are told.
        if failure != "not_found" {
            assert_eq!(event["endpoint"], **endpoint, "{task}: {event}");
            assert_eq!(event["http_status"], json!(status), "{task}: {event}");
        }
        assert_eq!(event["failure"], **failure, "{task}: {event}");
        assert!(!event["upstream_message"].as_str().unwrap().is_empty(), "{task}: {event}");
    }
}

#[tokio::test]
async fn an_endpoint_that_asked_to_wait_is_not_asked_again_where_another_can_answer() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[SESSION]].concat()).await;
    for (username, wall, other) in [
        ("turns.timeline", "timeline", "feed"),
        ("turns.reels", "reels_tab", "clips_user"),
        ("turns.info", "web_profile_info", "profile_page"),
    ] {
        world.instagram.fault(username, json!({"fault": "pleasewait", "endpoint": wall})).await;
        let status = world.scrape_reels(&replica, username, username).await;
        assert_eq!(status["status"], "completed", "{status:#}");
        let waited = event(&status, "rate_limited");
        assert_eq!((&waited["endpoint"], &waited["failure"]), (&json!(wall), &json!("please_wait")));
        let waits = event_types(&status).into_iter().filter(|what| *what == "rate_limited").count();
        assert_eq!(waits, 1, "{username}");
        let requests = world.instagram.requests(username).await;
        let to = |endpoint: &str| requests.iter().filter(|request| request["endpoint"] == endpoint).count();
        assert_eq!(to(wall), 1, "{username} asks {wall} once");
        assert!(to(other) > 0, "{username} turns to {other}");
        assert_eq!(count(&world.database.pool, "select count(*) from runs where state <> 'succeeded'").await, 0);
    }
}

#[tokio::test]
async fn an_earlier_hiccup_does_not_take_away_the_one_wait_that_a_wall_is_worth() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.instagram.fault("hiccup.anna", json!({"fault": "broken", "endpoint": "web_profile_info", "times": 2})).await;
    world.instagram.fault("hiccup.anna", json!({"fault": "pleasewait", "endpoint": "feed", "times": 1})).await;
    let status = world.scrape(&replica, "t", "hiccup.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    assert_eq!(event(&status, "rate_limited")["attempt"], 3);
}

#[tokio::test]
async fn a_document_number_of_the_settings_is_tried_first_and_one_that_is_stale_is_told_and_counted() {
    let world = World::new().await;
    let replica = world.replica(&[SESSION, ("IGT_WEB_DOC_IDS", "posts=777")]).await;
    let status = world.scrape(&replica, "t", &with_pages(&world, "documents").await).await;
    let told = event(&status, "upstream_changed");
    assert_eq!((&status["status"], &told["path"]), (&json!("completed"), &json!("doc_id 777")), "{status:#}");
    let counted = replica.ask(reqwest::Method::GET, "/metrics", None).await.text;
    let counted: Vec<&str> = counted.lines().filter(|line| line.starts_with("igt_upstream_changed_total{")).collect();
    assert!(counted.len() == 1 && counted[0].contains("endpoint=\"timeline\""), "{counted:?}");
    assert!(counted[0].ends_with(" 1"), "{counted:?}");
}

#[tokio::test]
async fn a_wait_that_would_outlast_the_run_is_not_begun_and_the_end_says_so() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[("IGT_RUN_DEADLINE_SECONDS", "30")]].concat()).await;
    let status = world.scrape(&replica, "t", "throttled.3600.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("rate_limited")));
    let message = event(&status, "scrape_failed")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("would come after the run's deadline"), "{message}");
    assert_eq!(world.instagram.requests("throttled.3600.anna").await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up_and_asked_for_again() {
    let world = World::new().await;
    let settings = [("IGT_WEB_TIMEOUT_SECONDS", "1"), ("IGT_RETRY_BASE_MS", "5"), ("IGT_MAX_ATTEMPTS", "2")];
    let replica = world.replica(&settings).await;
    let status = world.scrape(&replica, "t", "slow.60.anna").await;
    let expected = Outcome {
        events: RETRIED,
        ..Outcome::failed("upstream_unavailable", &["web_profile_info - timed_out"; 2], "no whole answer within 1 s")
    };
    assert_outcome(&world.database.pool, "t", &status, expected).await;
    assert_requests_and_events(&world.database.pool, "t", &status, expected).await;
    assert_bodies(&world.database.pool).await;
}

#[tokio::test]
async fn a_dead_or_challenged_session_is_used_for_one_request_and_no_more() {
    for (cookie, reason, failure, status_code) in [
        ("sessionid=dead-1; csrftoken=x", "login_required", "login_required", 403),
        ("sessionid=challenged-1; csrftoken=x", "challenge_required", "challenge_required", 400),
    ] {
        let world = World::new().await;
        let replica = world.replica(&[&HURRIED[..], &[("IGT_WEB_COOKIE", cookie)]].concat()).await;
        let username = format!("{}.session", reason.split('_').next().unwrap());
        let status = world.scrape(&replica, "t", &username).await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!(reason)));
        let last = event(&status, "scrape_failed");
        assert_eq!((&last["failure"], &last["http_status"]), (&json!(failure), &json!(status_code)));
        assert_eq!(world.instagram.requests(&username).await.len(), 1);
        assert_told_nowhere(&replica, &world.database.pool, &["dead-1", "challenged-1"]).await;
    }
}

#[tokio::test]
async fn a_private_account_is_shown_to_a_session_that_follows_it() {
    let world = World::new().await;
    let replica = world.replica(&[SESSION]).await;
    // The account says that it is private, and its lists show the posts.
    world.instagram.fault("followed.anna", json!({"fault": "private", "endpoint": "web_profile_info"})).await;
    let status = world.scrape_reels(&replica, "t", "followed.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    assert_eq!(event(&status, "account_fetched")["is_private"], true);
    assert!(count(&world.database.pool, "select count(*) from media").await > 0);
}

#[tokio::test]
async fn posts_that_are_claimed_and_not_shown_are_never_called_none() {
    for (settings, words) in
        [(&[][..], "without a signed-in session; name a [[token]]"), (&[SESSION][..], "to this session; see whether")]
    {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        world.instagram.fault("withheld.anna", json!({"fault": "emptyedges"})).await;
        world.instagram.fault("withheld.anna", json!({"fault": "empty", "endpoint": "posts"})).await;
        let status = world.scrape(&replica, "t", "withheld.anna").await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("partial"), &json!("login_required")));
        let message = event(&status, "scrape_partial")["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        let details = replica.get("/task_details/t").await.ok();
        let told = &details["response"]["target_profile_data"];
        assert!(told["posts_count"].as_i64().unwrap() > 0 && told["scraped_posts"] == json!([]), "{told}");
    }
}

#[tokio::test]
async fn a_failed_scrape_leaves_what_an_earlier_one_found() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    assert_eq!(world.scrape(&replica, "t", "later.anna").await["status"], "completed");
    let found = async || -> Vec<String> {
        let rows = "select s::text from profile_snapshots s union all select m::text from media m
                    union all select s::text from media_snapshots s union all select p::text from profiles p order by 1";
        sqlx::query_scalar(rows).fetch_all(&world.database.pool).await.unwrap()
    };
    let before = found().await;
    for fault in ["agegated", "missing", "challenged", "geoblocked"] {
        world.instagram.fault("later.anna", json!({"fault": fault, "endpoint": "all"})).await;
        assert_eq!(world.scrape(&replica, "t", "later.anna").await["status"], "failed", "{fault}");
        assert_eq!(found().await, before, "{fault}");
    }
    let details = replica.get("/task_details/t").await.ok();
    let data = &details["response"]["target_profile_data"];
    assert!(data["followers_count"].as_i64().unwrap() > 0);
    assert!(!data["scraped_posts"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn reels_that_a_list_does_not_show_are_read_one_by_one() {
    let world = World::new().await;
    for (settings, endpoints) in
        [(&[][..], &["clips_user", "post_page", "post"][..]), (&[SESSION][..], &["reels_tab", "post"][..])]
    {
        let replica = world.replica(settings).await;
        let username = format!("onebyone.{}", endpoints[0].split('_').next().unwrap());
        world.instagram.fault(&username, json!({"fault": "garbled", "endpoint": "reels"})).await;
        let status = world.scrape_reels(&replica, &username, &username).await;
        // The lists could not be read whole, and yet no reel lacks its numbers.
        assert_eq!(
            (&status["status"], &status["reason"]),
            (&json!("partial"), &json!("upstream_changed")),
            "{status:#}"
        );
        let processed = event(&status, "reels_processed");
        assert_eq!((&processed["done"], &processed["missing"]), (&processed["total"], &json!([])));
        let requests = world.instagram.requests(&username).await;
        for endpoint in endpoints {
            assert!(requests.iter().any(|request| request["endpoint"] == **endpoint), "{endpoint} in {requests:?}");
        }
        replica.kill().await;
    }
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
