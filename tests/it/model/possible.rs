//! What can happen next, within the bounds to which the model is explored.

use super::life::{Action, Fate, Grip, Life, Moment, Pending};
use super::tables::{Kind, Run, Size, WORD};

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) workers: u8,
    pub(super) runs: u8,
    /// Claims of all runs together, those of a start included.
    pub(super) claims: u8,
    /// Rows of the logs of all runs together, events and exchanges.
    pub(super) rows: u8,
    /// Statements that are still under way though nobody waits for their answer.
    pub(super) late: usize,
    /// What steps there are.
    pub(super) steps: &'static [Size],
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::AnswerLost, Fate::Late, Fate::Refused];

impl Life {
    /// What can happen next within the bounds.
    pub(super) fn possible(&self, moment: &Moment, actions: &mut Vec<Action>) {
        let Bounds { runs, claims, .. } = self.bounds;
        let tables = &moment.tables;
        let claims_left = claims.saturating_sub(tables.runs.iter().map(|run| run.lease).sum());
        let rows = |run: &Run| run.last_seq + run.last_exchange;
        let rows_left = self.bounds.rows.saturating_sub(tables.runs.iter().map(rows).sum());
        let active = tables.active().map(|run| (run, tables.run(run)));
        let may_start = tables.runs.len() < runs as usize && rows_left > 1;
        if may_start {
            both_answers(actions, |answered| Action::Start { hand: None, answered });
        }
        for (hand, grip) in (0..).zip(&moment.hands) {
            match grip {
                Some(grip) => {
                    let room = rows(tables.run(grip.run)) + rows_left;
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
            if rows_left > 0 {
                actions.push(Action::Cancel);
            }
        }
    }

    /// What can happen to a hand at work whose run's logs may grow to `room` rows.
    fn possible_in_hand(&self, hand: u8, grip: &Grip, room: u8, actions: &mut Vec<Action>) {
        actions.push(Action::Forget { hand });
        both_answers(actions, |answered| Action::Beat { hand, answered });
        let mut write = |kind: Kind, size: Size| {
            // What leaves the run active leaves room for its last word.
            let written = grip.last_seq + grip.last_exchange + size.events + size.exchanges;
            if written + u8::from(!kind.is_final()) <= room {
                actions.extend(FATES.map(|fate| Action::Write { hand, kind, size, fate }));
            }
        };
        match (grip.pending, grip.ending) {
            (Some(Pending::InDoubt(_)), _) => actions.extend(FATES.map(|fate| Action::Retry { hand, fate })),
            (Some(Pending::PassedOver(_)), _) => both_answers(actions, |answered| Action::Look { hand, answered }),
            (Some(Pending::Checked(_)), _) => actions.push(Action::Insert { hand }),
            (None, Some(ending)) => write(ending, WORD),
            (None, None) => {
                self.bounds.steps.iter().for_each(|size| write(Kind::Step, *size));
                [Kind::BackedOff, Kind::HandedOver, Kind::Ended].into_iter().for_each(|kind| write(kind, WORD));
            }
        }
    }
}

fn both_answers(actions: &mut Vec<Action>, action: impl Fn(bool) -> Action) {
    actions.extend([action(true), action(false)]);
}
