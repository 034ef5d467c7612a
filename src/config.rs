//! Every setting: its flag, its environment variable, its default, and what it is for.
//!
//! A setting that makes no sense is refused at start, by name; an empty variable counts as one that is not set.
//! `.env.example` lists them all; a test keeps it so.

mod http;
mod pipeline;
mod retention;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, ValueEnum, value_parser};
use secrecy::SecretString;

use crate::credentials::{Credentials, CredentialsError, Origin, PaceSettings};
use crate::db::slots::Breaker;
use crate::instagram::is_on_this_machine;
use crate::instagram::web::{THROTTLE, WebConfig};
use crate::pacing::Terms;
use crate::runs::Policy;

pub use http::HttpSettings;
pub use pipeline::{CourseSettings, DocumentSettings, PipelineSettings};
pub use retention::RetentionSettings;

/// Which database.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Postgres 14 to 18, as postgres://user:password@host/database; without it a private server is started under the
    /// data directory
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret, global = true)]
    pub database_url: Option<SecretString>,

    /// Where the private Postgres keeps its data [default: /var/lib/ig-tracking as root, else
    /// ~/.local/share/ig-tracking]
    #[arg(long, env = "IGT_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// Connections to the database, at most
    #[arg(long, env = "IGT_DB_CONNECTIONS", value_name = "N", default_value_t = 16, global = true,
          value_parser = value_parser!(u32).range(2..=1000))]
    pub db_connections: u32,

    /// What stands between here and the database: none, or a pooler that gives each transaction another server
    /// connection (PgBouncer with pool_mode=transaction). Then nothing is prepared or listened for on a connection: a
    /// statement costs some trips more, and what would be a hint is found by polling
    #[arg(long, env = "IGT_DB_POOLER", value_name = "KIND", default_value = "none", global = true)]
    pub db_pooler: Pooler,
}

/// What stands between the service and its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pooler {
    /// Nothing, or what gives each client a server connection of its own.
    None,
    /// A pooler that gives each transaction another server connection.
    Transaction,
}

/// How runs are worked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Runs")]
pub struct RunSettings {
    /// Hands of this replica: runs worked at the same time; with 0 it only answers
    #[arg(long, env = "IGT_CONCURRENCY", value_name = "N", default_value_t = 8,
          value_parser = value_parser!(u16).range(0..=20_000))]
    pub concurrency: u16,

    /// Seconds that a claim on a run holds without a heartbeat: how long a dead replica's runs wait for another
    #[arg(long, env = "IGT_LEASE_SECONDS", value_name = "S", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub lease_seconds: u64,

    /// Seconds that runs in hand may take to finish at shutdown before they are handed over
    #[arg(long, env = "IGT_GRACE_SECONDS", value_name = "S", default_value_t = 20,
          value_parser = value_parser!(u64).range(0..=3600))]
    pub grace_seconds: u64,

    /// Seconds that a run may take, waits included, before it is ended as deadline_exceeded
    #[arg(long, env = "IGT_RUN_DEADLINE_SECONDS", value_name = "S", default_value_t = 7200,
          value_parser = value_parser!(u64).range(1..=604_800))]
    pub run_deadline_seconds: u64,

    /// Milliseconds of the first back-off after a passing failure; it doubles with each attempt, up to five minutes
    #[arg(long, env = "IGT_RETRY_BASE_MS", value_name = "MS", default_value_t = 2000,
          value_parser = value_parser!(u64).range(1..=300_000))]
    pub retry_base_ms: u64,

    /// Milliseconds after which a hand looks for a due run, or whether its run was cancelled, when nothing tells it
    #[arg(long, env = "IGT_POLL_MS", value_name = "MS", default_value_t = 1000,
          value_parser = value_parser!(u64).range(10..=60_000))]
    pub poll_ms: u64,

    /// How many events a run may write; beyond them its progress is counted and not told
    #[arg(long, env = "IGT_MAX_EVENTS", value_name = "N", default_value_t = 10_000,
          value_parser = value_parser!(u32).range(20..=1_000_000))]
    pub max_events: u32,

    /// How much a run reads, and how often it may try.
    #[command(flatten)]
    pub pipeline: PipelineSettings,
}

