//! The official source through the whole service: what its runs store, how each of its failures ends, how it shares its
//! tokens, and how the web source goes on where it cannot.

mod drift;
mod faults;
mod table;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::credentials::{File, everything, row, unique};
use crate::failures::HURRIED;
use crate::harness::{Replica, World, assert_sound, call, event, event_types, eventually};
use crate::pipelines::assert_truthful;

/// A token that may ask as much as any test does.
fn ample() -> String {
    unique("budget-100000-")
}

/// A file with one token by the name `official`.
fn of_token(token: &str, pace: &str) -> File {
    let entry = format!("name = \"official\"\ntoken = \"{token}\"\nuser_id = \"17841400000000001\"");
    File::of(&format!("[[token]]\n{entry}\npace = {{ {pace} }}\n"))
}

/// A replica that has the credentials of a file, and the official source where the web source is.
async fn replica(world: &World, file: &File, settings: &[(&str, &str)]) -> Replica {
    let of_file = [("IGT_CREDENTIALS", file.path()), ("IGT_GRAPH_URL", &world.instagram.url)];
    world.replica(&[&HURRIED[..], &of_file, settings].concat()).await
}

/// Creates a task of a source and begins its run.
async fn begin(replica: &Replica, kind: &str, task: &str, username: &str, source: &str) {
    let infix = if kind == "reel" { "_reel" } else { "" };
    let body = json!({"task_id": task, "username": username, "source": source});
    replica.post_json(&format!("/create{infix}_task"), &body).await.ok();
    replica.post(&format!("/force_scrape{infix}/{task}")).await.ok();
}

/// The same to the run's end.
async fn scrape(world: &World, replica: &Replica, kind: &str, task: &str, username: &str, source: &str) -> Value {
    begin(replica, kind, task, username, source).await;
    world.ended(replica, task).await
}

/// So many posts are three pages of this source.
const THREE_PAGES: i64 = 60;

/// The name of an account that has pinned posts.
async fn with_pinned_posts(world: &World, beginning: &str) -> String {
    for n in 0.. {
        let username = format!("{beginning}.{n}");
        if world.instagram.posts(&username, 1).await[0]["timeline_pinned_user_ids"] != json!([]) {
            return username;
        }
    }
    unreachable!()
}

fn end(status: &Value) -> (&str, Option<&str>) {
    (status["status"].as_str().unwrap(), status["reason"].as_str())
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// What must hold of all rows where several sources have read: what one of them does not tell contradicts nothing.
async fn assert_one_history(pool: &PgPool) {
    assert_sound(pool).await;
    assert_truthful(pool).await;
    for (what, query) in [
        (
            "a row of a post that says nothing new",
            "select count(*) from (
                 select s.*, lag(s) over (partition by profile_id, shortcode order by observed_from) as b
                 from media_snapshots s) as rows
             where b is not null and likes_hidden = (b).likes_hidden
                 and coalesce(likes_count = (b).likes_count, likes_count is null)
                 and coalesce(comments_count = (b).comments_count, comments_count is null)
                 and coalesce(plays_count = (b).plays_count, plays_count is null)
                 and coalesce(views_count = (b).views_count, views_count is null)",
        ),
        (
            "a row of an account that says nothing new",
            "select count(*) from (
                 select s.*, lag(s) over (partition by profile_id order by observed_from) as b
                 from profile_snapshots s) as rows
             where b is not null
                 and coalesce(followers_count = (b).followers_count, followers_count is null)
                 and coalesce(following_count = (b).following_count, following_count is null)
                 and coalesce(posts_count = (b).posts_count, posts_count is null)",
        ),
        ("two rows of one account", "select count(*) - count(distinct username) from profiles"),
        ("two rows of one post", "select count(*) - count(distinct shortcode) from media"),
    ] {
        assert_eq!(count(pool, query).await, 0, "{what}");
    }
}

