//! Every name of the table, asked over HTTP: each fault answers as the site would.

use serde_json::{Value, json};

use super::fault::{Fault, names};
use super::testing::{self, Got, NOW, sandbox};

const CONNECTION: &str = "xdt_api__v1__feed__user_timeline_graphql_connection";

fn told(answer: &Got) -> (u16, String) {
    let message = serde_json::from_str::<Value>(&answer.text).ok();
    let message = message.and_then(|value| value["message"].as_str().map(str::to_owned));
    (answer.status.as_u16(), message.unwrap_or_default())
}

#[tokio::test]
async fn refusals_have_their_status_and_message_on_json_and_on_the_page() {
    let wait = "Please wait a few minutes before you try again.";
    for (name, status, message, page, location) in [
        ("missing", 404, "User not found", 404, ""),
        ("ghosted", 404, "User not found", 200, ""),
        ("nulluser", 200, "", 404, ""),
        ("geoblocked", 400, "geoblock_required", 200, ""),
        ("consent", 400, "consent_required", 302, "/consent/"),
        ("throttled", 429, wait, 429, ""),
        ("pleasewait", 401, wait, 200, ""),
        ("loginwall", 401, wait, 302, "/accounts/login/?next=%2Floginwall.x%2F"),
        ("guestwall", 401, wait, 302, "/accounts/login/?next=%2Fguestwall.x%2F"),
        ("loggedout", 403, "login_required", 302, "/accounts/login/"),
        ("challenged", 400, "checkpoint_required", 302, "/challenge/"),
        ("feedback", 400, "feedback_required", 200, ""),
        ("broken", 500, "Oops, an error occurred.", 500, ""),
        ("html", 200, "", 200, ""),
        ("senthome", 302, "", 302, "/"),
        ("mismatch", 400, "useragent mismatch", 200, ""),
        ("proof", 400, "challenge_required", 200, ""),
        ("sentlogin", 302, "", 302, "/accounts/login/?next=%2Fsentlogin.x%2F"),
        ("sentproof", 302, "", 302, "/challenge/?next=%2F"),
        ("toldlimit", 200, "Application request: rate limit exceeded", 200, ""),
        ("restricted", 404, "User not found", 200, ""),
        ("failstatus", 200, "Sorry, there was a problem with your request.", 200, ""),
    ] {
        let router = sandbox(NOW);
        let answer = testing::profile(&router, &format!("{name}.x")).await;
        assert_eq!(told(&answer), (status, message.to_owned()), "{name}");
        let answer = testing::get(&router, &format!("/{name}.x/"), None).await;
        let to = answer.headers.get("location").map_or("", |value| value.to_str().unwrap());
        assert_eq!((answer.status.as_u16(), to), (page, location), "{name} on the page");
    }
    let answer = testing::profile(&sandbox(NOW), "asset.x").await;
    assert!(answer.status == 400 && answer.text.contains("Asset asset://"));
    assert_eq!(
        testing::profile(&sandbox(NOW), "nulluser.x").await.json(),
        json!({ "data": { "viewer": {}, "user": null }, "status": "ok" })
    );
    assert!(testing::profile(&sandbox(NOW), "html.x").await.is_html());
    assert!(testing::get(&sandbox(NOW), "/agegated.x/", None).await.text.contains("Restricted"));
}

#[tokio::test]
async fn throttles_say_how_long_and_may_pass() {
    let router = sandbox(NOW);
    for (name, after) in [("throttled.x", Some("60")), ("throttled.5.x", Some("5")), ("throttled.0.x", None)] {
        let answer = testing::profile(&router, name).await;
        assert_eq!(answer.headers.get("retry-after").map(|value| value.to_str().unwrap()), after, "{name}");
    }
    let first = testing::profile(&router, "throttledonce.x").await;
    assert_eq!((first.status.as_u16(), first.headers["retry-after"].to_str().unwrap()), (429, "2"));
    assert_eq!(testing::profile(&router, "throttledonce.x").await.status, 200);
    assert_eq!(testing::timeline(&router, "throttledonce.x", None).await.status, 200);
}

