//! What holds of every answer, however it is mangled: nothing panics, and nothing is stored that was not there.
//!
//! Each sample is an answer in the shape of its endpoint, in which no count is zero. It is changed at places of chance
//! (a field dropped, renamed, nulled, retyped, nested) and read. Every number of what comes out has to stand in what
//! went in; so a zero that comes out was made up, and an id that lost its last digit is found.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::super::classify::classify;
use super::super::graphql::data_of;
use super::super::page;
use super::super::profile::{by_id, read_info, read_page};
use super::super::reels::{read_clips, read_reels_tab};
use super::super::request::{Reply, Wants};
use super::super::timeline::{Onward, read_feed, read_media_info, read_post, read_timeline};
use super::site::mill;
use crate::instagram::reader::Notes;
use crate::instagram::transport::Received;
use crate::instagram::{Account, Failure, Post, ReelNumbers, Shortcode, Unread};

/// Ids of which a double would lose the last digits.
const OWNER: i64 = 9_007_199_254_740_993;
const POST: i64 = 3_812_345_678_901_234_567;

/// The parsers, by what they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parser {
    Info,
    Page,
    ById,
    Timeline,
    Feed,
    ReelsTab,
    Clips,
    Post,
    MediaInfo,
}

const PARSERS: [Parser; 9] = [
    Parser::Info,
    Parser::Page,
    Parser::ById,
    Parser::Timeline,
    Parser::Feed,
    Parser::ReelsTab,
    Parser::Clips,
    Parser::Post,
    Parser::MediaInfo,
];

/// What came out of an answer.
#[derive(Debug, Default)]
struct Out {
    accounts: Vec<Account>,
    posts: Vec<Post>,
    reels: Vec<ReelNumbers>,
    unread: Vec<Unread>,
}

/// Reads a body as the client does from the last byte on.
fn read(parser: Parser, status: u16, body: &[u8]) -> Result<Out, Failure> {
    let wants = if parser == Parser::Page { Wants::Page } else { Wants::Json };
    let received = Received { status, headers: HeaderMap::new(), body: body.to_vec() };
    let reply = classify("fuzzed", wants, &received)?;
    let notes = Notes::default();
    let mut out = parse(parser, &reply, &notes)?;
    out.unread = notes.into_unread();
    Ok(out)
}

fn parse(parser: Parser, reply: &Reply, notes: &Notes) -> Result<Out, Failure> {
    let mut out = Out::default();
    match parser {
        Parser::Info | Parser::Page => {
            let read = if parser == Parser::Info { read_info } else { read_page };
            let (user, posts) = read(reply, notes, &mill(), Onward::Feed)?;
            out.accounts.push(user.account);
            out.posts.extend(posts.into_iter().flat_map(|page| page.items));
        }
        Parser::ById => out.accounts.extend(data_of(reply, notes, "1", &|data| by_id(data, OWNER, &mill()))?),
        Parser::Timeline => out.posts = data_of(reply, notes, "1", &|data| read_timeline(data, OWNER))?.0,
        Parser::Feed => out.posts = read_feed(reply, notes, OWNER)?.0,
        Parser::ReelsTab => out.reels = data_of(reply, notes, "1", &read_reels_tab)?.0,
        Parser::Clips => out.reels = read_clips(reply, notes)?.0,
        Parser::Post => out.posts.extend(data_of(reply, notes, "1", &read_post)?),
        Parser::MediaInfo => out.posts.push(read_media_info(reply, notes)?),
    }
    Ok(out)
}

