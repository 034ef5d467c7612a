//! `POST /graphql/query`: four documents, told apart by their name and their id.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::instagram::{Shortcode, Username};

use super::answers;
use super::caller::Caller;
use super::cursor::List;
use super::desk::{Answer, Ask, Desk};
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::scene::Scene;
use super::web::{LARGEST_PAGE, PAGE};
use super::xdt::{self, Ids};

/// A document of the web client and the ids under which it is alive.
struct Document {
    name: &'static str,
    ids: &'static [&'static str],
    endpoint: Endpoint,
}

const DOCUMENTS: [Document; 4] = [
    Document {
        name: "PolarisProfilePageContentQuery",
        ids: &["27937681195819736", "28717443601247930", "28036671149327607"],
        endpoint: Endpoint::ProfileById,
    },
    Document {
        name: "PolarisProfilePostsTabContentQuery_connection",
        ids: &["29104886249145907", "28544666141895803"],
        endpoint: Endpoint::Timeline,
    },
    Document {
        name: "PolarisProfileReelsTabContentQuery_connection",
        ids: &["29285972954340351"],
        endpoint: Endpoint::ReelsTab,
    },
    Document {
        name: "PolarisPostRootQuery",
        ids: &["27128499623469141", "27830990013244856"],
        endpoint: Endpoint::Post,
    },
];

