//! The clients' Python: each snippet is run against a replica whose runs last a second or three, and judged by what
//! it gave, printed and left behind, held against what the service then says of the run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Kind;
use super::fences::Fence;
use crate::harness::machine::{self, project};
use crate::harness::{Replica, World, event_types};

/// What a snippet does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Snippet {
    /// Starts a scrape.
    Basic,
    /// Starts one and looks on until it ends.
    Monitored,
    /// The same as a function.
    Workflow(Kind),
    /// The same as a class, with a time limit.
    Tracker,
    /// Asserts that a start is answered in a tenth of a second.
    TestOfSpeed,
    /// Asserts that a start goes on in the background.
    TestOfBackground,
    /// Asserts that a second start is refused.
    TestOfErrors,
    /// Asks for the latest events.
    DefaultLogs,
    /// Asks for so many of the latest events.
    SoManyLogs,
    /// Prints the latest events until the run ends.
    LivePoll(Kind),
    /// Asks for a status in the way of update 6 and of update 7.
    Migration,
}

/// Where snippets are run.
pub(crate) struct Stage {
    update: u8,
    world: World,
    replica: Replica,
    next: AtomicU32,
}

/// What a snippet did.
struct Report(Value);

impl Report {
    /// The lines that it printed.
    fn lines(&self) -> Vec<&str> {
        self.0["printed"].as_str().unwrap().lines().collect()
    }

    fn result(&self) -> &Value {
        &self.0["result"]
    }

    fn name(&self, name: &str) -> &Value {
        &self.0["names"][name]
    }

    /// How many events each of its own requests was answered with.
    fn logs_of_responses(&self) -> Vec<usize> {
        let responses = self.0["responses"].as_array().unwrap().iter();
        responses
            .map(|response| {
                assert_eq!(response["status_code"], 200);
                response["json"]["response"]["logs"].as_array().unwrap().len()
            })
            .collect()
    }
}

impl Stage {
    pub(crate) async fn new(update: u8) -> Self {
        let world = World::slow(Duration::from_millis(350)).await;
        let replica = world.replica(&[("IGT_CONCURRENCY", "32")]).await;
        Self { update, world, replica, next: AtomicU32::new(0) }
    }

    /// A new task for an account that nobody else asks for; its name begins with the word, which may be a fault's.
    async fn task(&self, kind: Kind, word: &str) -> (String, String) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let (task, username) = (format!("task-{n}"), format!("{word}.stage{n}"));
        self.replica.create(kind.create(), &task, &username).await;
        (task, username)
    }

    async fn start(&self, kind: Kind, task: &str) {
        self.replica.post(&format!("/{}/{task}", kind.force_scrape())).await.ok();
    }

    async fn ended(&self, task: &str) -> Value {
        self.world.ended(&self.replica, task).await
    }

    /// Runs the snippet, and then the call.
    async fn try_play(&self, fence: &Fence, task: &str, call: Option<&str>) -> Report {
        let mut python = machine::python();
        python.arg(project("tests/documents/play.py"));
        python.args([&self.update.to_string(), &self.replica.address, task]).args(call);
        Report(serde_json::from_str(&machine::run(python, &fence.text).await.ok()).unwrap())
    }

    /// The same, and nothing may be raised.
    async fn play(&self, fence: &Fence, task: &str, call: Option<&str>) -> Report {
        let report = self.try_play(fence, task, call).await;
        if let Some(error) = report.0["error"].as_str() {
            panic!("update {}, {:?}, {task}: {error}", self.update, fence.heading);
        }
        report
    }
}

