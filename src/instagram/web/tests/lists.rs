//! Posts and reels: cursors, fallbacks, tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::site::*;
use crate::instagram::{AccountRef, Cursor, FailureKind, Shortcode};

const CONNECTION: &str = "xdt_api__v1__feed__user_timeline_graphql_connection";

fn timeline(pks: &[i64], end_cursor: Option<&str>) -> Value {
    let edges: Vec<Value> = pks.iter().map(|pk| json!({"node": node(*pk)})).collect();
    let info = json!({"end_cursor": end_cursor, "has_next_page": end_cursor.is_some()});
    json!({"data": {CONNECTION: {"edges": edges, "page_info": info}}})
}

fn stale() -> Answer {
    json_of(
        200,
        &json!({"data": {CONNECTION: null}, "errors": [{"message": "execution error", "severity": "CRITICAL"}]}),
    )
}

fn page() -> Answer {
    profile_page(&json!({"pk": "77", "username": "mill"}), "1")
}

#[tokio::test]
async fn a_guest_walks_the_feed_to_its_end() {
    let site = Site::answering(|seen| match seen.query.as_str() {
        "count=12" => {
            let items = json!([node(3), node(2), node(3), null, {"like_count": 1}]);
            json_of(200, &json!({"items": items, "next_max_id": "2_77", "more_available": true}))
        }
        "count=12&max_id=2_77" => {
            json_of(200, &json!({"items": [node(1)], "more_available": true, "next_max_id": "2_77"}))
        }
        _ => html(500, ""),
    })
    .await;
    let mut visit = site.guest();
    let first = visit.posts(&account(), None).await.unwrap();
    assert_eq!(first.items.iter().map(|post| post.pk).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(first.unread.iter().map(|unread| unread.path.as_str()).collect::<Vec<_>>(), ["items[3]", "items[4]"]);
    let next = first.next.unwrap();
    assert_eq!(next, Cursor("feed:2_77".to_owned()));
    // The same cursor again is the end.
    assert_eq!(visit.posts(&account(), Some(&next)).await.unwrap().next, None);
    assert_eq!(site.paths(), ["/api/v1/feed/user/77/", "/api/v1/feed/user/77/"]);
}

#[tokio::test]
async fn more_posts_without_a_word_where_go_on_behind_the_last_one() {
    let site = Site::answering(|_| json_of(200, &json!({"items": [node(9), node(8)], "more_available": true}))).await;
    let page = site.guest().posts(&account(), None).await.unwrap();
    assert_eq!(page.next, Some(Cursor("feed:8_77".to_owned())));
    assert_eq!(page.unread[0].path, "next_max_id");
}

#[tokio::test]
async fn a_cursor_that_no_address_holds_is_none_and_a_code_that_comes_twice_is_one_post() {
    let site = Site::answering(|_| {
        let mut twin = node(7);
        twin["code"] = json!(Shortcode::from_pk(9).unwrap());
        let cursor = "c".repeat(5000);
        json_of(200, &json!({"items": [node(9), twin, node(8)], "more_available": true, "next_max_id": cursor}))
    })
    .await;
    let page = site.guest().posts(&account(), None).await.unwrap();
    assert_eq!(page.items.iter().map(|post| post.pk).collect::<Vec<_>>(), [9, 8]);
    assert_eq!(page.next, Some(Cursor("feed:8_77".to_owned())));
    assert_eq!(page.unread[0].path, "next_max_id");
}

#[tokio::test]
async fn a_session_reads_the_timeline_with_tokens_read_once() {
    let site = Site::answering(|seen| match (seen.path.as_str(), seen.method.as_str()) {
        ("/mill/", _) => page(),
        (_, "POST") if seen.variables()["after"] == "next-1" => json_of(200, &timeline(&[2], None)),
        (_, "POST") => answer(
            200,
            &[("x-ig-set-www-claim", "hmac.claim"), ("set-cookie", "csrftoken=newer-csrf; Path=/; Secure")],
            timeline(&[4, 3], Some("next-1")).to_string(),
        ),
        _ => html(500, ""),
    })
    .await;
    let mut visit = site.session();
    let first = visit.posts(&account(), None).await.unwrap();
    assert_eq!(first.next, Some(Cursor("timeline:next-1".to_owned())));
    let second = visit.posts(&account(), first.next.as_ref()).await.unwrap();
    assert_eq!((second.items.len(), second.next, second.unread), (1, None, vec![]));
    assert_eq!(site.paths(), ["/mill/", "/graphql/query", "/graphql/query"]);
    let seen = site.seen();
    assert_eq!(seen[1].field("lsd").as_deref(), Some("lsd-1"));
    assert_eq!(seen[1].field("fb_dtsg").as_deref(), Some("dtsg-1"));
    assert_eq!(seen[1].field("doc_id").as_deref(), Some("29104886249145907"));
    assert_eq!(seen[1].field("fb_api_req_friendly_name").unwrap(), "PolarisProfilePostsTabContentQuery_connection");
    assert_eq!(seen[1].variables()["username"], "mill");
    assert_eq!(seen[1].header("cookie"), Some(COOKIE));
    assert_eq!(seen[1].header("x-csrftoken"), Some("very-secret-csrf"));
    assert_eq!(seen[1].header("x-ig-www-claim"), Some("0"));
    assert_eq!(seen[2].header("x-ig-www-claim"), Some("hmac.claim"));
    assert_eq!(seen[2].header("x-csrftoken"), Some("newer-csrf"));
    assert!(seen[2].header("cookie").unwrap().contains("csrftoken=newer-csrf"));
}

#[tokio::test]
async fn a_stale_document_gives_way_to_the_next_and_is_told_once() {
    let none = None;
    let shape = Some("unexpected_shape");
    let forbidden = Some("forbidden");
    type Refusal = fn() -> Answer;
    let cases: [(Refusal, &[Option<&str>]); 2] = [
        (stale, &[none, shape, none, none]),
        // Refused: the tokens are read again before the number is blamed.
        (|| html(403, ""), &[none, forbidden, none, forbidden, none, none]),
    ];
    for (refusal, expected) in cases {
        let site = Site::answering(move |seen| match seen.field("doc_id").as_deref() {
            None => page(),
            Some("29104886249145907") => refusal(),
            Some(_) => json_of(200, &timeline(&[4], Some("x"))),
        })
        .await;
        let mut visit = site.session();
        let first = visit.posts(&account(), None).await.unwrap();
        assert_eq!(first.unread[0].path, "doc_id 29104886249145907");
        assert!(visit.posts(&account(), first.next.as_ref()).await.unwrap().unread.is_empty());
        let failures: Vec<_> = visit.take_exchanges().iter().map(|exchange| exchange.failure).collect();
        assert_eq!(failures, expected);
    }
}

#[tokio::test]
async fn refused_tokens_are_refreshed_once_and_then_the_feed_serves() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/mill/" => page(),
        "/graphql/query" => html(403, "Sorry"),
        _ => json_of(200, &json!({"items": [node(5)], "more_available": false})),
    })
    .await;
    let mut visit = site.session();
    let posts = visit.posts(&account(), Some(&Cursor("timeline:6_77".to_owned()))).await.unwrap();
    assert_eq!((posts.items.len(), posts.next), (1, None));
    assert_eq!(posts.unread[0].path, "timeline");
    let feed = "/api/v1/feed/user/77/";
    assert_eq!(site.paths(), ["/mill/", "/graphql/query", "/mill/", "/graphql/query", "/graphql/query", feed]);
    assert_eq!(site.seen()[5].query, "count=12&max_id=6_77");
    // A cursor of the connection alone cannot go on elsewhere, and nothing is refreshed twice.
    let failure = visit.posts(&account(), Some(&Cursor("timeline:QVFE".to_owned()))).await.unwrap_err();
    assert_eq!((failure.kind, site.paths().len()), (FailureKind::Forbidden, 8));
}

