//! Fewer states for the same story: what no later step can tell apart is made one.

use super::life::{Grip, Moment};
use super::tables::{Event, Kind, Run, State, Writer};

impl Moment {
    /// Forgets the log of a run that has ended and that no hand and no statement on its way knows of: nothing can
    /// touch it any more. It was looked at in the state before.
    pub(super) fn forget_what_is_over(&mut self) {
        for run in 0..self.tables.runs.len() {
            let known = |of: u8| usize::from(of) == run;
            let in_use = self.hands.iter().flatten().any(|grip| known(grip.run))
                || self.late.iter().any(|entry| known(entry.run));
            let row = &mut self.tables.runs[run];
            if !in_use && !row.state.is_active() {
                *row = plainest_run_that_ended();
            }
        }
    }

    /// Puts the workers in an order: which of them is which makes no difference.
    pub(super) fn order_workers(&mut self) {
        let mut order: Vec<u8> = (0..self.hands.len() as u8).collect();
        order.sort_by_key(|hand| self.features_of(*hand));
        if order.is_sorted() {
            return;
        }
        let new_number = |old: u8| order.iter().position(|hand| *hand == old).map_or(old, |at| at as u8);
        self.hands = order.iter().map(|old| self.hands[*old as usize]).collect();
        let renumber = |writer: &mut Writer| {
            if let Writer::Hand(hand) = writer {
                *hand = new_number(*hand);
            }
        };
        self.hands.iter_mut().flatten().filter_map(Grip::entry_mut).for_each(|entry| renumber(&mut entry.writer));
        self.late.iter_mut().for_each(|entry| renumber(&mut entry.writer));
        self.late.sort();
        for run in &mut self.tables.runs {
            run.worker = run.worker.map(new_number);
        }
    }

    /// What tells a worker from another.
    fn features_of(&self, hand: u8) -> impl Ord + use<> {
        let mut grip = self.hands[hand as usize];
        if let Some(entry) = grip.as_mut().and_then(Grip::entry_mut) {
            entry.writer = Writer::Client;
        }
        let holds = self.tables.runs.iter().rposition(|run| run.worker == Some(hand));
        let late = self.late.iter().filter(|entry| entry.writer == Writer::Hand(hand)).count();
        (grip, holds, late)
    }
}

fn plainest_run_that_ended() -> Run {
    let event = |seq, kind| Event { seq, kind, lease: 1, numbered: seq, rightful: true };
    Run {
        state: State::Ended,
        lease: 1,
        attempt: 1,
        due: false,
        last_seq: 2,
        cancel_requested: false,
        worker: None,
        events: vec![event(1, Kind::Started), event(2, Kind::Ended)],
        last_exchange: 0,
        exchanges: Vec::new(),
        highest_lease: 1,
    }
}
