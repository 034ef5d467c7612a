//! Why a run ended as it did, on one screen and as JSON, by the command line and over HTTP.

use ig_tracking::maintenance::summarise_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::failures::HURRIED;
use crate::harness::{Replica, World, call, eventually};

async fn run_of(world: &World, task: &str) -> String {
    sqlx::query_scalar("select run_id::text from runs where task_id = $1 order by run_id desc limit 1")
        .bind(task)
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

async fn told(world: &World, replica: &Replica, task: &str) -> (Value, String) {
    let run_id = run_of(world, task).await;
    let path = format!("/api/v2/runs/{run_id}/post-mortem");
    let as_json = replica.ask(Method::GET, &path, None).await;
    let mut request = replica.http.get(format!("{}{path}", replica.address));
    request = request.header("accept", "text/plain");
    let as_text = request.send().await.unwrap();
    assert_eq!(as_text.headers()["content-type"], "text/plain; charset=utf-8");
    (as_json.ok(), as_text.text().await.unwrap())
}

async fn by_command(world: &World, of: &str) -> String {
    let finished = call(&["runs", "post-mortem", of], &[("DATABASE_URL", &world.database.url)]).finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[tokio::test]
async fn a_failed_run_says_what_failed_where_and_what_to_do_beside_the_last_that_went_well() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let well = world.scrape(&replica, "t", "mortem.anna").await;
    assert_eq!(well["status"], "completed");
    let good = run_of(&world, "t").await;
    world.instagram.fault("mortem.anna", json!({"fault": "challenged"})).await;
    world.scrape(&replica, "t", "mortem.anna").await;
    for n in 0..3 {
        world.scrape(&replica, &format!("other-{n}"), &format!("challenged.mortem{n}")).await;
    }
    let (report, text) = told(&world, &replica, "t").await;
    let run_id = run_of(&world, "t").await;
    assert_eq!((&report["state"], &report["reason"]), (&json!("failed"), &json!("challenge_required")));
    assert_eq!((&report["run_id"], &report["stage"]), (&json!(run_id), &json!("account")));
    let failure = &report["failure"];
    for (name, expected) in [
        ("name", json!("challenge_required")),
        ("endpoint", json!("web_profile_info")),
        ("http_status", json!(400)),
        ("credential", json!("guest")),
        ("request", json!(1)),
        ("seq", json!(2)),
    ] {
        assert_eq!(failure[name], expected, "{name}: {report:#}");
    }
    let event = replica.ask(Method::GET, report["links"]["event"].as_str().unwrap(), None).await.ok();
    assert_eq!(event["event_type"], "scrape_failed");
    assert_eq!(report["summary"], event["message"]);
    assert_eq!(report["last_good"]["run_id"], good.as_str());
    let advice = ig_tracking::post_mortem::advice::of(ig_tracking::db::runs::Reason::ChallengeRequired);
    assert_eq!(report["advice"], json!({"meaning": advice.meaning, "action": advice.action}));
    let posts = report["counts"].as_array().unwrap().iter().find(|count| count["of"] == "posts").unwrap();
    assert_eq!(posts["count"], 0);
    assert_eq!(posts["last_good_count"], well["logs"].as_array().unwrap().last().unwrap()["scraped_posts_count"]);
    let phase = |name: &str| report["phases"].as_array().unwrap().iter().find(|phase| phase["phase"] == name).cloned();
    assert!(phase("account").unwrap()["seconds"].as_f64().is_some(), "{report:#}");
    assert_eq!(phase("posts").unwrap()["seconds"], Value::Null);
    assert!(phase("posts").unwrap()["last_good_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["unread"]["answer"]["request"], 1);
    assert!(report["unread"]["answer"]["first_lines"][0].as_str().unwrap().contains("checkpoint_required"));
    assert_eq!(report["requests"]["count"], 1);
    assert_eq!(report["requests"]["latest"][0]["failure"], "challenge_required");

    let others = &report["others"];
    assert!(others["is_exact"] == true && others["count"].as_i64().unwrap() >= 3, "{others}");
    let share = |list: &str, name: &str| {
        let shares = others[list].as_array().unwrap();
        shares.iter().find(|share| share["name"] == name).map(|share| share["count"].clone())
    };
    assert_eq!((share("by_credential", "guest"), share("by_source", "web")), (Some(json!(3)), Some(json!(3))));

    // The command says the very same, by the run and by its task.
    assert_eq!(by_command(&world, "t").await, text);
    assert_eq!(by_command(&world, &run_id).await, text);
    for part in [
        &run_id,
        "state     failed, reason challenge_required",
        "request 1, web_profile_info with guest: 400, challenge_required · event 2",
        advice.action,
        &good,
        "others with challenge_required",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(text.lines().count() <= 50 && !text.contains('\u{1b}'), "one screen: {text}");
}

#[tokio::test]
async fn what_could_not_be_read_is_told_by_path_with_the_answer_that_shows_it() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.scrape(&replica, "t", "renamed.mortem").await;
    let (report, text) = told(&world, &replica, "t").await;
    assert_eq!((&report["state"], &report["reason"]), (&json!("partial"), &json!("upstream_changed")));
    let field = &report["unread"]["fields"][0];
    assert_eq!(field["path"], "data.user.edge_followed_by.count", "{report:#}");
    let answer = &report["unread"]["answer"];
    let shown = call(
        &answer["command"].as_str().unwrap().split(' ').skip(1).collect::<Vec<_>>(),
        &[("DATABASE_URL", &world.database.url)],
    );
    let whole = shown.finished().await;
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let first = answer["first_lines"][0].as_str().unwrap().trim_end_matches('…');
    assert!(whole.stdout.starts_with(first), "{first}");
    assert!(
        text.contains("data.user.edge_followed_by.count should be a count of zero or more, found nothing"),
        "{text}"
    );
}

#[tokio::test]
async fn a_run_in_whatever_state_says_what_it_can() {
    let world = World::new().await;
    let replica = world.replica(&[("IGT_CONCURRENCY", "2"), ("IGT_THROTTLE_SECONDS", "600")]).await;
    // In hand; and behind it in the queue.
    for task in ["held-1", "held-2", "held-3"] {
        let username = format!("{task}.mortem").replace('-', ".");
        world.instagram.hold(&username, 0).await;
        replica.create("create_task", task, &username).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
    }
    world.instagram.holds_one("held.1.mortem").await;
    let running = told(&world, &replica, "held-1").await.0;
    assert_eq!(
        (&running["state"], &running["stage"], &running["advice"]),
        (&json!("running"), &json!("account"), &Value::Null)
    );
    assert!(running["summary"].as_str().unwrap().starts_with("It is at stage account, "), "{running:#}");
    assert!(running["others"].is_null());
    let queued = told(&world, &replica, "held-3").await.0;
    assert_eq!(
        (&queued["state"], &queued["stage"], &queued["started_at"]),
        (&json!("queued"), &Value::Null, &Value::Null)
    );
    assert!(queued["summary"].as_str().unwrap().starts_with("It waits for a free worker"), "{queued:#}");
    // Cancelled.
    replica.post("/cancel/held-3").await.ok();
    let cancelled = told(&world, &replica, "held-3").await.0;
    assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("cancelled_by_client")));
    for username in ["held.1.mortem", "held.2.mortem", "held.3.mortem"] {
        world.instagram.let_go(username).await;
    }
    // Succeeded.
    world.ended(&replica, "held-1").await;
    let (succeeded, text) = told(&world, &replica, "held-1").await;
    assert_eq!(
        (&succeeded["state"], &succeeded["failure"], &succeeded["stage"]),
        (&json!("succeeded"), &Value::Null, &Value::Null)
    );
    assert!(succeeded["summary"].as_str().unwrap().starts_with("Scrape of @held.1.mortem completed"), "{text}");
    // Its log is given up.
    sqlx::query("delete from events where run_id = $1::text::uuid")
        .bind(run_of(&world, "held-1").await)
        .execute(&world.database.pool)
        .await
        .unwrap();
    let bare = told(&world, &replica, "held-1").await.0;
    assert!(bare["missing"][0].as_str().unwrap().contains("is not kept any more"), "{bare:#}");
    assert_eq!(bare["way"], Value::Null, "nobody knows what it met");

    // It waits; and with it whoever asks as a guest.
    replica.create("create_task", "waiting", "throttled.600.mortem").await;
    replica.post("/force_scrape/waiting").await.ok();
    let waits = async || {
        let report = told(&world, &replica, "waiting").await.0;
        (report["state"] == "waiting").then_some(report)
    };
    let waiting = eventually("the run waits", waits).await;
    assert_eq!((&waiting["reason"], &waiting["way"]["waits"]), (&json!("rate_limited"), &json!(1)));
    assert!(waiting["summary"].as_str().unwrap().starts_with("It waits until "), "{waiting:#}");
    assert!(waiting["advice"]["action"].as_str().is_some() && waiting["finished_at"].is_null());
    let nobody = replica.v2(Method::GET, "/runs/01990000-0000-7000-8000-000000000000/post-mortem", None).await;
    nobody.problem(404, "not-found");
}

#[tokio::test]
async fn waits_and_lost_workers_are_counted_on_the_way() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[("IGT_LEASE_SECONDS", "2")]].concat()).await;
    world.instagram.fault("way.mortem", json!({"fault": "broken", "times": 1})).await;
    world.instagram.hold("way.mortem", 1).await;
    replica.create("create_task", "t", "way.mortem").await;
    replica.post("/force_scrape/t").await.ok();
    world.instagram.holds_one("way.mortem").await;
    replica.kill().await;
    world.instagram.let_go("way.mortem").await;
    let replica = world.replica(&HURRIED).await;
    world.ended(&replica, "t").await;
    let (report, text) = told(&world, &replica, "t").await;
    assert_eq!((&report["way"]["waits"], &report["way"]["lost_workers"]), (&json!(1), &json!(1)), "{report:#}");
    assert!(report["way"]["waited_seconds"].as_f64().unwrap() > 0.0);
    let interrupted = report["phases"].as_array().unwrap().iter().find(|phase| phase["phase"] == "interrupted");
    assert!(interrupted.unwrap()["seconds"].as_f64().unwrap() > 0.0, "{report:#}");
    assert!(text.contains("1 wait of") && text.contains("1 lost worker"), "{text}");
}

