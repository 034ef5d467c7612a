//! Lists: pages, their ends, cursors that lead nowhere, and reels without a list of their own.

use serde_json::json;

use super::site::*;
use crate::instagram::{Cursor, FailureKind, Shortcode};

fn cursor(text: &str) -> Cursor {
    Cursor(text.to_owned())
}

fn codes<'a>(codes: impl IntoIterator<Item = &'a Shortcode>) -> Vec<&'a str> {
    codes.into_iter().map(Shortcode::as_str).collect()
}

#[tokio::test]
async fn pages_follow_one_another_until_there_is_no_cursor_or_no_medium() {
    let site = Site::answering(|seen| {
        let body = match () {
            () if seen.fields.contains("after(QVFItwo)") => page(&[], Some("QVFIthree")),
            () if seen.fields.contains("after(QVFIone)") => page(&[picture("C"), picture("C")], Some("QVFItwo")),
            () if seen.fields.contains("after(QVFIend)") => page(&[picture("D")], None),
            () => page(&[picture("B")], Some("QVFIone")),
        };
        json_of(200, &body)
    })
    .await;
    let mut visit = site.visit();
    let first = visit.posts(&account(), None).await.unwrap();
    assert_eq!(first.next, Some(cursor("graph:QVFIone")));
    let second = visit.posts(&account(), first.next.as_ref()).await.unwrap();
    assert_eq!(codes(second.items.iter().map(|post| &post.code)), ["C"], "each once");
    let third = visit.posts(&account(), second.next.as_ref()).await.unwrap();
    assert_eq!((third.items.len(), third.next), (0, None), "no medium is the end, whatever cursor stands there");
    let last = visit.posts(&account(), Some(&cursor("graph:QVFIend"))).await.unwrap();
    assert_eq!((last.items.len(), last.next, last.unread), (1, None, vec![]));
    assert!(
        site.seen().iter().all(|seen| seen.fields.starts_with("business_discovery.username(mill){media.limit(25)"))
    );
    assert!(site.seen()[1].fields.contains("media.limit(25).after(QVFIone){id,"), "{}", site.seen()[1].fields);
}

#[tokio::test]
async fn a_cursor_that_comes_again_is_the_end_and_news() {
    let site = Site::answering(|_| json_of(200, &page(&[picture("B")], Some("QVFIone")))).await;
    let page = site.visit().posts(&account(), Some(&cursor("graph:QVFIone"))).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    assert_eq!(page.unread[0].path, "business_discovery.media.paging.cursors.after");
    assert!(page.unread[0].is_loss);
}

#[tokio::test]
async fn a_cursor_of_another_source_starts_over_and_is_never_sent() {
    let site = Site::answering(|_| json_of(200, &page(&[picture("B")], None))).await;
    for text in ["feed:900_77", "timeline:QVFI", "clips:QVFI", "QVFI", "graph:QVFI){id}", ""] {
        let page = site.visit().posts(&account(), Some(&cursor(text))).await.unwrap();
        assert_eq!(page.items.len(), 1, "{text}");
    }
    assert!(site.seen().iter().all(|seen| seen.fields.contains("media.limit(25){")));
}

#[tokio::test]
async fn a_cursor_that_is_refused_is_its_own_failure_and_an_unfit_one_ends_the_list() {
    let site = Site::answering(|seen| match seen.fields.contains("after(") {
        true => error(100, "(#100) The cursor is no longer valid"),
        false => json_of(200, &page(&[picture("B")], Some("QVFIone"))),
    })
    .await;
    let mut visit = site.visit();
    let failure = visit.posts(&account(), Some(&cursor("graph:QVFIold"))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::CursorRefused);
    assert!(failure.message.contains("no longer valid"), "{failure}");
    assert_eq!(visit.take_exchanges()[0].failure, Some("cursor_refused"));
    assert_eq!(site.seen().len(), 1, "it is not the fields");

    for after in [json!("QVFI){id}"), json!({"a": 1}), json!("x".repeat(5000))] {
        let mut body = page(&[picture("B")], Some("QVFIone"));
        body["business_discovery"]["media"]["paging"]["cursors"]["after"] = after;
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let page = site.visit().posts(&account(), None).await.unwrap();
        assert_eq!((page.next, page.unread.len()), (None, 1));
    }
}

#[tokio::test]
async fn reels_that_were_read_with_the_posts_cost_no_request_and_others_are_read_from_the_list() {
    let site = Site::answering(|seen| {
        let body = match seen.fields.contains("after(QVFIone)") {
            true => page(&[reel("D"), picture("E"), reel("F")], None),
            false => page(&[picture("B"), reel("C")], Some("QVFIone")),
        };
        json_of(200, &body)
    })
    .await;
    let mut visit = site.visit();
    visit.posts(&account(), None).await.unwrap();
    let known = visit.reels(&account(), None).await.unwrap();
    assert_eq!((codes(known.items.iter().map(|reel| &reel.code)), site.seen().len()), (vec!["C"], 1));
    let reel = &known.items[0];
    assert_eq!((reel.plays, reel.views, reel.likes, reel.comments), (None, Some(100_856), Some(7), Some(2)));
    let listed = visit.reels(&account(), known.next.as_ref()).await.unwrap();
    assert_eq!(codes(listed.items.iter().map(|reel| &reel.code)), ["C", "D", "F"], "over as many pages as it takes");
    assert_eq!((listed.next, site.seen().len()), (None, 3));
    // A visit that has read nothing begins with the list.
    let listed = site.visit().reels(&account(), Some(&cursor("clips:QVFI"))).await.unwrap();
    assert_eq!(codes(listed.items.iter().map(|reel| &reel.code)), ["C", "D", "F"]);
}

#[tokio::test]
async fn a_page_of_reels_ends_after_some_pages_without_any() {
    let site = Site::answering(|seen| {
        let at = seen.fields.split("after(").nth(1).and_then(|rest| rest.split(')').next());
        let at: u32 = at.and_then(|at| at.parse().ok()).unwrap_or(0);
        json_of(200, &page(&[picture("B")], Some(&(at + 1).to_string())))
    })
    .await;
    let page = site.visit().reels(&account(), None).await.unwrap();
    assert_eq!((page.items.len(), site.seen().len(), page.next), (0, 8, Some(cursor("graph:8"))));
}

#[tokio::test]
async fn one_post_is_not_offered_unless_it_was_read_already() {
    let site = Site::answering(|_| json_of(200, &page(&[reel("C")], None))).await;
    let mut visit = site.visit();
    let code = Shortcode::parse("C").unwrap();
    let failure = visit.post(&code).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (FailureKind::NotOffered, None));
    assert!(site.seen().is_empty());
    visit.posts(&account(), None).await.unwrap();
    assert_eq!(visit.post(&code).await.unwrap().value.views, Some(100_856));
}
