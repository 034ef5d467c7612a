//! The official source, asked over HTTP: what it answers, what it refuses, and every name of its own table.

use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::fault::{Fault, names};
use super::super::testing::{self, Got, NOW, sandbox};

const ACCOUNT: &str =
    "id,username,name,biography,website,profile_picture_url,followers_count,follows_count,media_count";
const MEDIA: &str = "id,shortcode,permalink,timestamp,caption,media_type,media_product_type,media_url,thumbnail_url,\
                     like_count,comments_count,view_count";

async fn ask(router: &Router, token: Option<&str>, fields: &str) -> Got {
    let fields = utf8_percent_encode(fields, NON_ALPHANUMERIC);
    let request = Request::builder().uri(format!("/v26.0/17841400000000001?fields={fields}"));
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    testing::send(router, request.body(Body::empty()).unwrap()).await
}

/// An account with its first page.
async fn account(router: &Router, username: &str) -> Got {
    let fields = format!("business_discovery.username({username}){{{ACCOUNT},media.limit(25){{{MEDIA}}}}}");
    ask(router, Some("live"), &fields).await
}

/// A page of media.
async fn media(router: &Router, username: &str, after: Option<&str>) -> Got {
    let after = after.map(|after| format!(".after({after})")).unwrap_or_default();
    ask(router, Some("live"), &format!("business_discovery.username({username}){{media.limit(25){after}{{{MEDIA}}}}}"))
        .await
}

fn told(answer: &Got) -> (u16, i64, i64) {
    let error = answer.json()["error"].clone();
    let number = |key: &str| error[key].as_i64().unwrap_or_default();
    (answer.status.as_u16(), number("code"), number("error_subcode"))
}

#[tokio::test]
async fn it_tells_of_the_same_account_as_the_web_site_with_ids_of_its_own() {
    let router = sandbox(NOW);
    let answer = account(&router, "someone").await.json();
    let user = &answer["business_discovery"];
    let web = testing::profile(&router, "someone").await.json()["data"]["user"].clone();
    assert_eq!((&user["id"], &user["username"]), (&web["fbid"], &web["username"]));
    assert_ne!(user["id"], web["id"]);
    assert_eq!(user["followers_count"], web["edge_followed_by"]["count"]);
    assert_eq!(user["media_count"], web["edge_owner_to_timeline_media"]["count"]);
    assert_eq!(answer["id"], "17841400000000001");
    assert!(user.get("is_private").is_none() && user.get("is_verified").is_none());

    // The newest posts of both, joined on their code.
    let timeline = testing::timeline(&router, "someone", None).await.json();
    let edges = &timeline["data"]["xdt_api__v1__feed__user_timeline_graphql_connection"]["edges"];
    let nodes: Vec<&Value> = edges.as_array().unwrap().iter().map(|edge| &edge["node"]).collect();
    let mut joined = 0;
    for medium in user["media"]["data"].as_array().unwrap() {
        assert!(medium["id"].as_str().unwrap().starts_with("179"));
        assert!(medium["timestamp"].as_str().unwrap().ends_with("+0000"));
        let Some(node) = nodes.iter().find(|node| node["code"] == medium["shortcode"]) else { continue };
        assert_ne!(node["pk"], medium["id"]);
        assert_eq!(node["product_type"] == "clips", medium["media_product_type"] == "REELS");
        match node["like_and_view_counts_disabled"] == true {
            true => assert!(medium.get("like_count").is_none(), "hidden is left out"),
            false => assert_eq!(medium["like_count"], node["like_count"]),
        }
        assert_eq!(medium["comments_count"], node["comment_count"]);
        assert_eq!(medium.get("view_count").cloned().unwrap_or_default(), node["view_count"]);
        joined += 1;
    }
    assert!(joined >= 9, "{joined}");
}

