//! The bodies of answers: which are kept, that they are what was answered, and that no secret is in them.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::failures::HURRIED;
use crate::harness::{Replica, World, call};
use crate::pipelines::SESSION;

/// A request as its row tells it.
#[derive(sqlx::FromRow)]
struct Asked {
    task_id: String,
    endpoint: String,
    bytes: i64,
    failure: Option<String>,
    body: Option<Vec<u8>>,
    /// Whether its run met something that could not be read.
    has_drift: bool,
    /// Whether its run ended otherwise than it should, in the attempt that made the request.
    led_to_a_bad_end: bool,
}

/// A body is kept where its request failed, or where something in it could not be read; and all of the attempt by which a
/// run ended badly; and nowhere else.
pub(crate) async fn assert_bodies(pool: &PgPool) {
    let rows: Vec<Asked> = sqlx::query_as(
        "select r.task_id, x.endpoint, x.bytes, x.failure, x.body,
                exists (select from events e where e.run_id = r.run_id and e.event_type = 'upstream_changed') as has_drift,
                r.state in ('failed', 'partial') and x.attempt = r.attempt as led_to_a_bad_end
         from run_exchanges x join runs r using (run_id)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for Asked { task_id, endpoint, bytes, failure, body, has_drift, led_to_a_bad_end } in rows {
        let what = format!("{task_id}: {endpoint} {failure:?}, {bytes} bytes");
        match body {
            Some(body) => {
                assert!(failure.is_some() || has_drift || led_to_a_bad_end, "kept without a reason: {what}");
                let whole = zstd::decode_all(&body[..]).unwrap();
                assert!(!whole.is_empty(), "{what}");
            }
            None => assert!(bytes == 0 || (failure.is_none() && !led_to_a_bad_end), "not kept: {what}"),
        }
    }
}

/// What must not be told stands neither in a row nor in the log.
pub(crate) async fn assert_told_nowhere(replica: &Replica, pool: &PgPool, secrets: &[&str]) {
    let rows: Vec<String> = sqlx::query_scalar(
        "select e::text from events e union all select (url || coalesce(failure, '')) from run_exchanges
         union all select r::text from runs r",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("select body from run_exchanges where body is not null").fetch_all(pool).await.unwrap();
    let bodies = bodies.iter().map(|body| String::from_utf8_lossy(&zstd::decode_all(&body[..]).unwrap()).into_owned());
    let log = replica.log().into_iter().map(|line| line.to_string());
    for text in rows.into_iter().chain(bodies).chain(log) {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

/// What is kept of a task's requests, oldest first: endpoint, attempt, failure, size, body.
type Kept = (String, i32, Option<String>, i64, Option<Vec<u8>>);

async fn kept(pool: &PgPool, task: &str) -> Vec<Kept> {
    sqlx::query_as(
        "select endpoint, x.attempt, failure, bytes, body from run_exchanges x join runs using (run_id)
         where task_id = $1 order by x.run_id, seq",
    )
    .bind(task)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The name of an account with more posts than two pages have.
pub(crate) async fn with_pages(world: &World, beginning: &str) -> String {
    for n in 0.. {
        let username = format!("{beginning}.{n}");
        let user = world.instagram.user(&username).await;
        if user["edge_owner_to_timeline_media"]["count"].as_i64().unwrap() >= 48 {
            return username;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn of_an_attempt_that_ends_a_run_badly_every_answer_is_kept_so_that_it_can_be_played_back() {
    let world = World::new().await;
    for (settings, posts) in [(&[][..], "feed"), (&[SESSION][..], "timeline")] {
        let replica = world.replica(&[&HURRIED[..], settings].concat()).await;
        let username = with_pages(&world, &format!("playback.{posts}")).await;
        let smooth = format!("{posts}-smooth");
        assert_eq!(world.scrape(&replica, &smooth, &username).await["status"], "completed");
        let of_smooth = kept(&world.database.pool, &smooth).await;
        assert!(of_smooth.len() > 2 && of_smooth.iter().all(|one| one.4.is_none()), "of a run that went well none");

        // The account's own answer and pages go well; the last page does not.
        let lists = i64::try_from(of_smooth.len()).unwrap() - 1;
        world.instagram.fault(&username, json!({"fault": "geoblocked", "after": lists})).await;
        let task = format!("{posts}-bad");
        let status = world.scrape(&replica, &task, &username).await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("partial"), &json!("geo_blocked")), "{status:#}");
        let of_bad = kept(&world.database.pool, &task).await;
        assert_eq!(of_bad.len(), of_smooth.len());
        for (n, (endpoint, _, failure, bytes, body)) in of_bad.iter().enumerate() {
            let whole = zstd::decode_all(&body.as_ref().unwrap()[..]).unwrap();
            assert_eq!(failure.is_some(), n + 1 == of_bad.len(), "{endpoint}");
            // Where a secret stood, something else does.
            assert!(settings.len() == 1 || whole.len() as i64 == *bytes, "{endpoint}: {} of {bytes}", whole.len());
            let settings = [("DATABASE_URL", world.database.url.as_str())];
            let shown = call(&["runs", "show", &task, "--body", &(n + 1).to_string()], &settings).finished().await;
            assert_eq!(shown.code, Some(0), "{shown:?}");
            assert_eq!(shown.stdout.trim_end(), String::from_utf8_lossy(&whole).trim_end());
        }
        let account: Value =
            serde_json::from_slice(&zstd::decode_all(&of_bad[0].4.as_ref().unwrap()[..]).unwrap()).unwrap();
        assert_eq!(account["data"]["user"]["username"], username.as_str());
        assert!(of_bad.iter().any(|one| one.0 == posts), "{posts}");
        assert_told_nowhere(&replica, &world.database.pool, &["sessionsecret", "csrfsecret"]).await;
        world.instagram.mend(&username).await;
        replica.kill().await;
    }
    assert_bodies(&world.database.pool).await;
}

#[tokio::test]
async fn of_earlier_attempts_only_what_failed_is_kept() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[("IGT_MAX_ATTEMPTS", "2")]].concat()).await;
    let username = with_pages(&world, "twice").await;
    world.instagram.fault(&username, json!({"fault": "broken", "after": 2})).await;
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("partial"), &json!("upstream_unavailable")));
    let kept: Vec<_> = kept(&world.database.pool, "t").await.into_iter().map(|one| (one.1, one.4.is_some())).collect();
    assert_eq!(kept, [(1, false), (1, false), (1, true), (2, true)]);
    assert_bodies(&world.database.pool).await;
}

#[tokio::test]
async fn a_page_that_went_well_is_kept_without_the_tokens_that_it_brought() {
    let world = World::new().await;
    let replica = world.replica(&[&HURRIED[..], &[SESSION]].concat()).await;
    let username = with_pages(&world, "tokens").await;
    // The profile's own endpoint is broken, its page answers, and the list of posts does not.
    for (fault, endpoint) in [("asset", "web_profile_info"), ("geoblocked", "timeline"), ("geoblocked", "feed")] {
        world.instagram.fault(&username, json!({"fault": fault, "endpoint": endpoint})).await;
    }
    let status = world.scrape(&replica, "t", &username).await;
    assert_eq!(status["status"], "partial", "{status:#}");
    let of_page = kept(&world.database.pool, "t").await.into_iter().find(|one| one.0 == "profile_page").unwrap();
    assert_eq!(of_page.2, None, "it went well");
    let page = String::from_utf8(zstd::decode_all(&of_page.4.unwrap()[..]).unwrap()).unwrap();
    assert!(page.contains(&username) && page.matches("[removed]").count() >= 2, "{page}");
    for token in ["\"LSD\",[],{\"token\":\"", "\"DTSGInitialData\",[],{\"token\":\""] {
        assert!(page.split_once(token).unwrap().1.starts_with("[removed]"), "{token}");
    }
}

#[tokio::test]
async fn a_kept_body_is_what_was_answered() {
    let world = World::new().await;
    let replica = world.replica(&HURRIED).await;
    for (username, endpoint, path) in [
        ("missing.body", "web_profile_info", "/api/v1/users/web_profile_info/?username=missing.body"),
        ("missing.body", "profile_page", "/missing.body/"),
        ("agegated.body", "web_profile_info", "/api/v1/users/web_profile_info/?username=agegated.body"),
        ("cut.body", "web_profile_info", "/api/v1/users/web_profile_info/?username=cut.body"),
    ] {
        let task = format!("{username}-{endpoint}");
        world.scrape(&replica, &task, username).await;
        let (status, answered) = world.instagram.ask(path).await;
        let (seen, bytes, kept, url): (i16, i64, Vec<u8>, String) = sqlx::query_as(
            "select x.status, bytes, body, url from run_exchanges x join runs using (run_id)
             where task_id = $1 and endpoint = $2 order by seq limit 1",
        )
        .bind(&task)
        .bind(endpoint)
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(seen, i16::try_from(status).unwrap());
        let kept = zstd::decode_all(&kept[..]).unwrap();
        assert_eq!(bytes, kept.len() as i64);
        let (kept, answered) = (String::from_utf8_lossy(&kept), String::from_utf8_lossy(&answered));
        if username.starts_with("cut") {
            // Of an answer that tells numbers, those of another second differ.
            let before_numbers = |body: &str| body.split_once(r#""edge_followed_by""#).unwrap().0.to_owned();
            assert_eq!(before_numbers(&kept), before_numbers(&answered));
        } else {
            assert_eq!(kept, answered);
        }
        assert_eq!(url, format!("{}{path}", world.instagram.url));
    }
}
