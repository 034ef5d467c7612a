//! How long what is written is kept.

use clap::{Args, value_parser};

use crate::maintenance::Retention;

/// How long what is written is kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Retention")]
pub struct RetentionSettings {
    /// Days after which the kept bodies of answers are removed; their requests stay
    #[arg(long, env = "IGT_BODY_RETENTION_DAYS", value_name = "DAYS", default_value_t = 30,
          value_parser = value_parser!(u16).range(1..=3650))]
    pub body_retention_days: u16,

    /// Days after its end from which on a run's log is packed, about a tenth of the size: nobody who reads it can tell; 0
    /// packs none
    #[arg(long, env = "IGT_ARCHIVE_AFTER_DAYS", value_name = "DAYS", default_value_t = 30,
          value_parser = value_parser!(u16).range(0..=3650))]
    pub archive_after_days: u16,

    /// Days after which the requests that runs made to Instagram are removed, a whole week at a time; 0 keeps them for
    /// ever
    #[arg(long, env = "IGT_EXCHANGE_RETENTION_DAYS", value_name = "DAYS", default_value_t = 90,
          value_parser = value_parser!(u16).range(0..=3650))]
    pub exchange_retention_days: u16,

    /// Days after its end from which on a run's log is given up for good; the run, and what it obtained, stay; 0 keeps logs
    /// for ever
    #[arg(long, env = "IGT_LOG_RETENTION_DAYS", value_name = "DAYS", default_value_t = 0,
          value_parser = value_parser!(u16).range(0..=3650))]
    pub log_retention_days: u16,
}

impl RetentionSettings {
    /// The same as the maintenance takes it.
    pub fn retention(&self) -> Retention {
        let days = |days: u16| (days > 0).then_some(i32::from(days));
        Retention {
            body_days: i32::from(self.body_retention_days),
            archive_after_days: days(self.archive_after_days),
            exchange_days: days(self.exchange_retention_days),
            log_days: days(self.log_retention_days),
        }
    }
}
