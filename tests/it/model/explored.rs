//! All states of the model within some bounds, and of the model with each mistake in it.

use std::time::Instant;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::flaws::Flaw;
use super::life::{Action, Life};
use super::possible::Bounds;
use super::promises as promise;

/// Two runs of a task, the second begun while the first one's zombie may still write.
const TWO_RUNS: Bounds = Bounds { workers: 2, runs: 2, claims: 3, events: 4, late: 1, step: 1 };

/// One run with steps of one and of two events, and two statements on their way.
const LONG_STEPS: Bounds = Bounds { workers: 2, runs: 1, claims: 2, events: 4, late: 2, step: 2 };

/// Where each mistake shows.
const SMALL: Bounds = Bounds { workers: 2, runs: 2, claims: 2, events: 4, late: 1, step: 1 };

/// What `make faults` looks at beyond that; minutes.
const WIDE: [Bounds; 3] = [
    Bounds { workers: 2, runs: 2, claims: 3, events: 5, late: 1, step: 1 },
    Bounds { workers: 2, runs: 1, claims: 2, events: 5, late: 2, step: 2 },
    Bounds { workers: 3, runs: 1, claims: 3, events: 4, late: 2, step: 1 },
];

#[test]
fn a_run_keeps_every_promise_in_whatever_order_things_happen() {
    explore(TWO_RUNS);
    explore(LONG_STEPS);
}

#[test]
#[ignore = "takes minutes: cargo test --test it model:: -- --ignored --nocapture"]
fn a_run_keeps_every_promise_within_wider_bounds() {
    WIDE.into_iter().for_each(explore);
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
        (Flaw::SeqNotFenced, promise::SEQS_WITHOUT_GAP),
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
fn the_state_and_the_logs_key_are_fences_behind_the_fence() {
    // What the last seq refuses, the primary key of the log would refuse, too; and no entry that names the right lease
    // and the right seq meets a run that does not run, since every change of state but a claim moves the seq.
    for flaw in [Flaw::SeqFencedByTheKeyAlone, Flaw::StateNotFenced] {
        Life { bounds: SMALL, flaw: Some(flaw), folds: true }.checker().spawn_bfs().join().assert_properties();
    }
}

fn explore(bounds: Bounds) {
    let began = Instant::now();
    let model = Life { bounds, flaw: None, folds: true };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{} states, {} steps between them, {} deep, {:.0?}: {bounds:?}",
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
