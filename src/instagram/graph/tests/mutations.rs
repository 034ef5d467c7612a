//! Answers with whatever is in them dropped, renamed, retyped, nulled or nested: nothing panics, no number appears that
//! was not there, and names are exact to the last character or not there at all.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::super::classify::classify;
use super::super::cursor::{Place, can_be_sent};
use super::super::fields::Fields;
use super::super::media::Found;
use super::super::{account, media, usage};
use super::site::{discovered, page, picture, reel};
use crate::instagram::mangling::{Search, Standing, Tally, spoil_bytes};
use crate::instagram::reader::{Field, Notes};
use crate::instagram::transport::Received;
use crate::instagram::{Account, Failure, Post};

/// One thing that is done to a place of an answer.
#[derive(Clone, Debug)]
enum Change {
    Drop,
    Rename,
    Null,
    Nest,
    Put(Value),
}

/// Values that no sample has, so that any of them in what was read is seen.
fn foreign() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!("")),
        Just(json!("many")),
        Just(json!("-1")),
        Just(json!(-1)),
        Just(json!(0.5)),
        Just(json!(1e300)),
        Just(json!(18_446_744_073_709_551_615_u64)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"deep": [[[null]]]}])),
        Just(json!("2026-13-45T99:99:99+0000")),
        Just(json!("\u{fffd}\0é")),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Drop),
        Just(Change::Rename),
        Just(Change::Null),
        Just(Change::Nest),
        foreign().prop_map(Change::Put),
    ]
}

/// Every place of an answer, by its pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, value)| places(value, &format!("{at}/{place}"), found));
        }
        _ => {}
    }
}

fn apply(answer: &mut Value, place: &Index, change: &Change) {
    let mut all = Vec::new();
    places(answer, "", &mut all);
    let place = place.get(&all);
    let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
    match (change, answer.pointer_mut(parent)) {
        (Change::Drop, Some(Value::Object(map))) => drop(map.shift_remove(key)),
        (Change::Drop, Some(Value::Array(items))) if key.parse().is_ok_and(|key: usize| key < items.len()) => {
            items.remove(key.parse().unwrap());
        }
        (Change::Rename, Some(Value::Object(map))) => {
            if let Some(value) = map.shift_remove(key) {
                map.insert(format!("{key}_v2"), value);
            }
        }
        _ => {
            let Some(value) = answer.pointer_mut(place) else { return };
            *value = match change {
                Change::Drop | Change::Rename | Change::Null => Value::Null,
                Change::Nest => json!({"value": value.take()}),
                Change::Put(other) => other.clone(),
            };
        }
    }
}

/// Each number of the sample once, so that one in the wrong place is seen, too.
fn sample() -> Value {
    let mut first = reel("CPv3UqsBFvg");
    (first["like_count"], first["comments_count"], first["view_count"]) = (json!(701), json!(702), json!(703));
    let mut second = picture("CPv3UqsBFvh");
    (second["like_count"], second["comments_count"]) = (json!(801), json!(802));
    let mut answer = discovered(&[first, second], Some("QVFIone"));
    let user = &mut answer["business_discovery"];
    (user["followers_count"], user["follows_count"], user["media_count"]) = (json!(901), json!(902), json!(903));
    answer
}

fn refusal() -> Value {
    json!({"error": {"message": "no", "type": "OAuthException", "code": 190, "error_subcode": 463,
        "is_transient": false, "error_user_title": "t", "error_user_msg": "m", "fbtrace_id": "AbC"}})
}

/// How much is used up, as a header has it.
fn told_usage() -> Value {
    json!({"178": [
        {"type": "instagram", "call_count": 81, "total_cputime": 82, "total_time": 83.5,
         "estimated_time_to_regain_access": 7},
        {"call_count": 84},
    ]})
}

/// What the client makes of an answer, without the network between.
fn read(answer: &Value) -> Option<(Account, Vec<Post>)> {
    let received = Received { status: 200, headers: Default::default(), body: answer.to_string().into_bytes() };
    let reply = classify("business_discovery", &received, None).ok()?;
    let notes = Notes::default();
    let asked = super::site::mill();
    let (account, found) = account::read_account(&reply, &notes, &asked, &Fields::default()).ok()?;
    let edge = Field::root(&reply.json, &notes).at("business_discovery.media");
    let paged = media::page(&edge, &Fields::default());
    let posts = found.unwrap_or_default().posts;
    assert_eq!(paged.unwrap_or_default().posts, posts, "both ways to a page read the same");
    Some((account, posts))
}

