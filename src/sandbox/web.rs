//! The endpoints that are addresses: the profile in two forms, the feed, the reels, one post in two forms. See `graphql` for the rest.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::instagram::{Shortcode, Username};

use super::answers;
use super::caller::Caller;
use super::cursor::List;
use super::desk::{Answer, Ask, Desk};
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::legacy;
use super::page;
use super::xdt::{self, Ids};

/// The names and values of a query or a form.
type Fields = HashMap<String, String>;

/// How many items a page has where the request does not say.
pub(super) const PAGE: usize = 12;
/// How many items a page has at most, whatever the request says.
pub(super) const LARGEST_PAGE: usize = 50;

/// `GET /api/v1/users/web_profile_info/?username=`
pub(super) async fn web_profile_info(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(fields): Query<Fields>,
) -> Response {
    let caller = Caller::read(&headers, None);
    let username = fields.get("username").and_then(|name| Username::parse(name).ok());
    let account = username.and_then(|name| desk.bearer(&name));
    let ask = Ask { endpoint: Endpoint::WebProfileInfo, account, cursor: None };
    desk.answer(ask, &caller, |scene| Answer::Json(legacy::profile(scene))).await
}

/// `GET /{username}/`
pub(super) async fn profile_page(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Path(username): Path<String>,
) -> Response {
    let caller = Caller::read(&headers, None);
    let account = Username::parse(&username).ok().and_then(|name| desk.bearer(&name));
    let ask = Ask { endpoint: Endpoint::ProfilePage, account, cursor: None };
    desk.answer(ask, &caller, |scene| Answer::Page(page::profile_blocks(scene))).await
}

/// `GET /api/v1/feed/user/{pk}/?count=&max_id=`
pub(super) async fn feed(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Path(pk): Path<String>,
    Query(fields): Query<Fields>,
) -> Response {
    let caller = Caller::read(&headers, None);
    let cursor = fields.get("max_id").filter(|text| !text.is_empty()).cloned();
    let account = pk.parse().ok().and_then(|pk| desk.by_pk(pk, cursor.as_deref(), &caller));
    let count = count(fields.get("count").map(String::as_str));
    let ask = Ask { endpoint: Endpoint::Feed, account, cursor: cursor.clone() };
    desk.answer(ask, &caller, |scene| match Desk::page(scene, List::Timeline, cursor.as_deref(), count) {
        Err(response) => Answer::Other(*response),
        Ok(page) => {
            let item = |(pk, is_pinned): &(i64, bool)| xdt::media(scene, &scene.post(*pk, *is_pinned), Ids::Number);
            Answer::Json(json!({
                "items": page.items.iter().map(item).collect::<Vec<Value>>(),
                "num_results": page.items.len(),
                "more_available": page.next.is_some(),
                "next_max_id": page.next.as_ref().map(|next| next.encode()),
                "auto_load_more_enabled": true,
                "user": { "pk": scene.account.pk, "username": scene.account.username,
                          "is_private": scene.has(Fault::Private) },
                "status": "ok",
            }))
        }
    })
    .await
}

/// `POST /api/v1/clips/user/`
pub(super) async fn clips_user(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let caller = Caller::read(&headers, None);
    let cursor = fields.get("max_id").filter(|text| !text.is_empty()).cloned();
    let pk = fields.get("target_user_id").and_then(|pk| pk.parse().ok());
    let account = pk.and_then(|pk| desk.by_pk(pk, cursor.as_deref(), &caller));
    let count = count(fields.get("page_size").map(String::as_str));
    let ask = Ask { endpoint: Endpoint::ClipsUser, account, cursor: cursor.clone() };
    desk.answer(ask, &caller, |scene| match Desk::page(scene, List::Reels, cursor.as_deref(), count) {
        Err(response) => Answer::Other(*response),
        Ok(page) => {
            let item = |(pk, is_pinned): &(i64, bool)| {
                json!({ "media": xdt::media(scene, &scene.post(*pk, *is_pinned), Ids::Mixed) })
            };
            Answer::Json(json!({
                "items": page.items.iter().map(item).collect::<Vec<Value>>(),
                "paging_info": {
                    "max_id": page.next.as_ref().map(|next| next.encode()),
                    "more_available": page.next.is_some(),
                },
                "status": "ok",
            }))
        }
    })
    .await
}