/// A v1 node whose numbers are its own.
fn v1(place: i64) -> Value {
    let pk = POST + place;
    json!({
        "pk": if place % 2 == 0 { json!(pk) } else { json!(pk.to_string()) },
        "id": format!("{pk}_{OWNER}"),
        "code": Shortcode::from_pk(pk).unwrap(),
        "taken_at": 1_760_000_011 + place, "media_type": 2, "product_type": "clips",
        "caption": {"text": format!("caption {place}"), "pk": "17900000000000001"},
        "like_count": 90_001 + place, "comment_count": 80_001 + place, "play_count": 401_421 + place,
        "view_count": 100_856 + place, "video_duration": 15.5, "like_and_view_counts_disabled": false,
        "image_versions2": {"candidates": [{"url": "https://cdn.test/a.jpg", "width": 1080}]},
        "user": {"pk": OWNER.to_string(), "username": "mill"}, "owner_id": {"pk": OWNER},
        "timeline_pinned_user_ids": [OWNER.to_string()], "clips_tab_pinned_user_ids": [],
        "usertags": {"in": [{"user": {"pk": "55"}}]}, "coauthor_producers": null,
    })
}

fn legacy(place: i64) -> Value {
    let pk = POST + place;
    json!({
        "__typename": "GraphVideo", "id": pk.to_string(), "shortcode": Shortcode::from_pk(pk).unwrap(),
        "taken_at_timestamp": 1_750_000_022 + place, "edge_media_preview_like": {"count": 70_001 + place},
        "edge_media_to_comment": {"count": 60_001 + place}, "is_video": true, "product_type": "clips",
        "edge_media_to_caption": {"edges": [{"node": {"text": "words"}}]}, "video_view_count": 50_001 + place,
        "video_play_count": 45_001 + place, "display_url": "https://cdn.test/b.jpg", "pinned_for_users": [{"id": OWNER.to_string()}],
    })
}

/// An answer in the shape of the parser's endpoint; a page's is its user's data.
fn sample(parser: Parser) -> Value {
    let nodes = |node: fn(i64) -> Value| -> Vec<Value> { (1..4).map(|place| json!({"node": node(place)})).collect() };
    let user = json!({
        "pk": OWNER.to_string(), "id": "17841400000000007", "fbid": "17841400000000007", "username": "mill",
        "full_name": "The Mill", "biography": "Since 1821", "follower_count": 31_337, "following_count": 4_242,
        "all_media_count": 1_789, "media_count": 1_789, "is_private": false, "is_verified": true, "category": "Museum",
        "bio_links": [{"url": "https://mill.test"}], "profile_pic_url": "https://cdn.test/p.jpg",
        "hd_profile_pic_url_info": {"url": "https://cdn.test/hd.jpg"}, "is_regulated_c18": false, "gating": null,
    });
    match parser {
        Parser::Info => json!({"status": "ok", "data": {"user": {
            "id": OWNER.to_string(), "fbid": "17841400000000007", "username": "mill", "full_name": "The Mill",
            "biography": "Since 1821", "edge_followed_by": {"count": 31_337}, "edge_follow": {"count": 4_242},
            "edge_owner_to_timeline_media": {"count": 1_789, "edges": nodes(legacy),
                "page_info": {"has_next_page": true, "end_cursor": "QVFE"}},
            "is_private": false, "is_verified": true, "category_name": "Museum", "external_url": null,
            "bio_links": [{"url": "https://mill.test"}], "profile_pic_url_hd": "https://cdn.test/hd.jpg",
        }}}),
        Parser::Page => {
            json!({"require": [["ScheduledServerJS", {"__bbox": {"require": [["x", {"__bbox": {"result": {"data": {
            "xig_user_by_username": user, "polaris_ordered_timeline_connection": {"edges": nodes(v1),
                "page_info": {"has_next_page": true, "end_cursor": "QVFE"}}}}}}]]}}]]})
        }
        Parser::ById => json!({"data": {"user": user}, "status": "ok"}),
        Parser::Timeline => json!({"data": {"xdt_api__v1__feed__user_timeline_graphql_connection": {"edges": nodes(v1),
            "page_info": {"has_next_page": true, "end_cursor": "QVFE"}}}, "status": "ok"}),
        Parser::Feed => json!({"items": [v1(1), v1(2), v1(3)], "more_available": true,
            "next_max_id": format!("{}_{OWNER}", POST + 3), "user": {"is_private": false}, "status": "ok"}),
        Parser::ReelsTab => json!({"data": {"fetch__XDTUserDict": {"clips_connection": {
            "edges": (1..4).map(|place| json!({"node": {"media": v1(place)}})).collect::<Vec<_>>(),
            "page_info": {"has_next_page": false, "end_cursor": null}}}}}),
        Parser::Clips => json!({"items": [{"media": v1(1)}, {"media": v1(2)}],
            "paging_info": {"max_id": "x", "more_available": true}, "status": "ok"}),
        Parser::Post => json!({"data": {"xdt_api__v1__media__shortcode__web_info": {"items": [v1(1)]}}}),
        Parser::MediaInfo => json!({"items": [v1(2)], "status": "ok"}),
    }
}

