//! What repeated scans leave: they stop at what is known, notice what went, was edited or was renamed, and lose nothing.

use ig_tracking::db::{exchanges, media, profiles};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::failures::HURRIED;
use crate::harness::{Database, Replica, World, assert_sound, call, event, event_types};
use crate::pipelines::{SESSION, assert_truthful};
use crate::schema::{claimed, post, profile};

/// Three pages at most, of which the first is read anew every time.
const DEEP: [(&str, &str); 2] = [("IGT_MAX_POSTS", "36"), ("IGT_REFRESH_POSTS", "12")];

#[tokio::test]
async fn a_second_scan_reads_the_latest_anew_and_stops_at_what_is_known() {
    for settings in [&DEEP[..], &[DEEP[0], DEEP[1], SESSION][..]] {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        let (name, pool) = (format!("incremental.{}", settings.len()), &world.database.pool);
        let first = world.scrape(&replica, "t", &name).await;
        let whole = pages(&first);
        assert!(whole >= 3 && count_of(&first) == 36, "{first:#}");
        let shown = details(&replica).await;

        let second = world.scrape(&replica, "t", &name).await;
        assert_eq!(second["status"], "completed", "{second:#}");
        // Pinned posts come first: they fill a part of the first page, and end nothing.
        assert!((1..whole).contains(&pages(&second)), "{second:#}");
        let known = event(&second, "known_posts_reached");
        assert_eq!(known["read"].as_i64().unwrap() + known["kept"].as_i64().unwrap(), 36, "{known}");
        assert_eq!(count_of(&second), 36, "what a client is told keeps its meaning");
        assert_eq!(codes(&details(&replica).await), codes(&shown), "and so does what it is shown");
        let refreshed =
            "select count(*) from media where run_id = (select run_id from runs order by run_id desc limit 1)";
        assert_eq!(number(pool, refreshed).await, known["read"].as_i64().unwrap());
        assert_eq!(number(pool, "select count(*) from media where missing_since is not null").await, 0);
        assert_truthful(pool).await;
        assert_sound(pool).await;
    }
}

#[tokio::test]
async fn every_so_many_scans_one_reads_in_full_and_so_does_one_that_goes_deeper() {
    let world = World::new().await;
    let replica = world.replica(&[&DEEP[..], &[("IGT_FULL_SCAN_EVERY", "3")]].concat()).await;
    let mut stopped = Vec::new();
    for _ in 0..7 {
        let status = world.scrape(&replica, "t", "fullevery.anna").await;
        stopped.push(event_types(&status).contains(&"known_posts_reached"));
    }
    assert_eq!(stopped, [false, true, true, false, true, true, false]);
    let deeper = world.replica(&[("IGT_MAX_POSTS", "40"), DEEP[1]]).await;
    let status = world.scrape(&deeper, "t", "fullevery.anna").await;
    assert!(!event_types(&status).contains(&"known_posts_reached"), "beyond 36 nothing is known: {status:#}");
    // A reel run has read the reels' own numbers, which a profile run has not.
    let reels = world.scrape_reels(&deeper, "r", "fullevery.anna").await;
    assert!(!event_types(&reels).contains(&"known_posts_reached"), "{reels:#}");
    let reels = world.scrape_reels(&deeper, "r", "fullevery.anna").await;
    assert!(event_types(&reels).contains(&"known_posts_reached"), "{reels:#}");
}

#[tokio::test]
async fn by_default_all_of_the_latest_posts_are_read_every_time() {
    let (world, replica) = World::with_replica().await;
    for _ in 0..2 {
        let status = world.scrape(&replica, "t", "everytime.anna").await;
        assert!(!event_types(&status).contains(&"known_posts_reached"), "{status:#}");
    }
    assert_eq!(number(&world.database.pool, "select count(*) from scans").await, 0);
}