fn check(answer: &Value) -> Result<(), TestCaseError> {
    let Some((account, posts)) = read(answer) else { return Ok(()) };
    let expected = |told: Option<i64>, only: i64| told.is_none() || told == Some(only);
    prop_assert!(expected(account.followers, 901) && expected(account.following, 902), "{:?}", account);
    prop_assert!(expected(account.posts, 903), "{:?}", account);
    prop_assert_eq!(account.pk, None);
    if let Some(fbid) = &account.fbid {
        let user = &answer["business_discovery"]["id"];
        let told = user.as_str().map_or_else(|| user.to_string(), str::to_owned);
        prop_assert_eq!(fbid, &told, "an id is told as it came");
    }
    let mut codes = BTreeSet::new();
    for post in &posts {
        prop_assert!(codes.insert(post.code.as_str().to_owned()), "each once");
        prop_assert_eq!(post.pk, post.code.pk());
        let (pk, likes, comments, views) = match post.code.as_str() {
            "CPv3UqsBFvg" => (2_589_531_623_544_609_760, 701, 702, 703),
            "CPv3UqsBFvh" => (2_589_531_623_544_609_761, 801, 802, -1),
            // A foreign value that can be read as a code.
            "many" | "-1" => continue,
            other => return Err(TestCaseError::fail(format!("nobody wrote {other}"))),
        };
        prop_assert_eq!(post.pk, pk);
        prop_assert!(expected(post.likes, likes) && expected(post.comments, comments), "{:?}", post);
        prop_assert!(expected(post.views, views) && post.plays.is_none(), "{:?}", post);
        prop_assert!(!(post.likes.is_some() && post.likes_hidden), "{:?}", post);
    }
    Ok(())
}

/// So many cases, or more where PROPTEST_CASES asks for more.
fn settings() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(4_000), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn no_number_appears_that_was_not_there(changes in prop::collection::vec((any::<Index>(), change()), 1..6)) {
        let mut answer = sample();
        for (place, change) in &changes {
            apply(&mut answer, place, change);
        }
        check(&answer)?;
    }

    #[test]
    fn no_usage_appears_that_was_not_told(changes in prop::collection::vec((any::<Index>(), change()), 1..5)) {
        let mut told = told_usage();
        for (place, change) in &changes {
            apply(&mut told, place, change);
        }
        let mut headers = HeaderMap::new();
        // Some of the foreign values are no header, and are never sent.
        let Ok(value) = told.to_string().parse() else { return Ok(()) };
        headers.insert("x-business-use-case-usage", value);
        let (usage, unread) = usage::usage(&headers);
        if let Some(usage) = usage {
            // 100 where nothing but the wait is left; the foreign numbers that are some percentage, too.
            let known = [81.0, 82.0, 83.5, 84.0, 100.0, 0.5, 1e300, 18_446_744_073_709_551_615.0];
            prop_assert!(known.contains(&usage.percent), "{:?} of {}", usage, told);
        }
        prop_assert!(unread.iter().all(|unread| !unread.is_loss));
    }

    #[test]
    fn an_answer_that_ends_anywhere_is_no_answer(cut in any::<Index>()) {
        let text = sample().to_string();
        let body = text.as_bytes()[..cut.index(text.len())].to_vec();
        let received = Received { status: 200, headers: Default::default(), body };
        prop_assert!(classify("business_discovery", &received, None).is_err());
    }

    #[test]
    fn no_error_of_any_shape_panics(changes in prop::collection::vec((any::<Index>(), change()), 1..4), status in 100_u16..600) {
        let mut answer = refusal();
        for (place, change) in &changes {
            apply(&mut answer, place, change);
        }
        let received = Received { status, headers: Default::default(), body: answer.to_string().into_bytes() };
        if let Ok(reply) = classify("business_discovery", &received, None) {
            let notes = Notes::default();
            let told = account::read_account(&reply, &notes, &super::site::mill(), &Fields::default());
            prop_assert!(told.is_err(), "an error is no account: {}", reply.json);
        }
    }
}

#[test]
fn the_sample_itself_is_read_whole() {
    let (account, posts) = read(&sample()).unwrap();
    assert_eq!((account.followers, account.following, account.posts), (Some(901), Some(902), Some(903)));
    assert_eq!(account.fbid.as_deref(), Some("17841401234567890"));
    let numbers: Vec<_> = posts.iter().map(|post| (post.likes, post.comments, post.views)).collect();
    assert_eq!(numbers, [(Some(701), Some(702), Some(703)), (Some(801), Some(802), None)]);
}

/// Every number that the official source has told of how much is used up, and what stands for a wait alone.
fn percents(told: &Value) -> Vec<f64> {
    match told {
        Value::Number(number) => number.as_f64().into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(percents).collect(),
        Value::Object(fields) => fields.values().flat_map(percents).collect(),
        _ => Vec::new(),
    }
}