#[tokio::test]
async fn data_beside_an_error_is_taken_with_a_note() {
    let site = Site::answering(|seen| {
        let mut body = timeline(&[4], None);
        body["errors"] = json!([{"message": "field_exception", "path": ["a", "b"]}]);
        if seen.path == "/mill/" { page() } else { json_of(200, &body) }
    })
    .await;
    let posts = site.session().posts(&account(), None).await.unwrap();
    assert_eq!((posts.items.len(), posts.unread[0].found.as_str()), (1, "field_exception"));
}

#[tokio::test]
async fn a_list_that_lost_its_items_is_a_failure_and_never_an_empty_page() {
    for body in [json!({"status": "ok"}), json!({"items": "none"}), json!({"posts": []}), json!([])] {
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let mut visit = site.guest();
        assert_eq!(visit.posts(&account(), None).await.unwrap_err().kind, FailureKind::UnexpectedShape);
        assert_eq!(visit.reels(&account(), None).await.unwrap_err().kind, FailureKind::UnexpectedShape);
        assert!(visit.take_exchanges().iter().all(|exchange| exchange.body.is_some()));
    }
    let site = Site::answering(|_| json_of(200, &json!({"items": null, "more_available": false}))).await;
    assert!(site.guest().posts(&account(), None).await.unwrap().items.is_empty());
    let private = json!({"items": [], "user": {"is_private": true}});
    let site = Site::answering(move |_| json_of(200, &private)).await;
    assert_eq!(site.guest().posts(&account(), None).await.unwrap_err().kind, FailureKind::Private);
}