#[tokio::test]
async fn a_deleted_post_is_missed_from_then_on_and_no_more_once_it_is_there_again() {
    let (world, replica) = World::with_replica().await;
    let (name, pool) = ("deleted.anna", &world.database.pool);
    world.scrape(&replica, "t", name).await;
    let posts = world.instagram.posts(name, 20).await;
    let gone: Vec<&Value> =
        posts.iter().filter(|post| pins(post) == 0).skip(3).take(2).map(|post| &post["code"]).collect();
    world.instagram.edit(name, json!({"gone": gone})).await;

    let status = world.scrape(&replica, "t", name).await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let missing = event(&status, "posts_missing");
    assert_eq!(missing["missing"], json!(gone));
    assert_eq!(missing["message"], "2 posts are not there any more");
    let marked = "select shortcode from media where missing_since is not null order by taken_at desc";
    assert_eq!(json!(texts(pool, marked).await), json!(gone));
    // Told once, and kept.
    let again = world.scrape(&replica, "t", name).await;
    assert!(!event_types(&again).contains(&"posts_missing"), "{again:#}");
    assert_eq!(json!(texts(pool, marked).await), json!(gone));

    world.instagram.restore(name).await;
    let back = world.scrape(&replica, "t", name).await;
    let found = event(&back, "posts_found_again")["found"].as_array().unwrap().clone();
    assert!(found.len() == 2 && gone.iter().all(|code| found.contains(code)), "{found:?}");
    assert!(texts(pool, marked).await.is_empty());
    assert_truthful(pool).await;
    assert_sound(pool).await;
}

#[tokio::test]
async fn an_answer_that_is_not_whole_misses_no_post() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[SESSION]].concat()).await;
    let (name, pool) = ("notwhole.anna", &world.database.pool);
    world.scrape(&replica, "t", name).await;
    let all = number(pool, "select count(*) from media").await;
    // Not among the first dozen, which the account's own answer tells whole in any case.
    let posts = world.instagram.posts(name, 20).await;
    let gone: Vec<&Value> = posts.iter().skip(14).take(3).map(|post| &post["code"]).collect();
    world.instagram.edit(name, json!({"gone": gone})).await;
    for (fault, endpoint) in [
        ("garbled", "posts"),
        ("private", "all"),
        ("empty", "all"),
        ("empty", "posts"),
        ("looping", "posts"),
        ("agegated", "all"),
        ("missing", "all"),
        ("pleasewait", "posts"),
        ("throttled", "posts"),
        ("fieldexception", "graphql"),
        ("renamed", "profile"),
        ("challenged", "posts"),
    ] {
        let fault_number = if fault == "throttled" { json!({"number": 1}) } else { json!({}) };
        let mut body = json!({"fault": fault, "endpoint": endpoint});
        body.as_object_mut().unwrap().extend(fault_number.as_object().unwrap().clone());
        world.instagram.fault(name, body).await;
        world.scrape(&replica, "t", name).await;
        world.instagram.mend(name).await;
        let marked = "select count(*) from media where missing_since is not null";
        assert_eq!(number(pool, marked).await, 0, "{fault} at {endpoint}");
    }
    // What the challenge took out is put back.
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    assert_eq!(call(&["credentials", "enable", "cookie"], &settings).finished().await.code, Some(0));
    // In the place of what is gone, deeper ones come into reach; none is lost.
    assert!(number(pool, "select count(*) from media").await >= all);
    // And a whole one does, once a person has put back the session that was challenged.
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let enabled = call(&["credentials", "enable", "cookie"], &settings).finished().await;
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
    let status = world.scrape(&replica, "t", name).await;
    assert_eq!(event(&status, "posts_missing")["missing"], json!(gone), "{status:#}");
}

