//! What the two pipelines bring: the events in their order, the rows as Instagram tells them, the numbers over time.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Replica, World, assert_sound, event, event_types};

/// A cookie that the sandbox takes for a live session.
pub(crate) const SESSION: (&str, &str) = ("IGT_WEB_COOKIE", "sessionid=sessionsecret; csrftoken=csrfsecret");

#[tokio::test]
async fn a_profile_run_tells_its_steps_in_order_with_words_and_numbers() {
    let (world, replica) = World::with_replica().await;
    let status = world.scrape(&replica, "t", "steps.anna").await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("completed"), &Value::Null), "{status:#}");
    let types = event_types(&status);
    let pages = types.iter().filter(|what| **what == "posts_fetched").count();
    assert_eq!(types[..2], ["scrape_started", "account_fetched"]);
    assert_eq!(types[2..2 + pages], vec!["posts_fetched"; pages]);
    assert_eq!(types[2 + pages..], ["profile_data_updated", "scrape_completed"]);

    let posts_count = whole(&event(&status, "account_fetched")["posts_count"]);
    let followers = whole(&event(&status, "account_fetched")["followers_count"]);
    let scraped = posts_count.min(60);
    assert_eq!(event(&status, "scrape_started")["message"], "Started scraping @steps.anna");
    assert_eq!(event(&status, "scrape_started")["kind"], "profile");
    let fetched = event(&status, "account_fetched");
    assert_eq!(fetched["message"], format!("Profile data retrieved: @steps.anna with {posts_count} posts"));
    assert!(fetched["is_private"].is_boolean() && fetched["is_verified"].is_boolean());
    assert!(whole(&fetched["following_count"]) >= 0 && whole(&fetched["duration_ms"]) >= 0);
    assert_pages(&status, scraped);
    let updated = event(&status, "profile_data_updated");
    assert_eq!(updated["message"], "Profile data of @steps.anna updated in the database");
    for last in [updated, event(&status, "scrape_completed")] {
        assert_eq!(whole(&last["scraped_posts_count"]), scraped);
        assert_eq!(whole(&last["followers_count"]), followers);
        assert_eq!(whole(&last["posts_count"]), posts_count);
    }
    let completed = event(&status, "scrape_completed");
    let message = completed["message"].as_str().unwrap();
    assert!(message.starts_with("Scrape of @steps.anna completed in "), "{message}");
    assert!(message.ends_with(&format!(" s: {scraped} posts")), "{message}");
    assert!(completed["duration_ms"].as_f64().unwrap() > 0.0);
    assert_sound(&world.database.pool).await;
    assert_truthful(&world.database.pool).await;
}

