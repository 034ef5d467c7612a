//! The service's own journal with many runs that write at once, each waiting for its acknowledgement.
//!
//! Everything is the service's: the pool, the batches, the fenced statement, the hints to other replicas. Only the runs
//! are not worked: each says one thing after another.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ig_tracking::db::journal::{Entry, Level, NewEvent, Transition};
use ig_tracking::db::session::Way;
use ig_tracking::db::{Lease, Line, Pool, RunId};
use ig_tracking::live::Live;
use ig_tracking::runs::Journal;
use ig_tracking::telemetry;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use super::{Failed, words};

/// Connections to the database; as many as the service has by default.
const CONNECTIONS: u32 = 16;

/// How long a statement for a run may take: as long as with the default lease.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lease of runs that a worker took up once.
const LEASE: Lease = Lease(1);

#[derive(Args)]
pub(crate) struct Settings {
    /// The database, with the service's schema
    #[arg(long)]
    database_url: String,
    /// How long to write
    #[arg(long)]
    seconds: u64,
    /// How many runs write
    #[arg(long, default_value_t = 100)]
    runs: i64,
    /// How many events each entry has
    #[arg(long, default_value_t = 1)]
    events: i64,
}

/// Writes, and prints how many events a second were acknowledged.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    // The service counts and times what it writes.
    let _metrics = telemetry::begin_metrics()?;
    let options = PgConnectOptions::from_str(&settings.database_url)?.application_name("ig-tracking");
    let pool = Pool::new(Line::new(options, Way::Direct), CONNECTIONS).patient(PATIENCE);
    let runs = running(&pool, settings.runs).await?;
    let stop = CancellationToken::new();
    let journal = Journal::begin(pool.clone(), Live::start(pool, stop.clone()));

    let began = Instant::now();
    let until = began + Duration::from_secs(settings.seconds);
    let writers: Vec<_> =
        runs.into_iter().map(|run| tokio::spawn(write(journal.clone(), run, settings.events, until))).collect();
    let mut entries = 0;
    for writer in writers {
        entries += writer.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    stop.cancel();
    let events = entries * settings.events;
    println!("{}", json!({"events": events, "entries": entries, "seconds": seconds, "rate": events as f64 / seconds}));
    Ok(())
}

/// Makes so many tasks, each with a run that a worker has in hand.
pub(super) async fn running(pool: &Pool, runs: i64) -> sqlx::Result<Vec<RunId>> {
    sqlx::query_scalar(
        "with task as (
             insert into tasks (task_id, kind, username)
             select 'journal-' || gen_random_uuid(), 'profile', 'bench.journal' from generate_series(1, $1)
             returning task_id
         )
         insert into runs (task_id, kind, username, source, trigger, state, attempt, lease, worker_id, claimable_at,
                           started_at, deadline_at)
         select task_id, 'profile', 'bench.journal', 'auto', 'api', 'running', 1, 1, gen_random_uuid(),
                now() + interval '1 hour', now(), now() + interval '2 hours'
         from task
         returning run_id",
    )
    .bind(runs)
    .fetch_all(pool)
    .await
}

/// Writes one entry after another for a run until the time is over; gives how many.
async fn write(journal: Journal, run_id: RunId, events: i64, until: Instant) -> Result<i64, Failed> {
    let mut entries = 0;
    while Instant::now() < until {
        let entry = entry(run_id, entries * events, events);
        let written = journal.write(Arc::new(entry)).await?;
        written.ok_or("an entry was passed over: its fence did not hold")?;
        entries += 1;
    }
    Ok(entries)
}

pub(super) fn entry(run_id: RunId, after_seq: i64, events: i64) -> Entry {
    let event = |seq| NewEvent {
        level: Level::Info,
        event_type: words::EVENT_TYPE,
        message: words::message(seq),
        fields: words::fields(seq),
    };
    Entry {
        run_id,
        lease: LEASE,
        attempt: 1,
        after_seq,
        after_exchange: 0,
        age_seconds: 0.0,
        events: (after_seq + 1..=after_seq + events).map(event).collect(),
        exchanges: Vec::new(),
        checkpoint: None,
        transition: Transition::Stay,
    }
}
