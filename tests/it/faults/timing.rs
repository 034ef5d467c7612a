//! Where the time of an answer went: what its client saw beside what the service says that it took.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::question::Times;
use crate::harness::eventually;

/// An answer as its client saw it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// Its request id.
    pub(super) id: String,
    pub(super) what: String,
    pub(super) replica: usize,
    pub(super) status: u16,
    pub(super) asked: Instant,
    pub(super) times: Times,
    /// How long the clients' own thread did not come to look, at worst, in between.
    pub(super) held_up: Duration,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, replica, status, times, held_up, .. } = self;
        let Times { connected, headers, whole } = times;
        write!(
            f,
            "{what} on replica {replica}: {status} after {whole:.2?} (connected {connected:.2?}, headers {headers:.2?}, \
             the clients held up for {held_up:.2?})"
        )
    }
}

/// The log of one life of a replica, and how far it was read.
pub(super) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    read: usize,
}

impl Log {
    pub(super) fn new(lines: Arc<Mutex<Vec<String>>>) -> Self {
        Self { lines, read: 0 }
    }

    /// How long each request took by the service's own account, of those that were answered since this was asked last.
    fn durations(&mut self) -> Vec<(String, Duration)> {
        let lines = self.lines.lock().unwrap();
        let new = &lines[self.read..];
        self.read = lines.len();
        new.iter().filter_map(|line| duration(line)).collect()
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

/// Each of these answers with the time that the service itself took. It says so before it answers: at most the line has
/// not been read yet.
pub(super) async fn with_own_times(answers: Vec<Answered>, logs: &mut [Log]) -> Vec<(Answered, Duration)> {
    let mut own = HashMap::new();
    eventually("the log tells of all answers", async || {
        own.extend(logs.iter_mut().flat_map(Log::durations));
        answers.iter().all(|answer| own.contains_key(&answer.id)).then_some(())
    })
    .await;
    answers.into_iter().map(|answer| (own[&answer.id], answer)).map(|(own, answer)| (answer, own)).collect()
}

/// How long a thread did not come to what was due, as one on it notices.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Vec<(Instant, Duration)>>);

impl Pulse {
    /// Wakes up again and again.
    pub(super) async fn beat(self: Arc<Self>) {
        const EVERY: Duration = Duration::from_millis(20);
        loop {
            let due = Instant::now() + EVERY;
            tokio::time::sleep(EVERY).await;
            let late = due.elapsed();
            if late > EVERY {
                self.0.lock().unwrap().push((due, late));
            }
        }
    }

    /// The longest in this time.
    pub(super) fn worst(&self, from: Instant, to: Instant) -> Duration {
        let beats = self.0.lock().unwrap();
        let met = beats.iter().rev().filter(|(due, late)| *due < to && *due + *late > from);
        met.map(|(_, late)| *late).max().unwrap_or_default()
    }
}