#[tokio::test]
async fn a_reel_run_tells_its_progress_which_never_falls() {
    let (world, replica) = World::with_replica().await;
    let status = world.scrape_reels(&replica, "t", "progress.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let types = event_types(&status);
    let count = |what: &str| types.iter().filter(|other| **other == what).count();
    let (pages, steps) = (count("posts_fetched"), count("processing_reels"));
    let order = [
        &["scrape_started", "account_fetched"][..],
        &vec!["posts_fetched"; pages],
        &["reels_filtered"],
        &vec!["processing_reels"; steps],
        &["reels_processed", "profile_data_updated", "scrape_completed"],
    ];
    assert_eq!(types, order.concat());

    let scraped = whole(&event(&status, "account_fetched")["posts_count"]).min(60);
    assert_pages(&status, scraped);
    let filtered = event(&status, "reels_filtered");
    let reels = whole(&filtered["reels_count"]);
    assert!(reels > 0 && whole(&filtered["scraped_posts_count"]) == scraped);
    assert_eq!(filtered["message"], format!("{reels} of {scraped} posts are reels"));
    let steps: Vec<&Value> = of_type(&status, "processing_reels");
    let done: Vec<i64> = steps.iter().map(|step| whole(&step["done"])).collect();
    assert!(done.is_sorted() && done[0] > 0 && done.last() == Some(&reels), "{done:?}");
    for step in steps {
        assert_eq!(whole(&step["total"]), reels);
        assert_eq!(step["message"], format!("Reels processed: {} of {reels}", step["done"]));
    }
    let processed = event(&status, "reels_processed");
    assert_eq!((whole(&processed["done"]), whole(&processed["total"])), (reels, reels));
    assert_eq!(
        (&processed["message"], &processed["missing"]),
        (&json!(format!("All {reels} reels processed")), &json!([]))
    );
    let completed = event(&status, "scrape_completed");
    assert_eq!((whole(&completed["reels_count"]), whole(&completed["scraped_reels_count"])), (reels, reels));
    assert_sound(&world.database.pool).await;
    assert_truthful(&world.database.pool).await;
}

/// The first sixty that are there: an account that repeats itself over its pages tells some of them twice.
fn distinct(mut posts: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    posts.retain(|post| seen.insert(post["code"].as_str().unwrap().to_owned()));
    posts.truncate(60);
    posts
}

#[tokio::test]
async fn what_was_scraped_is_what_instagram_tells() {
    let (world, replica) = World::with_replica().await;
    for username in ["mirror.anna", "hidden.anna", "ownerless.anna", "emptyedges.anna", "repeating.anna"] {
        let before = (world.instagram.user(username).await, distinct(world.instagram.posts(username, 72).await));
        assert_eq!(world.scrape_reels(&replica, username, username).await["status"], "completed");
        let after = (world.instagram.user(username).await, by_code(world.instagram.posts(username, 72).await));
        let details = details(&replica, username).await;

        let data = &details["target_profile_data"];
        assert_eq!(data["instagram_id"], before.0["id"]);
        for (ours, theirs) in [
            ("username", "username"),
            ("full_name", "full_name"),
            ("biography", "biography"),
            ("category", "category_name"),
            ("external_url", "external_url"),
            ("is_private", "is_private"),
            ("is_verified", "is_verified"),
            ("profile_pic_url", "profile_pic_url_hd"),
        ] {
            assert_eq!(data[ours], before.0[theirs], "{username}: {ours}");
        }
        assert_eq!(data["following_count"], before.0["edge_follow"]["count"]);
        assert_eq!(data["posts_count"], before.0["edge_owner_to_timeline_media"]["count"]);
        // Followers come and go by the second, around the same number.
        let (ours, theirs) = (whole(&data["followers_count"]), whole(&before.0["edge_followed_by"]["count"]));
        assert!((ours - theirs).abs() as f64 <= 8.0 + (theirs as f64).sqrt() / 10.0, "{ours} for {theirs}");

        let ours = by_shortcode(&data["scraped_posts"]);
        assert_eq!(ours.len(), before.1.len(), "{username}");
        for post in &before.1 {
            let code = post["code"].as_str().unwrap();
            assert_same_post(&ours[code], post, &after.1[code]);
        }
        let reels: Vec<&str> =
            data["scraped_reels"].as_array().unwrap().iter().map(|reel| reel["shortcode"].as_str().unwrap()).collect();
        let is_reel = |post: &&Value| post["product_type"] == "clips";
        let theirs: BTreeSet<&str> =
            before.1.iter().filter(is_reel).map(|post| post["code"].as_str().unwrap()).collect();
        assert_eq!(reels.iter().copied().collect::<BTreeSet<_>>(), theirs, "{username}");
        assert_eq!(reels.len(), theirs.len(), "{username}");
    }
    // Plays and views stand in two columns, and are two numbers.
    let pool = &world.database.pool;
    let both = "select count(*) from media_snapshots where plays_count > views_count";
    assert!(count(pool, both).await > 0);
    assert_eq!(count(pool, "select count(*) from media_snapshots where plays_count <= views_count").await, 0);
    assert_truthful(pool).await;
}

#[tokio::test]
async fn hidden_likes_are_null_and_marked_and_never_a_number() {
    let (world, replica) = World::with_replica().await;
    world.scrape_reels(&replica, "t", "hidden.bert").await;
    let details = details(&replica, "t").await;
    let posts = details["target_profile_data"]["scraped_posts"].as_array().unwrap();
    assert!(!posts.is_empty());
    for post in posts {
        assert_eq!((&post["likes_count"], &post["likes_hidden"]), (&Value::Null, &json!(true)), "{post}");
        assert!(post["comments_count"].is_i64(), "{post}");
    }
    let shown = "select count(*) from media_snapshots where likes_count is not null or not likes_hidden";
    assert_eq!(count(&world.database.pool, shown).await, 0);
}

#[tokio::test]
async fn as_many_posts_are_read_as_the_setting_says_and_no_more() {
    for max in [1, 12, 13, 1000] {
        let world = World::new().await;
        let replica = world.replica(&[("IGT_MAX_POSTS", &max.to_string())]).await;
        let username = format!("limit.{max}");
        let theirs = world.instagram.posts(&username, max).await;
        let asked_before = world.instagram.requests(&username).await.len();
        let status = world.scrape(&replica, "t", &username).await;
        assert_eq!(status["status"], "completed");
        let asked = world.instagram.requests(&username).await.len() - asked_before;
        let expected = theirs.len() as i64;
        assert_eq!(whole(&event(&status, "scrape_completed")["scraped_posts_count"]), expected, "{max}");
        assert_eq!(count(&world.database.pool, "select count(*) from media").await, expected);
        let details = details(&replica, "t").await;
        let ours = by_shortcode(&details["target_profile_data"]["scraped_posts"]);
        assert_eq!(ours.len(), theirs.len());
        assert!(theirs.iter().all(|post| ours.contains_key(post["code"].as_str().unwrap())));
        // The account, which mostly brings a dozen, and then a dozen a page.
        assert!(asked <= 1 + theirs.len().div_ceil(12), "{asked} requests for {expected} posts");
    }
}

#[tokio::test]
async fn a_number_that_rests_is_one_row_and_one_that_changes_is_a_new_one() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    let username = "overtime.anna";
    let scrape = async || {
        let status = world.scrape_reels(&replica, "t", username).await;
        assert_eq!(status["status"], "completed", "{status:#}");
        latest_run_start(pool).await
    };
    scrape().await;
    let posts = count(pool, "select count(*) from media").await;
    let first = count(pool, "select count(*) from media_snapshots").await;

    // Nothing but what grew by itself has a second row; the others were seen until now.
    let second = scrape().await;
    assert_truthful(pool).await;
    let rested = "select count(*) from (select from media_snapshots group by profile_id, shortcode having count(*) = 1
                  and min(observed_from) < $1 and max(observed_until) > $1) as rested";
    let rested: i64 = sqlx::query_scalar(rested).bind(second).fetch_one(pool).await.unwrap();
    assert!(rested > 0, "older posts rest");
    let stale = "select count(*) from (select max(observed_until) as until from media_snapshots
                 group by profile_id, shortcode) as latest where until < $1";
    let stale: i64 = sqlx::query_scalar(stale).bind(second).fetch_one(pool).await.unwrap();
    assert_eq!(stale, 0, "every post was seen again");
    assert!(count(pool, "select count(*) from media_snapshots").await >= first);

    // The owner hides all likes: a change of every post that showed them.
    let shown = "select count(*) from (select distinct on (shortcode) likes_hidden from media_snapshots
                 order by shortcode, observed_from desc) as latest where not likes_hidden";
    let showing = count(pool, shown).await;
    assert!(showing > posts / 2);
    world.instagram.fault(username, json!({"fault": "hidden"})).await;
    let third = scrape().await;
    assert_eq!(count(pool, shown).await, 0);
    let hidden =
        "select count(*) from media_snapshots where observed_from > $1 and likes_hidden and likes_count is null";
    let hidden: i64 = sqlx::query_scalar(hidden).bind(third).fetch_one(pool).await.unwrap();
    assert!(hidden >= showing, "{hidden} of {showing}");

    // And shows them again.
    world.instagram.mend(username).await;
    scrape().await;
    assert_eq!(count(pool, shown).await, showing);
    assert_truthful(pool).await;
    assert_sound(pool).await;
}