#[tokio::test]
async fn profile_and_reel_runs_of_the_official_source_store_what_it_tells_and_the_token_nowhere() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let token = ample();
    let file = of_token(&token, "");
    let replica = replica(&world, &file, &[("IGT_LOG", "debug")]).await;
    let mut told = Vec::new();
    for (kind, username) in [("profile", "truthful.anna"), ("reel", "truthful.bert"), ("reel", "hidden.official")] {
        let status = scrape(&world, &replica, kind, username, username, "graph").await;
        assert_eq!(end(&status), ("completed", None), "{status:#}");
        let user = world.instagram.user(username).await;
        let all = user["edge_owner_to_timeline_media"]["count"].as_i64().unwrap();
        let completed = event(&status, "scrape_completed");
        assert_eq!(completed["scraped_posts_count"], all.min(60), "{username}");
        if kind == "reel" {
            let processed = event(&status, "reels_processed");
            assert!(processed["total"].as_i64().unwrap() > 0, "{processed}");
            assert_eq!((&processed["done"], &processed["missing"]), (&processed["total"], &json!([])));
        }
        let stored: Value = sqlx::query_scalar("select to_jsonb(p) from profiles p where username = $1")
            .bind(username)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!((&stored["instagram_pk"], &stored["fbid"]), (&Value::Null, &user["fbid"]), "{username}");
        for unknown in ["is_private", "is_verified", "category"] {
            assert_eq!(stored[unknown], Value::Null, "{username}: {unknown}");
        }
        let details = replica.get(&format!("/task_details/{username}")).await.ok()["response"].clone();
        let data = &details["target_profile_data"];
        assert_eq!((&data["full_name"], &data["posts_count"]), (&user["full_name"], &json!(all)), "{username}");
        // The numbers are those that the web source tells a moment later, and likes are told unless they are hidden.
        let posts = world.instagram.posts(username, 60).await;
        for ours in data["scraped_posts"].as_array().unwrap() {
            let Some(theirs) = posts.iter().find(|post| post["code"] == ours["shortcode"]) else { continue };
            let hidden = theirs["like_and_view_counts_disabled"] == json!(true) || theirs["like_count"] == json!(-1);
            assert_eq!((&ours["likes_hidden"], ours["likes_count"].is_null()), (&json!(hidden), hidden), "{ours}");
            assert!(hidden || ours["likes_count"].as_i64().unwrap() <= theirs["like_count"].as_i64().unwrap());
            assert_eq!(ours["is_reel"], json!(theirs["product_type"] == "clips"), "{ours}");
        }
        told.push(status.to_string());
        told.push(details.to_string());
    }
    let plays = "select count(*) from media_snapshots where plays_count is not null";
    assert_eq!(count(pool, plays).await, 0, "they are not told");
    let views = "select count(*) from media_snapshots where views_count > 0";
    assert!(count(pool, views).await > 0);
    let hidden = "select count(*) from media_snapshots join profiles using (profile_id)
                  where username = 'hidden.official' and not likes_hidden";
    assert_eq!(count(pool, hidden).await, 0);
    let asked: Vec<(String, Option<String>)> =
        sqlx::query_as("select distinct source, credential from run_exchanges").fetch_all(pool).await.unwrap();
    assert_eq!(asked, [("graph".to_owned(), Some("official".to_owned()))]);
    // What fails and is kept tells no token, either; and neither does one that is refused.
    for fault in ["verbose.1", "badtoken", "oddusage"] {
        told.push(scrape(&world, &replica, "profile", fault, &format!("{fault}.told"), "graph").await.to_string());
    }
    assert_one_history(pool).await;
    told.push(replica.ask(reqwest::Method::GET, "/metrics", None).await.text);
    told.extend(replica.lines());
    told.extend(everything(pool).await);
    for text in told {
        assert!(!text.contains(&token), "{}", &text[text.find(&token).unwrap().saturating_sub(200)..]);
    }
}

