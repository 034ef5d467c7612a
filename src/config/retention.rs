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
}

impl RetentionSettings {
    /// The same as the maintenance takes it.
    pub fn retention(&self) -> Retention {
        Retention { body_days: i32::from(self.body_retention_days) }
    }
}
