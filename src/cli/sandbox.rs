//! `sandbox`: the invented Instagram alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, value_parser};
use tokio::net::TcpListener;

use super::Failed;
use super::serve::heed_signals;
use crate::sandbox;

/// How the invented Instagram behaves.
#[derive(Args)]
#[command(next_help_heading = "Invented Instagram")]
pub(super) struct SandboxSettings {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "IGT_SANDBOX_BIND", value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    bind: SocketAddr,
    /// Answer by TLS and HTTP/2, as Instagram does; the certificate of the authority that vouches for it goes into this file, for
    /// SSL_CERT_FILE
    #[arg(long, env = "IGT_SANDBOX_TLS_AUTHORITY", value_name = "FILE")]
    tls_authority: Option<PathBuf>,
    /// How its world is made and how fast it answers.
    #[command(flatten)]
    pub(super) world: WorldSettings,
}

/// The invented world.
#[derive(Args, Clone)]
#[command(next_help_heading = "Invented Instagram")]
pub(super) struct WorldSettings {
    /// Milliseconds that each answer takes, give or take 30 %; 0 answers at once
    #[arg(long, env = "IGT_SANDBOX_DELAY_MS", value_name = "MS", default_value_t = 400,
          value_parser = value_parser!(u64).range(0..=60_000))]
    pub(super) delay_ms: u64,
    /// Which world it is: the same seed has the same accounts, posts and numbers
    #[arg(long, env = "IGT_SANDBOX_SEED", value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

impl WorldSettings {
    /// The same as the sandbox takes it.
    pub(super) fn options(&self) -> sandbox::Options {
        sandbox::Options { delay: Duration::from_millis(self.delay_ms), seed: self.seed, ..sandbox::Options::default() }
    }
}

/// Serves it until SIGTERM or Ctrl-C.
pub(super) async fn sandbox(settings: &SandboxSettings) -> Result<ExitCode, Failed> {
    let stop = heed_signals()?;
    let listener = TcpListener::bind(settings.bind).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another IGT_SANDBOX_BIND (--bind)", settings.bind)
    })?;
    let (address, options, stop) = (listener.local_addr()?, settings.world.options(), stop.cancelled_owned());
    match &settings.tls_authority {
        None => {
            tracing::info!(address = %format_args!("http://{address}"), "sandbox listening; set IGT_WEB_URL to this address");
            sandbox::serve(listener, options, stop).await?;
        }
        Some(file) => {
            let identity = sandbox::Identity::new()?;
            std::fs::write(file, identity.authority()).map_err(|error| {
                let file = file.display();
                format!("{file} cannot be written: {error}; choose another IGT_SANDBOX_TLS_AUTHORITY (--tls-authority)")
            })?;
            tracing::info!(
                address = %format_args!("https://{address}"),
                authority = %file.display(),
                "sandbox listening; set IGT_WEB_URL to this address, and SSL_CERT_FILE to this authority"
            );
            sandbox::serve_by_tls(listener, identity, options, stop).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The faults, for `--help`.
pub(super) fn fault_help() -> String {
    let rows = sandbox::names().iter().map(|fault| {
        let name = match fault.number {
            Some(_) => format!("{}[.N].…", fault.name),
            None => format!("{}.…", fault.name),
        };
        let number = match (fault.number, fault.default_number) {
            (Some(meaning), Some(default)) => format!(" (N: {meaning}; {default})"),
            _ => String::new(),
        };
        format!("  {name:<24} {}{number}\n", fault.about)
    });
    format!(
        "Any plain username exists. A username that begins with one of these words meets its fault, as missing.anna:\n\n\
         {}\nFaults can also be set on any account: see GET /sandbox/faults and PUT /sandbox/faults/<username>.",
        rows.collect::<String>()
    )
}