#[tokio::test]
async fn auto_asks_with_the_token_first_and_goes_on_with_the_web_source_where_that_is_not_offered() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    let status = scrape(&world, &replica, "reel", "offered", "offered.anna", "auto").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
    assert!(!event_types(&status).contains(&"credential_changed"));
    assert_eq!(count(pool, "select count(*) from run_exchanges where source <> 'graph'").await, 0);
    for (fault, failure) in
        [("personal", "not_discoverable"), ("undiscovered", "not_discoverable"), ("fieldlist", "fields_refused")]
    {
        let username = format!("{fault}.auto");
        let status = scrape(&world, &replica, "reel", fault, &username, "auto").await;
        assert_eq!(end(&status), ("completed", None), "{status:#}");
        let changed = event(&status, "credential_changed");
        assert_eq!((&changed["from"], &changed["to"]), (&json!("official"), &json!("guest")));
        assert_eq!((&changed["failure"], &changed["endpoint"]), (&json!(failure), &json!("business_discovery")));
        assert!(!event_types(&status).contains(&"run_resumed"), "in the same run, at once");
        let asked: Vec<(String, String)> = sqlx::query_as(
            "select x.source, x.credential from run_exchanges x join runs using (run_id) where task_id = $1
             group by x.source, x.credential order by min(seq)",
        )
        .bind(fault)
        .fetch_all(pool)
        .await
        .unwrap();
        let pair = |source: &str, name: &str| (source.to_owned(), name.to_owned());
        assert_eq!(asked, [pair("graph", "official"), pair("web", "guest")]);
    }
    // What neither shows is told once, and in the words of the one that knows.
    let status = scrape(&world, &replica, "profile", "nobody", "missing.auto", "auto").await;
    assert_eq!(end(&status), ("failed", Some("not_found")), "{status:#}");
    assert_eq!(row(pool, "official").await["state"], "ready");
    assert_one_history(pool).await;
}

#[tokio::test]
async fn both_sources_write_one_history_of_an_account_whichever_comes_first() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    let pinned = "select shortcode from media join profiles using (profile_id)
                  where is_pinned and username = $1 order by shortcode";
    for sources in [["web", "graph", "web"], ["graph", "web", "graph"]] {
        let username = &with_pinned_posts(&world, &format!("history.{}", sources[0])).await;
        let mut pins: Option<Vec<String>> = None;
        for (n, source) in sources.into_iter().enumerate() {
            let task = format!("{username}-{n}");
            let status = scrape(&world, &replica, "reel", &task, username, source).await;
            assert_eq!(end(&status), ("completed", None), "{status:#}");
            let pinned: Vec<String> = sqlx::query_scalar(pinned).bind(username).fetch_all(pool).await.unwrap();
            assert!(pins.as_ref().is_none_or(|before| *before == pinned), "what is pinned stays: {pinned:?}");
            pins = (source == "web" || pins.is_some()).then_some(pinned);
        }
        assert!(pins.is_some_and(|pins| !pins.is_empty()));
        let stored = row_of(pool, username).await;
        let user = world.instagram.user(username).await;
        assert_eq!(stored["instagram_pk"].as_i64().unwrap().to_string(), user["id"].as_str().unwrap());
        assert_eq!((&stored["fbid"], &stored["category"]), (&user["fbid"], &user["category_name"]));
    }
    assert_one_history(pool).await;
    // Each told what it knows, and what the other had told was still there.
    let of_both = "select count(*) from media_snapshots where plays_count is not null and views_count is not null";
    assert!(count(pool, of_both).await > 0);
    let missing = "select count(*) from media where missing_since is not null";
    assert_eq!(count(pool, missing).await, 0);
}