/// `GET /p/{code}/` and `GET /reel/{code}/`
pub(super) async fn post_page(State(desk): State<Arc<Desk>>, headers: HeaderMap, Path(code): Path<String>) -> Response {
    let caller = Caller::read(&headers, None);
    let found = Shortcode::parse(&code).ok().and_then(|code| desk.world.post_by_pk(code.pk(), desk.now()));
    let account = found.and_then(|(account, _)| desk.by_pk(account.pk, None, &caller));
    let ask = Ask { endpoint: Endpoint::PostPage, account, cursor: None };
    let pk = found_pk(&code);
    desk.answer(ask, &caller, |scene| match pk.is_some_and(|pk| scene.shows(pk)) {
        false => Answer::Other(answers::not_found(Endpoint::PostPage)),
        true => Answer::Page(page::post_blocks(scene)),
    })
    .await
}

/// `GET /api/v1/media/{pk}/info/`
pub(super) async fn media_info(State(desk): State<Arc<Desk>>, headers: HeaderMap, Path(pk): Path<String>) -> Response {
    let caller = Caller::read(&headers, None);
    let found = pk.parse().ok().and_then(|pk| desk.world.post_by_pk(pk, desk.now()));
    let (account, post) = found.unzip();
    let account = account.and_then(|account| desk.by_pk(account.pk, None, &caller));
    let ask = Ask { endpoint: Endpoint::MediaInfo, account, cursor: None };
    desk.answer(ask, &caller, |scene| match post.filter(|post| scene.shows(post.pk)) {
        None => Answer::Other(answers::not_found(Endpoint::MediaInfo)),
        Some(post) => {
            let media = xdt::media(scene, &scene.post(post.pk, post.is_pinned), Ids::Number);
            Answer::Json(json!({
                "items": [media],
                "num_results": 1,
                "more_available": false,
                "auto_load_more_enabled": false,
                "status": "ok",
            }))
        }
    })
    .await
}

fn found_pk(code: &str) -> Option<i64> {
    Shortcode::parse(code).ok().map(|code| code.pk())
}

/// The first page of the site, which carries tokens as any other does.
pub(super) async fn home_page() -> Response {
    answers::html_of(StatusCode::OK, page::home())
}

/// Where redirects to the login, challenge and consent pages lead.
pub(super) async fn login_page() -> Response {
    answers::html_of(StatusCode::OK, page::login())
}

/// Any other address.
pub(super) async fn no_such_page() -> Response {
    answers::html_of(StatusCode::NOT_FOUND, page::missing())
}

