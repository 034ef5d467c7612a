//! A hand at work: one run from its claim to its end, or to the point where it must let go.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::advice::{AskedAs, on_losing};
use super::asking::{Asking, Stuck, another_may_go_on, choose};
use super::cancel::{cancel_run, cancelled};
use super::ending::Ending;
use super::lease::{Grip, Stop};
use super::ledger::RunLedger;
use super::retry::{Decision, decide_without_turn};
use super::{Core, count_end};
use crate::db::journal::{Transition, Written};
use crate::db::runs::{Claimed, Reason, RunState};
use crate::instagram::{Failure, FailureKind, Username};
use crate::pacing::{Refusal, Tried};
use crate::scrape::event::Before;
use crate::scrape::{self, Checkpoint, Conclusion, Event, Halt, Interruption, Job, Ledger as _, Shortfall};

/// How a hand's work on a run came to its end.
enum Outcome {
    Concluded(Conclusion),
    Failed(Failure),
    /// Its next request has no turn; or it failed as told, and no other credential has one.
    NoTurn(Refusal, Option<Failure>),
    Halted(Halt),
    Stopped(Stop),
    DeadlineExceeded,
    AttemptsSpent,
    /// A fault of this program, which the log tells.
    Faulted,
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
    let mut asking = None;
    let outcome = match Username::parse(&run.username) {
        Ok(username) => {
            let job = Job {
                kind: run.kind,
                username,
                max_posts: core.policy.max_posts,
                refreshed_posts: core.policy.refreshed_posts,
                full_scan_every: core.policy.full_scan_every,
            };
            pursue(core, run, grip, &mut ledger, &mut asking, &job).await
        }
        // The column's own check allows nothing that this would refuse.
        Err(error) => {
            tracing::error!(%error, "a task has no username");
            Outcome::Faulted
        }
    };
    let closing = Closing { core, run, ledger: &ledger, checkpoint: ledger.checkpoint().await };
    // In a box, so that no run carries its end with it from the beginning.
    match Box::pin(closing.settle(outcome, asking)).await {
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

/// Runs the pipeline until it ends or something else does first, with one credential; with another one where that cannot
/// go on.
async fn pursue(
    core: &Core,
    run: &Claimed,
    grip: &Grip,
    ledger: &mut RunLedger,
    asking: &mut Option<Asking>,
    job: &Job,
) -> Outcome {
    if run.cancel_requested {
        return Outcome::Stopped(Stop::Cancelled);
    }
    // In boxes, here as below: a future is as large as the largest that it ever waits for, and most of its time a run waits for
    // Instagram.
    if let Some(event) = resumption(run, &ledger.checkpoint().await)
        && let Err(halt) = Box::pin(ledger.conclude(event, Vec::new(), None, Transition::Stay)).await
    {
        return Outcome::Halted(halt);
    }
    if ledger.checkpoint().await.tries(run.attempt) > core.policy.max_attempts {
        return Outcome::AttemptsSpent;
    }
    // What a `select!` takes in would stand in the hand's own future twice.
    let pipeline = Box::pin(AssertUnwindSafe(ask_on(core, run, ledger, asking, job)).catch_unwind());
    tokio::select! {
        biased;
        stop = grip.stopped() => Outcome::Stopped(stop),
        () = tokio::time::sleep(time_left(run, Duration::ZERO)) => Outcome::DeadlineExceeded,
        ended = pipeline => ended.unwrap_or(Outcome::Faulted),
    }
}

/// The pipeline with one credential after the other, each tried once.
async fn ask_on(core: &Core, run: &Claimed, ledger: &mut RunLedger, asking: &mut Option<Asking>, job: &Job) -> Outcome {
    let mut tried = Tried::default();
    let mut checkpoint = ledger.checkpoint().await;
    match Box::pin(choose(core, run, &checkpoint, &tried, None)).await {
        Ok(chosen) => *asking = Some(chosen),
        Err(refusal) => return Outcome::NoTurn(refusal, None),
    }
    while let Some(Asking { visit, turn }) = asking {
        ledger.asks_with(visit.source(), turn.credential());
        let stuck = match scrape::run(job, visit, ledger, &mut checkpoint).await {
            Ok(conclusion) => return Outcome::Concluded(conclusion),
            Err(Interruption::Halt(halt)) => return Outcome::Halted(halt),
            Err(Interruption::Failure(failure)) => match turn.refusal() {
                Some(refusal) if failure.kind == FailureKind::NotAsked => Stuck::Refused(refusal),
                _ => Stuck::Failed(failure),
            },
        };
        checkpoint = ledger.checkpoint().await;
        let Some(before) = asking.as_mut() else { break };
        if !another_may_go_on(&stuck, run, before, &checkpoint) {
            return no_other(stuck, None);
        }
        match &stuck {
            Stuck::Refused(_) => tried.refused(before.credential()),
            Stuck::Failed(_) => tried.failed(before.credential()),
        }
        let next = match Box::pin(choose(core, run, &checkpoint, &tried, Some(&stuck))).await {
            Ok(next) => next,
            // That it cools is what the failure itself says, with its own words.
            Err(Refusal { credential: Some(own), .. }) if own == *before.credential() => return no_other(stuck, None),
            Err(refusal) => return no_other(stuck, Some(refusal)),
        };
        let (message, failure) = match stuck {
            Stuck::Refused(refusal) => (refusal.to_string(), None),
            Stuck::Failed(failure) => (on_losing(&failure, before.asked_as()), Some(failure)),
        };
        let lost = failure.as_ref().is_some_and(|failure| before.asked_as().is_taken_out_by(failure.kind));
        checkpoint.credentials_lost += u32::from(lost);
        let (from, to) = (Arc::clone(before.credential()), Arc::clone(next.credential()));
        let event = Event::CredentialChanged { message, failure, from, to, attempt: run.attempt };
        let exchanges = before.visit.take_exchanges();
        let written = Box::pin(ledger.conclude(event, exchanges, Some(checkpoint.clone()), Transition::Stay)).await;
        match written {
            Ok(written) if written.cancel_requested => return Outcome::Halted(Halt::Cancelled),
            Ok(_) => *asking = Some(next),
            Err(halt) => return Outcome::Halted(halt),
        }
    }
    // The loop ends by itself only where nothing asks, and something does.
    tracing::error!("nothing asks");
    Outcome::Faulted
}

/// What becomes of an attempt that no other credential goes on with; `next` says when the first of them could.
fn no_other(stuck: Stuck, next: Option<Refusal>) -> Outcome {
    match stuck {
        Stuck::Refused(refusal) => {
            let sooner = next.filter(|next| next.wait.is_some_and(|next| refusal.wait.is_none_or(|wait| next < wait)));
            Outcome::NoTurn(sooner.unwrap_or(refusal), None)
        }
        Stuck::Failed(failure) => match next.filter(|next| next.wait.is_some()) {
            Some(next) => Outcome::NoTurn(next, Some(failure)),
            None => Outcome::Failed(failure),
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

/// The end of a hand's work on a run.
struct Closing<'a> {
    core: &'a Core,
    run: &'a Claimed,
    ledger: &'a RunLedger,
    checkpoint: Checkpoint,
}

impl<'a> Closing<'a> {
    /// Writes the last word: the event and the state that it leaves the run in, in one statement.
    async fn settle(mut self, outcome: Outcome, mut asking: Option<Asking>) -> Result<(), Halt> {
        let (event, transition) = match outcome {
            Outcome::Concluded(conclusion) => self.ending(asking.as_ref()).concluded(&self.checkpoint, conclusion),
            Outcome::Failed(failure) => self.fail(failure, asking.as_ref()),
            Outcome::NoTurn(refusal, failure) => self.await_turn(&refusal, failure, asking.as_ref()),
            Outcome::Stopped(Stop::Cancelled) | Outcome::Halted(Halt::Cancelled) => self.cancel(),
            Outcome::Stopped(Stop::HandOver) => {
                (Event::RunHandedOver { stage: self.checkpoint.stage() }, Transition::HandOver)
            }
            Outcome::Stopped(Stop::LeaseLost) | Outcome::Halted(Halt::LeaseLost) => return Err(Halt::LeaseLost),
            Outcome::DeadlineExceeded => {
                let allowed = self.core.policy.deadline.as_secs();
                self.end_for(
                    Reason::DeadlineExceeded,
                    format!(
                        "the run took longer than {allowed} s; ask again, or allow more (IGT_RUN_DEADLINE_SECONDS)"
                    ),
                )
            }
            Outcome::AttemptsSpent => {
                let spent = self.core.policy.max_attempts;
                self.end_for(
                    Reason::LeaseLost,
                    format!(
                        "its worker was lost in the last of {spent} attempts; its events tell how the others ended, and the log of \
                         the service why the worker was lost"
                    ),
                )
            }
            Outcome::Halted(Halt::Unwritable) => {
                self.end_for(Reason::InternalError, "a step could not be stored; the service's log says why".to_owned())
            }
            // What a panic says may be anything, and an event is for everybody.
            Outcome::Faulted => {
                let message = "a fault of this program; the service's log says which, under this run's id".to_owned();
                self.end_for(Reason::InternalError, message)
            }
        };
        // A run that waits takes with it what it waits for.
        let checkpoint = matches!(transition, Transition::Wait(..)).then(|| self.checkpoint.clone());
        let exchanges = asking.as_mut().map(|asking| asking.visit.take_exchanges()).unwrap_or_default();
        let written = self.ledger.conclude(event, exchanges, checkpoint, transition).await;
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

    /// The attempt at its end, as which it asked.
    fn ending<'b>(&self, asking: Option<&'b Asking>) -> Ending<'b>
    where
        'a: 'b,
    {
        let (core, run) = (self.core, self.run);
        Ending {
            username: &run.username,
            attempt: run.attempt,
            policy: &core.policy,
            asked_as: asking.map_or(AskedAs::Guest, Asking::asked_as),
            elapsed_seconds: self.ledger.elapsed_seconds(),
            now: self.ledger.database_time(),
            left: self.left(),
        }
    }

    fn fail(&mut self, failure: Failure, asking: Option<&Asking>) -> (Event, Transition) {
        self.ending(asking).failed(&mut self.checkpoint, failure, rand::random())
    }

    /// Its turn comes later, and costs no attempt; or never, and the run ends. Where a failure led to this, the wait is
    /// an attempt as any other, and no longer than the failure alone would have it.
    fn await_turn(
        &mut self,
        refusal: &Refusal,
        failure: Option<Failure>,
        asking: Option<&Asking>,
    ) -> (Event, Transition) {
        let (decision, words) = decide_without_turn(refusal, self.left(), rand::random());
        let message = match failure {
            Some(failure) => match decision {
                Decision::Wait(..) if self.checkpoint.tries(self.run.attempt) < self.core.policy.max_attempts => {
                    let asked_as = asking.map_or(AskedAs::Guest, Asking::asked_as);
                    self.checkpoint.credentials_lost += u32::from(asked_as.is_taken_out_by(failure.kind));
                    format!("{}; {words}", on_losing(&failure, asked_as))
                }
                _ => return self.fail(failure, asking),
            },
            None => {
                self.checkpoint.turns_awaited += 1;
                words
            }
        };
        match decision {
            Decision::Wait(delay, reason) => {
                let event = Event::AwaitsTurn {
                    message,
                    cause: refusal.why.as_str(),
                    credential: refusal.credential.clone(),
                    source: refusal.source.as_str(),
                    reason,
                    delay,
                    resume_at: self.ledger.database_time() + delay,
                    attempt: self.run.attempt,
                };
                (event, Transition::Wait(delay.as_secs_f64(), reason))
            }
            Decision::End(reason, _) => self.end_for(reason, message),
        }
    }

    /// What is left of the run's time.
    fn left(&self) -> Duration {
        let spent = (self.ledger.database_time() - self.run.claimed_at).to_std().unwrap_or_default();
        time_left(self.run, spent)
    }

    fn cancel(&self) -> (Event, Transition) {
        let event = cancelled(self.run.username.clone(), &self.checkpoint);
        (event, Transition::Finish(RunState::Cancelled, Some(Reason::CancelledByClient)))
    }

    fn end_for(&self, reason: Reason, message: String) -> (Event, Transition) {
        self.ending(None).short(&self.checkpoint, Shortfall { reason, message }, None)
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
