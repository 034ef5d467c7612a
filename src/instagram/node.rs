//! A post in each of the two dialects in which Instagram's web endpoints describe one.
//!
//! "v1" nodes have `pk`, `code`, `like_count`; legacy nodes have `shortcode` and counts under `edge_…`.

use serde_json::Value;

use super::reader::Field;
use super::{MediaKind, Post, ReelNumbers, Shortcode};

/// What stands at the time of a post.
const TIME: &str = "a time in seconds since 1970";

/// The kinds of legacy nodes.
const TYPENAMES: &str = "GraphImage, GraphVideo or GraphSidecar";

/// Reads a node of either dialect; `None`, with a note, where it names no post.
///
/// `owner` is the account whose timeline it stands on: a post is pinned there, not where it was made.
pub(crate) fn post(node: &Field<'_>, owner: Option<i64>) -> Option<Post> {
    if is_legacy(node) { legacy(node, owner) } else { v1(node, owner) }
}

/// The numbers of a node of `clips_connection` or `/api/v1/clips/user/`.
pub(crate) fn reel(node: &Field<'_>) -> Option<ReelNumbers> {
    let (_, code) = names(node, "pk", "code")?;
    let (likes, likes_hidden) = likes(node, &node.at("like_count"));
    Some(ReelNumbers {
        code,
        plays: shown(&node.at("play_count")),
        views: shown(&node.at("view_count")),
        likes,
        likes_hidden,
        comments: node.at("comment_count").count(),
    })
}

fn is_legacy(node: &Field<'_>) -> bool {
    ["shortcode", "taken_at_timestamp", "edge_media_to_caption", "edge_media_preview_like", "edge_liked_by"]
        .into_iter()
        .any(|key| node.value().is_some_and(|value| value.get(key).is_some()))
}

fn v1(node: &Field<'_>, owner: Option<i64>) -> Option<Post> {
    let (pk, code) = names(node, "pk", "code")?;
    let (likes, likes_hidden) = likes(node, &node.at("like_count"));
    let media_type = node.at("media_type").always_told("1, 2 or 8");
    let kind = media_type.whole().and_then(|number| match number {
        1 => Some(MediaKind::Image),
        2 => Some(MediaKind::Video),
        8 => Some(MediaKind::Carousel),
        _ => media_type.unreadable("1, 2 or 8"),
    });
    let product_type = node.at("product_type").always_told("clips, feed or another product, or null");
    let taken_at = node.at("taken_at").always_told(TIME).time();
    let (caption, caption_told) = v1_caption(&node.at("caption").always_told("a caption, or null"));
    Some(Post {
        pk,
        code,
        kind,
        is_reel: is_reel(&product_type, kind),
        is_pinned: is_pinned(node, owner),
        taken_at,
        caption,
        caption_told,
        likes,
        likes_hidden,
        comments: node.at("comment_count").count(),
        plays: shown(&node.at("play_count")),
        views: shown(&node.at("view_count")),
        duration_seconds: node.at("video_duration").seconds(),
        display_url: v1_picture(node),
    })
}

fn legacy(node: &Field<'_>, owner: Option<i64>) -> Option<Post> {
    let (pk, code) = names(node, "id", "shortcode")?;
    let preview = node.at("edge_media_preview_like.count");
    let counted = if preview.is_there() { preview } else { node.at("edge_liked_by.count") };
    let (likes, likes_hidden) = likes(node, &counted);
    let kind = legacy_kind(node);
    let taken_at = node.at("taken_at_timestamp").always_told(TIME).time();
    let (caption, caption_told) = legacy_caption(&node.at("edge_media_to_caption"));
    Some(Post {
        pk,
        code,
        kind,
        // Not every video of this dialect has one.
        is_reel: is_reel(&node.at("product_type"), kind),
        is_pinned: is_pinned(node, owner),
        taken_at,
        caption,
        caption_told,
        likes,
        likes_hidden,
        comments: node.at("edge_media_to_comment.count").count(),
        plays: shown(&node.at("video_play_count")),
        views: shown(&node.at("video_view_count")),
        duration_seconds: node.at("video_duration").seconds(),
        display_url: node.at("display_url").some_text().or_else(|| node.at("thumbnail_src").some_text()),
    })
}

