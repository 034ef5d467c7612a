//! What an answer does not tell any more, or tells in another form: it is news with its path, and what was known stays.

use ig_tracking::db::{media, profiles};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::bodies::with_pages;
use crate::harness::{Database, World, assert_sound, event};
use crate::pipelines::{SESSION, assert_truthful};
use crate::schema::{claimed, post, profile};

/// Guest and session, each with the list that it reads posts from.
const BOTH: [(&[(&str, &str)], &str); 2] = [(&[], "feed"), (&[SESSION], "timeline")];

/// What is stored of posts beside their numbers, and of captions that were edited.
pub(crate) async fn told(pool: &PgPool) -> Vec<Value> {
    let rows = "select to_jsonb(m) - array['last_seen_at', 'run_id', 'seq', 'missing_since'] from media m
                union all select to_jsonb(c) from media_captions c
                order by 1";
    sqlx::query_scalar(rows).fetch_all(pool).await.unwrap()
}

/// How many of the posts have a caption.
async fn captions(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from media where caption is not null").fetch_one(pool).await.unwrap()
}

/// The news of a run, by path: what was expected and what was found.
fn news(status: &Value) -> Vec<(&str, &str, &str)> {
    let logs = status["logs"].as_array().unwrap().iter();
    let changed = logs.filter(|event| event["event_type"] == "upstream_changed");
    changed
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap();
            (text("path"), text("expected"), text("found"))
        })
        .collect()
}

#[tokio::test]
async fn a_caption_that_is_gone_or_of_another_type_stays_as_it_was_on_the_first_page_and_on_later_ones() {
    for (settings, list) in BOTH {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        let pool = &world.database.pool;
        let username = &with_pages(&world, &format!("captions.{list}")).await;
        assert_eq!(world.scrape(&replica, "t", username).await["status"], "completed");
        let before = told(pool).await;
        assert!(captions(pool).await > 0);
        for fault in ["nocaptions", "oddcaptions"] {
            for endpoint in ["web_profile_info", list] {
                world.instagram.fault(username, json!({"fault": fault, "endpoint": endpoint})).await;
                let status = world.scrape(&replica, "t", username).await;
                world.instagram.mend(username).await;
                let end = (&status["status"], &status["reason"]);
                assert_eq!(end, (&json!("partial"), &json!("upstream_changed")), "{fault} at {endpoint}: {status:#}");
                let news = news(&status);
                assert!(news.len() == 1 && news[0].0.contains("caption"), "{fault} at {endpoint}: {news:?}");
                let found = if fault == "nocaptions" { "nothing" } else { "a list of 1" };
                assert_eq!(news[0].2, found, "{fault} at {endpoint}");
                // A post may have appeared meanwhile.
                let after = told(pool).await;
                assert!(before.iter().all(|row| after.contains(row)), "{fault} at {endpoint}");
                assert!(after.iter().all(|row| row.get("observed_from").is_none()), "no caption was edited: {after:?}");
            }
        }
        assert_truthful(pool).await;
        assert_sound(pool).await;
    }
}

#[tokio::test]
async fn times_kinds_and_products_that_are_gone_are_news_and_what_was_known_of_a_post_stays() {
    for (settings, list) in BOTH {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        let pool = &world.database.pool;
        let username = &with_pages(&world, &format!("kinds.{list}")).await;
        assert_eq!(world.scrape_reels(&replica, "t", username).await["status"], "completed");
        let before = told(pool).await;
        assert!(before.iter().any(|row| row["is_reel"] == true));
        world.instagram.fault(username, json!({"fault": "untold"})).await;
        let status = world.scrape_reels(&replica, "t", username).await;
        world.instagram.mend(username).await;
        let end = (&status["status"], &status["reason"]);
        assert_eq!(end, (&json!("partial"), &json!("upstream_changed")), "{status:#}");
        let news = news(&status);
        for (key, expected) in [
            ("taken_at", "a time in seconds since 1970"),
            ("media_type", "1, 2 or 8"),
            ("product_type", "clips, feed or another product, or null"),
        ] {
            let told = news.iter().find(|(path, ..)| path.ends_with(&format!(".{key}"))).unwrap();
            assert_eq!((told.1, told.2), (expected, "nothing"), "{key}");
        }
        let after = told(pool).await;
        assert!(before.iter().all(|row| after.contains(row)), "{before:#?} {after:#?}");
        // A scan without times covers nothing, and misses no post.
        let missing = "select count(*) from media where missing_since is not null";
        assert_eq!(sqlx::query_scalar::<_, i64>(missing).fetch_one(pool).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_link_that_cannot_be_read_stays_as_it_was_and_one_that_was_taken_away_does_not() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    let mut username = String::new();
    for n in 0.. {
        username = format!("linked.{n}");
        if world.instagram.user(&username).await["external_url"].is_string() {
            break;
        }
    }
    let link = async || -> Option<String> {
        sqlx::query_scalar("select external_url from profiles").fetch_one(pool).await.unwrap()
    };
    world.scrape(&replica, "t", &username).await;
    let before = link().await;
    assert!(before.is_some());
    world.instagram.fault(&username, json!({"fault": "oddlinks"})).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!(event(&status, "upstream_changed")["path"], "data.user.external_url");
    assert_eq!(link().await, before);

    let run = claimed(pool, "told").await;
    let mut transaction = pool.begin().await.unwrap();
    let seen = profiles::NewProfile { username: username.clone(), external_url: None, ..profile() };
    let instagram_pk = sqlx::query_scalar("select instagram_pk from profiles").fetch_one(pool).await.unwrap();
    let seen = profiles::NewProfile { instagram_pk, external_url_told: true, ..seen };
    profiles::record(&mut transaction, run.run_id, 1, &seen).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(link().await, None);
}

#[tokio::test]
async fn a_caption_that_is_first_told_after_its_post_was_met_is_no_edit() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let mut transaction = pool.begin().await.unwrap();
    let profile_id = profiles::record(&mut transaction, run.run_id, 1, &profile()).await.unwrap().profile_id;
    transaction.commit().await.unwrap();
    let see = async |caption: Option<&str>, caption_told: bool| -> (Option<String>, bool, i64) {
        let post = media::NewMedia { caption: caption.map(str::to_owned), caption_told, ..post() };
        let mut transaction = pool.begin().await.unwrap();
        media::record(&mut transaction, run.run_id, 1, profile_id, &[post]).await.unwrap();
        transaction.commit().await.unwrap();
        let row = "select caption, caption_since is not null, (select count(*) from media_captions) from media";
        sqlx::query_as(row).fetch_one(&pool).await.unwrap()
    };
    assert_eq!(see(None, false).await, (None, false, 0));
    assert_eq!(see(Some("one"), true).await, (Some("one".to_owned()), false, 0));
    assert_eq!(see(None, false).await, (Some("one".to_owned()), false, 0));
    assert_eq!(see(Some("two"), true).await, (Some("two".to_owned()), true, 1));
}
