//! The process that outlives all users of the server and then stops it.
//!
//! It waits for the lock that every user shares. The kernel grants it when the last of them has gone, were they killed
//! outright; until the server has stopped, the watchdog keeps it, and newcomers wait.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::folder::{Folder, remove_if_there};
use super::locks::GLANCE;
use super::{Error, PATIENCE, locks, server};

/// How long a watchdog may take to come up, and how long a second one tries before it takes itself for superfluous.
const COMES_UP: Duration = Duration::from_secs(20);
const SUPERFLUOUS: Duration = Duration::from_secs(2);

/// Waits until nobody uses the private Postgres of `data_dir`, and stops it. Returns at once if another does so already.
///
/// This is the body of the hidden command `ig-tracking postgres-watchdog`, which [`super::PrivatePostgres::start`] runs.
pub async fn watchdog(data_dir: &Path) -> Result<(), Error> {
    stay_until_the_end().map_err(Error::files("catch signals for", data_dir))?;
    let folder = Folder::at(data_dir)?;
    let watching = match locks::exclusive(&folder.watched(), SUPERFLUOUS).await {
        Err(Error::Busy { .. }) => return Ok(()),
        lock => lock?,
    };
    let in_use = locks::exclusive_for_ever(&folder.in_use()).await?;
    // Given back in this order: whoever gets in next must not find a watchdog that is about to leave.
    let _held = (watching, in_use);
    // A starter that was killed may have left initdb or pg_ctl at work, which hold this lock until they are done.
    let _starting = locks::exclusive(&folder.starting(), PATIENCE).await?;
    // The socket may have been settled after we came up.
    server::stop(&Folder::at(data_dir)?).await
}

/// Sees to it that a watchdog lives. The caller holds the start lock, so nobody else does this now.
pub(super) async fn ensure(folder: &Folder, program: &Path) -> Result<(), Error> {
    if locks::is_held(&folder.watched())? {
        return Ok(());
    }
    let log = folder.watchdog_log();
    remove_if_there(&log).map_err(Error::files("remove", &log))?;
    let stderr = OpenOptions::new().write(true).create_new(true).open(&log).map_err(Error::files("write", &log))?;
    let failed = |said: String| Error::Watchdog { program: program.to_owned(), said };
    let mut child = Command::new(program)
        .arg("postgres-watchdog")
        .arg("--data-dir")
        .arg(folder.root())
        // It lives on after us: away from our terminal, our folder and the secrets in our environment.
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let began = Instant::now();
    while !locks::is_held(&folder.watched())? {
        let ended = child.try_wait().map_err(|error| failed(error.to_string()))?;
        if ended.is_some() || began.elapsed() > COMES_UP {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(failed(said.trim().to_owned()));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

/// Whatever asks all processes to leave (a closed terminal, a service manager) asks the users too, and the watchdog
/// leaves right after them: not before.
fn stay_until_the_end() -> std::io::Result<()> {
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()] {
        // A signal once listened to no longer ends the process, even when nobody listens any more.
        drop(signal(kind)?);
    }
    Ok(())
}