#[tokio::test]
async fn an_answer_that_tells_no_number_begins_no_row() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    world.scrape_reels(&replica, "t", "silent.anna").await;
    // All but the time until which a row is seen; a post of the last minutes may truly have none of anything.
    let numbers = async || {
        let rows =
            "select jsonb_agg(to_jsonb(s) - 'observed_until' order by shortcode, observed_from) from media_snapshots s";
        sqlx::query_scalar::<_, Value>(rows).fetch_one(pool).await.unwrap()
    };
    let before = numbers().await;
    world.instagram.fault("silent.anna", json!({"fault": "nulls"})).await;
    assert_eq!(world.scrape_reels(&replica, "t", "silent.anna").await["status"], "completed");
    assert_eq!(numbers().await, before);
    // What was known stays to be read.
    let details = details(&replica, "t").await;
    let posts = details["target_profile_data"]["scraped_posts"].as_array().unwrap();
    assert!(posts.iter().any(|post| post["likes_count"].is_i64()));
    assert_truthful(pool).await;
}

#[tokio::test]
async fn what_one_run_tells_of_a_reel_in_two_answers_is_one_row() {
    let world = World::new().await;
    // With a session the timeline tells the views, and the reels tab does not.
    let replica = world.replica(&[SESSION]).await;
    let pool = &world.database.pool;
    assert_eq!(world.scrape_reels(&replica, "t", "onerow.anna").await["status"], "completed");
    // A number that grew between the two answers is a change; the posts that rest have one row with both numbers.
    let reels = "select count(*) from media where is_reel";
    let one_row = "select count(*) from (select max(views_count) as views, max(plays_count) as plays
                   from media_snapshots join media using (profile_id, shortcode) where is_reel
                   group by profile_id, shortcode having count(*) = 1) as reel";
    let (reels, one_row) = (count(pool, reels).await, count(pool, one_row).await);
    assert!(one_row * 2 > reels, "{one_row} of {reels}");
    let split = "select count(*) from media_snapshots where plays_count is not null and views_count is null";
    let grown = "select count(*) - count(distinct shortcode) from media_snapshots";
    assert!(count(pool, split).await <= count(pool, grown).await);
    assert_truthful(pool).await;
}