/// Number and code of a node: each can be told from the other, and `id` begins with the number.
fn names(node: &Field<'_>, pk: &'static str, code: &'static str) -> Option<(i64, Shortcode)> {
    let code_field = node.at(code);
    let code = code_field.text().and_then(|text| match Shortcode::parse(&text) {
        Ok(code) => Some(code),
        Err(_) => code_field.unreadable("a shortcode"),
    });
    let pk_field = node.at(pk);
    // The legacy dialect's `id` may come as "pk_ownerpk", as the other dialect's does.
    let joined = |field: &Field<'_>| field.id_text().and_then(|id| media_id(&id));
    let pk = match pk_field.value() {
        Some(Value::String(text)) if text.contains('_') => joined(&pk_field),
        _ => pk_field.id(),
    };
    let pk = pk.or_else(|| code.as_ref().map(Shortcode::pk)).or_else(|| joined(&node.at("id")));
    match (pk, code) {
        (Some(pk), Some(code)) => Some((pk, code)),
        (Some(pk), None) => Shortcode::from_pk(pk).map(|code| (pk, code)),
        (None, _) => node.unreadable("a post with a pk or a code"),
    }
}

/// The post's number of an id such as `pk_ownerpk`.
fn media_id(id: &str) -> Option<i64> {
    id.split('_').next()?.parse().ok().filter(|pk| *pk > 0)
}

/// The likes, and whether the owner hides them. Instagram marks hidden likes with −1, or sends a made-up 3 beside
/// the disabled flag.
fn likes(node: &Field<'_>, count: &Field<'_>) -> (Option<i64>, bool) {
    const MADE_UP: i64 = 3;
    let disabled = node.at("like_and_view_counts_disabled").flag() == Some(true);
    match count.value().map(Value::as_i64) {
        Some(Some(-1)) => (None, true),
        Some(Some(MADE_UP)) | None if disabled => (None, true),
        _ => (count.count(), false),
    }
}

/// A count of plays or views; −1 is the hidden mark here, too.
fn shown(count: &Field<'_>) -> Option<i64> {
    if count.value().and_then(Value::as_i64) == Some(-1) { None } else { count.count() }
}

/// Whether it is a reel. A video that is not said to be one or another may be either.
fn is_reel(product_type: &Field<'_>, kind: Option<MediaKind>) -> Option<bool> {
    match product_type.text() {
        Some(product) => Some(product == "clips"),
        None => matches!(kind, Some(MediaKind::Image | MediaKind::Carousel)).then_some(false),
    }
}

/// The text of a caption, and whether it was told, or that there is none: a null caption.
fn v1_caption(caption: &Field<'_>) -> (Option<String>, bool) {
    match caption.value() {
        None => (None, caption.is_there()),
        Some(Value::Object(_)) => text_of(&caption.at("text")),
        Some(_) => (caption.unreadable("a caption, or null"), false),
    }
}

/// The same of a list of captions, of which there is one at most.
fn legacy_caption(captions: &Field<'_>) -> (Option<String>, bool) {
    const EXPECTED: &str = "a list of captions";
    if captions.value().is_some_and(|value| !value.is_object()) {
        return (captions.unreadable(EXPECTED), false);
    }
    let edges = captions.at("edges");
    if !edges.value().is_some_and(Value::is_array) {
        return (edges.unreadable(EXPECTED), false);
    }
    edges.items().first().map_or((None, true), |edge| text_of(&edge.at("node.text")))
}

/// A text that stands there, and whether it does.
fn text_of(field: &Field<'_>) -> (Option<String>, bool) {
    match field.value() {
        Some(Value::String(_)) => (field.some_text(), true),
        _ => (field.unreadable("the text of a caption"), false),
    }
}

