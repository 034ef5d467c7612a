//! A request under an Idempotency-Key is done once, however often it is sent, to whichever replica.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Replica, World};

async fn keyed(replica: &Replica, path: &str, key: &str, body: Option<Value>) -> Answer {
    let mut request = replica.http.request(Method::POST, format!("{}/api/v2{path}", replica.address));
    request = request.header("idempotency-key", key);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

#[tokio::test]
async fn the_same_request_has_the_same_answer_on_another_replica_and_after_a_restart() {
    let (world, replica) = World::with_replica().await;
    let body = || Some(json!({"username": "anna.once", "kind": "profile"}));
    let first = keyed(&replica, "/tasks", "k-1", body()).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, None));
    let again = keyed(&replica, "/tasks", "\"k-1\"", body()).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    replica.kill().await;
    let other = world.replica(&[]).await;
    assert_eq!(keyed(&other, "/tasks", "k-1", body()).await.text, first.text);
    assert_eq!(other.v2_get("/tasks").await["items"].as_array().unwrap().len(), 1);

    // Another body, or another path, is another request.
    let changed = Some(json!({"username": "anna.twice", "kind": "profile"}));
    keyed(&other, "/tasks", "k-1", changed).await.problem(422, "idempotency-key-reused");
    // A new key makes a new task.
    let second = keyed(&other, "/tasks", "k-2", body()).await;
    assert_ne!(second.json()["task_id"], first.json()["task_id"]);
}

#[tokio::test]
async fn of_many_at_once_under_one_key_one_is_done_and_all_are_answered_alike() {
    let world = World::new().await;
    let replicas = [world.replica(&[]).await, world.replica(&[]).await];
    let body = json!({"username": "anna.many", "kind": "reel"});
    let answers = (0..40).map(|n| keyed(&replicas[n % 2], "/tasks", "k", Some(body.clone())));
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text == answers[0].text));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count(), 1);
    assert_eq!(replicas[0].v2_get("/tasks").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_refused_leaves_its_key_free_and_a_key_is_forgotten_after_a_day() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "anna.taken").await;
    let body = |task: &str| Some(json!({"username": "anna.free", "kind": "profile", "task_id": task}));
    keyed(&replica, "/tasks", "k", body("t")).await.problem(409, "task-id-taken");
    assert_eq!(keyed(&replica, "/tasks", "k", body("u")).await.status, 201);
    keyed(&replica, "/tasks", "k", body("v")).await.problem(422, "idempotency-key-reused");
    let a_day_ago = "update idempotency_keys set created_at = now() - interval '25 hours'";
    sqlx::query(a_day_ago).execute(&world.database.pool).await.unwrap();
    assert_eq!(keyed(&replica, "/tasks", "k", body("v")).await.status, 201);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_by_name() {
    let (_world, replica) = World::with_replica().await;
    for key in ["", "two words", &"k".repeat(256), "\"\""] {
        let body = Some(json!({"username": "anna", "kind": "profile"}));
        let problem = keyed(&replica, "/tasks", key, body).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["location"], "header", "{problem}");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key", "{problem}");
    }
}

#[tokio::test]
async fn a_run_is_started_and_done_anew_once_under_a_key() {
    let (world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "anna.keyed").await;
    world.instagram.hold("anna.keyed", 0).await;
    let first = keyed(&replica, "/tasks/t/runs", "start", None).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let location = first.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/api/v2/runs/{}", first.json()["run_id"].as_str().unwrap()));
    let again = keyed(&replica, "/tasks/t/runs", "start", Some(json!({}))).await;
    assert_eq!((&again.text, again.header("location")), (&first.text, Some(&*location)));
    // Another request finds the task busy, and its key stays free.
    let busy = keyed(&replica, "/tasks/t/runs", "other", None).await;
    assert_eq!(busy.problem(409, "task-busy")["run_id"], first.json()["run_id"]);
    world.instagram.let_go("anna.keyed").await;
    assert_eq!(world.ended(&replica, "t").await["status"], "completed");

    let retry = location.strip_prefix("/api/v2").unwrap().to_owned() + "/retry";
    let anew = keyed(&replica, &retry, "other", None).await;
    assert_eq!((anew.status.as_u16(), &anew.json()["trigger"]), (202, &json!("retry")));
    assert_eq!(world.ended(&replica, "t").await["status"], "completed");
    assert_eq!(keyed(&replica, &retry, "other", None).await.text, anew.text);
    let runs = replica.v2_get("/runs").await;
    assert_eq!(runs["items"].as_array().unwrap().len(), 2);
    keyed(&replica, "/tasks/none/runs", "k", None).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_start_is_answered_again_as_it_was_also_where_its_task_has_gone_since() {
    let (_world, replica) = World::with_replica().await;
    replica.create("create_task", "t", "anna.gone").await;
    let first = keyed(&replica, "/tasks/t/runs", "k", None).await;
    assert_eq!(first.status, 202, "{}", first.text);
    assert_eq!(replica.v2(Method::DELETE, "/tasks/t", None).await.status, 204);
    let again = keyed(&replica, "/tasks/t/runs", "k", None).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    keyed(&replica, "/tasks/t/runs", "another", None).await.problem(404, "not-found");
}
