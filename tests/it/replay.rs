//! A run's last attempt, played back: the same events on the same answers, other ones where an answer is mended, nothing
//! asked and nothing written.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::failures::{HURRIED, OF_THE_SESSION};
use crate::harness::{Finished, World, call, event_types};
use crate::pipelines::SESSION;

/// Plays a task's latest run back, and gives what it showed and its exit code.
async fn replayed(world: &World, task: &str, settings: &[(&str, &str)]) -> (Value, Option<i32>) {
    let variables = [&[("DATABASE_URL", world.database.url.as_str())][..], settings].concat();
    let finished = call(&["runs", "replay", task, "--json"], &variables).finished().await;
    let shown = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    (shown, finished.code)
}

/// The events of a replay with a mark, by their types.
fn marked<'a>(shown: &'a Value, mark: &str) -> Vec<&'a str> {
    let lines = shown["events"].as_array().unwrap().iter().filter(|line| line["mark"] == mark);
    lines.map(|line| line["event_type"].as_str().unwrap()).collect()
}

/// How many rows every table has, and a sum over where each stands and which transaction wrote it: any write moves it.
async fn rows(pool: &PgPool) -> BTreeMap<String, (i64, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        // A name that the catalogue gave.
        let statement = format!(
            "select count(*), coalesce(sum(hashtext(t.ctid::text || t.xmin::text)::bigint), 0)::bigint from {table} t"
        );
        rows.insert(table, sqlx::query_as(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap());
    }
    rows
}

/// The body of a task's request, unpacked.
async fn body(pool: &PgPool, task: &str, endpoint: &str) -> Value {
    let packed: Vec<u8> = sqlx::query_scalar(
        "select body from run_exchanges join runs using (run_id) where task_id = $1 and endpoint = $2 limit 1",
    )
    .bind(task)
    .bind(endpoint)
    .fetch_one(pool)
    .await
    .unwrap();
    serde_json::from_slice(&zstd::decode_all(&packed[..]).unwrap()).unwrap()
}

/// Puts another body in its place.
async fn mend(pool: &PgPool, task: &str, endpoint: &str, body: &[u8]) {
    let packed = zstd::encode_all(body, 0).unwrap();
    let done = sqlx::query(
        "update run_exchanges x set body = $3 from runs r
         where r.run_id = x.run_id and r.task_id = $1 and x.endpoint = $2",
    )
    .bind(task)
    .bind(endpoint)
    .bind(packed)
    .execute(pool)
    .await
    .unwrap();
    assert!(done.rows_affected() > 0, "{task}: {endpoint}");
}

/// Neither of an account's answers can be read: one is nested too deep, and the page shows no user.
async fn cannot_be_read(world: &World, username: &str) {
    for (fault, endpoint) in [("deep", "web_profile_info"), ("geoblocked", "profile_page")] {
        world.instagram.fault(username, json!({"fault": fault, "endpoint": endpoint})).await;
    }
}

/// A name of an account with as many posts as the condition wants.
async fn with_posts(world: &World, beginning: &str, wanted: impl Fn(i64) -> bool) -> String {
    for n in 0..500 {
        let username = format!("{beginning}.n{n}");
        let user = world.instagram.user(&username).await;
        if wanted(user["edge_owner_to_timeline_media"]["count"].as_i64().unwrap()) {
            return username;
        }
    }
    panic!("no account has so many posts")
}

/// Faults by which a run ends badly and soon. Others are a matter of time, or of more than is kept of an answer.
const BAD: [&str; 32] = [
    "missing",
    "nulluser",
    "private",
    "agegated",
    "regulated",
    "geoblocked",
    "consent",
    "loginwall",
    "guestwall",
    "wallafter",
    "loggedout",
    "challenged",
    "feedback",
    "asset",
    "broken",
    "html",
    "senthome",
    "truncated",
    "cut",
    "failstatus",
    "mismatch",
    "proof",
    "sentlogin",
    "sentproof",
    "restricted",
    "lapsed",
    "renamed",
    "norevealed",
    "unknownkind",
    "garbled",
    "looping",
    "deep",
];

