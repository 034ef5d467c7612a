//! What of the documents is neither a client's Python nor a sample: the first service's route, the curl commands, and
//! what is listed in prose.

use std::fs;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::fences::Fence;
use crate::harness::machine::{self, project};
use crate::harness::{Replica, World, event_types};

/// A run of hundreds of events, more than a client may ask for at once: all of an account's posts, and each reel asked
/// for by itself, which needs a session.
const LONG: [(&str, &str); 2] = [("IGT_MAX_POSTS", "1000"), ("IGT_WEB_COOKIE", "sessionid=live")];

/// So many requests of such a run lead to more than 100 events.
const MANY_REQUESTS: u64 = 110;

/// A run with more than 100 events, held in the middle of its work. The account has to be one with hundreds of posts.
async fn hold_a_long_run(world: &World, replica: &Replica, task: &str, username: &str) {
    // Without the list of reels they are read one by one.
    world.instagram.fault(username, json!({"fault": "private", "endpoint": "reels"})).await;
    world.instagram.hold(username, MANY_REQUESTS).await;
    replica.create("create_reel_task", task, username).await;
    replica.post(&format!("/force_scrape_reel/{task}")).await.ok();
    world.instagram.holds_one(username).await;
}

/// The first service's route, given the state of our active run, answers as ours does, whatever `logs_count` is.
pub(crate) async fn backend_agrees(fence: &Fence) {
    let world = World::new().await;
    let replica = world.replica(&LONG).await;
    let username = "long18.anna";
    hold_a_long_run(&world, &replica, "long", username).await;

    let queries = [
        "",
        "logs_count=1",
        "logs_count=5",
        "logs_count=0",
        "logs_count=-5",
        "logs_count=100",
        "logs_count=999",
        "logs_count=abc",
        "logs_count=",
        "logs_count=5.0",
        "logs_count=10&logs_count=3",
    ];
    let now = replica.get("/task_status/long").await.ok();
    let state = &now["response"];
    let state = json!({"task_id": "long", "status": state["status"], "started_at": state["started_at"],
        "updated_at": state["updated_at"], "logs": all_events(&world, "long").await});
    assert!(state["logs"].as_array().unwrap().len() > 100);
    let theirs = ask_backend(fence, "long", &state, &queries).await;
    for (query, theirs) in queries.iter().zip(&theirs) {
        let ours = replica.get(&format!("/task_status/long?{query}")).await;
        assert_eq!((ours.status.as_u16(), ours.json()), (200, theirs["body"].clone()), "{query:?}");
        assert_eq!(theirs["status"], 200);
    }
    world.instagram.let_go(username).await;

    // A task that never ran: what the first service said, and `latest_event` for the clients of update 6.
    let theirs = ask_backend(fence, "idle", &Value::Null, &queries).await;
    for (query, theirs) in queries.iter().zip(&theirs) {
        let mut ours = replica.get(&format!("/task_status/idle?{query}")).await.ok();
        assert_eq!(ours["response"].as_object_mut().unwrap().remove("latest_event"), Some(Value::Null));
        assert_eq!((json!(200), &ours), (theirs["status"].clone(), &theirs["body"]), "{query:?}");
    }
}

async fn ask_backend(fence: &Fence, task: &str, state: &Value, queries: &[&str]) -> Vec<Value> {
    let mut python = machine::python();
    python.arg(project("tests/documents/backend.py"));
    let given = json!({"source": fence.text, "task_id": task, "state": state, "queries": queries});
    serde_json::from_str(&machine::run(python, &given.to_string()).await.ok()).unwrap()
}

/// All events of a task's only run, from the database, as version 1 tells them.
async fn all_events(world: &World, task: &str) -> Vec<Value> {
    let rows: Vec<(i64, String, String, Value)> = sqlx::query_as(
        "select floor(extract(epoch from at))::bigint, event_type, message, fields from events
         where run_id = (select run_id from runs where task_id = $1) order by seq",
    )
    .bind(task)
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(timestamp, event_type, message, fields)| {
            let own = json!({"timestamp": timestamp, "event_type": event_type, "message": message});
            let flat: Map<_, _> =
                [own, fields].into_iter().flat_map(|part| part.as_object().unwrap().clone()).collect();
            Value::Object(flat)
        })
        .collect()
}

