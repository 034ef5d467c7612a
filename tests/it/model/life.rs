//! The hands of some workers and a task's clients, and everything that can happen to them and between them.
//!
//! A statement is sent, executed and answered in one action, with a fate: the answer may be lost, and the statement
//! may still be under way when its sender has given up on it or is gone (`late`), to be executed at any later time or
//! never. That a hand is slow needs no action: whatever lies between two of its own may be done by others.

use super::flaws::Flaw;
use super::possible::Bounds;
use super::tables::{Entry, Kind, Outcome, Size, Tables, WORD, Writer};

/// Workers and clients over the tables of one task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) bounds: Bounds,
    pub(super) flaw: Option<Flaw>,
    /// Whether states that differ in nothing that counts are made one.
    pub(super) folds: bool,
}

/// All of it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    pub(super) tables: Tables,
    /// A worker's hand: one each, since two hands of a worker share nothing that counts here.
    pub(super) hands: Vec<Option<Grip>>,
    pub(super) late: Vec<Entry>,
    /// Whether a start was answered that no run stands for.
    pub(super) false_start: bool,
    /// Whether a hand was told that an entry stands that does not stand in the log once.
    pub(super) false_answer: bool,
}

/// What a hand believes of the run that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Grip {
    pub(super) run: u8,
    pub(super) lease: u8,
    pub(super) last_seq: u8,
    pub(super) last_exchange: u8,
    /// What it has to write next: it was told to stop, or a step could not be stored.
    pub(super) ending: Option<Kind>,
    pub(super) pending: Option<Pending>,
}

/// An entry that a hand is not done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Pending {
    /// No answer came: it may stand or not, now or later.
    InDoubt(Entry),
    /// It was passed over: the hand has to look whether it stands already.
    PassedOver(Entry),
    /// Only of a fence that is a join: checked, and not inserted yet.
    Checked(Entry),
}

/// What becomes of a write on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Executed, and the answer comes.
    Answered,
    /// Executed, and the answer is lost.
    AnswerLost,
    /// Given up on before it was executed; it may be executed later.
    Late,
    /// Refused by the database for good, as a value that it cannot store.
    Refused,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A client starts a run, on a worker whose hand is free or on one that has none.
    Start { hand: Option<u8>, answered: bool },
    /// A free hand takes up what is due.
    Claim { hand: u8, answered: bool },
    /// A hand writes.
    Write { hand: u8, kind: Kind, size: Size, fate: Fate },
    /// A hand writes the entry again that it is in doubt about.
    Retry { hand: u8, fate: Fate },
    /// A hand whose entry was passed over looks where the run stands.
    Look { hand: u8, answered: bool },
    /// The second half of a write whose fence is a join.
    Insert { hand: u8 },
    /// The heartbeat of a hand.
    Beat { hand: u8, answered: bool },
    /// A hand forgets all: its worker dies, or its own clock says that the lease has passed.
    Forget { hand: u8 },
    /// A lease or a wait is over by the database's clock, whatever its hand knows.
    Pass { run: u8 },
    /// A statement that nobody waits for any more reaches the database.
    Arrive { late: usize },
    /// A client cancels the active run: it is asked to stop, and where no hand has it, its last word is on its way.
    Cancel,
}

impl Life {
    pub(super) fn beginning(&self) -> Moment {
        Moment {
            tables: Tables::default(),
            hands: vec![None; self.bounds.workers as usize],
            late: Vec::new(),
            false_start: false,
            false_answer: false,
        }
    }

    /// Does it, whether or not it is within the bounds.
    pub(super) fn step(&self, moment: &mut Moment, action: Action) -> Outcome {
        match action {
            Action::Start { hand, answered } => self.start(moment, hand, answered),
            Action::Claim { hand, answered } => self.claim(moment, hand, answered),
            Action::Write { hand, kind, size, fate } => {
                let Some(grip) = moment.hands[hand as usize] else { return Outcome::Nothing };
                self.send(moment, hand, grip.entry(Writer::Hand(hand), kind, size), fate, false)
            }
            Action::Retry { hand, fate } => match moment.pending(hand) {
                Some(Pending::InDoubt(entry)) => self.send(moment, hand, entry, fate, true),
                _ => Outcome::Nothing,
            },
            Action::Look { hand, answered } => self.look(moment, hand, answered),
            Action::Insert { hand } => match moment.pending(hand) {
                Some(Pending::Checked(entry)) => {
                    let done = moment.tables.insert(entry, self.flaw);
                    self.hear(moment, hand, entry, done, false)
                }
                _ => Outcome::Nothing,
            },
            Action::Beat { hand, answered } => self.beat(moment, hand, answered),
            Action::Forget { hand } => {
                moment.hands[hand as usize] = None;
                Outcome::Nothing
            }
            Action::Pass { run } => {
                moment.tables.pass(run);
                Outcome::Nothing
            }
            Action::Arrive { late } => {
                let entry = moment.late.remove(late);
                match entry.writer {
                    Writer::Client => moment.tables.end_cancelled(entry, self.flaw),
                    Writer::Hand(_) => moment.tables.write(entry, self.flaw).unwrap_or(Outcome::PassedOver),
                }
            }
            Action::Cancel => {
                let Some(run) = moment.tables.active() else { return Outcome::Nothing };
                let last_word = moment.tables.ask_to_stop(run, self.flaw);
                if let Some(last_word) = last_word {
                    self.delay(moment, last_word);
                }
                Outcome::Asked { in_hand: last_word.is_none() }
            }
        }
    }

