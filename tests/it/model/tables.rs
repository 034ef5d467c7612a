//! The tables of one task, and each statement on them as one step.
//!
//! A statement is one step here because it is one in Postgres: it holds the run's row lock from the moment at which
//! its conditions were true, and under READ COMMITTED whoever had to wait for the lock looks at them again. Of time
//! only this is left: `due`, which is `claimable_at <= now()`.

use super::flaws::Flaw;

/// Where a run stands. The model knows one way to end by itself; succeeded, partial and failed differ in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Queued,
    Running,
    Waiting,
    Ended,
    Cancelled,
}

impl State {
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Started,
    Step,
    BackedOff,
    HandedOver,
    Ended,
    Cancelled,
}

impl Kind {
    /// Whether it is a run's last word.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Cancelled)
    }
}

/// Who writes: a worker by its number, or a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Writer {
    Hand(u8),
    Client,
}

/// A row of `events`, with what only the model knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Event {
    pub(super) seq: u8,
    pub(super) kind: Kind,
    /// The lease that its writer named.
    pub(super) lease: u8,
    /// The seq that its writer gave it.
    pub(super) numbered: u8,
    /// Whether its writer held the run when it was written: the hand that it runs in, or a client while none has it.
    pub(super) rightful: bool,
}

/// A row of `runs` and its events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) state: State,
    pub(super) lease: u8,
    pub(super) attempt: u8,
    pub(super) due: bool,
    pub(super) last_seq: u8,
    pub(super) cancel_requested: bool,
    /// Whose hand has it, while it runs.
    pub(super) worker: Option<u8>,
    pub(super) events: Vec<Event>,
    pub(super) last_exchange: u8,
    /// Rows of `run_exchanges`: their seqs, each with the lease that its writer named.
    pub(super) exchanges: Vec<(u8, u8)>,
    /// The highest lease that it ever had; the table does not know it.
    pub(super) highest_lease: u8,
}

/// How many rows of each log an entry has. A step of a run whose log is full may have no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Size {
    pub(super) events: u8,
    pub(super) exchanges: u8,
}

/// One event and no request: what most entries are.
pub(super) const WORD: Size = Size { events: 1, exchanges: 0 };

/// One run's share of a write; see `db::journal::Entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) run: u8,
    pub(super) writer: Writer,
    pub(super) lease: u8,
    pub(super) after_seq: u8,
    pub(super) after_exchange: u8,
    pub(super) size: Size,
    /// What its last event says, and thereby where it leaves the run; events before it are steps.
    pub(super) kind: Kind,
}

impl Entry {
    /// The seq that it leaves the run at.
    pub(super) fn last_seq(self) -> u8 {
        self.after_seq + self.size.events
    }

    /// The exchange that it leaves the run at.
    pub(super) fn last_exchange(self) -> u8 {
        self.after_exchange + self.size.exchanges
    }

    fn kind_of(self, nth: u8) -> Kind {
        if nth == self.size.events { self.kind } else { Kind::Step }
    }
}

/// What came of a statement; the real one must say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The start found the task busy.
    Busy,
    /// A run was inserted: its number.
    Started(u8),
    /// A run was taken up.
    Claimed { run: u8, lease: u8, last_seq: u8, last_exchange: u8, from: State, cancel_requested: bool },
    /// Nothing was due.
    NothingDue,
    /// The entry stands.
    Written { cancel_requested: bool },
    /// The fence did not hold.
    PassedOver,
    /// The lease was kept.
    Kept { cancel_requested: bool },
    /// It was not.
    NotKept,
    /// Whether the row stands where the entry would have left it.
    Stands(bool),
    /// The run was asked to stop; whether a hand has it, which will end it.
    Asked { in_hand: bool },
    /// No statement reached the database.
    Nothing,
}

/// All rows of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tables {
    pub(super) runs: Vec<Run>,
}

impl Tables {
    pub(super) fn active(&self) -> Option<u8> {
        self.runs.iter().position(|run| run.state.is_active()).map(|run| run as u8)
    }

    pub(super) fn run(&self, run: u8) -> &Run {
        &self.runs[run as usize]
    }

    fn run_mut(&mut self, run: u8) -> &mut Run {
        &mut self.runs[run as usize]
    }

