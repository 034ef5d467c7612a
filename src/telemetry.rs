//! What the process says of itself: log lines on standard error, metrics for Prometheus.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSettings};
use crate::instagram::Secrets;

/// Upper bounds of the histograms of seconds: from a half millisecond to half a minute, and an hour for runs.
const SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const RUN_SECONDS: [f64; 10] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0, 1800.0, 3600.0];
const REQUESTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Why logs or metrics could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("IGT_LOG (--log) is {filter:?}: {error}; give a level such as info, or info,ig_tracking=debug")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        error: ParseError,
    },
    /// The filter would silence everything.
    #[error(
        "IGT_LOG (--log) is {filter:?}: {word:?} is no level; give error, warn, info, debug or trace, or \
         info,ig_tracking=debug"
    )]
    Level {
        /// As it was given.
        filter: String,
        /// The part of it that names neither a level nor a target with one.
        word: String,
    },
    /// There is nowhere to write to.
    #[error("the log cannot be written to standard error: {0}; give the process one, /dev/null at least")]
    NoStderr(std::io::Error),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Begins to log. A process begins once; where something else logs already, that stays.
pub fn begin_logs(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter = filter(&settings.log)?;
    let registry = tracing_subscriber::registry().with(filter);
    // A line is one write, which the system keeps whole. Behind the lock of Rust's own stderr threads would wait for each
    // other, and that cost a busy replica more than the lines themselves.
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map_err(TelemetryError::NoStderr)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(Arc::new(File::from(stderr)));
    let begun = match settings.log_format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    // Refused only where a subscriber is there already.
    drop(begun);
    tell_panics(Secrets::default());
    Ok(())
}

/// From now on a panic is one line of the log like any other, under the request or the run that it is of; whoever catches
/// it need not tell it again. Its words may be anything: they are told without these secrets.
pub fn tell_panics(secrets: Secrets) {
    std::panic::set_hook(Box::new(move |panic| {
        let words = secrets.scrub(panic.payload_as_str().unwrap_or("no words"));
        let place = panic.location().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        // A command for a person keeps no log.
        if tracing::dispatcher::has_been_set() {
            tracing::error!(words, place, backtrace, "a panic");
        } else {
            eprintln!("ig-tracking: a fault of this program at {place}: {words}");
        }
    }));
}

/// Reads the filter. A lone word that is no level would be taken for a target, and everything else be silent.
fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let is_level = |word: &&str| word.contains(['=', '[']) || word.parse::<LevelFilter>().is_ok();
    if let Some(word) = text.split(',').map(str::trim).find(|word| !is_level(word)) {
        return Err(TelemetryError::Level { filter: text.to_owned(), word: word.to_owned() });
    }
    // Postgres's notices (a table that is there already) are news to nobody, unless they are asked for.
    EnvFilter::try_new(format!("sqlx::postgres::notice=warn,{text}"))
        .map_err(|error| TelemetryError::Filter { filter: text.to_owned(), error })
}

/// Begins to count, and gives the handle from which `/metrics` prints.
pub fn begin_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("igt_run_duration_seconds".to_owned()), &RUN_SECONDS)?
        .set_buckets_for_metric(Matcher::Full("igt_batch_requests".to_owned()), &REQUESTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    // Refused only where a recorder is there already.
    drop(metrics::set_global_recorder(recorder));
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

    describe_counter!("igt_http_requests_total", "Requests answered, by method, route and status");
    describe_histogram!("igt_http_request_seconds", Unit::Seconds, "Time to answer, by method and route");
    describe_gauge!("igt_runs_active", "Active runs of all replicas, by state");
    describe_gauge!("igt_queue_age_seconds", Unit::Seconds, "How long the longest due run has waited for a hand");
    describe_counter!("igt_runs_finished_total", "Runs that this replica ended, by state and reason");
    describe_counter!("igt_runs_taken_up_total", "Runs that this replica took up, by the state it found them in");
    describe_counter!("igt_leases_lost_total", "Runs that this replica let go of because their lease was lost");
    describe_counter!("igt_run_waits_total", "Back-offs that this replica began, by reason");
    describe_histogram!("igt_run_duration_seconds", Unit::Seconds, "From the first taking up of a run to its end");
    describe_histogram!(
        "igt_batch_requests",
        "Requests done together, by work: status, run, log, changes, start, journal, notify, slot, word"
    );
    describe_histogram!("igt_batch_seconds", Unit::Seconds, "Time that a batch took in the database, by work");
    describe_counter!("igt_events_written_total", "Events that this replica wrote");
    describe_counter!("igt_logs_packed_total", "Logs of ended runs that this replica packed");
    describe_counter!("igt_events_packed_total", "Events in the logs that this replica packed");
    describe_counter!("igt_packed_bytes_total", "Bytes that this replica packed events in");
    describe_counter!("igt_logs_not_packed_total", "Logs that could not be packed and stay as they are");
    describe_counter!(
        "igt_logs_given_up_total",
        "Logs that this replica gave up for good, but for those of whole partitions"
    );
    describe_counter!("igt_partitions_dropped_total", "Partitions that this replica dropped, by table");
    describe_counter!(
        "igt_maintenance_failures_total",
        "How often packing or giving up broke off; it is tried again in an hour"
    );
    describe_counter!("igt_upstream_requests_total", "Requests to Instagram, by source, endpoint and outcome");
    describe_counter!(
        "igt_upstream_changed_total",
        "Answers not read whole, by source and endpoint: Instagram changed"
    );
    describe_histogram!("igt_upstream_request_seconds", Unit::Seconds, "Time of a request to Instagram");
    describe_counter!("igt_slots_total", "Requests that asked for their turn, by source and verdict");
    describe_histogram!("igt_slot_wait_seconds", Unit::Seconds, "How long a request waited for its turn, by source");
    describe_counter!("igt_cooldowns_total", "Cool-downs of credentials that this replica began, by source and reason");
    describe_counter!("igt_credentials_disabled_total", "Credentials that this replica took out, by source and reason");
    describe_gauge!("igt_credentials", "Credentials of all replicas, by source and state");
    describe_counter!("igt_circuit_opened_total", "How often this replica opened a source's circuit");
    describe_gauge!("igt_circuit_open", "1 while nobody asks a source because it failed again and again, else 0");
    describe_gauge!("igt_streams", "Streams of this replica, by kind: log, socket, board");
    describe_counter!("igt_streams_refused_total", "Streams that this replica had no place for");
    describe_gauge!("igt_followed_runs", "Runs that somebody follows on this replica");
    describe_counter!(
        "igt_stream_reads_total",
        "What streams asked of the database, by what: run, log and board for all who follow, page for one that is behind"
    );
    describe_gauge!(
        "igt_board_kept_back_seconds",
        Unit::Seconds,
        "How long the oldest change has waited for an older transaction to end, while somebody follows the board"
    );
    describe_counter!("igt_sign_ins_refused_total", "Keys and sessions that were not taken, by why: wrong, too_many");
    describe_gauge!("igt_database_up", "1 while the database answers, else 0");
    describe_gauge!("igt_listening", "1 while hints of other replicas are heard by LISTEN, else 0: then waiters poll");
    describe_gauge!("igt_database_connections", "Connections of this replica, by state");
}