#[tokio::test]
async fn runs_that_read_the_same_account_at_once_neither_block_nor_double_anything() {
    let world = World::new().await;
    let (one, other) = (world.replica(&[]).await, world.replica(&[]).await);
    for round in 0..4 {
        let username = format!("together.{round}");
        world.instagram.hold(&username, 0).await;
        let tasks =
            [(&one, "profile", ""), (&other, "twin", ""), (&one, "reel", "_reel"), (&other, "reeltwin", "_reel")];
        for (replica, name, kind) in tasks {
            let task = format!("{name}-{round}");
            replica.create(&format!("create{kind}_task"), &task, &username).await;
            replica.post(&format!("/force_scrape{kind}/{task}")).await.ok();
        }
        world.instagram.holds(&username, 4).await;
        world.instagram.let_go(&username).await;
        for (replica, name, _) in tasks {
            let status = world.ended(replica, &format!("{name}-{round}")).await;
            assert_eq!(status["status"], "completed", "{status:#}");
        }
    }
    let pool = &world.database.pool;
    assert_eq!(count(pool, "select count(*) from profiles").await, 4);
    let too_many = "select count(*) from (select from media group by profile_id having count(*) > 60) as too_many";
    assert_eq!(count(pool, too_many).await, 0);
    assert_truthful(pool).await;
    assert_sound(pool).await;
    for replica in [&one, &other] {
        assert_eq!(replica.troubles(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_session_reads_other_endpoints_and_finds_the_same() {
    let (guests, members) = (World::new().await, World::new().await);
    let (guest, member) = (guests.replica(&[]).await, members.replica(&[SESSION]).await);
    let username = "member.anna";
    guests.scrape_reels(&guest, "t", username).await;
    let seen = members.instagram.requests(username).await.len();
    let status = members.scrape_reels(&member, "t", username).await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let requests = members.instagram.requests(username).await.split_off(seen);
    assert!(requests.iter().all(|request| request["session"] == true && request["status"] == 200), "{requests:?}");
    let asked: Vec<&str> = requests.iter().map(|request| request["endpoint"].as_str().unwrap()).collect();
    assert!(asked.contains(&"timeline") && asked.contains(&"reels_tab"), "{asked:?}");
    assert!(!asked.contains(&"feed") && !asked.contains(&"clips_user"), "{asked:?}");

    let (theirs, ours) = (details(&guest, "t").await, details(&member, "t").await);
    let (theirs, ours) = (&theirs["target_profile_data"], &ours["target_profile_data"]);
    for field in
        ["instagram_id", "full_name", "biography", "category", "external_url", "following_count", "posts_count"]
    {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    for list in ["scraped_posts", "scraped_reels"] {
        let (theirs, ours) = (theirs[list].as_array().unwrap(), ours[list].as_array().unwrap());
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            for field in [
                "instagram_id",
                "shortcode",
                "url",
                "media_type",
                "is_reel",
                "is_pinned",
                "taken_at",
                "caption",
                "duration_seconds",
                "display_url",
                "likes_hidden",
            ] {
                assert_eq!(ours[field], theirs[field], "{field} of {}", ours["shortcode"]);
            }
            for number in ["likes_count", "comments_count", "plays_count", "views_count"] {
                // The guest asked first, and numbers only grow.
                assert!(ours[number].as_i64() >= theirs[number].as_i64(), "{number}: {ours} {theirs}");
                assert_eq!(ours[number].is_null(), theirs[number].is_null(), "{number}: {ours} {theirs}");
            }
        }
    }
    assert_truthful(&members.database.pool).await;
}

/// What must hold of all rows, whatever was read: hidden is null, neighbours differ, and every row's source exists.
pub(crate) async fn assert_truthful(pool: &PgPool) {
    for (what, query) in [
        ("a hidden number", "select count(*) from media_snapshots where likes_hidden and likes_count is not null"),
        (
            "two rows that say the same of a post",
            "select count(*) from (
                 select (likes_count, likes_hidden, comments_count, plays_count, views_count) is not distinct from
                        lag((likes_count, likes_hidden, comments_count, plays_count, views_count))
                            over (partition by profile_id, shortcode order by observed_from) as same,
                        row_number() over (partition by profile_id, shortcode order by observed_from) as n
                 from media_snapshots) as rows where same and n > 1",
        ),
        (
            "two rows that say the same of an account",
            "select count(*) from (
                 select (followers_count, following_count, posts_count) is not distinct from
                        lag((followers_count, following_count, posts_count))
                            over (partition by profile_id order by observed_from) as same,
                        row_number() over (partition by profile_id order by observed_from) as n
                 from profile_snapshots) as rows where same and n > 1",
        ),
        (
            "times of a post that overlap",
            "select count(*) from media_snapshots a join media_snapshots b using (profile_id, shortcode)
             where a.observed_from < b.observed_from and a.observed_until > b.observed_from",
        ),
        (
            "a snapshot of a post that is not there",
            "select count(*) from media_snapshots s where not exists (
                 select from media m where (m.profile_id, m.shortcode) = (s.profile_id, s.shortcode))",
        ),
        (
            "a row whose event does not exist",
            "select count(*) from (
                 select run_id, seq from profiles union all select run_id, seq from profile_snapshots
                 union all select run_id, seq from media union all select run_id, seq from media_snapshots) as found
             where not exists (select from events e where (e.run_id, e.seq) = (found.run_id, found.seq))",
        ),
    ] {
        assert_eq!(count(pool, query).await, 0, "{what}");
    }
}

