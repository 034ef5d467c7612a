//! What the tests stand on: a database, an Instagram, replicas of the service, and patience.

mod browser;
mod database;
mod instagram;
mod judge;
pub(crate) mod machine;
mod messages;
mod mortal;
mod program;
mod proxy;
mod replica;
mod stream;

use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use browser::Browser;
pub(crate) use database::Database;
use ig_tracking::db::audit::Author;
pub(crate) use instagram::Instagram;
pub(crate) use judge::{assert_no_transaction_open, assert_sound, story};
pub(crate) use mortal::{Frozen, MortalServer};
pub(crate) use program::{Finished, call};
pub(crate) use proxy::{Moment, Proxy};
pub(crate) use replica::{Answer, Replica, Started, V1};
use serde_json::Value;
pub(crate) use stream::{Doors, EventStream, Follower, Message, say};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ig-tracking");

/// How long a condition may take to come true before the test gives up: long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database and an Instagram, and as many replicas of the service on them as a test starts.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) instagram: Instagram,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self { database: Database::fresh().await, instagram: Instagram::get().await }
    }

    /// A world whose Instagram takes its time.
    pub(crate) async fn slow(delay: Duration) -> Self {
        Self { database: Database::fresh().await, instagram: Instagram::slow(delay).await }
    }

    /// A world whose Instagram is reached by TLS; its authority goes into this file.
    pub(crate) async fn by_tls(authority: &Path) -> Self {
        Self { database: Database::fresh().await, instagram: Instagram::by_tls(authority).await }
    }

    /// A world with one replica of default settings.
    pub(crate) async fn with_replica() -> (Self, Replica) {
        let world = Self::new().await;
        let replica = world.replica(&[]).await;
        (world, replica)
    }

    /// Starts a replica with settings beyond the defaults, as environment variables.
    pub(crate) async fn replica(&self, settings: &[(&str, &str)]) -> Replica {
        Started::new(&self.database.url, &self.instagram.url, settings).listening().await
    }

    /// Waits until the task's latest run has ended, and gives its status as version 1 tells it.
    pub(crate) async fn ended(&self, replica: &Replica, task: &str) -> Value {
        let path = format!("/task_status/{task}?logs_count=100");
        let ended = async || {
            let status = replica.get(&path).await.ok();
            (status["response"]["is_processing"] == false && status["response"]["logs_count"] != 0).then_some(status)
        };
        eventually(&format!("task {task} ends"), ended).await["response"].clone()
    }

    /// Creates a profile task and scrapes it to its end.
    pub(crate) async fn scrape(&self, replica: &Replica, task: &str, username: &str) -> Value {
        replica.create("create_task", task, username).await;
        replica.post(&format!("/force_scrape/{task}")).await.ok();
        self.ended(replica, task).await
    }

    /// Creates a reel task and scrapes it to its end.
    pub(crate) async fn scrape_reels(&self, replica: &Replica, task: &str, username: &str) -> Value {
        replica.create("create_reel_task", task, username).await;
        replica.post(&format!("/force_scrape_reel/{task}")).await.ok();
        self.ended(replica, task).await
    }
}

/// Compares a text with the file that keeps it, or, with UPDATE_GOLDEN set, writes the file anew.
pub(crate) fn snapshot(otherwise: &str, path: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty()) {
        std::fs::write(path, found).unwrap();
        return;
    }
    let name = path.display();
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{name}: {error}; UPDATE_GOLDEN=1 writes it:\n{found}"));
    let diff = similar::TextDiff::from_lines(expected.as_str(), found);
    let diff = diff.unified_diff().context_radius(5).header(&name.to_string(), "what was found").to_string();
    assert!(expected == found, "{otherwise}:\n{diff}");
}

/// Whoever does by hand what a client would have done.
pub(crate) fn tester() -> Author {
    Author { who: "tester".to_owned(), request_id: None, address: None }
}

/// Makes a key as an operator does, and gives its text.
pub(crate) async fn make_key(world: &World, name: &str, scope: &str, more: &[&str]) -> String {
    let arguments = [&["keys", "create", "--name", name, "--scope", scope], more].concat();
    let made = call(&arguments, &[("DATABASE_URL", &world.database.url)]).finished().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let text = made.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(text.starts_with("igt_") && !text.contains(char::is_whitespace), "{text:?}");
    assert!(made.stderr.contains(text.split('_').nth(1).unwrap()) && !made.stderr.contains(&text), "{made:?}");
    text
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The types of a status's events, oldest first.
pub(crate) fn event_types(status: &Value) -> Vec<&str> {
    status["logs"].as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect()
}

/// The first event of a type.
pub(crate) fn event<'a>(status: &'a Value, event_type: &str) -> &'a Value {
    let logs = status["logs"].as_array().unwrap();
    logs.iter()
        .find(|event| event["event_type"] == event_type)
        .unwrap_or_else(|| panic!("no {event_type} in {logs:#?}"))
}