/// Where Instagram is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Instagram")]
pub struct SourceSettings {
    /// Base address of the web source
    #[arg(long, env = "IGT_WEB_URL", value_name = "URL", default_value = "https://www.instagram.com")]
    pub web_url: String,

    /// The Cookie header of a signed-in browser (sessionid=…; csrftoken=…); without it the web source is asked as a
    /// guest
    #[arg(long, env = "IGT_WEB_COOKIE", value_name = "COOKIE", hide_env_values = true, value_parser = secret)]
    pub web_cookie: Option<SecretString>,

    /// The User-Agent of that browser [default: a current desktop browser's]
    #[arg(long, env = "IGT_WEB_USER_AGENT", value_name = "TEXT")]
    pub web_user_agent: Option<String>,

    /// Seconds that one request to Instagram may take
    #[arg(long, env = "IGT_WEB_TIMEOUT_SECONDS", value_name = "S", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=600))]
    pub web_timeout_seconds: u64,

    /// Seconds to wait when a source throttles without saying for how long, and when the web source does at least,
    /// whatever it says [default: 660, in the demo 2; where IGT_WEB_URL is this machine, that source is taken at its
    /// word]
    #[arg(long, env = "IGT_THROTTLE_SECONDS", value_name = "S", value_parser = value_parser!(u64).range(1..=86_400))]
    pub throttle_seconds: Option<u64>,

    /// The file of credentials: sessions of the web source and tokens of the official one, each with a proxy and a pace
    /// of its own; see credentials.example.toml. It is read at the start
    #[arg(long, env = "IGT_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Milliseconds between two requests of the credential cookie or guest, at least [default: 6000 with the cookie,
    /// 10000 as a guest, 0 where IGT_WEB_URL is this machine]
    #[arg(long, env = "IGT_WEB_GAP_MS", value_name = "MS", value_parser = value_parser!(u32).range(0..=3_600_000))]
    pub web_gap_ms: Option<u32>,

    /// Milliseconds that chance adds to that, at most [default: as much again]
    #[arg(long, env = "IGT_WEB_JITTER_MS", value_name = "MS", value_parser = value_parser!(u32).range(0..=3_600_000))]
    pub web_jitter_ms: Option<u32>,

    /// Requests of that credential in any window, at most; 0 counts none [default: 75 with the cookie, 30 as a guest, 0
    /// where IGT_WEB_URL is this machine]
    #[arg(long, env = "IGT_WEB_BUDGET", value_name = "N", value_parser = value_parser!(u32).range(0..=10_000))]
    pub web_budget: Option<u32>,

    /// Seconds of that window [default: 660]
    #[arg(long, env = "IGT_WEB_WINDOW_SECONDS", value_name = "S", value_parser = value_parser!(u32).range(1..=604_800))]
    pub web_window_seconds: Option<u32>,

    /// Failures in a row, over all credentials and at least three runs, after which a source is left alone for a while
    #[arg(long, env = "IGT_BREAKER_FAILURES", value_name = "N", default_value_t = 10,
          value_parser = value_parser!(u16).range(1..=10_000))]
    pub breaker_failures: u16,

    /// Seconds of that while; then one request is let through, and each time that it fails it is twice as long, up to
    /// fifteen minutes
    #[arg(long, env = "IGT_BREAKER_SECONDS", value_name = "S", default_value_t = 30,
          value_parser = value_parser!(u16).range(1..=900))]
    pub breaker_seconds: u16,

    /// Base address of the official source (Graph API), which is asked with the tokens of IGT_CREDENTIALS
    #[arg(long, env = "IGT_GRAPH_URL", value_name = "URL", default_value = "https://graph.facebook.com",
          value_parser = http_url)]
    pub graph_url: String,

    /// Which documents are asked for.
    #[command(flatten)]
    pub documents: DocumentSettings,
}

/// What the process says of itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// What to log: a level (error, warn, info, debug, trace) or directives such as info,ig_tracking=debug; the demo
    /// logs warn where nothing is set
    #[arg(long, env = "IGT_LOG", value_name = "FILTER", default_value = "info", global = true)]
    pub log: String,

    /// Lines for a person, or a JSON object a line
    #[arg(long, env = "IGT_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// Everything that `serve` needs.
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// How the service is reached.
    #[command(flatten)]
    pub http: HttpSettings,
    /// How runs are worked.
    #[command(flatten)]
    pub runs: RunSettings,
    /// How long what is written is kept.
    #[command(flatten)]
    pub retention: RetentionSettings,
    /// Where Instagram is.
    #[command(flatten)]
    pub source: SourceSettings,
}