/// `POST /graphql/query`
pub(super) async fn query(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let caller = Caller::read(&headers, field("lsd"));
    let document = DOCUMENTS.iter().find(|document| Some(document.name) == field("fb_api_req_friendly_name"));
    let Some(document) = document else {
        return caller.turned_away(Endpoint::ProfileById).unwrap_or_else(answers::stale_document);
    };
    let variables: Value = field("variables").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let cursor = variables["after"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let code = variables["shortcode"].as_str().and_then(|code| Shortcode::parse(code).ok());
    let account = match document.endpoint {
        Endpoint::Timeline => variables["username"]
            .as_str()
            .and_then(|name| Username::parse(name).ok())
            .and_then(|name| desk.bearer(&name)),
        Endpoint::Post => code
            .as_ref()
            .and_then(|code| desk.world.post_by_pk(code.pk(), desk.now()))
            .and_then(|(account, _)| desk.by_pk(account.pk, None, &caller)),
        _ => number(&variables["id"])
            .or_else(|| number(&variables["data"]["target_user_id"]))
            .and_then(|pk| desk.by_pk(pk, cursor.as_deref(), &caller)),
    };
    let doc_id = field("doc_id").unwrap_or_default().to_owned();
    let ask = Ask { endpoint: document.endpoint, account, cursor: cursor.clone() };
    desk.answer(ask, &caller, |scene| {
        let alive = match document.ids {
            [.., last] if scene.has(Fault::RotatedDocument) => std::slice::from_ref(last),
            ids => ids,
        };
        if !alive.contains(&doc_id.as_str()) {
            return Answer::Other(answers::stale_document());
        }
        match document.endpoint {
            Endpoint::Timeline => timeline(scene, &variables, cursor.as_deref()),
            Endpoint::ReelsTab => reels(scene, &variables, cursor.as_deref()),
            Endpoint::Post => post(scene, code.as_ref()),
            _ => Answer::Json(xdt::profile(scene)),
        }
    })
    .await
}

fn timeline(scene: &Scene, variables: &Value, cursor: Option<&str>) -> Answer {
    let size = size(&[&variables["data"]["count"], &variables["first"]]);
    match Desk::page(scene, List::Timeline, cursor, size) {
        Err(response) => Answer::Other(*response),
        Ok(page) => {
            let node = |post: &_| {
                let mut node = xdt::media(scene, post, Ids::Text);
                node["__typename"] = json!("XDTMediaDict");
                node
            };
            Answer::Json(json!({
                "data": {
                    "xdt_api__v1__feed__user_timeline_graphql_connection": xdt::connection(scene, &page, node),
                    "xdt_viewer": { "user": { "id": "1" } },
                },
                "extensions": { "is_final": true },
                "status": "ok",
            }))
        }
    }
}

fn reels(scene: &Scene, variables: &Value, cursor: Option<&str>) -> Answer {
    let size = size(&[&variables["data"]["page_size"], &variables["first"]]);
    match Desk::page(scene, List::Reels, cursor, size) {
        Err(response) => Answer::Other(*response),
        Ok(page) => {
            let node = |post: &_| json!({ "media": xdt::reel(scene, post), "__typename": "XDTClipsItem" });
            Answer::Json(json!({
                "data": { "fetch__XDTUserDict": {
                    "clips_connection": xdt::connection(scene, &page, node),
                    "id": scene.account.pk.to_string(),
                } },
                "extensions": { "is_final": true },
                "status": "ok",
            }))
        }
    }
}

fn post(scene: &Scene, code: Option<&Shortcode>) -> Answer {
    let shelf = scene.shelf();
    let pk = code.map(Shortcode::pk).filter(|pk| scene.shows(*pk));
    match pk {
        None => Answer::Other(answers::not_found(Endpoint::Post)),
        Some(pk) => {
            let media = xdt::media(scene, &scene.post(pk, shelf.pinned.contains(&pk)), Ids::Text);
            Answer::Json(json!({
                "data": { "xdt_api__v1__media__shortcode__web_info": { "items": [media] } },
                "extensions": { "is_final": true },
                "status": "ok",
            }))
        }
    }
}

/// A number, written as such or as a text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// A page's size: the first of the places that tells one.
fn size(places: &[&Value]) -> usize {
    let asked = places.iter().find_map(|value| number(value)).and_then(|size| usize::try_from(size).ok());
    asked.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::testing::{self, NOW, sandbox};
    use super::*;

    const CONNECTION: &str = "xdt_api__v1__feed__user_timeline_graphql_connection";

    #[tokio::test]
    async fn the_timeline_is_for_sessions_and_goes_on_where_a_page_ended() {
        let router = sandbox(NOW);
        let first = testing::timeline(&router, "someone", None).await.json();
        let first = &first["data"][CONNECTION];
        let end = first["page_info"]["end_cursor"].as_str().unwrap();
        let second = testing::timeline(&router, "someone", Some(end)).await.json();
        let codes = |connection: &Value| -> Vec<String> {
            let edges = connection["edges"].as_array().unwrap().iter();
            edges.map(|edge| edge["node"]["code"].as_str().unwrap().to_owned()).collect()
        };
        let (first, second) = (codes(first), codes(&second["data"][CONNECTION]));
        assert_eq!((first.len(), second.len()), (12, 12));
        assert!(first.iter().all(|code| !second.contains(code)));

        let variables = json!({ "username": "someone", "first": 12 });
        let guest = testing::graphql(&router, DOCUMENTS[1].name, DOCUMENTS[1].ids[0], variables, None).await;
        assert_eq!(guest.status, StatusCode::UNAUTHORIZED);
        assert_eq!(guest.json()["require_login"], true);
    }

    #[tokio::test]
    async fn each_document_is_alive_under_its_own_ids_only() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await.to_string();
        let variables = json!({ "id": pk, "username": "someone", "shortcode": "B" });
        for document in &DOCUMENTS {
            for id in document.ids {
                let answer = testing::graphql(&router, document.name, id, variables.clone(), Some("live")).await;
                let stale = document.endpoint != Endpoint::Post && answer.json()["data"].is_null();
                assert!(!stale, "{} {id}", document.name);
            }
            let answer = testing::graphql(&router, document.name, "1", variables.clone(), Some("live")).await;
            let is_refused = answer.json()["errors"].is_array();
            assert!(answer.status == StatusCode::OK && is_refused, "{}", answer.text);
        }
        let answer = testing::graphql(&router, "SomethingElse", "1", variables, None).await;
        assert!(answer.json()["data"].is_null() && answer.json()["errors"].is_array());
    }

    #[tokio::test]
    async fn the_profile_by_number_agrees_with_the_profile_by_name() {
        let router = sandbox(NOW);
        let by_name = testing::profile(&router, "someone").await.json();
        let pk = by_name["data"]["user"]["id"].clone();
        let by_pk =
            testing::graphql(&router, DOCUMENTS[0].name, DOCUMENTS[0].ids[0], json!({ "id": pk }), None).await.json();
        let (a, b) = (&by_name["data"]["user"], &by_pk["data"]["user"]);
        assert_eq!(a["edge_followed_by"]["count"], b["follower_count"]);
        assert_eq!(a["edge_owner_to_timeline_media"]["count"], b["media_count"]);
        assert_eq!(a["username"], b["username"]);
    }

    #[tokio::test]
    async fn the_reels_tab_tells_numbers_without_captions_and_joins_the_timeline_on_the_code() {
        let router = sandbox(NOW);
        let pk = testing::pk(&router, "someone").await.to_string();
        let variables = json!({ "after": null, "first": 12, "id": pk,
                                "data": { "include_feed_video": true, "page_size": 12, "target_user_id": pk } });
        let reels = testing::graphql(&router, DOCUMENTS[2].name, DOCUMENTS[2].ids[0], variables, None).await.json();
        let edges = reels["data"]["fetch__XDTUserDict"]["clips_connection"]["edges"].as_array().unwrap().clone();
        assert_eq!(edges.len(), 12);
        let timeline = testing::timeline(&router, "someone", None).await.text;
        assert!(edges.iter().any(|edge| timeline.contains(edge["node"]["media"]["code"].as_str().unwrap())));
        assert!(edges.iter().all(|edge| edge["node"]["media"].get("caption").is_none()));
    }

    #[tokio::test]
    async fn one_post_is_told_by_its_code() {
        let router = sandbox(NOW);
        let page = testing::timeline(&router, "someone", None).await.json();
        let node = &page["data"][CONNECTION]["edges"][4]["node"];
        // In a sandbox that never heard the account's name the post leads to it by its number alone.
        let answer = testing::graphql(
            &sandbox(NOW),
            DOCUMENTS[3].name,
            DOCUMENTS[3].ids[1],
            json!({ "shortcode": node["code"] }),
            None,
        )
        .await
        .json();
        let item = &answer["data"]["xdt_api__v1__media__shortcode__web_info"]["items"][0];
        assert_eq!((&item["pk"], &item["like_count"]), (&node["pk"], &node["like_count"]));
        assert_eq!((&item["user"], &item["owner_id"]["pk"]), (&Value::Null, &node["user"]["pk"]));
    }
}