impl Snippet {
    /// Runs the snippet in all the situations that it is for.
    pub(crate) async fn plays(self, stage: &Stage, fence: &Fence) {
        match self {
            Self::Basic => basic(stage, fence).await,
            Self::Monitored => {
                let (task, _) = stage.task(Kind::Profile, "plain").await;
                let report = stage.play(fence, &task, None).await;
                assert_monitored(&report, &stage.ended(&task).await);
                assert!(stage.play(fence, "nobody", None).await.lines().is_empty());
            }
            Self::Workflow(kind) => workflow(stage, fence, kind).await,
            Self::Tracker => tracker(stage, fence).await,
            Self::TestOfSpeed => test_of_speed(stage, fence).await,
            Self::TestOfBackground => {
                let (task, _) = stage.task(Kind::Profile, "plain").await;
                let report = stage.play(fence, &task, None).await;
                assert_eq!(report.lines().len(), 1);
                assert_eq!(stage.ended(&task).await["status"], "completed");
            }
            Self::TestOfErrors => {
                let (task, _) = stage.task(Kind::Profile, "plain").await;
                let report = stage.play(fence, &task, None).await;
                assert_eq!(report.name("response1")["status"], "processing");
                assert_eq!(stage.ended(&task).await["status"], "completed");
            }
            Self::DefaultLogs => {
                let (task, _) = long_enough(stage).await;
                assert_eq!(stage.play(fence, &task, None).await.logs_of_responses(), [10]);
            }
            Self::SoManyLogs => {
                let (task, total) = long_enough(stage).await;
                let report = stage.play(fence, &task, None).await;
                assert_eq!(report.logs_of_responses(), [5, total.min(100), 1]);
            }
            Self::LivePoll(kind) => live_poll(stage, fence, kind).await,
            Self::Migration => migration(stage, fence).await,
        }
    }
}

async fn basic(stage: &Stage, fence: &Fence) {
    let (task, _) = stage.task(Kind::Profile, "plain").await;
    assert_eq!(stage.play(fence, &task, None).await.lines().len(), 1);
    // Its scrape goes on without it; the same again says nothing, for it is refused.
    assert!(stage.play(fence, &task, None).await.lines().is_empty());
    assert_eq!(stage.ended(&task).await["status"], "completed");
    assert!(stage.play(fence, "nobody", None).await.lines().is_empty());
}

async fn workflow(stage: &Stage, fence: &Fence, kind: Kind) {
    let call = match kind {
        Kind::Profile => "enhanced_profile_tracking(task_id)",
        Kind::Reel => "enhanced_reel_tracking(task_id)",
    };
    let (task, _) = stage.task(kind, "plain").await;
    let report = stage.play(fence, &task, Some(call)).await;
    assert_eq!(report.result(), true);
    assert_monitored(&report, &stage.ended(&task).await);
    if kind == Kind::Profile {
        assert_eq!(posts_told(&report), 60);
    }

    // One that fails in the background is told as one without posts.
    let (task, _) = stage.task(kind, "missing").await;
    let report = stage.play(fence, &task, Some(call)).await;
    assert_eq!(report.result(), true);
    let status = stage.ended(&task).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("failed"), &json!("not_found")));
    if kind == Kind::Profile {
        assert_eq!(posts_told(&report), 0);
    }

    // One that cannot be started.
    assert_eq!(stage.play(fence, "nobody", Some(call)).await.result(), false);
    let (busy, username) = stage.task(kind, "plain").await;
    stage.world.instagram.hold(&username, 0).await;
    stage.start(kind, &busy).await;
    assert_eq!(stage.play(fence, &busy, Some(call)).await.result(), false);
    stage.world.instagram.let_go(&username).await;
}