    /// `db::start::start`.
    pub(super) fn start(&mut self, hand: Option<u8>, flaw: Option<Flaw>) -> Outcome {
        let busy = match flaw {
            Some(Flaw::NoUniqueIndex) => false,
            Some(Flaw::IndexOverEndedRuns) => !self.runs.is_empty(),
            _ => self.active().is_some(),
        };
        if busy {
            return Outcome::Busy;
        }
        let lease = u8::from(hand.is_some());
        self.runs.push(Run {
            state: if hand.is_some() { State::Running } else { State::Queued },
            lease,
            attempt: lease,
            due: hand.is_none(),
            last_seq: 1,
            cancel_requested: false,
            worker: hand,
            events: vec![Event { seq: 1, kind: Kind::Started, lease, numbered: 1, rightful: true }],
            last_exchange: 0,
            exchanges: Vec::new(),
            highest_lease: lease,
        });
        Outcome::Started(self.runs.len() as u8 - 1)
    }

    /// `db::runs::claim`, of one run.
    pub(super) fn claim(&mut self, hand: u8, flaw: Option<Flaw>) -> Outcome {
        let claimable = |run: &Run| {
            let passed_over = flaw == Some(Flaw::LostWorkersStayLost) && run.state == State::Running;
            run.state.is_active() && run.due && !passed_over
        };
        let Some(at) = self.runs.iter().position(claimable) else {
            return Outcome::NothingDue;
        };
        let run = &mut self.runs[at];
        let from = run.state;
        run.state = State::Running;
        run.raise_lease(flaw == Some(Flaw::ClaimKeepsTheLease));
        run.attempt += 1;
        run.worker = Some(hand);
        run.due = false;
        let Run { lease, last_seq, last_exchange, cancel_requested, .. } = *run;
        Outcome::Claimed { run: at as u8, lease, last_seq, last_exchange, from, cancel_requested }
    }

    /// `db::journal::write`, of one entry. `None`: the primary key of the log refused it.
    pub(super) fn write(&mut self, entry: Entry, flaw: Option<Flaw>) -> Option<Outcome> {
        if self.fence_holds(entry, flaw) { self.insert(entry, flaw) } else { Some(Outcome::PassedOver) }
    }

    /// The conditions of the write's UPDATE.
    pub(super) fn fence_holds(&self, entry: Entry, flaw: Option<Flaw>) -> bool {
        let run = self.run(entry.run);
        let lease_alone = flaw == Some(Flaw::EndFencedByLeaseAlone) && entry.kind.is_final();
        let seqs_are_free = lease_alone
            || matches!(flaw, Some(Flaw::NumberedByTheRow | Flaw::SeqsNotFenced | Flaw::SeqsFencedByTheKeysAlone));
        let seq_holds = run.last_seq == entry.after_seq || seqs_are_free;
        let exchange_holds =
            run.last_exchange == entry.after_exchange || seqs_are_free || flaw == Some(Flaw::ExchangeNotFenced);
        let state_is_free = flaw == Some(Flaw::StateNotFenced) || lease_alone;
        (run.lease == entry.lease || flaw == Some(Flaw::LeaseNotFenced))
            && seq_holds
            && exchange_holds
            && (run.state == State::Running || state_is_free)
    }

    /// What the write does where its fence holds.
    pub(super) fn insert(&mut self, entry: Entry, flaw: Option<Flaw>) -> Option<Outcome> {
        let run = self.run_mut(entry.run);
        let rightful = run.state == State::Running
            && run.lease == entry.lease
            && Some(entry.writer) == run.worker.map(Writer::Hand);
        let by_the_row = flaw == Some(Flaw::NumberedByTheRow)
            || (flaw == Some(Flaw::EndFencedByLeaseAlone) && entry.kind.is_final());
        let after =
            if by_the_row { (run.last_seq, run.last_exchange) } else { (entry.after_seq, entry.after_exchange) };
        run.log(entry, after, rightful, flaw)?;
        if entry.kind != Kind::Step {
            run.worker = None;
        }
        match entry.kind {
            Kind::Started | Kind::Step => {}
            Kind::BackedOff => {
                run.state = State::Waiting;
                // Who was asked to stop does not wait.
                run.due = run.cancel_requested && flaw != Some(Flaw::CancelledRunsWait);
            }
            Kind::HandedOver => {
                run.state = State::Queued;
                run.due = true;
                run.attempt -= u8::from(flaw != Some(Flaw::HandOverSpendsTheAttempt));
                run.lease -= u8::from(flaw == Some(Flaw::HandOverLowersTheLease));
            }
            Kind::Ended | Kind::Cancelled => run.end(entry.kind),
        }
        Some(Outcome::Written { cancel_requested: run.cancel_requested })
    }

    /// `db::journal::standing`, and what the hand makes of it.
    pub(super) fn stands(&self, entry: Entry, flaw: Option<Flaw>) -> bool {
        let run = self.run(entry.run);
        match flaw {
            Some(Flaw::AnyHigherSeqIsItsOwn) => run.last_seq >= entry.last_seq(),
            _ => {
                let seqs = (run.last_seq, run.last_exchange);
                run.lease == entry.lease && seqs == (entry.last_seq(), entry.last_exchange())
            }
        }
    }