async fn row_of(pool: &PgPool, username: &str) -> Value {
    sqlx::query_scalar("select to_jsonb(p) from profiles p where username = $1")
        .bind(username)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_that_is_taken_out_says_what_to_do_to_every_run_after_it() {
    let world = World::new().await;
    let token = unique("blocked-");
    let file = of_token(&token, "");
    let replica = replica(&world, &file, &[]).await;
    for (task, asked) in [("first", 1), ("second", 1)] {
        let status = scrape(&world, &replica, "profile", task, &format!("out.{task}"), "graph").await;
        assert_eq!(end(&status), ("failed", Some("challenge_required")), "{status:#}");
        let message = event(&status, "scrape_failed")["message"].as_str().unwrap();
        for words in ["developers.facebook.com", "ig-tracking credentials enable official"] {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains("COOKIE") && !message.contains("browser"), "{message}");
        assert_eq!(count(&world.database.pool, "select count(*) from run_exchanges").await, asked);
    }
    // A task that may ask either goes on without it.
    let status = scrape(&world, &replica, "profile", "either", "out.either", "auto").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
}

#[tokio::test]
async fn a_token_that_has_used_up_most_is_slowed_for_all_replicas() {
    let world = World::new().await;
    let file = of_token(&ample(), "");
    let settings = [("IGT_MAX_POSTS", "26")];
    let (one, two) = (replica(&world, &file, &settings).await, replica(&world, &file, &settings).await);
    let slowed = &world.instagram.with_posts("usage.85.slowed", THREE_PAGES).await;
    let slower = &world.instagram.with_posts("usage.85.slower", THREE_PAGES).await;
    // Learnt by the one, and kept to by both.
    assert_eq!(scrape(&world, &one, "profile", "a", slowed, "graph").await["status"], "completed");
    assert_eq!(row(&world.database.pool, "official").await["usage_percent"], 85.0);
    begin(&one, "profile", "b", slowed, "graph").await;
    begin(&two, "profile", "c", slower, "graph").await;
    for (task, replica) in [("b", &one), ("c", &two)] {
        assert_eq!(world.ended(replica, task).await["status"], "completed");
    }
    let gaps: Vec<f64> = sqlx::query_scalar(
        "select extract(epoch from begun - lag(begun) over (order by begun))::float8
         from (select at - make_interval(secs => duration_ms / 1000) as begun from run_exchanges) as asked
         order by begun offset 2",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(gaps.len(), 4);
    assert!(gaps.iter().all(|gap| *gap > 1.5), "{gaps:?}");
}

#[tokio::test]
async fn a_token_that_has_used_up_nearly_all_rests_for_all_replicas_until_it_is_regained() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let token = ample();
    let file = of_token(&token, "");
    // Nobody told when: as long as after a throttle.
    let settings = [("IGT_THROTTLE_SECONDS", "600"), ("IGT_MAX_POSTS", "25"), ("IGT_RUN_DEADLINE_SECONDS", "36000")];
    let (one, two) = (replica(&world, &file, &settings).await, replica(&world, &file, &settings).await);
    world.instagram.fault("stopped.anna", json!({"fault": "usage", "number": 96, "times": 1})).await;
    let status = scrape(&world, &one, "profile", "a", "stopped.anna", "graph").await;
    assert_eq!(end(&status), ("completed", None), "what was answered counts: {status:#}");
    assert_rests(pool, 600.0).await;
    begin(&two, "profile", "b", "stopped.bert", "graph").await;
    let waits = eventually("the run waits", async || {
        let status = two.get("/task_status/b?logs_count=100").await.ok()["response"].clone();
        event_types(&status).contains(&"rate_limited").then(|| event(&status, "rate_limited").clone())
    })
    .await;
    assert_eq!((&waits["credential"], &waits["cause"]), (&json!("official"), &json!("cooling")), "{waits}");
    assert!(waits["retry_after_s"].as_u64().unwrap() > 500, "{waits}");
    assert_eq!(world.instagram.token(&token).await, (1, 0));

    // What the source says of it goes before what we have set.
    put_back(&world).await;
    world.instagram.fault("stopped.bert", json!({"fault": "bizthrottled", "number": 7200, "times": 1})).await;
    due(pool, "b").await;
    eventually("the token rests for two hours", async || {
        let rests: f64 = rests(pool).await?;
        (rests > 3600.0).then_some(())
    })
    .await;
    assert_rests(pool, 7200.0).await;
    // An answer that tells less is the end of it.
    put_back(&world).await;
    due(pool, "b").await;
    assert_eq!(world.ended(&two, "b").await["status"], "completed");
    assert!(row(pool, "official").await["usage_percent"].as_f64().unwrap() < 80.0);
    assert_eq!(world.instagram.token(&token).await, (3, 0));
}

async fn rests(pool: &PgPool) -> Option<f64> {
    let query = "select extract(epoch from cooling_until - now())::float8 from credentials where name = 'official'";
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn assert_rests(pool: &PgPool, seconds: f64) {
    let rests = rests(pool).await.unwrap();
    assert!((seconds - 60.0..=seconds).contains(&rests), "{rests} of {seconds}");
}

async fn put_back(world: &World) {
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let finished = call(&["credentials", "enable", "official"], &settings).finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

/// Makes a task's waiting run due.
async fn due(pool: &PgPool, task: &str) {
    eventually("the run waits", async || {
        let due = "update runs set claimable_at = now() where task_id = $1 and state = 'waiting'";
        (sqlx::query(due).bind(task).execute(pool).await.unwrap().rows_affected() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_token_asks_more_than_its_budget_whoever_asks_with_it_and_after_a_restart() {
    let world = World::new().await;
    let token = unique("budget-9-");
    let file = of_token(&token, "budget = 7, window_seconds = 3600");
    let (one, two) = (replica(&world, &file, &[]).await, replica(&world, &file, &[]).await);
    for n in 0..6 {
        let (task, at) = (format!("t{n}"), if n % 2 == 0 { &one } else { &two });
        begin(at, "profile", &task, &format!("thrifty.{n}"), "graph").await;
    }
    eventually("the budget is spent", async || (world.instagram.token(&token).await.0 >= 7).then_some(())).await;
    one.kill().await;
    let three = replica(&world, &file, &[]).await;
    begin(&three, "profile", "late", "thrifty.late", "graph").await;
    eventually("a run that is late waits", async || {
        let status = three.get("/task_status/late?logs_count=100").await.ok()["response"].clone();
        event_types(&status).contains(&"rate_limited").then_some(())
    })
    .await;
    assert_eq!(world.instagram.token(&token).await, (7, 0));
}

#[tokio::test]
async fn a_run_that_changes_its_source_in_the_middle_of_a_list_begins_it_anew_and_doubles_nothing() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    for (kind, pages) in [("profile", 0), ("profile", 1), ("reel", 1)] {
        let username = &world.instagram.with_posts(&format!("midway.{kind}{pages}"), THREE_PAGES).await;
        let throttle =
            json!({"fault": "callthrottled", "endpoint": "business_discovery_media", "after": pages, "number": 1});
        world.instagram.fault(username, throttle).await;
        let status = scrape(&world, &replica, kind, username, username, "auto").await;
        assert_eq!(end(&status), ("completed", None), "{status:#}");
        let changed = event(&status, "credential_changed");
        assert_eq!((&changed["failure"], &changed["to"]), (&json!("throttled"), &json!("guest")));
        assert_eq!(event(&status, "scrape_completed")["scraped_posts_count"], 60);
        let codes: Vec<String> =
            sqlx::query_scalar("select shortcode from media join runs using (run_id) where task_id = $1")
                .bind(username)
                .fetch_all(pool)
                .await
                .unwrap();
        let newest = world.instagram.posts(username, 60).await;
        let there = newest.iter().filter(|post| codes.contains(&post["code"].as_str().unwrap().to_owned())).count();
        assert!(codes.len() == 60 && there >= 58, "{} of 60, {there} of them the newest", codes.len());
        put_back(&world).await;
    }
    assert_one_history(pool).await;
}

#[tokio::test]
async fn a_run_that_was_begun_with_the_web_source_goes_on_with_a_token_that_is_put_back() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let disabled = call(&["credentials", "disable", "official"], &settings).finished().await;
    assert_eq!(disabled.code, Some(0), "{disabled:?}");
    let username = &world.instagram.with_posts("returned", THREE_PAGES).await;
    let throttle = json!({"fault": "throttled", "endpoint": "feed", "after": 1, "times": 1, "retry_after_seconds": 1});
    world.instagram.fault(username, throttle).await;
    world.instagram.hold(username, 2).await;
    begin(&replica, "profile", "t", username, "auto").await;
    world.instagram.holds_one(username).await;
    put_back(&world).await;
    world.instagram.let_go(username).await;
    let status = world.ended(&replica, "t").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
    assert_eq!(event(&status, "rate_limited")["endpoint"], "feed");
    assert_eq!(event(&status, "scrape_completed")["scraped_posts_count"], 60);
    let asked: Vec<(String, i32)> =
        sqlx::query_as("select distinct source, attempt from run_exchanges order by attempt")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(asked, [("web".to_owned(), 1), ("graph".to_owned(), 2)], "{status:#}");
    assert_eq!(count(pool, "select count(*) from media").await, 60);
    assert_one_history(pool).await;
}

#[tokio::test]
async fn a_list_of_the_official_source_whose_cursor_has_died_begins_anew_and_doubles_nothing() {
    let world = World::new().await;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    let dies = json!({"fault": "stalecursor", "endpoint": "business_discovery_media", "after": 1, "times": 1});
    let username = &world.instagram.with_posts("died", THREE_PAGES).await;
    world.instagram.fault(username, dies).await;
    let status = scrape(&world, &replica, "reel", "t", username, "graph").await;
    assert_eq!(end(&status), ("completed", None), "{status:#}");
    let restarted = event(&status, "list_restarted");
    assert_eq!(
        (&restarted["failure"], &restarted["endpoint"]),
        (&json!("cursor_refused"), &json!("business_discovery_media"))
    );
    assert_eq!(count(&world.database.pool, "select count(*) from media").await, 60);
    assert_one_history(&world.database.pool).await;
}

#[tokio::test]
async fn a_reel_that_the_list_does_not_show_any_more_leaves_the_run_partial() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let file = of_token(&ample(), "");
    let replica = replica(&world, &file, &[]).await;
    // The third page fails once, so that another attempt goes on, which has not read the first two.
    let username = &world.instagram.with_posts("unlisted", THREE_PAGES).await;
    let fails = json!({"fault": "broken", "endpoint": "business_discovery_media", "after": 1, "times": 1});
    world.instagram.fault(username, fails).await;
    world.instagram.hold(username, 3).await;
    begin(&replica, "reel", "t", username, "graph").await;
    world.instagram.holds_one(username).await;
    let gone: String = sqlx::query_scalar("select shortcode from media where is_reel order by taken_at desc limit 1")
        .fetch_one(pool)
        .await
        .unwrap();
    world.instagram.edit(username, json!({"gone": [gone]})).await;
    world.instagram.let_go(username).await;
    let status = world.ended(&replica, "t").await;
    world.instagram.restore(username).await;
    assert_eq!(end(&status), ("partial", Some("upstream_unavailable")), "{status:#}");
    let processed = event(&status, "reels_processed");
    assert_eq!(processed["missing"], json!([gone]));
    let message = event(&status, "scrape_partial")["message"].as_str().unwrap();
    assert!(message.contains(": 1 of ") && message.contains("this source cannot be asked for one"), "{message}");
    assert_one_history(pool).await;
}
