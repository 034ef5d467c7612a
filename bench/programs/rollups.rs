//! The posts and reels of all accounts, counted as the maintenance step counts them, without its pauses.

use std::str::FromStr as _;
use std::time::Instant;

use clap::Args;
use ig_tracking::db::session::Way;
use ig_tracking::db::{Line, Pool};
use ig_tracking::maintenance::roll_up_all;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use super::Failed;

#[derive(Args)]
pub(crate) struct Settings {
    /// The database, with the service's schema
    #[arg(long)]
    database_url: String,
}

/// Counts those that are marked, and prints how many accounts a second were.
pub(crate) async fn measure(settings: Settings) -> Result<(), Failed> {
    let options = PgConnectOptions::from_str(&settings.database_url)?.application_name("ig-tracking");
    let pool = Pool::new(Line::new(options, Way::Direct), 2);
    let began = Instant::now();
    let accounts = roll_up_all(&pool).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({"accounts": accounts, "seconds": seconds, "rate": accounts as f64 / seconds}));
    Ok(())
}
