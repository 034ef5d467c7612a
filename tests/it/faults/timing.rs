//! Where the time of an answer went: what its client saw beside what the service says that it took.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::question::Times;
use crate::harness::{Replica, eventually};

/// An answer as its client saw it.
#[derive(Debug)]
pub(super) struct Answered {
    /// Its request id.
    pub(super) id: String,
    pub(super) what: String,
    pub(super) replica: usize,
    pub(super) status: u16,
    pub(super) asked: Instant,
    pub(super) times: Times,
    /// How long the clients' own thread did not come to look in between, at worst.
    pub(super) held_up: Duration,
    /// How long a thread of the replica was ready to run in between and had no core, at worst.
    pub(super) starved: Duration,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, replica, status, times, held_up, starved, .. } = self;
        let Times { connected, headers, whole } = times;
        write!(
            f,
            "{what} on replica {replica}: {status} after {whole:.2?} (connected {connected:.2?}, headers {headers:.2?}; \
             a thread of the replica had no core for {starved:.2?}, the clients were held up for {held_up:.2?})"
        )
    }
}

/// What a replica says in all its lives of how long its requests took.
#[derive(Default)]
pub(super) struct Account {
    logs: Vec<Log>,
    /// By request id, those that nobody has asked for yet.
    durations: HashMap<String, Duration>,
}

/// The log of one life, and how far it was read.
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    read: usize,
}

impl Account {
    /// Another life begins.
    pub(super) fn follow(&mut self, replica: &Replica) {
        self.logs.push(Log { lines: replica.kept_lines(), read: 0 });
    }

    /// How long these answers took by the service's own account. It is given before the answer is: at most the line has
    /// not been read yet.
    pub(super) async fn of(&mut self, answers: &[&Answered]) -> Vec<Duration> {
        eventually("the log tells of all answers", async || {
            self.read();
            answers.iter().all(|answer| self.durations.contains_key(&answer.id)).then_some(())
        })
        .await;
        answers.iter().map(|answer| self.durations.remove(&answer.id).unwrap()).collect()
    }

    fn read(&mut self) {
        for log in &mut self.logs {
            let lines = log.lines.lock().unwrap();
            self.durations.extend(lines[log.read..].iter().filter_map(|line| duration(line)));
            log.read = lines.len();
        }
    }
}

/// The request id and the duration in the log line of a request.
fn duration(line: &str) -> Option<(String, Duration)> {
    if !line.contains(r#""duration_ms":"#) {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let id = line["span"]["request_id"].as_str()?.to_owned();
    Some((id, Duration::from_secs_f64(line["duration_ms"].as_f64()? / 1000.0)))
}

/// The threads of a process, and how long each was ready to run and had no core: what the kernel counts of it.
pub(super) struct Threads(Vec<PathBuf>);

impl Threads {
    /// Those that the process has now.
    pub(super) fn of(process: u32) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        Self(threads.map(|thread| thread.path().join("schedstat")).collect())
    }

    /// What each has waited so far; nothing where the kernel does not count, or the process has gone.
    pub(super) fn waits(&self) -> Vec<Duration> {
        self.0.iter().map(|path| wait(path).unwrap_or_default()).collect()
    }

    /// The longest wait of one of them since then.
    pub(super) fn worst_since(&self, before: &[Duration]) -> Duration {
        let waited = self.waits().into_iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        waited.max().unwrap_or_default()
    }
}

/// How long a thread did not come to what was due, as one on it notices.
pub(super) struct Pulse(Mutex<Beats>);

struct Beats {
    /// When the next is due.
    due: Instant,
    /// Those that were late, and how late, oldest first.
    late: Vec<(Instant, Duration)>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Beats { due: Instant::now(), late: Vec::new() }))
    }

    /// Wakes up again and again.
    pub(super) async fn beat(self: Arc<Self>) {
        const EVERY: Duration = Duration::from_millis(20);
        loop {
            let due = Instant::now() + EVERY;
            self.0.lock().unwrap().due = due;
            tokio::time::sleep(EVERY).await;
            let late = due.elapsed();
            if late > EVERY {
                self.0.lock().unwrap().late.push((due, late));
            }
        }
    }

    /// The longest since then.
    pub(super) fn worst_since(&self, from: Instant) -> Duration {
        let beats = self.0.lock().unwrap();
        let heard = beats.late.iter().rev().take_while(|(due, late)| *due + *late > from).map(|(_, late)| *late);
        heard.max().unwrap_or_default().max(beats.due.elapsed())
    }
}

/// How long a thread was ready to run and had no core.
fn wait(schedstat: &Path) -> Option<Duration> {
    let told = std::fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(told.split(' ').nth(1)?.parse().ok()?))
}

/// How long the machine as a whole stood still, as a virtual one does that is paused: so long a thread that does nothing but
/// sleep overslept, beyond its waits for a core.
pub(super) struct Standstills(Mutex<Vec<(Instant, Duration)>>);

impl Standstills {
    /// Those of this machine, from now on.
    pub(super) fn of_this_machine() -> &'static Self {
        static NOTED: LazyLock<Standstills> = LazyLock::new(|| {
            std::thread::spawn(|| Standstills::of_this_machine().watch());
            Standstills(Mutex::default())
        });
        &NOTED
    }

    fn watch(&self) {
        const NAP: Duration = Duration::from_millis(10);
        let waits = || wait(Path::new("/proc/thread-self/schedstat")).unwrap_or_default();
        loop {
            let (before, begin) = (waits(), Instant::now());
            std::thread::sleep(NAP);
            let overslept = begin.elapsed().saturating_sub(NAP + waits().saturating_sub(before));
            if overslept > NAP {
                self.0.lock().unwrap().push((begin, overslept));
            }
        }
    }

    /// All of them in between; what has just ended may not be noted yet.
    pub(super) fn between(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.0.lock().unwrap();
        noted.iter().filter(|(begin, long)| *begin < to && *begin + *long > from).map(|(_, long)| *long).sum()
    }
}

#[test]
fn the_log_line_of_a_request_tells_how_long_it_took() {
    let line = r#"{"level":"INFO","status":200,"duration_ms":1804.5,"span":{"request_id":"mine","name":"request"}}"#;
    assert_eq!(duration(line), Some(("mine".to_owned(), Duration::from_micros(1_804_500))));
    assert_eq!(duration(r#"{"level":"INFO","message":"listening"}"#), None);
}

#[tokio::test]
async fn a_thread_that_is_held_up_is_told_from_a_replica_that_is_slow() {
    let pulse = Arc::new(Pulse::new());
    let beating = tokio::spawn(Arc::clone(&pulse).beat());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    // Before the pulse has noticed, and after.
    assert!(pulse.worst_since(asked) > Duration::from_millis(200));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(pulse.worst_since(asked) > Duration::from_millis(200));
    beating.abort();
}
