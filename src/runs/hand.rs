//! A hand at work: one run from its claim to its end, or to the point where it must let go.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::cancel::{cancel_run, cancelled};
use super::lease::{Grip, Stop};
use super::ledger::RunLedger;
use super::retry::{Decision, Standing, decide, last_word};
use super::{Core, count_end};
use crate::db::journal::{Transition, Written};
use crate::db::runs::{Claimed, Reason, RunState};
use crate::instagram::web::Visit;
use crate::instagram::{Failure, Username};
use crate::scrape::event::Before;
use crate::scrape::{self, Checkpoint, Conclusion, Event, Halt, Interruption, Job, Ledger as _, Shortfall};

/// How a hand's work on a run came to its end.
enum Outcome {
    Concluded(Conclusion),
    Failed(Failure),
    Halted(Halt),
    Stopped(Stop),
    DeadlineExceeded,
    AttemptsSpent,
    Panicked(String),
}

/// Works a run in a task of its own; the hand is free again when it ends. The claim's statement began at `since`.
pub(super) fn put_to_work(core: Arc<Core>, run: Claimed, since: Instant, hand: OwnedSemaphorePermit) {
    let span = tracing::info_span!("run", run_id = %run.run_id, task_id = %run.task_id, lease = run.lease.0);
    let grip = core.held.take(run.run_id, run.lease, since, core.policy.lease);
    let tracker = core.at_work.clone();
    let work = async move {
        let run = Arc::new(run);
        work(&core, &run, &grip).await;
        core.held.let_go(run.run_id, &grip);
        drop(hand);
    };
    tracker.spawn(work.instrument(span));
}

async fn work(core: &Arc<Core>, run: &Arc<Claimed>, grip: &Arc<Grip>) {
    metrics::counter!("igt_runs_taken_up_total", "from" => run.previous.as_str()).increment(1);
    tracing::info!(username = run.username, attempt = run.attempt, "run taken up");
    let mut ledger = RunLedger::new(Arc::clone(core), Arc::clone(run), Arc::clone(grip));
    let mut visit = core.web.visit_avoiding(ledger.checkpoint().await.asked_to_wait());
    let outcome = match Username::parse(&run.username) {
        Ok(username) => {
            let job = Job {
                kind: run.kind,
                username,
                max_posts: core.policy.max_posts,
                refreshed_posts: core.policy.refreshed_posts,
                full_scan_every: core.policy.full_scan_every,
            };
            pursue(core, run, grip, &mut ledger, &mut visit, &job).await
        }
        // The column's own check allows nothing that this would refuse.
        Err(error) => Outcome::Panicked(error.to_string()),
    };
    let closing = Closing { core, run, ledger: &ledger, checkpoint: ledger.checkpoint().await };
    match closing.settle(outcome, &mut visit).await {
        Ok(()) => {}
        Err(Halt::Unwritable) => {
            tracing::error!("let go of the run without a word: the database refuses every one; it is taken up again");
        }
        Err(halt) => {
            metrics::counter!("igt_leases_lost_total").increment(1);
            tracing::warn!(?halt, "let go of the run without a word: it is no longer ours to write for");
        }
    }
}

/// Runs the pipeline until it ends or something else does first.
async fn pursue(
    core: &Core,
    run: &Claimed,
    grip: &Grip,
    ledger: &mut RunLedger,
    visit: &mut Visit,
    job: &Job,
) -> Outcome {
    if run.cancel_requested {
        return Outcome::Stopped(Stop::Cancelled);
    }
    if let Some(event) = resumption(run, &ledger.checkpoint().await)
        && let Err(halt) = ledger.conclude(event, Vec::new(), None, Transition::Stay).await
    {
        return Outcome::Halted(halt);
    }
    let mut checkpoint = ledger.checkpoint().await;
    if checkpoint.tries(run.attempt) > core.policy.max_attempts {
        return Outcome::AttemptsSpent;
    }
    // In a box: what a `select!` takes in stands in the hand's own future twice.
    let pipeline = Box::pin(AssertUnwindSafe(scrape::run(job, visit, ledger, &mut checkpoint)).catch_unwind());
    tokio::select! {
        biased;
        stop = grip.stopped() => Outcome::Stopped(stop),
        () = tokio::time::sleep(time_left(run, Duration::ZERO)) => Outcome::DeadlineExceeded,
        ended = pipeline => match ended {
            Ok(Ok(conclusion)) => Outcome::Concluded(conclusion),
            Ok(Err(Interruption::Failure(failure))) => Outcome::Failed(failure),
            Ok(Err(Interruption::Halt(halt))) => Outcome::Halted(halt),
            Err(panic) => Outcome::Panicked(words_of(&*panic)),
        },
    }
}