    /// `db::heartbeat::keep`, of one run.
    pub(super) fn keep(&mut self, run: u8, lease: u8) -> Outcome {
        let run = self.run_mut(run);
        if run.lease != lease || run.state != State::Running {
            return Outcome::NotKept;
        }
        run.due = false;
        Outcome::Kept { cancel_requested: run.cancel_requested }
    }

    /// `db::cancel::ask`. Where no hand has the run, what `end_cancelled` needs comes back.
    pub(super) fn ask_to_stop(&mut self, run: u8, flaw: Option<Flaw>) -> Option<Entry> {
        let row = self.run_mut(run);
        row.cancel_requested = true;
        row.due |= row.state == State::Waiting;
        (!row.is_in_hand() || flaw == Some(Flaw::CancelEndsAnyState)).then_some(Entry {
            run,
            writer: Writer::Client,
            lease: row.lease,
            after_seq: row.last_seq,
            after_exchange: row.last_exchange,
            size: WORD,
            kind: Kind::Cancelled,
        })
    }

    /// `db::cancel::end`: ends a run that no hand has, where it stands as `ask_to_stop` found it.
    pub(super) fn end_cancelled(&mut self, entry: Entry, flaw: Option<Flaw>) -> Outcome {
        let run = self.run_mut(entry.run);
        let rightful = run.state.is_active() && !run.is_in_hand();
        let as_it_was = run.lease == entry.lease && run.last_seq == entry.after_seq;
        if !as_it_was || !(rightful || flaw == Some(Flaw::CancelEndsAnyState)) {
            return Outcome::PassedOver;
        }
        run.raise_lease(flaw == Some(Flaw::CancelKeepsTheLease));
        let word = Entry { lease: run.lease, ..entry };
        match run.log(word, (word.after_seq, run.last_exchange), rightful, flaw) {
            Some(()) => run.end(Kind::Cancelled),
            None => return Outcome::PassedOver,
        }
        Outcome::Written { cancel_requested: true }
    }

    /// Time: a lease or a wait is over.
    pub(super) fn pass(&mut self, run: u8) {
        self.run_mut(run).due = true;
    }
}

impl Run {
    /// Whether a hand has it whose lease has not passed.
    fn is_in_hand(&self) -> bool {
        self.state == State::Running && !self.due
    }

    fn raise_lease(&mut self, keeps_it: bool) {
        self.lease += u8::from(!keeps_it);
        self.highest_lease = self.highest_lease.max(self.lease);
    }

    /// Inserts an entry's rows behind those two seqs, unless a primary key refuses one.
    fn log(&mut self, entry: Entry, after: (u8, u8), rightful: bool, flaw: Option<Flaw>) -> Option<()> {
        let (after_seq, after_exchange) = after;
        let Size { events, exchanges } = entry.size;
        let is_taken = |seq: u8| self.events.iter().any(|event| event.seq == seq);
        let was_asked = |seq: u8| self.exchanges.iter().any(|exchange| exchange.0 == seq);
        let refused = (1..=events).any(|nth| is_taken(after_seq + nth))
            || (1..=exchanges).any(|nth| was_asked(after_exchange + nth));
        if refused && !matches!(flaw, Some(Flaw::SeqsNotFenced | Flaw::ExchangeNotFenced)) {
            return None;
        }
        for nth in 1..=events {
            let (seq, numbered) = (after_seq + nth, entry.after_seq + nth);
            self.events.push(Event { seq, kind: entry.kind_of(nth), lease: entry.lease, numbered, rightful });
        }
        self.exchanges.extend((1..=exchanges).map(|nth| (after_exchange + nth, entry.lease)));
        (self.last_seq, self.last_exchange) = (after_seq + events, after_exchange + exchanges);
        Some(())
    }

    fn end(&mut self, kind: Kind) {
        self.state = if kind == Kind::Cancelled { State::Cancelled } else { State::Ended };
        self.due = false;
        self.worker = None;
    }

    /// Whether each row of an entry stands in its log once.
    pub(super) fn holds_once(&self, entry: Entry) -> bool {
        let event_stands = |nth| {
            let said = (entry.lease, entry.after_seq + nth, entry.kind_of(nth));
            self.events.iter().filter(|event| (event.lease, event.numbered, event.kind) == said).count() == 1
        };
        let exchange_stands = |nth| {
            let asked = (entry.after_exchange + nth, entry.lease);
            self.exchanges.iter().filter(|exchange| **exchange == asked).count() == 1
        };
        (1..=entry.size.events).all(event_stands) && (1..=entry.size.exchanges).all(exchange_stands)
    }
}