async fn details(replica: &Replica, task: &str) -> Value {
    replica.get(&format!("/task_details/{task}")).await.ok()["response"].clone()
}

/// One post of ours against the site's own, asked before and after it was read: what grows lies between.
fn assert_same_post(ours: &Value, before: &Value, after: &Value) {
    let hidden = before["like_and_view_counts_disabled"] == true;
    assert_eq!(ours["instagram_id"], before["pk"].as_i64().unwrap().to_string());
    assert_eq!(ours["taken_at"], before["taken_at"]);
    assert_eq!(ours["caption"], before["caption"]["text"]);
    assert_eq!(ours["duration_seconds"], before["video_duration"]);
    assert_eq!(ours["is_reel"], before["product_type"] == "clips");
    assert_eq!(ours["is_pinned"], before["timeline_pinned_user_ids"] != json!([]), "{before}");
    assert_eq!(ours["display_url"], before["image_versions2"]["candidates"][0]["url"]);
    assert_eq!(ours["likes_hidden"], hidden);
    let kind = match before["media_type"].as_i64() {
        Some(1) => "image",
        Some(2) => "video",
        _ => "carousel",
    };
    assert_eq!(ours["media_type"], kind);
    for (number, theirs) in [
        ("likes_count", "like_count"),
        ("comments_count", "comment_count"),
        ("plays_count", "play_count"),
        ("views_count", "view_count"),
    ] {
        let unknown = before[theirs].is_null() || (number == "likes_count" && hidden);
        assert_eq!(ours[number].is_null(), unknown, "{number}: {ours} for {before}");
        if !unknown {
            let range = whole(&before[theirs])..=whole(&after[theirs]);
            assert!(range.contains(&whole(&ours[number])), "{number}: {ours} for {range:?}");
        }
    }
}