#[tokio::test]
async fn a_list_that_says_404_asks_the_page_whether_the_account_is_gone() {
    for (gone, kind) in [(true, FailureKind::NotFound), (false, FailureKind::EndpointBroken)] {
        let site = Site::answering(move |seen| match seen.path.as_str() {
            "/mill/" if !gone => page(),
            _ => html(404, ""),
        })
        .await;
        assert_eq!(site.guest().posts(&account(), None).await.unwrap_err().kind, kind);
        assert_eq!(site.guest().reels(&account(), None).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn a_guest_reads_reels_with_the_csrf_token_that_the_site_sets() {
    let site = Site::answering(|seen| match (seen.path.as_str(), seen.header("x-csrftoken")) {
        ("/mill/", _) => answer(200, &[("set-cookie", "csrftoken=fresh-token; Path=/")], "<html></html>"),
        (_, None) => html(403, "csrf"),
        _ => {
            let items = json!([{"media": {"pk": "9", "code": "J", "play_count": 10, "view_count": 4}}]);
            json_of(200, &json!({"items": items, "paging_info": {"max_id": "m1", "more_available": true}}))
        }
    })
    .await;
    let mut visit = site.guest();
    let reels = visit.reels(&account(), None).await.unwrap();
    assert_eq!((reels.items[0].plays, reels.items[0].views), (Some(10), Some(4)));
    assert_eq!(reels.next, Some(Cursor("clips:m1".to_owned())));
    visit.reels(&account(), reels.next.as_ref()).await.unwrap();
    let seen = site.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[2].header("cookie"), Some("csrftoken=fresh-token"));
    assert_eq!((seen[2].field("target_user_id").as_deref(), seen[2].field("max_id")), (Some("77"), None));
    assert_eq!(seen[3].field("max_id").as_deref(), Some("m1"));
}

#[tokio::test]
async fn a_session_reads_the_reels_tab_and_falls_back_to_the_rest_list() {
    let calls = Arc::new(AtomicUsize::new(0));
    let site = Site::answering(move |seen| match seen.path.as_str() {
        "/mill/" => page(),
        "/graphql/query" if calls.fetch_add(1, Ordering::SeqCst) == 0 => {
            let edges = json!([{"node": {"media": {"pk": "9", "code": "J", "play_count": 10, "like_count": -1}}}]);
            let info = json!({"has_next_page": true, "end_cursor": "c1"});
            let data = json!({"fetch__XDTUserDict": {"clips_connection": {"edges": edges, "page_info": info}}});
            json_of(200, &json!({"data": data}))
        }
        "/graphql/query" => stale(),
        _ => json_of(200, &json!({"items": [], "paging_info": {"more_available": false}})),
    })
    .await;
    let mut visit = site.session();
    let reels = visit.reels(&account(), None).await.unwrap();
    assert_eq!((reels.items[0].likes, reels.items[0].likes_hidden), (None, true));
    assert_eq!(reels.next, Some(Cursor("reels:c1".to_owned())));
    let rest = visit.reels(&account(), reels.next.as_ref()).await.unwrap();
    assert_eq!((rest.items.len(), rest.next, rest.unread[0].path.as_str()), (0, None, "reels_tab"));
    assert_eq!(site.paths().last().map(String::as_str), Some("/api/v1/clips/user/"));
}

#[tokio::test]
async fn one_post_is_read_by_its_code_and_a_session_has_a_second_way() {
    let code = Shortcode::parse("CPv3UqsBFvg").unwrap();
    let site = Site::answering(|_| {
        let info = json!({"items": [node(2_589_531_623_544_609_760)]});
        json_of(200, &json!({"data": {"xdt_api__v1__media__shortcode__web_info": info}}))
    })
    .await;
    let reading = site.guest().post(&code).await.unwrap();
    assert_eq!((reading.value.pk, reading.value.code.clone(), reading.unread), (code.pk(), code.clone(), vec![]));
    assert_eq!(site.seen()[0].variables(), json!({"shortcode": "CPv3UqsBFvg"}));
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/p/CPv3UqsBFvg/" => page(),
        "/graphql/query" => stale(),
        "/api/v1/media/2589531623544609760/info/" => json_of(200, &json!({"items": [node(2_589_531_623_544_609_760)]})),
        _ => html(404, ""),
    })
    .await;
    let mut visit = site.session();
    assert_eq!(visit.post(&code).await.unwrap().unread[0].path, "post");
    assert_eq!(site.paths().len(), 4);
    // The documents were given up for this visit.
    visit.post(&code).await.unwrap();
    assert_eq!(site.paths().len(), 5);
    let site = Site::answering(|seen| if seen.method == "GET" { html(404, "") } else { stale() }).await;
    assert_eq!(site.guest().post(&code).await.unwrap_err().kind, FailureKind::NotFound);
}

