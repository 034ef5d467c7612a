//! Sample answers: a live answer has every key of the sample, with a value of the same type, and the very same words
//! where the document fixes them.

use regex::Regex;
use serde_json::{Value, json};

use super::Kind;
use super::fences::Fence;
use crate::harness::{Replica, World, event};

/// What a sample shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    /// How a start was answered before update 6: its keys are still there.
    OldStart(Kind),
    /// How a start is answered.
    Start(Kind),
    /// A start while a run is active.
    Busy,
    /// A start that is answered well and fails in the background.
    FailsLater,
    /// The status of a task that never ran.
    NeverRan,
    /// The status of a task with an active run.
    Processing,
}

impl Sample {
    /// Holds the sample against a live answer.
    pub(crate) async fn holds(self, fence: &Fence) {
        let sample = read(&fence.text);
        // The samples' own ids, so that they can be compared to the letter.
        let named = [&sample["task_id"], &sample["response"]["task_id"]].into_iter().find_map(Value::as_str);
        let task = named.unwrap_or("task");
        let (world, replica) = World::with_replica().await;
        match self {
            Self::OldStart(kind) => {
                let answer = start(&replica, kind, task, "sample.anna").await;
                assert_shape(&sample, &answer, "answer");
                assert_eq!(answer["result"], sample["result"]);
            }
            Self::Start(kind) => assert_eq!(start(&replica, kind, task, "sample.anna").await, sample),
            Self::Busy => {
                world.instagram.hold("busysample.anna", 0).await;
                start(&replica, Kind::Profile, task, "busysample.anna").await;
                let refused = replica.post(&format!("/force_scrape/{task}")).await;
                world.instagram.let_go("busysample.anna").await;
                assert_eq!((refused.status.as_u16(), refused.json()), (409, sample));
            }
            Self::FailsLater => {
                assert_eq!(start(&replica, Kind::Profile, task, "missing.sample").await, sample);
                let status = world.ended(&replica, task).await;
                assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("not_found")));
                assert_eq!(status["latest_event"]["event_type"], "scrape_failed");
            }
            Self::NeverRan => {
                replica.create("create_task", task, "sample.anna").await;
                let answer = status(&replica, task).await;
                assert_shape(&sample, &answer, "answer");
                for (key, value) in sample["response"].as_object().unwrap() {
                    assert_eq!(&answer["response"][key], value, "{key}");
                }
            }
            Self::Processing => processing(&world, &replica, task, &sample).await,
        }
    }
}

async fn processing(world: &World, replica: &Replica, task: &str, sample: &Value) {
    let username = "activesample.anna";
    // Behind the account, which brings its first posts: the world changes with the days, and this request there always is.
    world.instagram.hold(username, 1).await;
    start(replica, Kind::Profile, task, username).await;
    world.instagram.holds_one(username).await;
    let answer = status(replica, task).await;
    world.instagram.let_go(username).await;
    let ended = world.ended(replica, task).await;

    // An event's own fields go with its type: those of the sample's event are sought in ours of that type.
    let mut sample = sample.clone();
    let latest = &mut sample["response"]["latest_event"];
    if let Some(event_type) = latest["event_type"].as_str() {
        assert_shape(latest, event(&ended, event_type), "latest_event");
        *latest = json!({"timestamp": latest["timestamp"], "event_type": latest["event_type"]});
    }
    assert_shape(&sample, &answer, "answer");
    for key in ["task_id", "is_processing", "status"] {
        assert_eq!(answer["response"][key], sample["response"][key], "{key}");
    }
}

async fn start(replica: &Replica, kind: Kind, task: &str, username: &str) -> Value {
    replica.create(kind.create(), task, username).await;
    replica.post(&format!("/{}/{task}", kind.force_scrape())).await.ok()
}

async fn status(replica: &Replica, task: &str) -> Value {
    replica.get(&format!("/task_status/{task}")).await.ok()
}

/// A sample as JSON: without the line that stands for what was left out, and the comma that it leaves behind.
fn read(text: &str) -> Value {
    let left_out = Regex::new(r#"(?m)^\s*"[^"]*\.\.\.": "\.\.\.",?$"#).unwrap();
    let last_comma = Regex::new(r",(\s*[}\]])").unwrap();
    let text = left_out.replace_all(text, "");
    let text = last_comma.replace_all(&text, "$1");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every key of the sample is in ours, with a value of the same type; each of our list's items is like the sample's.
fn assert_shape(sample: &Value, ours: &Value, path: &str) {
    match (sample, ours) {
        (Value::Object(sample), Value::Object(ours)) => {
            for (key, value) in sample {
                let our = ours.get(key).unwrap_or_else(|| panic!("{path}: no {key} in {ours:?}"));
                assert_shape(value, our, &format!("{path}.{key}"));
            }
        }
        (Value::Array(sample), Value::Array(ours)) => {
            assert!(sample.is_empty() || !ours.is_empty(), "{path} is empty");
            for (item, our) in sample.iter().flat_map(|item| ours.iter().map(move |our| (item, our))) {
                assert_shape(item, our, &format!("{path}[]"));
            }
        }
        (Value::Number(sample), Value::Number(ours)) => {
            assert_eq!(sample.is_i64(), ours.is_i64(), "{path}: {sample} and {ours}");
        }
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        _ => panic!("{path}: the document has {sample}, the service {ours}"),
    }
}
