//! Accounts, posts and reels in version 2: what they are, what they were, and which event says so.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Replica, World};

async fn walk(replica: &Replica, path: &str) -> Vec<Value> {
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let page = replica.v2_get(&format!("{path}{join}limit=7{cursor}")).await;
        walked.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return walked,
        }
    }
}

#[tokio::test]
async fn a_profile_is_what_was_last_seen_and_each_number_leads_to_its_event() {
    let (world, replica) = World::with_replica().await;
    replica.v2(Method::GET, "/profiles/anna.seen", None).await.problem(404, "not-found");
    let details = {
        world.scrape(&replica, "t", "anna.seen").await;
        replica.get("/task_details/t").await.ok()["response"]["target_profile_data"].clone()
    };
    let profile = replica.v2_get("/profiles/@Anna.Seen").await;
    for field in ["instagram_id", "username", "full_name", "biography", "category", "is_private", "is_verified"] {
        assert_eq!(profile[field], details[field], "{field}");
    }
    for field in ["followers_count", "following_count", "posts_count"] {
        assert_eq!(profile["numbers"][field], details[field], "{field}");
    }
    assert_eq!(profile["names"].as_array().unwrap().len(), 1);
    let (run, seq) = (profile["numbers"]["run_id"].as_str().unwrap(), profile["numbers"]["seq"].as_i64().unwrap());
    let event = "select event_type from events where run_id = $1::uuid and seq = $2";
    let event: String = sqlx::query_scalar(event).bind(run).bind(seq).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(event, "account_fetched");
    assert_eq!(replica.v2_get("/profiles").await["items"][0]["username"], "anna.seen");
}