#[tokio::test]
async fn a_post_is_gone_only_where_its_own_page_agrees() {
    let code = Shortcode::parse("CPv3UqsBFvg").unwrap();
    let no_item = || json_of(200, &json!({"data": {"xdt_api__v1__media__shortcode__web_info": {"items": []}}}));
    let not_found = || html(404, "");
    type Word = fn() -> Answer;
    let documents: [Word; 3] = [no_item, not_found, stale];
    for (at, document) in documents.into_iter().enumerate() {
        // A document that brings nothing at all does not even say that the post is gone.
        let there = if at == 2 { FailureKind::UnexpectedShape } else { FailureKind::EndpointBroken };
        let throttled = if at == 2 { FailureKind::UnexpectedShape } else { FailureKind::Throttled };
        let pages: [(Word, FailureKind); 3] =
            [(|| html(404, ""), FailureKind::NotFound), (page, there), (|| html(429, ""), throttled)];
        for (page, kind) in pages {
            let answer = move |seen: &Seen| if seen.method == "POST" { document() } else { page() };
            let site = Site::answering(answer).await;
            assert_eq!(site.guest().post(&code).await.unwrap_err().kind, kind, "document {at}");
        }
    }
    // With a session media_info has the second word, where the document has said that there is none.
    for (document, asked) in [(no_item as Word, 0), (stale as Word, 1)] {
        let site = Site::answering(move |seen| match seen.path.as_str() {
            "/graphql/query" => document(),
            "/api/v1/media/2589531623544609760/info/" => html(404, ""),
            _ => page(),
        })
        .await;
        let mut visit = site.session();
        visit.load_page(("home_page", "/")).await.unwrap();
        let kind = visit.post(&code).await.unwrap_err().kind;
        assert_eq!(kind, if asked == 0 { FailureKind::NotFound } else { FailureKind::EndpointBroken });
        assert_eq!(site.paths().iter().filter(|path| *path == "/p/CPv3UqsBFvg/").count(), asked);
    }
}

#[tokio::test]
async fn a_list_that_does_not_go_on_where_it_was_left_says_so_and_its_beginning_may_be_asked_for() {
    for words in ["Invalid cursor", "bad request"] {
        let site = Site::answering(move |seen| match (seen.query.as_str(), seen.body.contains("max_id")) {
            ("count=12", _) => json_of(200, &json!({"items": [node(9)], "more_available": false})),
            _ => json_of(400, &json!({"message": words, "status": "fail"})),
        })
        .await;
        let mut visit = site.guest();
        for cursor in ["feed:9_77", "feed:opaque"] {
            let failure = visit.posts(&account(), Some(&Cursor(cursor.to_owned()))).await.unwrap_err();
            assert_eq!((failure.kind, failure.status), (FailureKind::CursorRefused, Some(400)), "{words}");
        }
        assert_eq!(visit.posts(&account(), None).await.unwrap().items.len(), 1);
        let reels = visit.reels(&account(), Some(&Cursor("clips:9".to_owned()))).await.unwrap_err();
        assert_eq!(reels.kind, FailureKind::CursorRefused);
    }
}

#[tokio::test]
async fn an_account_is_found_by_its_number_under_its_new_name() {
    let home = r#"<script>["LSD",[],{"token":"lsd-home"},1]</script>"#;
    let user = |user: Value| json!({"data": {"user": user}, "status": "ok"});
    for (answer, found) in [
        (user(json!({"pk": "77", "username": "windmill", "follower_count": 5})), Ok("windmill")),
        (user(Value::Null), Err(FailureKind::NotFound)),
        // Whose it is has to be told, and has to be the one that was asked for.
        (user(json!({"pk": "77"})), Err(FailureKind::UnexpectedShape)),
        (user(json!({"pk": "78", "username": "windmill"})), Err(FailureKind::UnexpectedShape)),
        (json!({"data": null, "errors": [{"message": "gone"}]}), Err(FailureKind::UnexpectedShape)),
    ] {
        let site =
            Site::answering(move |seen| if seen.path == "/" { html(200, home) } else { json_of(200, &answer) }).await;
        let mut visit = site.guest();
        let read = visit.account_by_id(OWNER, &mill()).await;
        assert_eq!(
            read.map(|reading| reading.value.username.to_string()).map_err(|failure| failure.kind),
            found.map(str::to_owned)
        );
        let asked = site.seen().into_iter().find(|seen| seen.path == "/graphql/query").unwrap();
        assert_eq!((asked.variables()["id"].as_str(), asked.field("lsd").as_deref()), (Some("77"), Some("lsd-home")));
    }
}