#[tokio::test]
async fn every_fault_that_ends_a_run_badly_ends_it_the_same_way_when_it_is_played_back() {
    let (of_the_session, of_the_account): (Vec<_>, Vec<_>) =
        BAD.into_iter().partition(|fault| OF_THE_SESSION.iter().any(|row| row.split('.').next() == Some(fault)));
    let played = fails_as_before("guest", &[], ("create_task", "force_scrape"), &BAD).await;
    assert!(played >= 20, "{played} of a guest");
    let reels = ("create_reel_task", "force_scrape_reel");
    let played = fails_as_before("session", &[SESSION], reels, &of_the_account).await;
    assert!(played >= 15, "{played} of a session");
    // Each with a session of its own: the next run would not be let to ask with one that is out.
    let mut played = 0;
    for fault in of_the_session {
        played += fails_as_before("session", &[SESSION], reels, &[fault]).await;
    }
    assert!(played >= 4, "{played} of a session's own");
}

/// Has a run meet each of these faults, plays those back that ended badly, and says how many they are.
async fn fails_as_before(
    who: &str,
    settings: &[(&str, &str)],
    (create, force): (&str, &str),
    faults: &[&str],
) -> usize {
    let world = World::new().await;
    let short: [(&str, &str); 2] = [("IGT_MAX_POSTS", "36"), ("IGT_MAX_ATTEMPTS", "2")];
    let replica = world.replica(&[&HURRIED[..], &short, settings].concat()).await;
    let name = |fault| format!("{who}-{fault}");
    for fault in faults {
        replica.create(create, &name(fault), &format!("{fault}.{who}.played")).await;
        replica.post(&format!("/{force}/{}", name(fault))).await.ok();
    }
    let mut played = 0;
    for fault in faults {
        let name = name(fault);
        let status = world.ended(&replica, &name).await;
        if !["failed", "partial"].contains(&status["status"].as_str().unwrap()) {
            continue;
        }
        let (shown, _) = replayed(&world, &name, &short).await;
        let said = format!("{name}: {status:#} {shown:#}");
        let expected = json!({"ends": {"state": status["status"], "reason": status["reason"]}});
        assert_eq!(shown["now"], expected, "{said}");
        assert_eq!((marked(&shown, "gone"), marked(&shown, "new")), (vec![], vec![]), "{said}");
        assert!(!marked(&shown, "same").is_empty(), "{said}");
        assert_eq!(shown["requests_left"], 0, "{said}");
        played += 1;
    }
    played
}

#[tokio::test]
async fn a_run_that_could_not_read_its_answer_fails_again_and_completes_once_the_answer_is_mended() {
    let world = World::new().await;
    // All its posts come with the account.
    let one_page = [("IGT_MAX_POSTS", "6")];
    let replica = world.replica(&[&HURRIED[..], &one_page].concat()).await;
    let username = "mended.replay".to_owned();
    cannot_be_read(&world, &username).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("upstream_changed")), "{status:#}");
    world.instagram.mend(&username).await;
    replica.kill().await;

    let before = (rows(&world.database.pool).await, world.instagram.requests(&username).await.len());
    let (shown, code) = replayed(&world, "t", &one_page).await;
    assert_eq!(code, Some(4), "{shown:#}");
    assert_eq!(shown["now"], json!({"ends": {"state": "failed", "reason": "upstream_changed"}}));
    assert_eq!(marked(&shown, "same"), ["scrape_failed"]);
    let text = call(&["runs", "replay", "t"], &[("DATABASE_URL", &world.database.url), one_page[0]]).finished().await;
    assert_eq!(text.code, Some(4), "{text:?}");
    for part in [
        "then  failed, reason upstream_changed",
        "now   failed, reason upstream_changed",
        "1 the same (=), 0 gone (-), 0 new (+)",
    ] {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    let after = (rows(&world.database.pool).await, world.instagram.requests(&username).await.len());
    assert_eq!(before, after, "nothing was asked and nothing written");

    let (_, right) = world.instagram.ask(&format!("/api/v1/users/web_profile_info/?username={username}")).await;
    mend(&world.database.pool, "t", "web_profile_info", &right).await;
    let before = (rows(&world.database.pool).await, world.instagram.requests(&username).await.len());
    let (shown, code) = replayed(&world, "t", &one_page).await;
    assert_eq!(code, Some(0), "{shown:#}");
    assert_eq!(shown["now"], json!({"ends": {"state": "succeeded", "reason": null}}));
    assert_eq!(marked(&shown, "gone"), ["scrape_failed"]);
    assert_eq!(marked(&shown, "new"), ["account_fetched", "posts_fetched", "profile_data_updated", "scrape_completed"]);
    let after = (rows(&world.database.pool).await, world.instagram.requests(&username).await.len());
    assert_eq!(before, after);
}

