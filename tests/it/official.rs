//! The official source against the sandbox that speaks it: every failure by its name, every end of a list, and numbers
//! that are those of the web source where both tell them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ig_tracking::instagram::graph::{Graph, GraphConfig, Visit};
use ig_tracking::instagram::web::{Web, WebConfig};
use ig_tracking::instagram::{FailureKind, Open, Page, Post, Profile, Username};
use ig_tracking::sandbox;

use crate::harness::Instagram;

async fn visit(token: &str) -> Visit {
    let base_url = Instagram::get().await.url;
    let config = GraphConfig { base_url, ..GraphConfig::new("17841400000000001", token.into()) };
    Graph::new(config).unwrap().visit(Arc::new(Open))
}

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

/// What becomes of an account that brings a fault.
enum Outcome {
    /// The failure, and how long it asks to wait.
    Fails(FailureKind, Option<u64>),
    /// It is read, and these paths are told as changed, whatever stands in a list being one.
    Reads(&'static [&'static str]),
}

use FailureKind::*;
use Outcome::{Fails, Reads};

/// One row a name of the official source's own, and of those that it shares with the web source.
const TABLE: &[(&str, Outcome)] = &[
    ("appthrottled", Fails(Throttled, Some(60))),
    ("userthrottled.600", Fails(Throttled, Some(600))),
    ("pagethrottled.2", Fails(Throttled, Some(2))),
    ("callthrottled.0", Fails(Throttled, Some(3600))),
    ("bizthrottled", Fails(Throttled, Some(60))),
    ("applimit", Fails(Throttled, Some(60))),
    ("unknownerror", Fails(ServerError, None)),
    ("serviceerror", Fails(ServerError, None)),
    ("transient", Fails(ServerError, None)),
    ("policyblock", Fails(PolicyBlocked, Some(86_400))),
    ("badtoken", Fails(TokenInvalid, None)),
    ("badsession", Fails(TokenInvalid, None)),
    ("denied", Fails(PermissionMissing, None)),
    ("incapable", Fails(PermissionMissing, None)),
    ("notgranted.299", Fails(PermissionMissing, None)),
    ("personal", Fails(NotDiscoverable, None)),
    ("undiscovered", Fails(NotDiscoverable, None)),
    ("fieldlist", Fails(FieldsRefused, None)),
    (
        "optionalfields",
        Reads(&[
            "business_discovery.name",
            "business_discovery.profile_picture_url",
            "business_discovery.follows_count",
            "business_discovery.media.data[].media_url",
            "business_discovery.media.data[].thumbnail_url",
            "business_discovery.media.data[].view_count",
        ]),
    ),
    ("unknownfield", Reads(&["business_discovery.media.data[].view_count"])),
    ("captionrefused", Reads(&["business_discovery.media.data[].caption"])),
    ("stalecursor", Fails(CursorRefused, None)),
    (
        "retyped",
        Reads(&[
            "business_discovery.id",
            "business_discovery.followers_count",
            "business_discovery.follows_count",
            "business_discovery.media_count",
            "business_discovery.media.data[].timestamp",
            "business_discovery.media.data[].caption",
            "business_discovery.media.data[].like_count",
            "business_discovery.media.data[].comments_count",
            "business_discovery.media.data[].view_count",
        ]),
    ),
    (
        "dropped",
        Reads(&[
            "business_discovery.followers_count",
            "business_discovery.media.data[].timestamp",
            "business_discovery.media.data[].media_type",
        ]),
    ),
    ("usage", Reads(&[])),
    ("nousage", Reads(&[])),
    ("oddusage", Reads(&["x-app-usage", "x-business-use-case-usage"])),
    ("missing", Fails(NotDiscoverable, None)),
    ("private", Fails(NotDiscoverable, None)),
    ("throttled", Fails(Throttled, Some(60))),
    ("broken", Fails(ServerError, None)),
    ("html", Fails(ServerError, None)),
    ("truncated", Fails(TruncatedBody, None)),
    ("cut", Fails(TruncatedBody, None)),
    ("verbose.1", Fails(UnexpectedShape, None)),
    ("deep", Fails(UnexpectedShape, None)),
    ("endless", Fails(UnexpectedShape, None)),
    ("hidden", Reads(&[])),
    ("nulls", Reads(&[])),
    ("loginwall", Reads(&[])),
];

#[test]
fn no_fault_of_the_official_source_is_missing_from_the_table() {
    let tested: BTreeSet<&str> = TABLE.iter().map(|(fault, _)| fault.split('.').next().unwrap()).collect();
    for fault in sandbox::names().iter().filter(|fault| fault.source == "graph") {
        assert!(tested.contains(fault.name), "{} is not tested", fault.name);
    }
}

