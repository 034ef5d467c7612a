//! Locks on files, held by the kernel on behalf of a process and given back with it: no process id is ever written down.
//!
//! Waiting is polling, so that it can end with a clear error. A lock belongs to the open file: a child that is handed
//! the file holds the lock too, until it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Error;

/// How often a lock, or anything else without a signal of its own, is looked at.
pub(super) const GLANCE: Duration = Duration::from_millis(10);

/// Waits for a lock that many may hold.
pub(super) async fn shared(path: &Path, patience: Duration) -> Result<File, Error> {
    wait(path, patience, File::try_lock_shared).await
}

/// Waits for a lock that one may hold.
pub(super) async fn exclusive(path: &Path, patience: Duration) -> Result<File, Error> {
    wait(path, patience, File::try_lock).await
}

/// Whether somebody holds the lock for himself.
pub(super) fn is_held(path: &Path) -> Result<bool, Error> {
    Ok(try_once(path, &open(path)?, File::try_lock_shared)?.is_none())
}

/// Waits for a lock that one may hold, for as long as it takes.
pub(super) async fn exclusive_for_ever(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    let path = path.to_owned();
    // A thread of its own, which sleeps in the kernel: this wait may last for months.
    tokio::task::spawn_blocking(move || match file.lock() {
        Ok(()) => Ok(file),
        Err(source) => Err(Error::Lock { path, source }),
    })
    .await
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

type TryLock = fn(&File) -> Result<(), TryLockError>;

async fn wait(path: &Path, patience: Duration, lock: TryLock) -> Result<File, Error> {
    let file = open(path)?;
    let began = Instant::now();
    while try_once(path, &file, lock)?.is_none() {
        if began.elapsed() > patience {
            return Err(Error::Busy { path: path.to_owned(), seconds: patience.as_secs() });
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(file)
}

fn try_once(path: &Path, file: &File, lock: TryLock) -> Result<Option<()>, Error> {
    match lock(file) {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::Lock { path: path.to_owned(), source }),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(Error::files("open", path))
}