/// The commands go to a real curl, which is told elsewhere that the port they name is the replica's.
pub(crate) async fn curl_is_answered(fence: &Fence) {
    let world = World::new().await;
    let replica = world.replica(&LONG).await;
    let home = std::env::temp_dir().join(format!("igt-curl-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&home).unwrap();
    let address = replica.address.strip_prefix("http://").unwrap();
    fs::write(
        home.join(".curlrc"),
        format!("connect-to = \"localhost:8080:{address}\"\nnoproxy = \"*\"\nsilent\nfail\n"),
    )
    .unwrap();

    let wanted: Vec<u64> = fence
        .text
        .lines()
        .filter(|line| line.starts_with("curl "))
        .map(|line| {
            let asked = Regex::new(r"logs_count=(\d+)").unwrap();
            asked.captures(line).map_or(10, |found| found[1].parse().unwrap())
        })
        .collect();
    assert_eq!(wanted.len(), 4);

    for answer in curl(fence, &home).await {
        assert_eq!(answer["response"]["task_id"], "task_123");
        assert_eq!((&answer["response"]["is_processing"], &answer["response"]["logs"]), (&json!(false), &json!([])));
    }
    let username = "long57.anna";
    hold_a_long_run(&world, &replica, "task_123", username).await;
    let answers = curl(fence, &home).await;
    world.instagram.let_go(username).await;
    fs::remove_dir_all(home).unwrap();
    assert_eq!(answers.len(), wanted.len());
    for (answer, wanted) in answers.iter().zip(wanted) {
        let response = &answer["response"];
        assert_eq!((&answer["result"], &response["is_processing"]), (&json!(true), &json!(true)));
        assert_eq!(response["logs"].as_array().unwrap().len() as u64, wanted.clamp(1, 100));
        assert_eq!(response["latest_event"], *response["logs"].as_array().unwrap().last().unwrap());
    }
}

async fn curl(fence: &Fence, home: &std::path::Path) -> Vec<Value> {
    let mut shell = machine::shell_with_curl().await;
    shell.env("CURL_HOME", home);
    let answers = machine::run(shell, &fence.text).await.ok();
    serde_json::Deserializer::from_str(&answers).into_iter().map(Result::unwrap).collect()
}

/// Each type that is listed with a meaning occurs in the log of a reel run.
pub(crate) async fn event_types_occur(section: &[&str]) {
    let listed = Regex::new(r"^- `(\w+)`:").unwrap();
    let listed: Vec<_> = section.iter().filter_map(|line| Some(listed.captures(line)?[1].to_owned())).collect();
    assert!(listed.len() >= 6, "{listed:?}");
    let (world, replica) = World::with_replica().await;
    let status = world.scrape_reels(&replica, "t", "vocabulary.anna").await;
    let occur = event_types(&status);
    assert!(listed.iter().all(|event_type| occur.contains(&event_type.as_str())), "{listed:?}, {occur:?}");
}

/// Each listed request is answered with as many logs as its line ends on; and the two cases that are only words.
pub(crate) async fn test_cases_hold(section: &[&str]) {
    let world = World::new().await;
    let replica = world.replica(&LONG).await;
    let idle = replica.get("/task_status/123").await.ok()["response"].clone();
    assert_eq!((&idle["logs"], &idle["latest_event"]), (&json!([]), &Value::Null));

    let username = "long50.anna";
    hold_a_long_run(&world, &replica, "123", username).await;
    let case = Regex::new(r"`(?:GET /task_status/123\??)?(logs_count=-?\d+)?`\D*(\d+)\D*$").unwrap();
    let cases: Vec<_> = section.iter().filter_map(|line| case.captures(line)).collect();
    assert_eq!(cases.len(), 5, "{section:?}");
    for case in cases {
        let query = case.get(1).map_or("", |query| query.as_str());
        let response = replica.get(&format!("/task_status/123?{query}")).await.ok()["response"].clone();
        let logs = response["logs"].as_array().unwrap();
        assert_eq!(logs.len(), case[2].parse::<usize>().unwrap(), "{query}");
        assert_eq!(response["latest_event"], *logs.last().unwrap());
    }
    world.instagram.let_go(username).await;
}