fn is_pinned(node: &Field<'_>, owner: Option<i64>) -> bool {
    let Some(owner) = owner.or_else(|| owner_of(node)) else { return false };
    let v1 = node.at("timeline_pinned_user_ids").items();
    let legacy = node.at("pinned_for_users").items();
    v1.iter().any(|id| id.id() == Some(owner)) || legacy.iter().any(|user| user.at("id").id() == Some(owner))
}

/// The number of the account that made the post; v1 nodes may have a null `user`.
fn owner_of(node: &Field<'_>) -> Option<i64> {
    let user = ["user", "owner"].into_iter().map(|key| node.at(key)).find(Field::is_some);
    match user {
        Some(user) if user.at("pk").is_some() => user.at("pk").id(),
        Some(user) => user.at("id").id(),
        None => node.at("owner_id.pk").id(),
    }
}

fn v1_picture(node: &Field<'_>) -> Option<String> {
    // The candidates are offered with the largest first.
    let first = |media: &Field<'_>| {
        let candidates = media.at("image_versions2.candidates").items();
        candidates.first().and_then(|candidate| candidate.at("url").some_text())
    };
    first(node).or_else(|| node.at("display_uri").some_text()).or_else(|| {
        let slides = node.at("carousel_media").items();
        slides.first().and_then(first)
    })
}

