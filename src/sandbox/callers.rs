//! Who asked, and when: by its `sessionid`, by its token, or as `guest`. What a test counts when it wants to know whether somebody
//! asks more often than it may.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many callers are remembered; of more, nothing is.
const MAX_CALLERS: usize = 10_000;

/// How many requests of one caller are remembered; the oldest go first.
const MAX_CALLS: usize = 20_000;

/// The memory of callers.
#[derive(Debug)]
pub(super) struct Callers {
    began: Instant,
    calls: Mutex<HashMap<String, Calls>>,
}

/// The requests of one caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// How many there were.
    pub(super) total: u64,
    /// When they came, in milliseconds since the sandbox began.
    pub(super) at_ms: VecDeque<u64>,
}

impl Default for Callers {
    fn default() -> Self {
        Self { began: Instant::now(), calls: Mutex::default() }
    }
}

impl Callers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Calls>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request.
    pub(super) fn note(&self, caller: &str) {
        let mut calls = self.lock();
        if calls.len() >= MAX_CALLERS && !calls.contains_key(caller) {
            return;
        }
        // Under the lock, so that the times come in their order.
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let calls = calls.entry(caller.to_owned()).or_default();
        calls.total += 1;
        if calls.at_ms.len() >= MAX_CALLS {
            calls.at_ms.pop_front();
        }
        calls.at_ms.push_back(now);
    }

    /// The requests of a caller.
    pub(super) fn of(&self, caller: &str) -> Calls {
        self.lock().get(caller).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::testing::{self, NOW, sandbox};

    #[tokio::test]
    async fn each_request_is_noted_for_whoever_made_it() {
        let router = sandbox(NOW);
        for session in [Some("one"), Some("one"), Some("throttled-two"), None] {
            testing::get(&router, "/someone/", session).await;
        }
        for (caller, total) in [("one", 2), ("throttled-two", 1), ("guest", 1), ("nobody", 0)] {
            let path = format!("/sandbox/callers/{caller}");
            let calls = testing::control(&router, "GET", &path, Value::Null).await.json();
            assert_eq!((&calls["total"], calls["at_ms"].as_array().unwrap().len()), (&total.into(), total));
        }
    }
}
