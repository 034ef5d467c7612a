//! `serve` and `healthcheck`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::config::{DatabaseSettings, ServeSettings};
use crate::postgres::Database;
use crate::service::Service;
use crate::telemetry;

/// Runs the service until SIGTERM or Ctrl-C; a second one ends it at once.
pub(super) async fn serve(settings: &ServeSettings, database: &DatabaseSettings) -> Result<ExitCode, Failed> {
    // What cannot stand is refused before a database is started for it.
    settings.http.check()?;
    let credentials = settings.source.credentials()?;
    telemetry::tell_panics(credentials.sources().secrets());
    let stop = heed_signals()?;
    let metrics = telemetry::begin_metrics()?;
    let start = async {
        let database = Arc::new(Database::connect(database).await?);
        Ok::<_, Failed>(Service::start(settings, &credentials, database, metrics).await?)
    };
    let Some(service) = stop.run_until_cancelled(start).await else {
        tracing::info!("told to stop before it had started");
        return Ok(ExitCode::SUCCESS);
    };
    service?.run_until(stop.cancelled()).await;
    Ok(ExitCode::SUCCESS)
}

/// A token that the first SIGTERM or SIGINT cancels. The second ends the process at once: nothing is lost by it,
/// another replica claims what was in hand.
pub(super) fn heed_signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        told.cancel();
        next().await;
        tracing::warn!("a second signal: ending at once");
        std::process::exit(1);
    });
    Ok(stop)
}

/// Which service to ask.
#[derive(Args)]
pub(super) struct HealthcheckSettings {
    /// The service's address; an address that means all interfaces is asked on loopback
    #[arg(long, env = "IGT_BIND", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    bind: SocketAddr,
}

/// How long the service may take to say that it is ready.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `/readyz`: 0 when the service is ready, else 1 and the reason.
pub(super) async fn healthcheck(settings: &HealthcheckSettings) -> Result<ExitCode, Failed> {
    let mut address = settings.bind;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let answer = tokio::time::timeout(HEALTHCHECK_TIMEOUT, ask(address))
        .await
        .map_err(|_| format!("{address} did not answer in time"))?
        .map_err(|error| format!("{address}: {error}"))?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 200 ") {
        println!("ready");
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("not ready: {status}").into())
}

/// One request of one line needs no HTTP client.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
