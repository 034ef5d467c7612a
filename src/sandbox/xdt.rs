//! The newer of the two dialects ("XDT"): the media objects of the timeline, the feed, the reels and the single post.

use serde_json::{Value, json};

use super::cursor::Page;
use super::fault::Fault;
use super::legacy::{bio_links, gating, picture};
use super::posts::{Kind, Post};
use super::scene::Scene;

/// How an answer writes the numbers of posts and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Both as texts (GraphQL).
    Text,
    /// Posts as texts, users as numbers (reels over REST).
    Mixed,
    /// Both as numbers (the other REST endpoints).
    Number,
}

impl Ids {
    fn media(self, pk: i64) -> Value {
        if self == Self::Number { json!(pk) } else { json!(pk.to_string()) }
    }

    fn user(self, pk: i64) -> Value {
        if self == Self::Text { json!(pk.to_string()) } else { json!(pk) }
    }
}

/// A post with all that is told of it.
pub(super) fn media(scene: &Scene, post: &Post, ids: Ids) -> Value {
    let numbers = scene.numbers(post);
    let taken_at = post.created_ms / 1000;
    let pins = if post.is_pinned { json!([ids.user(scene.account.pk)]) } else { json!([]) };
    let is_reel = post.kind == Kind::Reel;
    let caption = post.caption.as_ref().map(|text| {
        json!({ "pk": ids.media(post.pk / 2), "text": text, "created_at": taken_at, "created_at_utc": taken_at, "type": 1 })
    });
    let mut media = json!({
        "taken_at": taken_at,
        "pk": ids.media(post.pk),
        "id": format!("{}_{}", post.pk, scene.account.pk),
        "code": post.code,
        "media_type": media_type(post.kind),
        "product_type": product_type(post),
        "caption": caption,
        "caption_is_edited": false,
        "accessibility_caption": null,
        "like_count": numbers.likes,
        "comment_count": numbers.comments,
        "play_count": numbers.plays,
        "view_count": numbers.views,
        "has_liked": false,
        "like_and_view_counts_disabled": post.hidden.is_some(),
        "video_duration": post.seconds,
        "has_audio": post.seconds.map(|_| true),
        "image_versions2": images(post),
        "display_uri": if post.kind == Kind::Image { json!(picture(post)) } else { Value::Null },
        "original_width": 1080,
        "original_height": 1350,
        "carousel_media_count": Value::Null,
        "carousel_media": Value::Null,
        "usertags": tags(post),
        "coauthor_producers": [],
        "timeline_pinned_user_ids": pins,
        "clips_tab_pinned_user_ids": if is_reel { pins } else { json!([]) },
        "location": null,
        "is_paid_partnership": false,
        "commerciality_status": "not_commercial",
    });
    if let Value::Object(fields) = &mut media {
        fields.extend(owner(scene, ids));
        if post.kind == Kind::Carousel {
            fields.insert("carousel_media_count".to_owned(), json!(3));
            let part = |n: i64| {
                json!({ "id": format!("{}_{}", post.pk + n, scene.account.pk), "pk": ids.media(post.pk + n),
                        "media_type": 1, "image_versions2": images(post) })
            };
            fields.insert("carousel_media".to_owned(), (1..=3).map(part).collect());
        }
    }
    media
}

/// A reel as the reels tab tells it: numbers and little else, neither caption nor time.
pub(super) fn reel(scene: &Scene, post: &Post) -> Value {
    let numbers = scene.numbers(post);
    json!({
        "pk": post.pk.to_string(),
        "id": format!("{}_{}", post.pk, scene.account.pk),
        "code": post.code,
        "media_type": media_type(post.kind),
        "product_type": product_type(post),
        "user": { "pk": scene.account.pk.to_string(), "id": scene.account.pk.to_string() },
        "play_count": numbers.plays,
        "view_count": null,
        "like_count": numbers.likes,
        "comment_count": numbers.comments,
        "like_and_view_counts_disabled": post.hidden.is_some(),
        "image_versions2": images(post),
        "original_width": 1080,
        "original_height": 1920,
        "clips_tab_pinned_user_ids": if post.is_pinned { json!([scene.account.pk.to_string()]) } else { json!([]) },
    })
}