#[tokio::test]
async fn a_flaky_account_fails_twice_on_each_endpoint() {
    let router = sandbox(NOW);
    for expected in [500, 500, 200, 200] {
        assert_eq!(testing::profile(&router, "flaky.x").await.status, expected);
        assert_eq!(testing::timeline(&router, "flaky.x", None).await.status, expected);
    }
}

#[tokio::test]
async fn accounts_without_posts_to_show_differ_in_their_counts() {
    let router = sandbox(NOW);
    for (name, count_is_zero, private) in [
        ("private.x", false, true),
        ("empty.x", true, false),
        ("agegated.x", true, false),
        ("regulated.x", true, false),
    ] {
        let answer = testing::profile(&router, name).await.json();
        let user = &answer["data"]["user"];
        let media = &user["edge_owner_to_timeline_media"];
        assert_eq!(media["count"] == 0, count_is_zero, "{name}");
        assert_eq!((&media["edges"], &user["is_private"]), (&json!([]), &json!(private)), "{name}");
        let page = testing::timeline(&router, name, None).await.json();
        let page = &page["data"][CONNECTION];
        assert_eq!((&page["edges"], &page["page_info"]["has_next_page"]), (&json!([]), &json!(false)), "{name}");
    }
    let gated = testing::profile(&router, "agegated.x").await.json();
    assert!(gated["data"]["user"]["gating"].is_object() && gated["data"]["user"]["edge_followed_by"]["count"] == 0);
    let regulated = testing::profile(&router, "regulated.x").await.json();
    assert_eq!(regulated["data"]["user"]["is_regulated_c18"], true);
    let withheld = testing::profile(&router, "emptyedges.x").await.json();
    let withheld = &withheld["data"]["user"]["edge_owner_to_timeline_media"];
    assert_eq!((&withheld["edges"], &withheld["page_info"]["has_next_page"]), (&json!([]), &json!(true)));
    assert!(withheld["count"].as_i64().unwrap() > 0);
}

/// Walks the timeline for at most `pages` pages: the cursors and the posts' codes of each page.
async fn walk(name: &str, pages: usize) -> Vec<(Option<String>, Vec<String>)> {
    let router = sandbox(NOW);
    let mut walked = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..pages {
        let answer = testing::timeline(&router, name, after.as_deref()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let page = &answer["data"][CONNECTION];
        let edges = page["edges"].as_array().unwrap().iter();
        let codes = edges.map(|edge| edge["node"]["code"].as_str().unwrap().to_owned()).collect();
        after = page["page_info"]["end_cursor"].as_str().map(str::to_owned);
        walked.push((after.clone(), codes));
    }
    walked
}

#[tokio::test]
async fn cursors_loop_and_pages_repeat_on_demand() {
    let looping = walk("looping.x", 3).await;
    assert!(looping[0].0.is_some() && looping[0].0 != looping[1].0);
    assert_eq!(looping[0].0, looping[2].0, "the third page leads back");
    let repeating = walk("repeating.x", 2).await;
    let (first, second) = (&repeating[0].1, &repeating[1].1);
    assert_eq!(first[first.len() - 3..], second[..3]);
}

#[tokio::test]
async fn pages_beyond_the_second_meet_the_wall() {
    let router = sandbox(NOW);
    let cursor = walk("wallafter.x", 2).await.pop().unwrap().0.unwrap();
    let answer = testing::timeline(&router, "wallafter.x", Some(&cursor)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["require_login"]), (401, &json!(true)));
    let cursor = walk("wallafter.1.x", 1).await.pop().unwrap().0.unwrap();
    assert_eq!(testing::timeline(&router, "wallafter.1.x", Some(&cursor)).await.status, 401);
}

