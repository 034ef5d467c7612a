//! Accounts: what is read of one, and how the client asks with fewer fields.

use serde_json::{Value, json};

use super::site::*;
use crate::instagram::{FailureKind, MediaKind};

#[tokio::test]
async fn an_account_is_read_with_its_first_page_and_asked_for_with_the_token_in_a_header_alone() {
    let body = discovered(&[reel("CPv3UqsBFvg"), picture("B")], Some("QVFIone"));
    let site = Site::answering(move |_| json_of(200, &body)).await;
    let mut visit = site.visit();
    let profile = visit.account(&mill()).await.unwrap();
    assert_eq!(profile.unread, []);
    let account = profile.account;
    assert_eq!((account.pk, account.fbid.as_deref()), (None, Some("17841401234567890")));
    assert_eq!((account.followers, account.following, account.posts), (Some(1200), Some(3), Some(40)));
    assert_eq!((account.is_private, account.is_verified, account.category), (None, None, None));
    assert_eq!(account.full_name.as_deref(), Some("The Mill"));
    assert_eq!(account.external_url.as_deref(), Some("https://mill.test"));
    let posts = profile.first_posts.unwrap();
    assert_eq!(posts.next.unwrap().0, "graph:QVFIone");
    let first = &posts.items[0];
    assert_eq!((first.pk, first.code.as_str()), (2_589_531_623_544_609_760, "CPv3UqsBFvg"));
    assert_eq!((first.kind, first.is_reel), (Some(MediaKind::Video), Some(true)));
    assert_eq!((first.plays, first.views, first.likes, first.comments), (None, Some(100_856), Some(7), Some(2)));
    assert_eq!(first.display_url.as_deref(), Some("https://cdn.test/r.jpg"));
    assert_eq!(first.taken_at.unwrap().to_rfc3339(), "2026-05-07T12:34:56+00:00");
    let second = &posts.items[1];
    assert_eq!((second.views, second.comments, second.likes_hidden), (None, Some(0), false));
    assert_eq!(second.display_url.as_deref(), Some("https://cdn.test/p.jpg"));

    let seen = &site.seen()[0];
    assert_eq!(seen.path, format!("/v26.0/{ASKER}"));
    assert!(seen.fields.starts_with("business_discovery.username(mill){id,username,"), "{}", seen.fields);
    assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(!seen.query.contains("secret"), "{}", seen.query);
    let exchanges = visit.take_exchanges();
    assert_eq!((exchanges.len(), exchanges[0].endpoint, exchanges[0].status), (1, "business_discovery", Some(200)));
    assert!(exchanges[0].bytes > 0 && !exchanges[0].is_evidence());
    assert!(visit.take_exchanges().is_empty());
}

#[tokio::test]
async fn what_an_owner_hides_is_left_out_and_is_neither_zero_nor_news() {
    let mut hidden = reel("B");
    let mut null = reel("C");
    for field in ["like_count", "comments_count", "view_count", "media_url"] {
        hidden.as_object_mut().unwrap().remove(field);
        null[field] = Value::Null;
    }
    let body = discovered(&[hidden, null], None);
    let site = Site::answering(move |_| json_of(200, &body)).await;
    let profile = site.visit().account(&mill()).await.unwrap();
    assert_eq!(profile.unread, []);
    let posts = profile.first_posts.unwrap();
    for post in &posts.items {
        assert_eq!((post.likes, post.comments, post.views), (None, None, None));
    }
    // Null is not left out: nobody said that it is hidden.
    assert_eq!((posts.items[0].likes_hidden, posts.items[1].likes_hidden), (true, false));
    assert_eq!(posts.next, None);
}

#[tokio::test]
async fn a_field_that_is_gone_or_of_another_kind_is_news_by_its_path_and_the_rest_is_read() {
    let mut odd = picture("B");
    odd["media_type"] = json!("HOLOGRAM");
    odd["media_product_type"] = json!("AD");
    odd["timestamp"] = json!("yesterday");
    odd["comments_count"] = json!("many");
    let mut bare = reel("C");
    for field in ["media_type", "timestamp"] {
        bare.as_object_mut().unwrap().remove(field);
    }
    let mut nameless = picture("D");
    nameless["shortcode"] = json!({});
    nameless["permalink"] = json!(7);
    let mut addressed = reel("E");
    addressed.as_object_mut().unwrap().remove("shortcode");
    addressed.as_object_mut().unwrap().remove("media_product_type");
    let mut body = discovered(&[odd, bare, nameless, addressed], None);
    body["business_discovery"].as_object_mut().unwrap().remove("followers_count");
    body["business_discovery"]["media_count"] = json!(-4);
    let site = Site::answering(move |_| json_of(200, &body)).await;
    let mut visit = site.visit();
    let profile = visit.account(&mill()).await.unwrap();
    assert_eq!((profile.account.followers, profile.account.posts, profile.account.following), (None, None, Some(3)));
    let posts = profile.first_posts.unwrap().items;
    let codes: Vec<&str> = posts.iter().map(|post| post.code.as_str()).collect();
    assert_eq!(codes, ["B", "C", "E"]);
    assert_eq!((posts[0].kind, posts[0].taken_at, posts[0].comments, posts[0].likes), (None, None, None, Some(12)));
    assert_eq!((posts[1].is_reel, posts[2].is_reel), (Some(true), Some(true)));
    let of_media = |path: &str| format!("business_discovery.media.data{path}");
    let expected = [
        "business_discovery.followers_count".to_owned(),
        "business_discovery.media_count".to_owned(),
        of_media("[0].media_type"),
        of_media("[0].timestamp"),
        of_media("[0].comments_count"),
        of_media("[1].timestamp"),
        of_media("[1].media_type"),
        of_media("[2].permalink"),
        of_media("[2].shortcode"),
        of_media("[2]"),
    ];
    assert_eq!(profile.unread.iter().map(|unread| unread.path.clone()).collect::<Vec<_>>(), expected);
    assert!(visit.take_exchanges()[0].body.is_some(), "the very answer is kept");
}

