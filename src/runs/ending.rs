//! How an attempt ends by its own course: its last word, and where that leaves the run. It knows no database: what a hand
//! writes, a replay shows.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Policy;
use super::advice::AskedAs;
use super::retry::{Decision, Standing, decide, last_word};
use crate::db::journal::Transition;
use crate::db::runs::RunState;
use crate::instagram::Failure;
use crate::scrape::{Checkpoint, Conclusion, Event, Shortfall};

/// An attempt at its end.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Whose account the run scrapes.
    pub username: &'a str,
    /// Which attempt it is.
    pub attempt: i32,
    /// How runs are worked.
    pub policy: &'a Policy,
    /// As whom it asked.
    pub asked_as: AskedAs<'a>,
    /// Seconds since a worker first took the run up.
    pub elapsed_seconds: f64,
    /// The database's time.
    pub now: DateTime<Utc>,
    /// What is left of the run's time.
    pub left: Duration,
}

impl Ending<'_> {
    /// The end of a pipeline that came to its own.
    pub fn concluded(&self, checkpoint: &Checkpoint, conclusion: Conclusion) -> (Event, Transition) {
        if let Some(shortfall) = conclusion.shortfall {
            return self.short(checkpoint, shortfall, None);
        }
        let event = Event::ScrapeCompleted {
            username: self.username.to_owned(),
            elapsed_seconds: self.elapsed_seconds,
            totals: checkpoint.totals(),
        };
        (event, Transition::Finish(RunState::Succeeded, None))
    }

    /// The end by a failure: the run waits and is taken up again, or it is over. `chance` is a number from 0 to 1.
    pub fn failed(&self, checkpoint: &mut Checkpoint, failure: Failure, chance: f64) -> (Event, Transition) {
        let standing = Standing {
            tries: checkpoint.tries(self.attempt),
            has_waited: checkpoint.has_waited_for(failure.kind),
            left: self.left,
        };
        match decide(&failure, standing, self.policy, chance) {
            Decision::Wait(delay, reason) => {
                checkpoint.waits_for(&failure);
                let event = Event::BackingOff {
                    failure,
                    reason,
                    delay,
                    resume_at: self.now + delay,
                    attempt: self.attempt,
                    tries: standing.tries,
                    max_attempts: self.policy.max_attempts,
                };
                (event, Transition::Wait(delay.as_secs_f64(), reason))
            }
            Decision::End(reason, why) => {
                let message = last_word(&failure, standing.tries, why, self.asked_as);
                self.short(checkpoint, Shortfall { reason, message }, Some(failure))
            }
        }
    }

    /// The end without all that was asked for: partial where something was obtained, failed where nothing was.
    pub fn short(
        &self,
        checkpoint: &Checkpoint,
        shortfall: Shortfall,
        failure: Option<Failure>,
    ) -> (Event, Transition) {
        let Shortfall { reason, message } = shortfall;
        let state = if checkpoint.obtained_something() { RunState::Partial } else { RunState::Failed };
        let event = Event::ScrapeEnded {
            state,
            reason,
            message,
            failure,
            elapsed_seconds: self.elapsed_seconds,
            attempt: self.attempt,
            totals: checkpoint.totals(),
        };
        (event, Transition::Finish(state, Some(reason)))
    }
}