#[tokio::test]
async fn every_fault_has_its_name_and_no_number_is_made_of_it() {
    let index = regex::Regex::new(r"\[\d+\]").unwrap();
    for (fault, expected) in TABLE {
        let mut visit = visit("table").await;
        let username = name(&format!("{fault}.official"));
        let read = read_two_pages(&mut visit, &username).await;
        match (expected, read) {
            (Fails(kind, wait), Err(failure)) => {
                let asked = failure.retry_after.as_ref().map(Duration::as_secs);
                assert_eq!((failure.kind, asked), (*kind, *wait), "{fault}: {failure}");
                let last = visit.take_exchanges().pop().unwrap();
                assert_eq!(last.failure, Some(kind.as_str()), "{fault}");
            }
            (Reads(paths), Ok((profile, pages))) => {
                let unread = profile.unread.iter().chain(pages.iter().flat_map(|page| &page.unread));
                let mut told: Vec<String> = Vec::new();
                for unread in unread {
                    let path = index.replace_all(&unread.path, "[]").into_owned();
                    if !told.contains(&path) {
                        told.push(path);
                    }
                }
                let (told, paths): (BTreeSet<&str>, BTreeSet<&str>) =
                    (told.iter().map(String::as_str).collect(), paths.iter().copied().collect());
                assert_eq!(told, paths, "{fault}");
                let counts = [profile.account.followers, profile.account.posts];
                assert!(counts.iter().all(|count| *count != Some(0)), "{fault}: {counts:?}");
                let hides = pages.iter().flat_map(|page| &page.items).all(|post| post.likes_hidden);
                assert_eq!(hides, *fault == "hidden", "{fault}");
            }
            (_, read) => panic!("{fault}: {:?}", read.map(|(profile, _)| profile.account)),
        }
    }
}

/// The account with its first page, and the page after it.
async fn read_two_pages(
    visit: &mut Visit,
    username: &Username,
) -> Result<(Profile, Vec<Page<Post>>), ig_tracking::instagram::Failure> {
    let mut profile = visit.account(username).await?;
    let mut pages = Vec::from_iter(profile.first_posts.take());
    if let Some(next) = pages.first().and_then(|page| page.next.clone()) {
        pages.push(visit.posts(&profile.account.reference(), Some(&next)).await?);
    }
    Ok((profile, pages))
}

#[tokio::test]
async fn tokens_fail_by_name_and_the_gate_of_the_source_is_felt() {
    for (token, kind) in [
        ("expired-1", TokenInvalid),
        ("revoked-1", TokenInvalid),
        ("checkpointed-1", TokenInvalid),
        ("unpermitted-1", PermissionMissing),
        ("blocked-1", PolicyBlocked),
        ("throttled-1", Throttled),
    ] {
        let failure = visit(token).await.account(&name("anna")).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{token}");
        assert!(!failure.to_string().contains(token), "{failure}");
    }
    let mut visit = visit("budget-2-official").await;
    for _ in 0..2 {
        visit.account(&name("anna")).await.unwrap();
    }
    let failure = visit.account(&name("anna")).await.unwrap_err();
    assert_eq!(failure.kind, Throttled);
    let wait = failure.retry_after.unwrap();
    assert!((Duration::from_secs(59 * 60)..=Duration::from_secs(3600)).contains(&wait), "{wait:?}");
}

#[tokio::test]
async fn both_sources_tell_of_the_same_posts_by_the_same_codes_and_numbers() {
    let username = name("official.and.web");
    let mut official = visit("both").await;
    let profile = official.account(&username).await.unwrap();
    let mut posts: BTreeMap<String, Post> = BTreeMap::new();
    let mut page = profile.first_posts.clone().unwrap();
    loop {
        assert_eq!(page.unread, []);
        posts.extend(page.items.into_iter().map(|post| (post.code.to_string(), post)));
        let Some(next) = page.next else { break };
        page = official.posts(&profile.account.reference(), Some(&next)).await.unwrap();
    }
    let told = profile.account.posts.unwrap();
    // One may have appeared since.
    assert!((told..=told + 1).contains(&(posts.len() as i64)), "{} of {told}", posts.len());

    let config = WebConfig { base_url: Instagram::get().await.url, ..WebConfig::default() };
    let mut web = Web::new(config).unwrap().visit(Arc::new(Open));
    let other = web.account(&username).await.unwrap();
    assert_eq!((profile.account.pk, &profile.account.fbid), (None, &other.account.fbid));
    // The web source finds the account's number itself where this one's reference is all there is.
    let listed = web.posts(&profile.account.reference(), None).await.unwrap();
    let mut joined = 0;
    for theirs in &listed.items {
        let Some(ours) = posts.get(theirs.code.as_str()) else { continue };
        assert_eq!((ours.pk, ours.kind, ours.is_reel), (theirs.pk, theirs.kind, theirs.is_reel));
        assert_eq!((ours.taken_at, &ours.caption), (theirs.taken_at, &theirs.caption));
        assert_eq!((ours.likes_hidden, ours.plays), (theirs.likes_hidden, None));
        assert!(ours.likes <= theirs.likes && ours.comments <= theirs.comments, "they only grow");
        joined += 1;
    }
    assert!(joined >= 9, "{joined}");
    // The reels come without a request, in the order in which they were read.
    official.take_exchanges();
    let reels = official.reels(&profile.account.reference(), None).await.unwrap();
    assert_eq!(reels.items.len(), posts.values().filter(|post| post.is_reel == Some(true)).count());
    assert!(official.take_exchanges().is_empty());
}
