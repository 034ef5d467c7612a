//! What holds of every answer, however it is mangled: nothing panics, and nothing is stored that was not there.
//!
//! Each sample is an answer in the shape of its endpoint. It is changed at places of chance (a field dropped, renamed,
//! nulled, retyped, nested) and read. Whatever comes out has to stand in what went in, each count under a key of its own:
//! so a zero that was made up is found, an id that lost its last digit, a caption that was taken away and a cursor that
//! leads nowhere.

use proptest::prelude::*;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::super::classify::classify;
use super::super::cursor::Place;
use super::super::graphql::data_of;
use super::super::page;
use super::super::profile::{by_id, read_info, read_page};
use super::super::reels::{read_clips, read_reels_tab};
use super::super::request::{Reply, Wants};
use super::super::timeline::{Onward, read_feed, read_media_info, read_post, read_timeline};
use super::site::mill;
use crate::instagram::mangling::{Search, Standing, Tally, mutate, spoil_bytes};
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
    /// Where its list goes on: the cursor as it is sent.
    next: Option<String>,
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
            if let Some(page) = posts {
                out.posts = page.items;
                out.next = page.next.and_then(|next| match Place::of(Some(&next)) {
                    Place::Feed(at) => at,
                    other => panic!("a guest goes on in the feed, and not at {other:?}"),
                });
            }
        }
        Parser::ById => out.accounts.extend(data_of(reply, notes, "1", &|data| by_id(data, OWNER, &mill()))?),
        Parser::Timeline => {
            (out.posts, out.next) = data_of(reply, notes, "1", &|data| read_timeline(data, OWNER))?;
        }
        Parser::Feed => (out.posts, out.next) = read_feed(reply, notes, OWNER)?,
        Parser::ReelsTab => (out.reels, out.next) = data_of(reply, notes, "1", &read_reels_tab)?,
        Parser::Clips => (out.reels, out.next) = read_clips(reply, notes)?,
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

/// How many posts an answer says to have no caption.
fn without_a_caption(value: &Value) -> usize {
    let is_blank = |text: Option<&Value>| text.and_then(Value::as_str).is_some_and(|text| text.trim().is_empty());
    let says_so = |node: &Map<String, Value>| {
        let captions = node.get("edge_media_to_caption").and_then(|captions| captions.get("edges")?.as_array());
        let of_legacy = captions.is_some_and(|edges| match edges.first() {
            None => true,
            Some(edge) => is_blank(edge.pointer("/node/text")),
        });
        let caption = node.get("caption");
        of_legacy || caption.is_some_and(|caption| caption.is_null() || is_blank(caption.get("text")))
    };
    match value {
        Value::Array(items) => items.iter().map(without_a_caption).sum(),
        Value::Object(fields) => usize::from(says_so(fields)) + fields.values().map(without_a_caption).sum::<usize>(),
        _ => 0,
    }
}

fn assert_nothing_made_up(answer: &Value, out: &Out) {
    let standing = Standing::of(answer);
    let has = |number: i64| number == OWNER || standing.has(number);
    let stands = |what: &str, number: Option<i64>| {
        if let Some(number) = number {
            assert!(has(number), "{what} {number} is not in {answer}");
            assert!(number >= 0, "{what} {number}");
        }
    };
    let counted = |number: Option<i64>, keys: &[&str]| {
        if let Some(number) = number {
            assert!(standing.counts(number, keys), "{number} is not under any of {keys:?} in {answer}");
            assert!(number >= 0, "{keys:?} {number}");
        }
    };
    const LIKES: [&str; 3] = ["like_count", "edge_media_preview_like", "edge_liked_by"];
    const COMMENTS: [&str; 2] = ["comment_count", "edge_media_to_comment"];
    const PLAYS: [&str; 2] = ["play_count", "video_play_count"];
    const VIEWS: [&str; 2] = ["view_count", "video_view_count"];
    for account in &out.accounts {
        stands("pk", account.pk);
        counted(account.followers, &["follower_count", "edge_followed_by"]);
        counted(account.following, &["following_count", "edge_follow"]);
        counted(account.posts, &["all_media_count", "media_count", "edge_owner_to_timeline_media"]);
        stands("fbid", account.fbid.as_ref().and_then(|fbid| fbid.parse().ok()));
        assert!(account.external_url_told || account.external_url.is_none(), "{account:?}");
    }
    for post in &out.posts {
        stands("pk", Some(post.pk));
        stands("code", Some(post.code.pk()));
        stands("taken_at", post.taken_at.map(|at| at.timestamp()));
        assert!(!(post.likes_hidden && post.likes.is_some()), "hidden and told: {post:?}");
        counted(post.likes, &LIKES);
        counted(post.comments, &COMMENTS);
        counted(post.plays, &PLAYS);
        counted(post.views, &VIEWS);
        if let Some(caption) = &post.caption {
            assert!(post.caption_told && standing.says(caption, "text"), "{caption:?} is no text of {answer}");
        }
    }
    let told_to_have_none = out.posts.iter().filter(|post| post.caption_told && post.caption.is_none()).count();
    assert!(told_to_have_none <= without_a_caption(answer), "a caption was taken away: {answer}");
    for reel in &out.reels {
        stands("code", Some(reel.code.pk()));
        assert!(!(reel.likes_hidden && reel.likes.is_some()), "hidden and told: {reel:?}");
        counted(reel.likes, &LIKES);
        counted(reel.comments, &COMMENTS);
        counted(reel.plays, &PLAYS);
        counted(reel.views, &VIEWS);
    }
    if let Some(next) = &out.next {
        assert!((1..=4096).contains(&next.len()), "a cursor of {} bytes", next.len());
        let of_a_post = next.split_once('_').and_then(|(pk, owner)| Some((pk.parse().ok()?, owner.parse().ok()?)));
        let is_made_of_one = of_a_post.is_some_and(|(pk, owner)| has(pk) && has(owner));
        assert!(standing.has_id(next) || is_made_of_one, "the cursor {next:?} is not in {answer}");
        for place in [Place::Feed, Place::Timeline, Place::Clips, Place::Reels] {
            let place = place(Some(next.clone()));
            assert_eq!(Place::of(place.cursor().as_ref()), place, "a cursor leads where it came from");
        }
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
    const WHAT: &str = "the web source";
    let corpus = corpus();
    let (mut search, mut tally) = (Search::begin(WHAT), Tally::default());
    while search.goes_on() {
        for _ in 0..200 {
            let (parser, sample) = &corpus[search.dice.random_range(0..corpus.len())];
            let mut answer = sample.clone();
            search.mutate(&mut answer);
            // Any answer may be mistaken for another endpoint's.
            let other = PARSERS[search.dice.random_range(0..PARSERS.len())];
            let parser = if search.dice.random_ratio(1, 10) { other } else { *parser };
            let mut body = bytes(parser, &answer);
            let status = search.status();
            let is_spoilt = search.dice.random_ratio(1, 3);
            if is_spoilt {
                spoil_bytes(&mut body, &mut search.dice);
                tally.spoilt += 1;
            }
            match read(parser, status, &body) {
                Ok(out) => {
                    if !is_spoilt {
                        assert_nothing_made_up(&answer, &out);
                    }
                    tally.read += 1;
                }
                Err(failure) => {
                    assert!(!failure.message.is_empty());
                    tally.failed += 1;
                }
            }
        }
    }
    search.end(WHAT, &tally);
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
