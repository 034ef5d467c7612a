//! What must hold in every state that can be reached, and the checker's view of the model.

use stateright::{Model, Property};

use super::life::{Action, Life, Moment};
use super::tables::{Kind, State};

pub(super) const ONE_ACTIVE_RUN: &str = "a task has at most one active run";
pub(super) const SEQS_WITHOUT_GAP: &str = "the seqs of a log are 1 to the last, each once";
pub(super) const ONE_LAST_WORD: &str = "a run that has ended has one last word and it is the last, others have none";
pub(super) const WRITTEN_BY_ITS_HOLDER: &str =
    "an event is written by whoever holds the run, under the lease that holds";
pub(super) const LEASE_NEVER_FALLS: &str = "a lease never goes down, nor does a log go back to an older one";
pub(super) const ATTEMPTS_ARE_CLAIMS: &str = "attempts are the claims that were not handed over";
pub(super) const ANSWERED_ENTRIES_STAND: &str = "an entry that its hand was told of is in the log, and none is twice";
pub(super) const ANSWERED_STARTS_STAND: &str = "a start that was answered has its run";
pub(super) const CANCELLED_RUNS_ARE_DUE: &str = "a run that was asked to stop and is in no hand is due at once";
pub(super) const NO_WEDGE: &str = "one living worker can end every run, and then the task can be started";

fn one_active_run(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().filter(|run| run.state.is_active()).count() <= 1
}

fn seqs_without_gap(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| {
        let events = run.events.iter().map(|event| event.seq);
        let exchanges = run.exchanges.iter().map(|exchange| exchange.0);
        events.eq(1..=run.last_seq) && exchanges.eq(1..=run.last_exchange)
    })
}

fn one_last_word(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| match run.events.split_last() {
        Some((last, before)) => {
            let fits = match run.state {
                State::Ended => last.kind == Kind::Ended,
                State::Cancelled => last.kind == Kind::Cancelled,
                State::Queued | State::Running | State::Waiting => !last.kind.is_final(),
            };
            fits && !before.iter().any(|event| event.kind.is_final())
        }
        None => false,
    })
}

fn written_by_its_holder(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| run.events.iter().all(|event| event.rightful))
}

fn lease_never_falls(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| {
        run.lease == run.highest_lease
            && run.events.is_sorted_by_key(|event| event.lease)
            && run.exchanges.is_sorted_by_key(|exchange| exchange.1)
    })
}

fn attempts_are_claims(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| {
        let handed_over = run.events.iter().filter(|event| event.kind == Kind::HandedOver).count();
        let claims = usize::from(run.attempt) + handed_over;
        // A cancellation that ends a run raises the lease as a claim does, and is no attempt.
        let raised = usize::from(run.lease).checked_sub(claims);
        raised == Some(0) || (raised == Some(1) && run.state == State::Cancelled)
    })
}

fn answered_entries_stand(_: &Life, moment: &Moment) -> bool {
    let twice = moment.tables.runs.iter().any(|run| {
        run.events.iter().enumerate().any(|(at, event)| {
            let said = (event.lease, event.numbered, event.kind);
            run.events[..at].iter().any(|other| (other.lease, other.numbered, other.kind) == said)
        })
    });
    !moment.false_answer && !twice
}

fn answered_starts_stand(_: &Life, moment: &Moment) -> bool {
    !moment.false_start
}

fn no_wedge(life: &Life, moment: &Moment) -> bool {
    life.way_out(moment).is_some()
}

fn cancelled_runs_are_due(_: &Life, moment: &Moment) -> bool {
    moment.tables.runs.iter().all(|run| {
        let in_no_hand = matches!(run.state, State::Queued | State::Waiting);
        !(run.cancel_requested && in_no_hand) || run.due
    })
}

impl Model for Life {
    type State = Moment;
    type Action = Action;

    fn init_states(&self) -> Vec<Moment> {
        vec![self.beginning()]
    }

    fn actions(&self, moment: &Moment, actions: &mut Vec<Action>) {
        self.possible(moment, actions);
    }

    fn next_state(&self, moment: &Moment, action: Action) -> Option<Moment> {
        let mut next = moment.clone();
        if self.folds {
            next.forget_what_is_over();
        }
        self.step(&mut next, action);
        if self.folds {
            next.order_workers();
        }
        (next != *moment).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_ACTIVE_RUN, one_active_run),
            Property::always(SEQS_WITHOUT_GAP, seqs_without_gap),
            Property::always(ONE_LAST_WORD, one_last_word),
            Property::always(WRITTEN_BY_ITS_HOLDER, written_by_its_holder),
            Property::always(LEASE_NEVER_FALLS, lease_never_falls),
            Property::always(ATTEMPTS_ARE_CLAIMS, attempts_are_claims),
            Property::always(ANSWERED_ENTRIES_STAND, answered_entries_stand),
            Property::always(ANSWERED_STARTS_STAND, answered_starts_stand),
            Property::always(CANCELLED_RUNS_ARE_DUE, cancelled_runs_are_due),
            Property::always(NO_WEDGE, no_wedge),
        ]
    }
}