#[tokio::test]
async fn an_edited_caption_keeps_what_it_was() {
    let (world, replica) = World::with_replica().await;
    let (name, pool) = ("edited.anna", &world.database.pool);
    world.scrape(&replica, "t", name).await;
    let code = world.instagram.posts(name, 12).await[6]["code"].as_str().unwrap().to_owned();
    let caption = format!("select coalesce(caption, '(none)') from media where shortcode = '{code}'");
    let original = one_text(pool, &caption).await;
    for text in [json!("edited once"), json!("edited once"), Value::Null, json!("edited again")] {
        world.instagram.edit(name, json!({"captions": {(code.as_str()): text}})).await;
        world.scrape(&replica, "t", name).await;
    }
    assert_eq!(one_text(pool, &caption).await, "edited again");
    let earlier: Vec<(String, Option<String>, bool)> = sqlx::query_as(
        "select shortcode, caption, observed_from <= observed_until
             and observed_until <= coalesce(lead(observed_from) over (order by observed_from), 'infinity')
         from media_captions order by observed_from",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let original = Some(original).filter(|text| text != "(none)");
    let expected = [original, Some("edited once".to_owned()), None];
    assert!(earlier.iter().all(|(shortcode, _, in_order)| *shortcode == code && *in_order), "{earlier:?}");
    assert_eq!(earlier.into_iter().map(|row| row.1).collect::<Vec<_>>(), expected);
    let told = "select count(*) from media_captions c where not exists (
                    select from events e where (e.run_id, e.seq) = (c.run_id, c.seq))";
    assert_eq!(number(pool, told).await, 0);
}

#[tokio::test]
async fn a_renamed_account_is_followed_by_its_number_and_keeps_its_history() {
    for settings in [&[][..], &[SESSION][..]] {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        let (old, new) = (format!("oldname.{}", settings.len()), format!("newname.{}", settings.len()));
        let pool = &world.database.pool;
        world.scrape(&replica, "t", &old).await;
        world.instagram.rename(&old, json!({"to": new})).await;

        let status = world.scrape(&replica, "t", &old).await;
        assert_eq!(status["status"], "completed", "{status:#}");
        let renamed = event(&status, "account_renamed");
        assert_eq!((&renamed["from"], &renamed["to"]), (&json!(old), &json!(new)));
        assert_eq!(number(pool, "select count(*) from profiles").await, 1);
        let details = details(&replica).await;
        assert_eq!(details["target_profile_data"]["username"], json!(new));
        assert_eq!(details["username"], json!(old), "the task is called as it was");
        let names: Vec<(String, bool)> =
            sqlx::query_as("select username, observed_until is null from profile_names order by observed_from")
                .fetch_all(pool)
                .await
                .unwrap();
        assert_eq!(names, [(old.clone(), false), (new.clone(), true)]);
        // From now on it is asked for by the new name at once.
        let before = world.instagram.requests(&new).await.len();
        let status = world.scrape(&replica, "t", &old).await;
        assert!(!event_types(&status).contains(&"account_renamed"), "{status:#}");
        assert!(world.instagram.requests(&new).await.len() > before);
        let failed = "select count(*) from run_exchanges where failure is not null
                      and run_id = (select run_id from runs order by run_id desc limit 1)";
        assert_eq!(number(pool, failed).await, 0);
        assert_truthful(pool).await;
        assert_sound(pool).await;
    }
}

#[tokio::test]
async fn a_name_that_somebody_else_took_leads_to_the_account_that_bore_it() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    world.scrape(&replica, "t", "left.anna").await;
    world.instagram.rename("left.anna", json!({"to": "right.anna", "taken": true})).await;
    let status = world.scrape(&replica, "t", "left.anna").await;
    assert_eq!(event(&status, "account_renamed")["to"], "right.anna", "{status:#}");
    assert_eq!(number(pool, "select count(*) from profiles").await, 1);
    // A task that begins now is about whoever bears the name now.
    world.scrape(&replica, "other", "left.anna").await;
    assert_eq!(number(pool, "select count(*) from profiles").await, 2);
    assert_eq!(
        number(pool, "select count(distinct profile_id) from media group by shortcode order by 1 desc limit 1").await,
        1
    );
}