#[tokio::test]
async fn a_history_has_a_row_a_change_and_is_cut_and_walked_in_both_orders() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "anna.grown").await;
    // As a year of scrapes leaves it.
    let grown = "insert into profile_snapshots (profile_id, observed_from, observed_until, followers_count, run_id, seq)
                 select profile_id, timestamptz '2026-01-01' + n * interval '1 day',
                        timestamptz '2026-01-01' + n * interval '1 day 12 hours', case when n % 5 > 0 then n end, run_id, seq
                 from profiles, generate_series(0, 30) n";
    sqlx::query(grown).execute(&world.database.pool).await.unwrap();
    let all = walk(&replica, "/profiles/anna.grown/history").await;
    assert_eq!(all.len(), 32);
    assert_eq!((&all[1]["followers_count"], &all[5]["followers_count"]), (&json!(1), &Value::Null));
    assert_eq!(all[1]["observed_from"], "2026-01-02T00:00:00.000000Z");
    let newest_first: Vec<_> =
        walk(&replica, "/profiles/anna.grown/history?order=desc").await.into_iter().rev().collect();
    assert_eq!(newest_first, all);
    // A stretch holds what was seen at some time in it.
    let some =
        walk(&replica, "/profiles/anna.grown/history?since=2026-01-04T13:00:00%2B02:00&until=2026-01-08T00:00:00Z")
            .await;
    let counts: Vec<_> = some.iter().map(|row| row["followers_count"].as_i64()).collect();
    assert_eq!(counts, [Some(3), Some(4), None, Some(6)]);
    for query in ["since=yesterday", "until=2026-13-01T00:00:00Z", "order=up", "offset=3"] {
        let path = format!("/profiles/anna.grown/history?{query}");
        replica.v2(Method::GET, &path, None).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn posts_and_reels_are_filtered_and_walked_and_stand_at_their_codes() {
    let (world, replica) = World::with_replica().await;
    world.scrape_reels(&replica, "t", "anna.posts").await;
    let all = walk(&replica, "/profiles/anna.posts/posts").await;
    assert_eq!(all.len(), 60);
    let times: Vec<_> = all.iter().map(|post| post["taken_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|later, earlier| later >= earlier), "{times:?}");
    let oldest_first = walk(&replica, "/profiles/anna.posts/posts?order=asc").await;
    assert_eq!(oldest_first.into_iter().rev().collect::<Vec<_>>(), all);
    let among = |wanted: &dyn Fn(&Value) -> bool| all.iter().filter(|post| wanted(post)).cloned().collect::<Vec<_>>();
    assert_eq!(walk(&replica, "/profiles/anna.posts/reels").await, among(&|post| post["is_reel"] == true));
    assert_eq!(walk(&replica, "/profiles/anna.posts/posts?kind=image").await, among(&|post| post["kind"] == "image"));
    let middle = times[30];
    let before = walk(&replica, &format!("/profiles/anna.posts/posts?until={middle}")).await;
    assert_eq!(before, among(&|post| post["taken_at"].as_str().unwrap() < middle));
    let since = walk(&replica, &format!("/profiles/anna.posts/posts?since={middle}")).await;
    assert_eq!(since.len() + before.len(), 60);

    let reel = all.iter().find(|post| post["is_reel"] == true).unwrap();
    let code = reel["shortcode"].as_str().unwrap();
    assert_eq!(&replica.v2_get(&format!("/posts/{code}")).await, reel);
    assert_eq!(&replica.v2_get(&format!("/reels/{code}")).await, reel);
    let history = replica.v2_get(&format!("/reels/{code}/history")).await;
    assert_eq!(history, replica.v2_get(&format!("/posts/{code}/history")).await);
    assert_eq!(history["items"].as_array().unwrap().last().unwrap(), &reel["numbers"]);
    let picture = all.iter().find(|post| post["is_reel"] == false).unwrap()["shortcode"].as_str().unwrap();
    for path in [format!("/reels/{picture}"), format!("/reels/{picture}/history"), "/posts/none".to_owned()] {
        replica.v2(Method::GET, &path, None).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn what_was_edited_deleted_or_renamed_is_still_told() {
    let (world, replica) = World::with_replica().await;
    world.scrape(&replica, "t", "anna.before").await;
    let post = replica.v2_get("/profiles/anna.before/posts?limit=1").await["items"][0].clone();
    let code = post["shortcode"].as_str().unwrap();
    // As later scans leave it.
    for change in [
        "insert into media_captions (profile_id, shortcode, observed_from, observed_until, caption, run_id, seq)
         select profile_id, shortcode, first_seen_at, last_seen_at, 'as it was', run_id, seq from media where shortcode = $1",
        "update media set caption = 'as it is', caption_since = now(), missing_since = now() where shortcode = $1",
        "update profile_names set observed_until = now() where $1 <> ''",
        "insert into profile_names (profile_id, observed_from, username, run_id, seq)
         select profile_id, now() + interval '1 second', 'anna.after', run_id, seq from profiles where $1 <> ''",
        "update profiles set username = 'anna.after' where $1 <> ''",
    ] {
        sqlx::query(change).bind(code).execute(&world.database.pool).await.unwrap();
    }
    let captions = replica.v2_get(&format!("/posts/{code}/captions")).await;
    assert_eq!(captions["items"][0]["caption"], "as it was");
    let now = replica.v2_get(&format!("/posts/{code}")).await;
    assert_eq!((&now["caption"], &now["username"]), (&json!("as it is"), &json!("anna.after")));
    assert_ne!(now["missing_since"], Value::Null);
    let missing = replica.v2_get("/profiles/anna.after/posts?missing=true").await;
    assert_eq!(missing["items"], json!([now]));
    assert_eq!(walk(&replica, "/profiles/anna.after/posts?missing=false").await.len(), 59);
    // Under its former handle it is found, too, and says how it is called now.
    let renamed = replica.v2_get("/profiles/anna.before").await;
    assert_eq!(renamed["username"], "anna.after");
    let names: Vec<_> = renamed["names"].as_array().unwrap().iter().map(|name| &name["username"]).collect();
    assert_eq!(names, ["anna.after", "anna.before"]);
    // Until somebody else bears it.
    world.scrape(&replica, "other", "bert.before").await;
    let passed = "update profiles set username = 'anna.before' where username = 'bert.before'";
    sqlx::query(passed).execute(&world.database.pool).await.unwrap();
    assert_ne!(replica.v2_get("/profiles/anna.before").await["instagram_id"], renamed["instagram_id"]);
}