/// Every page's event counts on: pages by one, posts by what was on it, up to all.
fn assert_pages(status: &Value, scraped: i64) {
    let mut so_far = 0;
    for (place, page) in of_type(status, "posts_fetched").into_iter().enumerate() {
        so_far += whole(&page["page_posts"]);
        assert_eq!(whole(&page["page"]), place as i64 + 1);
        assert_eq!(whole(&page["scraped_posts_count"]), so_far);
        assert!(page["followers_count"].is_i64() && page["duration_ms"].is_u64(), "{page}");
        let (number, posts) = (place + 1, &page["page_posts"]);
        assert_eq!(page["message"], format!("Page {number} read: {posts} posts, {so_far} so far"));
    }
    assert_eq!(so_far, scraped);
}

fn of_type<'a>(status: &'a Value, event_type: &str) -> Vec<&'a Value> {
    status["logs"].as_array().unwrap().iter().filter(|event| event["event_type"] == event_type).collect()
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn by_code(posts: Vec<Value>) -> HashMap<String, Value> {
    posts.into_iter().map(|post| (post["code"].as_str().unwrap().to_owned(), post)).collect()
}

fn by_shortcode(posts: &Value) -> HashMap<String, Value> {
    let posts = posts.as_array().unwrap().iter();
    posts.map(|post| (post["shortcode"].as_str().unwrap().to_owned(), post.clone())).collect()
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// When the latest run began.
async fn latest_run_start(pool: &PgPool) -> chrono::DateTime<chrono::Utc> {
    sqlx::query_scalar("select max(started_at) from runs").fetch_one(pool).await.unwrap()
}