/// A post as the profile page shows it to guests: without numbers and without its time.
pub(super) fn stub(scene: &Scene, post: &Post) -> Value {
    let caption = post.caption.as_ref().map(|text| json!({ "text": text }));
    json!({
        "pk": post.pk.to_string(),
        "id": format!("{}_{}", post.pk, scene.account.pk),
        "code": post.code,
        "media_type": media_type(post.kind),
        "product_type": product_type(post),
        "caption": caption,
        "display_uri": picture(post),
        "user": { "pk": scene.account.pk.to_string(), "username": scene.username() },
    })
}

/// The profile as `PolarisProfilePageContentQuery` tells it.
pub(super) fn profile(scene: &Scene) -> Value {
    let account = &scene.account;
    let counts = scene.counts();
    json!({
        "data": {
            "user": {
                "pk": account.pk.to_string(),
                "id": account.pk.to_string(),
                "fbid_v2": account.fbid,
                "username": account.username,
                "full_name": account.full_name,
                "biography": account.biography,
                "bio_links": bio_links(scene),
                "external_url": account.external_url,
                "category": account.category,
                "account_type": if account.category.is_some() { 3 } else { 1 },
                "follower_count": counts.followers,
                "following_count": counts.following,
                "media_count": counts.posts,
                "total_clips_count": if scene.is_restricted() { 0 } else { 1 },
                "is_private": scene.has(Fault::Private),
                "is_verified": account.is_verified,
                "is_regulated_c18": scene.has(Fault::Regulated),
                "gating": scene.has(Fault::AgeGated).then(gating),
                "profile_pic_url": account.picture(),
                "hd_profile_pic_url_info": { "url": format!("{}?size=hd", account.picture()) },
            },
            "viewer": null,
        },
        "extensions": { "is_final": true },
        "status": "ok",
    })
}

/// A GraphQL connection of a page; `wrap` makes a node from a post.
pub(super) fn connection(scene: &Scene, page: &Page, wrap: impl Fn(&Post) -> Value) -> Value {
    let edge = |(pk, is_pinned): &(i64, bool)| json!({ "node": wrap(&scene.post(*pk, *is_pinned)), "cursor": format!("{pk}_{}", scene.account.pk) });
    json!({
        "edges": page.items.iter().map(edge).collect::<Vec<Value>>(),
        "page_info": {
            "end_cursor": page.next.as_ref().map(|next| next.encode()),
            "has_next_page": page.next.is_some(),
            "has_previous_page": false,
            "start_cursor": null,
        },
    })
}

fn owner(scene: &Scene, ids: Ids) -> serde_json::Map<String, Value> {
    let account = &scene.account;
    let mut fields = serde_json::Map::new();
    match &account.username {
        Some(username) if !scene.has(Fault::Ownerless) => {
            let user = json!({
                "pk": ids.user(account.pk),
                "id": account.pk.to_string(),
                "username": username,
                "full_name": account.full_name,
                "is_private": scene.has(Fault::Private),
                "is_verified": account.is_verified,
                "profile_pic_url": account.picture(),
            });
            fields.insert("user".to_owned(), user);
        }
        _ => {
            fields.insert("user".to_owned(), Value::Null);
            fields.insert("owner_id".to_owned(), json!({ "pk": ids.user(account.pk) }));
        }
    }
    fields
}

fn media_type(kind: Kind) -> u8 {
    match kind {
        Kind::Image => 1,
        Kind::Video | Kind::Reel => 2,
        Kind::Carousel => 8,
    }
}

fn product_type(post: &Post) -> Option<&'static str> {
    match post.kind {
        // The wire leaves it out for some pictures, nobody says why.
        Kind::Image if post.pk % 4 == 0 => None,
        Kind::Image => Some("feed"),
        Kind::Video if post.seconds.is_some_and(|seconds| seconds > 60.0) => Some("igtv"),
        Kind::Video => Some("feed"),
        Kind::Carousel => Some("carousel_container"),
        Kind::Reel => Some("clips"),
    }
}

fn images(post: &Post) -> Value {
    json!({ "candidates": [
        { "width": 1080, "height": 1350, "url": picture(post) },
        { "width": 480, "height": 600, "url": format!("{}?size=small", picture(post)) },
    ] })
}

fn tags(post: &Post) -> Value {
    post.tagged.map_or(Value::Null, |name| {
        json!({ "in": [{ "user": { "pk": "1", "username": name, "is_verified": false }, "position": [0.5, 0.5] }] })
    })
}
