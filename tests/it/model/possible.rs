//! What can happen next, within the bounds to which the model is explored.

use super::life::{Action, Fate, Grip, Life, Moment, Pending};
use super::tables::Kind;

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) workers: u8,
    pub(super) runs: u8,
    /// Claims of all runs together, those of a start included.
    pub(super) claims: u8,
    /// Events of all runs together.
    pub(super) events: u8,
    /// Statements that are still under way though nobody waits for their answer.
    pub(super) late: usize,
    /// How many events a step has at most.
    pub(super) step: u8,
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::AnswerLost, Fate::Late, Fate::Refused];

impl Life {
    /// What can happen next within the bounds.
    pub(super) fn possible(&self, moment: &Moment, actions: &mut Vec<Action>) {
        let Bounds { runs, claims, .. } = self.bounds;
        let tables = &moment.tables;
        let claims_left = claims.saturating_sub(tables.runs.iter().map(|run| run.lease).sum());
        let events_left = self.bounds.events.saturating_sub(tables.runs.iter().map(|run| run.last_seq).sum());
        let active = tables.active().map(|run| (run, tables.run(run)));
        let may_start = tables.runs.len() < runs as usize && events_left > 1;
        if may_start {
            both_answers(actions, |answered| Action::Start { hand: None, answered });
        }
        for (hand, grip) in (0..).zip(&moment.hands) {
            match grip {
                Some(grip) => {
                    let room = tables.run(grip.run).last_seq + events_left;
                    self.possible_in_hand(hand, grip, room, actions);
                }
                None if claims_left > 0 => {
                    if may_start {
                        both_answers(actions, |answered| Action::Start { hand: Some(hand), answered });
                    }
                    if active.is_some_and(|(_, run)| run.due) {
                        both_answers(actions, |answered| Action::Claim { hand, answered });
                    }
                }
                None => {}
            }
        }
        actions.extend((0..moment.late.len()).map(|late| Action::Arrive { late }));
        if let Some((run, row)) = active {
            if !row.due {
                actions.push(Action::Pass { run });
            }
            if events_left > 0 {
                actions.push(Action::Cancel);
            }
        }
    }

    /// What can happen to a hand at work whose run's log may grow to `room` events.
    fn possible_in_hand(&self, hand: u8, grip: &Grip, room: u8, actions: &mut Vec<Action>) {
        actions.push(Action::Forget { hand });
        both_answers(actions, |answered| Action::Beat { hand, answered });
        let mut write = |kind: Kind, events: u8| {
            // What leaves the run active leaves room for its last word.
            if grip.last_seq + events + u8::from(!kind.is_final()) <= room {
                actions.extend(FATES.map(|fate| Action::Write { hand, kind, events, fate }));
            }
        };
        match (grip.pending, grip.ending) {
            (Some(Pending::InDoubt(_)), _) => actions.extend(FATES.map(|fate| Action::Retry { hand, fate })),
            (Some(Pending::PassedOver(_)), _) => both_answers(actions, |answered| Action::Look { hand, answered }),
            (Some(Pending::Checked(_)), _) => actions.push(Action::Insert { hand }),
            (None, Some(ending)) => write(ending, 1),
            (None, None) => {
                (1..=self.bounds.step).for_each(|events| write(Kind::Step, events));
                [Kind::BackedOff, Kind::HandedOver, Kind::Ended].into_iter().for_each(|kind| write(kind, 1));
            }
        }
    }
}

fn both_answers(actions: &mut Vec<Action>, action: impl Fn(bool) -> Action) {
    actions.extend([action(true), action(false)]);
}
