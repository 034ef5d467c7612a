//! How the service is reached, and who may use it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, value_parser};

use super::SettingsError;
use crate::http::{Gate, Origins, V1Dates};
use crate::keys::{Attempts, Keys};

/// How the service is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Interface")]
pub struct HttpSettings {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, env = "IGT_BIND", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,

    /// Let whoever shows no key do everything. Without it, that is so only on a loopback address, and until the first key is
    /// made (ig-tracking keys create)
    #[arg(long, env = "IGT_ALLOW_ANONYMOUS", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub allow_anonymous: bool,

    /// Requests a second that a key may make, on average over ten seconds, which may also come at once; each replica counts
    /// for itself. A key can have a limit of its own. 0 counts none
    #[arg(long, env = "IGT_RATE_LIMIT", value_name = "N", default_value_t = 0,
          value_parser = value_parser!(u32).range(0..=100_000))]
    pub rate_limit: u32,

    /// Wrong keys that are looked at in a minute from one client's address; beyond them the answer is 429, while a right key
    /// that was not made in the last second is always taken. 0 counts none
    #[arg(long, env = "IGT_SIGN_IN_FAILURES", value_name = "N", default_value_t = 10,
          value_parser = value_parser!(u32).range(0..=100_000))]
    pub sign_in_failures: u32,

    /// Origins (scheme, host and port) whose web pages may use the service, with commas in between; * for all of them.
    /// Where a key is needed they need one, too; where none is, they may do what anybody may [default: none]
    #[arg(long, env = "IGT_CORS_ORIGINS", value_name = "ORIGINS", value_parser = Origins::parse)]
    pub cors_origins: Option<Origins>,

    /// Requests come by TLS, which something in front takes off: cookies and browsers are told so. Without it, only where
    /// X-Forwarded-Proto says https
    #[arg(long, env = "IGT_BEHIND_TLS", value_name = "BOOL", default_value_t = false, num_args = 0..=1,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub behind_tls: bool,

    /// Seconds in which a client must have sent the head of a request, from its connection or its last answer on, and in
    /// which it must take what it is sent; then it is cut off
    #[arg(long, env = "IGT_HEAD_SECONDS", value_name = "S", default_value_t = 60,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub head_seconds: u64,

    /// MiB of memory in which the last lines of logs are kept that were read, so that they are read once
    #[arg(long, env = "IGT_LOG_CACHE_MB", value_name = "MIB", default_value_t = 64,
          value_parser = value_parser!(u32).range(1..=65_536))]
    pub log_cache_mb: u32,

    /// Streams of this replica at the same time, server-sent events and WebSockets; whoever wants one more is told to
    /// come back. Each is an open file of the process
    #[arg(long, env = "IGT_MAX_STREAMS", value_name = "N", default_value_t = 10_000,
          value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub max_streams: u32,

    /// Announce in a Deprecation header that version 1 is deprecated from this day on, as YYYY-MM-DD
    #[arg(long, env = "IGT_V1_DEPRECATION", value_name = "DATE")]
    pub v1_deprecation: Option<NaiveDate>,

    /// Announce in a Sunset header that version 1 may be gone from this day on, as YYYY-MM-DD
    #[arg(long, env = "IGT_V1_SUNSET", value_name = "DATE")]
    pub v1_sunset: Option<NaiveDate>,
}

impl HttpSettings {
    /// Refuses what clap cannot see.
    pub fn check(&self) -> Result<(), SettingsError> {
        match (self.v1_deprecation, self.v1_sunset) {
            (Some(deprecation), Some(sunset)) if sunset < deprecation => {
                Err(SettingsError::SunsetBeforeDeprecation { sunset, deprecation })
            }
            _ => Ok(()),
        }
    }

    /// Whether only this machine reaches the address.
    pub fn is_loopback(&self) -> bool {
        self.bind.ip().to_canonical().is_loopback()
    }

    /// Refuses to be open to anybody without being told so; `protected`: whether any key was ever made.
    pub fn check_open(&self, protected: bool) -> Result<(), SettingsError> {
        let is_open = !protected && !self.is_loopback() && !self.allow_anonymous;
        if is_open { Err(SettingsError::OpenToAnybody(self.bind)) } else { Ok(()) }
    }

    /// What decides who may.
    pub fn gate(&self, keys: Keys) -> Gate {
        Gate {
            keys,
            attempts: NonZeroU32::new(self.sign_in_failures).map(Attempts::a_minute),
            allow_anonymous: self.allow_anonymous,
            is_loopback: self.is_loopback(),
            origins: self.cors_origins.clone().unwrap_or_default(),
            behind_tls: self.behind_tls,
        }
    }

    /// How long a client may take to send the head of a request.
    pub fn head_within(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    /// The memory for lines of logs in bytes.
    pub fn log_cache_bytes(&self) -> u64 {
        u64::from(self.log_cache_mb) * 1024 * 1024
    }

    /// How many streams there may be.
    pub fn max_streams(&self) -> usize {
        self.max_streams as usize
    }

    /// The announced end of version 1.
    pub fn v1_dates(&self) -> V1Dates {
        V1Dates { deprecation: self.v1_deprecation, sunset: self.v1_sunset }
    }
}