/// What came out of an answer stands in it: each count under its own key, each caption, each cursor.
fn assert_nothing_made_up(answer: &Value, account: Option<&Account>, found: &Found) {
    let standing = Standing::of(answer);
    let counted = |number: Option<i64>, key: &str| {
        if let Some(number) = number {
            assert!(number >= 0 && standing.counts(number, &[key]), "{number} is no {key} of {answer}");
        }
    };
    if let Some(account) = account {
        counted(account.followers, "followers_count");
        counted(account.following, "follows_count");
        counted(account.posts, "media_count");
        assert!(account.fbid.as_ref().is_none_or(|fbid| standing.has_id(fbid)), "{account:?} of {answer}");
        assert!(
            account.external_url.as_ref().is_none_or(|url| account.external_url_told && standing.says(url, "website"))
        );
    }
    for post in &found.posts {
        assert!(standing.has(post.code.pk()) && post.pk == post.code.pk(), "{post:?} is not in {answer}");
        counted(post.likes, "like_count");
        counted(post.comments, "comments_count");
        counted(post.views, "view_count");
        assert!(post.plays.is_none() && !(post.likes.is_some() && post.likes_hidden), "{post:?}");
        if let Some(caption) = &post.caption {
            assert!(post.caption_told && standing.says(caption, "caption"), "{caption:?} is no caption of {answer}");
        }
    }
    if let Some(after) = &found.after {
        assert!(standing.has_id(after) && can_be_sent(after), "the cursor {after:?} of {answer}");
        assert_eq!(Place::of(Place::After(after.clone()).cursor().as_ref()), Place::After(after.clone()));
    }
}

/// Reads a body as the client does from the last byte on: as an account with its first page, else as a page alone.
fn read_bytes(status: u16, body: &[u8]) -> Result<(Option<Account>, Found), Failure> {
    let received = Received { status, headers: Default::default(), body: body.to_vec() };
    let reply = classify("fuzzed", &received, None)?;
    let (notes, fields) = (Notes::default(), Fields::default());
    if let Ok((account, found)) = account::read_account(&reply, &notes, &super::site::mill(), &fields) {
        return Ok((Some(account), found.unwrap_or_default()));
    }
    let edge = Field::root(&reply.json, &notes).at("business_discovery.media");
    let found = media::page(&edge, &fields).ok_or_else(|| reply.lacks("business_discovery.media"))?;
    Ok((None, found))
}

/// A longer search, with mutations of the bytes, too: `make fuzz FUZZ_SECONDS=600`. It prints its seed, by which
/// `FUZZ_SEED` does the same once more.
#[test]
#[ignore = "takes as long as FUZZ_SECONDS says; make fuzz"]
fn fuzz_every_parser_of_the_official_source() {
    const WHAT: &str = "the official source";
    let corpus = [sample(), page(&[reel("CPv3UqsBFvg"), picture("CPv3UqsBFvh")], Some("QVFItwo")), refusal()];
    let (mut search, mut tally) = (Search::begin(WHAT), Tally::default());
    while search.goes_on() {
        for _ in 0..200 {
            let mut answer = corpus[search.dice.random_range(0..corpus.len())].clone();
            search.mutate(&mut answer);
            let mut body = answer.to_string().into_bytes();
            let status = search.status();
            let is_spoilt = search.dice.random_ratio(1, 3);
            if is_spoilt {
                spoil_bytes(&mut body, &mut search.dice);
                tally.spoilt += 1;
            }
            match read_bytes(status, &body) {
                Ok((account, found)) => {
                    if !is_spoilt {
                        assert_nothing_made_up(&answer, account.as_ref(), &found);
                    }
                    tally.read += 1;
                }
                Err(failure) => {
                    assert!(!failure.message.is_empty());
                    tally.failed += 1;
                }
            }
        }
        let mut told = told_usage();
        search.mutate(&mut told);
        let mut header = told.to_string().into_bytes();
        let is_spoilt = search.dice.random_ratio(1, 3);
        if is_spoilt {
            spoil_bytes(&mut header, &mut search.dice);
        }
        let mut headers = HeaderMap::new();
        // Some are no header, and are never sent.
        let Ok(value) = header.try_into() else { continue };
        headers.insert("x-business-use-case-usage", value);
        if let (Some(usage), false) = (usage::usage(&headers).0, is_spoilt) {
            assert!(usage.percent == 100.0 || percents(&told).contains(&usage.percent), "{usage:?} of {told}");
        }
    }
    search.end(WHAT, &tally);
}
