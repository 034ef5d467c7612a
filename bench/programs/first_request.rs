//! From the answer of `force_scrape` to the run's first request to its upstream, on one clock: this process is both the
//! client that reads the answer and the upstream that is asked.
//!
//! The upstream knows no account (404), so that a run ends after two requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Failed;
use super::http::{Connection, V1};

/// How long to wait for a request that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a run has to end before the next is started.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct Settings {
    /// The service's host and port
    #[arg(long)]
    service: String,
    /// Where to listen as its upstream
    #[arg(long)]
    listen: SocketAddr,
    /// The tasks `first-1`, `first-2` … of the accounts `first.1`, `first.2` …: how many
    #[arg(long, default_value_t = 500)]
    tasks: usize,
}

/// When each account was first asked for, and whoever wants to know.
#[derive(Clone)]
struct Arrivals {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    news: mpsc::UnboundedSender<(String, Instant)>,
}

/// Starts the runs and prints the times.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let (news, mut arrivals) = mpsc::unbounded_channel();
    let upstream = Router::new().fallback(not_found).with_state(Arrivals { seen: Arc::default(), news });
    let listener = TcpListener::bind(settings.listen).await?;
    tokio::spawn(async move { axum::serve(listener, upstream).await });

    let mut service = Connection::open(&settings.service).await?;
    let mut times = Vec::with_capacity(settings.tasks);
    for n in 1..=settings.tasks {
        let status = service.post(&format!("{V1}/force_scrape/first-{n}")).await?;
        let answered = Instant::now();
        if status != 200 {
            return Err(format!("force_scrape/first-{n} was answered {status}").into());
        }
        let arrived = arrival(&mut arrivals, &format!("first.{n}")).await?;
        times.push(milliseconds(answered, arrived));
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{}",
        json!({"count": times.len(), "p50_ms": at(50), "p90_ms": at(90), "p99_ms": at(99), "max_ms": at(100)})
    );
    Ok(())
}

/// Waits for the first request for an account.
async fn arrival(arrivals: &mut mpsc::UnboundedReceiver<(String, Instant)>, username: &str) -> Result<Instant, Failed> {
    let found = async {
        while let Some((name, at)) = arrivals.recv().await {
            if name == username {
                return Some(at);
            }
        }
        None
    };
    let found = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
    found.ok_or_else(|| format!("no request for {username} came within {PATIENCE:?}").into())
}

/// Below zero where the request came before the answer.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(later) => later.as_secs_f64() * 1000.0,
        None => -(from - to).as_secs_f64() * 1000.0,
    }
}

/// Notes whose account is asked for, and that nobody has it.
async fn not_found(State(arrivals): State<Arrivals>, uri: Uri) -> (StatusCode, &'static str) {
    let now = Instant::now();
    let username = match uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("username=")))
    {
        Some(named) => named.to_owned(),
        None => uri.path().trim_matches('/').to_owned(),
    };
    let mut seen = arrivals.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.insert(username.clone(), now).is_none() {
        // Nobody listens any more once the last time is taken.
        let _ = arrivals.news.send((username, now));
    }
    (StatusCode::NOT_FOUND, "no such account\n")
}