#[tokio::test]
async fn a_failure_that_was_overcome_is_not_where_a_run_failed() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    world.instagram.fault("renamed.overcome.mortem", json!({"fault": "throttledonce"})).await;
    world.scrape(&replica, "renamed", "renamed.overcome.mortem").await;
    let (report, text) = told(&world, &replica, "renamed").await;
    assert_eq!((&report["state"], &report["reason"]), (&json!("partial"), &json!("upstream_changed")));
    assert_eq!(
        (&report["failure"], &report["stage"], &report["links"]["event"]),
        (&Value::Null, &Value::Null, &Value::Null),
        "{report:#}"
    );
    assert_eq!((&report["way"]["waits"], &report["requests"]["failed"]), (&json!(1), &json!(1)));
    assert_eq!(report["unread"]["answer"]["request"], 2, "{report:#}");
    let event = &report["unread"]["fields"][0]["seq"];
    assert!(text.contains(&format!("where     request 2, web_profile_info · event {event}\n")), "{text}");

    world.scrape(&replica, "well", "throttledonce.overcome").await;
    let (report, text) = told(&world, &replica, "well").await;
    assert_eq!((&report["state"], &report["way"]["waits"]), (&json!("succeeded"), &json!(1)), "{report:#}");
    assert_eq!((&report["failure"], &report["links"]["event"]), (&Value::Null, &Value::Null), "{report:#}");
    assert!(!text.contains("\nwhere  "), "{text}");
}