fn legacy_kind(node: &Field<'_>) -> Option<MediaKind> {
    let typename = node.at("__typename");
    match typename.text().as_deref() {
        Some("GraphImage" | "XDTGraphImage") => Some(MediaKind::Image),
        Some("GraphVideo" | "XDTGraphVideo") => Some(MediaKind::Video),
        Some("GraphSidecar" | "XDTGraphSidecar") => Some(MediaKind::Carousel),
        Some(_) => typename.unreadable(TYPENAMES),
        None if node.at("edge_sidecar_to_children").is_some() => Some(MediaKind::Carousel),
        None => {
            let is_video = node.at("is_video");
            if !typename.is_there() && !is_video.is_there() {
                typename.unreadable::<()>(TYPENAMES);
            }
            is_video.flag().map(|video| if video { MediaKind::Video } else { MediaKind::Image })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Unread;
    use super::super::reader::Notes;
    use super::*;

    fn read(node: &Value) -> (Option<Post>, Vec<Unread>) {
        let notes = Notes::default();
        let post = post(&Field::part(node, "node", &notes), Some(77));
        (post, notes.into_unread())
    }

    /// A picture with what every node of its dialect tells, and with these fields.
    fn with(fields: &Value) -> Value {
        let mut node = match fields.get("shortcode") {
            None => json!({"taken_at": 1_700_000_000, "media_type": 1, "product_type": "feed", "caption": null}),
            Some(_) => json!({"__typename": "GraphImage", "taken_at_timestamp": 1_700_000_000,
                "edge_media_to_caption": {"edges": []}}),
        };
        node.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        node
    }

    fn paths(unread: &[Unread]) -> Vec<&str> {
        unread.iter().map(|unread| unread.path.as_str()).collect()
    }

    #[test]
    fn a_v1_reel_is_read_with_plays_and_views_apart() {
        let (post, unread) = read(&json!({
            "pk": "2589531623544609760", "id": "2589531623544609760_77", "code": "CPv3UqsBFvg",
            "taken_at": 1_700_000_000, "media_type": 2, "product_type": "clips", "caption": {"text": "Windmill"},
            "like_count": 12, "comment_count": 0, "play_count": 401_421, "view_count": 100_856, "video_duration": 9.5,
            "image_versions2": {"candidates": [{"url": "https://cdn.test/l.jpg"}, {"url": "https://cdn.test/s.jpg"}]},
            "user": null, "owner_id": {"pk": 77}, "timeline_pinned_user_ids": ["77"], "usertags": null, "brand_new": {}
        }));
        let post = post.unwrap();
        assert_eq!(unread, []);
        assert_eq!((post.pk, post.code.as_str()), (2_589_531_623_544_609_760, "CPv3UqsBFvg"));
        assert_eq!((post.kind, post.is_reel, post.is_pinned), (Some(MediaKind::Video), Some(true), true));
        assert_eq!(
            (post.likes, post.comments, post.plays, post.views),
            (Some(12), Some(0), Some(401_421), Some(100_856))
        );
        assert_eq!(post.caption.as_deref(), Some("Windmill"));
        assert_eq!(post.duration_seconds, Some(9.5));
        assert_eq!(post.display_url.as_deref(), Some("https://cdn.test/l.jpg"));
    }

    #[test]
    fn a_legacy_node_is_read_into_the_same_model() {
        let (post, unread) = read(&json!({
            "__typename": "GraphSidecar", "id": "2589531623544609760", "shortcode": "CPv3UqsBFvg", "is_video": false,
            "taken_at_timestamp": 1_700_000_000, "edge_liked_by": {"count": 5}, "edge_media_to_comment": {"count": 6},
            "edge_media_to_caption": {"edges": [{"node": {"text": "first"}}]}, "video_view_count": null,
            "display_url": "https://cdn.test/d.jpg", "pinned_for_users": [{"id": "77"}]
        }));
        let post = post.unwrap();
        assert_eq!(unread, []);
        assert_eq!((post.kind, post.is_reel, post.is_pinned), (Some(MediaKind::Carousel), Some(false), true));
        assert_eq!((post.likes, post.comments, post.views), (Some(5), Some(6), None));
        assert_eq!(post.caption.as_deref(), Some("first"));
        assert_eq!(post.taken_at.map(|time| time.timestamp()), Some(1_700_000_000));
    }

    #[test]
    fn each_name_of_a_post_is_made_from_the_other() {
        for node in [json!({"pk": 2_589_531_623_544_609_760_i64}), json!({"code": "CPv3UqsBFvg"})] {
            let (post, unread) = read(&with(&node));
            let post = post.unwrap();
            assert_eq!((post.pk, post.code.as_str()), (2_589_531_623_544_609_760, "CPv3UqsBFvg"));
            assert_eq!(unread, []);
        }
        let (post, unread) = read(&json!({"pk": null, "code": "not a code", "like_count": 4}));
        assert_eq!(post, None);
        assert_eq!(unread.iter().map(|unread| unread.path.as_str()).collect::<Vec<_>>(), ["node.code", "node"]);
    }

    #[test]
    fn hidden_likes_are_unknown_and_never_a_number() {
        let cases = [
            (json!({"code": "Cab", "like_count": -1}), (None, true), 0),
            (json!({"code": "Cab", "like_count": 3, "like_and_view_counts_disabled": true}), (None, true), 0),
            (json!({"code": "Cab", "like_and_view_counts_disabled": true}), (None, true), 0),
            (json!({"code": "Cab", "like_count": 3, "like_and_view_counts_disabled": false}), (Some(3), false), 0),
            (json!({"code": "Cab", "like_count": null}), (None, false), 0),
            (json!({"code": "Cab", "like_count": -7}), (None, false), 1),
            (json!({"shortcode": "Cab", "edge_media_preview_like": {"count": -1}}), (None, true), 0),
        ];
        for (node, likes, notes) in cases {
            let (post, unread) = read(&with(&node));
            let post = post.unwrap();
            assert_eq!((post.likes, post.likes_hidden), likes, "{node}");
            assert_eq!(unread.len(), notes, "{node}");
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_costs_that_field_only() {
        let (post, unread) = read(&json!({
            "pk": 5, "code": "CPv3UqsBFvg", "media_type": 19, "comment_count": "lots", "view_count": 1e30,
            "taken_at": 1_700_000_000_000_i64, "caption": "plain", "timeline_pinned_user_ids": null, "like_count": 8,
            "product_type": 7
        }));
        let post = post.unwrap();
        assert_eq!((post.kind, post.comments, post.views, post.taken_at), (None, None, None, None));
        assert_eq!((post.likes, post.is_pinned, post.is_reel), (Some(8), false, None));
        let lost = [
            "node.media_type",
            "node.taken_at",
            "node.caption",
            "node.product_type",
            "node.comment_count",
            "node.view_count",
        ];
        assert_eq!(paths(&unread), lost);
    }

    #[test]
    fn a_field_that_every_node_has_is_news_where_it_is_gone() {
        for (node, keys) in [
            (json!({"code": "Cab"}), &["media_type", "product_type", "taken_at", "caption"][..]),
            (json!({"shortcode": "Cab"}), &["__typename", "taken_at_timestamp", "edge_media_to_caption"]),
        ] {
            for gone in keys {
                let mut node = with(&node);
                node.as_object_mut().unwrap().remove(*gone);
                let (post, unread) = read(&node);
                assert!(post.is_some() && unread.len() == 1, "{gone}: {unread:?}");
                assert!(unread[0].path.starts_with(&format!("node.{gone}")), "{unread:?}");
                assert_eq!((unread[0].found.as_str(), unread[0].is_loss), ("nothing", true));
            }
        }
    }

    #[test]
    fn a_video_that_is_not_said_to_be_a_reel_or_none_is_neither_and_a_picture_is_none() {
        for (node, is_reel) in [
            (json!({"code": "Cab", "media_type": 2, "product_type": "clips"}), Some(true)),
            (json!({"code": "Cab", "media_type": 2, "product_type": "igtv"}), Some(false)),
            (json!({"code": "Cab", "media_type": 2, "product_type": null}), None),
            (json!({"code": "Cab", "media_type": 1, "product_type": null}), Some(false)),
            (json!({"shortcode": "Cab", "__typename": "GraphVideo"}), None),
            (json!({"shortcode": "Cab", "__typename": "GraphVideo", "product_type": "clips"}), Some(true)),
            (json!({"shortcode": "Cab", "__typename": "GraphSidecar"}), Some(false)),
        ] {
            let (post, unread) = read(&with(&node));
            assert_eq!((post.unwrap().is_reel, unread), (is_reel, vec![]), "{node}");
        }
    }

    #[test]
    fn a_caption_is_told_where_its_text_stands_or_the_answer_says_that_there_is_none() {
        let v1 = |caption: Value| with(&json!({"code": "Cab", "caption": caption}));
        let legacy = |captions: Value| with(&json!({"shortcode": "Cab", "edge_media_to_caption": captions}));
        for (node, caption, notes) in [
            (v1(Value::Null), Some(None), &[][..]),
            (v1(json!({"text": "Flour"})), Some(Some("Flour")), &[]),
            (v1(json!({"text": " "})), Some(None), &[]),
            (v1(json!({"text_v2": "Flour"})), None, &["node.caption.text"]),
            (v1(json!({"text": ["Flour"]})), None, &["node.caption.text"]),
            (v1(json!("Flour")), None, &["node.caption"]),
            (legacy(json!({"edges": []})), Some(None), &[]),
            (legacy(json!({"edges": [{"node": {"text": "Flour"}}]})), Some(Some("Flour")), &[]),
            (
                legacy(json!({"edges": [{"node": {"words": "Flour"}}]})),
                None,
                &["node.edge_media_to_caption.edges[0].node.text"],
            ),
            (legacy(json!({"edges": null})), None, &["node.edge_media_to_caption.edges"]),
            (legacy(Value::Null), None, &["node.edge_media_to_caption.edges"]),
            (legacy(json!([])), None, &["node.edge_media_to_caption"]),
        ] {
            let (post, unread) = read(&node);
            let post = post.unwrap();
            assert_eq!(post.caption_told.then_some(post.caption.as_deref()), caption, "{node}");
            assert!(post.caption_told || post.caption.is_none(), "{node}");
            assert_eq!(paths(&unread), notes, "{node}");
        }
    }

    #[test]
    fn a_reel_of_the_clips_tab_has_numbers_and_a_code() {
        let node = json!({"pk": "9", "code": "CPv3UqsBFvg", "play_count": 10, "view_count": -1, "like_count": 2});
        let notes = Notes::default();
        let reel = reel(&Field::root(&node, &notes)).unwrap();
        assert_eq!((reel.plays, reel.views, reel.likes, reel.comments), (Some(10), None, Some(2), None));
        assert_eq!(notes.into_unread(), []);
    }
}
