//! Whether the database answers: asked all the time by one, so that no request has to find out by waiting.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;

use crate::db;

/// How often the database is asked.
const EVERY: Duration = Duration::from_millis(500);

/// How long it may take to answer. It is called away when it fails to twice in a row, or breaks the connection.
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
    pub async fn watch(self, pool: PgPool) {
        let mut silent = 0;
        loop {
            let asked = tokio::time::timeout(ANSWERS_WITHIN, db::health::server_version(&pool)).await;
            silent = if asked.is_err() { silent + 1 } else { 0 };
            let there = match asked {
                Ok(answer) => answer.is_ok(),
                Err(_) => silent < 2 && self.is_there(),
            };
            if self.0.send_if_modified(|was| std::mem::replace(was, there) != there) {
                match there {
                    true => tracing::info!("the database answers again"),
                    false => tracing::error!("the database does not answer"),
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
