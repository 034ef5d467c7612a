//! How the posts and reels of accounts were received, counted anew by account once runs have read it: an hour at least lies
//! between two times.
//!
//! An account is one transaction, with the note that it is done: whoever is cut off leaves what was there, and the account
//! due. A run that ends meanwhile waits for it with its note, and the account is due again.

use std::time::Duration;

use crate::db::Pool;
use crate::db::account_rollups::{self, Due, Which};

/// How often accounts are looked for that are due.
const EVERY: Duration = Duration::from_secs(10);

/// The pause between two accounts; a thousand take a minute and a half.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to leave it alone when the database refuses it.
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);

/// How long an account may take: while it is counted, no run that ends is summarised.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every replica does; none takes an account that another is at.
pub(super) async fn keep(pool: &Pool) {
    let pool = pool.patient(PATIENCE);
    loop {
        let pause = match roll_up_one(&pool, Which::Due).await {
            Ok(true) => PAUSE,
            Ok(false) => EVERY,
            Err(Failed { profile_id, error }) => {
                tracing::warn!(profile_id, %error, "could not count an account's posts and reels; trying again later");
                if let Some(profile_id) = profile_id {
                    // Where this is refused, too, it is the first to be tried again, and that is all.
                    account_rollups::put_off(&pool, profile_id).await.ok();
                }
                AFTER_A_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Counts all accounts that were read since they were counted last, without a pause; says how many it did itself.
pub async fn roll_up_all(pool: &Pool) -> sqlx::Result<u64> {
    let pool = pool.patient(PATIENCE);
    let mut accounts = 0;
    while roll_up_one(&pool, Which::Marked).await.map_err(|failed| failed.error)? {
        accounts += 1;
    }
    Ok(accounts)
}

/// What went wrong, and with which account where one was taken.
struct Failed {
    profile_id: Option<i64>,
    error: sqlx::Error,
}

/// False where there is none.
async fn roll_up_one(pool: &Pool, which: Which) -> Result<bool, Failed> {
    let mut taken: Option<Due> = None;
    let done = pool.in_time(async {
        let mut transaction = pool.begin().await?;
        taken = account_rollups::take(&mut transaction, which).await?;
        if let Some(due) = taken {
            account_rollups::count_weeks(&mut transaction, due).await?;
            account_rollups::count_days(&mut transaction, due).await?;
            account_rollups::settle(&mut transaction, due).await?;
        }
        // Also where nothing was done: the connection of a transaction that is dropped goes with it.
        transaction.commit().await?;
        Ok(taken.is_some())
    });
    let done = done.await;
    done.map_err(|error| Failed { profile_id: taken.map(|due| due.profile_id), error })
}
