//! The older of the two dialects: `edge_…` objects, as `web_profile_info` speaks it.

use serde_json::{Value, json};

use super::cursor::{self, List};
use super::fault::Fault;
use super::posts::{Kind, Post};
use super::scene::Scene;

/// How many posts the profile answer holds.
const FIRST_POSTS: usize = 12;

/// Fields of the profile that carry nothing for an account that is not ours.
const ALWAYS_NULL: [&str; 10] = [
    "ai_agent_type",
    "fb_profile_biolink",
    "external_url_linkshimmed",
    "business_address_json",
    "business_email",
    "business_phone_number",
    "business_category_name",
    "overall_category_name",
    "category_enum",
    "connected_fb_page",
];
/// Fields of the profile that do not hold for any account here.
const ALWAYS_FALSE: [&str; 10] = [
    "blocked_by_viewer",
    "country_block",
    "followed_by_viewer",
    "follows_viewer",
    "has_guides",
    "has_channel",
    "is_embeds_disabled",
    "is_joined_recently",
    "requested_by_viewer",
    "should_show_public_contacts",
];

/// The answer of `web_profile_info`.
pub(super) fn profile(scene: &Scene) -> Value {
    let account = &scene.account;
    let counts = scene.counts();
    let gating = scene.has(Fault::AgeGated).then(gating);
    let mut user = json!({
            "biography": account.biography,
            "bio_links": bio_links(scene),
            "restricted_by_viewer": if scene.is_guest { Value::Null } else { json!(false) },
            "external_url": account.external_url,
            "edge_followed_by": { "count": counts.followers },
            "fbid": account.fbid,
            "edge_follow": { "count": counts.following },
            "full_name": account.full_name,
            "gating": gating,
            "has_clips": counts.posts > 0,
            "highlight_reel_count": 0,
            "hide_like_and_view_counts": scene.has(Fault::HiddenLikes),
            "id": account.pk.to_string(),
            "is_business_account": account.category.is_some(),
            "is_professional_account": account.category.is_some(),
            "is_regulated_c18": scene.has(Fault::Regulated),
            "business_contact_method": "UNKNOWN",
            "category_name": account.category,
            "is_private": scene.has(Fault::Private),
            "is_verified": account.is_verified,
            "edge_mutual_followed_by": { "count": 0, "edges": [] },
            "profile_pic_url": account.picture(),
            "profile_pic_url_hd": format!("{}?size=hd", account.picture()),
            "should_show_category": account.category.is_some(),
            "username": scene.username(),
            "pronouns": [],
            "edge_felix_video_timeline": nothing(),
            "edge_owner_to_timeline_media": first_posts(scene, counts.posts),
            "edge_saved_media": nothing(),
            "edge_media_collections": nothing(),
    });
    if let Value::Object(fields) = &mut user {
        fields.extend(ALWAYS_NULL.iter().map(|name| ((*name).to_owned(), Value::Null)));
        fields.extend(ALWAYS_FALSE.iter().map(|name| ((*name).to_owned(), json!(false))));
    }
    json!({ "data": { "user": user }, "status": "ok" })
}

/// The answer for an account that does not exist, where it is not a 404.
pub(super) fn nobody() -> Value {
    json!({ "data": { "viewer": {}, "user": null }, "status": "ok" })
}

/// The mark of an account that is shown to adults only.
pub(super) fn gating() -> Value {
    json!({
        "gating_type": 1,
        "title": "Restricted profile",
        "description": "You must be 18 years old or over to see this profile",
        "buttons": [],
    })
}

/// The links of a profile.
pub(super) fn bio_links(scene: &Scene) -> Value {
    let links = scene.account.external_url.iter();
    links.map(|url| json!({ "title": "", "lynx_url": url, "url": url, "link_type": "external" })).collect()
}

fn first_posts(scene: &Scene, count: i64) -> Value {
    let shelf = scene.shelf();
    let withheld = scene.has(Fault::EmptyEdges) || scene.account.edges_withheld;
    let page = cursor::page(&shelf, List::Legacy, scene.account.username.as_ref(), None, FIRST_POSTS, 0);
    let nodes = page.items.iter().filter(|_| !withheld);
    let edges: Vec<Value> =
        nodes.map(|(pk, is_pinned)| json!({ "node": node(scene, &scene.post(*pk, *is_pinned)) })).collect();
    let has_next_page = page.next.is_some() || (withheld && shelf.len() > 0);
    json!({
        "count": count,
        "page_info": {
            "has_next_page": has_next_page,
            "end_cursor": page.next.filter(|_| !withheld).map(|next| next.encode()),
        },
        "edges": edges,
    })
}

fn node(scene: &Scene, post: &Post) -> Value {
    let numbers = scene.numbers(post);
    let (typename, product_type) = match post.kind {
        Kind::Image => ("GraphImage", Value::Null),
        Kind::Carousel => ("GraphSidecar", Value::Null),
        Kind::Video => ("GraphVideo", json!("feed")),
        Kind::Reel => ("GraphVideo", json!("clips")),
    };
    let captions: Vec<Value> = post.caption.iter().map(|text| json!({ "node": { "text": text } })).collect();
    let mut node = json!({
        "__typename": typename,
        "id": post.pk.to_string(),
        "shortcode": post.code,
        "dimensions": { "height": 1350, "width": 1080 },
        "display_url": picture(post),
        "thumbnail_src": picture(post),
        "thumbnail_resources": [],
        "edge_media_to_tagged_user": { "edges": tagged(post) },
        "fact_check_overall_rating": null,
        "gating_info": null,
        "media_overlay_info": null,
        "owner": { "id": scene.account.pk.to_string(), "username": scene.username() },
        "is_video": post.seconds.is_some(),
        "accessibility_caption": null,
        "edge_media_to_caption": { "edges": captions },
        "edge_media_to_comment": { "count": numbers.comments },
        "comments_disabled": false,
        "taken_at_timestamp": post.created_ms / 1000,
        "edge_liked_by": { "count": numbers.likes },
        "edge_media_preview_like": { "count": numbers.likes },
        "like_and_view_counts_disabled": post.hidden.is_some(),
        "location": null,
        "pinned_for_users": if post.is_pinned { json!([{ "id": scene.account.pk.to_string() }]) } else { json!([]) },
        "product_type": product_type,
        "coauthor_producers": [],
    });
    if let (Some(seconds), Value::Object(fields)) = (post.seconds, &mut node) {
        fields.insert("video_view_count".to_owned(), json!(numbers.views));
        fields.insert("video_play_count".to_owned(), json!(numbers.plays));
        fields.insert("video_duration".to_owned(), json!(seconds));
        fields.insert("video_url".to_owned(), json!(format!("https://cdn.example/sandbox/{}.mp4", post.code)));
    }
    node
}

/// The address of a post's picture, which nobody serves.
pub(super) fn picture(post: &Post) -> String {
    format!("https://cdn.example/sandbox/{}.jpg", post.code)
}

fn tagged(post: &Post) -> Value {
    let tagged = post.tagged.iter();
    tagged.map(|name| json!({ "node": { "user": { "username": name }, "x": 0.5, "y": 0.5 } })).collect()
}

fn nothing() -> Value {
    json!({ "count": 0, "page_info": { "has_next_page": false, "end_cursor": null }, "edges": [] })
}
