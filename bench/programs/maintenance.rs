//! Steps of the maintenance, done for all that there is to do, without their pauses.

use std::str::FromStr as _;
use std::time::Instant;

use clap::Args;
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool};
use ig_tracking::maintenance::{roll_up_all, summarise_all};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::Failed;

#[derive(Args)]
pub(crate) struct Settings {
    /// The database, with the service's schema
    #[arg(long)]
    database_url: String,
}

/// Writes the summaries of all runs that have ended, and prints how many runs a second were summarised.
pub(crate) async fn summaries(settings: Settings) -> Result<(), Failed> {
    measure(settings, "runs", summarise_all).await
}

/// Counts the posts and reels of all accounts that are marked, and prints how many accounts a second were.
pub(crate) async fn rollups(settings: Settings) -> Result<(), Failed> {
    measure(settings, "accounts", roll_up_all).await
}

async fn measure(
    settings: Settings,
    of: &str,
    step: impl AsyncFnOnce(&Pool) -> sqlx::Result<u64>,
) -> Result<(), Failed> {
    let options = PgConnectOptions::from_str(&settings.database_url)?.application_name("ig-tracking");
    let pool = Pool::new(Line::new(options, Way::Direct), 2);
    let began = Instant::now();
    let done = step(&pool).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({of: done, "seconds": seconds, "rate": done as f64 / seconds}));
    Ok(())
}
