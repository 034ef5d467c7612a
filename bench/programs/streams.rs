//! Viewers of one run as server-sent events: how long after its commit an event is with the last of them, what it costs
//! the database, and what a viewer costs in memory.
//!
//! The writer is this process, which is to the service what another replica is: it has to be told by NOTIFY. With
//! `--scrape` it is the service itself, which scrapes a task; then the time counts from when the event happened, its
//! commit included.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool, RunId};
use ig_tracking::live::Live;
use ig_tracking::runs::Journal;
use ig_tracking::telemetry;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::http::{Connection, V1};
use super::{Failed, journal};

/// How long all may take to have an event, or to be connected.
const PATIENCE: Duration = Duration::from_secs(60);

/// Viewers that connect at the same time.
const AT_A_TIME: usize = 64;

/// The pause between an event that all have and the next: all is at rest again.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(crate) struct Settings {
    /// The service's host and port
    #[arg(long)]
    service: String,
    /// The service's process
    #[arg(long)]
    pid: u32,
    /// The service's database
    #[arg(long)]
    database_url: String,
    /// How many follow the run
    #[arg(long, default_value_t = 5000)]
    viewers: usize,
    /// How many events are told
    #[arg(long, default_value_t = 200)]
    events: usize,
    /// Follow a scrape of this task instead, alone
    #[arg(long)]
    scrape: Option<String>,
}

/// Measures, and prints what it found.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let _metrics = telemetry::begin_metrics()?;
    let options = PgConnectOptions::from_str(&settings.database_url)?.application_name("ig-tracking");
    let pool = Pool::new(Line::new(options, Way::Direct), 4);
    let found = match &settings.scrape {
        Some(task) => follow_scrape(&settings, &pool, task).await?,
        None => follow_writer(&settings, pool).await?,
    };
    println!("{found}");
    Ok(())
}

/// All viewers of a run that this process writes.
async fn follow_writer(settings: &Settings, pool: Pool) -> Result<Value, Failed> {
    let run_id = journal::running(&pool, 1).await?.remove(0);
    let stop = CancellationToken::new();
    let writer = Journal::begin(pool.clone(), Live::start(pool, stop.clone()));
    write(&writer, run_id, 0).await?;

    let memory_before = memory_kib(settings.pid)?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let seen: Arc<[AtomicUsize]> = (0..=settings.events + 1).map(|_| AtomicUsize::new(0)).collect();
    let mut viewers = Vec::with_capacity(settings.viewers);
    for first in (0..settings.viewers).step_by(AT_A_TIME) {
        let connecting = (first..settings.viewers.min(first + AT_A_TIME)).map(|_| connect(&settings.service, run_id));
        for stream in futures_util::future::try_join_all(connecting).await? {
            let (seen, tell) = (Arc::clone(&seen), tell.clone());
            let all = settings.viewers;
            viewers.push(tokio::spawn(async move {
                let mut stream = stream;
                while let Ok(Some((seq, _))) = stream.next().await {
                    if seen.get(seq).is_some_and(|seen| seen.fetch_add(1, Ordering::AcqRel) + 1 == all) {
                        // Nobody listens any more once the last time is taken.
                        let _ = tell.send((seq, Instant::now()));
                    }
                }
            }));
        }
    }
    all_have(&mut told, 1).await?;
    let memory = memory_kib(settings.pid)?.saturating_sub(memory_before);

    let reads_before = reads(&settings.service).await?;
    let mut last = Vec::new();
    for seq in 1..=settings.events {
        tokio::time::sleep(PAUSE).await;
        write(&writer, run_id, seq as i64).await?;
        let committed = Instant::now();
        let arrived = all_have(&mut told, seq + 1).await?;
        last.push(milliseconds(committed, arrived));
    }
    let reads_after = reads(&settings.service).await?;
    let memory_told = memory_kib(settings.pid)?.saturating_sub(memory_before);
    stop.cancel();

    viewers.iter().for_each(JoinHandle::abort);
    let a_commit = |of: usize| (reads_after[of] - reads_before[of]) / settings.events as f64;
    Ok(json!({
        "viewers": settings.viewers, "events": settings.events,
        "last_p50_ms": at(&mut last, 50), "last_p99_ms": at(&mut last, 99), "last_max_ms": at(&mut last, 100),
        "reads_a_commit": a_commit(0), "pages_a_commit": a_commit(1),
        "kib_a_viewer": memory as f64 / settings.viewers as f64,
        "kib_a_viewer_told": memory_told as f64 / settings.viewers as f64,
    }))
}

