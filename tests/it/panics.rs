//! A panic, in a hand, in a handler, and in work that a request has done for it, with all credentials in its words: it is
//! told once, without a secret, and under the run or the request that it is of; the run ends, the request is answered, and
//! the service goes on.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::credentials::{File, everything};
use crate::harness::{Replica, Started, World, event};

/// Where the panics are: what a hand counts as it takes its turn, and what a stream counts as it gets its place.
const OF_A_HAND: &str = "igt_slots_total";
const OF_A_HANDLER: &str = "igt_streams";

/// What is counted when a run has been started: in a batch of starts, or for a request with an idempotency key.
const OF_A_START: &str = "igt_events_written_total";

/// Tells the process that is to be the service at which metrics.
const PANIC_AT: &str = "THE_SERVICE_PANICS_AT";

/// Metrics that panic there, with the whole file of credentials for words.
struct Panicking(String);

impl Panicking {
    fn met(&self, key: &Key) {
        if self.0.split(' ').any(|name| name == key.name()) {
            let secrets = std::fs::read_to_string(std::env::var("IGT_CREDENTIALS").unwrap()).unwrap();
            panic!("{} with {secrets}", key.name());
        }
    }
}

impl Recorder for Panicking {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.met(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.met(key);
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
#[ignore = "no test of its own: it is the service of those below, in a process of its own"]
fn the_service_whose_metrics_panic() {
    if let Ok(names) = std::env::var(PANIC_AT) {
        assert!(metrics::set_global_recorder(Panicking(names)).is_ok());
        ig_tracking::cli::called_with(["ig-tracking", "serve"].map(Into::into));
    }
}

#[tokio::test]
async fn a_panic_is_told_once_and_without_a_secret_and_the_service_goes_on() {
    let world = World::new().await;
    let file = File::of(
        "[[session]]\nname = \"live\"\ncookie = \"sessionid=planted-session; csrftoken=planted-csrf\"\n\
         proxy = \"https://me:planted%2Dpassword@127.0.0.1:1\"\n\
         [[token]]\nname = \"official\"\ntoken = \"planted-token\"\nuser_id = \"178414\"\n\
         proxy = \"socks5://me:planted-other@127.0.0.1:1\"\n",
    );
    let at = [OF_A_HAND, OF_A_HANDLER].join(" ");
    let replica = panicking(&world, &[("IGT_CREDENTIALS", file.path()), ("IGT_LOG", "debug"), (PANIC_AT, &at)]).await;
    let mut told = Vec::new();
    for source in ["web", "graph"] {
        let body = json!({"task_id": source, "username": format!("panic.{source}"), "source": source});
        replica.post_json("/create_task", &body).await.ok();
        replica.post(&format!("/force_scrape/{source}")).await.ok();
        let status = world.ended(&replica, source).await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("internal_error")));
        let message = event(&status, "scrape_failed")["message"].as_str().unwrap();
        assert!(message.contains("the service's log says which"), "{message}");
        told.push(status.to_string());
    }
    let answer = replica.ask(Method::GET, "/api/v2/runs/stream", None).await;
    let problem = answer.problem(500, "internal-error");
    told.push(answer.text);
    assert!(replica.v2_get("/runs").await["items"].as_array().unwrap().len() == 2, "it goes on");

    let log = replica.log();
    let lines = |of: &str| -> Vec<&Value> { log.iter().filter(|line| line.to_string().contains(of)).collect() };
    let (hands, handlers) = (lines(OF_A_HAND), lines(OF_A_HANDLER));
    assert_eq!((hands.len(), handlers.len()), (2, 1), "each once: {hands:#?} {handlers:#?}");
    for line in hands.iter().chain(&handlers) {
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("a panic")), "{line}");
        assert!(line["place"].as_str().unwrap().starts_with("tests/it/panics.rs:"), "{line}");
        assert!(line["words"].as_str().unwrap().contains("sessionid=[removed]; csrftoken=[removed]"), "{line}");
    }
    assert_eq!(handlers[0]["span"]["request_id"], problem["request_id"]);
    assert_eq!(hands[0]["span"]["task_id"], "web");
    // No other line tells of it: no error beside these three, and nothing that is no line of the log.
    let errors = log.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(errors, 3, "{log:#?}");
    assert!(!replica.lines().iter().any(|line| line.contains("panicked at")));

    told.extend(replica.lines());
    told.extend(everything(&world.database.pool).await);
    for text in told {
        assert!(!text.contains("planted"), "{}", &text[text.find("planted").unwrap().saturating_sub(200)..]);
    }
}

/// A service whose metrics panic.
async fn panicking(world: &World, settings: &[(&str, &str)]) -> Replica {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "panics::the_service_whose_metrics_panic", "--ignored", "--nocapture"]);
    Started::as_told(command, &world.database.url, &world.instagram.url, settings).listening().await
}

#[tokio::test]
async fn a_panic_in_work_that_is_done_for_a_request_is_answered_with_500_and_told_once_under_its_id() {
    let world = World::new().await;
    let file =
        File::of("[[session]]\nname = \"live\"\ncookie = \"sessionid=planted-session; csrftoken=planted-csrf\"\n");
    let replica = panicking(&world, &[("IGT_CREDENTIALS", file.path()), (PANIC_AT, OF_A_START)]).await;
    for task in ["shared", "own"] {
        replica.create("create_task", task, &format!("broken.{task}")).await;
    }
    // In a batch, which others may be in: the panic itself has nobody's id.
    let answer = replica.post("/force_scrape/shared").await;
    assert!(answer.error(500).contains("X-Request-Id"), "{}", answer.text);
    let shared = answer.header("x-request-id").unwrap().to_owned();
    // In a task of its own, to its end.
    let start = replica.http.post(format!("{}/api/v2/tasks/own/runs", replica.address)).header("idempotency-key", "k");
    let answer = start.send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let own = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    replica.get("/tasks").await.ok();

    let log = replica.log();
    let errors: Vec<(&str, &Value)> = log
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .map(|line| (line["message"].as_str().unwrap(), &line["span"]["request_id"]))
        .collect();
    let [(panic, _), (broke_off, of), (other_panic, of_own)] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!((*panic, *other_panic), ("a panic", "a panic"));
    assert!(broke_off.contains("a panic in the log before this says why"), "{broke_off}");
    assert_eq!((of.as_str(), of_own.as_str()), (Some(&*shared), Some(&*own)));
    assert!(!replica.lines().iter().any(|line| line.contains("planted")));
}
