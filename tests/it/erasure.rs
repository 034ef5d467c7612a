//! A person is erased: all that names them is gone from every table and from what replicas tell, whatever is cut off in the
//! middle, and the bare statistics of their runs stay.

mod packed;
mod races;
mod traces;

use std::collections::BTreeMap;

use ig_tracking::maintenance::{roll_up_all, summarise_all};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use self::traces::{counts, found, statistics};
use crate::failures::HURRIED;
use crate::harness::{Finished, Message, World, call, eventually};

async fn purge(world: &World, arguments: &[&str]) -> Finished {
    let arguments = [&["profiles", "purge"][..], arguments].concat();
    call(&arguments, &[("DATABASE_URL", &world.database.url)]).finished().await
}

/// What it said of each table.
fn table(said: &Finished) -> BTreeMap<String, String> {
    let rows = said.stdout.lines().filter_map(|line| {
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        Some(((*words.first()?).to_owned(), (*words.get(1)?).to_owned()))
    });
    rows.collect()
}

/// A person with a past, and somebody else who names them. Gives the words that must not be found afterwards.
async fn with_a_past(world: &World, replica: &crate::harness::Replica, handle: &str, other: &str) -> Vec<String> {
    let pool = &world.database.pool;
    let renamed = format!("{handle}.new");
    world.scrape(replica, &format!("{handle}-daily"), handle).await;
    world.scrape_reels(replica, &format!("{handle}-reels"), handle).await;
    // An edited caption, a failure whose answers are kept, another name.
    let posts = world.instagram.posts(handle, 3).await;
    let code = posts[0]["code"].as_str().unwrap();
    world.instagram.edit(handle, json!({"captions": {code: "a caption that was edited by hand"}})).await;
    world.scrape(replica, &format!("{handle}-daily"), handle).await;
    world.instagram.fault(handle, json!({"fault": "renamed"})).await;
    let drifted = world.scrape(replica, &format!("{handle}-daily"), handle).await;
    assert_eq!(drifted["status"], "partial", "{drifted:#}");
    world.instagram.mend(handle).await;
    world.instagram.rename(handle, json!({"to": renamed})).await;
    let told = world.scrape(replica, &format!("{handle}-daily"), handle).await;
    assert!(crate::harness::event_types(&told).contains(&"account_renamed"), "{told:#}");
    // A task that a client made once and deleted, and one that never ran.
    let body = json!({"username": handle, "kind": "profile", "task_id": format!("{handle}-once")});
    let request = replica.http.post(format!("{}/api/v2/tasks", replica.address));
    let made = request.header("idempotency-key", "once").json(&body).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let deleted = replica.v2(Method::DELETE, &format!("/tasks/{handle}-once"), None).await;
    assert_eq!(deleted.status, 204);
    replica.create("create_task", &format!("{handle}-never"), handle).await;

    // Somebody else writes of them, in a caption that is stored and in an answer that is kept, and so does a log.
    let posts = world.instagram.posts(other, 30).await;
    let code = posts[0]["code"].as_str().unwrap();
    world.instagram.edit(other, json!({"captions": {code: format!("with @{handle} and @{renamed}, again")}})).await;
    world.instagram.fault(other, json!({"fault": "geoblocked", "after": 1})).await;
    let partly = world.scrape(replica, other, other).await;
    assert_eq!(partly["status"], "partial", "{partly:#}");
    let pk: String = sqlx::query_scalar("select instagram_pk::text from profiles where username = $1")
        .bind(&renamed)
        .fetch_one(pool)
        .await
        .unwrap();
    let fields = json!({"username": handle, "instagram_id_before": pk, "found": format!("said @{renamed}.")});
    sqlx::query(
        "update events e set message = 'met @' || $2 || ' on the way', fields = e.fields || $3
         from runs r where r.run_id = e.run_id and r.task_id = $1 and e.seq = 2",
    )
    .bind(other)
    .bind(handle)
    .bind(fields)
    .execute(pool)
    .await
    .unwrap();

    // The other's last word names them, too; and all runs that ended are summed up, as if that came only now.
    sqlx::query(
        "update events e set message = message || ', and @' || $2
         from runs r where r.run_id = e.run_id and r.task_id = $1 and e.seq = r.last_seq",
    )
    .bind(other)
    .bind(handle)
    .execute(pool)
    .await
    .unwrap();
    sqlx::raw_sql("begin; select from run_summary_mark for update; delete from run_summaries; update run_summary_mark set cluster = 1; commit")
        .execute(pool)
        .await
        .unwrap();
    let service = world.database.as_the_service();
    eventually("all are summed up", async || {
        summarise_all(&service).await.unwrap();
        let left = "select count(*) from runs where finished_at is not null and run_id not in (select run_id from run_summaries)";
        let left: i64 = sqlx::query_scalar(left).fetch_one(pool).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    roll_up_all(&service).await.unwrap();
    let words: i64 = sqlx::query_scalar("select count(message) from run_summaries").fetch_one(pool).await.unwrap();
    assert_eq!(words, 2, "theirs and the other's");

    let captions: Vec<String> = sqlx::query_scalar(
        "select caption from media join profiles using (profile_id) where username = $1 and length(caption) > 40
         union select caption from media_captions join profiles using (profile_id)
         where username = $1 and length(caption) > 40",
    )
    .bind(&renamed)
    .fetch_all(pool)
    .await
    .unwrap();
    // Invented people may say the same words.
    let others: Vec<String> = sqlx::query_scalar(
        "select coalesce(caption, '') from media join profiles using (profile_id) where username <> $1",
    )
    .bind(&renamed)
    .fetch_all(pool)
    .await
    .unwrap();
    let own = captions.into_iter().filter(|caption| others.iter().all(|other| !other.contains(caption.as_str())));
    let mut words: Vec<String> = own.collect();
    assert!(words.len() > 5, "{words:?}");
    words.extend([handle.to_owned(), pk]);
    words
}

#[tokio::test]
async fn nothing_in_any_table_names_a_person_who_was_erased_and_their_runs_stay_as_numbers() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    let words = with_a_past(&world, &replica, "gone.anna", "stays.bert").await;
    let renamed = "gone.anna.new";
    // One run is in a worker's hands, and will try to write on.
    world.instagram.hold(renamed, 2).await;
    replica.post("/force_scrape/gone.anna-daily").await.ok();
    world.instagram.holds_one(renamed).await;
    let in_hand: String =
        sqlx::query_scalar("select run_id::text from runs where state = 'running'").fetch_one(pool).await.unwrap();
    eventually("what it read so far is stored", async || {
        let asked = "select last_exchange from runs where state = 'running'";
        let asked: i64 = sqlx::query_scalar(asked).fetch_one(pool).await.unwrap();
        (asked == 2).then_some(())
    })
    .await;
    assert!(
        found(pool, &words).await.iter().any(|(of, ..)| of.contains("run_exchanges")),
        "there is something to erase"
    );

    let before = counts(pool).await;
    let rehearsed = purge(&world, &["gone.anna", "--dry-run"]).await;
    assert_eq!(rehearsed.code, Some(0), "{rehearsed:?}");
    assert_eq!(counts(pool).await, before, "nothing was done");
    assert!(!found(pool, &words).await.is_empty());
    let unasked = purge(&world, &["gone.anna"]).await;
    assert!(unasked.code == Some(1) && unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(counts(pool).await, before);

    // By the handle that they bore once.
    let ended: Vec<Value> = statistics(pool).await.into_iter().filter(|run| run["state"] != "running").collect();
    let purged = purge(&world, &["gone.anna", "--yes"]).await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    let said = table(&purged);
    assert_eq!(said, table(&rehearsed), "the rehearsal said what was done");
    for of in [
        "events",
        "run_exchanges",
        "profiles",
        "media",
        "media_snapshots",
        "engagement_weeks",
        "account_rollups",
        "idempotency_keys",
        "captions of others",
    ] {
        assert!(said[of].parse::<u64>().unwrap() > 0, "{of}: {said:?}");
    }
    // What the worker had in hand it cannot write any more.
    world.instagram.let_go(renamed).await;
    eventually("the worker lets go", async || {
        let lines = replica.lines();
        lines.iter().any(|line| line.contains("let go of the run without a word")).then_some(())
    })
    .await;
    assert_eq!(found(pool, &words).await, []);

    for of in ["engagement_weeks", "reel_days", "account_rollups"] {
        let statement = format!("select count(*) from {of} where profile_id not in (select profile_id from profiles)");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap();
        assert_eq!(left, 0, "{of}");
    }

    // The bare statistics are what they were.
    let after = statistics(pool).await;
    for run in &ended {
        assert!(after.contains(run), "{run:#}");
    }
    let stopped = after.iter().find(|run| run["run_id"] == in_hand.as_str()).unwrap();
    assert_eq!((&stopped["state"], &stopped["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    let names: Vec<(String, String)> =
        sqlx::query_as("select distinct username, task_id from runs where erased_at is not null")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(
        names.len() > 1
            && names.iter().all(|(username, task)| task.starts_with(username) && username.starts_with("erased.")),
        "{names:?}"
    );

    // The other's own stays, but for the name in it.
    let caption: String = sqlx::query_scalar(
        "select caption from media join profiles using (profile_id) where username = 'stays.bert' and caption like '%[erased]%'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(caption, "with [erased] and [erased], again");
    let event: (String, Value) =
        sqlx::query_as("select message, fields from events where message like 'met %'").fetch_one(pool).await.unwrap();
    assert_eq!(event.0, "met [erased] on the way");
    assert_eq!(
        (&event.1["username"], &event.1["instagram_id_before"], &event.1["found"]),
        (&json!("[erased]"), &json!("[erased]"), &json!("said [erased]."))
    );
    assert!(event.1["followers_count"].is_i64(), "{event:?}");

    let words: Vec<String> = sqlx::query_scalar("select message from run_summaries where message is not null")
        .fetch_all(pool)
        .await
        .unwrap();
    assert!(words.len() == 1 && words[0].ends_with(", and [erased]"), "of the other alone: {words:?}");

    // Who did it is kept, and not to whom.
    let (who, object, details): (String, String, Value) =
        sqlx::query_as("select who, object, details from audit where act = 'profiles.purge'")
            .fetch_one(pool)
            .await
            .unwrap();
    assert!(who.starts_with("cli:") && object.starts_with("erased."), "{who} {object}");
    assert_eq!(details["profiles"], 1);

    // And over HTTP there is nobody.
    for path in ["/profiles/gone.anna", "/profiles/gone.anna.new", "/tasks/gone.anna-daily"] {
        replica.v2(Method::GET, path, None).await.problem(404, "not-found");
    }
    let status = replica.get("/task_status/gone.anna-daily").await.ok();
    assert_eq!((&status["response"]["logs_count"], &status["response"]["logs"]), (&json!(0), &json!([])));
    let shown = replica.v2_get(&format!("/runs/{in_hand}")).await;
    assert!(shown["username"].as_str().unwrap().starts_with("erased."), "{shown:#}");
    assert_eq!(replica.v2(Method::GET, &format!("/runs/{in_hand}/events"), None).await.status, 410);
    let again = purge(&world, &["gone.anna", "--yes"]).await;
    assert_eq!(again.code, Some(3), "{again:?}");
}

#[tokio::test]
async fn an_erasure_that_is_killed_in_the_middle_is_done_by_asking_for_it_again() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    let words = with_a_past(&world, &replica, "halfway.anna", "halfway.bert").await;
    let before = counts(pool).await;
    // Its last statement waits for this, all before it is done and not committed.
    let mut holding = pool.begin().await.unwrap();
    sqlx::query("lock table audit in exclusive mode").execute(&mut *holding).await.unwrap();
    let settings = [("DATABASE_URL", world.database.url.as_str())];
    let called = call(&["profiles", "purge", "halfway.anna", "--yes"], &settings);
    eventually("the erasure waits", async || {
        let waits: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%audit%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        (waits > 0).then_some(())
    })
    .await;
    drop(called);
    holding.rollback().await.unwrap();
    eventually("nothing of it is left", async || {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        (open == 0).then_some(())
    })
    .await;
    assert_eq!(counts(pool).await, before, "all that is theirs is there as before");
    let again = purge(&world, &["halfway.anna", "--yes"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(found(pool, &words).await, []);
}

#[tokio::test]
async fn a_replica_tells_nothing_from_memory_of_a_person_who_was_erased() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_POLL_MS", "50")]).await;
    let mut board = replica.stream("/runs/stream", None).await;
    world.instagram.hold("memory.anna", 2).await;
    replica.create("create_task", "memory", "memory.anna").await;
    replica.post("/force_scrape/memory").await.ok();
    world.instagram.holds_one("memory.anna").await;
    let names_them = |message: &Message| message.data.to_string().contains("memory.anna");
    let begun = board.next().await.unwrap();
    assert!(names_them(&begun), "{begun:?}");
    // What a status told, and who follows the run, keep lines.
    let told = replica.get("/task_status/memory").await.text;
    assert!(told.contains("memory.anna"), "{told}");
    let run_id = begun.data["run_id"].as_str().unwrap().to_owned();
    let mut follower = replica.stream(&format!("/runs/{run_id}/events/stream"), None).await;
    assert!(names_them(&follower.next().await.unwrap()));

    let purged = purge(&world, &["memory.anna", "--yes"]).await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    // Whoever follows the board hears that something changed, and of nobody.
    let mut bare = board.next().await.unwrap();
    while bare.data["state"] != "cancelled" || names_them(&bare) {
        bare = board.next().await.unwrap();
    }
    assert!(bare.data["username"].as_str().unwrap().starts_with("erased."), "{bare:?}");
    // From now on nobody is told, from whatever place they come: each of these goes on from before the erasure.
    let from = begun.id.clone();
    for _ in 0..3 {
        let mut late = replica.stream("/runs/stream", from.as_deref()).await;
        let message = late.next().await.unwrap();
        assert!(!names_them(&message), "{message:?}");
    }
    let mut late = replica.stream(&format!("/runs/{run_id}/events/stream?after=0"), None).await;
    assert!(late.rest().await.iter().all(|message| !names_them(message)));
    let told = replica.get("/task_status/memory").await.text;
    assert!(!told.contains("memory.anna"), "{told}");
    // Who followed it hears its end; what was told before was told.
    assert_eq!(follower.rest().await.last().unwrap().event, "end");
    world.instagram.let_go("memory.anna").await;
}

#[tokio::test]
async fn whom_a_name_means_has_to_be_clear() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    // A handle that passed on: two accounts bore it.
    world.scrape(&replica, "first", "passed.anna").await;
    world.instagram.rename("passed.anna", json!({"to": "passed.anna.now"})).await;
    world.scrape(&replica, "first", "passed.anna").await;
    sqlx::query(
        "with other as (
             insert into profiles (instagram_pk, username, run_id, seq)
             select 77, 'passed.anna', run_id, seq from profiles returning profile_id, run_id, seq)
         insert into profile_names (profile_id, observed_from, username, run_id, seq)
         select profile_id, now(), 'passed.anna', run_id, seq from other",
    )
    .execute(pool)
    .await
    .unwrap();
    let several = purge(&world, &["passed.anna", "--yes"]).await;
    assert_eq!(several.code, Some(1), "{several:?}");
    assert!(several.stderr.contains("passed.anna.now") && several.stderr.contains("77"), "{several:?}");
    let by_number = purge(&world, &["--instagram-id", "77", "--yes"]).await;
    assert_eq!(by_number.code, Some(0), "{by_number:?}");
    let left: Vec<String> = sqlx::query_scalar("select username from profiles").fetch_all(pool).await.unwrap();
    assert_eq!(left, ["passed.anna.now"]);
    let tasks: i64 =
        sqlx::query_scalar("select count(*) from tasks where state = 'active'").fetch_one(pool).await.unwrap();
    assert_eq!(tasks, 1, "the task is about the other");
    let events: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(pool).await.unwrap();
    assert!(events > 10, "and so are its runs");

    // Somebody whom no run has read is known by a task alone.
    world.scrape(&replica, "nowhere", "missing.purged").await;
    let by_task = purge(&world, &["missing.purged", "--yes"]).await;
    assert_eq!(by_task.code, Some(0), "{by_task:?}");
    assert_eq!(found(pool, &["missing.purged".to_owned()]).await, []);
    let profile: i64 = sqlx::query_scalar("select profile_id from profiles").fetch_one(pool).await.unwrap();
    let by_own_number = purge(&world, &["--profile-id", &profile.to_string(), "--yes"]).await;
    assert_eq!(by_own_number.code, Some(0), "{by_own_number:?}");
    assert_eq!(found(pool, &["passed.anna".to_owned()]).await, []);
    for nobody in [&["nobody.at.all", "--yes"][..], &["--instagram-id", "1", "--yes"]] {
        assert_eq!(purge(&world, nobody).await.code, Some(3));
    }
    assert_eq!(purge(&world, &["no name", "--yes"]).await.code, Some(2));
    assert_eq!(purge(&world, &["--yes"]).await.code, Some(2));
}

/// What becomes of every table that may have rows of a person. A new table has to be here, and in `db::erasure`.
#[tokio::test]
async fn every_table_with_a_name_in_it_is_known_to_the_erasure() {
    let world = World::new().await;
    let known: BTreeMap<&str, &str> = BTreeMap::from([
        ("account_rollups", "removed"),
        ("api_keys", "names keys"),
        ("audit", "without the name of the task, and of whose it was"),
        ("circuits", "names sources"),
        ("credentials", "names credentials"),
        ("caption_walk", "names a place among posts, which leads to no row any more"),
        ("engagement_weeks", "removed"),
        ("event_days", "names types of events"),
        ("event_tallies", "names types of events"),
        ("events", "removed; of other runs without the name"),
        ("idempotency_keys", "removed where they name them"),
        ("media", "removed; of others without the name"),
        ("media_captions", "removed; of others without the name"),
        ("media_snapshots", "removed"),
        ("profile_days", "removed"),
        ("profile_names", "removed"),
        ("profile_snapshots", "removed"),
        ("profiles", "removed; of others without the name"),
        ("reel_days", "removed"),
        ("request_hours", "names endpoints and failures"),
        ("run_archives", "removed; of other runs without the name"),
        ("run_exchanges", "removed; of other runs without the answers that name them"),
        ("run_hours", "names states and reasons"),
        ("run_summaries", "without the last word; of other runs without the name"),
        ("run_summary_mark", "names a run that was summed up last"),
        ("runs", "made bare"),
        ("scans", "removed"),
        ("sessions", "names keys"),
        ("tasks", "made bare"),
    ]);
    let tables: Vec<String> = sqlx::query_scalar(
        "select distinct c.relname::text
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relkind in ('r', 'p', 'm') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
             and c.relname <> '_sqlx_migrations'
             and (a.attname in ('run_id', 'profile_id', 'task_id', 'username', 'shortcode')
                 or format_type(a.atttypid, null) in ('text', 'text[]', 'json', 'jsonb', 'bytea'))
         order by 1",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(tables, known.keys().copied().collect::<Vec<_>>());
}
