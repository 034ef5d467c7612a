//! Who is let in, beside what a key's scope allows: by which name the service is asked, how many sessions there are, and for
//! how long what was shown is good.

use reqwest::Method;
use serde_json::json;

use crate::harness::{World, eventually, make_key};
use crate::v2_keys::{ask, ask_with, cookie, problem, revoke, session_of, sign_in, tasks};
use crate::v2_streams::held;

#[tokio::test]
async fn a_service_that_is_open_on_this_machine_is_asked_by_this_machines_names_only() {
    let (world, replica) = World::with_replica().await;
    let port = replica.address.rsplit(':').next().unwrap();
    let asked_by = async |replica, host: &str| {
        ask_with(replica, Method::GET, "/api/v2/tasks", &[("host", &format!("{host}:{port}"))]).await
    };
    // A page of this name, which somebody makes lead here, is of one origin with the service.
    let refused = problem(&asked_by(&replica, "evil.example").await, 403);
    assert_eq!(refused["type"], "/api/v2/problems/cross-origin");
    assert!(refused["detail"].as_str().unwrap().contains("ig-tracking keys create"), "{refused}");
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        asked_by(&replica, host).await.ok();
    }
    let named = [("host", "evil.example")];
    ask_with(&replica, Method::GET, "/readyz", &named).await.ok();
    // Who shows a key, and who is let in without one on purpose, calls it as he likes.
    let anybody = world.replica(&[("IGT_ALLOW_ANONYMOUS", "true")]).await;
    asked_by(&anybody, "tracker.example").await.ok();
    let key = make_key(&world, "k", "read", &[]).await;
    let shown = [("host", "tracker.example"), ("x-api-key", key.as_str())];
    ask_with(&replica, Method::GET, "/api/v2/tasks", &shown).await.ok();
}

#[tokio::test]
async fn a_key_has_a_hundred_sessions_and_one_more_ends_its_oldest() {
    let world = World::new().await;
    let (busy, other) = (make_key(&world, "busy", "read", &[]).await, make_key(&world, "other", "read", &[]).await);
    let replica = world.replica(&[]).await;
    let of_other = cookie(&session_of(&sign_in(&replica, &other).await));
    let first = cookie(&session_of(&sign_in(&replica, &busy).await));
    let held = async |session: &str| {
        ask_with(&replica, Method::GET, "/api/v2/session", &[("cookie", session)]).await.status == 200
    };
    assert!(held(&first).await);
    // The others, which a loop in some program has made.
    let many = "insert into sessions (token_sha256, key_id, expires_at)
                select sha256(n::text::bytea), key_id, now() + interval '12 hours' from api_keys, generate_series(1, 99) n
                where name = 'busy'";
    sqlx::query(many).execute(&world.database.pool).await.unwrap();
    let latest = cookie(&session_of(&sign_in(&replica, &busy).await));
    assert!(held(&latest).await && held(&of_other).await);
    assert!(!held(&first).await);
    let sessions = "select count(*) from sessions join api_keys using (key_id) where name = 'busy'";
    let sessions: i64 = sqlx::query_scalar(sessions).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(sessions, 100);
}

#[tokio::test]
async fn signing_in_counts_among_the_requests_of_a_key() {
    let world = World::new().await;
    let key = make_key(&world, "limited", "read", &["--rate", "1"]).await;
    let replica = world.replica(&[]).await;
    let refused = eventually("the key has used its allowance", async || {
        let answer = sign_in(&replica, &key).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(problem(&refused, 429)["detail"].as_str().unwrap().contains("more requests than it may"));
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from sessions").fetch_one(&world.database.pool).await.unwrap();
    assert!((10..100).contains(&sessions), "{sessions}");
}

#[tokio::test]
async fn a_session_that_has_ended_is_no_wrong_key() {
    let world = World::new().await;
    let key = make_key(&world, "k", "read", &[]).await;
    let replica = world.replica(&[]).await;
    let session = cookie(&session_of(&sign_in(&replica, &key).await));
    let shown = [("cookie", session.as_str())];
    assert_eq!(ask_with(&replica, Method::DELETE, "/api/v2/session", &shown).await.status, 204);
    // A page that goes on asking is told to sign in again, however long it does, and burns nobody's tries.
    for _ in 0..15 {
        let told = problem(&ask_with(&replica, Method::GET, "/api/v2/tasks", &shown).await, 401);
        assert!(told["detail"].as_str().unwrap().contains("sign in again"), "{told}");
    }
    problem(&tasks(&replica, "igt_nonsense").await, 401);
}

#[tokio::test]
async fn whoever_waits_for_a_run_is_told_when_the_key_is_revoked_meanwhile() {
    let (world, replica) = World::with_replica().await;
    let run = held(&world, &replica, "t", "awaited.anna").await;
    let key = make_key(&world, "waits", "read", &[]).await;
    tasks(&replica, &key).await.ok();
    let path = format!("/api/v2/runs/{run}?wait=60");
    let (answer, ()) = tokio::join!(ask(&replica, Method::GET, &path, &key), revoke(&world, "waits"));
    assert_eq!(problem(&answer, 401)["type"], json!("/api/v2/problems/unauthorized"));
    world.instagram.let_go("awaited.anna").await;
}
