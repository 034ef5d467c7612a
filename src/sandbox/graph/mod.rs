//! The official source: Business Discovery over the same invented world.
//!
//! It answers what the expression asks for and nothing else. Ids are those of the Facebook side, media stand in the
//! order of time, and a count that an owner hides is left out. Personal accounts are there by name only (`personal.…`,
//! `private.…`), so that whoever invents a name gets an account that can be read.

mod expression;
pub(super) mod faults;
pub(super) mod refusals;
#[cfg(test)]
mod tests;
pub(super) mod token;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use self::expression::Asked;
use self::faults::GraphFault;
use super::answers;
use super::caller::Caller;
use super::cursor::{Cursor, List, Page};
use super::desk::{Answer, Ask, Desk};
use super::dice::Dice;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::posts::{Kind, Post};
use super::scene::Scene;
use crate::instagram::Username;

/// The path of the source: its version, and the account that asks.
pub(super) const PATH: &str = "/v26.0/{user}";

/// How many media a page has where the request does not say, and at most.
const PAGE: usize = 25;
const LARGEST_PAGE: usize = 100;

/// The fields of both nodes.
const USER: [&str; 10] = [
    "id",
    "username",
    "name",
    "biography",
    "website",
    "profile_picture_url",
    "followers_count",
    "follows_count",
    "media_count",
    "media",
];
const MEDIA: [&str; 12] = [
    "id",
    "shortcode",
    "permalink",
    "timestamp",
    "caption",
    "media_type",
    "media_product_type",
    "media_url",
    "thumbnail_url",
    "like_count",
    "comments_count",
    "view_count",
];

/// `GET /v26.0/{ig-user-id}?fields=business_discovery.username(…){…}`
pub(super) async fn discover(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Path(user): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let caller = Caller::official(desk.tokens.arrive(&headers, &user, desk.now()), token::shown(&headers));
    let asked = expression::parse(query.get("fields").map_or("", String::as_str));
    let discovery = asked.as_ref().ok().and_then(|asked| find(asked, "business_discovery")).cloned();
    let username = discovery.as_ref().and_then(|asked| asked.said("username"));
    let account = username.and_then(|name| Username::parse(name).ok()).map(|name| desk.by_name(&name));
    let media = discovery.as_ref().and_then(|asked| find(asked.below(), "media"));
    let cursor = media.and_then(|media| media.said("after")).map(str::to_owned);
    let of_media_alone = media.is_some() && discovery.iter().flat_map(Asked::below).all(|field| field.name == "media");
    let endpoint = if of_media_alone { Endpoint::BusinessDiscoveryMedia } else { Endpoint::BusinessDiscovery };
    if account.is_none() {
        let refused = caller.turned_away(endpoint).unwrap_or_else(|| no_account(&user, &asked, discovery.as_ref()));
        return desk.late(refused).await;
    }
    let ask = Ask { endpoint, account, cursor };
    desk.answer(ask, &caller, |scene| match answer(scene, &user, &asked.unwrap_or_default()) {
        Ok(mut answer) => {
            faults::change(scene, &mut answer);
            Answer::Json(answer)
        }
        Err(response) => Answer::Other(*response),
    })
    .await
}

/// Why a request leads to no account.
fn no_account(user: &str, asked: &Result<Vec<Asked>, String>, discovery: Option<&Asked>) -> Response {
    match (asked, discovery) {
        _ if !is_number(user) => refusals::refused(100, 33),
        (Err(error), _) => refusals::invalid(error),
        (Ok(_), None) => refusals::invalid("The sandbox answers the field business_discovery alone"),
        (Ok(_), Some(discovery)) if discovery.said("username").is_none() => {
            refusals::invalid("The parameter username is required")
        }
        // A name that no account can have.
        _ => refusals::not_discoverable(),
    }
}

fn is_number(user: &str) -> bool {
    !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit())
}

fn find<'a>(asked: &'a [Asked], name: &str) -> Option<&'a Asked> {
    asked.iter().find(|asked| asked.name == name)
}

type Refused = Box<Response>;

fn answer(scene: &Scene, user: &str, asked: &[Asked]) -> Result<Value, Refused> {
    if !is_number(user) {
        return Err(Box::new(refusals::refused(100, 33)));
    }
    let mut answer = Map::new();
    for field in asked {
        match field.name.as_str() {
            "business_discovery" => {
                answer.insert(field.name.clone(), discovered(scene, field.below())?);
            }
            "id" => {}
            name => return Err(Box::new(refusals::no_such_field(name, "IGUser"))),
        }
    }
    answer.insert("id".to_owned(), json!(user));
    Ok(Value::Object(answer))
}

fn discovered(scene: &Scene, asked: &[Asked]) -> Result<Value, Refused> {
    check(scene, asked, &USER, "IGUser")?;
    let (account, counts) = (&scene.account, scene.counts());
    let mut user = Map::new();
    for field in asked {
        let told = match field.name.as_str() {
            "username" => json!(scene.username()),
            "name" => json!(account.full_name),
            "biography" => text(&account.biography),
            "website" => json!(account.external_url),
            "profile_picture_url" => json!(account.picture()),
            "followers_count" => json!(counts.followers),
            "follows_count" => json!(counts.following),
            "media_count" => json!(counts.posts),
            "media" => edge(scene, field)?,
            _ => Value::Null,
        };
        tell(&mut user, &field.name, told);
    }
    // Every node has its id, whether it was asked for or not.
    user.insert("id".to_owned(), json!(account.fbid));
    Ok(Value::Object(user))
}