/// The bytes of an answer: a page has its data in a script.
fn bytes(parser: Parser, answer: &Value) -> Vec<u8> {
    match parser {
        Parser::Page => {
            let text = answer.to_string().replace('<', "\\u003C");
            format!("<html><title>The Mill</title><script type=\"application/json\" data-sjs>{text}</script></html>")
                .into()
        }
        _ => answer.to_string().into(),
    }
}

/// Changes one place of an answer. `choose` gives a number below its argument.
fn mutate(answer: &mut Value, choose: &mut impl FnMut(usize) -> usize) {
    let places = count(answer);
    let mut place = choose(places);
    change(answer, &mut place, choose);
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Walks to the place and changes it; true once that is done.
fn change(value: &mut Value, place: &mut usize, choose: &mut impl FnMut(usize) -> usize) -> bool {
    if *place == 0 {
        spoil(value, choose);
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, place, choose)),
        Value::Object(fields) => {
            let found = fields.values_mut().any(|field| change(field, place, choose));
            if found && choose(4) == 0 {
                drop_or_rename(fields, choose);
            }
            found
        }
        _ => false,
    }
}

fn drop_or_rename(fields: &mut Map<String, Value>, choose: &mut impl FnMut(usize) -> usize) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    let Some(key) = keys.get(choose(keys.len().max(1))).cloned() else { return };
    let Some(value) = fields.remove(&key) else { return };
    if choose(2) == 0 {
        let other = keys[choose(keys.len())].clone();
        let name = if choose(2) == 0 { format!("{key}_v2") } else { other };
        fields.insert(name, value);
    }
}

/// Puts something else in the place of a value; never a zero.
fn spoil(value: &mut Value, choose: &mut impl FnMut(usize) -> usize) {
    let old = value.take();
    *value = match choose(20) {
        0 => Value::Null,
        1 => json!([old]),
        2 => json!({"count": old}),
        3 => json!(old.to_string()),
        4 => old.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(json!("x"), |number| json!(number)),
        5 => json!(-1),
        6 => json!(3),
        7 => json!(1.5),
        8 => json!(u64::MAX),
        9 => json!(i64::MAX),
        10 => json!(f64::MAX),
        11 => json!(""),
        12 => json!(true),
        13 => json!([]),
        14 => json!({}),
        15 => json!("\u{0}\u{202e}é😀"),
        16 => json!([old.clone(), old, Value::Null]),
        17 => old.as_i64().map_or(Value::Null, |number| json!(number as f64)),
        18 => json!("_".repeat(choose(60))),
        _ => json!(format!("{}x", old.as_str().unwrap_or("9"))),
    };
}