#[tokio::test]
async fn counts_are_renamed_null_hidden_or_gone() {
    let router = sandbox(NOW);
    let user = async |name: &str| testing::profile(&router, name).await.json()["data"]["user"].clone();
    let first = async |name: &str| {
        testing::timeline(&router, name, None).await.json()["data"][CONNECTION]["edges"][0]["node"].clone()
    };
    assert!(user("renamed.x").await["edge_followed_by_v2"]["count"].is_i64());
    assert!(first("renamed.x").await["like_count_v2"].is_i64());
    assert_eq!(user("nulls.x").await["edge_followed_by"], json!({ "count": null }));
    assert_eq!(first("nulls.x").await["like_count"], Value::Null);
    assert!(first("norevealed.x").await.get("like_count").is_none());
    assert!(user("norevealed.x").await.get("edge_followed_by").is_none());
    let hidden = testing::timeline(&router, "hidden.x", None).await.json();
    for edge in hidden["data"][CONNECTION]["edges"].as_array().unwrap() {
        let likes = edge["node"]["like_count"].as_i64().unwrap();
        assert!(edge["node"]["like_and_view_counts_disabled"] == true && (likes == -1 || likes == 3));
    }
}

#[tokio::test]
async fn posts_may_be_unknown_unreadable_or_without_their_owner() {
    let router = sandbox(NOW);
    let edges =
        async |name: &str| testing::timeline(&router, name, None).await.json()["data"][CONNECTION]["edges"].clone();
    let unknown = edges("unknownkind.x").await;
    assert_eq!(
        (&unknown[0]["node"]["media_type"], &unknown[3]["node"]["product_type"]),
        (&json!(42), &json!("hologram"))
    );
    let garbled = edges("garbled.x").await;
    assert!(garbled[0]["node"]["pk"].is_string() && garbled[1]["node"]["pk"].is_object());
    let ownerless = edges("ownerless.x").await;
    assert!(ownerless[0]["node"]["user"].is_null() && ownerless[0]["node"]["owner_id"]["pk"].is_string());
}

