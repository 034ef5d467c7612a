//! Faults that change a right answer on its way out: counts that are renamed, null or gone, posts of no known kind,
//! posts that cannot be read.

use serde_json::{Value, json};

use super::fault::Fault;
use super::scene::Scene;

/// The fields that count something: the ones of the newer dialect, then those of the older.
const COUNTS: [&str; 15] = [
    "follower_count",
    "following_count",
    "media_count",
    "all_media_count",
    "like_count",
    "comment_count",
    "play_count",
    "view_count",
    "video_view_count",
    "video_play_count",
    "edge_followed_by",
    "edge_follow",
    "edge_liked_by",
    "edge_media_preview_like",
    "edge_media_to_comment",
];

/// Applies every fault of this kind that meets the request.
pub(super) fn distort(scene: &Scene, answer: &mut Value) {
    for rule in &scene.rules {
        match rule.fault {
            Fault::Renamed => each_count(answer, &|fields, name| {
                if let Some(value) = fields.remove(name) {
                    fields.insert(format!("{name}_v2"), value);
                }
            }),
            Fault::NullCounts => each_count(answer, &|fields, name| {
                if let Some(value) = fields.get_mut(name) {
                    match value.get_mut("count") {
                        Some(count) => *count = Value::Null,
                        None => *value = Value::Null,
                    }
                }
            }),
            Fault::AbsentCounts => each_count(answer, &|fields, name| {
                fields.remove(name);
            }),
            Fault::UnknownKind => each_list(answer, &|items| items.iter_mut().step_by(3).for_each(unknown_kind)),
            Fault::Garbled => each_list(answer, &|items| items.iter_mut().skip(1).take(1).for_each(garble)),
            _ => {}
        }
    }
}

type Fields = serde_json::Map<String, Value>;

fn each_count(value: &mut Value, change: &impl Fn(&mut Fields, &str)) {
    match value {
        Value::Object(fields) => {
            COUNTS.iter().for_each(|name| change(fields, name));
            fields.values_mut().for_each(|value| each_count(value, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_count(item, change)),
        _ => {}
    }
}

/// Hands every list of posts to `change`: the arrays called `items` or `edges`.
fn each_list(value: &mut Value, change: &impl Fn(&mut [Value])) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(items)) = (name == "items" || name == "edges", value.as_array_mut()) {
                    change(items);
                }
                each_list(value, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_list(item, change)),
        _ => {}
    }
}

/// The post inside a list's item, whichever way it is wrapped.
fn post(item: &mut Value) -> Option<&mut Fields> {
    let item = if item.get("node").is_some() { &mut item["node"] } else { item };
    let item = if item.get("media").is_some() { &mut item["media"] } else { item };
    item.as_object_mut().filter(|fields| fields.contains_key("code") || fields.contains_key("shortcode"))
}

fn unknown_kind(item: &mut Value) {
    if let Some(fields) = post(item) {
        for (name, value) in
            [("media_type", json!(42)), ("product_type", json!("hologram")), ("__typename", json!("GraphHologram"))]
        {
            if let Some(field) = fields.get_mut(name) {
                *field = value;
            }
        }
    }
}

fn garble(item: &mut Value) {
    if let Some(fields) = post(item) {
        for name in ["pk", "id", "code", "shortcode", "taken_at", "taken_at_timestamp"] {
            if let Some(field) = fields.get_mut(name) {
                *field = json!({ "unexpected": true });
            }
        }
    }
}
