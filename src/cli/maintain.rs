//! `maintain`: what the service does for its tables by itself, by hand and to the end.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Failed;
use super::runs::{open, say};
use crate::config::{DatabaseSettings, RetentionSettings};
use crate::db::Pool;
use crate::db::packing::Packed;
use crate::maintenance::{self, Planned, Retention};

/// How long a statement may take that only counts.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is done, and how long what is written is kept.
#[derive(Args)]
pub(super) struct MaintainSettings {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    retention: RetentionSettings,
}

/// Does what was asked.
pub(super) async fn maintain(settings: &MaintainSettings, database: &DatabaseSettings) -> Result<ExitCode, Failed> {
    let database = open(database).await?;
    let retention = settings.retention.retention();
    let done = match settings.dry_run {
        true => plan(&database.pool, retention).await,
        false => work(&database.pool, retention).await,
    };
    database.close().await;
    done
}

async fn work(pool: &Pool, retention: Retention) -> Result<ExitCode, Failed> {
    let made = maintenance::ensure_partitions(pool).await?;
    say(&format!("{made} partitions made ahead"))?;
    let summarised = maintenance::summarise_all(pool).await?;
    say(&format!("{summarised} runs summed up"))?;
    let accounts = maintenance::roll_up_all(pool).await?;
    say(&format!("{accounts} accounts rolled up"))?;
    let captions = maintenance::read_captions(pool).await?;
    say(&format!("{captions} captions of earlier versions read for their tags"))?;
    let removed = maintenance::remove_all(pool, retention, Duration::ZERO).await?;
    say(&format!("{} kept bodies and {} idempotency keys removed", removed.bodies, removed.keys))?;
    let maintenance::Tended { packed, expired } = maintenance::tend_logs(pool, retention, Duration::ZERO).await?;
    say(&format!(
        "{} logs and the requests of {} runs given up one by one, {} partitions dropped with what was in them",
        expired.logs, expired.asked, expired.weeks
    ))?;
    let Packed { runs, events, bytes, failed } = packed;
    let each = bytes.checked_div(events).unwrap_or_default();
    say(&format!("{runs} logs packed: {events} events in {bytes} bytes, {each} bytes an event"))?;
    say(&format!("{} empty partitions dropped", expired.empty))?;
    for (number, what) in [
        (
            expired.kept.unsigned_abs(),
            "runs whose time is over were left: they have not ended, or are not summed up yet",
        ),
        (expired.busy, "partitions were left: somebody was reading them; try again"),
    ] {
        if number > 0 {
            say(&format!("{number} {what}"))?;
        }
    }
    if failed > 0 {
        return Err(format!("{failed} logs could not be packed and stay as they are; the lines above say why").into());
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(pool: &Pool, retention: Retention) -> Result<ExitCode, Failed> {
    let planned = maintenance::plan(&pool.patient(PATIENCE), retention).await?;
    let Planned { accounts, bodies, keys, logs, asked, partitions, packed_runs, packed_events } = &planned;
    say(&format!("{accounts} accounts would be rolled up"))?;
    say(&format!("{bodies} kept bodies and {keys} idempotency keys would be removed"))?;
    say(&format!("{logs} logs and the requests of {asked} runs would be given up one by one"))?;
    for partition in partitions {
        say(&format!("{partition} would be dropped"))?;
    }
    say(&format!("{packed_runs} logs would be packed: {packed_events} events"))?;
    Ok(ExitCode::SUCCESS)
}