#[tokio::test]
async fn where_the_account_is_gone_and_its_name_another_ones_the_run_says_so_and_mixes_nothing() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    world.scrape(&replica, "t", "lost.anna").await;
    let posts = number(pool, "select count(*) from media").await;
    // Its own number leads nowhere any more: the account bears a name under which nothing is shown.
    world.instagram.rename("lost.anna", json!({"to": "missing.lost.anna", "taken": true})).await;
    let status = world.scrape(&replica, "t", "lost.anna").await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let reassigned = event(&status, "username_reassigned");
    assert_eq!(reassigned["username"], "lost.anna");
    assert_ne!(reassigned["instagram_id_before"], reassigned["instagram_id"]);
    assert_eq!(number(pool, "select count(*) from profiles").await, 2);
    let first = "select count(*) from media where profile_id = (select min(profile_id) from profiles)";
    assert_eq!(number(pool, first).await, posts);
    let again = world.scrape(&replica, "t", "lost.anna").await;
    assert!(!event_types(&again).contains(&"username_reassigned"), "told once: {again:#}");
}

#[tokio::test]
async fn a_cursor_that_is_refused_once_begins_the_list_anew_and_doubles_nothing() {
    for (settings, endpoint) in [(&[][..], "feed"), (&[SESSION][..], "timeline")] {
        let world = World::new().await;
        let replica = world.replica(settings).await;
        let (name, pool) = (format!("refused.{endpoint}"), &world.database.pool);
        world.instagram.fault(&name, json!({"fault": "lapsed", "endpoint": endpoint, "after": 1, "times": 1})).await;
        let status = world.scrape(&replica, "t", &name).await;
        assert_eq!(status["status"], "completed", "{status:#}");
        let restarted = event(&status, "list_restarted");
        assert_eq!((&restarted["list"], &restarted["endpoint"]), (&json!("posts"), &json!(endpoint)));
        assert_eq!((&restarted["failure"], &restarted["http_status"]), (&json!("cursor_refused"), &json!(400)));
        let all = event(&status, "account_fetched")["posts_count"].as_i64().unwrap().min(60);
        assert_eq!((count_of(&status), number(pool, "select count(*) from media").await), (all, all));
        assert_truthful(pool).await;
        assert_sound(pool).await;
    }
}

#[tokio::test]
async fn a_list_of_reels_that_does_not_go_on_is_begun_anew_and_then_read_one_by_one() {
    let world = World::new().await;
    let replica = world.replica(&[SESSION]).await;
    let name = "lapsedreels.anna";
    world.instagram.fault(name, json!({"fault": "lapsed", "endpoint": "reels"})).await;
    let status = world.scrape_reels(&replica, "t", name).await;
    assert_eq!(status["status"], "completed", "{status:#}");
    let processed = event(&status, "reels_processed");
    assert_eq!((&processed["done"], &processed["missing"]), (&processed["total"], &json!([])));
}

#[tokio::test]
async fn an_account_is_one_row_by_whatever_it_was_known_first() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let see = async |pk: Option<i64>, fbid: Option<&str>, username: &str| -> i64 {
        let fbid = fbid.map(str::to_owned);
        let account = profiles::NewProfile { instagram_pk: pk, fbid, username: username.to_owned(), ..profile() };
        let mut transaction = pool.begin().await.unwrap();
        let profile_id = profiles::record(&mut transaction, run.run_id, 1, &account).await.unwrap().profile_id;
        transaction.commit().await.unwrap();
        profile_id
    };
    // First the source that knows the Facebook id, then the one that knows the number.
    let anna = see(None, Some("178"), "anna").await;
    assert_eq!(see(Some(7), None, "anna").await, anna, "by its name: nothing contradicts");
    assert_eq!(see(Some(7), Some("178"), "anna").await, anna);
    assert_eq!(see(None, Some("178"), "annie").await, anna, "renamed, by its Facebook id");
    assert_eq!(see(Some(7), None, "ann").await, anna, "renamed, by its number");
    // The handle passes on.
    let other = see(Some(8), None, "ann").await;
    assert_ne!(other, anna);
    assert_eq!(see(None, Some("179"), "ann").await, other, "whoever bore it last");
    assert_ne!(see(None, Some("180"), "ann").await, other, "another Facebook id is another account");
    assert_eq!(see(Some(7), Some("178"), "anna").await, anna);
    let known =
        "select coalesce(instagram_pk::text, '-') || ' ' || fbid || ' ' || username from profiles order by profile_id";
    assert_eq!(texts(&pool, known).await, ["7 178 anna", "8 179 ann", "- 180 ann"]);
    let names = format!("select username from profile_names where profile_id = {anna} order by observed_from");
    let names: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(names)).fetch_all(&pool).await.unwrap();
    assert_eq!(names, ["anna", "annie", "ann", "anna"]);
    // Two numbers with one Facebook id: the one that has it keeps it.
    assert_ne!(see(Some(9), Some("178"), "berta").await, anna);
}

