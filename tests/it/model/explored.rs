//! All states of the model within some bounds, and of the model with each mistake in it.

use std::time::Instant;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::flaws::Flaw;
use super::life::{Action, Life};
use super::possible::Bounds;
use super::promises as promise;
use super::tables::{Size, WORD};

/// Two runs of a task.
const TWO_RUNS: Bounds = Bounds { workers: 2, runs: 2, claims: 3, rows: 4, late: 1, steps: &[WORD] };

/// What a step may write: the last two are of a run whose log is full.
const STEPS: [Size; 4] =
    [WORD, Size { events: 2, exchanges: 0 }, Size { events: 0, exchanges: 1 }, Size { events: 0, exchanges: 0 }];

/// One run with steps of every kind.
const ALL_STEPS: Bounds = Bounds { workers: 2, runs: 1, claims: 2, rows: 4, late: 1, steps: &STEPS };

/// Where each mistake shows.
const SMALL: Bounds = Bounds { workers: 2, runs: 2, claims: 2, rows: 4, late: 1, steps: &STEPS };

/// What `make faults` looks at beyond that, in some minutes.
const WIDE: [Bounds; 3] = [
    Bounds { workers: 2, runs: 2, claims: 3, rows: 5, late: 1, steps: &[WORD] },
    Bounds { workers: 2, runs: 1, claims: 2, rows: 4, late: 2, steps: &STEPS },
    Bounds { workers: 3, runs: 1, claims: 3, rows: 3, late: 1, steps: &STEPS },
];

#[test]
fn a_run_keeps_every_promise_in_whatever_order_things_happen() {
    explore(right(ALL_STEPS));
}

#[test]
fn two_runs_of_a_task_keep_every_promise_also_while_the_first_ones_zombie_still_writes() {
    explore(right(TWO_RUNS));
}

#[test]
#[ignore = "takes minutes: cargo test --test it model:: -- --ignored --nocapture"]
fn a_run_keeps_every_promise_within_wider_bounds() {
    WIDE.into_iter().map(right).for_each(explore);
}

#[test]
fn each_mistake_that_the_program_could_have_is_found() {
    for (flaw, broken) in [
        (Flaw::LeaseNotFenced, promise::WRITTEN_BY_ITS_HOLDER),
        (Flaw::FenceIsAJoin, promise::WRITTEN_BY_ITS_HOLDER),
        (Flaw::ClaimKeepsTheLease, promise::WRITTEN_BY_ITS_HOLDER),
        (Flaw::CancelEndsAnyState, promise::WRITTEN_BY_ITS_HOLDER),
        (Flaw::NumberedByTheRow, promise::ANSWERED_ENTRIES_STAND),
        (Flaw::AnyHigherSeqIsItsOwn, promise::ANSWERED_ENTRIES_STAND),
        (Flaw::DoubtForgotten, promise::ANSWERED_ENTRIES_STAND),
        (Flaw::CancelKeepsTheLease, promise::ANSWERED_ENTRIES_STAND),
        (Flaw::SeqsNotFenced, promise::SEQS_WITHOUT_GAP),
        (Flaw::SeqsFencedByTheKeysAlone, promise::SEQS_WITHOUT_GAP),
        (Flaw::ExchangeNotFenced, promise::SEQS_WITHOUT_GAP),
        (Flaw::EndFencedByLeaseAlone, promise::ONE_LAST_WORD),
        (Flaw::HandOverLowersTheLease, promise::LEASE_NEVER_FALLS),
        (Flaw::HandOverSpendsTheAttempt, promise::ATTEMPTS_ARE_CLAIMS),
        (Flaw::NoUniqueIndex, promise::ONE_ACTIVE_RUN),
        (Flaw::CancelledRunsWait, promise::CANCELLED_RUNS_ARE_DUE),
        (Flaw::StartAnsweredTooSoon, promise::ANSWERED_STARTS_STAND),
        (Flaw::LostWorkersStayLost, promise::NO_WEDGE),
        (Flaw::IndexOverEndedRuns, promise::NO_WEDGE),
    ] {
        let Some(path) = shortest_path_to_a_breach(flaw, broken) else {
            panic!("{flaw:?} is not found: {broken:?} holds");
        };
        println!("{flaw:?} breaks {broken:?} in {} steps:", path.len());
        path.iter().for_each(|action| println!("    {action:?}"));
    }
}

#[test]
fn the_state_is_a_fence_behind_the_fence() {
    // No entry that names the right lease and the right seqs meets a run that does not run: every change of state moves
    // the seq, but for a claim, and that raises the lease.
    let bounds = Bounds { runs: 1, rows: 3, ..SMALL };
    explore(Life { bounds, flaw: Some(Flaw::StateNotFenced), folds: true });
}

/// The model without a mistake.
fn right(bounds: Bounds) -> Life {
    Life { bounds, flaw: None, folds: true }
}

fn explore(model: Life) {
    let began = Instant::now();
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{} states, {} steps between them, {} deep, {:.0?}: {model:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed(),
    );
    checker.assert_properties();
}

/// Searches deeper and deeper: of the states of one depth the checker tells the last that breaks a promise.
fn shortest_path_to_a_breach(flaw: Flaw, broken: &'static str) -> Option<Vec<Action>> {
    (2..12).find_map(|depth| {
        let model = Life { bounds: SMALL, flaw: Some(flaw), folds: false };
        let checker = model.checker().target_max_depth(depth).finish_when(HasDiscoveries::AnyOf([broken].into()));
        checker.spawn_bfs().join().discovery(broken).map(|path| path.into_actions())
    })
}
