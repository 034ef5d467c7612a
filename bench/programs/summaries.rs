//! The summaries of all runs that have ended, as the maintenance step writes them, without its pauses.

use std::str::FromStr as _;
use std::time::Instant;

use clap::Args;
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool};
use ig_tracking::maintenance::summarise_all;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::Failed;

#[derive(Args)]
pub(crate) struct Settings {
    /// The database, with the service's schema
    #[arg(long)]
    database_url: String,
}

/// Writes them, and prints how many runs a second were summarised.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let options = PgConnectOptions::from_str(&settings.database_url)?.application_name("ig-tracking");
    let pool = Pool::new(Line::new(options, Way::Direct), 2);
    let began = Instant::now();
    let runs = summarise_all(&pool).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({"runs": runs, "seconds": seconds, "rate": runs as f64 / seconds}));
    Ok(())
}