/// The number in the last line.
fn posts_told(report: &Report) -> u64 {
    report.lines().last().unwrap().split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

async fn tracker(stage: &Stage, fence: &Fence) {
    let call = "EnhancedInstagramTracker(client).force_scrape_with_monitoring(task_id)";
    let (task, _) = stage.task(Kind::Profile, "plain").await;
    assert_eq!(stage.play(fence, &task, Some(call)).await.result(), true);
    assert_eq!(stage.ended(&task).await["status"], "completed");
    assert_eq!(stage.play(fence, "nobody", Some(call)).await.result(), false);

    let call = "EnhancedInstagramTracker(client).force_scrape_with_monitoring(task_id, timeout=1)";
    let (task, username) = stage.task(Kind::Profile, "plain").await;
    stage.world.instagram.hold(&username, 2).await;
    let report = stage.play(fence, &task, Some(call)).await;
    assert_eq!((report.result(), report.lines().len()), (&json!(false), 1));
    // The run does not care who looks on.
    stage.world.instagram.let_go(&username).await;
    assert_eq!(stage.ended(&task).await["status"], "completed");
}

/// The limit of a tenth of a second is the snippet's own. Other tests share this machine's processors, so that one
/// start of several has to keep it.
async fn test_of_speed(stage: &Stage, fence: &Fence) {
    let mut errors = Vec::new();
    for _ in 0..5 {
        let (task, _) = stage.task(Kind::Profile, "plain").await;
        let report = stage.try_play(fence, &task, None).await;
        assert_eq!(stage.ended(&task).await["status"], "completed");
        assert_eq!(report.lines().len(), 1);
        match report.0["error"].as_str() {
            Some(error) => errors.push(error.to_owned()),
            None => return assert!(report.name("response_time").as_f64().unwrap() < 0.1),
        }
    }
    panic!("never in time: {errors:?}");
}

/// A task whose run has ended and has more events than are told unasked, and how many.
async fn long_enough(stage: &Stage) -> (String, usize) {
    let (task, _) = stage.task(Kind::Reel, "plain").await;
    stage.start(Kind::Reel, &task).await;
    let total = stage.ended(&task).await["logs_count"].as_u64().unwrap() as usize;
    assert!(total > 10, "{total}");
    (task, total)
}

async fn live_poll(stage: &Stage, fence: &Fence, kind: Kind) {
    let function = match kind {
        Kind::Profile => "live_poll_task_status",
        Kind::Reel => "live_poll_reel_task_status",
    };
    for (word, arguments) in [("plain", ""), ("plain", ", 100, 0.2"), ("missing", ", logs_count=5, interval_sec=0.1")] {
        let (task, _) = stage.task(kind, word).await;
        stage.start(kind, &task).await;
        let call = format!("{function}(task_id{arguments})");
        let report = stage.play(fence, &task, Some(&call)).await;
        let status = stage.ended(&task).await;
        let printed = events_printed(&report);
        let told: Vec<_> =
            status["logs"].as_array().unwrap().iter().map(|log| log["message"].as_str().unwrap()).collect();
        assert!(printed.iter().all(|message| told.contains(message)), "{printed:#?}");
        assert!(printed.contains(&told[0]), "it saw the beginning: {printed:#?}");
        let shown = told.len().min(if arguments.is_empty() { 10 } else { told.len().min(100) });
        let shown = if word == "missing" { told.len().min(5) } else { shown };
        assert!(printed.ends_with(&told[told.len() - shown..]), "it saw the end: {printed:#?}");
    }
    // A task that never ran and one that is not there: nothing to print, and no end to wait for.
    let (idle, _) = stage.task(kind, "plain").await;
    for task in [&*idle, "nobody"] {
        let report = stage.play(fence, task, Some(&format!("{function}(task_id)"))).await;
        assert!(events_printed(&report).is_empty());
    }
}

/// The messages of the lines that are events: `   [12:34:56] message`, under two lines of heading.
fn events_printed(report: &Report) -> Vec<&str> {
    let lines = report.lines().split_off(2);
    let message = |line: &'_ str| -> Option<usize> {
        let (time, _) = line.strip_prefix("   [")?.split_once("] ")?;
        (time.len() == 8 && time.split(':').all(|part| part.parse::<u8>().is_ok())).then_some("   [00:00:00] ".len())
    };
    lines.into_iter().map(|line| &line[message(line).unwrap_or_else(|| panic!("not an event: {line}"))..]).collect()
}

async fn migration(stage: &Stage, fence: &Fence) {
    let (task, total) = long_enough(stage).await;
    let report = stage.play(fence, &task, None).await;
    let status = stage.ended(&task).await;
    assert_eq!(report.name("latest"), &status["latest_event"]);
    assert_eq!(report.name("log_count"), total);
    let all = status["logs"].as_array().unwrap();
    assert_eq!(report.name("all_logs").as_array().unwrap()[..], all[all.len() - total.min(20)..]);

    let report = stage.play(fence, "nobody", None).await;
    assert_eq!((report.name("latest"), report.name("log_count")), (&Value::Null, &json!(0)));
}

/// Between a first line and a last one it told what the run was doing, in the order in which the run did it.
fn assert_monitored(report: &Report, status: &Value) {
    assert_eq!(status["status"], "completed", "{status:#}");
    let happened = event_types(status);
    let lines = report.lines();
    let told: Vec<_> = lines.iter().map(|line| line.split_whitespace().last().unwrap()).collect();
    let told: Vec<_> =
        told.into_iter().map(|word| happened.iter().position(|event_type| *event_type == word)).collect();
    assert!(told.first().unwrap().is_none() && told.last().unwrap().is_none(), "{lines:#?}");
    let steps: Vec<_> = told.into_iter().flatten().collect();
    assert!(!steps.is_empty() && steps.is_sorted(), "{lines:#?}");
}
