//! What the program could have got wrong: one model, and a mistake to be switched on in it.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A write does not ask for the lease.
    LeaseNotFenced,
    /// A write takes its place in the log from the row, whatever its writer believes the last seq to be.
    NumberedByTheRow,
    /// A write asks neither for the last seq nor for the last exchange, and the logs' primary keys are gone as well.
    SeqsNotFenced,
    /// A write asks neither for the last seq nor for the last exchange; the logs' primary keys are all that is left.
    SeqsFencedByTheKeysAlone,
    /// A write does not ask for the last exchange, and the primary key of that log is gone as well.
    ExchangeNotFenced,
    /// A write does not ask for the state.
    StateNotFenced,
    /// The statement that ends a run asks for the lease alone.
    EndFencedByLeaseAlone,
    /// A write looks at the row first and inserts then, without the row's lock.
    FenceIsAJoin,
    /// A claim leaves the lease as it is.
    ClaimKeepsTheLease,
    /// A hand-over gives the lease back together with the attempt.
    HandOverLowersTheLease,
    /// A hand-over spends its attempt.
    HandOverSpendsTheAttempt,
    /// Nothing keeps a task from having two active runs.
    NoUniqueIndex,
    /// The unique index covers runs that have ended, too.
    IndexOverEndedRuns,
    /// A hand whose entry was passed over takes any higher seq for its own work.
    AnyHigherSeqIsItsOwn,
    /// A hand whose retry is refused for good forgets that an earlier try may stand.
    DoubtForgotten,
    /// A cancellation ends the run, whether or not a hand has it.
    CancelEndsAnyState,
    /// A cancellation that ends a run leaves its lease as it is.
    CancelKeepsTheLease,
    /// A run that was asked to stop may still begin a wait.
    CancelledRunsWait,
    /// Claims pass over running runs whose lease has passed.
    LostWorkersStayLost,
    /// A start is answered before its statement is committed.
    StartAnsweredTooSoon,
}