#[tokio::test]
async fn it_answers_what_was_asked_for_and_nothing_else() {
    let router = sandbox(NOW);
    let answer = ask(&router, Some("live"), "business_discovery.username(someone){followers_count}").await.json();
    let keys: HashSet<&String> = answer["business_discovery"].as_object().unwrap().keys().collect();
    assert_eq!(keys, HashSet::from([&"followers_count".to_owned(), &"id".to_owned()]));
    let fields = "business_discovery.username(someone){media.limit(3){shortcode}}";
    let answer = ask(&router, Some("live"), fields).await.json();
    let media = answer["business_discovery"]["media"]["data"].as_array().unwrap();
    assert_eq!((media.len(), media[0].as_object().unwrap().len()), (3, 2));
    for (fields, words) in [
        ("", "Expected a name"),
        ("business_discovery.username(a){id", "closing brace"),
        ("business_discovery{id}", "username is required"),
        ("business_discovery.username(a){is_verified}", "nonexisting field (is_verified)"),
        ("business_discovery.username(a){media{plays}}", "nonexisting field (plays)"),
        ("business_discovery.username(a){media.limit(x){id}}", "limit is no number"),
        ("business_discovery.username(a){media.after(nonsense){id}}", "Invalid cursor"),
        ("followers_count", "business_discovery alone"),
    ] {
        let answer = ask(&router, Some("live"), fields).await;
        assert_eq!(told(&answer), (400, 100, 0), "{fields}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(words), "{fields}: {}", answer.text);
    }
    let answer = ask(&router, Some("live"), "business_discovery.username(no name){id}").await;
    assert_eq!(told(&answer), (400, 110, 2_207_013));
}

#[tokio::test]
async fn its_pages_are_every_medium_once_and_end_with_or_without_a_cursor() {
    let mut ends = HashSet::new();
    for name in ["anna", "berta", "clara", "dora", "emma", "frida"] {
        let mut seen = HashSet::new();
        let mut after: Option<String> = None;
        let mut times = Vec::new();
        let mut count = 0;
        loop {
            // Every page comes from a sandbox that has just begun.
            let router = sandbox(NOW);
            if count == 0 {
                count = account(&router, name).await.json()["business_discovery"]["media_count"].as_u64().unwrap();
            }
            let page = media(&router, name, after.as_deref()).await.json();
            let edge = page["business_discovery"]["media"].clone();
            for medium in edge["data"].as_array().unwrap() {
                assert!(seen.insert(medium["shortcode"].as_str().unwrap().to_owned()), "no medium twice");
                times.push(medium["timestamp"].as_str().unwrap().to_owned());
            }
            after = edge["paging"]["cursors"]["after"].as_str().map(str::to_owned);
            if after.is_none() || edge["data"] == json!([]) {
                ends.insert(edge["data"] == json!([]));
                break;
            }
        }
        assert_eq!(seen.len() as u64, count);
        assert!(times.is_sorted_by(|a, b| a >= b), "pinned ones stand where they belong in time");
    }
    assert_eq!(ends.len(), 2, "both ends happen");
}

#[tokio::test]
async fn tokens_are_wanted_and_their_names_say_what_they_meet() {
    let router = sandbox(NOW);
    let fields = "business_discovery.username(someone){id}";
    for (token, expected) in [
        (None, (401, 190, 0)),
        (Some(""), (401, 190, 0)),
        (Some("expired-1"), (401, 190, 463)),
        (Some("revoked-1"), (401, 190, 458)),
        (Some("checkpointed-1"), (401, 190, 459)),
        (Some("unpermitted-1"), (403, 10, 0)),
        (Some("blocked-1"), (403, 368, 0)),
        (Some("throttled-1"), (403, 17, 0)),
        (Some("live"), (200, 0, 0)),
    ] {
        let answer = ask(&router, token, fields).await;
        assert_eq!(told(&answer), expected, "{token:?}");
        assert!(answer.headers.get("set-cookie").is_none());
    }
    let usage = ask(&router, Some("throttled-1"), fields).await.headers["x-business-use-case-usage"].clone();
    assert!(usage.to_str().unwrap().contains("\"estimated_time_to_regain_access\":1"), "{usage:?}");
    let web = testing::get(&router, "/v26.0/17841400000000001?fields=id&access_token=live", None).await;
    assert_eq!(told(&web), (401, 190, 0), "a token in the address is none");
}

#[tokio::test]
async fn usage_counts_what_a_token_has_really_asked_and_refuses_what_is_too_much() {
    let router = sandbox(NOW);
    let usage =
        |answer: &Got, name: &str| -> Value { serde_json::from_slice(answer.headers[name].as_bytes()).unwrap() };
    for call in 1..=5 {
        let answer = ask(&router, Some("budget-5-x"), "business_discovery.username(someone){id}").await;
        assert_eq!(answer.status, 200);
        assert_eq!(usage(&answer, "x-app-usage")["call_count"], call * 20);
        let business = &usage(&answer, "x-business-use-case-usage")["17841400000000001"][0];
        assert_eq!(
            (&business["call_count"], &business["estimated_time_to_regain_access"]),
            (&json!(call * 20), &json!(0))
        );
    }
    let answer = ask(&router, Some("budget-5-x"), "business_discovery.username(someone){id}").await;
    assert_eq!(told(&answer), (403, 4, 0));
    let business = &usage(&answer, "x-business-use-case-usage")["17841400000000001"][0];
    assert_eq!(business["estimated_time_to_regain_access"], 60, "in minutes");
    assert_eq!(account(&router, "someone").await.status, 200, "another token is not meant");
    let tokens = testing::control(&router, "GET", "/sandbox/tokens", Value::Null).await.json();
    assert_eq!(tokens["tokens"][0], json!({ "token": "budget-5-x", "calls": 5, "refused": 1, "allowed": 5 }));
}

#[tokio::test]
async fn every_name_of_its_table_refuses_as_the_source_would() {
    let wait = |minutes: u64| format!("\"estimated_time_to_regain_access\":{minutes}");
    for (name, expected, minutes) in [
        ("appthrottled", (403, 4, 0), Some(1)),
        ("userthrottled.600", (403, 17, 0), Some(10)),
        ("pagethrottled.2", (403, 32, 0), Some(0)),
        ("callthrottled.0", (403, 613, 0), Some(0)),
        ("bizthrottled", (403, 80_002, 0), Some(1)),
        ("applimit", (403, 341, 0), Some(1)),
        ("throttled", (403, 4, 0), Some(1)),
        ("unknownerror", (400, 1, 0), None),
        ("serviceerror", (400, 2, 0), None),
        ("transient", (400, 960, 0), None),
        ("broken", (500, 2, 0), None),
        ("policyblock", (403, 368, 0), None),
        ("badtoken", (401, 190, 463), None),
        ("badtoken.460", (401, 190, 460), None),
        ("badsession", (401, 102, 463), None),
        ("denied", (403, 10, 0), None),
        ("incapable", (403, 3, 0), None),
        ("notgranted", (403, 200, 0), None),
        ("notgranted.230", (403, 230, 0), None),
        ("personal", (400, 110, 2_207_013), None),
        ("private", (400, 110, 2_207_013), None),
        ("missing", (400, 110, 2_207_013), None),
        ("undiscovered", (400, 100, 2_207_013), None),
        ("fieldlist", (400, 100, 0), None),
        ("optionalfields", (400, 100, 0), None),
        ("unknownfield", (400, 100, 0), None),
    ] {
        let router = sandbox(NOW);
        let answer = account(&router, &format!("{name}.x")).await;
        assert_eq!(told(&answer), expected, "{name}: {}", answer.text);
        if let Some(minutes) = minutes {
            let usage = answer.headers["x-business-use-case-usage"].to_str().unwrap();
            assert!(usage.contains(&wait(minutes)) && usage.contains("\"call_count\":100"), "{name}: {usage}");
        }
        let seconds = answer.headers.get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(seconds, (name == "pagethrottled.2").then_some("2"), "{name}");
    }
    let transient = account(&sandbox(NOW), "transient.x").await.json();
    assert_eq!(transient["error"]["is_transient"], true);
}

#[tokio::test]
async fn fields_that_are_refused_are_answered_without_them() {
    let router = sandbox(NOW);
    let few = ACCOUNT.replace(",name", "").replace(",profile_picture_url", "").replace(",follows_count", "");
    let fields = format!("business_discovery.username(optionalfields.x){{{few}}}");
    assert_eq!(ask(&router, Some("live"), &fields).await.status, 200);
    let without = MEDIA.replace(",view_count", "");
    let fields = format!("business_discovery.username(unknownfield.x){{media.limit(2){{{without}}}}}");
    assert_eq!(ask(&router, Some("live"), &fields).await.status, 200);
    let first = media(&router, "stalecursor.x", None).await.json();
    let after = first["business_discovery"]["media"]["paging"]["cursors"]["after"].as_str().unwrap().to_owned();
    let answer = media(&router, "stalecursor.x", Some(&after)).await;
    assert!(told(&answer) == (400, 100, 0) && answer.text.contains("cursor"), "{}", answer.text);
}

#[tokio::test]
async fn right_answers_are_distorted_on_demand() {
    let router = sandbox(NOW);
    let user = async |name: &str| account(&router, name).await.json()["business_discovery"].clone();
    let retyped = user("retyped.x").await;
    assert!(retyped["followers_count"]["count"].is_i64() && retyped["id"][0].is_string());
    assert_eq!(retyped["media"]["data"][0]["timestamp"], 1_700_000_000);
    let dropped = user("dropped.x").await;
    assert!(dropped.get("followers_count").is_none() && dropped["media_count"].is_i64());
    assert!(dropped["media"]["data"][0].get("media_type").is_none());
    assert!(user("renamed.x").await["followers_count_v2"].is_i64());
    assert_eq!(user("nulls.x").await["followers_count"], Value::Null);
    let hidden = user("hidden.x").await;
    assert!(hidden["media"]["data"].as_array().unwrap().iter().all(|medium| medium.get("like_count").is_none()));
    let unknown = user("unknownkind.x").await;
    assert_eq!(unknown["media"]["data"][0]["media_type"], "HOLOGRAM");
    let empty = user("empty.x").await;
    assert_eq!((&empty["media_count"], &empty["media"]), (&json!(0), &json!({ "data": [] })));
    assert!(user("nul.x").await["biography"].as_str().is_none_or(|text| text.starts_with("nul\0 ")));
    let percent = async |name: &str| {
        let answer = account(&router, name).await;
        answer.headers.get("x-app-usage").map(|value| value.to_str().unwrap().to_owned())
    };
    assert!(percent("usage.96.x").await.unwrap().contains("\"call_count\":96"));
    assert_eq!(percent("nousage.x").await, None);
    assert_eq!(percent("oddusage.x").await.as_deref(), Some("plenty"));
    // What is a wall of the web site is none here.
    for name in ["loginwall.x", "challenged.x", "agegated.x", "forbidden.x"] {
        assert!(user(name).await["followers_count"].as_i64().unwrap() > 0, "{name}");
    }
}

#[tokio::test]
async fn cursors_loop_here_too_and_the_log_tells_the_requests() {
    let router = sandbox(NOW);
    let mut cursors = Vec::new();
    let first = account(&router, "looping.x").await.json();
    let mut after = first["business_discovery"]["media"]["paging"]["cursors"]["after"].as_str().map(str::to_owned);
    for _ in 0..3 {
        cursors.push(after.clone());
        let page = media(&router, "looping.x", after.as_deref()).await.json();
        after = page["business_discovery"]["media"]["paging"]["cursors"]["after"].as_str().map(str::to_owned);
    }
    assert!(cursors[1..].contains(&cursors[0]) || after == cursors[0], "{cursors:?} {after:?}");
    let log = testing::control(&router, "GET", "/sandbox/requests/looping.x", Value::Null).await.json();
    let endpoints: Vec<&str> =
        log["requests"].as_array().unwrap().iter().map(|seen| seen["endpoint"].as_str().unwrap()).collect();
    assert_eq!(endpoints[..2], ["business_discovery", "business_discovery_media"]);
    assert_eq!((&log["requests"][1]["cursor"], &log["requests"][1]["session"]), (&json!(cursors[0]), &json!(true)));
}

#[tokio::test]
async fn a_fault_is_set_on_any_account_for_one_endpoint_and_so_many_times() {
    let router = sandbox(NOW);
    let fault =
        json!({ "fault": "userthrottled", "endpoint": "business_discovery", "times": 1, "retry_after_seconds": 7 });
    testing::control(&router, "PUT", "/sandbox/faults/someone", fault).await;
    assert_eq!(media(&router, "someone", None).await.status, 200);
    let answer = account(&router, "someone").await;
    assert_eq!((told(&answer), answer.headers["retry-after"].to_str().unwrap()), ((403, 17, 0), "7"));
    assert_eq!(account(&router, "someone").await.status, 200);
}

#[tokio::test]
async fn every_name_of_its_own_table_meets_the_official_source_and_no_other() {
    for row in names().iter().filter(|row| matches!(row.fault, Fault::Graph(_))) {
        let router = sandbox(NOW);
        let name = format!("{}.x", row.name);
        assert_eq!(row.source, "graph");
        assert_eq!(testing::profile(&router, &name).await.status, 200, "{name}");
        account(&router, &name).await;
        let faults = testing::control(&router, "GET", &format!("/sandbox/faults/{name}"), Value::Null).await.json();
        assert_eq!(faults["faults"][0]["fired"], 1, "{name}");
    }
}