#[tokio::test]
async fn what_was_renamed_and_is_read_again_brings_the_events_of_a_run_that_went_well() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let username = with_posts(&world, "drift.replay", |posts| (30..60).contains(&posts)).await;
    let smooth = world.scrape(&replica, "smooth", &username).await;
    assert_eq!(smooth["status"], "completed", "{smooth:#}");
    world.instagram.fault(&username, json!({"fault": "renamed"})).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("partial"), &json!("upstream_changed")), "{status:#}");

    // As an older parser would have it, which knew the other name: each answer with the names of before.
    let pool = &world.database.pool;
    let bodies: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select seq, body from run_exchanges join runs using (run_id) where task_id = 't' order by seq")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(bodies.len() > 2);
    for (seq, body) in bodies {
        let text = String::from_utf8(zstd::decode_all(&body[..]).unwrap()).unwrap();
        let packed = zstd::encode_all(text.replace("_v2\":", "\":").as_bytes(), 0).unwrap();
        sqlx::query("update run_exchanges x set body = $2 from runs r where r.run_id = x.run_id and r.task_id = 't' and x.seq = $1")
            .bind(seq)
            .bind(packed)
            .execute(pool)
            .await
            .unwrap();
    }
    let (shown, code) = replayed(&world, "t", &[]).await;
    assert_eq!(code, Some(0), "{shown:#}");
    let now: Vec<&str> = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["mark"] != "gone")
        .map(|line| line["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(now, event_types(&smooth));
    assert!(marked(&shown, "gone").contains(&"upstream_changed"));
}

#[tokio::test]
async fn an_attempt_that_was_taken_up_again_is_played_back_from_where_it_was() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[("IGT_MAX_ATTEMPTS", "2")]].concat()).await;
    let username = with_posts(&world, "resumed.replay", |posts| posts >= 48).await;
    world.instagram.fault(&username, json!({"fault": "broken", "after": 2})).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!(
        (&status["status"], &status["reason"]),
        (&json!("partial"), &json!("upstream_unavailable")),
        "{status:#}"
    );
    assert!(event_types(&status).contains(&"run_resumed"));
    let (shown, code) = replayed(&world, "t", &[]).await;
    assert_eq!((code, &shown["attempt"]), (Some(5), &json!(2)), "{shown:#}");
    assert_eq!((marked(&shown, "life"), marked(&shown, "same")), (vec!["run_resumed"], vec!["scrape_partial"]));
    assert_eq!((marked(&shown, "gone"), marked(&shown, "new")), (vec![], vec![]), "{shown:#}");
    assert_eq!(shown["requests"].as_array().unwrap().len(), 1, "that of the second attempt: {shown:#}");
}

#[tokio::test]
async fn where_the_answers_are_not_kept_or_do_not_suffice_it_says_so_and_why() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.scrape(&replica, "well", "well.replay").await;
    let (shown, code) = replayed(&world, "well", &[]).await;
    assert_eq!(code, Some(9), "{shown:#}");
    let why = shown["now"]["recording_ends"].as_str().unwrap();
    assert!(why.contains("answer to request 1 is not kept") && why.contains("the run succeeded"), "{why}");

    // A mended answer leads on, to a page that the run never asked for.
    let username = with_posts(&world, "further.replay", |posts| posts > 24).await;
    cannot_be_read(&world, &username).await;
    world.scrape(&replica, "beyond", &username).await;
    world.instagram.mend(&username).await;
    let (_, right) = world.instagram.ask(&format!("/api/v1/users/web_profile_info/?username={username}")).await;
    mend(&world.database.pool, "beyond", "web_profile_info", &right).await;
    let (shown, code) = replayed(&world, "beyond", &[]).await;
    let why = shown["now"]["recording_ends"].as_str().unwrap();
    assert!(why.contains("did not ask feed for this") && why.contains("/api/v1/feed/user/"), "{why}");
    assert_eq!((code, marked(&shown, "new")), (Some(9), vec!["account_fetched", "posts_fetched"]), "{shown:#}");

    // Its time is over.
    sqlx::query(
        "update run_exchanges x set body = null from runs r where r.run_id = x.run_id and r.task_id = 'beyond'",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    let (shown, code) = replayed(&world, "beyond", &[]).await;
    let why = shown["now"]["recording_ends"].as_str().unwrap();
    assert!(code == Some(9) && why.contains("IGT_BODY_RETENTION_DAYS"), "{why}");

    // Larger than what is kept of one.
    world.instagram.fault("large.off.replay", json!({"fault": "longtext"})).await;
    world.instagram.fault("large.off.replay", json!({"fault": "geoblocked", "after": 1})).await;
    let status = world.scrape(&replica, "large", "large.off.replay").await;
    assert_eq!(status["status"], "partial", "{status:#}");
    let (shown, code) = replayed(&world, "large", &[]).await;
    let why = shown["now"]["recording_ends"].as_str().unwrap();
    assert!(code == Some(9) && why.contains("only the beginning is kept"), "{why}");

    let told = async |arguments: &[&str]| -> Finished {
        call(arguments, &[("DATABASE_URL", &world.database.url)]).finished().await
    };
    replica.create("create_task", "never", "never.replay").await;
    let never = told(&["runs", "replay", "never"]).await;
    assert_eq!(never.code, Some(1), "{never:?}");
    assert!(never.stderr.contains("has not run yet"), "{never:?}");
    assert_eq!(told(&["runs", "replay", "nobody"]).await.code, Some(3));
}

