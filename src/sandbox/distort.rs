//! Faults that change a right answer on its way out: counts that are renamed, null or gone, times, kinds, captions and
//! links that are not told any more, posts of no known kind, posts that cannot be read, texts and numbers that no database takes. What no JSON can say is `raw`'s.

use serde_json::{Value, json};

use super::fault::Fault;
use super::raw;
use super::scene::Scene;

/// The fields that count something: the ones of the newer dialect, then those of the older, then
/// those that only the official source has.
const COUNTS: [&str; 18] = [
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
    "followers_count",
    "follows_count",
    "comments_count",
];

/// The fields that say when a post was made and what it is, in both dialects of the web.
const WHEN_AND_WHAT: [&str; 6] =
    ["taken_at", "taken_at_timestamp", "media_type", "__typename", "is_video", "product_type"];

/// The fields that hold a caption, in both dialects of the web.
const CAPTIONS: [&str; 2] = ["caption", "edge_media_to_caption"];

/// The fields that hold the links of a profile.
const LINKS: [&str; 2] = ["external_url", "bio_links"];

/// The fields in which people write: the names, the biography, the caption (in both dialects, and as the official source
/// has it).
const TEXTS: [&str; 4] = ["biography", "full_name", "text", "caption"];

/// Numbers that fit into no column: beyond 63 bits, beyond 64 bits, beyond all floating point.
const BEYOND: [&str; 3] = ["9223372036854775808", "18446744073709551616", "1e400"];

/// How deep the deep faults nest.
const DEPTH: usize = 100_000;

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
            Fault::Untold => each_post(answer, &|fields| drop_all(fields, &WHEN_AND_WHAT)),
            Fault::NoCaptions => each_post(answer, &|fields| drop_all(fields, &CAPTIONS)),
            Fault::OddCaptions => each_post(answer, &|fields| put_in(fields, &CAPTIONS, &json!([7]))),
            Fault::OddLinks => each_object(answer, &mut |fields| put_in(fields, &LINKS, &json!(7))),
            Fault::UnknownKind => each_list(answer, &|items| items.iter_mut().step_by(3).for_each(unknown_kind)),
            Fault::Garbled => each_list(answer, &|items| items.iter_mut().skip(1).take(1).for_each(garble)),
            Fault::Nul => each_text(answer, &|text| format!("nul\0 {text}").into()),
            // The second is no half pair but a backslash and letters.
            Fault::HalfPair => each_text(answer, &|text| format!("half{} \\ud83d {text}", raw::HALF_PAIR).into()),
            Fault::NoText => each_text(answer, &|text| format!("bytes{} {text}", raw::NO_TEXT).into()),
            Fault::LongText => {
                let long = "ä".repeat(rule.mebibytes() / 2);
                first_text(answer, &mut |text| *text = long.clone().into());
            }
            Fault::Beyond => {
                each_count(answer, &|fields, name| {
                    if let Some(value) = fields.get_mut(name) {
                        let place = COUNTS.iter().position(|count| *count == name).unwrap_or_default();
                        let number = raw::value(BEYOND[place % BEYOND.len()]);
                        match value.get_mut("count") {
                            Some(count) => *count = number,
                            None => *value = number,
                        }
                    }
                });
                each_list(answer, &|items| items.iter_mut().skip(2).take(1).for_each(without_number));
            }
            Fault::Deep => first_text(answer, &mut |text| *text = deep()),
            Fault::DeepAside => {
                if let Value::Object(fields) = answer {
                    fields.insert("brand_new".to_owned(), deep());
                }
            }
            _ => {}
        }
    }
}

type Fields = serde_json::Map<String, Value>;

fn each_count(value: &mut Value, change: &impl Fn(&mut Fields, &str)) {
    each_object(value, &mut |fields| COUNTS.iter().for_each(|name| change(fields, name)));
}

fn each_text(value: &mut Value, change: &impl Fn(&str) -> Value) {
    each_object(value, &mut |fields| {
        for name in TEXTS {
            if let Some(value) = fields.get_mut(name)
                && let Some(text) = value.as_str()
            {
                *value = change(text);
            }
        }
    });
}

/// The first biography or caption of an answer.
fn first_text(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    let mut done = false;
    each_object(value, &mut |fields| {
        let text =
            ["biography", "text", "caption"].into_iter().find(|name| fields.get(*name).is_some_and(Value::is_string));
        if let (false, Some(text)) = (done, text.and_then(|name| fields.get_mut(name))) {
            change(text);
            done = true;
        }
    });
}

fn each_object(value: &mut Value, change: &mut impl FnMut(&mut Fields)) {
    match value {
        Value::Object(fields) => {
            change(fields);
            fields.values_mut().for_each(|value| each_object(value, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
    }
}

fn deep() -> Value {
    raw::value(&format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)))
}

/// Hands every list of posts to `change`: the arrays called `items`, `edges` or `data`.
fn each_list(value: &mut Value, change: &impl Fn(&mut [Value])) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(items)) = (matches!(name.as_str(), "items" | "edges" | "data"), value.as_array_mut())
                {
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

/// Hands every post of a list to `change`.
fn each_post(value: &mut Value, change: &impl Fn(&mut Fields)) {
    each_list(value, &|items| items.iter_mut().filter_map(post).for_each(change));
}

fn drop_all(fields: &mut Fields, names: &[&str]) {
    fields.retain(|name, _| !names.contains(&name.as_str()));
}

/// Puts a value in the place of those that are there.
fn put_in(fields: &mut Fields, names: &[&str], value: &Value) {
    for name in names {
        if let Some(field) = fields.get_mut(*name) {
            field.clone_from(value);
        }
    }
}

fn unknown_kind(item: &mut Value) {
    const KINDS: [(&str, &str); 4] = [
        ("media_type", "HOLOGRAM"),
        ("product_type", "hologram"),
        ("media_product_type", "HOLOGRAM"),
        ("__typename", "GraphHologram"),
    ];
    if let Some(fields) = post(item) {
        for (name, kind) in KINDS {
            if let Some(field) = fields.get_mut(name) {
                // One source has a number where the other has a word.
                *field = if field.is_number() { json!(42) } else { json!(kind) };
            }
        }
    }
}

fn garble(item: &mut Value) {
    if let Some(fields) = post(item) {
        for name in ["pk", "id", "code", "shortcode", "permalink", "taken_at", "taken_at_timestamp", "timestamp"] {
            if let Some(field) = fields.get_mut(name) {
                *field = json!({ "unexpected": true });
            }
        }
    }
}

fn without_number(item: &mut Value) {
    if let Some(fields) = post(item) {
        for name in ["pk", "id"] {
            if let Some(field) = fields.get_mut(name) {
                *field = raw::value(BEYOND[0]);
            }
        }
    }
}
