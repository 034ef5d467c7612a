//! Whether the database answers and takes writes: asked all the time by one, so that no request has to find out by
//! waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::db::{Pool, health};

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(300);

/// How long it may take to answer. It is called away when it fails to twice in a row, or says that it is not what we
/// need; so whoever asks us is told within 2 s, come what may.
const ANSWERS_WITHIN: Duration = Duration::from_millis(750);

/// The last word on whether the database answers.
#[derive(Clone)]
pub struct Availability(Arc<watch::Sender<bool>>);

impl Default for Availability {
    /// There, until somebody has noticed otherwise.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Availability {
    /// Whether it answered the last time it was asked.
    pub fn is_there(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the database is away: at once, where it is.
    pub async fn away(&self) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|there| !there).await;
    }

    /// Asks again and again, on a pool that nothing else keeps busy.
    pub async fn watch(self, pool: Pool) {
        loop {
            let word = match ask(&pool).await {
                // One silence may be a busy moment.
                Word::Silent => ask(&pool).await,
                word => word,
            };
            let there = word == Word::There;
            if self.0.send_if_modified(|was| std::mem::replace(was, there) != there) {
                match word {
                    Word::There => tracing::info!("the database answers again"),
                    Word::ReadOnly => tracing::error!("the database takes no writes: it is no primary any more"),
                    Word::Silent | Word::Refused => tracing::error!("the database does not answer"),
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// What the database says when it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    There,
    ReadOnly,
    Silent,
    Refused,
}

async fn ask(pool: &Pool) -> Word {
    match tokio::time::timeout(ANSWERS_WITHIN, health::takes_writes(pool)).await {
        Ok(Ok(true)) => Word::There,
        Ok(Ok(false)) => {
            // Whatever else leads there must find the new primary.
            pool.replace_all();
            Word::ReadOnly
        }
        Ok(Err(error)) if health::is_read_only(&error) => Word::ReadOnly,
        Ok(Err(_)) => Word::Refused,
        Err(_) => Word::Silent,
    }
}