/// How long the run, and the last good one, were in each phase.
fn phases(report: &Value) -> Vec<(String, Option<f64>, Option<f64>)> {
    let phases = report["phases"].as_array().unwrap().iter();
    phases
        .map(|told| (told["phase"].to_string(), told["seconds"].as_f64(), told["last_good_seconds"].as_f64()))
        .collect()
}

/// Both are the same, to the millisecond that summaries are told in.
fn assert_same_phases(one: &Value, other: &Value) {
    let (one, other) = (phases(one), phases(other));
    let is_near = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() < 0.0011,
        (one, other) => one == other,
    };
    let all_near = one.len() == other.len()
        && one
            .iter()
            .zip(&other)
            .all(|(one, other)| one.0 == other.0 && is_near(one.1, other.1) && is_near(one.2, other.2));
    assert!(all_near, "{one:?}\n{other:?}");
}

#[tokio::test]
async fn what_is_gone_of_an_old_run_is_told_by_its_summary_and_is_never_zero() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    let pool = &world.database.pool;
    let good = world.scrape(&replica, "t", "old.mortem").await;
    assert_eq!(good["status"], "completed");
    world.instagram.fault("old.mortem", json!({"fault": "challenged"})).await;
    let status = world.scrape(&replica, "t", "old.mortem").await;
    assert_eq!(status["status"], "failed", "{status:#}");
    let service = world.database.as_the_service();
    eventually("both are summarised", async || {
        summarise_all(&service).await.unwrap();
        let left = "select count(*) from runs where run_id not in (select run_id from run_summaries)";
        let left: i64 = sqlx::query_scalar(left).fetch_one(pool).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    let count = |report: &Value, of: &str| {
        let counts = report["counts"].as_array().unwrap();
        let found = counts.iter().find(|count| count["of"] == of);
        found.map(|count| (count["count"].clone(), count["last_good_count"].clone()))
    };
    let (fresh, _) = told(&world, &replica, "t").await;
    assert!(fresh["requests"]["failed"].as_i64().unwrap() > 0 && fresh["missing"] == json!([]), "{fresh:#}");

    // The log has lost its beginning: what is left of it tells no phases.
    sqlx::query("delete from events where seq = 1").execute(pool).await.unwrap();
    let (cut, _) = told(&world, &replica, "t").await;
    assert_same_phases(&cut, &fresh);
    assert_eq!((&cut["way"], cut["missing"].as_array().unwrap().len()), (&Value::Null, 1), "{cut:#}");

    sqlx::raw_sql("delete from events; delete from run_exchanges").execute(pool).await.unwrap();
    let (old, text) = told(&world, &replica, "t").await;
    assert_same_phases(&old, &fresh);
    for of in ["failed", "bytes", "count"] {
        assert_eq!(old["requests"][of], fresh["requests"][of], "{of}");
    }
    let took = |report: &Value| report["requests"]["duration_ms"].as_f64().unwrap();
    assert_eq!(took(&old), took(&fresh).trunc());
    assert_eq!(old["summary"], fresh["summary"], "its last word is kept");
    assert_eq!(count(&old, "posts"), count(&fresh, "posts"));
    assert_eq!(count(&old, "followers"), None, "no summary has them");
    let missing = old["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 3, "{missing:#?}");
    assert!(missing.iter().any(|note| note.as_str().unwrap().contains("of the last good run")), "{missing:#?}");
    assert!(
        text.contains(&format!("in all, {} failed; of attempt 1 the latest 0", fresh["requests"]["failed"])),
        "{text}"
    );

    sqlx::raw_sql("delete from run_summaries").execute(pool).await.unwrap();
    let (bare, text) = told(&world, &replica, "t").await;
    for of in ["failed", "bytes", "duration_ms"] {
        assert_eq!(bare["requests"][of], Value::Null, "{of}");
    }
    assert!(phases(&bare).iter().all(|(phase, ..)| phase == "\"queue\""), "{bare:#}");
    assert!(text.contains("how many failed is not known any more"), "{text}");
    assert_eq!(
        (count(&bare, "posts"), count(&bare, "requests").unwrap().0),
        (None, fresh["requests"]["count"].clone())
    );
}

#[tokio::test]
async fn others_are_those_that_ended_at_the_time_whenever_they_were_asked_for() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    // Asked for so long ago, and ended so long ago, in minutes.
    sqlx::raw_sql(
        "insert into tasks (task_id, kind, username) select 'other-' || asked, 'profile', 'other'
         from unnest('{40,50,20}'::int[]) as asked;
         insert into runs (run_id, task_id, kind, username, source, trigger, state, reason, requested_at, started_at,
                           updated_at, finished_at, deadline_at, attempt, last_seq)
         select uuid_v7(asked_at), 'other-' || asked, 'profile', 'other', 'auto', 'api', 'failed', 'challenge_required', asked_at,
                asked_at, ended_at, ended_at, asked_at + interval '1 hour', 1, 1
         from (values (40, 0), (50, 45), (20, 10)) as other (asked, ended)
         cross join lateral (select now() - make_interval(mins => asked) as asked_at,
                                    now() - make_interval(mins => ended) as ended_at) as times",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    world.scrape(&replica, "t", "challenged.others.mortem").await;
    let (report, text) = told(&world, &replica, "t").await;
    let others = &report["others"];
    let mut tasks: Vec<&str> =
        others["by_task"].as_array().unwrap().iter().map(|share| share["name"].as_str().unwrap()).collect();
    tasks.sort_unstable();
    assert_eq!((&others["count"], tasks), (&json!(2), vec!["other-20", "other-40"]), "{others:#}");
    assert!(text.contains("others with challenge_required from "), "{text}");
}
