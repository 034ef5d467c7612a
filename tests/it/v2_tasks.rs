//! Tasks in version 2: created, listed, changed, deleted; what cannot be read is a problem that names the field.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Replica, World};

async fn create(replica: &Replica, body: Value) -> Value {
    let answer = replica.v2(Method::POST, "/tasks", Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_task_is_created_once_and_stands_at_its_location() {
    let (_world, replica) = World::with_replica().await;
    let body = json!({"username": "@Anna.Created", "kind": "profile", "task_id": "t:1", "source": "web"});
    let answer = replica.v2(Method::POST, "/tasks", Some(body.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, Some("/api/v2/tasks/t:1")));
    let task = answer.json();
    assert_eq!(
        (&task["username"], &task["kind"], &task["source"], &task["latest_run"]),
        (&json!("anna.created"), &json!("profile"), &json!("web"), &Value::Null)
    );
    assert_eq!(replica.v2_get("/tasks/t:1").await, task);

    // Sent again it is the same task; another target is a conflict.
    let again = replica.v2(Method::POST, "/tasks", Some(body)).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, task.clone()));
    let other = json!({"username": "anna.created", "kind": "reel", "task_id": "t:1"});
    replica.v2(Method::POST, "/tasks", Some(other)).await.problem(409, "task-id-taken");

    // A null is a field left out; the name is then made.
    let named = create(&replica, json!({"username": "a", "kind": "reel", "task_id": null, "source": null})).await;
    assert_eq!(named["source"], "auto");
    assert_eq!(named["task_id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
}

#[tokio::test]
async fn a_task_changes_its_source_and_is_deleted_with_its_history_kept() {
    let (world, replica) = World::with_replica().await;
    let before = create(&replica, json!({"username": "anna.changed", "kind": "profile", "task_id": "t"})).await;
    let change = async |body: Value| replica.v2(Method::PATCH, "/tasks/t", Some(body)).await;
    let changed = change(json!({"source": "graph"})).await.ok();
    assert_eq!(changed["source"], "graph");
    assert_ne!(changed["updated_at"], before["updated_at"]);
    // The same again, or nothing at all, changes nothing.
    assert_eq!(change(json!({"source": "graph"})).await.ok(), changed);
    assert_eq!(change(json!({})).await.ok(), changed);
    assert_eq!(change(json!({"source": "web"})).await.ok()["source"], "web");

    world.scrape(&replica, "t", "anna.changed").await;
    let latest = replica.v2_get("/tasks/t").await["latest_run"].clone();
    assert_eq!(latest["state"], "succeeded");
    let deleted = replica.v2(Method::DELETE, "/tasks/t", None).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    for (method, body) in [(Method::GET, None), (Method::DELETE, None), (Method::PATCH, Some(json!({})))] {
        replica.v2(method, "/tasks/t", body).await.problem(404, "not-found");
    }
    // It lives again, as a new resource with its history.
    let again = create(&replica, json!({"username": "anna.changed", "kind": "profile", "task_id": "t"})).await;
    assert_eq!(again["latest_run"], latest);
}

#[tokio::test]
async fn a_list_is_filtered_and_walked_to_its_end_in_both_orders() {
    let (world, replica) = World::with_replica().await;
    for n in 0..25 {
        let (kind, source) = (["profile", "reel"][n % 2], ["auto", "web", "graph"][n % 3]);
        let body =
            json!({"username": format!("anna.{}", n % 5), "kind": kind, "source": source, "task_id": format!("t{n}")});
        create(&replica, body).await;
    }
    world.scrape(&replica, "t0", "anna.0").await;

    let all = replica.v2_get("/tasks?limit=1000").await;
    assert_eq!(all["next_cursor"], Value::Null);
    let all = all["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), 25);
    let walk = async |query: &str| {
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = replica.v2_get(&format!("/tasks?limit=4&{query}{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 4);
            walked.extend(items.clone());
            // What comes meanwhile shifts nothing.
            let body = json!({"username": "late", "kind": "profile"});
            create(&replica, body).await;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return walked,
            }
        }
    };
    let newest_first = walk("order=desc").await;
    let reversed: Vec<_> = newest_first.into_iter().rev().filter(|task| task["username"] != "late").collect();
    assert_eq!(reversed, all);
    let oldest_first = walk("order=asc&kind=profile&source=web").await;
    let expected: Vec<_> =
        all.iter().filter(|task| task["kind"] == "profile" && task["source"] == "web").cloned().collect();
    assert_eq!(oldest_first, expected);
    let of_anna = replica.v2_get("/tasks?username=@Anna.3").await;
    let names: BTreeSet<_> = of_anna["items"].as_array().unwrap().iter().map(|task| task["task_id"].as_str()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let succeeded = replica.v2_get("/tasks?state=succeeded").await;
    assert_eq!(succeeded["items"].as_array().unwrap().len(), 1);
    assert_eq!(succeeded["items"][0]["task_id"], "t0");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_that_names_the_field() {
    let (_world, replica) = World::with_replica().await;
    let field = |problem: &Value| {
        let error = &problem["errors"][0];
        (error["location"].as_str().unwrap().to_owned(), error["field"].as_str().unwrap().to_owned())
    };
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("limit=", "limit"),
        ("kind=story", "kind"),
        ("state=completed", "state"),
        ("order=up", "order"),
        ("username=a%20b", "username"),
        ("username=%00", "username"),
        ("username=%F0%9F%8D%9E", "username"),
        ("cursor=abc", "cursor"),
        ("colour=red", "colour"),
        (&format!("cursor={}", "A".repeat(5000)), "cursor"),
    ] {
        let problem = replica.v2(Method::GET, &format!("/tasks?{query}"), None).await.problem(400, "invalid-request");
        assert_eq!(field(&problem), ("query".to_owned(), name.to_owned()), "{query}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
        assert_eq!(problem["instance"], "/api/v2/tasks");
    }
    for (body, name) in [
        (json!({"kind": "profile"}), "username"),
        (json!({"username": "anna"}), "kind"),
        (json!({"username": "anna", "kind": "story"}), "kind"),
        (json!({"username": "no spaces", "kind": "reel"}), "username"),
        (json!({"username": " anna", "kind": "reel"}), "username"),
        (json!({"username": 7, "kind": "reel"}), "username"),
        (json!({"username": "anna", "kind": "reel", "task_id": "a b"}), "task_id"),
        (json!({"username": "anna", "kind": "reel", "task_id": ""}), "task_id"),
        (json!({"username": "anna", "kind": "reel", "source": "rss"}), "source"),
        (json!({"username": "anna", "kind": "reel", "colour": 1}), "colour"),
    ] {
        let problem = replica.v2(Method::POST, "/tasks", Some(body.clone())).await.problem(400, "invalid-request");
        assert_eq!(field(&problem), ("body".to_owned(), name.to_owned()), "{body}: {problem}");
    }
    for body in ["", "{", "[]", "7", "\"anna\"", "{} {}"] {
        let answer = replica.ask(Method::POST, "/api/v2/tasks", Some(body.to_owned())).await;
        answer.problem(400, "invalid-request");
    }
    let large = json!({"username": "a".repeat(70_000), "kind": "reel"});
    replica.v2(Method::POST, "/tasks", Some(large)).await.problem(413, "payload-too-large");
    let form = replica.http.post(format!("{}/api/v2/tasks", replica.address)).form(&[("username", "anna")]);
    assert_eq!(form.send().await.unwrap().status(), 415);
    // An id that no task can have, and a path that is none.
    for path in ["/tasks/a%20b", "/tasks/%00", "/tasks/nobody", "/nothing", "/"] {
        replica.v2(Method::GET, path, None).await.problem(404, "not-found");
    }
    let answer = replica.v2(Method::PUT, "/tasks/t", None).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PATCH,DELETE"));
    assert_eq!(replica.v2_get("/tasks").await["items"], json!([]));
}

#[tokio::test]
async fn every_type_of_problem_is_described_at_its_address() {
    let (_world, replica) = World::with_replica().await;
    let types = replica.v2_get("/problems").await;
    assert!(types.as_array().unwrap().len() > 10);
    for described in types.as_array().unwrap() {
        let address = described["type"].as_str().unwrap();
        assert_eq!(&replica.ask(Method::GET, address, None).await.ok(), described);
        assert!(described["description"].as_str().unwrap().len() > 40, "{described}");
    }
    replica.v2(Method::GET, "/problems/none", None).await.problem(404, "not-found");
}