/// Every whole number that stands in an answer, also as text and as a part of an id such as `1_2`; and of every text
/// that is a post's code the post's number, which the code stands for.
fn numbers_in(value: &Value, into: &mut HashSet<i64>) {
    match value {
        Value::Number(number) => into.extend(number.as_i64()),
        Value::String(text) => {
            into.extend(text.split('_').filter_map(|part| part.parse::<i64>().ok()));
            into.extend(Shortcode::parse(text).ok().map(|code| code.pk()));
        }
        Value::Array(items) => items.iter().for_each(|item| numbers_in(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| numbers_in(field, into)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn assert_nothing_made_up(answer: &Value, out: &Out) {
    let mut numbers = HashSet::from([OWNER]);
    numbers_in(answer, &mut numbers);
    let stands = |what: &str, number: Option<i64>| {
        if let Some(number) = number {
            assert!(numbers.contains(&number), "{what} {number} is not in {answer}");
            assert!(number >= 0, "{what} {number}");
        }
    };
    for account in &out.accounts {
        stands("pk", account.pk);
        stands("followers", account.followers);
        stands("following", account.following);
        stands("posts", account.posts);
        stands("fbid", account.fbid.as_ref().and_then(|fbid| fbid.parse().ok()));
    }
    for post in &out.posts {
        stands("pk", Some(post.pk));
        stands("code", Some(post.code.pk()));
        stands("taken_at", post.taken_at.map(|at| at.timestamp()));
        assert!(!(post.likes_hidden && post.likes.is_some()), "hidden and told: {post:?}");
        for (what, count) in
            [("likes", post.likes), ("comments", post.comments), ("plays", post.plays), ("views", post.views)]
        {
            stands(what, count);
        }
    }
    for reel in &out.reels {
        stands("code", Some(reel.code.pk()));
        assert!(!(reel.likes_hidden && reel.likes.is_some()), "hidden and told: {reel:?}");
        for (what, count) in
            [("likes", reel.likes), ("comments", reel.comments), ("plays", reel.plays), ("views", reel.views)]
        {
            stands(what, count);
        }
    }
    let zero = |count: Option<i64>| count == Some(0);
    if !numbers.contains(&0) {
        assert!(out.accounts.iter().all(|a| !zero(a.followers) && !zero(a.following) && !zero(a.posts)));
        assert!(out.posts.iter().all(|p| !zero(p.likes) && !zero(p.comments) && !zero(p.plays) && !zero(p.views)));
        assert!(out.reels.iter().all(|r| !zero(r.likes) && !zero(r.comments) && !zero(r.plays) && !zero(r.views)));
    }
    for unread in &out.unread {
        assert!(!unread.path.is_empty() && unread.found.chars().count() <= 64 * 1024, "{unread:?}");
    }
}

#[test]
fn a_sample_is_read_whole_and_to_the_last_digit() {
    for parser in PARSERS {
        let answer = sample(parser);
        let out = read(parser, 200, &bytes(parser, &answer)).unwrap();
        assert_eq!(out.unread, [], "{parser:?}");
        assert_nothing_made_up(&answer, &out);
        for account in &out.accounts {
            assert_eq!(account.pk, Some(OWNER));
            assert_eq!((account.followers, account.following, account.posts), (Some(31_337), Some(4_242), Some(1_789)));
        }
        let first = out.posts.first().map(|post| (post.pk, post.code.pk()));
        assert!(first.is_none_or(|(pk, code)| pk == code && (POST..POST + 4).contains(&pk)), "{parser:?}: {first:?}");
        assert!(
            out.posts.iter().all(|post| post.likes.is_some() && post.plays.is_some() && post.is_pinned),
            "{parser:?}"
        );
        assert!(!out.accounts.is_empty() || !out.posts.is_empty() || !out.reels.is_empty(), "{parser:?} read nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_dropped_renamed_retyped_nulled_or_nested_nothing_is_made_up(
        parser in 0..PARSERS.len(),
        changes in 1..6_usize,
        choices in prop::collection::vec(any::<u32>(), 60),
    ) {
        let parser = PARSERS[parser];
        let mut answer = sample(parser);
        let mut choices = choices.into_iter();
        let mut choose = |below: usize| choices.next().unwrap_or(0) as usize % below.max(1);
        (0..changes).for_each(|_| mutate(&mut answer, &mut choose));
        if let Ok(out) = read(parser, 200, &bytes(parser, &answer)) {
            assert_nothing_made_up(&answer, &out);
        }
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics(
        parser in 0..PARSERS.len(),
        status in prop::sample::select(vec![200_u16, 302, 400, 401, 403, 404, 429, 500]),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = read(PARSERS[parser], status, &body);
        let _ = page::tokens(&String::from_utf8_lossy(&body));
    }
}

/// A longer search, with mutations of the bytes, too: `make fuzz FUZZ_SECONDS=600`. It prints its seed, by which
/// `FUZZ_SEED` does the same once more.
#[test]
#[ignore = "takes as long as FUZZ_SECONDS says; make fuzz"]
fn fuzz_every_parser() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(variable("FUZZ_SECONDS").unwrap_or(10));
    let seed = variable("FUZZ_SEED").unwrap_or_else(rand::random);
    println!("seed {seed}, for {} s", time.as_secs());
    let mut dice = StdRng::seed_from_u64(seed);
    let corpus = corpus();
    let (mut read_whole, mut failed, mut spoilt) = (0_u64, 0_u64, 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < time {
        for _ in 0..200 {
            let (parser, sample) = &corpus[dice.random_range(0..corpus.len())];
            let mut answer = sample.clone();
            for _ in 0..dice.random_range(0..12) {
                mutate(&mut answer, &mut |below: usize| dice.random_range(0..below.max(1)));
            }
            // Any answer may be mistaken for another endpoint's.
            let parser = if dice.random_ratio(1, 10) { PARSERS[dice.random_range(0..PARSERS.len())] } else { *parser };
            let mut body = bytes(parser, &answer);
            let status = *[200_u16, 200, 200, 200, 302, 400, 401, 403, 404, 429, 500]
                .get(dice.random_range(0..11))
                .unwrap_or(&200);
            let is_spoilt = dice.random_ratio(1, 3);
            if is_spoilt {
                spoil_bytes(&mut body, &mut dice);
                spoilt += 1;
            }
            match read(parser, status, &body) {
                Ok(out) if !is_spoilt => {
                    assert_nothing_made_up(&answer, &out);
                    read_whole += 1;
                }
                Ok(_) => read_whole += 1,
                Err(failure) => {
                    assert!(!failure.message.is_empty());
                    failed += 1;
                }
            }
        }
    }
    println!(
        "{} answers, {read_whole} read, {failed} failures by name, {spoilt} of them with spoilt bytes",
        read_whole + failed
    );
}

/// Flips, removes, repeats and inserts bytes.
fn spoil_bytes(body: &mut Vec<u8>, dice: &mut StdRng) {
    const PIECES: [&[u8]; 12] = [
        b"\\ud83d",
        b"\"",
        b"{",
        b"]",
        b"1e999",
        b"\0",
        b"\xff",
        b"</script>",
        b"<script",
        b"null",
        b"-1",
        b"for (;;);",
    ];
    for _ in 0..dice.random_range(1..8) {
        let at = dice.random_range(0..=body.len());
        match dice.random_range(0..4) {
            0 if at < body.len() => body[at] = dice.random(),
            1 => body.truncate(at),
            2 => drop(body.splice(at..at, PIECES[dice.random_range(0..PIECES.len())].iter().copied())),
            _ => {
                let end = (at + dice.random_range(0..64)).min(body.len());
                let piece: Vec<u8> = body[at..end].to_vec();
                if dice.random_ratio(1, 2) {
                    body.splice(at..at, piece);
                } else {
                    body.drain(at..end);
                }
            }
        }
    }
}

/// The samples, and whatever answers lie as JSON in the folder that `IGT_SHAPES` names, each for every parser.
fn corpus() -> Vec<(Parser, Value)> {
    let mut corpus: Vec<(Parser, Value)> = PARSERS.into_iter().map(|parser| (parser, sample(parser))).collect();
    let Some(folder) = std::env::var_os("IGT_SHAPES") else { return corpus };
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let answer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        corpus.extend(PARSERS.into_iter().map(|parser| (parser, answer.clone())));
    }
    println!("{} samples, those of IGT_SHAPES among them", corpus.len());
    corpus
}
