//! Every stored number leads to the run and the event that brought it.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Replica, World};

async fn event_of(replica: &Replica, told: &Value) -> Value {
    let (run_id, seq) = (told["run_id"].as_str().unwrap(), told["seq"].as_i64().unwrap());
    assert_eq!(told["event"], format!("/api/v2/runs/{run_id}/events/{seq}"), "{told:#}");
    let event = replica.ask(Method::GET, told["event"].as_str().unwrap(), None).await.ok();
    assert_eq!(event["seq"], seq);
    event
}

/// All items of a list, page by page.
async fn all(replica: &Replica, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let page = replica.v2_get(&format!("{path}?limit=50{after}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return items,
        }
    }
}

/// What analytics tell of one row each: the ends of a growth, the followers at publish, the latest numbers of a post. Both sides
/// of a reel's number at an age are where reels have a past (`v2_analytics`).
async fn numbers_of_analytics_lead_to_their_events(replica: &Replica, username: &str) {
    // From before the oldest post on.
    let path = format!("/profiles/{username}/analytics");
    let since = "since=2020-01-01T00:00:00Z";
    let told = replica.v2_get(&format!("{path}?{since}")).await;
    for (of, name) in [("followers", "followers_count"), ("following", "following_count"), ("posts", "posts_count")] {
        for end in ["from", "to"] {
            let end = &told["growth"][of][end];
            assert_eq!(event_of(replica, end).await["fields"][name], end["count"], "{of}: {end:#}");
        }
    }
    let mut latest = 0;
    let posts = replica.v2_get(&format!("{path}/posts?{since}&limit=50")).await;
    for post in posts["items"].as_array().unwrap() {
        for numbers in [&post["latest"], &post["followers_at_publish"]].into_iter().filter(|told| !told.is_null()) {
            let event = event_of(replica, numbers).await;
            match numbers["count"].is_null() {
                true => latest += 1,
                false => assert_eq!(event["fields"]["followers_count"], numbers["count"], "{event:#}"),
            }
        }
    }
    assert!(latest > 10, "{latest}");
}

/// The numbers of accounts stand in their events to the last digit. An event on a page of posts tells how many posts it
/// brought and not each one's numbers: those are told by the answer, of which a run that went well keeps none. So of posts
/// it is looked at that the event is that of the page, and that as many posts lead to it as it says that it brought.
#[tokio::test]
async fn every_number_leads_to_the_event_that_tells_it() {
    let (world, replica) = World::with_replica().await;
    for username in ["origin.anna", "origin.bert"] {
        world.scrape(&replica, &format!("p-{username}"), username).await;
        world.scrape_reels(&replica, &format!("r-{username}"), username).await;
        world.instagram.edit(username, json!({"captions": {}})).await;
        world.scrape(&replica, &format!("p-{username}"), username).await;
    }
    world.instagram.rename("origin.anna", json!({"to": "origin.anna.new"})).await;
    world.scrape(&replica, "p-origin.anna", "origin.anna").await;

    let profiles = all(&replica, "/profiles").await;
    assert_eq!(profiles.len(), 2);
    let (mut numbers_seen, mut pages) = (0, BTreeMap::new());
    for profile in &profiles {
        let username = profile["username"].as_str().unwrap();
        assert!(["account_fetched"].contains(&event_of(&replica, profile).await["event_type"].as_str().unwrap()));
        let named = replica.v2_get(&format!("/profiles/{username}")).await;
        for name in named["names"].as_array().unwrap() {
            let event = event_of(&replica, name).await;
            assert_eq!(event["fields"]["username"], name["username"], "{event:#}");
        }
        let history = all(&replica, &format!("/profiles/{username}/history")).await;
        for numbers in history.iter().chain([&profile["numbers"]]) {
            let event = event_of(&replica, numbers).await;
            assert_eq!(event["event_type"], "account_fetched", "{event:#}");
            for name in ["followers_count", "following_count", "posts_count"] {
                assert_eq!(event["fields"][name], numbers[name], "{name}: {event:#}");
                numbers_seen += 1;
            }
        }
        for post in all(&replica, &format!("/profiles/{username}/posts")).await {
            let brought = event_of(&replica, &post).await;
            assert_eq!(brought["event_type"], "posts_fetched", "{post:#}");
            let shortcode = post["shortcode"].as_str().unwrap();
            for numbers in all(&replica, &format!("/posts/{shortcode}/history")).await {
                let event = event_of(&replica, &numbers).await;
                let event_type = event["event_type"].as_str().unwrap();
                assert!(["posts_fetched", "processing_reels"].contains(&event_type), "{event:#}");
                numbers_seen += 5;
            }
            let page: &mut (i64, i64) = pages.entry(post["event"].as_str().unwrap().to_owned()).or_default();
            *page = (page.0 + 1, brought["fields"]["page_posts"].as_i64().unwrap());
        }
    }
    assert!(numbers_seen > 100, "{numbers_seen}");
    numbers_of_analytics_lead_to_their_events(&replica, "origin.bert").await;
    for (event, (posts, told)) in &pages {
        assert_eq!(posts, told, "{event}");
    }
    // Version 1 tells it of what it shows.
    let details = replica.get("/task_details/p-origin.bert").await.ok()["response"]["target_profile_data"].clone();
    for told in [&details, &details["scraped_posts"][0]] {
        let path = format!("/api/v2/runs/{}/events/{}", told["run_id"].as_str().unwrap(), told["seq"]);
        replica.ask(Method::GET, &path, None).await.ok();
    }
    // And every row that has numbers or words names an event that is there.
    for table in
        ["profiles", "profile_snapshots", "profile_names", "media", "media_snapshots", "media_captions", "scans"]
    {
        let astray: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from {table} t where not exists (
                 select from events e where e.run_id = t.run_id and e.seq = t.seq)"
        )))
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(astray, 0, "{table}");
    }
}
