//! Accounts: the second opinion, and what counts as a first page of posts.

use serde_json::{Value, json};

use super::site::*;
use crate::instagram::FailureKind;

const INFO: &str = "/api/v1/users/web_profile_info/";

fn page_user() -> Value {
    json!({"id": "1", "pk": "77", "username": "mill", "follower_count": 5, "following_count": 6, "all_media_count": null,
        "is_private": false, "bio_links": []})
}

#[tokio::test]
async fn an_account_is_read_with_its_headers_sent_and_its_first_posts() {
    let (mut pinned, later) = (legacy_edge(900), legacy_edge(800));
    pinned["node"]["pinned_for_users"] = json!([{"id": "77"}]);
    let site = Site::answering(move |_| json_of(200, &user(40, &json!([pinned, later, later, pinned]), true))).await;
    let mut visit = site.guest();
    let profile = visit.account(&mill()).await.unwrap();
    assert_eq!(profile.unread, []);
    assert_eq!(
        (profile.account.pk, profile.account.followers, profile.account.posts),
        (Some(77), Some(1200), Some(40))
    );
    assert_eq!(profile.account.external_url.as_deref(), Some("https://mill.test"));
    assert_eq!(profile.account.category.as_deref(), Some("Museum"));
    let posts = profile.first_posts.unwrap();
    assert_eq!(posts.items.iter().map(|post| post.pk).collect::<Vec<_>>(), [900, 800]);
    assert_eq!(posts.next.unwrap().0, "feed:800_77");
    let seen = &site.seen()[0];
    assert_eq!((seen.path.as_str(), seen.query.as_str()), (INFO, "username=mill"));
    assert_eq!(seen.header("x-ig-app-id"), Some("936619743392459"));
    assert_eq!(seen.header("x-asbd-id"), Some("359341"));
    assert_eq!(seen.header("x-requested-with"), Some("XMLHttpRequest"));
    assert_eq!(seen.header("referer"), Some(format!("{}/mill/", site.url).as_str()));
    assert!(seen.header("user-agent").unwrap().starts_with("Mozilla/5.0"));
    assert_eq!((seen.header("cookie"), seen.header("x-csrftoken")), (None, None));
    let exchanges = visit.take_exchanges();
    assert_eq!(exchanges.len(), 1);
    assert_eq!(
        (exchanges[0].endpoint, exchanges[0].status, exchanges[0].failure),
        ("web_profile_info", Some(200), None)
    );
    assert_eq!(exchanges[0].url, format!("{}{INFO}?username=mill", site.url));
    assert!(exchanges[0].bytes > 0 && !exchanges[0].is_evidence());
    assert!(visit.take_exchanges().is_empty());
}