    fn start(&self, moment: &mut Moment, hand: Option<u8>, answered: bool) -> Outcome {
        // Answered too soon, the worker may die before the statement.
        let dies = self.flaw == Some(Flaw::StartAnsweredTooSoon) && hand.is_none();
        let next = moment.tables.runs.len() as u8;
        let outcome = if dies { Outcome::Started(next) } else { moment.tables.start(hand, self.flaw) };
        if let (Outcome::Started(run), true) = (outcome, answered) {
            moment.false_start |= moment.tables.runs.get(usize::from(run)).is_none();
            if let Some(hand) = hand {
                moment.hands[hand as usize] = Some(Grip::new(run, 1, (1, 0), None));
            }
        }
        outcome
    }

    fn claim(&self, moment: &mut Moment, hand: u8, answered: bool) -> Outcome {
        let outcome = moment.tables.claim(hand, self.flaw);
        if let (Outcome::Claimed { run, lease, last_seq, last_exchange, cancel_requested, .. }, true) =
            (outcome, answered)
        {
            let ending = cancel_requested.then_some(Kind::Cancelled);
            moment.hands[hand as usize] = Some(Grip::new(run, lease, (last_seq, last_exchange), ending));
        }
        outcome
    }

    /// One try to write an entry. `again`: an earlier try may stand, or may yet arrive.
    fn send(&self, moment: &mut Moment, hand: u8, entry: Entry, fate: Fate, again: bool) -> Outcome {
        match fate {
            Fate::Refused => {
                self.refused(moment, hand, again);
                Outcome::Nothing
            }
            Fate::Late => {
                self.delay(moment, entry);
                moment.set_pending(hand, Pending::InDoubt(entry));
                Outcome::Nothing
            }
            Fate::Answered if self.flaw == Some(Flaw::FenceIsAJoin) => {
                let holds = moment.tables.fence_holds(entry, self.flaw);
                let pending = if holds { Pending::Checked(entry) } else { Pending::PassedOver(entry) };
                moment.set_pending(hand, pending);
                Outcome::Nothing
            }
            Fate::Answered => {
                let done = moment.tables.write(entry, self.flaw);
                self.hear(moment, hand, entry, done, again)
            }
            Fate::AnswerLost => {
                let done = moment.tables.write(entry, self.flaw);
                moment.set_pending(hand, Pending::InDoubt(entry));
                done.unwrap_or(Outcome::PassedOver)
            }
        }
    }

    /// A hand hears what came of its write. `None`: the database refused it.
    fn hear(&self, moment: &mut Moment, hand: u8, entry: Entry, done: Option<Outcome>, again: bool) -> Outcome {
        match done {
            Some(Outcome::Written { cancel_requested }) => moment.settle(hand, entry, cancel_requested),
            Some(_) => moment.set_pending(hand, Pending::PassedOver(entry)),
            None => self.refused(moment, hand, again),
        }
        done.unwrap_or(Outcome::Nothing)
    }

    /// What the database will not store ends the run, unless an earlier try may stand: then the hand does not know where
    /// the log ends, and lets go.
    fn refused(&self, moment: &mut Moment, hand: u8, again: bool) {
        let knows_where_it_stands = !again || self.flaw == Some(Flaw::DoubtForgotten);
        let grip = &mut moment.hands[hand as usize];
        match grip {
            Some(grip) if knows_where_it_stands => {
                grip.pending = None;
                grip.ending = Some(Kind::Ended);
            }
            _ => *grip = None,
        }
    }