/// A setting that cannot stand beside another.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Open to anybody without being told so.
    #[error(
        "IGT_BIND (--bind) is {0}, which others can reach, and no key protects the service; make one with `ig-tracking \
         keys create --name me --scope admin`, or bind to a loopback address such as 127.0.0.1:8080, or set \
         IGT_ALLOW_ANONYMOUS=true (--allow-anonymous) if something in front of it decides who may"
    )]
    OpenToAnybody(SocketAddr),
    /// The end before the beginning of the end.
    #[error("IGT_V1_SUNSET is {sunset}, before IGT_V1_DEPRECATION, {deprecation}; set a later sunset")]
    SunsetBeforeDeprecation {
        /// The day of the sunset.
        sunset: NaiveDate,
        /// The day of the deprecation.
        deprecation: NaiveDate,
    },
    /// The sources and their credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl ServeSettings {
    /// Refuses what clap cannot see.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.http.check()?;
        self.source.credentials()?;
        Ok(())
    }
}

impl RunSettings {
    /// The same as durations, with how long a run waits that is throttled.
    pub fn policy(&self, throttle_cooldown: Duration) -> Policy {
        Policy {
            concurrency: usize::from(self.concurrency),
            lease: Duration::from_secs(self.lease_seconds),
            deadline: Duration::from_secs(self.run_deadline_seconds),
            max_attempts: i32::from(self.pipeline.max_attempts),
            retry_base: Duration::from_millis(self.retry_base_ms),
            throttle_cooldown,
            poll: Duration::from_millis(self.poll_ms),
            max_posts: usize::from(self.pipeline.max_posts),
            refreshed_posts: usize::from(self.pipeline.refresh_posts),
            full_scan_every: usize::from(self.pipeline.full_scan_every),
            max_events: i64::from(self.max_events),
        }
    }

    /// How long runs in hand may take to finish at shutdown.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

impl SourceSettings {
    /// The credentials that the sources are asked with, checked.
    pub fn credentials(&self) -> Result<Credentials, SettingsError> {
        let pace = PaceSettings {
            gap_ms: self.web_gap_ms,
            jitter_ms: self.web_jitter_ms,
            budget: self.web_budget,
            window_seconds: self.web_window_seconds,
        };
        let (file, graph_url) = (self.credentials.clone(), self.graph_url.clone());
        Ok(Credentials::gather(&Origin { file, web: self.web(), graph_url, pace })?)
    }

    /// How long a throttle lasts where the source does not say.
    pub fn cooldown(&self) -> Duration {
        self.throttle_seconds.map_or(THROTTLE, Duration::from_secs)
    }

    /// How long a throttle of the web source lasts at least. One on this machine is an invented one, which nobody has to
    /// spare.
    fn least_throttle(&self) -> Duration {
        let unset = if is_on_this_machine(&self.web_url) { Duration::ZERO } else { THROTTLE };
        self.throttle_seconds.map_or(unset, Duration::from_secs)
    }

    /// What holds for all credentials.
    pub fn terms(&self) -> Terms {
        let (failures, seconds) = (i32::from(self.breaker_failures), f64::from(self.breaker_seconds));
        Terms { cooldown: self.cooldown(), breaker: Breaker { failures, seconds } }
    }

    /// The web source's settings.
    pub fn web(&self) -> WebConfig {
        let defaults = WebConfig::default();
        WebConfig {
            base_url: self.web_url.clone(),
            cookie: self.web_cookie.clone(),
            user_agent: self.web_user_agent.clone().unwrap_or(defaults.user_agent),
            timeout: Duration::from_secs(self.web_timeout_seconds),
            least_throttle: self.least_throttle(),
            doc_ids: self.documents.web_doc_ids.clone().unwrap_or_default(),
            ..defaults
        }
    }
}

/// An empty flag, that is: an empty variable is never read.
fn secret(text: &str) -> Result<SecretString, String> {
    if text.trim().is_empty() { Err("is empty; leave it unset instead".to_owned()) } else { Ok(text.into()) }
}

fn http_url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("is not an address; give one that begins with https:// or http://".to_owned()),
    }
}