#[tokio::test]
async fn an_account_is_gone_only_where_two_endpoints_agree() {
    for first in [|| json_of(404, &json!({"status": "fail"})), || json_of(200, &json!({"data": {"user": null}}))] {
        let said = || html(200, "Sorry, this page isn't available.");
        let nobody = || profile_page(&Value::Null, "1");
        for second in [|| html(404, "Page not found"), said, nobody] {
            let site = Site::answering(move |seen| if seen.path == INFO { first() } else { second() }).await;
            let mut visit = site.guest();
            let failure = visit.account(&mill()).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::NotFound);
            assert!(failure.message.contains("profile_page"), "{}", failure.message);
            assert_eq!(visit.take_exchanges().len(), 2);
        }
        let site =
            Site::answering(move |seen| if seen.path == INFO { first() } else { profile_page(&page_user(), "1") });
        let profile = site.await.guest().account(&mill()).await.unwrap();
        assert_eq!((profile.account.pk, profile.account.followers, profile.account.posts), (Some(77), Some(5), None));
        assert_eq!(profile.first_posts, None);
        let told: Vec<_> = profile.unread.iter().map(|unread| (unread.path.as_str(), unread.is_loss)).collect();
        assert_eq!(told, [("web_profile_info", false)], "nothing is missing, and that it fell back is news");
        let site = Site::answering(move |seen| if seen.path == INFO { first() } else { html(429, "") }).await;
        assert_eq!(site.guest().account(&mill()).await.unwrap_err().kind, FailureKind::Throttled);
        // A page that shows no user and does not say why agrees with nobody.
        let renamed = || {
            let data = json!({"__bbox": {"result": {"data": {"xig_user_by_handle": page_user()}}}});
            html(200, &format!("<script type=\"application/json\">{data}</script>"))
        };
        for second in [renamed, || html(200, "Sorry")] {
            let site = Site::answering(move |seen| if seen.path == INFO { first() } else { second() }).await;
            let failure = site.guest().account(&mill()).await.unwrap_err();
            assert_eq!((failure.kind, failure.endpoint), (FailureKind::UnexpectedShape, "profile_page"));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_broken_for_the_account_sends_us_to_its_page_and_a_session_completes_it() {
    let broken = json!({"message": "Asset asset://x.y/z has been deleted. You cannot use this", "status": "fail"});
    let known = json!({"data": {"user": {"pk": 77, "media_count": 12, "category": "Baker", "follower_count": 9}}});
    let answer = move |seen: &Seen| match seen.path.as_str() {
        INFO => json_of(400, &broken),
        "/mill/" => profile_page(&page_user(), "1"),
        _ => json_of(200, &known),
    };
    let site = Site::answering(answer.clone()).await;
    let profile = site.guest().account(&mill()).await.unwrap();
    assert_eq!((profile.account.posts, site.paths().len()), (None, 2));
    let site = Site::answering(answer).await;
    let profile = site.session().account(&mill()).await.unwrap();
    assert_eq!((profile.account.followers, profile.account.posts), (Some(5), Some(12)));
    assert_eq!(profile.account.category.as_deref(), Some("Baker"));
    let document = &site.seen()[2];
    assert_eq!(document.path, "/graphql/query");
    assert_eq!(document.field("fb_dtsg").as_deref(), Some("dtsg-1"));
    assert_eq!(document.variables()["id"], "77");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_or_a_refusal_that_nobody_knows_sends_us_to_the_page_and_is_told() {
    let renamed = || json_of(200, &json!({"data": {"account": {"id": "77"}}, "status": "ok"}));
    let unknown = || json_of(400, &json!({"message": "something new", "status": "fail"}));
    for first in [renamed, unknown, || json_of(200, &json!({"data": {"user": {"username": "mill"}}})), || html(403, "")]
    {
        let answer = move |seen: &Seen| if seen.path == INFO { first() } else { profile_page(&page_user(), "1") };
        let site = Site::answering(answer).await;
        let mut visit = site.guest();
        let profile = visit.account(&mill()).await.unwrap();
        assert_eq!((profile.account.pk, profile.account.followers), (Some(77), Some(5)));
        let told: Vec<_> = profile.unread.iter().map(|unread| (unread.path.as_str(), unread.is_loss)).collect();
        assert_eq!(told, [("web_profile_info", false)]);
        assert!(visit.take_exchanges()[0].failure.is_some());
        // Where the page is gone, what cannot be read does not agree.
        let answer = move |seen: &Seen| if seen.path == INFO { first() } else { html(404, "") };
        let failure = Site::answering(answer).await.guest().account(&mill()).await.unwrap_err();
        assert_ne!(failure.kind, FailureKind::NotFound);
        assert_eq!(failure.endpoint, "web_profile_info");
    }
    // A throttle is the hour's, and no other endpoint is asked.
    let site = Site::answering(|_| html(429, "")).await;
    assert_eq!(site.guest().account(&mill()).await.unwrap_err().kind, FailureKind::Throttled);
    assert_eq!(site.paths(), [INFO]);
}

#[tokio::test]
async fn an_endpoint_that_stays_broken_is_not_called_a_missing_account() {
    let broken = json!({"message": "Asset asset://x has been deleted", "status": "fail"});
    let site = Site::answering(move |seen| if seen.path == INFO { json_of(400, &broken) } else { html(404, "") }).await;
    assert_eq!(site.guest().account(&mill()).await.unwrap_err().kind, FailureKind::EndpointBroken);
}

#[tokio::test]
async fn empty_edges_are_zero_posts_only_where_the_count_says_so() {
    let none = json!([]);
    let mut private = user(9, &none, false);
    private["data"]["user"]["is_private"] = json!(true);
    let cases = [
        (user(0, &none, false), Some(0)),
        (user(446, &none, true), None),
        (user(446, &Value::Null, false), None),
        (user(0, &none, true), None),
        (private, None),
    ];
    for (body, posts) in cases {
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let profile = site.guest().account(&mill()).await.unwrap();
        assert_eq!(profile.first_posts.as_ref().map(|page| page.items.len()), posts);
        assert!(profile.first_posts.is_none_or(|page| page.next.is_none()));
    }
}

#[tokio::test]
async fn a_missing_field_is_news_and_a_null_one_is_not() {
    let mut cases = [user(1, &json!([]), true), user(1, &json!([]), true), user(1, &json!([]), true)];
    cases[0]["data"]["user"].as_object_mut().unwrap().remove("edge_followed_by");
    cases[1]["data"]["user"]["edge_followed_by"] = json!({"total": 4});
    cases[2]["data"]["user"]["edge_followed_by"] = json!({"count": null});
    for (body, notes) in cases.into_iter().zip([1, 1, 0]) {
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let mut visit = site.guest();
        let profile = visit.account(&mill()).await.unwrap();
        assert_eq!((profile.account.followers, profile.unread.len()), (None, notes));
        assert_eq!(visit.take_exchanges()[0].is_evidence(), notes > 0);
        if let Some(unread) = profile.unread.first() {
            assert_eq!(unread.path, "data.user.edge_followed_by.count");
        }
    }
}

#[tokio::test]
async fn an_account_for_adults_has_no_numbers() {
    let mut gated = user(0, &json!([]), false);
    gated["data"]["user"]["gating"] = json!({"title": "Restricted"});
    gated["data"]["user"]["edge_followed_by"]["count"] = json!(0);
    gated["data"]["user"]["edge_follow"]["count"] = json!(0);
    let mut regulated = user(4, &json!([]), false);
    regulated["data"]["user"]["is_regulated_c18"] = json!(true);
    for body in [gated, regulated] {
        let site = Site::answering(move |_| json_of(200, &body)).await;
        assert_eq!(site.guest().account(&mill()).await.unwrap_err().kind, FailureKind::AgeRestricted);
    }
    let site = Site::answering(|seen| match seen.path.as_str() {
        INFO => json_of(404, &json!({})),
        _ => html(200, "<h2>Restricted profile</h2>"),
    });
    assert_eq!(site.await.guest().account(&mill()).await.unwrap_err().kind, FailureKind::AgeRestricted);
}

#[tokio::test]
async fn after_a_request_to_wait_the_next_call_turns_to_the_page() {
    let wait = json!({"message": "Please wait a few minutes before you try again.", "require_login": true});
    let answer = move |seen: &Seen| match seen.path.as_str() {
        INFO => json_of(401, &wait),
        _ => profile_page(&page_user(), "1"),
    };
    let site = Site::answering(answer).await;
    let mut visit = site.guest();
    assert_eq!(visit.account(&mill()).await.unwrap_err().kind, FailureKind::PleaseWait);
    assert_eq!(visit.account(&mill()).await.unwrap().account.pk, Some(77));
    assert_eq!(site.paths(), [INFO, "/mill/"]);
}

#[tokio::test]
async fn a_page_that_cannot_be_read_does_not_confirm_that_an_account_is_gone() {
    let scripts = [
        ("<script type='application/json'>{\"xig_user_by_username\": oops}</script>", FailureKind::UnexpectedShape),
        ("<script type='application/json'>{\"a\":", FailureKind::TruncatedBody),
    ];
    for (script, kind) in scripts {
        let answer = move |seen: &Seen| if seen.path == INFO { json_of(404, &json!({})) } else { html(200, script) };
        let site = Site::answering(answer).await;
        assert_eq!(site.guest().account(&mill()).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn a_slash_more_is_followed_once_and_both_requests_are_told() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        "/api/v1/users/web_profile_info" => json_of(200, &user(1, &json!([]), true)),
        INFO => answer(301, &[("location", "/api/v1/users/web_profile_info?other=1")], ""),
        _ => html(500, ""),
    })
    .await;
    let mut visit = site.guest();
    assert!(visit.account(&mill()).await.is_ok());
    assert_eq!(site.seen()[1].query, "username=mill");
    assert_eq!(
        visit.take_exchanges().iter().map(|exchange| exchange.status).collect::<Vec<_>>(),
        [Some(301), Some(200)]
    );
}

#[tokio::test]
async fn a_session_goes_on_in_the_timeline_behind_posts_that_came_with_the_account() {
    let edges = json!([legacy_edge(900), legacy_edge(800)]);
    let site = Site::answering(move |_| json_of(200, &user(40, &edges, true))).await;
    let profile = site.session().account(&mill()).await.unwrap();
    assert_eq!(profile.first_posts.unwrap().next.unwrap().0, "timeline:800_77");
    let timeline = json!({"edges": [{"node": node(7)}], "page_info": {"has_next_page": false}});
    let data = json!({"xig_user_by_username": page_user(), "polaris_ordered_timeline_connection": timeline});
    let script = json!({"__bbox": {"result": {"data": data}}});
    let page = format!("<script type=\"application/json\">{script}</script>");
    let site = Site::answering(move |seen| if seen.path == INFO { json_of(404, &json!({})) } else { html(200, &page) });
    let posts = site.await.guest().account(&mill()).await.unwrap().first_posts.unwrap();
    assert_eq!((posts.items[0].pk, posts.items.len(), posts.next), (7, 1, None));
}

#[tokio::test]
async fn posts_that_a_page_shows_without_their_times_are_left_to_the_lists() {
    let timeline = json!({"edges": [{"node": {"pk": "9"}}], "page_info": {"has_next_page": false}});
    let mut user = page_user();
    user["polaris_ordered_timeline_connection"] = timeline;
    let site = Site::answering(move |seen| match seen.path.as_str() {
        INFO => json_of(404, &json!({})),
        _ => profile_page(&user, "1"),
    });
    let profile = site.await.guest().account(&mill()).await.unwrap();
    assert_eq!(profile.first_posts, None);
    assert!(profile.unread.iter().all(|unread| unread.path == "web_profile_info"), "{:?}", profile.unread);
}

#[tokio::test]
async fn videos_that_come_with_the_account_and_are_not_said_to_be_reels_or_none_are_left_to_the_lists() {
    let mut video = legacy_edge(900);
    video["node"]["__typename"] = json!("GraphVideo");
    for (product_type, kept) in [(Value::Null, None), (json!("feed"), Some(2)), (json!("clips"), Some(2))] {
        let mut video = video.clone();
        video["node"]["product_type"] = product_type;
        let edges = json!([legacy_edge(901), video]);
        let site = Site::answering(move |_| json_of(200, &user(40, &edges, true))).await;
        let profile = site.guest().account(&mill()).await.unwrap();
        assert_eq!((profile.first_posts.map(|page| page.items.len()), profile.unread), (kept, vec![]));
    }
}

#[tokio::test]
async fn a_link_is_told_where_it_stands_or_the_answer_says_that_there_is_none() {
    let mill_test = Some("https://mill.test");
    for (external, links, told, notes) in [
        (Some(json!("https://mill.test")), Some(json!([])), Some(mill_test), 0),
        (Some(Value::Null), Some(json!([{"url": "https://mill.test"}])), Some(mill_test), 0),
        (Some(Value::Null), Some(json!([])), Some(None), 0),
        (Some(json!("")), None, Some(None), 0),
        (None, Some(json!([])), Some(None), 0),
        (None, None, None, 0),
        (Some(json!(7)), Some(json!([])), None, 1),
        (Some(Value::Null), Some(json!(7)), None, 1),
        (Some(Value::Null), Some(json!([{"address": "https://mill.test"}])), None, 1),
    ] {
        let mut body = user(0, &json!([]), false);
        let fields = body["data"]["user"].as_object_mut().unwrap();
        for (key, value) in [("external_url", &external), ("bio_links", &links)] {
            fields.remove(key);
            fields.extend(value.iter().map(|value| (key.to_owned(), value.clone())));
        }
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let profile = site.guest().account(&mill()).await.unwrap();
        let account = &profile.account;
        let read = account.external_url_told.then_some(account.external_url.as_deref());
        assert_eq!((read, profile.unread.len()), (told, notes), "{external:?} {links:?}");
    }
}

#[tokio::test]
async fn a_login_page_in_the_place_of_a_profile_confirms_nothing() {
    let site = Site::answering(|seen| match seen.path.as_str() {
        INFO => json_of(404, &json!({})),
        _ => answer(200, &[], "<html><head><title>Login • Instagram</title></head></html>"),
    });
    assert_eq!(site.await.guest().account(&mill()).await.unwrap_err().kind, FailureKind::HtmlInsteadOfJson);
}