#[tokio::test]
async fn a_bundle_is_played_back_without_a_database_and_can_be_mended_by_hand() {
    let world = World::new().await;
    let secrets = ["sessionsecret", "csrfsecret"];
    let replica = world.replica(&[&HURRIED[..], &[SESSION]].concat()).await;
    let username = with_posts(&world, "bundled.replay", |posts| posts > 24).await;
    world.instagram.fault(&username, json!({"fault": "renamed"})).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!(status["status"], "partial", "{status:#}");
    let folder = std::env::temp_dir().join(format!("bundle-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("run.tar.zst");
    let file = file.to_str().unwrap();
    let database = [("DATABASE_URL", world.database.url.as_str())];
    let bundle = async |more: &[&str]| {
        let arguments = [&["runs", "post-mortem", "t", "--bundle", file][..], more].concat();
        call(&arguments, &database).finished().await
    };
    let made = bundle(&[]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stdout.contains("runs replay --bundle"), "{made:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = bundle(&[]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(bundle(&["--force"]).await.code, Some(0));

    // All that is in it, and no secret.
    let unpacked = zstd::decode_all(std::fs::File::open(file).unwrap()).unwrap();
    let text = String::from_utf8_lossy(&unpacked);
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains(world.database.url.as_str()));
    let mut names: Vec<String> = tar::Archive::new(&unpacked[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for name in [
        "events.ndjson",
        "known.json",
        "manifest.json",
        "post-mortem.json",
        "post-mortem.txt",
        "requests.ndjson",
        "run.json",
        "settings.json",
    ] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
    assert!(names.iter().filter(|name| name.starts_with("bodies/")).count() > 2, "{names:?}");

    let (by_database, code) = replayed(&world, "t", &[]).await;
    let alone = call(&["runs", "replay", "--bundle", file, "--json"], &[]).finished().await;
    assert_eq!((alone.code, code), (Some(5), Some(5)), "{alone:?}");
    assert_eq!(serde_json::from_str::<Value>(&alone.stdout).unwrap(), by_database);

    // Unpacked, edited and packed anew.
    let mended = folder.join("mended.tar.zst");
    let mut out = tar::Builder::new(zstd::Encoder::new(std::fs::File::create(&mended).unwrap(), 0).unwrap());
    for entry in tar::Archive::new(&unpacked[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
        if path.starts_with("bodies") {
            content = content.replace("_v2\":", "\":");
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        out.append_data(&mut header, std::path::Path::new(".").join(&path), content.as_bytes()).unwrap();
    }
    out.into_inner().unwrap().finish().unwrap();
    let again = call(&["runs", "replay", "--bundle", mended.to_str().unwrap()], &[]).finished().await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("now   succeeded") && again.stdout.contains("scrape_completed"), "{again:?}");

    std::fs::write(&mended, b"no bundle").unwrap();
    let none = call(&["runs", "replay", "--bundle", mended.to_str().unwrap()], &[]).finished().await;
    assert!(none.code == Some(1) && none.stderr.contains("--bundle FILE` makes one"), "{none:?}");
    let gone = call(&["runs", "replay", "--bundle", "/nowhere/at/all"], &[]).finished().await;
    assert!(gone.code == Some(1) && gone.stderr.contains("/nowhere/at/all"), "{gone:?}");
    std::fs::remove_dir_all(&folder).unwrap();
    // What the session was is nowhere.
    crate::bodies::assert_told_nowhere(&replica, &world.database.pool, &secrets).await;
    let of_profile = body(&world.database.pool, "t", "web_profile_info").await;
    assert!(of_profile["data"]["user"]["edge_followed_by_v2"].is_object(), "{of_profile}");
}