#[tokio::test]
async fn an_answer_that_names_no_account_is_none_and_no_list_is_not_an_empty_one() {
    for body in [
        json!({"id": ASKER}),
        json!({"business_discovery": null, "id": ASKER}),
        json!({"business_discovery": [], "id": ASKER}),
        json!({"business_discovery": {"followers_count": 0, "media_count": 0}, "id": ASKER}),
        json!([]),
        json!(7),
    ] {
        let told = body.to_string();
        let site = Site::answering(move |_| json_of(200, &body)).await;
        assert_eq!(site.visit().account(&mill()).await.unwrap_err().kind, FailureKind::UnexpectedShape, "{told}");
    }
    // How many posts there are says the count; without a list nothing is said of the posts.
    for (count, media, posts) in [
        (json!(0), Value::Null, Some(0)),
        (json!(0), json!({"data": []}), Some(0)),
        (json!(9), Value::Null, None),
        (json!(9), json!({"data": []}), None),
        (json!(9), json!({"items": []}), None),
        (Value::Null, json!({"data": []}), None),
    ] {
        let mut body = discovered(&[], None);
        body["business_discovery"]["media_count"] = count;
        body["business_discovery"]["media"] = media;
        let site = Site::answering(move |_| json_of(200, &body)).await;
        let profile = site.visit().account(&mill()).await.unwrap();
        assert_eq!(profile.first_posts.map(|page| (page.items.len(), page.next)), posts.map(|posts| (posts, None)));
    }
}

#[tokio::test]
async fn a_field_that_is_refused_is_left_out_once_remembered_and_told() {
    let site = Site::answering(|seen| match seen.fields.contains("view_count") {
        true => error(100, "(#100) Tried accessing nonexisting field (view_count) on node type (IGMedia)"),
        false if seen.fields.contains("followers_count") => json_of(200, &discovered(&[picture("B")], Some("QVFIone"))),
        false => json_of(200, &page(&[picture("C")], None)),
    })
    .await;
    let mut visit = site.visit();
    let profile = visit.account(&mill()).await.unwrap();
    assert_eq!(profile.unread.len(), 1);
    let unread = &profile.unread[0];
    assert_eq!((unread.path.as_str(), unread.is_loss), ("business_discovery.media.data[].view_count", true));
    assert!(unread.found.contains("nonexisting field"), "{}", unread.found);
    let next = profile.first_posts.unwrap().next;
    let page = visit.posts(&account(), next.as_ref()).await.unwrap();
    assert_eq!((page.items.len(), page.unread), (1, vec![]), "it is not asked for again, and told once");
    let seen = site.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[1].fields.contains("profile_picture_url"), "what was not meant is still asked for");
    assert_eq!(site.gate.passed(), ["business_discovery", "business_discovery", "business_discovery_media"]);
    assert_eq!(site.gate.heard()[0].failure, Some(FailureKind::FieldsRefused));
    assert_eq!(visit.take_exchanges()[0].failure, Some("fields_refused"));
}

#[tokio::test]
async fn without_a_name_all_that_can_be_missed_is_left_out_and_asked_for_no_third_time() {
    let optional = ["name,", "profile_picture_url", "follows_count"];
    let site = Site::answering(move |seen| {
        let asks = optional.iter().any(|field| seen.fields.replace("username", "").contains(field));
        if asks { error(100, "(#100) Invalid parameter") } else { json_of(200, &discovered(&[], None)) }
    })
    .await;
    let profile = site.visit().account(&mill()).await.unwrap();
    assert_eq!(profile.account.followers, Some(1200));
    assert!(profile.unread.iter().any(|unread| unread.path == "business_discovery.follows_count"));

    let site = Site::answering(|_| error(100, "(#100) Invalid parameter")).await;
    let mut visit = site.visit();
    let failure = visit.account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, site.seen().len()), (FailureKind::FieldsRefused, 2));
    // An account that is not shown is no matter of fields.
    let hidden = json!({"error": {"message": "no", "code": 100, "error_subcode": 2_207_013}});
    let site = Site::answering(move |_| json_of(400, &hidden)).await;
    let failure = site.visit().account(&mill()).await.unwrap_err();
    assert_eq!((failure.kind, site.seen().len()), (FailureKind::NotDiscoverable, 1));
}