/// One viewer of a run that the service itself writes.
async fn follow_scrape(settings: &Settings, pool: &Pool, task: &str) -> Result<Value, Failed> {
    let mut service = Connection::open(&settings.service).await?;
    let status = service.post(&format!("{V1}/force_scrape/{task}")).await?;
    if status != 200 {
        return Err(format!("force_scrape/{task} was answered {status}").into());
    }
    let query = "select run_id from runs where task_id = $1 order by run_id desc limit 1";
    let run_id: RunId = sqlx::query_scalar(query).bind(task).fetch_one(pool).await?;
    let mut stream = connect(&settings.service, run_id).await?;
    let mut times = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some((_, at)) = stream.next().await? {
            times.push(now_micros().saturating_sub(at) as f64 / 1000.0);
        }
        Ok::<_, Failed>(())
    });
    ended.await.map_err(|_| format!("the run did not end within {PATIENCE:?}"))??;
    // The first ones were there before anybody followed.
    let mut times = times.split_off(times.len().min(5));
    if times.is_empty() {
        return Err("the run had too few events".into());
    }
    let (p50, p99) = (at(&mut times, 50), at(&mut times, 99));
    Ok(json!({"events": times.len(), "p50_ms": p50, "p99_ms": p99, "max_ms": at(&mut times, 100)}))
}

/// The writer's clock is the database's, which is this machine's.
#[expect(clippy::disallowed_methods, reason = "an event's time has to be compared with this moment")]
fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// A viewer's connection.
struct Viewer(BufReader<TcpStream>);

/// Asks for a run's log, and waits until its first frame is there.
async fn connect(service: &str, run_id: RunId) -> Result<Viewer, Failed> {
    let mut stream = TcpStream::connect(service).await?;
    let request = format!("GET /api/v2/runs/{run_id}/events/stream HTTP/1.1\r\nHost: {service}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Small, since it has to be no part of what is measured.
    let mut viewer = Viewer(BufReader::with_capacity(1024, stream));
    let status = viewer.line().await?.ok_or("no answer")?;
    if !status.contains(" 200 ") {
        return Err(format!("a stream was answered {status}").into());
    }
    while viewer.line().await?.is_some_and(|line| !line.is_empty()) {}
    Ok(viewer)
}

impl Viewer {
    /// The next message's seq, and its time in microseconds; `None` at the end.
    async fn next(&mut self) -> Result<Option<(usize, i64)>, Failed> {
        let mut seq = None;
        while let Some(line) = self.line().await? {
            if line == "event: end" {
                return Ok(None);
            }
            if let Some(id) = line.strip_prefix("id: ") {
                seq = Some(id.parse()?);
            }
            if let (Some(data), Some(seq)) = (line.strip_prefix("data: "), seq) {
                let at = data.split_once(r#""at":""#).and_then(|(_, rest)| rest.split_once('"'));
                let at = at.ok_or("an event without a time")?.0;
                return Ok(Some((seq, chrono::DateTime::parse_from_rfc3339(at)?.timestamp_micros())));
            }
        }
        Ok(None)
    }

    /// A line without its end. The sizes between the chunks of the answer are lines as well, and look like nothing here.
    async fn line(&mut self) -> Result<Option<String>, Failed> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        line.truncate(line.trim_end().len());
        Ok(Some(line))
    }
}

async fn write(writer: &Journal, run_id: RunId, after_seq: i64) -> Result<(), Failed> {
    let written = writer.write(Arc::new(journal::entry(run_id, after_seq, 1))).await?;
    written.ok_or("an entry was passed over: its fence did not hold")?;
    Ok(())
}

/// Waits until the last viewer has an event, and says when that was.
async fn all_have(told: &mut mpsc::UnboundedReceiver<(usize, Instant)>, seq: usize) -> Result<Instant, Failed> {
    let found = async {
        while let Some((told, at)) = told.recv().await {
            if told == seq {
                return Some(at);
            }
        }
        None
    };
    let found = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
    found.ok_or_else(|| format!("not all viewers had event {seq} within {PATIENCE:?}").into())
}

/// How often the service's streams have asked the database: for all that follow, and for one that is behind.
async fn reads(service: &str) -> Result<[f64; 2], Failed> {
    let mut stream = TcpStream::connect(service).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let value = |of: &str| -> f64 {
        let name = format!("igt_stream_reads_total{{of=\"{of}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
    };
    Ok([value("run") + value("log"), value("page")])
}

/// Resident memory of a process.
fn memory_kib(pid: u32) -> Result<u64, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}

fn at(times: &mut [f64], share: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * share / 100]
}