#[tokio::test]
async fn runs_that_read_a_new_account_at_once_by_different_ids_make_one_row() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    for round in 0..25_i64 {
        let name = format!("race{round}");
        let fbid = format!("fb{round}");
        let readings = [
            (Some(round + 1), None),
            (None, Some(fbid.clone())),
            (Some(round + 1), Some(fbid)),
            (Some(round + 1), None),
        ];
        let see = readings.map(|(instagram_pk, fbid)| {
            let account = profiles::NewProfile { instagram_pk, fbid, username: name.clone(), ..profile() };
            let (pool, run_id) = (pool.clone(), run.run_id);
            tokio::spawn(async move {
                let mut transaction = pool.begin().await.unwrap();
                let profile_id = profiles::record(&mut transaction, run_id, 1, &account).await.unwrap().profile_id;
                transaction.commit().await.unwrap();
                profile_id
            })
        });
        let rows = futures_util::future::join_all(see).await;
        let rows: Vec<i64> = rows.into_iter().map(Result::unwrap).collect();
        assert!(rows.iter().all(|row| *row == rows[0]), "{name}: {rows:?}");
    }
    assert_eq!(number(&pool, "select count(*) from profiles where instagram_pk is null or fbid is null").await, 0);
}

#[tokio::test]
async fn a_run_that_waits_for_one_that_began_before_the_row_was_written_finds_the_row() {
    let database = Database::fresh().await;
    let pool = database.pool.clone();
    let run = claimed(&pool, "t").await;
    let seen = |instagram_pk: Option<i64>, fbid: Option<&str>| profiles::NewProfile {
        instagram_pk,
        fbid: fbid.map(str::to_owned),
        username: "waits".to_owned(),
        ..profile()
    };
    // One begins; the next finds no row and waits for its turn to make one; and then there is a row.
    let mut before = pool.begin().await.unwrap();
    sqlx::query("select now()").execute(&mut *before).await.unwrap();
    let mut turn = pool.acquire().await.unwrap();
    let lock = "select pg_advisory_lock(hashtext('ig-tracking.profile waits'))";
    sqlx::query(lock).execute(&mut *turn).await.unwrap();
    let (other, run_id, of_fbid) = (pool.clone(), run.run_id, seen(None, Some("fb")));
    let waiting = tokio::spawn(async move {
        let mut transaction = other.begin().await.unwrap();
        let profile_id = profiles::record(&mut transaction, run_id, 1, &of_fbid).await.unwrap().profile_id;
        transaction.commit().await.unwrap();
        profile_id
    });
    let waits_for = async |what: &'static str| {
        crate::harness::eventually(what, async || {
            let waits = "select count(*) from pg_locks where not granted and locktype = $1
                         and pid in (select pid from pg_stat_activity where datname = current_database())";
            let waits: i64 = sqlx::query_scalar(waits).bind(what).fetch_one(&pool).await.unwrap();
            (waits == 1).then_some(())
        })
        .await;
    };
    waits_for("advisory").await;
    let made =
        "insert into profiles (instagram_pk, username, run_id, seq) values (7, 'waits', $1, 1) returning profile_id";
    let made: i64 = sqlx::query_scalar(made).bind(run.run_id.0).fetch_one(&pool).await.unwrap();
    assert_eq!(profiles::record(&mut before, run.run_id, 1, &seen(Some(7), None)).await.unwrap().profile_id, made);
    sqlx::query("select pg_advisory_unlock_all()").execute(&mut *turn).await.unwrap();
    waits_for("transactionid").await;
    before.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap(), made);
}