/// The media edge. Some accounts' last page still has a cursor, behind which there is nothing.
fn edge(scene: &Scene, asked: &Asked) -> Result<Value, Refused> {
    check(scene, asked.below(), &MEDIA, "IGMedia")?;
    let limit = match asked.said("limit") {
        None => PAGE,
        Some(text) => text.parse().map_err(|_| Box::new(refusals::invalid("limit is no number")))?,
    };
    if let Some((name, _)) = asked.said.iter().find(|(name, _)| name != "limit" && name != "after") {
        return Err(Box::new(refusals::invalid(&format!("{name} is not known here"))));
    }
    let after = asked.said("after");
    if after.is_some() && scene.has(Fault::Graph(GraphFault::StaleCursor)) {
        return Err(Box::new(refusals::invalid("The cursor is no longer valid")));
    }
    let page = Desk::page(scene, List::Official, after, limit.clamp(1, LARGEST_PAGE))
        .map_err(|_| Box::new(refusals::invalid("Invalid cursor")))?;
    let media = |(pk, _): &(i64, bool)| medium(scene, &scene.post(*pk, false), asked.below());
    let mut edge = json!({ "data": page.items.iter().map(media).collect::<Vec<Value>>() });
    if let Some(cursors) = cursors(scene, &page) {
        edge["paging"] = json!({ "cursors": cursors });
    }
    Ok(edge)
}

fn cursors(scene: &Scene, page: &Page) -> Option<Value> {
    let at = |(pk, pinned): &(i64, bool)| Cursor {
        list: List::Official,
        pinned: *pinned,
        pk: *pk,
        pages: 1,
        username: scene.account.username.clone(),
    };
    let before = at(page.items.first()?).encode();
    let after = match &page.next {
        Some(next) => Some(next.encode()),
        None if scene.account.key.is_multiple_of(2) => page.items.last().map(|last| at(last).encode()),
        None => None,
    };
    Some(match after {
        Some(after) => json!({ "before": before, "after": after }),
        None => json!({ "before": before }),
    })
}

fn medium(scene: &Scene, post: &Post, asked: &[Asked]) -> Value {
    let numbers = scene.world.numbers(post, scene.now);
    let is_video = matches!(post.kind, Kind::Reel | Kind::Video);
    let mut dice = Dice::new(scene.world.seed, "graph", post.pk as u64);
    let id = format!("179{:014}", dice.below(100_000_000_000_000));
    let is_licensed = is_video && dice.chance(0.1);
    let mut media = Map::new();
    for field in asked {
        let told = match field.name.as_str() {
            "shortcode" => json!(post.code),
            "permalink" => json!(permalink(post)),
            "timestamp" => json!(timestamp(post)),
            "caption" => json!(post.caption),
            "media_type" => json!(match post.kind {
                Kind::Image => "IMAGE",
                Kind::Carousel => "CAROUSEL_ALBUM",
                Kind::Video | Kind::Reel => "VIDEO",
            }),
            "media_product_type" => json!(if post.kind == Kind::Reel { "REELS" } else { "FEED" }),
            // Left out where its sound is somebody else's.
            "media_url" if is_licensed => Value::Null,
            "media_url" if is_video => json!(format!("https://cdn.example/sandbox/{}.mp4", post.code)),
            "media_url" => json!(super::legacy::picture(post)),
            "thumbnail_url" if is_video => json!(super::legacy::picture(post)),
            "like_count" if post.hidden.is_none() => json!(numbers.likes),
            "comments_count" => json!(numbers.comments),
            "view_count" if !post.without_plays => json!(numbers.views),
            _ => Value::Null,
        };
        tell(&mut media, &field.name, told);
    }
    media.insert("id".to_owned(), json!(id));
    Value::Object(media)
}

/// Tells a field, unless there is nothing to tell: this source leaves out what others call null.
fn tell(node: &mut Map<String, Value>, name: &str, told: Value) {
    if !told.is_null() {
        node.insert(name.to_owned(), told);
    }
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn permalink(post: &Post) -> String {
    let kind = if post.kind == Kind::Reel { "reel" } else { "p" };
    format!("https://www.instagram.com/{kind}/{}/", post.code)
}

/// The time as this source writes it, which is not RFC 3339.
fn timestamp(post: &Post) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(post.created_ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

/// One field that is not there, or is not there today, refuses the whole request.
fn check(scene: &Scene, asked: &[Asked], known: &[&str], node: &str) -> Result<(), Refused> {
    let has = |name: &str| asked.iter().any(|field| field.name == name);
    if let Some(field) = asked.iter().find(|field| !known.contains(&field.name.as_str())) {
        return Err(Box::new(refusals::no_such_field(&field.name, node)));
    }
    for (fault, refused) in [(GraphFault::UnknownField, "view_count"), (GraphFault::CaptionRefused, "caption")] {
        if scene.has(Fault::Graph(fault)) && has(refused) {
            return Err(Box::new(refusals::no_such_field(refused, node)));
        }
    }
    let optional = ["name", "profile_picture_url", "follows_count"];
    if scene.has(Fault::Graph(GraphFault::OptionalFields)) && optional.into_iter().any(has) {
        return Err(Box::new(refusals::invalid("Invalid parameter")));
    }
    Ok(())
}

/// `GET /sandbox/tokens`: what each token has asked.
pub(super) async fn tokens(State(desk): State<Arc<Desk>>) -> Response {
    answers::json_of(axum::http::StatusCode::OK, &desk.tokens.tell())
}