/// A page's size from what was asked.
fn count(text: Option<&str>) -> usize {
    text.and_then(|text| text.parse().ok()).unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::body::Body;
    use axum::http::Request;

    use super::super::testing::{self, NOW, sandbox};
    use super::super::world::World;
    use super::*;

    #[tokio::test]
    async fn the_old_profile_tells_counts_and_the_newest_posts() {
        let router = sandbox(NOW);
        let answer = testing::profile(&router, "Someone").await;
        assert_eq!(answer.status, StatusCode::OK);
        let answer = answer.json();
        let user = &answer["data"]["user"];
        assert_eq!(user["username"], "someone");
        assert!(user["id"].is_string() && user["edge_followed_by"]["count"].as_i64().unwrap() > 0);
        let media = &user["edge_owner_to_timeline_media"];
        assert_eq!(media["edges"].as_array().unwrap().len(), 12);
        assert_eq!(media["page_info"]["has_next_page"], true);
        for edge in media["edges"].as_array().unwrap() {
            let pk: i64 = edge["node"]["id"].as_str().unwrap().parse().unwrap();
            let created = ((pk >> 23) + 1_314_220_021_721) / 1_000;
            assert_eq!(edge["node"]["taken_at_timestamp"], created);
        }
    }

    #[tokio::test]
    async fn the_page_holds_tokens_and_the_account_in_parts() {
        let router = sandbox(NOW);
        let page = testing::get(&router, "/someone/", None).await;
        assert!(page.is_html() && page.headers.contains_key("content-type"));
        assert!(
            page.text.contains(r#"["LSD",[],{"token":""#) && page.text.contains(r#"["DTSGInitialData",[],{"token":""#)
        );
        let parts: Vec<Value> = page
            .text
            .split("data-sjs>")
            .skip(1)
            .map(|text| serde_json::from_str(text.split("</script>").next().unwrap()).unwrap())
            .collect();
        let user = |part: &Value| {
            let inner = part.pointer("/require/0/3/0/__bbox/require/0/3/1/__bbox/result/data/xig_user_by_username");
            inner.cloned().unwrap_or_default()
        };
        let keys: Vec<bool> = parts.iter().map(|part| user(part)["follower_count"].is_i64()).collect();
        assert_eq!(keys, [false, false, true, false]);
        assert_eq!(user(&parts[1])["username"], "someone");
        assert_ne!(user(&parts[1])["id"], user(&parts[1])["pk"]);
        assert_eq!(user(&parts[2])["all_media_count"], Value::Null, "guests are not told");
        assert_eq!(user(&parts[3])["polaris_ordered_timeline_connection"]["edges"].as_array().unwrap().len(), 12);
    }

    #[tokio::test]
    async fn the_feed_pages_through_every_post_once_also_in_another_process() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await;
        let total = testing::profile(&router, "someone").await.json();
        let total = total["data"]["user"]["edge_owner_to_timeline_media"]["count"].as_u64().unwrap();
        let mut seen = HashSet::new();
        let mut max_id = String::new();
        loop {
            // Every page comes from a sandbox that has just begun.
            let page = testing::get(&sandbox(NOW), &format!("/api/v1/feed/user/{pk}/?count=33&max_id={max_id}"), None)
                .await
                .json();
            for item in page["items"].as_array().unwrap() {
                assert!(seen.insert(item["pk"].as_i64().unwrap()), "no post twice");
            }
            if !max_id.is_empty() {
                assert_eq!(page["user"]["username"], Value::Null, "no name was ever told");
            }
            match page["next_max_id"].as_str() {
                Some(next) => next.clone_into(&mut max_id),
                None => break,
            }
        }
        assert_eq!(seen.len() as u64, total);
    }

    #[tokio::test]
    async fn a_number_resumed_after_a_restart_keeps_its_name_through_the_cursor_or_the_referer() {
        let before = sandbox(NOW);
        let pk = testing::pk(&before, "private.someone").await;
        let feed = format!("/api/v1/feed/user/{pk}/");
        assert_eq!(testing::get(&before, &feed, None).await.json()["items"], json!([]), "the name brings its fault");
        let after = sandbox(NOW);
        let request = Request::builder().uri(&feed).header("x-ig-app-id", "936619743392459");
        let request = request.header("referer", "https://www.instagram.com/private.someone/").body(Body::empty());
        assert_eq!(testing::send(&after, request.unwrap()).await.json()["items"], json!([]));

        let pk = testing::pk(&before, "someone").await;
        let page = testing::get(&before, &format!("/api/v1/feed/user/{pk}/"), None).await.json();
        let next = page["next_max_id"].as_str().unwrap();
        let path = format!("/api/v1/feed/user/{pk}/?max_id={next}");
        assert_eq!(testing::get(&after, &path, None).await.json()["user"]["username"], "someone");
    }

    #[tokio::test]
    async fn reels_come_as_a_form_and_are_reels() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await.to_string();
        let fields = [("target_user_id", pk.as_str()), ("page_size", "5"), ("include_feed_video", "true")];
        let page = testing::form(&router, "/api/v1/clips/user/", &fields, None).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), 5);
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["media"]["product_type"], "clips");
            assert!(item["media"]["pk"].is_string() && item["media"]["user"]["pk"].is_i64());
        }
        assert_eq!(page["paging_info"]["more_available"], true);
    }

    #[tokio::test]
    async fn one_post_is_told_to_sessions_and_only_while_it_exists() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await;
        let page = testing::get(&router, &format!("/api/v1/feed/user/{pk}/"), None).await.json();
        let item = &page["items"][5];
        let path = format!("/api/v1/media/{}/info/", item["pk"]);
        let answer = testing::get(&router, &path, Some("live")).await.json();
        assert_eq!(&answer["items"][0], item);
        assert_eq!(testing::get(&router, &path, None).await.status, StatusCode::UNAUTHORIZED);
        let wrong = testing::get(&router, "/api/v1/media/12345/info/", Some("live")).await;
        assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_page_of_a_post_brings_the_tokens_that_a_guest_needs_to_read_it() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await;
        let feed = testing::get(&router, &format!("/api/v1/feed/user/{pk}/"), None).await.json();
        let code = feed["items"][3]["code"].as_str().unwrap();
        let tokens = |text: &str| -> Vec<String> {
            let quoted = text.split("{\"token\":\"").skip(1);
            quoted.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
        };
        let profile = testing::get(&router, "/someone/", None).await;
        for path in [format!("/p/{code}/"), format!("/reel/{code}/")] {
            let page = testing::get(&router, &path, None).await;
            assert!(page.status == StatusCode::OK && page.is_html(), "{path}");
            assert_eq!(tokens(&page.text), tokens(&profile.text), "{path}");
            assert_eq!(tokens(&page.text).len(), 2, "{path}");
        }
        for path in ["/p/CPv3UqsBFvg/", "/reel/B/", "/p/no%20code/"] {
            let page = testing::get(&router, path, None).await;
            assert!(page.status == StatusCode::NOT_FOUND && page.is_html(), "{path}");
        }
        let log = testing::control(&router, "GET", "/sandbox/requests/someone", Value::Null).await.json();
        let pages = log["requests"].as_array().unwrap().iter().filter(|seen| seen["endpoint"] == "post_page").count();
        assert_eq!(pages, 2);
    }

    #[tokio::test]
    async fn the_page_of_a_post_meets_the_faults_of_its_account() {
        let router = sandbox(NOW);
        for (name, status, location) in [
            ("missing.x", 404, ""),
            ("private.x", 404, ""),
            ("throttled.x", 429, ""),
            ("loginwall.x", 302, "/accounts/login/?next=%2Floginwall.x%2F"),
            ("pleasewait.x", 200, ""),
            ("broken.x", 500, ""),
        ] {
            // The world itself is asked for a post: the account may not show any.
            let account = World { seed: 11 }.account(&Username::parse(name).unwrap());
            let pk = World { seed: 11 }.shelf(&account, NOW.parse().unwrap()).rest[0];
            // A control makes the name known, which the post's number alone does not tell.
            testing::control(&router, "GET", &format!("/sandbox/gate/{name}"), Value::Null).await;
            let page = testing::get(&router, &format!("/p/{}/", Shortcode::from_pk(pk).unwrap()), None).await;
            let to = page.headers.get("location").map_or("", |value| value.to_str().unwrap());
            assert_eq!((page.status.as_u16(), to), (status, location), "{name}");
            assert!(status == 302 || page.is_html(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_the_site_would_not_look_at_is_turned_away() {
        let router = sandbox(NOW);
        let bare = Request::builder().uri("/api/v1/users/web_profile_info/?username=a").body(Body::empty());
        let answer = testing::send(&router, bare.unwrap()).await;
        assert_eq!(
            (answer.status, answer.json()["message"].as_str()),
            (StatusCode::BAD_REQUEST, Some("useragent mismatch"))
        );
        assert!(answer.headers["set-cookie"].to_str().unwrap().starts_with("csrftoken="));
        let form = Request::builder().method("POST").uri("/api/v1/clips/user/");
        let form = form.header("x-ig-app-id", "936619743392459").header("cookie", "csrftoken=only");
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(Body::empty());
        let answer = testing::send(&router, form.unwrap()).await;
        assert!(answer.status == StatusCode::FORBIDDEN && answer.is_html());
        for (session, status, message) in
            [("dead-1", 403, "login_required"), ("challenged-1", 400, "checkpoint_required")]
        {
            let path = "/api/v1/users/web_profile_info/?username=a";
            let answer = testing::get(&router, path, Some(session)).await;
            assert_eq!((answer.status.as_u16(), answer.json()["message"].as_str()), (status, Some(message)));
        }
        let answer = testing::get(&router, "/api/v1/feed/user/12345/", None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "nobody has this number");
        let pk = testing::pk(&router, "someone").await;
        let answer = testing::get(&router, &format!("/api/v1/feed/user/{pk}/?max_id=nonsense"), None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}
