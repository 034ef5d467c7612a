//! What an account's history says: against a small world worked out by hand, and a large one worked out by pandas.

mod by_hand;
mod captions;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::harness::machine::{self, project};
use crate::harness::{Replica, World};

/// A world whose tables were filled by hand.
async fn filled(rows: &str) -> (World, Replica) {
    let (world, replica) = World::with_replica().await;
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&world.database.pool).await.unwrap();
    (world, replica)
}

#[tokio::test]
async fn pandas_works_out_the_same_on_the_same_rows() {
    let rows = std::fs::read_to_string(project("tests/analytics/history.sql")).unwrap();
    let (world, replica) = filled(&rows).await;
    // Without what only sqlx knows.
    let mut url = reqwest::Url::parse(&world.database.url).unwrap();
    let kept: Vec<_> = url.query_pairs().into_owned().filter(|(name, _)| name != "statement-cache-capacity").collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    let mut pandas = machine::python_with("pandas");
    pandas.arg(project("tests/analytics/against_pandas.py")).args([url.as_str(), &replica.address]);
    let ran = machine::run(pandas, "").await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let numbers: u32 = ran.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(numbers > 20_000, "{}", ran.stdout);
}

#[tokio::test]
async fn a_window_is_checked_and_each_fault_names_its_parameter() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "anna.window").await;
    for (query, field) in [
        ("since=yesterday", "since"),
        ("since=2025-01-02T00:00:00Z&until=2025-01-02T00:00:00Z", "since"),
        ("since=2025-01-03T00:00:00Z&until=2025-01-02T00:00:00Z", "since"),
        ("since=9999-01-01T00:00:00Z", "since"),
        ("since=2014-12-24T00:00:00Z&until=2025-01-01T00:00:00Z", "since"),
        ("until=2025-13-01T00:00:00Z", "until"),
        ("timezone=Europe/Berln", "timezone"),
        ("timezone=Foo/Bar5", "timezone"),
        ("timezone=EST4", "timezone"),
        ("timezone=%27;--", "timezone"),
        ("timezone=", "timezone"),
        ("zone=UTC", "zone"),
    ] {
        for path in ["analytics", "analytics/posts"] {
            let answer = replica.v2(Method::GET, &format!("/profiles/anna.window/{path}?{query}"), None).await;
            let problem = answer.problem(400, "invalid-request");
            assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
        }
    }
    for zone in
        ["UTC", "Europe/Berlin", "America/Port-au-Prince", "Etc/GMT%2B5", "EST5EDT", "America/Argentina/Ushuaia"]
    {
        replica.v2_get(&format!("/profiles/anna.window/analytics?timezone={zone}")).await;
    }
    replica.v2(Method::GET, "/profiles/nobody/analytics", None).await.problem(404, "not-found");
    for query in ["of=shares", "of=", "limit=0"] {
        replica.v2(Method::GET, &format!("/reels/none/velocity?{query}"), None).await.problem(400, "invalid-request");
    }
    for path in ["curve", "velocity"] {
        replica.v2(Method::GET, &format!("/reels/none/{path}"), None).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn without_a_word_the_window_is_the_last_thirty_days_and_no_end_is_in_the_future() {
    let (world, replica) = World::with_replica().await;
    world.scrape_reels(&replica, "t", "anna.now").await;
    let now: String =
        sqlx::query_scalar("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    for query in ["", "?until=2999-01-01T00:00:00Z"] {
        let told = replica.v2_get(&format!("/profiles/anna.now/analytics{query}")).await;
        let (since, until) = (time(&told["window"]["since"]), time(&told["window"]["until"]));
        assert_eq!(until - since, chrono::TimeDelta::days(30));
        assert!(until >= time(&json!(now)) && told["window"]["until"].as_str().unwrap() < "2999");
        // The account was read once: what it has now is no growth.
        let followers = &told["growth"]["followers"];
        assert!(followers["from"]["count"].is_i64() && followers["n"] == 1, "{followers}");
        assert_eq!(followers["percent"]["value"], Value::Null);
    }
}

fn time(at: &Value) -> chrono::DateTime<chrono::Utc> {
    at.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_answer_that_is_known_is_not_sent_again() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "anna.tagged").await;
    let path = "/profiles/anna.tagged/analytics?since=2025-01-01T00:00:00Z&until=2025-02-01T00:00:00Z";
    let first = replica.v2(Method::GET, path, None).await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = |tag: &str| {
        let request = replica.http.get(format!("{}/api/v2{path}", replica.address));
        let request = request.header("if-none-match", tag);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(again(&tag).await.status(), 304);
    assert_eq!(again("\"another\"").await.status(), 200);
    // Until something is seen that changes it.
    let grown =
        "insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, run_id, seq)
                 select profile_id, '2025-01-05', '2025-01-06', 5, run_id, seq from profiles";
    sqlx::query(grown).execute(&world.database.pool).await.unwrap();
    assert_eq!(again(&tag).await.status(), 200);
}

/// Walks a list two items at a time.
async fn walk(replica: &Replica, path: &str) -> Vec<Value> {
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let page = replica.v2_get(&format!("{path}{join}limit=2{cursor}")).await;
        walked.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return walked,
        }
    }
}