#[tokio::test]
async fn a_caption_that_was_not_told_stays_and_one_that_was_taken_away_does_not() {
    let pool = Database::fresh().await.pool;
    let run = claimed(&pool, "t").await;
    let mut transaction = pool.begin().await.unwrap();
    let profile_id = profiles::record(&mut transaction, run.run_id, 1, &profile()).await.unwrap().profile_id;
    transaction.commit().await.unwrap();
    let see = async |caption: Option<&str>, caption_told: bool| -> (Option<String>, i64) {
        let post = media::NewMedia { caption: caption.map(str::to_owned), caption_told, ..post() };
        let mut transaction = pool.begin().await.unwrap();
        media::record(&mut transaction, run.run_id, 1, profile_id, &[post]).await.unwrap();
        transaction.commit().await.unwrap();
        sqlx::query_as("select caption, (select count(*) from media_captions) from media")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    assert_eq!(see(Some("one"), true).await, (Some("one".to_owned()), 0));
    assert_eq!(see(None, false).await, (Some("one".to_owned()), 0));
    assert_eq!(see(None, true).await, (None, 1));
    assert_eq!(see(Some("two"), true).await, (Some("two".to_owned()), 2));
}

#[tokio::test]
async fn a_kept_body_can_be_printed_until_its_time_is_over() {
    let (world, replica) = World::with_replica().await;
    let pool = &world.database.pool;
    world.scrape(&replica, "t", "agegated.bodies").await;
    let show = async |what: &[&str]| {
        let settings = [("DATABASE_URL", world.database.url.as_str())];
        call(&[&["runs", "show", "t"][..], what].concat(), &settings).finished().await
    };
    let listed = show(&[]).await;
    assert!(listed.stdout.contains("age_restricted  with guest  (body kept)"), "{}", listed.stdout);
    let printed = show(&["--body", "1"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let whole: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(whole["data"]["user"]["username"], "agegated.bodies");
    assert!(show(&["--body", "9"]).await.stderr.contains("there is no request 9 of run "));

    // Nothing is old yet; then the run is of forty days ago, and two replicas look at once.
    let old = "with old as (select uuid_v7(now() - interval '40 days') as id)
               update run_exchanges set run_id = old.id from old";
    assert_eq!(exchanges::drop_bodies(pool, 30, 10).await.unwrap(), 0);
    sqlx::query(old).execute(pool).await.unwrap();
    sqlx::query("with old as (select run_id from run_exchanges limit 1) update runs set run_id = old.run_id from old")
        .execute(pool)
        .await
        .unwrap();
    let (one, other) = tokio::join!(exchanges::drop_bodies(pool, 30, 10), exchanges::drop_bodies(pool, 30, 10));
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    assert_eq!(number(pool, "select count(*) from run_exchanges where failure = 'age_restricted'").await, 1);
    assert!(show(&["--body", "1"]).await.stderr.contains("IGT_BODY_RETENTION_DAYS"));
}

/// How many pages a run read.
fn pages(status: &Value) -> usize {
    event_types(status).into_iter().filter(|what| *what == "posts_fetched").count()
}

fn count_of(status: &Value) -> i64 {
    event(status, "scrape_completed")["scraped_posts_count"].as_i64().unwrap()
}

fn pins(post: &Value) -> usize {
    post["timeline_pinned_user_ids"].as_array().unwrap().len()
}

fn codes(details: &Value) -> Vec<String> {
    let posts = details["target_profile_data"]["scraped_posts"].as_array().unwrap();
    posts.iter().map(|post| post["shortcode"].as_str().unwrap().to_owned()).collect()
}

async fn details(replica: &Replica) -> Value {
    replica.get("/task_details/t").await.ok()["response"].clone()
}

async fn number(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn texts(pool: &PgPool, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

async fn one_text(pool: &PgPool, query: &str) -> String {
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}
