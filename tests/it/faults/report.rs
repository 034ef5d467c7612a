//! What was measured, a line a fault and round: said aloud, and kept in the file that `make faults` makes a table of.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// What a fault cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// From the end of the fault until the last task could be started again.
    pub(super) startable_after: Duration,
    /// The slowest answer to a client that asked all the time, as it saw it.
    pub(super) slowest_answer: Duration,
    /// The longest time that the replicas themselves took for one by their logs, where these were read.
    pub(super) slowest_own: Option<Duration>,
    /// How many answers those clients had, and how many of them were 503.
    pub(super) answers: u64,
    /// See `answers`.
    pub(super) refusals: u64,
    /// From the end of the fault until the last transaction that it left open was gone.
    pub(super) transactions_open: Duration,
}

/// Says what a fault cost, and keeps it.
pub(super) fn record(fault: &str, rounds: u64, cost: Cost) {
    say(fault, cost);
    keep(fault, rounds, cost);
}

/// Says what a fault cost.
pub(super) fn say(fault: &str, cost: Cost) {
    let Cost { startable_after, slowest_answer, slowest_own, answers, refusals, transactions_open } = cost;
    let own = slowest_own.map_or_else(|| "not asked".to_owned(), |own| format!("{own:.2?}"));
    eprintln!(
        "fault: {fault}: startable again after {startable_after:.1?}, slowest answer {slowest_answer:.2?} (by the replicas' \
         own account {own}) of {answers} ({refusals} times 503), transactions open for {transactions_open:.1?}"
    );
}

/// Writes down what so many rounds of a fault cost.
pub(super) fn keep(fault: &str, rounds: u64, cost: Cost) {
    let Some(path) = std::env::var_os("IGT_FAULT_REPORT").filter(|path| !path.is_empty()) else { return };
    let mut line = String::new();
    let (startable, slowest) = (cost.startable_after.as_secs_f64(), cost.slowest_answer.as_secs_f64());
    let own = cost.slowest_own.unwrap_or_default().as_secs_f64();
    writeln!(line, "{fault}\t{rounds}\t{startable:.2}\t{slowest:.2}\t{own:.2}\t0").unwrap();
    // One write, so that tests that run beside each other do not mix their lines.
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