#[tokio::test]
async fn graphql_has_its_own_faults() {
    let router = sandbox(NOW);
    let answer = testing::timeline(&router, "forbidden.x", None).await;
    assert!(answer.status == 403 && answer.is_html());
    assert_eq!(testing::timeline(&router, "forbiddenonce.x", None).await.status, 403);
    assert_eq!(testing::timeline(&router, "forbiddenonce.x", None).await.status, 200);
    for name in ["staledoc.x", "rotateddoc.x"] {
        let answer = testing::timeline(&router, name, None).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["data"].is_null() && answer.json()["errors"].is_array(), "{name}");
    }
    let variables = json!({ "username": "rotateddoc.x" });
    let name = "PolarisProfilePostsTabContentQuery_connection";
    let answer = testing::graphql(&router, name, "28544666141895803", variables, Some("live")).await;
    assert!(answer.json()["data"][CONNECTION]["edges"].is_array());
    let answer = testing::timeline(&router, "fieldexception.x", None).await.json();
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("field_exception"));
    assert_eq!(answer["data"][CONNECTION]["edges"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn what_posts_and_profiles_say_may_be_gone_or_of_another_type() {
    let router = sandbox(NOW);
    let first = async |name: &str| {
        let user = testing::profile(&router, name).await.json()["data"]["user"].take();
        let answer = testing::timeline(&router, name, None).await.json();
        let old = user["edge_owner_to_timeline_media"]["edges"][0]["node"].clone();
        (user, old, answer["data"][CONNECTION]["edges"][0]["node"].clone())
    };
    let (_, old, new) = first("untold.x").await;
    for (node, gone) in [(&old, "taken_at_timestamp"), (&old, "product_type"), (&new, "taken_at"), (&new, "media_type")]
    {
        assert!(node["id"].is_string() && node.get(gone).is_none(), "{gone} in {node}");
    }
    let (_, old, new) = first("nocaptions.x").await;
    assert!(old.get("edge_media_to_caption").is_none() && new.get("caption").is_none() && new["taken_at"].is_i64());
    let (_, old, new) = first("oddcaptions.x").await;
    assert_eq!((&old["edge_media_to_caption"], &new["caption"]), (&json!([7]), &json!([7])));
    let (user, ..) = first("oddlinks.x").await;
    assert_eq!((&user["external_url"], &user["bio_links"]), (&json!(7), &json!(7)));
}

#[tokio::test]
async fn a_cut_answer_is_no_json_and_a_guest_wall_lets_sessions_through() {
    let router = sandbox(NOW);
    let answer = testing::profile(&router, "cut.x").await;
    assert!(answer.status == 200 && serde_json::from_str::<Value>(&answer.text).is_err());
    let path = "/api/v1/users/web_profile_info/?username=guestwall.x";
    assert_eq!(testing::get(&router, path, Some("live")).await.status, 200);
}

#[tokio::test]
async fn slow_answers_are_right_and_late() {
    let router = sandbox(NOW);
    testing::control(&router, "PUT", "/sandbox/faults/x", json!({ "fault": "slow", "delay_ms": 40 })).await;
    let before = std::time::Instant::now();
    assert_eq!(testing::profile(&router, "x").await.status, 200);
    assert!(before.elapsed().as_millis() >= 40);
}

#[tokio::test]
async fn every_name_of_the_table_answers() {
    let ends_well = |fault| !matches!(fault, Fault::Truncated | Fault::Slow | Fault::Endless);
    for row in names().iter().filter(|row| row.source == "web" && ends_well(row.fault)) {
        let router = sandbox(NOW);
        let name = format!("{}.anything", row.name);
        testing::profile(&router, &name).await;
        testing::timeline(&router, &name, None).await;
        testing::get(&router, &format!("/{name}/"), None).await;
        let faults = testing::control(&router, "GET", &format!("/sandbox/faults/{name}"), Value::Null).await.json();
        assert!(faults["faults"][0]["fired"].as_i64().unwrap() > 0, "{name}");
    }
}

#[tokio::test]
async fn texts_and_numbers_may_be_what_no_database_takes() {
    let router = sandbox(NOW);
    let biography =
        async |name: &str| testing::profile(&router, name).await.json()["data"]["user"]["biography"].clone();
    assert!(biography("nul.x").await.as_str().unwrap().starts_with("nul\0 "));
    assert_eq!(biography("longtext.1.x").await.as_str().unwrap().len(), 1024 * 1024);
    assert_eq!(testing::profile(&router, "verbose.1.x").await.json()["message"].as_str().unwrap().len(), 1_048_575);
    for (name, words) in [
        ("halfpair.x", r#""biography":"half\ud83d \\ud83d "#),
        ("notext.x", "\"biography\":\"bytes\u{fffd}\u{fffd} "),
        ("beyond.x", ":1e400"),
        ("beyond.x", ":18446744073709551616"),
        ("deep.x", "\"biography\":[[[["),
        ("deepaside.x", "\"brand_new\":[[[["),
    ] {
        let answer = testing::profile(&router, name).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.text.contains(words), "{name}: {:.2000}", answer.text);
    }
    assert!(testing::timeline(&router, "beyond.x", None).await.text.contains("\"pk\":9223372036854775808"));
}

#[tokio::test]
async fn an_endless_answer_goes_on_until_its_reader_has_enough() {
    let closing = tokio_util::sync::CancellationToken::new();
    let router = super::router(&testing::options(NOW), closing.clone());
    let request = axum::http::Request::builder().uri("/endless.x/").header("x-ig-app-id", "936619743392459");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let mut read = 0;
    while read < 32 * 1024 * 1024 {
        read += futures_util::StreamExt::next(&mut body).await.unwrap().unwrap().len();
    }
    // A sandbox that closes is not kept open by it.
    closing.cancel();
    assert!(futures_util::StreamExt::next(&mut body).await.is_none());
}