/// What a run says that is taken up again; nothing where this is its first time.
fn resumption(run: &Claimed, checkpoint: &Checkpoint) -> Option<Event> {
    let after = match run.previous {
        RunState::Running => Before::LostWorker,
        RunState::Waiting => Before::Wait,
        // A queued run that a worker had before was handed over.
        _ if run.lease.0 > 1 => Before::HandOver,
        _ => return None,
    };
    Some(Event::RunResumed { attempt: run.attempt, after, stage: checkpoint.stage(), totals: checkpoint.totals() })
}

/// What is left of the run's time, `spent` after its claim.
fn time_left(run: &Claimed, spent: Duration) -> Duration {
    (run.deadline_at - run.claimed_at).to_std().unwrap_or_default().saturating_sub(spent)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

/// The end of a hand's work on a run.
struct Closing<'a> {
    core: &'a Core,
    run: &'a Claimed,
    ledger: &'a RunLedger,
    checkpoint: Checkpoint,
}

impl Closing<'_> {
    /// Writes the last word: the event and the state that it leaves the run in, in one statement.
    async fn settle(mut self, outcome: Outcome, visit: &mut Visit) -> Result<(), Halt> {
        let (event, transition) = match outcome {
            Outcome::Concluded(Conclusion { shortfall: None }) => self.complete(),
            Outcome::Concluded(Conclusion { shortfall: Some(shortfall) }) => self.end(shortfall, None),
            Outcome::Failed(failure) => self.fail(failure),
            Outcome::Stopped(Stop::Cancelled) | Outcome::Halted(Halt::Cancelled) => self.cancel(),
            Outcome::Stopped(Stop::HandOver) => {
                (Event::RunHandedOver { stage: self.checkpoint.stage() }, Transition::HandOver)
            }
            Outcome::Stopped(Stop::LeaseLost) | Outcome::Halted(Halt::LeaseLost) => return Err(Halt::LeaseLost),
            Outcome::DeadlineExceeded => {
                let allowed = self.core.policy.deadline.as_secs();
                self.end_for(Reason::DeadlineExceeded, format!("the run took longer than {allowed} s"))
            }
            Outcome::AttemptsSpent => {
                let spent = self.core.policy.max_attempts;
                self.end_for(
                    Reason::LeaseLost,
                    format!("its worker was lost again and again; {spent} attempts are spent"),
                )
            }
            Outcome::Halted(Halt::Unwritable) => {
                self.end_for(Reason::InternalError, "a step could not be stored; the service's log says why".to_owned())
            }
            Outcome::Panicked(words) => {
                tracing::error!(words, "the pipeline panicked");
                self.end_for(Reason::InternalError, format!("a fault of this program: {words}"))
            }
        };
        // A run that waits takes with it what it waits for.
        let checkpoint = matches!(transition, Transition::Wait(..)).then(|| self.checkpoint.clone());
        let written = self.ledger.conclude(event, visit.take_exchanges(), checkpoint, transition).await;
        let (written, transition) = match written {
            Err(Halt::Unwritable) => self.give_up().await?,
            written => (written?, transition),
        };
        self.count(transition);
        if let Transition::Wait(..) | Transition::HandOver = transition
            && written.cancel_requested
        {
            self.end_what_was_cancelled().await;
        } else if let Transition::HandOver = transition {
            self.core.live.announce_claimable();
        }
        Ok(())
    }

    /// Ends a run whose last word was refused, with one that has nothing in it that came from outside.
    async fn give_up(&self) -> Result<(Written, Transition), Halt> {
        let message = "its last word could not be stored; the service's log says why".to_owned();
        let (mut event, transition) = self.end_for(Reason::InternalError, message);
        if let Event::ScrapeEnded { totals, .. } = &mut event {
            totals.clear();
        }
        let written = self.ledger.conclude(event, Vec::new(), None, transition).await?;
        Ok((written, transition))
    }

    /// A client asked to cancel the run while this hand was about to let go of it: whoever asked found it in hand, so
    /// it is for the hand to end it.
    async fn end_what_was_cancelled(&self) {
        if let Err(error) = cancel_run(&self.core.pool, &self.core.live, self.run.run_id).await {
            tracing::warn!(%error, "a run that was cancelled could not be ended; whoever claims it will");
        }
    }

    fn complete(&self) -> (Event, Transition) {
        let event = Event::ScrapeCompleted {
            username: self.run.username.clone(),
            elapsed_seconds: self.ledger.elapsed_seconds(),
            totals: self.checkpoint.totals(),
        };
        (event, Transition::Finish(RunState::Succeeded, None))
    }

    fn fail(&mut self, failure: Failure) -> (Event, Transition) {
        let policy = &self.core.policy;
        let spent = (self.ledger.database_time() - self.run.claimed_at).to_std().unwrap_or_default();
        let standing = Standing {
            tries: self.checkpoint.tries(self.run.attempt),
            has_waited: self.checkpoint.has_waited_for(failure.kind),
            left: time_left(self.run, spent),
        };
        match decide(&failure, standing, policy, rand::random()) {
            Decision::Wait(delay, reason) => {
                self.checkpoint.waits_for(&failure);
                let event = Event::BackingOff {
                    failure,
                    reason,
                    delay,
                    resume_at: self.ledger.database_time() + delay,
                    attempt: self.run.attempt,
                    tries: standing.tries,
                    max_attempts: policy.max_attempts,
                };
                (event, Transition::Wait(delay.as_secs_f64(), reason))
            }
            Decision::End(reason, why) => {
                let message = last_word(&failure, standing.tries, why, self.core.web.has_session());
                self.end(Shortfall { reason, message }, Some(failure))
            }
        }
    }

    fn cancel(&self) -> (Event, Transition) {
        let event = cancelled(self.run.username.clone(), &self.checkpoint);
        (event, Transition::Finish(RunState::Cancelled, Some(Reason::CancelledByClient)))
    }

    fn end_for(&self, reason: Reason, message: String) -> (Event, Transition) {
        self.end(Shortfall { reason, message }, None)
    }

    /// Partial where something was obtained, failed where nothing was.
    fn end(&self, shortfall: Shortfall, failure: Option<Failure>) -> (Event, Transition) {
        let state = if self.checkpoint.obtained_something() { RunState::Partial } else { RunState::Failed };
        let event = Event::ScrapeEnded {
            state,
            reason: shortfall.reason,
            message: shortfall.message,
            failure,
            elapsed_seconds: self.ledger.elapsed_seconds(),
            attempt: self.run.attempt,
            totals: self.checkpoint.totals(),
        };
        (event, Transition::Finish(state, Some(shortfall.reason)))
    }

    fn count(&self, transition: Transition) {
        match transition {
            Transition::Finish(state, reason) => {
                count_end(state, reason, Some(self.ledger.elapsed_seconds()));
                tracing::info!(state = state.as_str(), reason = reason.map(Reason::as_str), "run ended");
            }
            Transition::Wait(seconds, reason) => {
                metrics::counter!("igt_run_waits_total", "reason" => reason.as_str()).increment(1);
                tracing::info!(seconds, reason = reason.as_str(), "run backs off");
            }
            Transition::HandOver => tracing::info!("run handed over"),
            Transition::Stay => {}
        }
    }
}