#[tokio::test]
async fn refused_tokens_and_no_page_to_renew_them_from_say_nothing_of_the_post() {
    let site = Site::answering(|seen| html(if seen.method == "GET" { 404 } else { 403 }, "")).await;
    let code = Shortcode::parse("CPv3UqsBFvg").unwrap();
    assert_eq!(site.guest().post(&code).await.unwrap_err().kind, FailureKind::Forbidden);
    assert_eq!(site.guest().reels(&account(), None).await.unwrap_err().kind, FailureKind::Forbidden);
}

#[tokio::test]
async fn what_asked_to_wait_before_is_not_asked_where_another_can_answer() {
    let code = Shortcode::parse("CPv3UqsBFvg").unwrap();
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/api/v1/feed/user/77/" => json_of(200, &json!({"items": [node(5)], "more_available": false})),
        "/api/v1/clips/user/" => json_of(200, &json!({"items": [], "paging_info": {"more_available": false}})),
        path if path.starts_with("/api/v1/media/") => json_of(200, &json!({"items": [node(5)]})),
        "/mill/" => page(),
        _ => html(500, ""),
    })
    .await;
    let mut visit = site.session_that_waited(&["web_profile_info", "timeline", "reels_tab", "post"]);
    visit.account(&mill()).await.unwrap();
    assert_eq!(visit.posts(&account(), None).await.unwrap().items.len(), 1);
    assert!(visit.reels(&account(), None).await.unwrap().items.is_empty());
    visit.post(&code).await.unwrap();
    let asked: Vec<_> = visit.take_exchanges().iter().map(|exchange| exchange.endpoint).collect();
    // The document that completes what the page leaves open is answered with 500, which costs nothing.
    assert_eq!(asked, ["profile_page", "profile_by_id", "feed", "clips_user", "media_info"]);
}

#[tokio::test]
async fn after_one_wait_the_next_endpoint_that_asks_to_wait_gives_way_to_another_at_once() {
    let wait = json!({"message": "Please wait a few minutes before you try again.", "require_login": true});
    let answer = move |seen: &Seen| match seen.path.as_str() {
        "/mill/" => page(),
        "/graphql/query" => json_of(401, &wait),
        _ => json_of(200, &json!({"items": [node(5)], "more_available": false})),
    };
    let site = Site::answering(answer.clone()).await;
    assert_eq!(site.session().posts(&account(), None).await.unwrap_err().kind, FailureKind::PleaseWait);
    let site = Site::answering(answer).await;
    let posts = site.session_that_waited(&["web_profile_info"]).posts(&account(), None).await.unwrap();
    assert_eq!((posts.items.len(), posts.unread[0].path.as_str()), (1, "timeline"));
}

#[tokio::test]
async fn an_account_without_its_number_is_looked_up_once_and_a_cursor_of_another_source_is_the_start() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/api/v1/users/web_profile_info/" => json_of(200, &user(40, &json!([]), true)),
        "/api/v1/feed/user/77/" => json_of(200, &json!({"items": [node(9)], "more_available": false})),
        _ => html(404, ""),
    })
    .await;
    let mut visit = site.guest();
    let account = AccountRef { pk: None, username: mill() };
    for after in [None, Some(Cursor("graph:QVFI".to_owned()))] {
        assert_eq!(visit.posts(&account, after.as_ref()).await.unwrap().items.len(), 1);
    }
    assert_eq!(site.paths(), ["/api/v1/users/web_profile_info/", "/api/v1/feed/user/77/", "/api/v1/feed/user/77/"]);
    assert!(site.seen().iter().all(|seen| !seen.query.contains("max_id")));
    // Where it cannot be looked up, it says how that failed.
    let site = Site::answering(|_| html(404, "")).await;
    assert_eq!(site.guest().posts(&account, None).await.unwrap_err().kind, FailureKind::NotFound);
}