    fn look(&self, moment: &mut Moment, hand: u8, answered: bool) -> Outcome {
        let Some(Pending::PassedOver(entry)) = moment.pending(hand) else { return Outcome::Nothing };
        let stands = moment.tables.stands(entry, self.flaw);
        match (answered, stands) {
            (false, _) => moment.set_pending(hand, Pending::InDoubt(entry)),
            (true, true) => {
                let cancel_requested = moment.tables.run(entry.run).cancel_requested;
                moment.settle(hand, entry, cancel_requested);
            }
            (true, false) => moment.hands[hand as usize] = None,
        }
        Outcome::Stands(stands)
    }

    fn beat(&self, moment: &mut Moment, hand: u8, answered: bool) -> Outcome {
        let Some(grip) = &mut moment.hands[hand as usize] else { return Outcome::Nothing };
        let outcome = moment.tables.keep(grip.run, grip.lease);
        match outcome {
            Outcome::Kept { cancel_requested: true } if answered => {
                grip.ending.get_or_insert(Kind::Cancelled);
            }
            Outcome::NotKept if answered => moment.hands[hand as usize] = None,
            _ => {}
        }
        outcome
    }

    /// Keeps a statement for later; beyond the bound it is never executed.
    fn delay(&self, moment: &mut Moment, entry: Entry) {
        if moment.late.len() < self.bounds.late {
            let at = moment.late.partition_point(|other| *other <= entry);
            moment.late.insert(at, entry);
        }
    }

    /// What one worker alone does, once all hands have forgotten what they did, to bring every run to its end. `None`
    /// where that fails, or where the task cannot be started again then.
    pub(super) fn way_out(&self, moment: &Moment) -> Option<Vec<Action>> {
        let mut moment = moment.clone();
        let mut way = Vec::new();
        let mut go = |moment: &mut Moment, action| {
            way.push(action);
            self.step(moment, action)
        };
        let at_work: Vec<_> =
            (0..).zip(&moment.hands).filter(|(_, grip)| grip.is_some()).map(|(hand, _)| hand).collect();
        for hand in at_work {
            go(&mut moment, Action::Forget { hand });
        }
        // There is at most one active run, but a flaw may have made more.
        for _ in 0..moment.tables.runs.len() {
            let Some(run) = moment.tables.active() else { break };
            go(&mut moment, Action::Pass { run });
            go(&mut moment, Action::Claim { hand: 0, answered: true });
            let kind = moment.hands[0].and_then(|grip| grip.ending).unwrap_or(Kind::Ended);
            go(&mut moment, Action::Write { hand: 0, kind, size: WORD, fate: Fate::Answered });
            if self.flaw == Some(Flaw::FenceIsAJoin) {
                go(&mut moment, Action::Insert { hand: 0 });
            }
        }
        let ended = moment.tables.active().is_none();
        let restarted = self.step(&mut moment, Action::Start { hand: None, answered: true });
        (ended && matches!(restarted, Outcome::Started(_))).then_some(way)
    }
}

impl Grip {
    fn new(run: u8, lease: u8, (last_seq, last_exchange): (u8, u8), ending: Option<Kind>) -> Self {
        Self { run, lease, last_seq, last_exchange, ending, pending: None }
    }

    /// What it writes next.
    pub(super) fn entry(self, writer: Writer, kind: Kind, size: Size) -> Entry {
        let Self { run, lease, last_seq: after_seq, last_exchange: after_exchange, .. } = self;
        Entry { run, writer, lease, after_seq, after_exchange, size, kind }
    }

    /// The entry that the hand is not done with.
    pub(super) fn entry_mut(&mut self) -> Option<&mut Entry> {
        match &mut self.pending {
            Some(Pending::InDoubt(entry) | Pending::PassedOver(entry) | Pending::Checked(entry)) => Some(entry),
            None => None,
        }
    }
}

impl Moment {
    fn pending(&self, hand: u8) -> Option<Pending> {
        self.hands[hand as usize].and_then(|grip| grip.pending)
    }

    fn set_pending(&mut self, hand: u8, pending: Pending) {
        if let Some(grip) = &mut self.hands[hand as usize] {
            grip.pending = Some(pending);
        }
    }

    /// A hand knows that its entry stands: it goes on behind it, or is done.
    fn settle(&mut self, hand: u8, entry: Entry, cancel_requested: bool) {
        self.false_answer |= !self.tables.run(entry.run).holds_once(entry);
        let grip = &mut self.hands[hand as usize];
        match grip {
            Some(grip) if entry.kind == Kind::Step => {
                grip.pending = None;
                (grip.last_seq, grip.last_exchange) = (entry.last_seq(), entry.last_exchange());
                if cancel_requested {
                    grip.ending.get_or_insert(Kind::Cancelled);
                }
            }
            _ => *grip = None,
        }
    }
}
